"""Pictures that vanish or break between labelling and training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.tiny_chat import chat_checkpoint
from tests.train.parts import moved, snapshot

from qzoom.errors import CheckpointError, DataError, QZoomError
from qzoom.train.gate_stage import GateLook, GateStage
from qzoom.train.label_index import LabelIndex
from qzoom.train.loader import Batch
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.metrics import read_metrics
from qzoom.train.optim import OptimSettings
from qzoom.train.pictures import PictureTally, none_left, pictures_of
from qzoom.train.region_stage import RegionStage
from qzoom.train.step_report import samples_of, weight_of
from qzoom.zoom.model import ZoomModel

OPTIM = OptimSettings(muon_lr=0.0, adamw_lr=1e-3, warmup_steps=1, decay_steps=1)


def loop(steps: int, **fields: Any) -> LoopSettings:
    kept = {"workers": 0, "most_bad": 1.0, "log_every": 1, "save_every": 3} | fields
    return LoopSettings(steps=steps, bf16=False, optim=OPTIM, **kept)


def stage_on(root: Path, batch_size: int = 3, kind: type[RegionStage] = RegionStage) -> RegionStage:
    model = ZoomModel(chat_checkpoint("qwen3_vl", eos=None))
    return kind(model, LabelIndex.open(root / "labels"), root, batch_size, seed=1)


@pytest.fixture
def spoilt(labelled: Path, tmp_path: Path) -> Path:
    """The labelled pictures, of which one is gone, one cut off, and one a strip no model takes."""
    root = tmp_path / "spoilt"
    shutil.copytree(labelled, root)
    (root / "0.png").unlink()
    (root / "1.png").write_bytes((root / "1.png").read_bytes()[:200])
    Image.new("RGB", (2100, 2)).save(root / "2.png")
    return root


def test_bad_pictures_leave_their_batch_and_nothing_else(labelled: Path, spoilt: Path) -> None:
    whole, left = stage_on(labelled, 8), stage_on(spoilt, 8)
    batch = left.make_batch(0)
    assert (int(batch["images"]), int(batch["bad_images"])) == (8, 6)
    drawn = whole.index.batch(0, 8, seed=1)
    good = [dialogue for dialogue in drawn if dialogue[0].image == "3.png"]
    object.__setattr__(whole, "index", LabelIndex(whole.index.settings, tuple(good)))
    whole.batch_size = 2
    alone = whole.make_batch(0)
    assert sorted(batch["lengths"].tolist()) == sorted(alone["lengths"].tolist())
    torch.testing.assert_close(left.loss(batch)[0], whole.loss(alone)[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_they_are_counted_and_a_step_without_any_is_passed_over(
    spoilt: Path, tmp_path: Path, workers: int
) -> None:
    stage = stage_on(spoilt, 1)
    before = snapshot(stage.parts.add_on.region)  # type: ignore[union-attr]
    run_stage(stage, stage.modules, loop(8, workers=workers), tmp_path / "run")
    assert moved(stage.parts.add_on.region, before)  # type: ignore[union-attr]
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    counts = [line["bad_images"] for line in lines]
    assert counts[-1] == 6
    assert counts == sorted(counts)
    learnt = [now == then for now, then in zip(counts, [0, *counts], strict=False)]
    assert ["loss" in line for line in lines] == learnt


class Stopping(RegionStage):
    """Ends before step 5, after a state of step 3."""

    def make_batch(self, step: int) -> Batch:
        if step == 5:
            raise QZoomError("stopped")
        return super().make_batch(step)


def test_a_stopped_training_goes_on_counting(spoilt: Path, tmp_path: Path) -> None:
    settings = loop(8, log_every=2)
    whole, half, rest = (stage_on(spoilt, 2, kind) for kind in (RegionStage, Stopping, RegionStage))
    run_stage(whole, whole.modules, settings, tmp_path / "whole")
    with pytest.raises(QZoomError, match="stopped"):
        run_stage(half, half.modules, settings, tmp_path / "parts")
    run_stage(rest, rest.modules, settings, tmp_path / "parts")
    lines = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    for line in [*lines[0], *lines[1]]:
        del line["s_per_step"]
    assert lines[0] == lines[1]
    assert lines[0][-1]["bad_images"] == 12


@pytest.mark.parametrize("workers", [0, 1])
def test_above_the_limit_the_training_stops(spoilt: Path, tmp_path: Path, workers: int) -> None:
    stage = stage_on(spoilt, 2)
    with pytest.raises(DataError) as caught:
        run_stage(stage, stage.modules, loop(40, most_bad=0.05, workers=workers), tmp_path / "run")
    text = str(caught.value)
    assert text.startswith("6 of ")
    assert " pictures are bad (limit 5%), such as: " in text
    assert ".png" in text
    assert "\n" not in text


def test_a_short_training_is_held_to_the_limit_at_its_end(spoilt: Path, tmp_path: Path) -> None:
    stage = stage_on(spoilt, 4)
    with pytest.raises(DataError, match=r"6 of 8 pictures are bad \(limit 50%\)"):
        run_stage(stage, stage.modules, loop(2, most_bad=0.5), tmp_path / "run")


def test_the_gate_leaves_them_out_too(labelled: Path, spoilt: Path) -> None:
    looks = [GateLook(f"{n}.png", "what is that?", n % 2, (20, 20)) for n in range(4)]
    model = ZoomModel(chat_checkpoint("qwen3_vl"))
    left = GateStage(model, lambda step: looks, spoilt)
    batch = left.make_batch(0)
    assert (int(batch["images"]), int(batch["bad_images"])) == (4, 3)
    assert (weight_of(batch), samples_of(batch)) == (1.0, ("3.png",))
    alone = GateStage(model, lambda step: looks[3:], labelled)
    torch.testing.assert_close(left.loss(batch)[0], alone.loss(alone.make_batch(0))[0])
    nothing = GateStage(model, lambda step: looks[:2], spoilt)
    assert none_left(nothing.make_batch(0))


def test_no_folder_of_pictures(labelled: Path, tmp_path: Path) -> None:
    model = ZoomModel(chat_checkpoint("qwen3_vl"))
    with pytest.raises(DataError, match="no image folder at"):
        GateStage(model, lambda step: [], tmp_path / "gone")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_is_named_in_one_line(
    spoilt: Path, tmp_path: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = stage_on(spoilt, 8)
    for shard in (spoilt / "labels").glob("*.safetensors"):
        shard.write_bytes(shard.read_bytes()[:40])
    with pytest.raises(CheckpointError, match=r"shard-0000\d\.jsonl is damaged: .*; delete it"):
        run_stage(stage, stage.modules, loop(2, workers=workers), tmp_path / "run")
    assert "Traceback" not in capfd.readouterr().err


def test_micro_batches_without_a_picture_add_nothing(spoilt: Path, tmp_path: Path) -> None:
    whole, parts = stage_on(spoilt, 8), stage_on(spoilt, 1)
    # Six of the eight micro-batches of every step have no usable picture.
    run_stage(whole, whole.modules, loop(3), tmp_path / "whole")
    run_stage(parts, parts.modules, loop(3, accumulate=8), tmp_path / "parts")
    lines = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    losses = [[line["loss"] for line in each] for each in lines]
    assert losses[1] == pytest.approx(losses[0], abs=2e-4)
    assert [line["bad_images"] for line in lines[1]] == [6, 12, 18]
    for name, value in snapshot(whole.modules["region"]).items():
        found = parts.modules["region"].state_dict()[name]
        torch.testing.assert_close(found, value, atol=2e-5, rtol=1e-3)


def test_stages_that_draw_their_own_pictures_count_none() -> None:
    tally = PictureTally(0.0)
    tally.add(pictures_of({}))
    tally.check(last=True)
    assert tally.metrics() == {}
    assert not none_left({})
