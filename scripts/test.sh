#!/usr/bin/env bash
# Installs what is missing, then checks style, types and behaviour: test.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/bootstrap.sh dev
# Tiny models gain nothing from more threads, and on a busy machine lose much waiting for each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
.venv/bin/ruff check .
.venv/bin/mypy
# Last, so that its summary ends the output.
exec .venv/bin/python -m pytest "$@"
