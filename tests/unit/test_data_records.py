"""The record schema: what it holds comes back, what it does not hold is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qzoom.data.records import Record, Turn, record_from_json, to_json
from qzoom.errors import DataError, QZoomError

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)
NAME = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
EDGE = st.integers(0, 500)
BOX = st.builds(
    lambda x, y, w, h: (x / 4, y / 4, x / 4 + w, y / 4 + h), EDGE, EDGE, *[st.integers(1, 99)] * 2
)
TURN = st.builds(
    Turn, TEXT, st.lists(TEXT, max_size=3).map(tuple), st.lists(BOX, max_size=2).map(tuple)
)
RECORD = st.builds(
    Record,
    id=TEXT,
    images=st.lists(
        st.lists(NAME, min_size=1, max_size=3).map("/".join), min_size=1, max_size=3
    ).map(tuple),
    turns=st.lists(TURN, min_size=1, max_size=3).map(tuple),
    dataset=TEXT,
    mode=st.sampled_from(("textual", "natural")),
    licence=TEXT,
    source=TEXT,
    split=st.none() | TEXT,
)
PLAIN = {
    "schema": 1,
    "id": "a",
    "images": ["a.png"],
    "turns": [{"question": "What?", "answers": ["owl"], "boxes_px_xyxy": [[1, 2, 3, 4.5]]}],
    "dataset": "d",
    "mode": "textual",
    "licence": "CC0-1.0",
    "source": "here",
}


def turn(**changes: object) -> dict[str, object]:
    return PLAIN | {"turns": [PLAIN["turns"][0] | changes]}


@given(RECORD)
def test_records_come_back_equal_through_json(record: Record) -> None:
    line = json.dumps(to_json(record), ensure_ascii=False, allow_nan=False)
    assert record_from_json(json.loads(line), "here") == record


def test_a_plain_record() -> None:
    record = record_from_json(PLAIN, "here")
    assert record.turns[0].boxes_px_xyxy == ((1, 2, 3, 4.5),)
    assert record.split is None
    assert to_json(record) == PLAIN


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ([], "must be a JSON object, got []"),
        (PLAIN | {"imags": []}, "unknown key 'imags'; did you mean 'images'?"),
        (PLAIN | {"zzz": 1}, "unknown key 'zzz'; known: schema, id"),
        ({k: v for k, v in PLAIN.items() if k != "licence"}, "'licence' is missing"),
        ({k: v for k, v in PLAIN.items() if k != "schema"}, "'schema' is missing"),
        (PLAIN | {"schema": 2}, "schema must be 1, got 2"),
        (PLAIN | {"schema": True}, "schema must be 1, got True"),
        (PLAIN | {"id": 7}, "id must be text, got 7"),
        (PLAIN | {"id": " "}, "id is empty"),
        (PLAIN | {"id": "\ud800"}, "lone surrogate"),
        (PLAIN | {"mode": "both"}, "mode must be 'textual' or 'natural', got 'both'"),
        (PLAIN | {"mode": ["textual"]}, "mode must be 'textual' or 'natural'"),
        (PLAIN | {"split": 1}, "split must be text, got 1"),
        (PLAIN | {"images": []}, "at least one image and one turn"),
        (PLAIN | {"turns": []}, "at least one image and one turn"),
        (PLAIN | {"images": "a.png"}, "images must be a list, got 'a.png'"),
        (PLAIN | {"images": [1]}, "images[0] must be text, got 1"),
        (PLAIN | {"turns": ["What?"]}, "turns[0] must be a JSON object"),
        (turn(question=""), "turns[0].question is empty"),
        (turn(question=None), "turns[0].question must be text, got None"),
        (turn(answer="owl"), "turns[0] has an unknown key 'answer'; did you mean 'answers'?"),
        (turn(answers="owl"), "turns[0].answers must be a list"),
        (turn(answers=["owl", ""]), "turns[0].answers[1] is empty"),
        (turn(boxes_px_xyxy=[1, 2, 3, 4]), "boxes_px_xyxy[0] must be a list, got 1"),
        (turn(boxes_px_xyxy=[[1, 2, 3]]), "boxes_px_xyxy[0] must have 4 numbers"),
        (turn(boxes_px_xyxy=[[3, 2, 1, 4]]), "boxes_px_xyxy[0] must have x1 < x2 and y1 < y2"),
        (turn(boxes_px_xyxy=[[1, 2, 1, 4]]), "must have x1 < x2"),
        (turn(boxes_px_xyxy=[[1, 2, 3, float("nan")]]), "must be a finite number, got nan"),
        (turn(boxes_px_xyxy=[[1, 2, 10**400, 4]]), "must be a finite number"),
        (turn(boxes_px_xyxy=[[1, 2, "3", 4]]), "must be a finite number, got '3'"),
        (turn(boxes_px_xyxy=[[1, 2, True, 4]]), "must be a finite number, got True"),
    ],
)
def test_bad_records_fail_in_one_line_that_names_the_field(obj: object, message: str) -> None:
    with pytest.raises(DataError) as caught:
        record_from_json(obj, "train.jsonl:7")
    text = str(caught.value)
    assert text.startswith("train.jsonl:7: ")
    assert message in text
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../a.png", "a/../../b.png", "a//b.png", "./a.png", "a\\b.png", "C:/a.png",
     "http://host/a.png", "data:image/png;base64,x", "a\0.png", "a/", "", "x" * 2000],
)  # fmt: skip
def test_paths_that_could_leave_the_root_are_refused(path: str) -> None:
    with pytest.raises(DataError, match=r"images\[0\]"):
        record_from_json(PLAIN | {"images": [path]}, "here")


def test_long_values_are_shortened() -> None:
    with pytest.raises(DataError) as caught:
        record_from_json(PLAIN | {"mode": "x" * 10**6}, "here")
    assert len(str(caught.value)) < 200
    with pytest.raises(DataError) as caught:
        record_from_json(PLAIN | {"x" * 10**6: 1}, "here")
    assert len(str(caught.value)) < 300


def test_the_error_is_one_of_ours() -> None:
    assert issubclass(DataError, QZoomError)
