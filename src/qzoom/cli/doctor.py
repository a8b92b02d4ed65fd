"""`qzoom doctor`: what is installed, and whether the default model answers."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from qzoom.cli.quiet import hush_libraries
from qzoom.cli.terminal import one_line

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser
    from qzoom.cli.selfcheck import Check


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb."""
    text = "check the installation and the default model"
    description = text.capitalize() + "; exits with 0 when it answers."
    parser = verbs.add_parser("doctor", help=text, description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Gather, print, and return 0 when the default model said anything."""
    hush_libraries()
    report = examine()
    print(json.dumps(report) if args.json else "\n".join(_lines(report)))
    return 0 if report["ok"] else 1


def examine() -> dict[str, Any]:
    """The whole report, as --json prints it."""
    from qzoom.cli import environment, selfcheck

    check = selfcheck.check_default_model()
    return {
        "versions": environment.versions(),
        **environment.torch_facts(),
        "model": check.model,
        "check": _check_fields(check, selfcheck.QUESTION, selfcheck.EXPECTED),
        "ok": bool(check.answer.strip()),
    }


def _check_fields(check: Check, question: str, expected: str) -> dict[str, Any]:
    return {
        "question": question,
        "expected": expected,
        "answer": check.answer,
        "right": check.is_right,
        "problem": check.problem,
        "load_s": check.load_s,
        "ask_s": check.ask_s,
    }


def _lines(report: dict[str, Any]) -> list[str]:
    model = report["model"]
    rows = [(name, version or "not installed") for name, version in report["versions"].items()]
    rows += _torch_rows(report) if report["devices"] else [("torch", "cannot be imported")]
    rows.append(("model", _model_text(model)))
    if "folder" in model:
        rows.append(("stored in", f"{model['folder']} ({model['size_bytes'] / 1e6:.1f} MB)"))
    rows += [
        ("question", report["check"]["question"]),
        ("answer", _answer_text(report["check"])),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {one_line(value)}" for name, value in rows]


def _torch_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    kernels = report["attention"]
    return [
        *(("device", name) for name in report["devices"]),
        ("threads", str(report["threads"])),
        ("attention", f"eager, sdpa ({', '.join(kernels['sdpa_backends'])})"),
        ("flash_attn", kernels["flash_attn"] or "not installed"),
    ]


def _model_text(model: dict[str, Any]) -> str:
    if "name" not in model:
        return "does not load"
    zoom = "with zoom" if model["zoom"] else "without zoom"
    return f"{model['name']} ({model['family']}, {zoom}, {model['dtype']} on {model['device']})"


def _answer_text(check: dict[str, Any]) -> str:
    if check["problem"] is not None:
        return f"none: {check['problem']}"
    verdict = "right" if check["right"] else f"expected {check['expected']!r}"
    times = f"loaded in {check['load_s']:.2f} s, answered in {check['ask_s']:.2f} s"
    return f"{check['answer']!r} ({verdict}; {times})"
