"""JSONL and JSON arrays: read piece by piece, damaged places named, files written whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qzoom.data import json_array, jsonl
from qzoom.data.files import new_folder, replacing
from qzoom.data.json_array import scan_array
from qzoom.data.jsonl import read_records, scan_objects, scan_records, write_records
from qzoom.data.records import Record, Turn
from qzoom.errors import DataError


def record(index: int) -> Record:
    turns = (Turn("Wo?", ("Köln",), ((0, 0, 1, 2),)),)
    return Record(f"r{index}", (f"{index}.png",), turns, "d", "natural", "CC0", "here")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.jsonl"
    records = [record(index) for index in range(5)]
    assert write_records(path, records) == 5
    assert list(read_records(path)) == records
    assert [line for line, _ in scan_records(path)] == [1, 2, 3, 4, 5]
    assert "Köln" in path.read_text(encoding="utf-8")
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.jsonl"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_records(path, [record(1)])
    before = path.read_bytes()

    def broken() -> Iterator[Record]:
        yield record(2)
        raise DataError("stop")

    with pytest.raises(DataError, match="stop"):
        write_records(path, broken())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_bom_blank_lines_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_records(path, [record(1), record(2)])
    one, two = path.read_bytes().splitlines()
    path.write_bytes(b"\xef\xbb\xbf" + one + b"\r\n\r\n  \n" + two)
    assert [(line, found.id) for line, found in scan_records(path)] == [(1, "r1"), (4, "r2")]


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_last_line_cut_short_is_a_bad_row(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    write_records(path, [record(1), record(2)])
    path.write_bytes(path.read_bytes()[: -1 - cut])
    (_, first), (line, second) = scan_records(path)
    assert first == record(1)
    assert line == 2
    assert isinstance(second, DataError)
    assert f"{path}:2: the line is not JSON" in str(second)
    assert "perhaps the file is cut short" in str(second)
    with pytest.raises(DataError, match=r"a\.jsonl:2"):
        list(read_records(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[]", "the line must be a JSON object, got []"),
        (b"{'a': 1}", "the line is not JSON"),
        (b'{"a": "\xff"}', "the line is not UTF-8"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number is too long"),
        (b"\xff\xfe{\x00}\x00", "the line is not UTF-8"),
    ],
)
def test_bad_lines_do_not_stop_the_rest(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line + b'\n{"b": 2}\n')
    (_, bad), (number, good) = scan_objects(path)
    assert isinstance(bad, DataError)
    assert message in str(bad)
    assert (number, good) == (2, {"b": 2})


def test_an_endless_line_never_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 100)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * 1000 + b'"}\n{"b": 2}\n' + b"y" * 1000)
    (_, first), (_, second), (line, last) = scan_objects(path)
    assert isinstance(first, DataError)
    assert "longer than 100 bytes" in str(first)
    assert second == {"b": 2}
    assert line == 3
    assert isinstance(last, DataError)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            list(scan_objects(path))
        with pytest.raises(DataError, match="cannot be read"):
            list(scan_array(path))


ITEMS = [{"a": [1, {"b": "]},["}], "ü": '\\"'}, 12, -3.5, "x", None, [], {"c": "é" * 40}, 123456789]


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 10**6])
@pytest.mark.parametrize("indent", [None, 2])
def test_arrays_come_in_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, indent: int | None
) -> None:
    monkeypatch.setattr(json_array, "_CHUNK_CHARS", chunk)
    path = tmp_path / "a.json"
    path.write_text("\ufeff" + json.dumps(ITEMS, indent=indent, ensure_ascii=False), "utf-8")
    assert list(scan_array(path)) == list(enumerate(ITEMS))
    inside = {"kind": {"x": [1]}, "n": 5, "data": ITEMS, "later": [1]}
    path.write_text(json.dumps(inside, indent=indent), "utf-8")
    assert [item for _, item in scan_array(path, "data")] == ITEMS


def test_empty_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(" [ ] ")
    assert list(scan_array(path)) == []


def test_an_array_cut_anywhere_gives_what_came_before(tmp_path: Path) -> None:
    whole = json.dumps(ITEMS[:4])
    path = tmp_path / "a.json"
    for cut in range(len(whole)):
        path.write_text(whole[:cut])
        found: list[tuple[int, Any]] = []
        with pytest.raises(DataError, match=r"a\.json: .*at character"):
            found.extend(scan_array(path))
        # A number at the end of the file could be whole; anything before it is.
        expected = list(enumerate(ITEMS))
        assert found[:-1] == expected[: max(0, len(found) - 1)]


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("", None, "got the end of the file"),
        ("{}", None, "expected '[', got '{'"),
        ("[]", "data", "expected '{', got '['"),
        ('{"a": 1}', "data", "no key 'data'"),
        ('{"data": 5}', "data", "expected '[', got '5'"),
        ("[1 2]", None, "expected ',' or ']', got '2'"),
        ("[{'a': 1}]", None, "damaged or cut short JSON"),
        ("[" * 100_000, None, "nested too deep"),
        ("[" + "9" * 5000 + "]", None, "too long a number"),
    ],
)
def test_damaged_arrays(tmp_path: Path, text: str, key: str | None, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        list(scan_array(path, key))
    assert message in str(caught.value)


def test_arrays_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'["\xff"]')
    with pytest.raises(DataError, match="not UTF-8"):
        list(scan_array(path))


def test_one_endless_value_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "_CHUNK_CHARS", 64)
    monkeypatch.setattr(json_array, "MAX_ITEM_CHARS", 256)
    path = tmp_path / "a.json"
    path.write_text('["' + "x" * 10_000)
    with pytest.raises(DataError, match="one value longer than 256"):
        list(scan_array(path))


def test_folders_appear_whole(tmp_path: Path) -> None:
    def fill(target: Path, stop: bool) -> None:
        with new_folder(target) as folder:
            (folder / "a").write_text("a")
            if stop:
                raise DataError("stop")

    target = tmp_path / "out"
    with pytest.raises(DataError, match="stop"):
        fill(target, stop=True)
    assert list(tmp_path.iterdir()) == []
    target.mkdir()
    fill(target, stop=False)
    assert [p.name for p in target.iterdir()] == ["a"]
    with pytest.raises(DataError, match="not an empty folder"):
        fill(target, stop=False)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["a", "new/folder/a"])
def test_an_interrupted_file_leaves_nothing(tmp_path: Path, name: str) -> None:
    def fail() -> None:
        with replacing(tmp_path / name) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_file_leaves_what_others_wrote(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "new" / "a"):
            (tmp_path / "new" / "b").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b"]
