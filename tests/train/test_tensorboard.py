"""Event files hold the scalars of `metrics.jsonl`, also after a stop."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
from tests.train.toy import SETTINGS, Line
from torch import Tensor

from qzoom.errors import ConfigError
from qzoom.train.loader import Batch
from qzoom.train.loop import run_stage
from qzoom.train.metrics import read_metrics

SHOWN = dataclasses.replace(SETTINGS, tensorboard=True)


class Stopping(Line):
    """Ends before step 5, two steps after its last state."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        if int(batch["step"]) == 5:
            raise KeyboardInterrupt
        return super().loss(batch)


def run(stage: Line, folder: Path) -> None:
    run_stage(stage, {"net": stage.net}, SHOWN, folder)


def test_event_files_hold_the_metrics(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(), tmp_path)
    run(Line(), tmp_path)
    found = events.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    lines = read_metrics(tmp_path / "metrics.jsonl")
    names = set(lines[0]) - {"stage", "step"}
    assert set(found.Tags()["scalars"]) == {f"line/{name}" for name in names}
    for name in ("loss", "gradient_norm", "worst"):
        shown = [(event.step, event.value) for event in found.Scalars(f"line/{name}")]
        assert [step for step, _ in shown] == [line["step"] for line in lines]
        assert [value for _, value in shown] == pytest.approx([line[name] for line in lines])


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"qzoom\[tensorboard\]"):
        run(Line(), tmp_path)
