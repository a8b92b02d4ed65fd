"""What a training was told, kept beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def record_training(
    folder: Path, job: Mapping[str, Any], recipe: Mapping[str, Any], steps: int
) -> None:
    """Print the resolved recipe and write it to `training.json`."""
    text = json.dumps({"job": job, "recipe": recipe, "steps": steps}, indent=2, default=str) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training.json").write_text(text, encoding="utf-8")
    sys.stderr.write(text)
