"""Who answers in an evaluation: options of the method and its model, and what they build."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, Final

from qzoom.cli.arguments import UsageError, count, named_value, positive_int, share
from qzoom.cli.quiet import hush_libraries

OF_A_MODEL: Final = (
    *("model", "adapter", "min_cells", "max_cells", "mode", "zoom_config"),
    *("device", "dtype", "attn", "threads"),
)


def add_method_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say who answers, and how."""
    parser.add_argument("--method", default="zoom", metavar="NAME", help="default: zoom")
    parser.add_argument("--max-cells", type=positive_int, metavar="N", help="visual tokens, most")
    add_engine_options(parser)


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the model, its thresholds and where it runs."""
    parser.add_argument("--model", metavar="NAME", help="folder or hub id (default: embedded)")
    parser.add_argument("--adapter", metavar="DIR", help="zoom branches in place of its own")
    parser.add_argument("--min-cells", type=positive_int, metavar="N", help="visual tokens, least")
    parser.add_argument("--gate-threshold", type=share, metavar="P", help="zoom from here on")
    parser.add_argument("--roi-threshold", type=share, metavar="P", help="cells above are region")
    parser.add_argument(
        "--mode", choices=("reference", "native"), help="of zooming (default: the checkpoint's own)"
    )
    parser.add_argument(
        "--zoom-config", type=named_value, action="append", metavar="NAME=VALUE",
        help="a field of the zoom configuration, such as max_crop_cells=160; may be given again",
    )  # fmt: skip
    parser.add_argument("--device", metavar="NAME", help="such as cuda (default: the model's)")
    parser.add_argument("--dtype", metavar="NAME", help="such as bfloat16")
    parser.add_argument("--attn", metavar="NAME", help="attention kernel: sdpa or eager")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="threads of torch")
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="of methods that draw")
    parser.add_argument(
        "--set", type=named_value, action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the method's own, as JSON or text; may be given again",
    )  # fmt: skip


def load_method(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The method that the options ask for, and what its rows say about the run."""
    registry: Any = import_module("qzoom.eval.methods.registry")
    if args.method in registry.ALONE:
        _refuse_model_options(args)
        method = registry.method_alone(args.method, _method_options(args))
        return method, import_module("qzoom.eval.machine").run_elsewhere(args.seed)
    model = under_budget(args, open_model(args), args.min_cells, args.max_cells)
    return method_over(args, model, args.method), run_of(args, model)


def open_model(args: argparse.Namespace) -> Any:
    """The model that the options of `add_engine_options` ask for, under its own budget."""
    hush_libraries()
    torch: Any = import_module("torch")
    if args.threads:
        torch.set_num_threads(args.threads)
    return import_module("qzoom.loading").load(
        args.model,
        adapter=args.adapter,
        dtype=args.dtype,
        device=args.device,
        attn_implementation=args.attn,
    )


def under_budget(
    args: argparse.Namespace, model: Any, min_cells: int | None, max_cells: int | None
) -> Any:
    """The model under a budget of cells, and zooming as the options say."""
    if min_cells or max_cells:
        model = model.with_budget(min_cells=min_cells, max_cells=max_cells)
    if args.mode:
        model = model.with_mode(args.mode)
    fields = _once("--zoom-config", args.zoom_config or [])
    return model.with_zoom(**fields) if fields else model


def method_over(args: argparse.Namespace, model: Any, name: str) -> Any:
    """A method with the thresholds and settings of the options."""
    registry: Any = import_module("qzoom.eval.methods.registry")
    return registry.method_of(name, model, _method_options(args))


def run_of(args: argparse.Namespace, model: Any) -> dict[str, Any]:
    """What rows say about the run."""
    describe: Any = import_module("qzoom.eval.machine").run_of
    found: dict[str, Any] = describe(model, args.seed, args.model, args.adapter)
    return found


def _method_options(args: argparse.Namespace) -> Any:
    registry: Any = import_module("qzoom.eval.methods.registry")
    return registry.MethodOptions(
        args.gate_threshold, args.roi_threshold, args.seed, _once("--set", args.set)
    )


def _once(option: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UsageError(f"{option} {name} is given twice; give it once")
        found[name] = value
    return found


def _refuse_model_options(args: argparse.Namespace) -> None:
    for name in OF_A_MODEL:
        if getattr(args, name) is not None:
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} has no effect with --method {args.method}, which loads none"
            )
