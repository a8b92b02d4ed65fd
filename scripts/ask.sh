#!/usr/bin/env bash
# Asks a question about an image: ask.sh [IMAGE QUESTION [OPTIONS]]
set -euo pipefail

DEFAULT_IMAGE=examples/receipt.png
DEFAULT_QUESTION="What is the total?"

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$root/scripts/bootstrap.sh"
if [ "$#" -eq 0 ]; then
    set -- "$root/$DEFAULT_IMAGE" "$DEFAULT_QUESTION"
fi
# Not from the root, so that a relative IMAGE means what the caller sees.
exec "$root/.venv/bin/qzoom" ask "$@"
