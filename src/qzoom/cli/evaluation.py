"""What the kinds of `qzoom eval` share: the model, the report and its table."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from qzoom.cli.arguments import positive_int
from qzoom.cli.quiet import hush_libraries
from qzoom.cli.terminal import printable


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every evaluation."""
    parser.add_argument("--model", metavar="NAME", help="folder or hub id (default: embedded)")
    parser.add_argument("--adapter", metavar="DIR", help="zoom branches in place of its own")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="threads of torch")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the report here")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def load_model(args: argparse.Namespace) -> Any:
    """The model that is to be measured."""
    hush_libraries()
    torch: Any = import_module("torch")
    if args.threads:
        torch.set_num_threads(args.threads)
    return import_module("qzoom.loading").load(args.model, adapter=args.adapter)


def described(model: Any, args: argparse.Namespace) -> dict[str, Any]:
    """What a report says about the model."""
    return {
        "model": model.name,
        **({"adapter": str(args.adapter)} if args.adapter else {}),
        "dtype": str(model.dtype),
        "attention": model.parts.backbone.attn_implementation,
    }


def write_report(report: dict[str, Any], args: argparse.Namespace) -> None:
    """Print a table, or the whole report as JSON, and write the file that was asked for."""
    text = json.dumps(report, indent=2)
    if args.out:
        args.out.write_text(text + "\n")
    sys.stdout.write(text + "\n" if args.json else _table(report["looks"]))


def _table(looks: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'look':<14} {'exact':>6}  {'95 %':<13} {'tokens':>6} {'zoomed':>6}"]
    for look, row in looks.items():
        lines.append(
            f"{look:<14} {_shares(row)}   {row['mean_visual_tokens']:>6.0f} {row['zoomed']:>6.2f}"
        )
        for kind, found in row["by_kind"].items():
            if isinstance(found, dict):
                # Kinds come from the records, which may be anybody's.
                lines.append(f"{'':<14} {_shares(found)}   {printable(kind)}")
    return "\n".join(lines) + "\n"


def _shares(row: dict[str, Any]) -> str:
    low, high = row["interval_95"]
    return f"{row['exact_match']:>6.3f}  {low:.3f}-{high:.3f}"
