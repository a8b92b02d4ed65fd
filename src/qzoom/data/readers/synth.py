"""Procedural scenes as files: PNGs, and records with their exact answers and boxes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from PIL import Image

from qzoom.data.files import replacing
from qzoom.data.jsonl import write_records
from qzoom.data.records import Record, Turn
from qzoom.synth.canvas import Question
from qzoom.synth.fonts import FontSplit
from qzoom.synth.receipts import make_receipt
from qzoom.synth.world import Scene, scene_of

RECORDS_FILE: Final = "records.jsonl"


def write_receipts(out: Path, scenes: int, seeds: str) -> Path:
    """Draw receipts as `write_scenes` draws scenes; all are for training."""
    target = out / RECORDS_FILE
    drawn = (make_receipt(Random(f"receipts/{seeds}/{seed}")) for seed in range(scenes))
    # Names of their own, so that a training can take receipts and scenes at once.
    write_records(target, _records(drawn, out, seeds, "train", f"receipts-{seeds}-"))
    return target


def write_scenes(out: Path, scenes: int, seeds: str, split: FontSplit = "train") -> Path:
    """Draw scenes and write `out`/images/*.png and, last, `out`/records.jsonl.

    Args:
        scenes: how many; their seeds are 0, 1, ...
        seeds: names the seeds; the same name draws the same scenes.
        split: faces used.

    Returns:
        the records' file; its image root is `out`.
    """
    target = out / RECORDS_FILE
    write_records(target, draw_scenes(out, scenes, seeds, split))
    return target


def draw_scenes(out: Path, scenes: int, seeds: str, split: FontSplit) -> Iterator[Record]:
    """Records of scenes, each with all its questions; its picture is written by then."""
    drawn = (scene_of(seed, split, seeds) for seed in range(scenes))
    yield from _records(drawn, out, seeds, split, "")


def _records(
    drawn: Iterable[Scene], out: Path, seeds: str, split: FontSplit, prefix: str
) -> Iterator[Record]:
    for seed, scene in enumerate(drawn):
        path = f"images/{prefix}{seed:06d}.png"
        _save(scene.image, out / path)
        yield Record(
            id=f"synth-{prefix}{seeds}-{split}-{seed}",
            images=(path,),
            turns=tuple(_turn(question) for question in scene.questions),
            dataset=f"synth_{scene.kind}",
            mode="textual",
            licence="Apache-2.0",
            source="qzoom.synth",
            split=split,
        )


def _turn(question: Question) -> Turn:
    boxes = () if question.box_px_xyxy is None else (question.box_px_xyxy,)
    return Turn(question.text, (question.answer,), boxes)


def _save(image: Image.Image, path: Path) -> None:
    with replacing(path) as file:
        image.save(file, format="PNG")
