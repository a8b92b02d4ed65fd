"""Recipes in YAML: every setting named, unknown ones refused with a suggestion."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qzoom.settings import read_settings_file
from qzoom.train.optim import OptimSettings
from qzoom.train.page_looks import PageMix
from qzoom.train.pages import PageSource
from qzoom.train.views import ViewMix


@dataclass(frozen=True)
class CellsRecipe:
    """Reading windows: `steps` batches of `batch_size` windows of `side` x `side` cells.

    Print is between `smallest_px` and `largest_px` em.
    """

    steps: int = 2000
    batch_size: int = 64
    side: int = 4
    smallest_px: float = 11.0
    largest_px: float = 26.0
    optim: OptimSettings = field(default_factory=OptimSettings)


@dataclass(frozen=True)
class QuestionsRecipe:
    """Questions: `steps` batches of the mix, each with `windows` reading windows.

    Windows are of `window_side` x `window_side` cells with print up to `largest_px` em. With
    `freeze_tower` only the tower's mergers learn along with the decoder.
    """

    steps: int = 2000
    windows: int = 12
    window_side: int = 4
    largest_px: float = 26.0
    freeze_tower: bool = False
    mix: ViewMix = field(default_factory=ViewMix)
    optim: OptimSettings = field(default_factory=OptimSettings)


@dataclass(frozen=True)
class DocumentsRecipe:
    """Real documents: `steps` batches, a `share` of them of the sources, the others of the mix."""

    steps: int = 0
    sources: tuple[PageSource, ...] = ()
    share: float = 0.65
    pages: PageMix = field(default_factory=PageMix)
    mix: ViewMix = field(default_factory=ViewMix)
    optim: OptimSettings = field(default_factory=OptimSettings)


@dataclass(frozen=True)
class BranchesRecipe:
    """Gate and region network on the frozen trunk."""

    steps: int = 400
    mix: ViewMix = field(default_factory=ViewMix)
    optim: OptimSettings = field(default_factory=OptimSettings)


@dataclass(frozen=True)
class ZoomRecipe:
    """Thresholds and budget written into the exported model."""

    gate_threshold: float = 0.5
    roi_threshold: float = 0.25
    min_cells: int = 16
    max_cells: int = 64


@dataclass(frozen=True)
class Recipe:
    """All stages of pre-training, in order."""

    seed: int = 0
    cells: CellsRecipe = field(default_factory=CellsRecipe)
    sizes: CellsRecipe = field(default_factory=CellsRecipe)
    questions: QuestionsRecipe = field(default_factory=QuestionsRecipe)
    budgets: QuestionsRecipe = field(default_factory=QuestionsRecipe)
    documents: DocumentsRecipe = field(default_factory=DocumentsRecipe)
    branches: BranchesRecipe = field(default_factory=BranchesRecipe)
    zoom: ZoomRecipe = field(default_factory=ZoomRecipe)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        ConfigError: as `read_settings_file`.
    """
    return read_settings_file(path, Recipe, "recipe")
