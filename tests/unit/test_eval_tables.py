"""Rows of published files, good and hostile."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from random import Random

import pytest
from tests.published import base64_of, cell, file, js, parquet, png, tsv

from qzoom.data import tables as data_tables
from qzoom.errors import DataError
from qzoom.eval.benchmarks import tsv as tsv_module
from qzoom.eval.benchmarks.tables import TableRow, rows_at


def only(path: Path, **where: str) -> TableRow:
    (row,) = rows_at(path, **where)
    return row


def test_shards_of_one_configuration_and_split_in_order(tmp_path):
    for config in ("DocVQA", "InfographicVQA"):
        for split in ("test", "validation"):
            for shard in (1, 0):
                name = f"{config}/{split}-0000{shard}-of-00002.parquet"
                parquet(tmp_path / name, [{"q": f"{config} {split} {shard}"}])
    file(tmp_path / "DocVQA/._validation-00000-of-00002.parquet", b"left by a file manager")
    found = rows_at(tmp_path, config="InfographicVQA", split="validation")
    assert [row.text("q") for row in found] == [f"InfographicVQA validation {n}" for n in (0, 1)]
    # A folder that is named is taken as it is, whatever its name.
    found = rows_at(tmp_path / "InfographicVQA", config="DocVQA", split="test")
    assert [row.text("q") for row in found] == [f"InfographicVQA test {n}" for n in (0, 1)]


def test_converted_shards_have_a_folder_for_each_split(tmp_path):
    parquet(tmp_path / "DocVQA/validation/0000.parquet", [{"q": "yes"}])
    parquet(tmp_path / "DocVQA/test/0000.parquet", [{"q": "no"}])
    assert only(tmp_path, config="DocVQA", split="validation").text("q") == "yes"


def test_a_folder_without_the_split_is_refused(tmp_path):
    parquet(tmp_path / "DocVQA/train-00000-of-00001.parquet", [{"q": "no"}])
    with pytest.raises(DataError, match=r"of config 'DocVQA' and split 'validation'; name the"):
        list(rows_at(tmp_path, config="DocVQA", split="validation"))


def test_one_tsv_among_many(tmp_path):
    for name in ("DocVQA_VAL", "MMStar"):
        tsv(tmp_path / f"{name}.tsv", [{"index": 1, "question": name}])
    assert only(tmp_path, split="validation", stem="docvqa_val").text("question") == "DocVQA_VAL"


def test_cells_of_a_tsv(tmp_path):
    rows = [
        {"index": 7, "image": "9", "question": 'a "b"\n\tc', "answer": "['x', 'y']"},
        {"index": 8, "image": base64_of(2), "question": "d", "answer": "[not a list"},
        {"index": 9, "image": base64_of(3), "question": "e", "answer": ""},
        {"index": 10, "image": "8", "question": '"', "answer": "[1, 2.5]"},
    ]
    path = tsv(tmp_path / "t.tsv", rows)
    found = list(rows_at(path))
    assert [row.text("question") for row in found] == ['a "b"\n\tc', "d", "e", '"']
    assert [row.image() for row in found] == [png(3), png(2), png(3), png(2)]
    assert [row.texts("answer") for row in (found[0], found[1], found[3])] == [
        ("x", "y"),
        ("[not a list",),
        ("1", "2.5"),
    ]
    assert found[2].optional_text("answer") == ""
    # The first row takes two lines.
    assert [row.place for row in found] == [f"{path}:{line}" for line in (2, 4, 5, 6)]


def test_cells_as_the_csv_module_writes_them(tmp_path):
    random, path = Random(0), tmp_path / "t.tsv"
    for _ in range(200):
        rows = [["".join(random.choices('ab"\t\n ', k=random.randrange(4))) for _ in "123"]]
        rows += [[f"{cell}{random.choice(cell or 'x')}" for cell in rows[0]]]
        with path.open("w", newline="") as target:
            lines = csv.writer(target, delimiter="\t", lineterminator="\n")
            lines.writerows([["index", "b", "c"], *rows])
        assert [list(row.fields.values()) for row in rows_at(path)] == rows


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    path = file(tmp_path / "t.tsv", b"\xef\xbb\xbfindex\tquestion\r\n1\tyes\r\n\r\n")
    assert only(path).fields == {"index": "1", "question": "yes"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"index\tquestion\n1\n", r"t\.tsv:2: 1 cells where the header has 2"),
        (b'index\tquestion\n1\t"open\n2\tb\n', r"t\.tsv:2: a quoted cell has no end"),
        (b"index\tquestion\n1\t\xff\n", r"t\.tsv:2: the row is not UTF-8"),
        (b"no table\n", "its first line has no tabs"),
        (b"", "its first line has no tabs"),
    ],
)
def test_damaged_tsv(tmp_path, text, message):
    path = file(tmp_path / "t.tsv", text)
    with pytest.raises(DataError, match=message):
        list(rows_at(path))


def test_a_row_without_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tsv_module, "MAX_ROW_BYTES", 100)
    path = file(tmp_path / "t.tsv", b"index\tquestion\n1\t" + b"x" * 200)
    with pytest.raises(DataError, match="a row is longer than 100 bytes"):
        list(rows_at(path))


@pytest.mark.parametrize("reference", ["3", "2", "nowhere"])
def test_references_that_lead_nowhere(tmp_path, reference):
    rows = [{"index": 1, "image": reference}, {"index": 2, "image": "1"}]
    row, _ = rows_at(tsv(tmp_path / "t.tsv", rows))
    with pytest.raises(DataError, match=rf"t\.tsv:2: no row has the index '{reference}'"):
        row.image()


@pytest.mark.parametrize("image", ["data:image/png;base64," + base64_of(1), base64_of(1)])
def test_base64_in_json(tmp_path, image):
    assert only(js(tmp_path / "a.json", [{"image": image}])).image() == png(1)


def test_pictures_beside_their_file(tmp_path):
    rows = {"dataset_name": "docvqa", "data": [{"image": "documents/a.png"}]}
    row = only(js(tmp_path / "val.json", rows))
    assert row.image() == tmp_path / "documents/a.png"
    lines = file(tmp_path / "val.jsonl", b'{"image": "a.png"}\n')
    assert only(lines).image() == tmp_path / "a.png"
    struct = parquet(tmp_path / "a.parquet", [{"image": {"bytes": None, "path": "b/1.png"}}])
    assert only(struct).image() == tmp_path / "b/1.png"


@pytest.mark.parametrize("path", ["../out.png", "a/../../out.png", "/etc/host.name", "a\\b.png"])
def test_pictures_stay_in_the_folder(tmp_path, path):
    row = only(js(tmp_path / "in/val.json", [{"image": path}]))
    with pytest.raises(DataError, match=r"val\.json\[0\]: image must"):
        row.image()


def test_symlinks_stay_in_the_folder_but_for_the_cache_of_the_hub(tmp_path):
    outside = file(tmp_path / "secret/out.png", png())
    js(tmp_path / "in/val.json", [{"image": "link.png"}])
    os.symlink(outside, tmp_path / "in/link.png")
    with pytest.raises(DataError, match=r"'link\.png' leads out of .* by a symlink"):
        only(tmp_path / "in/val.json").image()
    blob = file(tmp_path / "datasets--a/blobs/0123", png())
    snapshot = tmp_path / "datasets--a/snapshots/1"
    js(snapshot / "val.json", [{"image": "link.png"}])
    os.symlink(blob, snapshot / "link.png")
    assert only(snapshot / "val.json").image() == snapshot / "link.png"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "no*base64"}, "image is not base64: 'no[*]base64'"),
        ({"image": ""}, "no picture in column 'image', got ''"),
        ({"image": None}, "no picture in column 'image', got None"),
        ({"image": {"path": None}}, "no picture in column 'image', got None"),
        ({"image": 5}, "no picture in column 'image', got 5"),
        ({"images": "a.png"}, "no column 'image'; there are images"),
    ],
)
def test_cells_without_a_picture(tmp_path, row, message):
    with pytest.raises(DataError, match=r"a\.json\[0\]: " + message):
        only(js(tmp_path / "a.json", [row])).image()


def test_texts(tmp_path):
    row = only(
        js(
            tmp_path / "a.json",
            [{"n": 5, "f": 2.5, "none": None, "blank": " ", "list": ["a", "", 3], "no": ["", " "]}],
        )
    )
    assert (row.text("n"), row.text("f")) == ("5", "2.5")
    assert [row.optional_text(name) for name in ("none", "blank", "gone", "n")] == ["", "", "", "5"]
    assert (row.texts("list"), row.texts("n")) == (("a", "", "3"), ("5",))
    for name, message in (
        ("blank", "blank is empty"),
        ("none", "none must be text, got None"),
        ("gone", "no column 'gone'"),
        ("list", "list must be text"),
    ):
        with pytest.raises(DataError, match=r"a\.json\[0\]: " + message):
            row.text(name)
    with pytest.raises(DataError, match=r"a\.json\[0\]: no holds no text"):
        row.texts("no")


def test_truncated_parquet(tmp_path):
    path = parquet(tmp_path / "a.parquet", [{"image": cell(n)} for n in range(9)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet is not a readable table"):
        list(rows_at(path))


def test_damaged_json(tmp_path):
    for name, text, message in (
        ("a.json", b'[{"q": 1}, {"q"', "expected|damaged or cut short"),
        ("b.json", b"[1]", r"b\.json\[0\]: the row must be a JSON object, got 1"),
        ("c.json", b'{"rows": []}', "no key 'data'"),
        ("d.jsonl", b'{"q": 1}\n{"q"\n', r"d\.jsonl:2: the line is not JSON"),
        ("e.csv", b"a,b\n", r"e\.csv is no \.parquet"),
    ):
        with pytest.raises(DataError, match=message):
            list(rows_at(file(tmp_path / name, text)))


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(data_tables, "import_module", missing)
    with pytest.raises(DataError, match=r"pip install 'qzoom\[data\]'"):
        list(rows_at(file(tmp_path / "a.parquet", b"")))
