"""Options of every script that lets contenders take turns, and the report that it writes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qzoom.bench.shapes import SHAPES
from qzoom.bench.timing import CLOCKS


def timing_parser(text: str | None, *, repeats: int = 5) -> argparse.ArgumentParser:
    """A parser with the options that all share.

    Args:
        text: of the script, whose first line says what it does.
        repeats: turns that are timed where nobody says otherwise.
    """
    parser = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    parser.add_argument("--size", choices=sorted(SHAPES), default="mid")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's own choice")
    parser.add_argument("--repeats", type=int, default=repeats, help="turns after one warm-up")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--out", type=Path, help="write the report here, as JSON")
    return parser


def write_report(out: Path | None, report: Mapping[str, Any]) -> None:
    """Write the file that was asked for, if one was."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
