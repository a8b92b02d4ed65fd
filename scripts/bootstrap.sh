#!/usr/bin/env bash
# Makes .venv and installs the project into it, editable: bootstrap.sh [EXTRA]
# Does nothing when the same extra is already installed from the same requirements.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extra="${1:-}"
python="${PYTHON:-python3}"
stamp=".venv/.qzoom-installed${extra:+-$extra}"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "qzoom needs Python 3.11 or newer; '$python' is not. Set PYTHON to one that is." >&2
    exit 1
fi
if cat pyproject.toml constraints.txt | cmp -s - "$stamp"; then
    exit 0
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Installing qzoom${extra:+ with its $extra tools} into .venv (the first time takes minutes)" >&2
./scripts/install.sh .venv/bin/python "$extra" --editable
cat pyproject.toml constraints.txt >"$stamp"
