"""The report on a gate: a gate that says what is so, one that is too sure, and its pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from qzoom import plotting
from qzoom.errors import ConfigError, LabelError
from qzoom.labels.calibration_report import calibration_report
from qzoom.labels.operating_points import RoutedOutcome
from qzoom.labels.reliability_plot import PICTURES, save_reliability


def outcomes(sharpen: float = 1.0) -> list[RoutedOutcome]:
    """Questions of which the share p is mended, for p from 0.1 to 0.9; the gate says p, sharper."""

    def said(p: float) -> float:
        odds = (p / (1 - p)) ** sharpen
        return odds / (1 + odds)

    found = [RoutedOutcome(0.5, False, False), RoutedOutcome(said(0.2), True, False)]
    for tenth in range(1, 10):
        found += [RoutedOutcome(said(tenth / 10), place >= tenth, True) for place in range(10)]
    return found


def test_counts_and_figures() -> None:
    report = calibration_report(outcomes())
    assert report.counts == {
        "questions": 92, "direct_right": 46, "zoom_right": 90, "mended": 45, "spoiled": 1,
        "neither_right": 1,
    }  # fmt: skip
    assert report.temperature == pytest.approx(1.0, abs=0.05)
    assert report.before.ece < 0.03
    pairs = [
        (one.probability > other.probability) + (one.probability == other.probability) / 2
        for one in outcomes()
        for other in outcomes()
        if not one.direct_right and one.zoom_right and other.direct_right
    ]
    assert report.auroc == pytest.approx(sum(pairs) / len(pairs))
    assert sum(own.count for own in report.before.bins) == 91
    assert (report.never.zoomed, report.always.zoomed) == (0, 1)
    assert report.never.accuracy == pytest.approx(46 / 92)
    levels = report.levels
    assert levels["low"].zoomed <= 0.2
    assert report.thresholds == {name: point.threshold for name, point in levels.items()}


def test_a_gate_that_is_too_sure_is_cooled_down() -> None:
    report = calibration_report(outcomes(sharpen=3.0))
    assert report.temperature == pytest.approx(3.0, rel=0.05)
    assert report.after.ece < 0.03 < 0.1 < report.before.ece
    assert report.after.log_loss < report.before.log_loss
    exact = calibration_report(outcomes())
    assert report.auroc == exact.auroc
    # The same questions zoom: the temperature changes no order.
    assert [p.zoomed for p in report.levels.values()] == [p.zoomed for p in exact.levels.values()]
    points, same = (each.to_json()["operating_points"] for each in (report, exact))
    for name in ("low", "medium", "high"):
        calibrated = points[name]["calibrated_threshold"]
        assert calibrated == pytest.approx(same[name]["calibrated_threshold"], abs=0.06)
        assert points[name]["threshold"] == report.thresholds[name]
    json.dumps(report.to_json(), allow_nan=False)


@pytest.mark.parametrize("right", [True, False])
def test_one_kind_of_question_is_not_enough(right: bool) -> None:
    same = [RoutedOutcome(0.5, right, True)] * 4
    with pytest.raises(LabelError, match=r"of 4 questions . are right directly .* both kinds"):
        calibration_report(same)


def test_pictures_are_written_and_repeat(tmp_path: Path) -> None:
    report = calibration_report(outcomes(2.0))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_reliability(report, tmp_path / name)
    assert [path.name for path in sorted((tmp_path / "one").iterdir())] == sorted(PICTURES)
    for name in PICTURES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    width, height = Image.open(tmp_path / "one/reliability.png").size
    assert min(width, height) > 600


def test_a_missing_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(plotting, "import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'qzoom\[train\]'"):
        plotting.require_matplotlib()
