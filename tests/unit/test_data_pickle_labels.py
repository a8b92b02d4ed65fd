"""Hosted label pickles become shards and JSONL, whole or not at all."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from qzoom.data.label_shards import ShardWriter
from qzoom.data.pickle_labels import convert_pickle
from qzoom.errors import DataError


def map_row(index: int, **changes: Any) -> dict[str, Any]:
    return {
        "uid": f"gqa:s:{index}", "question_id": str(index), "dataset": "gqa", "mode": "natural",
        "prompt": f"What is {index}?", "text": "é", "image": f"gqa/{index}.jpg",
        "sink_attn": np.full((2, 3), index, np.float32),
        "grounding_attn_o2i": np.arange(6, dtype=np.float32).reshape(2, 3) + index,
    } | changes  # fmt: skip


def step_row(**changes: Any) -> dict[str, Any]:
    return {
        "id": 7, "image": "a/b.png", "prompt": "How many?", "text": "3",
        "res": [64, 256, 576], "ms_answers": ["8", "", "3"],
    } | changes  # fmt: skip


def save(tmp_path: Path, value: Any, protocol: int = 4) -> Path:
    path = tmp_path / "labels.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_stage_1(tmp_path: Path, protocol: int) -> None:
    rows = [map_row(0), map_row(1)]
    report = convert_pickle(save(tmp_path, rows, protocol), tmp_path / "out")
    assert (report.kind, report.rows, report.bad_rows) == ("maps", 2, 0)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["shard-00000.jsonl", "shard-00000.safetensors"]
    written = lines(tmp_path / "out" / names[0])
    assert written[1] == {
        "id": "gqa:s:1", "image": "gqa/1.jpg", "question": "What is 1?", "response": "é",
        "grid_hw": [2, 3], "kind": "natural", "dataset": "gqa",
    }  # fmt: skip
    tensors = load_file(tmp_path / "out" / names[1])
    for index, row in enumerate(rows):
        assert np.array_equal(tensors[f"{index}.attention"], row["grounding_attn_o2i"])
        assert np.array_equal(tensors[f"{index}.sink"], row["sink_attn"])
        assert tensors[f"{index}.sink"].dtype == np.float32


def test_older_rows_say_less(tmp_path: Path) -> None:
    row = map_row(5)
    for key in ("uid", "dataset", "mode"):
        del row[key]
    unnamed = map_row(6, uid=None, question_id="", text="")
    convert_pickle(save(tmp_path, [row, unnamed]), tmp_path / "out")
    first, second = lines(tmp_path / "out" / "shard-00000.jsonl")
    assert first["id"] == "5"
    assert "kind" not in first
    assert (second["id"], second["response"]) == ("1", "")


def test_shards_have_a_size(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, rows_per_shard=2)
    for index in range(5):
        writer.add({"id": str(index)}, {"attention": np.full((1, 1), index, np.float32)})
    writer.flush()
    counts = [len(lines(path)) for path in sorted(tmp_path.glob("*.jsonl"))]
    assert counts == [2, 2, 1]
    last = load_file(tmp_path / "shard-00002.safetensors")
    assert last["0.attention"].tolist() == [[4.0]]


def test_stage_3(tmp_path: Path) -> None:
    rows = {0: step_row(), 1: step_row(id="x", res=list(np.array([64, 128, 256])))}
    report = convert_pickle(save(tmp_path, rows), tmp_path / "out")
    assert (report.kind, report.rows) == ("trajectories", 2)
    first, second = lines(tmp_path / "out" / "trajectories.jsonl")
    assert first == {
        "id": "7", "image": "a/b.png", "question": "How many?", "answers": ["3"],
        "cells": [64, 256, 576], "responses": ["8", "", "3"],
    }  # fmt: skip
    assert second["cells"] == [64, 128, 256]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sink_attn": None}, "sink_attn must be a 2-D array of floats, got None"),
        ({"sink_attn": np.zeros((3, 2), "f4")}, "shapes (2, 3) and (3, 2)"),
        ({"sink_attn": np.zeros((2, 3), "i4")}, "must be a 2-D array of floats"),
        ({"sink_attn": np.zeros(6, "f4")}, "must be a 2-D array of floats"),
        ({"sink_attn": np.full((2, 3), np.nan, "f4")}, "is empty or not finite"),
        ({"sink_attn": np.zeros((0, 3), "f4")}, "is empty or not finite"),
        ({"image": None}, "image must be text, got None"),
        ({"prompt": "\ud800"}, "lone surrogate"),
        ({"text": 5}, "text must be text, got 5"),
        ({"mode": 1}, "kind must be text"),
    ],
)
def test_bad_map_rows(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = save(tmp_path, [map_row(0), map_row(1, **changes), map_row(2)])
    out = tmp_path / "out"
    with pytest.raises(DataError) as caught:
        convert_pickle(path, out)
    assert f"{path}[1]: " in str(caught.value)
    assert message in str(caught.value)
    assert not out.exists()
    report = convert_pickle(path, out, max_bad=1)
    assert (report.rows, report.bad_rows) == (2, 1)
    assert message in report.first_bad_rows[0]
    assert [row["id"] for row in lines(out / "shard-00000.jsonl")] == ["gqa:s:0", "gqa:s:2"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"res": [64]}, "res has 1 values and ms_answers has 3"),
        ({"res": [], "ms_answers": []}, "res has 0 values"),
        ({"res": 5}, "res must be a list"),
        ({"res": [64, 0, 576]}, "res[1] must be a whole number of cells, got 0"),
        ({"res": [64, True, 576]}, "res[1] must be"),
        ({"ms_answers": ["a", None, "b"]}, "ms_answers[1] must be text"),
        ({"ms_answers": "abc"}, "ms_answers must be a list"),
    ],
)
def test_bad_trajectories(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = save(tmp_path, {"a": step_row(), "b": step_row(**changes)})
    with pytest.raises(DataError) as caught:
        convert_pickle(path, tmp_path / "out")
    assert f"{path}['b']: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [[], {}, 5, [5], [{"a": 1}], {"a": {"res": [1]}}, "text"])
def test_other_pickles(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DataError, match="no labels of stage 1 or stage 3"):
        convert_pickle(save(tmp_path, value), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(DataError, match="not an empty folder"):
        convert_pickle(save(tmp_path, [map_row(0)]), out)
    assert [path.name for path in out.iterdir()] == ["mine"]
