"""Recipes: every mistake is one clear line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qzoom.errors import ConfigError
from qzoom.train.pages import PageSource
from qzoom.train.recipe import Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[2]


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_recipe_is_read() -> None:
    recipe = read_recipe(ROOT / "recipes" / "tiny.yaml")
    assert recipe.cells.steps > 0
    assert recipe.zoom.max_cells == 64


@pytest.mark.parametrize("name", ["tiny_documents.yaml", "tiny_documents_late.yaml"])
def test_shipped_recipes_of_documents(name: str) -> None:
    documents = read_recipe(ROOT / "recipes" / name).documents
    assert documents.steps > 0
    assert sum(source.weight for source in documents.sources) == pytest.approx(1)
    scanned = next(source for source in documents.sources if source.images == "receipts")
    for answer in ("44.90", "11/01/2019", "24 MAR 18", "05-AUG-2017"):
        assert re.fullmatch(scanned.answers, answer)
    assert not re.fullmatch(scanned.answers, "2 BURGERS")


def test_settings_left_out_keep_their_defaults(tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, "")) == Recipe()
    recipe = read_recipe(written(tmp_path, "questions: {mix: {zoom: 1}, optim: {betas: [0.8, 1]}}"))
    assert recipe.questions.mix.zoom == 1.0
    assert isinstance(recipe.questions.mix.zoom, float)
    assert recipe.questions.optim.betas == (0.8, 1.0)
    assert recipe.budgets == Recipe().budgets


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede: 1", "unknown setting 'sede' in recipe; did you mean 'seed'?"),
        ("cells: {stpes: 1}", "unknown setting 'stpes' in recipe.cells; did you mean 'steps'?"),
        ("cells: {optim: {qqq: 1}}", "unknown setting 'qqq' in recipe.cells.optim; known: muon_lr"),
        ("1: 2", "unknown setting 1 in recipe"),
        ("seed: many", "recipe.seed must be a whole number, got 'many'"),
        ("seed: 1.5", "recipe.seed must be a whole number, got 1.5"),
        ("seed: true", "recipe.seed must be a whole number, got True"),
        ("zoom: {gate_threshold: high}", "recipe.zoom.gate_threshold must be a number, got 'high'"),
        ("zoom: {gate_threshold: .inf}", "must be a number, got inf"),
        ("cells: {optim: {muon_lr: 1e-3}}", "got '1e-3'; write 1e-3 as 1.0e-3"),
        ("cells: {optim: {betas: 0.9}}", "betas must be a list of 2 values, got 0.9"),
        ("cells: {optim: {betas: [0.9]}}", "betas must be a list of 2 values, got [0.9]"),
        ("cells: {optim: {betas: [0.9, x]}}", "betas[1] must be a number, got 'x'"),
        ("cells: {optim: {schedule: steep}}", "must be one of plateau, cosine, got 'steep'"),
        ("questions: {freeze_tower: 1}", "freeze_tower must be true or false, got 1"),
        ("documents: {sources: {}}", "documents.sources must be a list, got {}"),
        ("documents: {sources: [1]}", "sources[0] must be a block of settings, got 1"),
        ("documents: {sources: [{records: a}]}", "sources[0] has no 'images'"),
        ("documents: {sources: [{record: a}]}", "'record' in recipe.documents.sources[0]; did you"),
        ("documents: {sources: [{records: 1, images: b}]}", "[0].records must be a text, got 1"),
        ("cells: 5", "recipe.cells must be a block of settings, got 5"),
        ("cells:", "recipe.cells must be a block of settings, got None"),
        ("- seed", "recipe must be a block of settings, got ['seed']"),
        ("[]", "recipe must be a block of settings, got []"),
        ("seed: 1\ncells: {", "is not YAML: expected"),
        ("\tseed: 1", "is not YAML: found character '\\t' that cannot start any token in line 1"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_recipe(written(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml cannot be read: No such file"):
        read_recipe(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_recipe(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_recipe(tmp_path / "binary.yaml")
    # Text of another kind is not run.
    with pytest.raises(ConfigError, match="is not YAML"):
        read_recipe(written(tmp_path, "seed: !!python/object/apply:os.getpid []"))


def test_a_list_of_blocks(tmp_path: Path) -> None:
    text = "documents: {sources: [{records: a, images: b, weight: 2}, {records: c, images: d}]}"
    sources = read_recipe(written(tmp_path, text)).documents.sources
    assert sources == (PageSource("a", "b", 2.0), PageSource("c", "d", 1.0))
