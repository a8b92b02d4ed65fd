"""Benchmark files made small, laid out as they are published."""

from __future__ import annotations

import base64
import importlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qzoom.eval.methods.base import Told


def png(seed: int = 0) -> bytes:
    """A picture; another one for each seed. Its base64 is longer than an index."""
    buffer = io.BytesIO()
    picture = Image.linear_gradient("L").resize((40, 32))
    picture.point([(value + 9 * seed) % 256 for value in range(256)]).save(buffer, "PNG")
    return buffer.getvalue()


def cell(seed: int = 0) -> dict[str, Any]:
    """An image cell of the hub."""
    return {"bytes": png(seed), "path": f"{seed}.png"}


def base64_of(seed: int = 0) -> str:
    """An image cell of a TSV."""
    return base64.b64encode(png(seed)).decode()


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A shard; the test is skipped where pyarrow is not installed."""
    reason = "pyarrow is not installed: pip install 'qzoom[data]' to test tables"
    pyarrow: Any = pytest.importorskip("pyarrow", reason=reason)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.Table.from_pylist(rows)
    importlib.import_module("pyarrow.parquet").write_table(table, path)
    return path


def tsv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A table as pandas writes it: cells with tabs, quotes or newlines are quoted."""
    lines = [list(rows[0])] + [list(row.values()) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(_quoted, line)) + "\n" for line in lines))
    return path


def _quoted(value: object) -> str:
    text = str(value)
    special = any(char in text for char in '\t\n"')
    return '"' + text.replace('"', '""') + '"' if special else text


def js(path: Path, value: object) -> Path:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def file(path: Path, data: bytes) -> Path:
    """A file in a folder that may be new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


class Parrot:
    """A method that says the same to every question, and keeps what it was asked."""

    name = "parrot"

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.asked: list[tuple[str, int]] = []

    def open(self, images: Sequence[Image.Image]) -> Parrot:
        assert [image.mode for image in images] == ["RGB"]
        return self

    def ask(self, prompt: str, max_new_tokens: int, boxes_px_xyxy: object = ()) -> Told:
        self.asked.append((prompt, max_new_tokens))
        return Told(self.reply, 4, 0, 1, 9, seconds={"total": 0.25})

    def settings(self) -> dict[str, Any]:
        return {"reply": self.reply}
