"""Post-SFT on tiny models: the engine's own logits, what moves, and that it resumes."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import ANY_REGION, counting, recording_logits
from tests.train.parts import moved, snapshot
from tests.train.sft_parts import (
    RECIPE,
    dictated,
    fresh_model,
    samples,
    settings,
    stage_of,
    write_pictures,
)

from qzoom.errors import ConfigError
from qzoom.train.loader import Batch
from qzoom.train.loop import run_stage
from qzoom.train.metrics import read_metrics
from qzoom.train.pictures import none_left
from qzoom.train.sft_samples import SftSample
from qzoom.train.sft_stage import SftStage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root)
    return root


@pytest.mark.parametrize(
    "fields", [{}, {"align_roi_positions": False}, {"max_crop_cells": 12}], ids=str
)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_the_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch, family: Family, fields: dict[str, Any]
) -> None:
    """Each row of a ragged batch against the same question asked alone, with its answer dictated.

    A threshold inside the random maps gives boxes that are smaller than the picture.
    """
    model = fresh_model(family, **fields)
    asked = [("0.png", "what is that?", "281"), ("2.png", "which word is on the red sign?", "owl")]
    taught, wanted = [], []
    for look in ("always", "never"):
        for image, question, answer in asked:
            ids = [*model.require_tokenizer()(answer).input_ids, 2]
            roi_threshold = _threshold_inside(folder, family, image, question)
            with recording_logits(model) as steps, dictated(monkeypatch, ids):
                options = {"zoom": look, "roi_threshold": roi_threshold, "max_new_tokens": len(ids)}
                (told,) = model.ask_many([(str(folder / image), question)], **options)
            assert told.token_ids == ids
            box = told.boxes_xyxy_px[0] if told.boxes_xyxy_px else None
            assert (box is not None) == (look == "always")
            taught.append(SftSample(f"{len(taught)}", image, question, answer, box))
            wanted += steps
    stage = stage_of(folder, model, taught=taught)
    with torch.no_grad():
        forced = stage.forced(stage.pack(taught))
    torch.testing.assert_close(forced.logits_tv, torch.cat(wanted), rtol=1e-4, atol=1e-4)
    assert forced.labels_t.tolist()[-1] == 2
    # The crop matters, so that equality above says something.
    direct = [dataclasses.replace(sample, crop_px_xyxy=None) for sample in taught[:1]]
    with torch.no_grad():
        without = stage.forced(stage.pack(direct)).logits_tv
    assert not torch.allclose(without[0], forced.logits_tv[0], atol=1e-2)


def _threshold_inside(folder: Path, family: Family, image: str, question: str) -> float:
    model = fresh_model(family)
    (told,) = model.ask_many(
        [(str(folder / image), question)], zoom="always", max_new_tokens=1, **ANY_REGION
    )
    assert told.heatmap is not None
    return float(told.heatmap.flatten().sort(descending=True).values[3])


def test_each_look_is_encoded_once(folder: Path) -> None:
    model = fresh_model()
    stage = stage_of(folder, model)
    batch = stage.pack(samples())
    # Pictures 0, 1 under a budget of 30 cells and 2; crops of a and b together, of e, of f.
    with counting(model) as counts:
        stage.loss(batch)
    assert counts.images == 6
    assert batch["picture"].tolist() == [0, 0, 0, 2, 2, 4]
    assert batch["crop"].tolist() == [1, 1, -1, -1, 3, 5]
    cells = batch["grid_thw"][:, 1] * batch["grid_thw"][:, 2] // 4
    assert cells[2] <= 30 < cells[0]


def test_a_batch_is_the_mean_of_its_samples(folder: Path) -> None:
    stage = stage_of(folder)
    together, _ = stage.loss(stage.pack(samples()))
    alone = [(stage.forced(stage.pack([sample])), sample) for sample in samples()]
    tokens = sum(len(forced.labels_t) for forced, _ in alone)
    total = sum(
        torch.nn.functional.cross_entropy(forced.logits_tv, forced.labels_t, reduction="sum")
        for forced, _ in alone
    )
    torch.testing.assert_close(together, total / tokens, rtol=1e-5, atol=1e-5)


def test_exact_counts_whole_answers(folder: Path) -> None:
    stage = stage_of(folder)
    batch = stage.pack(samples())
    forced = stage.forced(batch)
    _, before = stage.loss(batch)
    assert before == {"exact_zoomed": 0.0, "exact_direct": 0.0}
    # With the first answer's tokens on top, one of four zoomed answers is exact.
    logits = torch.zeros_like(forced.logits_tv)
    mine = forced.prompt_t == 0
    logits[mine, forced.labels_t[mine]] = 1.0
    logits[~mine, (forced.labels_t[~mine] + 1)] = 1.0
    stage.forced = lambda _: dataclasses.replace(forced, logits_tv=logits)  # type: ignore[method-assign]
    _, after = stage.loss(batch)
    assert after == {"exact_zoomed": 0.25, "exact_direct": 0.0}


class Stopping(SftStage):
    """Ends before step 5, once a state has been saved."""

    def make_batch(self, step: int) -> Batch:
        if step == 5:
            raise RuntimeError("stopped")
        return super().make_batch(step)


def test_a_stopped_training_goes_on_with_the_same_losses(folder: Path, tmp_path: Path) -> None:
    whole = stage_of(folder)
    run_stage(whole, whole.modules, settings(8), tmp_path / "whole")
    half = Stopping(fresh_model(), samples(), whole.images, RECIPE)
    with pytest.raises(RuntimeError, match="stopped"):
        run_stage(half, half.modules, settings(8), tmp_path / "parts")
    rest = stage_of(folder)
    run_stage(rest, rest.modules, settings(8), tmp_path / "parts")
    lines = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    losses = [[line["loss"] for line in each] for each in lines]
    assert losses[0] == losses[1]
    assert sum(losses[0][-3:]) < 0.8 * sum(losses[0][:3])
    for name, module in whole.modules.items():
        assert not moved(rest.modules[name], snapshot(module)), name


def test_what_cannot_be_taught_says_so(folder: Path) -> None:
    plain = fresh_model(region=False)
    with pytest.raises(ConfigError, match="plain backbone and looks at no crop"):
        stage_of(folder, plain)
    direct = [sample for sample in samples() if sample.crop_px_xyxy is None]
    assert stage_of(folder, plain, taught=direct).pack(direct)["crop"].tolist() == [-1, -1]
    outside = [SftSample("x", "0.png", "what?", "owl", (10, 10, 900, 50))]
    counts = stage_of(folder, taught=outside).make_batch(0)
    assert none_left(counts)
    assert re.search(r"image '0\.png': .*leaves 0\.\.261 by 0\.\.199 px", str(counts["bad_reason"]))


def test_bad_pictures_and_crops_are_left_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "1.png").write_bytes(b"no picture")
    outside = SftSample("x", "0.png", "what?", "owl", (10, 10, 900, 50))
    asked = [*samples(), outside, SftSample("y", "gone.png", "what?", "owl")]
    batch = stage_of(tmp_path, taught=asked).pack(asked)
    assert (int(batch["images"]), int(batch["bad_images"])) == (8, 4)
    good = [sample for sample in samples() if sample.image != "1.png"]
    assert batch["sample_ids"].tolist() == [sample.id for sample in good]
    whole = stage_of(folder)
    wanted = whole.pack(good)
    assert batch["loss_weight"] == wanted["loss_weight"] == wanted["targets"].sum()
    torch.testing.assert_close(whole.loss(batch), whole.loss(wanted))
