"""Procedural receipts: what is asked is printed where it is said to be."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import numpy as np
from tests.train.test_pages import only

from qzoom.data.images import ImageFolder
from qzoom.data.jsonl import read_records
from qzoom.data.readers.synth import write_receipts
from qzoom.synth.fonts import face_path
from qzoom.synth.receipts import DATES, FACES, make_receipt
from qzoom.train.pages import Pages, PageSource

SEEDS = range(40)


def test_every_receipt_asks_for_its_total_and_its_date() -> None:
    for seed in SEEDS:
        asked = {q.text: q.answer for q in make_receipt(Random(seed)).questions}
        assert re.fullmatch(r"[0-9,]+\.[0-9]{2}", asked["what is the total?"])
        assert re.fullmatch(
            r"[0-9]{1,8}([ /.-]([0-9]{2}|[A-Za-z]{3})[ /.-][0-9]{2,4})?", asked["what is the date?"]
        )


def test_answers_are_ink_on_the_paper() -> None:
    for seed in SEEDS:
        scene = make_receipt(Random(seed))
        grey = np.asarray(scene.image.convert("L"), np.float32)
        paper = float(np.median(grey))
        for question in scene.questions:
            assert question.box_px_xyxy is not None
            x1, y1, x2, y2 = (round(value) for value in question.box_px_xyxy)
            assert 0 <= x1 < x2 <= scene.image.width
            assert 0 <= y1 < y2 <= scene.image.height
            # Noise alone is even: print is darker in places than all that the paper shows.
            assert paper - float(grey[y1:y2, x1:x2].mean()) > 8


def test_a_question_is_asked_once() -> None:
    for seed in SEEDS:
        texts = [question.text for question in make_receipt(Random(seed)).questions]
        assert len(texts) == len(set(texts))


def test_a_receipt_is_a_function_of_its_seed() -> None:
    one, two = make_receipt(Random(5)), make_receipt(Random(5))
    assert one.questions == two.questions
    assert one.image.tobytes() == two.image.tobytes()
    assert make_receipt(Random(6)).questions != one.questions


def test_faces_and_dates_are_there() -> None:
    assert all(face_path(*face).is_file() for face in set(FACES))
    shown = {date.format(d=1, m=2, y=2019, s=19, name="FEB") for date in DATES}
    assert {"01/02/2019", "01-02-19", "2019-02-01", "01 FEB 2019"} <= shown


def test_receipts_as_pages(tmp_path: Path) -> None:
    path = write_receipts(tmp_path, 3, "test")
    assert [record.dataset for record in read_records(path)] == ["synth_receipt"] * 3
    assert ImageFolder(tmp_path).open("images/receipts-test-000002.png").width > 100
    source = PageSource(str(path), str(tmp_path), answers=r"[0-9,]+\.[0-9]{2}")
    pages = Pages([source])
    assert len(pages) == 3
    _, views = only("window").batch(Random(0), pages)
    answers = {question.answer for view in views for question in view.questions}
    assert answers
    assert all(re.fullmatch(source.answers, answer) for answer in answers)
