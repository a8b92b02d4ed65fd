"""From gate labels to an adapter that loads: what moves, what stays, and going on after a stop."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from tests.tiny_chat import chat_checkpoint, picture

import qzoom
from qzoom.checkpoints.adapter import save_adapter
from qzoom.checkpoints.save import save_checkpoint
from qzoom.errors import ConfigError, DataError, LabelError
from qzoom.labels.gate_rows import ConsistencyRow, CropFixRow, GateRow
from qzoom.labels.gate_samples import GateDraw
from qzoom.labels.jsonl import encode_row
from qzoom.settings import read_settings_file
from qzoom.train.branch_job import Job
from qzoom.train.branch_recipes import GateRecipe, RegionRecipe
from qzoom.train.fresh_branches import with_branches
from qzoom.train.gate_looks import GateLooks
from qzoom.train.gate_stage import GateStage
from qzoom.train.gate_training import train_gate
from qzoom.train.loader import Batch
from qzoom.train.metrics import read_metrics
from qzoom.train.region_training import train_region
from qzoom.zoom.config import ZoomConfig

CELLS = (16, 25, 36, 49, 64)
RECIPE = "epochs: 2\nbatch_size: 3\nbf16: false\nsave_every: 2\noptim: {adamw_lr: 1.0e-3}\n"
QUESTIONS = ("what is that?", "which word is on the red sign?", "how many signs are there?")


def rows(easy: int, hard: int) -> list[GateRow]:
    kinds = ["easy"] * easy + ["hard"] * hard
    return [
        ConsistencyRow(
            f"{kind}{i}",
            f"{i % 2}.png",
            QUESTIONS[i % 3],
            CELLS,
            0 if kind == "easy" else i % 3 + 1,
        )
        for i, kind in enumerate(kinds)
    ]


def write(path: Path, rows: list[GateRow]) -> Path:
    path.write_bytes(b"".join(encode_row(row.to_json()) for row in rows))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain model, its pictures, labels and a recipe."""
    root = tmp_path_factory.mktemp("gate")
    whole = chat_checkpoint("qwen3_vl", eos=None)
    save_checkpoint(root / "whole", whole)
    plain = dataclasses.replace(whole, add_on=None, config=ZoomConfig(False))
    save_checkpoint(root / "plain", plain)
    for seed in range(2):
        picture(240, 200 + 60 * seed, seed=seed).save(root / f"{seed}.png")
    write(root / "gate.jsonl", rows(9, 4))
    write(root / "fix.jsonl", [CropFixRow("hard5", "0.png", "what?", (16, 36), 1)])
    (root / "r.yaml").write_text(RECIPE)
    return root


def job(folder: Path, out: Path, **changes: object) -> Job[tuple[Path, ...]]:
    made = Job(
        (folder / "gate.jsonl",), folder, out, str(folder / "plain"), folder / "r.yaml", workers=0
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def add_on_of(folder: Path, adapter: Path) -> dict[str, torch.Tensor]:
    add_on = qzoom.load(folder / "plain", adapter=adapter).parts.add_on
    assert add_on is not None
    return add_on.state_dict()


def test_an_adapter_for_a_plain_backbone(folder: Path, tmp_path: Path) -> None:
    both = (folder / "gate.jsonl", folder / "fix.jsonl")
    adapter = train_gate(job(folder, tmp_path, labels=both))
    found = add_on_of(folder, adapter)
    fresh = with_branches(qzoom.load(folder / "plain").checkpoint).add_on
    assert fresh is not None
    same = {n for n, tensor in fresh.state_dict().items() if torch.equal(tensor, found[n])}
    assert same == {name for name in found if name.startswith("region.")}
    trained = json.loads((tmp_path / "training.json").read_text())
    # Four hard ones, as many easy ones, and one about a crop: 9 twice, by threes.
    assert trained["steps"] == len(read_metrics(tmp_path / "gate/metrics.jsonl")) == 6
    assert train_gate(job(folder, tmp_path, labels=both)) == adapter


def test_region_and_gate_compose(folder: Path, labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("batch_size: 4\nbf16: false\n")
    plain = str(folder / "plain")
    region = train_region(
        Job((labelled / "labels",), labelled, tmp_path / "r", plain, tmp_path / "r.yaml", workers=0)
    )
    both = train_gate(job(folder, tmp_path / "g", adapter=region))
    before, after = add_on_of(folder, region), add_on_of(folder, both)
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in after if name.startswith("gate.")}
    other = train_region(
        Job((labelled / "labels",), labelled, tmp_path / "o", plain, tmp_path / "r.yaml", workers=0,
            adapter=both)
    )  # fmt: skip
    third = add_on_of(folder, other)
    moved = {name for name, tensor in third.items() if not torch.equal(tensor, after[name])}
    assert moved == {name for name in after if name.startswith("region.")}


def test_a_stopped_training_goes_on_with_the_same_losses(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_gate(job(folder, tmp_path / "whole"))

    def stop(self: GateStage, step: int) -> Batch:
        if step == 3:
            raise KeyboardInterrupt
        return make_batch(self, step)

    make_batch = GateStage.make_batch
    with monkeypatch.context() as patch:
        patch.setattr(GateStage, "make_batch", stop)
        with pytest.raises(KeyboardInterrupt):
            train_gate(job(folder, tmp_path / "parts"))
    parts = train_gate(job(folder, tmp_path / "parts"))
    losses = [
        [line["loss"] for line in read_metrics(tmp_path / name / "gate/metrics.jsonl")]
        for name in ("whole", "parts")
    ]
    assert len(losses[0]) == 6
    assert losses[0] == losses[1]
    one, other = add_on_of(folder, whole), add_on_of(folder, parts)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_levels_of_effort_end_with_the_gate_they_were_chosen_for(
    folder: Path, tmp_path: Path
) -> None:
    levels = chat_checkpoint("qwen3_vl", effort_thresholds={"low": 0.4})
    save_adapter(tmp_path / "calibrated", levels)
    trained = train_gate(job(folder, tmp_path, adapter=tmp_path / "calibrated"))
    config = qzoom.load(folder / "plain", adapter=trained).config
    assert config == dataclasses.replace(levels.config, effort_thresholds={})


def test_looks_are_balanced_and_drawn_anew_each_epoch(tmp_path: Path) -> None:
    gate = write(tmp_path / "gate.jsonl", rows(30, 8))
    fix = write(tmp_path / "fix.jsonl", [CropFixRow("hard31", "0.png", "what?", (16, 36), 1)])
    looks = GateLooks.open([gate, fix], batch_size=17, draw=GateDraw(seed=2))
    assert Counter(row.outcome for row in looks.rows) == {"easy": 8, "hard": 9}
    epochs = [looks(step) for step in range(20)]
    first, second = (sorted((x.image, x.question) for x in looks) for looks in epochs[:2])
    assert first == second
    assert epochs[0] != epochs[1]
    assert epochs[0] == looks(0)
    budgets = {look.budget_cells for epoch in epochs for look in epoch if look.question != "what?"}
    assert budgets == {(cells, cells) for cells in CELLS[:-2]}
    assert {x.budget_cells for e in epochs for x in e if x.question == "what?"} == {(16, 36)}
    assert GateLooks.open([gate, fix], 17, GateDraw(seed=3)).rows != looks.rows


def test_what_cannot_be_trained_says_so(folder: Path, tmp_path: Path) -> None:
    easy = write(tmp_path / "easy.jsonl", rows(3, 0))
    with pytest.raises(LabelError, match=r"none of 3 rows is kept; .*easy_per_hard=1 keeps"):
        GateLooks.open([easy], 4, GateDraw())
    (tmp_path / "bad.jsonl").write_text('{"schema": 1}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl:1: 'kind' is missing"):
        train_gate(job(folder, tmp_path / "out", labels=(tmp_path / "bad.jsonl",)))
    (tmp_path / "r.yaml").write_text("wrong_share: 2")
    with pytest.raises(ConfigError, match="wrong_share is 2"):
        train_gate(job(folder, tmp_path / "out", recipe=tmp_path / "r.yaml"))
    for name, value in (("save_every", 0), ("batch_size", 0)):
        with pytest.raises(ConfigError, match=f"{name} is 0; it must be above 0"):
            RegionRecipe(**{name: value})  # type: ignore[arg-type]


def test_the_recipe_is_the_papers_and_the_page_shows_its_defaults(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/gate.md").read_text()
    (tmp_path / "page.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    shown = read_settings_file(tmp_path / "page.yaml", GateRecipe, "recipe")
    assert dataclasses.replace(shown, branches=GateRecipe().branches) == GateRecipe()
    (tmp_path / "r.yaml").write_text("easy_per_hard: 2")
    recipe = read_settings_file(tmp_path / "r.yaml", GateRecipe, "recipe")
    assert recipe.draw == GateDraw(easy_per_hard=2)
    assert (recipe.batch_size, recipe.epochs, recipe.warmup_share) == (128, 1, 0.03)
    assert (recipe.optim.adamw_lr, recipe.optim.betas) == (1e-4, (0.9, 0.98))


def test_a_model_with_a_region_alone_is_given_a_gate(folder: Path, tmp_path: Path) -> None:
    no_gate = chat_checkpoint("qwen3_vl", gate=False)
    assert with_branches(no_gate) is no_gate
    save_adapter(tmp_path / "region", no_gate)
    both = train_gate(job(folder, tmp_path, adapter=tmp_path / "region"))
    model = qzoom.load(folder / "plain", adapter=both)
    assert model.config == dataclasses.replace(no_gate.config, gate_enabled=True)
    assert no_gate.add_on is not None
    found = add_on_of(folder, both)
    for name, tensor in no_gate.add_on.region.state_dict().items():
        assert torch.equal(tensor, found[f"region.{name}"])
