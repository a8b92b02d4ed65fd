"""What qzoom computes equals what the reference stored, one prompt at a time and in batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.parity.batches import BatchOfCases
from tests.parity.compare import case_differences, misses, run_differences
from tests.parity.goldens import COMMITTED, KNOWN, golden_cases, golden_folders, label_files
from tests.parity.run_goldens import check_folder, main
from tests.parity.trainings import label_differences, training_differences

import qzoom


def test_pixels(golden_folder: Path, golden_model: qzoom.ZoomModel) -> None:
    for case in golden_cases(golden_folder):
        assert not misses(case_differences(golden_model, case)), case.name


def test_runs(golden_folder: Path, golden_model: qzoom.ZoomModel) -> None:
    compared = 0
    for case in golden_cases(golden_folder):
        for run in case.runs:
            differences = run_differences(golden_model, case, run)
            assert not misses(differences), f"{case.name} run {run.index}"
            compared += 1
    assert compared >= 10


def test_all_other_folders(shared_goldens: Path) -> None:
    for folder in golden_folders([shared_goldens]):
        if folder.name in KNOWN:
            continue
        for result in check_folder(folder, "eager", "float32"):
            assert not misses(result.differences), result.label


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_trainings_and_labels_of_all_folders(shared_goldens: Path, kernel: str) -> None:
    compared = 0
    for folder in golden_folders([shared_goldens]):
        model = qzoom.load(folder / "checkpoint", dtype="float32", attn_implementation=kernel)
        for name, branch, differences in training_differences(folder, model):
            assert not misses(differences), f"{folder.name} {name} {branch}"
            compared += 1
    assert compared == 6 * len(golden_folders([shared_goldens]))
    for file in label_files([shared_goldens]):
        for name, differences in label_differences(file):
            assert not misses(differences), name


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_routes_each_row_on_its_own(
    golden_folder: Path, golden_model: qzoom.ZoomModel, side: str
) -> None:
    batch = BatchOfCases(golden_folder)
    options = batch.mixed_options()
    together = batch.generate(golden_model, side, **options)
    assert set(together.zoomed) == {False, True}
    for row in range(len(batch.cases)):
        alone = batch.generate_one(golden_model, row, **options)
        assert not misses(batch.differences(together, row, alone)), batch.cases[row].name


@pytest.mark.parametrize("run", [2, 3])
def test_a_batch_of_one_mind(golden_folder: Path, golden_model: qzoom.ZoomModel, run: int) -> None:
    # Run 2 has the lowest region threshold: every row of the batch zooms. In run 3 none does.
    batch = BatchOfCases(golden_folder)
    options = batch.shared_options(run)
    together = batch.generate(golden_model, "right", **options)
    assert set(together.zoomed) == {run == 2}
    for row in range(len(batch.cases)):
        alone = batch.generate_one(golden_model, row, **options)
        assert not misses(batch.differences(together, row, alone)), batch.cases[row].name


def test_a_batch_in_which_rows_end_early(
    golden_folder: Path, golden_model: qzoom.ZoomModel
) -> None:
    batch = BatchOfCases(golden_folder)
    options = batch.mixed_options()
    free = batch.generate(golden_model, "left", **options).sequences[:, -6:]
    options["eos_token_id"] = int(free[0, 1])
    ended = golden_model.generate(**batch.inputs("left"), pad_token_id=2, **options)
    width = ended.shape[1] - batch.width
    for row, tokens in enumerate(free.tolist()):
        at = tokens.index(options["eos_token_id"]) if options["eos_token_id"] in tokens else 5
        expected = (tokens[: at + 1] + [2] * 6)[:width]
        assert ended[row, batch.width :].tolist() == expected


def test_the_script_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(COMMITTED), "--attn", "sdpa"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("PASS") for line in lines) == 44
    assert lines[-1].startswith("44 of 44")


def test_the_script_reports_misses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = qzoom.load

    def disturbed(*args: object, **options: object) -> qzoom.ZoomModel:
        model = load(*args, **options)  # type: ignore[arg-type]
        with torch.no_grad():
            model.parts.backbone.language.norm.weight[0] += 0.01
        return model

    monkeypatch.setattr(qzoom, "load", disturbed)
    assert main([str(COMMITTED / "qwen3_vl-large")]) == 1
    missed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISS")]
    # The norm lies above the branches: generation goes wrong, their training does not.
    assert len(missed) == 10
    assert all("logits" in line for line in missed)
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
