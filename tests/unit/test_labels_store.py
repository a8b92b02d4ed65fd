"""Label shards: committed whole, never under other settings, damage named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from qzoom.errors import CheckpointError, ConfigError, DataError
from qzoom.labels.attention import HeadSet
from qzoom.labels.presets import HeadPreset
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.labels.store import LabelRow, LabelStore, read_labels, read_settings
from qzoom.train.label_index import LabelIndex


def rows(start: int) -> list[LabelRow]:
    found = [
        LabelRow({"id": str(n), "teaches": True}, {"labels": torch.full((2, 3), n)})
        for n in (start, start + 1)
    ]
    return [*found, LabelRow({"id": "bad", "teaches": False, "error": "gone"}, {})]


def test_shards_come_back_in_order(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "labels", {"cells": 6})
    store.write(1, rows(2))
    store.write(0, rows(0))
    assert store.has(0)
    assert store.has(1)
    assert not store.has(2)
    found = list(read_labels(tmp_path / "labels"))
    assert [row.fields["id"] for row in found] == ["0", "1", "bad", "2", "3", "bad"]
    assert torch.equal(found[3].tensors["labels"], torch.full((2, 3), 2))
    assert not found[2].tensors
    assert read_settings(tmp_path / "labels") == {"cells": 6}


def test_a_shard_without_rows_is_not_there(tmp_path: Path) -> None:
    store = LabelStore(tmp_path, {})
    store.write(0, rows(0))
    # A kill between the two files leaves tensors without rows.
    (tmp_path / "shard-00000.jsonl").unlink()
    assert not store.has(0)
    store.write(0, rows(0))
    assert len(list(read_labels(tmp_path))) == 3


def test_other_settings_are_refused(tmp_path: Path) -> None:
    LabelStore(tmp_path, {"cells": 6, "rule": {"sink": 0.1}})
    LabelStore(tmp_path, {"cells": 6, "rule": {"sink": 0.1}})
    with pytest.raises(ConfigError, match=r"labels made with cells=6, not 9"):
        LabelStore(tmp_path, {"cells": 9, "rule": {"sink": 0.1}})
    with pytest.raises(ConfigError, match="rule"):
        LabelStore(tmp_path, {"cells": 6})


def test_texts_may_hold_any_character(tmp_path: Path) -> None:
    text = "one\u2028two\x85three\x1c\r\nfour"
    fields = {"id": text, "image": "a.png", "question": text, "response": text, "teaches": True}
    store = LabelStore(
        tmp_path, RegionLabelSettings().to_json(HeadPreset(HeadSet({}), HeadSet({})))
    )
    store.write(0, [LabelRow(fields, {"labels": torch.full((2, 3), n)}) for n in range(2)])
    assert [row.fields["question"] for row in read_labels(tmp_path)] == [text] * 2
    store.check(0, [text] * 2)
    with pytest.raises(DataError, match="holds 2 questions"):
        store.check(0, [text])
    turns = [turn for dialogue in LabelIndex.open(tmp_path).dialogues for turn in dialogue]
    assert [turn.question for turn in turns] == [text] * 2
    assert [int(turn.labels_hw().max()) for turn in turns] == [0, 1]


def test_several_may_open_a_new_folder_at_once(tmp_path: Path) -> None:
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _, folder=folder: LabelStore(folder, {"cells": 6}), range(8)))
        assert [path.name for path in folder.iterdir()] == ["settings.json"]
        assert read_settings(folder) == {"cells": 6}


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no label shards"):
        list(read_labels(tmp_path))
    with pytest.raises(CheckpointError, match="is it a folder of labels"):
        read_settings(tmp_path)
    LabelStore(tmp_path, {}).write(0, rows(0))
    tensors = tmp_path / "shard-00000.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:20])
    with pytest.raises(CheckpointError, match=r"shard-00000\.jsonl is damaged"):
        list(read_labels(tmp_path))
    (tmp_path / "shard-00000.jsonl").write_text('{"id": 1}\n{"id"')
    with pytest.raises(CheckpointError, match=r"shard-00000\.jsonl is damaged: .*; delete it"):
        LabelIndex.open(tmp_path)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"settings\.json is not readable JSON"):
        LabelStore(tmp_path, {})
