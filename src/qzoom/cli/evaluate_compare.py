"""`qzoom eval compare`: two files of result rows over the same samples."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from qzoom.cli.arguments import existing_file
from qzoom.cli.terminal import printable

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


FEW_PICTURES: Final = 20
"""Below this the bootstrap sees too few clusters to know how much they vary."""


def add_compare(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "two files of result rows, sample by sample"
    parser = kinds.add_parser("compare", help=text, description=text.capitalize() + ".")
    parser.add_argument("a", type=existing_file, metavar="A.jsonl", help="rows")
    parser.add_argument("b", type=existing_file, metavar="B.jsonl", help="rows to compare with")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    parser.set_defaults(run=run_compare)


def run_compare(args: argparse.Namespace) -> int:
    """Print what A does better or worse than B."""
    read: Any = import_module("qzoom.eval.rows").rows_of_one_benchmark
    compare: Any = import_module("qzoom.eval.compare").compare
    found = compare(read(args.a), read(args.b))
    print(json.dumps(found, indent=2) if args.json else printable(_text(found)))
    return 0


def _text(found: dict[str, Any]) -> str:
    a, b = found["a"], found["b"]
    lines = [
        f"{found['benchmark']}, scored as {found['scoring']}: A is {_named(a)}, B is {_named(b)}",
        f"  {found['samples']} samples of {found['pictures']} pictures; only in A "
        f"{found['only_in_a']}, only in B {found['only_in_b']}, unscored {found['unscored']}",
        f"  {'':<16} {'A':>9} {'B':>9} {'A - B':>9}   95 %",
        _line("mean score", a["score"], b["score"], found["score_difference"], ".4f"),
        _line(
            "visual tokens",
            a["visual_tokens"],
            b["visual_tokens"],
            found["visual_tokens_difference"],
            ".1f",
        ),
    ]
    if (ratio := found["time_ratio"]) is not None:
        low, high = ratio["interval_95"]
        lines.append(
            f"  {'seconds, A / B':<16} {a['seconds']:>9.4f} {b['seconds']:>9.4f} "
            f"{ratio['mean']:>8.2f}x   {low:.2f}x to {high:.2f}x"
        )
    lines += [
        f"  A wins {found['wins']}, loses {found['losses']}, ties {found['ties']}; "
        f"p = {found['p_bootstrap']:.2g} (bootstrap), {found['p_sign_test']:.2g} (sign test)",
        f"  {'zoomed':<16} {'samples':>9} {'score A':>9} {'score B':>9}",
    ]
    lines += [_gate(name, cell) for name, cell in found["gates"].items() if cell["samples"]]
    if found["pictures"] < FEW_PICTURES:
        lines.append(
            f"  only {found['pictures']} pictures: the bootstrap's interval and p are too narrow; "
            "trust the sign test"
        )
    for name, (one, other) in found["runs_differ"].items():
        lines.append(f"  times are not comparable: {name} is {one} in A and {other} in B")
    return "\n".join(lines)


def _named(side: dict[str, Any]) -> str:
    settings = side["settings"]
    return f"{side['method']} ({settings.get('model')}, {settings.get('max_cells')} cells)"


def _line(name: str, a: float, b: float, difference: dict[str, Any], form: str) -> str:
    low, high = difference["interval_95"]
    return (
        f"  {name:<16} {a:>9{form}} {b:>9{form}} {difference['mean']:>+9{form}}   "
        f"{low:+{form}} to {high:+{form}}"
    )


def _gate(name: str, cell: dict[str, Any]) -> str:
    return (
        f"    {name.replace('_', ' '):<14} {cell['samples']:>9} {cell['score_a']:>9.4f} "
        f"{cell['score_b']:>9.4f}"
    )
