#!/usr/bin/env bash
# Installs qzoom at the tested versions into an environment: install.sh PYTHON [EXTRA [PIP OPTIONS]]
# PYTHON is that environment's interpreter; QZOOM_TORCH_INDEX names another index for torch alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python="${1:?give the python of an environment}"
extra="${2:-}"
pip=("$python" -m pip install --quiet --disable-pip-version-check -c constraints.txt)

# torch first and alone: it is by far the largest, and a failure then names it.
"${pip[@]}" ${QZOOM_TORCH_INDEX:+--index-url "$QZOOM_TORCH_INDEX"} "$(grep '^torch==' constraints.txt)"
"${pip[@]}" "${@:3}" ".${extra:+[$extra]}"
