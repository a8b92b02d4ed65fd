"""qzoom under an installed, unchanged lmms-eval: its own command on a task of local files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_chat import picture

import qzoom
from qzoom.errors import DataError, ImageError, QZoomError
from qzoom.eval.world import asked_scenes
from qzoom.labels.jsonl import read_rows
from qzoom.zoom.answer import ZoomAnswer

pytestmark = pytest.mark.skipif(
    find_spec("lmms_eval") is None, reason="needs lmms-eval: pip install 'qzoom[lmms-eval]'"
)

TASK = """\
task: {name}
dataset_path: parquet
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: "<image>\\n{{{{question}}}}"
doc_to_target: answer
{visual}
generation_kwargs:
  max_new_tokens: 8
  temperature: 0
  do_sample: false
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


@dataclass(frozen=True)
class Asked:
    """What a run of the command left, and the questions it was about."""

    questions: list[tuple[Any, str, str]]
    samples: list[dict[str, Any]]
    text_samples: list[dict[str, Any]]
    scores: dict[str, Any]
    log: list[dict[str, Any]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Four questions about two scenes, and two without a picture, asked in batches of 2."""
    folder = tmp_path_factory.mktemp("lmms")
    questions = [
        (scene.image, question.text, question.answer)
        for scene, asked in asked_scenes(2, "heldout", 2, "lmms")
        for question in asked
    ]
    write_tasks(folder, questions)
    args = f"zoom=auto,max_cells=64,log_zoom={folder}/zoom.jsonl"
    run_harness(
        folder,
        *("--model_args", args, "--tasks", "toy,toy_text", "--batch_size", "2"),
        *("--log_samples", "--output_path", str(folder / "out")),
    )
    return Asked(
        questions,
        rows_of(folder, "*_samples_toy.jsonl"),
        rows_of(folder, "*_samples_toy_text.jsonl"),
        json.loads(next(folder.rglob("*_results.json")).read_text())["results"],
        [row for _, row in read_rows(folder / "zoom.jsonl")],
    )


def write_tasks(folder: Path, questions: list[tuple[Any, str, str]]) -> None:
    from datasets import Dataset, Features, Image, Value

    texts = {"question": Value("string"), "answer": Value("string")}
    rows = [{"image": i, "question": q, "answer": a} for i, q, a in questions]
    with_pictures = Dataset.from_list(rows, features=Features({"image": Image(), **texts}))
    with_pictures.to_parquet(folder / "toy.parquet")
    Dataset.from_list([{"question": q, "answer": a} for _, q, a in questions[:2]]).to_parquet(
        folder / "toy_text.parquet"
    )
    for name, visual in (("toy", "doc_to_visual: image"), ("toy_text", "")):
        data = folder / f"{name}.parquet"
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, data=data, visual=visual))


def run_harness(folder: Path, *more: str) -> None:
    """Its command line, offline, with caches of its own."""
    caches = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [sys.executable, "-m", "lmms_eval", "--model", "qzoom"]
    found = subprocess.run(
        [*command, "--include_path", str(folder), *more],
        env={**os.environ, **caches},
        capture_output=True,
        text=True,
        cwd=folder,
    )
    # It ends with 0 whatever went wrong.
    assert any(folder.rglob("*_results.json")), (found.stdout + found.stderr)[-3000:]


def rows_of(folder: Path, pattern: str) -> list[dict[str, Any]]:
    rows = [row for _, row in read_rows(next(folder.rglob(pattern)))]
    return sorted(rows, key=lambda row: int(row["doc_id"]))


def direct(questions: list[tuple[Any, str, str]]) -> list[ZoomAnswer]:
    model = qzoom.load().with_budget(max_cells=64)
    return [model.open(i).ask(q, max_new_tokens=8) for i, q, _ in questions]


def test_the_harness_finds_qzoom_without_a_fork() -> None:
    from lmms_eval import models

    assert "qzoom" in models.list_available_models(), "install qzoom anew: pip install -e ."


def test_answers_are_those_of_the_model_itself(asked: Asked) -> None:
    expected = direct(asked.questions)
    found = [sample["filtered_resps"] for sample in asked.samples]
    assert found == [answer.text for answer in expected]
    assert any(answer.zoomed for answer in expected)
    right = [reply == answer for reply, (_, _, answer) in zip(found, asked.questions, strict=True)]
    assert asked.scores["toy"]["exact_match,none"] == sum(right) / len(right)


def test_a_task_without_pictures_is_asked_in_text(asked: Asked) -> None:
    model = qzoom.load()
    expected = [model.open([]).ask(q, max_new_tokens=8).text for _, q, _ in asked.questions[:2]]
    assert [sample["filtered_resps"] for sample in asked.text_samples] == expected


def test_the_log_says_where_it_looked(asked: Asked) -> None:
    expected = direct(asked.questions)
    rows = sorted((row for row in asked.log if row["task"] == "toy"), key=lambda r: r["doc_id"])
    assert len(rows) == len(expected)
    for row, answer in zip(rows, expected, strict=True):
        assert (row["text"], row["zoomed"], row["batch"]) == (answer.text, answer.zoomed, 2)
        assert row["gate_probability"] == pytest.approx(answer.gate_probability, abs=1e-4)
        boxes = answer.boxes_xyxy_px if answer.zoomed else []
        assert row["boxes_px_xyxy"] == [list(box) for box in boxes]
        usage = answer.usage
        told = (row["source_tokens"], row["roi_tokens"], row["new_tokens"])
        assert told == (usage["visual_tokens"], usage["roi_tokens"], usage["new_tokens"])
        assert row["seconds"]["total"] > 0
    assert sum(row["task"] == "toy_text" for row in asked.log) == 2


@dataclass
class Request:
    """A request as lmms-eval hands it over."""

    args: tuple[Any, ...]


def requests(model: Any, docs: list[Any], kwargs: dict[str, Any] | None = None) -> list[Request]:
    """A request for each document, whose picture is the document itself."""
    model.task_dict["toy"] = {"test": docs}
    given = {"max_new_tokens": 4, "until": ["\n\n"]} if kwargs is None else kwargs
    return [
        Request(("what is shown?", dict(given), lambda doc: [doc], place, "toy", "test"))
        for place in range(len(docs))
    ]


def made(arguments: str, **options: Any) -> Any:
    from qzoom.eval.adapters.lmms_eval import QzoomModel

    return QzoomModel.create_from_arg_string(arguments, options)


def test_arguments_of_the_command_are_the_fields_of_the_adapter() -> None:
    model = made("max_cells=48,zoom=never,batch_size=3", batch_size="1", device=None)
    assert (model.batch_size, model.model.pipeline.budget_cells[1]) == (3, 48)
    assert made("", batch_size="2", max_batch_size=None, device="cpu").batch_size == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("zom=auto", r"unknown model argument 'zom'; known: pretrained, .* zoom, "),
        ("pretrained=/no/such/folder", "no/such/folder"),
        ("effort=low,gate_threshold=0.5", "both say when to zoom"),
    ],
)
def test_wrong_arguments_end_the_run_before_it_begins(arguments: str, message: str) -> None:
    with pytest.raises(QZoomError, match=message):
        made(arguments)


def test_scoring_continuations_is_not_there() -> None:
    model = made("zoom=never")
    with pytest.raises(NotImplementedError, match="not by scoring continuations; choose a task"):
        model.loglikelihood([])
    with pytest.raises(NotImplementedError, match="not by dialogues of several rounds"):
        model.generate_until_multi_round([])


def test_a_document_that_cannot_be_asked_is_named(tmp_path: Path) -> None:
    model = made("zoom=never")
    with pytest.raises(DataError, match="toy, test, document 0: a visual is a dict; qzoom reads"):
        model.generate_until(requests(model, [{"array": []}]))
    with pytest.raises(ImageError, match=r"toy, test, document 0: .*clip\.mp4"):
        model.generate_until(requests(model, [str(tmp_path / "clip.mp4")]))


def test_sampled_repeats_differ_and_come_back_under_the_same_seed() -> None:
    import torch

    model = made("zoom=never,batch_size=4")
    kwargs = {"max_new_tokens": 8, "temperature": 2.0}
    asked = requests(model, [picture(100, 80)] * 6, kwargs)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append([result.text for result in model.generate_until(asked)])
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) > 1


def test_the_weights_go_when_the_harness_is_done_and_come_back_when_asked() -> None:
    model = made("zoom=never")
    asked = requests(model, [picture(100, 80)])
    first = model.generate_until(asked)
    model.clean()
    assert "model" not in vars(model)
    again = model.generate_until(asked)
    assert (first[0].text, first[0].token_counts) == (again[0].text, again[0].token_counts)
    assert first[0].token_counts.output_tokens >= 1
