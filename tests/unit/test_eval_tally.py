"""How answers are counted."""

from __future__ import annotations

from qzoom.eval.tally import Tally
from qzoom.zoom.answer import ZoomAnswer


def answer(crop: tuple[int, int, int, int] | None = None, image: int = 0) -> ZoomAnswer:
    return ZoomAnswer(
        text="x",
        zoomed=crop is not None,
        gate_probability=0.5,
        boxes_xyxy_px=[] if crop is None else [crop],
        heatmap=None,
        image_index=image,
        token_ids=[1],
        usage={"visual_tokens": 60, "roi_tokens": 0 if crop is None else 20},
    )


def test_a_tally_counts_what_was_right_and_what_it_cost() -> None:
    tally = Tally()
    crop = (0, 0, 9, 9)
    tally.add("word", True, answer(crop), [(1, 1, 5, 5)])
    tally.add("number", False, answer(crop), [(1, 1, 5, 50)])
    tally.add("count", True, answer(crop), [])
    tally.add("colour", False, answer(), [(1, 1, 5, 5)])
    report = tally.report()
    assert report["exact_match"] == 0.5
    assert report["questions"] == 4
    assert report["mean_visual_tokens"] == 75.0
    assert report["zoomed"] == 0.75
    # A whole-picture question has nothing to hold.
    assert report["answer_inside_crop"] == 0.5
    assert report["by_kind"] == {"colour": 0.0, "count": 1.0, "number": 0.0, "word": 1.0}
    low, high = report["interval_95"]
    assert low < 0.5 < high


def test_where_a_crop_looked() -> None:
    crop = (0, 0, 100, 100)
    tally = Tally()
    tally.add("a", True, answer(crop), [(90, 0, 100, 10)])
    tally.add("a", True, answer(crop), [(91, 0, 101, 10)])
    tally.add("a", True, answer(crop), [(92, 0, 102, 10)])
    # Every box has to be held, and in the picture that the boxes belong to.
    tally.add("a", True, answer(crop), [(90, 0, 100, 10), (0, 200, 5, 210)])
    tally.add("a", True, answer(crop, image=1), [(90, 0, 100, 10)])
    report = tally.report()
    assert report["answer_inside_crop"] == 0.2
    assert report["answer_mostly_inside_crop"] == 0.4


def test_an_empty_tally() -> None:
    report = Tally().report()
    assert report["exact_match"] is None
    assert report["answer_mostly_inside_crop"] is None
    assert report["interval_95"] == [0.0, 1.0]
    assert report["questions"] == 0
