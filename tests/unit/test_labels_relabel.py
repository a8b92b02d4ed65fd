"""Another rule over stored maps gives what labelling with that rule would have given."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qzoom.cli import main
from qzoom.data.images import ImageFolder
from qzoom.data.pickle_labels import convert_pickle
from qzoom.errors import DataError, LabelError
from qzoom.labels.presets import head_preset
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.labels.relabel import relabel
from qzoom.labels.store import LabelRow, LabelStore, read_labels, read_settings
from qzoom.labels.tristate import TriStateRule, picture_cells, tristate_labels
from qzoom.train.label_index import LabelIndex

RULE = TriStateRule(foreground_threshold=0.6, background_threshold=0.3)


def attention(seed: int, side: int = 8) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    found = 0.01 * torch.rand(side, side, generator=rng)
    found[2 + seed % 3, 3:5] = torch.tensor([1.0, 0.5])
    return found


def written(folder: Path, rows: int) -> Path:
    settings = RegionLabelSettings(cells=64)
    store = LabelStore(folder, {"model": "m", **settings.to_json(head_preset("qwen3-vl-4b"))})
    fields = {"image": "a.png", "question": "what?", "response": "owl", "grid_hw": [8, 8]}
    made = [
        LabelRow(
            fields | {"id": f"q{i}", "teaches": False, "image_size_px": [80, 40]},
            {"attention": attention(i)},
        )
        for i in range(rows)
    ]
    store.write(0, made)
    return folder


def test_labels_are_those_of_the_new_rule(tmp_path: Path) -> None:
    source = written(tmp_path / "old", 5)
    counts = relabel(source, tmp_path / "new", RULE, shard_size=2)
    assert (counts.rows, counts.teaching) == (5, 5)
    assert len(list((tmp_path / "new").glob("shard-*.jsonl"))) == 3
    assert read_settings(tmp_path / "new")["rule"] == dataclasses.asdict(RULE)
    for i, row in enumerate(read_labels(tmp_path / "new")):
        wanted = tristate_labels(attention(i), None, RULE, picture_cells((80, 40), 8))
        assert torch.equal(row.tensors["labels"].long(), wanted.labels_hw)
        assert row.fields["box_cells_xyxy"] == list(wanted.box_cells_xyxy)
    assert LabelIndex.open(tmp_path / "new").turns == 5


def test_hosted_labels_can_be_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (80, 40)).save(tmp_path / "a.png")
    row = {
        "uid": "gqa:s:1", "question_id": "1", "dataset": "gqa", "mode": "natural",
        "prompt": "what?", "text": "owl", "image": "a.png",
        "sink_attn": np.zeros((8, 8), np.float32), "grounding_attn_o2i": attention(0).numpy(),
    }  # fmt: skip
    (tmp_path / "labels.pkl").write_bytes(pickle.dumps([row]))
    convert_pickle(tmp_path / "labels.pkl", tmp_path / "maps")
    with pytest.raises(LabelError, match="does not tell its picture's size; name the image root"):
        relabel(tmp_path / "maps", tmp_path / "none", RULE)
    arguments = ["label", "relabel", str(tmp_path / "maps"), "--out", str(tmp_path / "new")]
    assert main([*arguments, "--images", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 1, "teaching": 1}
    index = LabelIndex.open(tmp_path / "new")
    assert index.settings.cells == 64
    (turn,) = index.dialogues[0]
    wanted = tristate_labels(attention(0), None, TriStateRule(), picture_cells((80, 40), 8))
    assert torch.equal(turn.labels_hw(), wanted.labels_hw)
    assert ImageFolder(tmp_path).open(turn.image).size == (80, 40)


def test_shards_of_other_labels_are_not_kept(tmp_path: Path) -> None:
    relabel(written(tmp_path / "one", 2), tmp_path / "new", RULE)
    assert relabel(tmp_path / "one", tmp_path / "new", RULE).rows == 2
    with pytest.raises(DataError, match=r"holds 2 questions from .* not 3"):
        relabel(written(tmp_path / "other", 3), tmp_path / "new", RULE)
