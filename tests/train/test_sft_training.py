"""`qzoom train sft`: from JSON lines to a model that loads and zooms."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.tiny_chat import ANY_REGION, chat_checkpoint, picture
from tests.train.sft_parts import write_pictures

import qzoom
from qzoom.checkpoints.adapter import save_adapter
from qzoom.checkpoints.save import save_checkpoint
from qzoom.cli import main
from qzoom.errors import ConfigError, DataError
from qzoom.settings import read_settings_file
from qzoom.train.branch_recipes import loop_settings
from qzoom.train.metrics import read_metrics
from qzoom.train.sft_recipe import SftRecipe
from qzoom.train.sft_samples import SftSample, read_samples

ROW = {"id": "a", "question": "what?", "image": "0.png", "target": "owl", "kind": "regression"}
CROP = [30, 20, 160, 120]
RECIPE = "epochs: 2\nbatch_size: 2\nbf16: false\nwarmup_share: 0\noptim: {adamw_lr: 1.0e-3}\n"


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, pictures, two files of samples and a recipe."""
    save_checkpoint(tmp_path / "model", chat_checkpoint("qwen3_vl"))
    write_pictures(tmp_path)
    write_rows(tmp_path / "a.jsonl", {**ROW, "box_px_xyxy": CROP}, {**ROW, "id": "b", "cells": 20})
    write_rows(tmp_path / "b.jsonl", {**ROW, "id": "c", "image": "1.png", "target": "281"})
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def command(folder: Path, *more: str) -> list[str]:
    files = ["--samples", f"{folder}/a.jsonl", "--samples", f"{folder}/b.jsonl"]
    where = ["--images", str(folder), "--out", f"{folder}/run", "--model", f"{folder}/model"]
    return ["train", "sft", *files, *where, "--workers", "0", *more]


def test_a_new_trunk_with_the_old_branches(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = ["--recipe", f"{folder}/recipe.yaml"]
    assert main(command(folder, *recipe)) == 0
    where = Path(capsys.readouterr().out.strip())
    assert where == folder / "run" / "model"
    old, new = qzoom.load(folder / "model"), qzoom.load(where)
    assert old.parts.add_on is not None
    assert new.parts.add_on is not None
    assert new.config == old.config
    branches = old.parts.add_on.state_dict()
    assert all(torch.equal(t, branches[n]) for n, t in new.parts.add_on.state_dict().items())
    tower = old.checkpoint.trunk.state_dict()
    same = {n for n, t in new.checkpoint.trunk.state_dict().items() if torch.equal(t, tower[n])}
    assert same == {n for n in tower if ".visual." in n or "embed_tokens" in n}
    assert new.open(picture()).ask("what?", **ANY_REGION, max_new_tokens=2).zoomed
    lines = read_metrics(folder / "run" / "sft" / "metrics.jsonl")
    assert len(lines) == 3
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert json.loads((folder / "run" / "training.json").read_text())["steps"] == 3
    # A second call finds everything done and writes the same model.
    assert main(command(folder, *recipe)) == 0
    again = qzoom.load(where).checkpoint.trunk.state_dict()
    assert all(torch.equal(t, again[n]) for n, t in new.checkpoint.trunk.state_dict().items())


def test_branches_may_come_from_an_adapter(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = qzoom.load(folder / "model")
    assert other.parts.add_on is not None
    with torch.no_grad():
        for parameter in other.parts.add_on.parameters():
            parameter.add_(1.0)
    adapter = save_adapter(folder / "adapter", other.checkpoint)
    lora = write_lora(folder)
    assert main(command(folder, "--recipe", str(lora), "--adapter", str(adapter))) == 0
    found = qzoom.load(capsys.readouterr().out.strip()).parts.add_on
    assert found is not None
    branches = other.parts.add_on.state_dict()
    assert all(torch.equal(tensor, branches[name]) for name, tensor in found.state_dict().items())


def write_lora(folder: Path) -> Path:
    path = folder / "lora.yaml"
    path.write_text(RECIPE + "lora: {rank: 2, alpha: 4, targets: [q_proj, v_proj]}\n")
    return path


def test_recipes(tmp_path: Path) -> None:
    lora = read_settings_file(write_lora(tmp_path), SftRecipe, "recipe").lora
    assert (lora.rank, lora.alpha, lora.targets) == (2, 4.0, ("q_proj", "v_proj"))
    path = tmp_path / "bad.yaml"
    for content, message in [
        ("lora: {targets: [head]}", r"targets\[0\] must be one of q_proj, .*, got 'head'"),
        ("lora: {targets: q_proj}", "targets must be a list, got 'q_proj'"),
        ("lora: {targets: []}", "and a target"),
        ("turns: 2", "unknown setting 'turns' in recipe"),
        ("batch_size: 0", "batch_size is 0; it must be above 0"),
    ]:
        path.write_text(content)
        with pytest.raises(ConfigError, match=message):
            read_settings_file(path, SftRecipe, "recipe")
    paper = loop_settings(SftRecipe(), 7000, 2)
    assert (paper.steps, paper.optim.warmup_steps, paper.optim.adamw_lr) == (110, 3, 1e-6)
    assert (paper.optim.betas, paper.optim.weight_decay) == ((0.9, 0.98), 0.0)


def test_the_documented_recipe_is_the_default(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "post_sft.md").read_text()
    path = tmp_path / "documented.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    assert read_settings_file(path, SftRecipe, "recipe") == SftRecipe()
    named = set(yaml.safe_load(path.read_text()))
    assert named == {field.name for field in dataclasses.fields(SftRecipe)}


def test_samples_keep_their_order_and_what_they_say(folder: Path) -> None:
    found = read_samples([folder / "b.jsonl", folder / "a.jsonl"])
    assert [sample.id for sample in found] == ["c", "a", "b"]
    assert found[1] == SftSample("a", "0.png", "what?", "owl", (30, 20, 160, 120))
    assert found[2].cells == 20


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**ROW, "target": " "}, "target is empty"),
        ({"id": "a"}, "'image' is missing"),
        ({**ROW, "image": "../0.png"}, "image"),
        ({**ROW, "box_px_xyxy": [1, 2, 3]}, "must be 4 whole numbers"),
        ({**ROW, "box_px_xyxy": [1, 2, 3.5, 4]}, "must be 4 whole numbers"),
        ({**ROW, "box_px_xyxy": [5, 2, 5, 4]}, "is empty; give x1 < x2"),
        ({**ROW, "cells": 0}, "cells must be a whole number above 0"),
        ({**ROW, "cells": True}, "cells must be a whole number above 0"),
    ],
)
def test_a_bad_row_is_named_by_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any], message: str
) -> None:
    bad = write_rows(folder / "b.jsonl", ROW, row)
    with pytest.raises(DataError, match=rf"b\.jsonl:2: .*{message}"):
        read_samples([bad])
    assert main(command(folder)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "{folder}/none.jsonl"], "no file at"),
        (["--images", "{folder}/none"], "no image folder at"),
        (["--out", "{folder}/a.jsonl"], "is a file; name a folder"),
        (["--recipe", "{folder}/a.jsonl"], "recipe"),
        (["--adapter", "{folder}/model"], "holds no adapter.json"),
    ],
)
def test_what_cannot_be_trained_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    filled = [argument.format(folder=folder) for argument in arguments]
    assert main(command(folder, *filled)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_files_without_a_sample_say_so(folder: Path) -> None:
    empty = write_rows(folder / "empty.jsonl")
    with pytest.raises(DataError, match=r"no sample in .*empty\.jsonl; mine some first"):
        read_samples([empty])
