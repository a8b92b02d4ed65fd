"""Stage 1 of a reproduction: heads, labels, region networks and their variants."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qzoom.checkpoints.save import save_checkpoint
from qzoom.data.images import ImageFolder
from qzoom.data.jsonl import RecordFile
from qzoom.data.readers.synth import RECORDS_FILE, write_scenes
from qzoom.labels.boxed import label_boxes
from qzoom.labels.find_heads import find_heads
from qzoom.labels.jsonl import write_json
from qzoom.labels.pipeline import Plan, label_records
from qzoom.labels.pool import QuestionPool
from qzoom.labels.presets import HeadPreset
from qzoom.labels.region import RegionLabeller
from qzoom.labels.region_settings import heads_to_json, preset_from_json
from qzoom.labels.relabel import relabel
from qzoom.labels.store import LabelStore
from qzoom.labels.tristate import TriStateRule
from qzoom.loading import load
from qzoom.reproduce.settings import ReproduceSettings
from qzoom.reproduce.workspace import Outcome, Workspace
from qzoom.train.branch_job import Job
from qzoom.train.branch_recipes import RegionRecipe
from qzoom.train.region_training import train_region
from qzoom.zoom.config import ZoomConfig


@dataclass(frozen=True)
class Variant:
    """One region network: the folder of labels it learns from, and how."""

    name: str
    labels: str
    recipe: RegionRecipe


def plain_trunk(space: Workspace, name: str | None) -> Outcome:
    """A model without its branches.

    Args:
        name: folder or hub id, None for the embedded model.
    """
    model = load(name)
    config = ZoomConfig.from_hf_config({"enable_twig": False}, model.family)
    bare = dataclasses.replace(model.checkpoint, add_on=None, config=config)
    save_checkpoint(space / "trunk", bare)
    return {"folder": "trunk", "model": model.name}


def draw(space: Workspace, settings: ReproduceSettings) -> Outcome:
    """The training pool and the scenes for finding heads."""
    amounts = settings.amounts
    write_scenes(space / "train", amounts.train_scenes, "reproduce")
    write_scenes(space / "heads", amounts.head_scenes, "heads")
    pool = pool_of(space / "train")
    return {"scenes": amounts.train_scenes, "questions": sum(1 for _ in pool)}


def heads(space: Workspace, settings: ReproduceSettings) -> Outcome:
    """Grounding heads of the trunk, found on boxed questions."""
    model, folder = load(space / "trunk"), space / "heads"
    records = RecordFile(folder / RECORDS_FILE)
    found = find_heads(
        model, records, ImageFolder(folder), samples=200, cells=settings.labels.cells
    )
    kept = found.grounding_heads(settings.heads_kept, 0.3)
    write_json(space / "heads.json", heads_to_json(kept, found.sink_heads(0)))
    best = max(float(found.hit[i, h]) for i, own in kept.heads_by_layer.items() for h in own)
    named = {str(layer): list(own) for layer, own in kept.heads_by_layer.items()}
    return {"heads_by_layer": named, "best_hit": round(best, 4), "samples": found.samples}


def labels(space: Workspace, settings: ReproduceSettings, trunk: str, name: str) -> Outcome:
    """Labels of the pool from a trunk's own attention."""
    model, preset, folder = load(space / trunk), preset_of(space), space / "train"
    stored = {"model": trunk, **settings.labels.to_json(preset)}
    store = LabelStore(space / name, stored)
    labeller = RegionLabeller(model, preset, settings.labels)
    counts = label_records(
        RecordFile(folder / RECORDS_FILE), ImageFolder(folder), labeller, store, Plan(batch_size=16)
    )
    return vars(counts)


def relabelled(space: Workspace, rule: TriStateRule, source: str, name: str) -> Outcome:
    """The same attention under another rule (Table VIII)."""
    return vars(relabel(space / source, space / name, rule))


def truth_labels(space: Workspace, settings: ReproduceSettings, name: str) -> Outcome:
    """Labels from the boxes that were drawn (Table VII)."""
    pipeline = load(space / "trunk").pipeline
    counts = label_boxes(pool_of(space / "train"), pipeline, settings.labels, space / name)
    return vars(counts)


def region(
    space: Workspace, settings: ReproduceSettings, made: Variant, *, model: str = "trunk"
) -> Outcome:
    """A region network trained on labels, saved as an adapter: what 'qzoom train region' does."""
    recipe = write_recipe(space / f"{made.name}.yaml", made.recipe)
    job: Job[tuple[Path, ...]] = Job(
        labels=(space / made.labels,),
        images=space / "train",
        out=space / made.name,
        model=str(space / model),
        recipe=recipe,
        workers=settings.workers,
    )
    train_region(job)
    return {"labels": made.labels, "recipe": dataclasses.asdict(made.recipe)}


def write_recipe(path: Path, recipe: Any) -> Path:
    """A recipe as the YAML file that the commands read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = json.loads(json.dumps(dataclasses.asdict(recipe)))
    path.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    return path


def preset_of(space: Workspace) -> HeadPreset:
    """The heads that were found."""
    path = space / "heads.json"
    return preset_from_json(json.loads(path.read_text(encoding="utf-8")), str(path))


def pool_of(folder: Path) -> QuestionPool:
    """Questions of a folder of scenes."""
    return QuestionPool(RecordFile(folder / RECORDS_FILE), ImageFolder(folder))


def limited_pool(folder: Path, count: int) -> QuestionPool:
    """The first questions of a folder of scenes."""
    return QuestionPool(RecordFile(folder / RECORDS_FILE), ImageFolder(folder), limit=count)
