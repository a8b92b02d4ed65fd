"""Answers to a pool: resumed, counted, repaired."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from tests.unit.labels_pool import FakeAnswerer, Record, pool, row, write_rows

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.answer_rows import AnswerIndex, AnswerRow, read_answers
from qzoom.labels.answers import AnswerReport, AnswerRun, answer_pool
from qzoom.labels.failures import FailureLimit
from qzoom.labels.jsonl import encode_row

RUN = AnswerRun(batch_size=4, sync_every=8)


def ids(path: Path) -> list[str]:
    return [answer.id for answer in read_answers(path)]


def test_every_record_is_answered_in_order(tmp_path: Path) -> None:
    answer, path = FakeAnswerer(), tmp_path / "answers.jsonl"
    seen: list[int] = []
    report = answer_pool(pool(10), answer, path, RUN, lambda report: seen.append(report.answered))
    assert report == AnswerReport(records=10, answered=10)
    assert ids(path) == [record.id for record in pool(10)]
    assert (answer.sizes, seen) == ([4, 4, 2], [4, 8, 10])
    assert next(iter(read_answers(path))) == row("q0", "what is 0?!", zoomed=True)
    again = FakeAnswerer()
    assert answer_pool(iter(pool(12)), again, path, RUN) == AnswerReport(12, known=10, answered=2)
    assert again.sizes == [2]


def test_a_killed_run_ends_with_the_same_file(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    answer_pool(pool(30), FakeAnswerer(), whole, RUN)
    for batches in (0, 3, 1):
        with pytest.raises(KeyboardInterrupt):
            answer_pool(pool(30), FakeAnswerer(batches=batches), path, RUN)
    assert len(ids(path)) == 16
    answer_pool(pool(30), FakeAnswerer(), path, RUN)
    assert path.read_bytes() == whole.read_bytes()


def test_a_file_cut_anywhere_ends_the_same(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    answer_pool(pool(20), FakeAnswerer(), path, RUN)
    whole = path.read_bytes()
    rng = Random(2)
    for cut in [0, len(whole) - 1, *rng.sample(range(len(whole)), 20)]:
        path.write_bytes(whole[:cut])
        report = answer_pool(pool(20), FakeAnswerer(), path, RUN)
        assert report.known == whole[:cut].count(b"\n")
        assert path.read_bytes() == whole


def test_bad_images_are_left_out_and_tried_again(tmp_path: Path) -> None:
    records = pool(10)
    records[5] = replace(records[5], images=("bad.png",))
    path = tmp_path / "answers.jsonl"
    report = answer_pool(records, FakeAnswerer(), path, RUN)
    assert (report.answered, report.failed) == (9, 1)
    assert report.reasons == ("q5: bad.png is not an image",)
    assert ids(path) == [f"q{i}" for i in range(10) if i != 5]
    answer_pool(pool(10), FakeAnswerer(), path, RUN)
    assert ids(path)[-1] == "q5"


def test_too_many_failures_stop_the_run(tmp_path: Path) -> None:
    records = [replace(record, images=("bad.png",)) for record in pool(50)]
    run = replace(RUN, limit=FailureLimit(0.2, least=20))
    with pytest.raises(LabelError) as caught:
        answer_pool(records, FakeAnswerer(), tmp_path / "answers.jsonl", run)
    assert str(caught.value) == (
        "8 of 8 records cannot be answered, over the limit of 20%; "
        "the last: q7: bad.png is not an image"
    )


def test_other_settings_need_another_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    answer_pool(pool(2), FakeAnswerer(), path)
    with pytest.raises(ConfigError, match="made with cells=64, not 256; give another file"):
        answer_pool(pool(3), FakeAnswerer({"model": "fake", "cells": 256}), path)


def test_ids_must_differ_and_come_back(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="two records of the pool have the id 'q1'; rename one"):
        answer_pool([*pool(2), Record("q1")], FakeAnswerer(), tmp_path / "a.jsonl")

    class Mixed(FakeAnswerer):
        def __call__(self, batch):
            return super().__call__(batch)[::-1]

    with pytest.raises(LabelError, match="do not bear their ids in order"):
        answer_pool(pool(2), Mixed(), tmp_path / "b.jsonl")
    with pytest.raises(ConfigError, match="batch_size is 0; it must be at least 1"):
        AnswerRun(batch_size=0)


def test_rows_are_found_by_id(tmp_path: Path) -> None:
    box = row("b", "\u00fc\n", gate_probability=0.25, box_px_xyxy=(1, 2, 3, 4))
    path = write_rows(tmp_path / "rows.jsonl", [row("a"), box, row("c")])
    with AnswerIndex(path) as index:
        assert len(index) == 3
        assert "d" not in index
        assert (index["c"], index["b"], index["a"]) == (row("c"), box, row("a"))


def test_files_that_are_not_answers(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [row("a"), row("a")])
    with pytest.raises(LabelError, match="answers question 'a' twice; delete one line"):
        AnswerIndex(path)
    for change, message in [
        ({"cells": "many"}, "holds a row with cells='many'; is it a file of answers"),
        ({"zoomed": None}, "zoomed=None"),
        ({"box_px_xyxy": [1, 2]}, r"box_px_xyxy=\[1, 2\]; give 4 numbers"),
    ]:
        path.write_bytes(encode_row(row("a").to_json() | change))
        with pytest.raises(LabelError, match=message):
            list(read_answers(path))
    path.write_bytes(encode_row({"id": "a"}))
    with pytest.raises(LabelError, match="holds a row with no question"):
        list(read_answers(path))


def test_a_row_survives_json(tmp_path: Path) -> None:
    wanted = AnswerRow("a", "q", "p.png", 3, "t", True, 1.0, (0, 0, 5, 5), "m")
    assert list(read_answers(write_rows(tmp_path / "rows.jsonl", [wanted]))) == [wanted]
