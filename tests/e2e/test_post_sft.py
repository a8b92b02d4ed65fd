"""Stage 2 from records to a model, with the embedded model on procedural pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import qzoom
from qzoom.cli import main
from qzoom.train.metrics import read_metrics

RECIPE = "batch_size: 3\nepochs: {epochs}\nbf16: false\noptim: {{adamw_lr: 1.0e-4}}\n"


def test_answers_twice_then_mined_then_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 16 cells a crop is too coarse to read, so it spoils some of what a large look reads."""
    torch.set_num_threads(1)
    world = tmp_path / "world"
    assert main(["data", "synth", "--scenes", "8", "--out", str(world), "--seeds", "e2e"]) == 0
    records = [f"{world}/records.jsonl", "--images", str(world)]
    looks = {"base": ["direct", "--max-cells", "300"], "roi": ["zoom", "--max-cells", "16"]}
    files = {name: f"{tmp_path}/{name}.jsonl" for name in (*looks, "mined")}
    for name, look in looks.items():
        run = ["--out", files[name], "--look", *look, "--limit", "48", "--max-new-tokens", "6"]
        assert main(["label", "answers", *records, *run]) == 0
    answers = ["--base", files["base"], "--roi", files["roi"], "--out", files["mined"]]
    capsys.readouterr()
    assert main(["label", "mine", *records, *answers, "--judge", "match"]) == 0
    found = json.loads(capsys.readouterr().out)["written"]["regression"]
    assert found >= 3
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(epochs=6 / found))  # two steps
    job = ["--samples", files["mined"], "--images", str(world), "--out", f"{tmp_path}/run"]
    assert main(["train", "sft", *job, "--recipe", str(recipe), "--workers", "0"]) == 0
    folder = capsys.readouterr().out.strip()
    assert len(read_metrics(tmp_path / "run" / "sft" / "metrics.jsonl")) == 2
    old, new = qzoom.load(), qzoom.load(folder)
    name = "model.language_model.layers.5.mlp.down_proj.weight"
    weights = [model.checkpoint.trunk.state_dict()[name] for model in (old, new)]
    assert not torch.equal(*weights)
    sample = json.loads(Path(files["mined"]).read_text().splitlines()[0])
    assert main(["ask", f"{world}/{sample['image']}", sample["question"], "--model", folder]) == 0
    assert capsys.readouterr().out.strip()
