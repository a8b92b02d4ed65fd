"""What a training was told, kept beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qzoom.data.files import replacing


def record_training(
    folder: Path, job: Mapping[str, Any], recipe: Mapping[str, Any], steps: int
) -> None:
    """Print the resolved recipe and write it to `training.json`."""
    text = json.dumps({"job": job, "recipe": recipe, "steps": steps}, indent=2, default=str) + "\n"
    with replacing(folder / "training.json", resumable=True) as file:
        file.write(text.encode())
    sys.stderr.write(text)
