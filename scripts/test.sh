#!/usr/bin/env bash
# Installs what is missing, then checks style, types and behaviour: test.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/bootstrap.sh dev
.venv/bin/ruff check .
.venv/bin/mypy
# Last, so that its summary ends the output.
exec .venv/bin/python -m pytest "$@"
