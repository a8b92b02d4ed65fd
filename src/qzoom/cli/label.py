"""`qzoom label`: labels that a model makes for its own branches."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli import label_gate, label_relabel
from qzoom.cli.arguments import UsageError, count, existing_file, positive_int, share
from qzoom.cli.data_options import add_data_options, say
from qzoom.cli.label_answers import add_answers
from qzoom.cli.label_known import add_boxes, add_taught
from qzoom.cli.label_mine import add_mine
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb with its sub-verbs."""
    text = "make labels for training out of a model's own behaviour"
    parser = verbs.add_parser("label", help=text, description=text.capitalize() + ".")
    kinds = parser.add_subparsers(title="what", metavar="WHAT", dest="what", required=True)
    text = "region labels: where the model's answers looked"
    region = kinds.add_parser("region", help=text, description=text.capitalize() + ".")
    add_data_options(region)
    heads = region.add_mutually_exclusive_group(required=True)
    heads.add_argument("--preset", metavar="NAME", help="heads of a known model: qwen3-vl-4b, ...")
    heads.add_argument(
        "--heads", type=existing_file, metavar="FILE", help="heads that 'qzoom label heads' found"
    )
    region.add_argument(
        "--settings", type=existing_file, metavar="FILE", help="thresholds and layout, in YAML"
    )
    region.add_argument("--shard-size", type=positive_int, default=512, metavar="N")
    region.add_argument("--batch-size", type=positive_int, default=8, metavar="N")
    region.add_argument("--part", type=count, default=0, metavar="I", help="this process's part")
    region.add_argument("--parts", type=positive_int, default=1, metavar="N", help="of how many")
    region.add_argument(
        "--ray", type=positive_int, metavar="N", help="label with N actors of a Ray cluster"
    )
    region.add_argument(
        "--most-bad", type=share, default=0.05, metavar="SHARE", help="of bad pictures in a shard"
    )
    region.set_defaults(run=run_region)
    text = "find a model's grounding and sink heads on records with answer boxes"
    found = kinds.add_parser("heads", help=text, description=text.capitalize() + ".")
    add_data_options(found)
    found.add_argument("--samples", type=positive_int, default=200, metavar="N")
    found.add_argument("--grounding", type=positive_int, default=4, metavar="N", help="heads kept")
    found.add_argument("--sinks", type=positive_int, default=2, metavar="N", help="sink heads kept")
    found.add_argument("--least-hit", type=share, default=0.3, metavar="SHARE")
    found.add_argument("--cells", type=positive_int, default=576, metavar="N")
    found.set_defaults(run=run_heads)
    add_answers(kinds)
    add_mine(kinds)
    label_gate.add_parser(kinds)
    label_relabel.add_parser(kinds)
    add_boxes(kinds)
    add_taught(kinds)


def run_region(args: argparse.Namespace) -> int:
    """Label records; a run that was stopped goes on with the next shard."""
    if args.ray and args.parts > 1:
        raise UsageError("--ray hands out all shards itself; give --parts or --ray")
    hush_libraries()
    jobs = _module("labels.region_job")
    paths, numbers = ("records", "images", "out"), ("shard_size", "batch_size", "most_bad")
    names = (*paths, *numbers, "model", "device", "dtype")
    fields = {name: getattr(args, name) for name in names}
    job = jobs.RegionJob(heads=_heads(args), settings=_settings(args.settings), **fields)
    if args.ray:
        counts = _module("labels.ray_run").label_with_ray(job, args.ray, say)
    else:
        counts = jobs.JobRunner(job).run(args.part, args.parts, say)
    sys.stdout.write(json.dumps(vars(counts)) + "\n")
    return 0


def run_heads(args: argparse.Namespace) -> int:
    """Measure every head and write those that ground answers and those that collect sinks."""
    model, records, images = _open(args)
    found = _module("labels.find_heads").find_heads(
        model, records, images, samples=args.samples, cells=args.cells
    )
    grounding = found.grounding_heads(args.grounding, args.least_hit)
    sinks = found.sink_heads(args.sinks)
    content = _module("labels.region_settings").heads_to_json(grounding, sinks)
    _module("labels.jsonl").write_json(args.out, content)
    hit = max(float(found.hit[i, h]) for i, hs in grounding.heads_by_layer.items() for h in hs)
    sys.stdout.write(f"{args.out}: {found.samples} samples, best head hits {hit:.0%}\n")
    return 0


def _open(args: argparse.Namespace) -> tuple[Any, Any, Any]:
    hush_libraries()
    records = _module("data.jsonl").read_records(args.records)
    images = _module("data.images").ImageFolder(args.images)
    model = _module("loading").load(args.model, device=args.device, dtype=args.dtype)
    return model, records, images


def _settings(path: Path | None) -> Any:
    kind = _module("labels.region_settings").RegionLabelSettings
    if path is None:
        return kind()
    return _module("settings").read_settings_file(path, kind, "label settings")


def _heads(args: argparse.Namespace) -> Any:
    if args.preset:
        return _module("labels.presets").head_preset(args.preset)
    try:
        content = json.loads(args.heads.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{args.heads} is not JSON: {error}") from None
    return _module("labels.region_settings").preset_from_json(content, str(args.heads))


def _module(name: str) -> Any:
    return import_module(f"qzoom.{name}")
