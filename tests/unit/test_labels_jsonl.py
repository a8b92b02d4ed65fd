"""JSON lines that survive a kill."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random

import pytest

from qzoom.data.files import replacing
from qzoom.errors import ConfigError, LabelError
from qzoom.labels.batches import in_batches
from qzoom.labels.jsonl import (
    JsonlLog,
    encode_row,
    read_row_at,
    read_rows,
    same_settings,
    write_json,
)

ROWS = [{"id": f"q{i}", "text": "ü\u2028\n" * i} for i in range(20)]


def rows_of(path: Path) -> list[dict[str, object]]:
    return [row for _, row in read_rows(path)]


def write(path: Path, rows: list[dict[str, object]]) -> None:
    with JsonlLog(path, sync_every=8) as log:
        for row in rows:
            log.append(row)


def test_rows_come_back_and_can_be_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    write(path, ROWS[:10])
    write(path, ROWS[10:])
    assert rows_of(path) == ROWS
    offsets = [offset for offset, _ in read_rows(path)]
    with path.open("rb") as file:
        assert [read_row_at(file, offset, path) for offset in reversed(offsets)] == ROWS[::-1]


def test_a_file_cut_anywhere_goes_on_from_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, ROWS)
    whole = path.read_bytes()
    rng = Random(0)
    for cut in [0, 1, len(whole) - 1, *rng.sample(range(len(whole)), 25)]:
        path.write_bytes(whole[:cut])
        kept = rows_of(path)
        assert kept == ROWS[: len(kept)]
        write(path, ROWS[len(kept) :])
        assert path.read_bytes() == whole


def test_a_long_line_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(encode_row({"a": 1}) + b"x" * 300_000)
    JsonlLog(path).close()
    assert path.read_bytes() == encode_row({"a": 1})
    path.write_bytes(b"x" * 300_000)
    JsonlLog(path).close()
    assert path.read_bytes() == b""


def test_rows_are_there_before_the_file_is_closed(tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "rows.jsonl", sync_every=1000)
    log.append({"a": 1})
    assert rows_of(log.path) == [{"a": 1}]
    log.close()
    log.close()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "rows.jsonl"
    with JsonlLog(path) as log:
        log.append({"a": 1})
        with pytest.raises(LabelError, match="being written by another run"):
            JsonlLog(path)
    JsonlLog(path).close()
    assert rows_of(path) == [{"a": 1}]


@pytest.mark.parametrize("line", [b"{\n", b"[1]\n", b"\xff\n", b"\n", b"[" * 200_000 + b"\n"])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'{"a": 2}\n')
    with pytest.raises(LabelError, match=r"line 2 is no JSON object; delete that line"):
        rows_of(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="cannot be read: No such file"):
        rows_of(tmp_path / "rows.jsonl")


def test_what_json_cannot_hold(tmp_path: Path) -> None:
    for value in (math.nan, object()):
        with pytest.raises(LabelError, match="cannot be written as JSON"):
            encode_row({"a": value})
    lone = {"a": "\ud800 ü"}
    assert json.loads(encode_row(lone)) == lone


def test_whole_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out" / "rows.jsonl"

    def fail_half_way() -> None:
        with replacing(path, resumable=True) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert not path.parent.exists()
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError):
        fail_half_way()
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_settings_are_kept_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    same_settings(path, {"model": "m", "cells": (1, 2)})
    same_settings(path, {"cells": [1, 2], "model": "m"})
    with pytest.raises(ConfigError, match="made with model='m', not 'n'; give another file"):
        same_settings(path, {"model": "n", "cells": [1, 2]})
    with pytest.raises(ConfigError, match=r"made with cells=\[1, 2\], not None"):
        same_settings(path, {"model": "m"})
    (tmp_path / "rows.settings.json").write_text("[1]")
    with pytest.raises(LabelError, match=r"rows.settings.json is damaged; delete it along with"):
        same_settings(path, {"model": "m"})


def test_batches_take_no_more_than_they_give() -> None:
    source = iter(range(7))
    batches = in_batches(source, 3)
    assert next(batches) == [0, 1, 2]
    assert next(source) == 3
    assert list(batches) == [[4, 5, 6]]
    with pytest.raises(ConfigError, match="batch size is 0; it must be at least 1"):
        in_batches([], 0)
    with pytest.raises(ConfigError, match="sync_every is 0"):
        JsonlLog(Path("never.jsonl"), sync_every=0)
