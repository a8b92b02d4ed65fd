"""Files of answers read side by side, and a tiny model that fills them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.tiny_chat import ANY_REGION, NO_REGION, chat_checkpoint, chat_model, picture
from tests.unit.labels_pool import FakeAnswerer, Record, row, write_rows

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.answer_files import answer_each
from qzoom.labels.answer_rows import read_answers
from qzoom.labels.answerers import direct_answerer, zoom_answerer
from qzoom.labels.answers import AnswerRun, answer_pool
from qzoom.labels.consistency import Trajectory
from qzoom.labels.gate_samples import GateSample
from qzoom.labels.judge import JudgePrompt
from qzoom.labels.judge_local import model_replier
from qzoom.labels.operating_points import RoutedOutcome
from qzoom.labels.trajectories import (
    answer_trajectory,
    crop_fix_samples,
    read_outcomes,
    read_trajectories,
    trajectory_file,
)
from qzoom.labels.tristate import IGNORE
from qzoom.zoom.model import ZoomModel

RECORDS = [Record(name) for name in "abcd"]


@pytest.fixture(scope="module")
def model() -> ZoomModel:
    return chat_model("qwen3_vl", eos=None, **ANY_REGION)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Records of two pictures on disk and one that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for seed in range(2):
        paths.append(str(folder / f"{seed}.png"))
        picture(seed=seed).save(paths[-1])
    questions = ["what is that?", "what is this?", "where is it?"]
    records = [Record(f"r{i}", (paths[i % 2],), q) for i, q in enumerate(questions)]
    return [*records, Record("gone", (str(folder / "gone.png"),))]


def test_trajectories_are_read_from_a_file_per_budget(tmp_path: Path) -> None:
    path_of = {
        cells: write_rows(
            trajectory_file(tmp_path, cells), [row(name, f"{name} at {cells}") for name in names]
        )
        for cells, names in ((256, "cab"), (64, "abc"), (128, "abcd"))
    }
    found = list(read_trajectories(RECORDS, path_of))
    assert [each.id for each in found] == ["a", "b", "c"]
    answers = ("b at 64", "b at 128", "b at 256")
    assert found[1] == Trajectory("b", (64, 128, 256), answers, ("owl",))


def test_crop_fix_labels_from_files(tmp_path: Path) -> None:
    direct = write_rows(
        tmp_path / "direct.jsonl",
        [row(n, t) for n, t in zip("abcd", ("owl", "cat", "cat", "cat"), strict=True)],
    )
    texts = [("d", "owl", False), ("a", "cat", True), ("b", "the owl", True), ("c", "dog", True)]
    zoomed = write_rows(tmp_path / "zoomed.jsonl", [row(n, t, zoomed=z) for n, t, z in texts])
    labels = [0, 1, IGNORE, IGNORE]
    wanted = [GateSample(name, 64, label) for name, label in zip("abcd", labels, strict=True)]
    assert list(crop_fix_samples(RECORDS, direct, zoomed, 64)) == wanted


def test_outcomes_from_files(tmp_path: Path) -> None:
    direct = write_rows(tmp_path / "direct.jsonl", [row("a", "cat"), row("b", "owl")])
    gated = tmp_path / "gated.jsonl"
    write_rows(gated, [row("b", "cat", gate_probability=0.2), row("a", gate_probability=0.7)])
    assert list(read_outcomes(RECORDS, direct, gated)) == [
        RoutedOutcome(0.7, False, True),
        RoutedOutcome(0.2, True, False),
    ]
    write_rows(gated, [row("a")])
    with pytest.raises(LabelError, match="has no gate probability for 'a'; ask the gate"):
        list(read_outcomes(RECORDS, direct, gated))


def test_a_model_answers_a_pool_directly_and_zoomed(
    model: ZoomModel, asked: list[Record], tmp_path: Path
) -> None:
    direct, zoomed = tmp_path / "direct.jsonl", tmp_path / "zoomed.jsonl"
    report = answer_pool(asked, direct_answerer(model, 32, max_new_tokens=4), direct)
    assert (report.answered, report.failed) == (3, 1)
    assert "gone" in report.reasons[0]
    answer_pool(asked, zoom_answerer(model, 32, max_new_tokens=4), zoomed)
    for plain, closer, record in zip(
        read_answers(direct), read_answers(zoomed), asked, strict=False
    ):
        assert plain.id == closer.id == record.id
        assert plain.image == record.images[0]
        assert 0 < plain.cells == closer.cells <= 32
        assert (plain.zoomed, plain.box_px_xyxy, plain.gate_probability) == (False, None, None)
        assert closer.zoomed
        assert closer.box_px_xyxy is not None
        looked = model.with_budget(max_cells=32).open(record.images[0])
        assert plain.text == looked.ask(record.question, zoom="never", max_new_tokens=4).text
        assert closer.text == looked.ask(record.question, zoom="always", max_new_tokens=4).text
    settings = json.loads((tmp_path / "direct.settings.json").read_text())
    assert (settings["max_cells"], settings["zoom"], settings["gate_threshold"]) == (
        32,
        "never",
        None,
    )


def test_the_gate_can_be_asked_and_still_always_zoom(model: ZoomModel, asked: list[Record]) -> None:
    record = asked[0]
    (found,) = zoom_answerer(model, ask_gate=True, gate_threshold=0.0, max_new_tokens=2)([record])
    assert found.gate_probability is not None
    assert found.zoomed
    (kept,) = zoom_answerer(model, ask_gate=True, gate_threshold=2.0, max_new_tokens=2)([record])
    assert kept.gate_probability == pytest.approx(found.gate_probability)
    assert not kept.zoomed
    nowhere = chat_model("qwen3_vl", eos=None, **NO_REGION)
    (plain,) = zoom_answerer(nowhere, max_new_tokens=2)([record])
    assert not plain.zoomed


def test_a_model_runs_a_trajectory(model: ZoomModel, asked: list[Record], tmp_path: Path) -> None:
    cells = (32, 16, 64)
    run = AnswerRun(batch_size=2)
    reports = answer_trajectory(asked, model, cells, tmp_path, run=run, max_new_tokens=2)
    assert {budget: report.answered for budget, report in reports.items()} == dict.fromkeys(
        cells, 3
    )
    path_of = {budget: trajectory_file(tmp_path, budget) for budget in cells}
    spent = {budget: {a.cells for a in read_answers(path)} for budget, path in path_of.items()}
    assert max(spent[16]) < min(spent[32])
    assert max(spent[32]) < min(spent[64])
    (first, *_) = read_trajectories(asked, path_of)
    assert first.cells == (16, 32, 64)
    again = answer_trajectory(asked, model, cells, tmp_path, run=run, max_new_tokens=2)
    assert [report.known for report in again.values()] == [3, 3, 3]
    with pytest.raises(ConfigError, match=r"budgets \[16, 16\] hold one twice"):
        answer_trajectory(asked, model, [16, 16], tmp_path)


def test_a_model_can_judge(model: ZoomModel) -> None:
    replier = model_replier(model, max_new_tokens=3, batch_size=2)
    prompts = [JudgePrompt("be fair", f"is {i} right?") for i in range(3)]
    replies = list(replier.replies(prompts))
    assert len(replies) == 3
    assert all(isinstance(reply.text, str) for reply in replies)
    assert replies == list(replier.replies(prompts))


def test_answers_to_other_questions_are_noticed(tmp_path: Path) -> None:
    one = write_rows(tmp_path / "one.jsonl", [row("a", question="who?")])
    with pytest.raises(LabelError, match=r"one\.jsonl answers another question under the id 'a'"):
        list(crop_fix_samples(RECORDS, one, one, 64))
    with pytest.raises(LabelError, match="answers another question"):
        list(read_trajectories(RECORDS, {16: one, 32: one, 64: one}))


def test_answers_of_changed_weights_are_not_gone_on_with(
    asked: list[Record], tmp_path: Path
) -> None:
    path, whole = tmp_path / "direct.jsonl", chat_checkpoint("qwen3_vl", eos=None)
    answer_pool(asked[:1], direct_answerer(ZoomModel(whole), max_new_tokens=1), path)
    assert whole.add_on is not None
    assert whole.add_on.gate is not None
    with torch.no_grad():
        whole.add_on.gate.head.bias += 1
    with pytest.raises(ConfigError, match="was made with weights="):
        answer_pool(asked, direct_answerer(ZoomModel(whole), max_new_tokens=1), path)


def test_progress_says_how_far_and_how_long(asked: list[Record], tmp_path: Path) -> None:
    said: list[str] = []
    answerers = {"direct": FakeAnswerer(), "zoomed": FakeAnswerer()}
    answer_each(asked, answerers, tmp_path, say=said.append)
    assert said == [
        "answers direct: 4/4 questions (0 min left)",
        "answers zoomed: 4/4 questions (0 min left)",
    ]
