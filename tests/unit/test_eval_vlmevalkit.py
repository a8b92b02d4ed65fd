"""qzoom under an installed, unchanged VLMEvalKit: its own `run.py` on tables of local pictures."""

from __future__ import annotations

import base64
import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import qzoom
from qzoom.eval.world import asked_scenes
from qzoom.labels.jsonl import read_rows

pytestmark = pytest.mark.skipif(
    find_spec("vlmeval") is None, reason="needs VLMEvalKit: pip install ms-vlmeval"
)

NAME = "Q-Zoom-Qwen2.5-VL"
RUN = """\
import runpy
from qzoom.eval.adapters.vlmevalkit import register
register({name!r}, max_cells=64, max_new_tokens=8, log_zoom="zoom.jsonl")
runpy.run_module("vlmeval.run", run_name="__main__")
"""


@dataclass(frozen=True)
class Asked:
    """A row: its pictures, and what it asks, as the dataset writes it."""

    pictures: list[Image.Image]
    text: str


@dataclass(frozen=True)
class Ran:
    """What a run of its command left, in the order of the rows."""

    predictions: dict[str, list[str]]
    log: list[dict[str, Any]]


def rows() -> dict[str, list[Asked]]:
    """Six questions about three scenes, one about two of them, and one without a picture."""
    found = [
        Asked([scene.image], question.text)
        for scene, questions in asked_scenes(3, "heldout", 2, "vlmevalkit")
        for question in questions
    ]
    pictures = [found[0].pictures[0], found[2].pictures[0]]
    return {"Toy": [*found, Asked(pictures, found[0].text)], "ToyText": [Asked([], "what is it?")]}


def base64_of(image: Image.Image) -> str:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def table_rows(asked: list[Asked]) -> list[dict[str, Any]]:
    """A table with pictures is asked as it is; one without must have options."""
    if not asked[0].pictures:
        return [{"index": i, "question": a.text, "A": "x", "B": "y"} for i, a in enumerate(asked)]
    pictures = [[base64_of(image) for image in a.pictures] for a in asked]
    cells = [one[0] if len(one) == 1 else str(one) for one in pictures]
    return [
        {"index": i, "image": cell, "question": a.text}
        for i, (cell, a) in enumerate(zip(cells, asked, strict=True))
    ]


def write_table(path: Path, found: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(found)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("vlmevalkit")
    for name, asked in rows().items():
        write_table(folder / f"{name}.tsv", table_rows(asked))
    arguments = ["--data", "Toy", "ToyText", "--model", NAME, "--mode", "infer"]
    # Read back from xlsx, its default, a reply such as "4" need not be a text.
    found = subprocess.run(
        [sys.executable, "-c", RUN.format(name=NAME), *arguments, "--work-dir", "out"],
        env={**os.environ, "LMUData": str(folder), "PRED_FORMAT": "json", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        cwd=folder,
    )
    predictions = {}
    for name in rows():
        path = folder / "out" / NAME / f"{NAME}_{name}.json"
        # It ends with 0 whatever went wrong.
        assert path.is_file(), (found.stdout + found.stderr)[-3000:]
        predictions[name] = [row["prediction"] for row in json.loads(path.read_text())]
    return Ran(predictions, [row for _, row in read_rows(folder / "zoom.jsonl")])


def test_predictions_are_those_of_the_model_itself(ran: Ran) -> None:
    model = qzoom.load().with_budget(max_cells=64)
    expected = [model.open(a.pictures).ask(a.text, max_new_tokens=8) for a in rows()["Toy"]]
    assert ran.predictions["Toy"] == [answer.text for answer in expected]
    assert any(answer.zoomed for answer in expected)
    log = [row for row in ran.log if row["dataset"] == "Toy"]
    assert [len(row["pictures"]) for row in log] == [1] * 6 + [2]
    for row, answer in zip(log, expected, strict=True):
        assert (row["text"], row["zoomed"]) == (answer.text, answer.zoomed)
        assert row["source_tokens"] == answer.usage["visual_tokens"]
        boxes = answer.boxes_xyxy_px if answer.zoomed else []
        assert row["boxes_px_xyxy"] == [list(box) for box in boxes]


def test_rows_without_pictures_are_asked_in_text(ran: Ran) -> None:
    text = (
        "Question: what is it?\nOptions:\nA. x\nB. y\n"
        "Please select the correct answer from the options above. \n"
    )
    expected = qzoom.load().open([]).ask(text, max_new_tokens=8).text
    assert ran.predictions["ToyText"] == [expected]
    assert [row["pictures"] for row in ran.log if row["dataset"] == "ToyText"] == [[]]


def test_the_class_is_a_model_of_the_harness() -> None:
    from vlmeval.vlm.base import BaseModel

    from qzoom.eval.adapters.vlmevalkit import QzoomVLM

    assert issubclass(QzoomVLM, BaseModel)
