"""Tables of Hugging Face datasets; skipped where pyarrow is not installed."""

from __future__ import annotations

import hashlib
import importlib
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qzoom.data import tables
from qzoom.data.images import ImageFolder
from qzoom.data.readers import hf_dataset
from qzoom.data.readers.options import ReadOptions
from qzoom.data.readers.registry import reader
from qzoom.data.records import Record, Turn
from qzoom.errors import DataError

SAID = {"dataset": "chart", "licence": "GPL-3.0"}


def encoded(kind: str = "PNG", colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), colour).save(buffer, kind)
    return buffer.getvalue()


def read(inputs: list[Path], root: Path, **options: Any) -> list[Record | DataError]:
    return list(reader("hf_dataset").read(inputs, ReadOptions(root, **SAID | options)))


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    reason = "pyarrow is not installed: pip install 'qzoom[data]' to test tables"
    pyarrow: Any = pytest.importorskip("pyarrow", reason=reason)
    made = pyarrow.Table.from_pylist(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".arrow":
        with (
            pyarrow.OSFile(str(path), "wb") as file,
            pyarrow.ipc.new_stream(file, made.schema) as stream,
        ):
            stream.write_table(made)
    else:
        importlib.import_module("pyarrow.parquet").write_table(made, path)
    return path


@pytest.mark.parametrize("name", ["train-00000-of-00001.parquet", "data-00000-of-00001.arrow"])
def test_tables_with_images_inside(tmp_path: Path, name: str) -> None:
    data = encoded()
    rows = [
        {"image": {"bytes": data, "path": "a.png"}, "query": "How?", "label": ["3"], "n": 1},
        {"image": {"bytes": data, "path": None}, "query": "Sum?", "label": ["4", ""], "n": 2},
    ]
    path = table(tmp_path / "in" / name, rows)
    columns = {"question": "query", "answers": "label", "id": "n"}
    root = tmp_path / "images"
    first, second = read([path.parent], root, columns=columns)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.id, second.id) == ("chart-1", "chart-2")
    assert first.turns == (Turn("How?", ("3",)),)
    assert second.turns == (Turn("Sum?", ("4",)),)
    digest = hashlib.sha256(data).hexdigest()
    # One picture in two rows is written once.
    assert first.images == second.images == (f"chart/{digest[:2]}/{digest}.png",)
    assert len([p for p in root.rglob("*") if p.is_file()]) == 1
    assert ImageFolder(root).open(first.images[0]).size == (5, 4)


def test_plain_columns_boxes_and_paths(tmp_path: Path) -> None:
    rows = [
        {"question": "a", "answer": "x", "image": {"bytes": None, "path": "b/1.png"},
         "boxes": [[1.0, 2.0, 3.0, 4.0]]},
        {"question": "b", "answer": None, "image": {"bytes": None, "path": "b/2.png"},
         "boxes": None},
    ]  # fmt: skip
    path = table(tmp_path / "t.parquet", rows)
    first, second = read([path], tmp_path, mode="natural", split="val")
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.id, first.images, first.split) == ("chart-t-0", ("b/1.png",), "val")
    assert first.turns == (Turn("a", ("x",), ((1, 2, 3, 4),)),)
    assert second.turns == (Turn("b"),)


def test_bad_cells_are_bad_rows(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.parquet",
        [{"question": "a", "image": b"no picture"}, {"question": None, "image": encoded()}],
    )
    first, second = read([path], tmp_path)
    assert "[0]: the image's bytes are of no known format" in str(first)
    assert "[1]: question must be text, got None" in str(second)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "no 'question' column; give --column; there are query, image"),
        ({"question": "queri"}, "no column 'queri'; did you mean 'query'?"),
        ({"questio": "query"}, "--column has no 'questio'; did you mean 'question'?"),
    ],
)
def test_unknown_columns(tmp_path: Path, columns: dict[str, str], message: str) -> None:
    path = table(tmp_path / "t.parquet", [{"query": "a", "image": encoded()}])
    (found,) = read([path], tmp_path, columns=columns)
    assert message in str(found)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    table(tmp_path / "t.parquet", [{"a": 1}])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no table")
    (tmp_path / "bad.arrow").write_bytes(b"no table")
    for name in ("bad.parquet", "bad.arrow", "gone.parquet"):
        with pytest.raises(DataError, match=f"{name} is not a readable table"):
            read([tmp_path / name], tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"no \.parquet or \.arrow file"):
        read([empty], tmp_path)


def test_without_pyarrow_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    options = ReadOptions(tmp_path, **SAID)  # type: ignore[arg-type]
    found = hf_dataset.read([tmp_path / "a.parquet"], options)
    monkeypatch.setattr(tables, "import_module", missing)
    with pytest.raises(DataError, match=r"pip install 'qzoom\[data\]'"):
        list(found)


def test_a_table_needs_a_name_and_a_licence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give --dataset and --licence"):
        read([tmp_path / "a.parquet"], tmp_path, licence=None)


@pytest.mark.parametrize(
    ("kind", "extension"),
    [("PNG", "png"), ("JPEG", "jpg"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif"),
     ("WEBP", "webp")],
)  # fmt: skip
def test_images_keep_their_kind(kind: str, extension: str) -> None:
    assert hf_dataset._extension(encoded(kind)) == extension


def test_images_stay_in_the_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'\.\.' part"):
        hf_dataset._store(encoded(), tmp_path / "root", "../out")
    assert list(tmp_path.iterdir()) == []
