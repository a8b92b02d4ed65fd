"""Recipes in YAML: every setting named, unknown ones refused with a suggestion."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from qzoom.errors import ConfigError
from qzoom.train.optim import OptimSettings
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

    With `freeze_tower` only the tower's mergers learn along with the decoder.
    """

    steps: int = 2000
    windows: int = 12
    freeze_tower: bool = False
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
    branches: BranchesRecipe = field(default_factory=BranchesRecipe)
    zoom: ZoomRecipe = field(default_factory=ZoomRecipe)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        ConfigError: when the file is missing, not YAML, or holds an unknown or mistyped setting.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"recipe {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path} is not YAML: {_where_and_why(error)}") from None
    recipe = _build(Recipe, {} if content is None else content, "recipe")
    assert isinstance(recipe, Recipe)
    return recipe


def _where_and_why(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    return str(error).splitlines()[0]


def _build(kind: type[Any], values: object, where: str) -> Any:
    """A settings object from a block of YAML, its blocks and values checked by their type hints."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a block of settings, got {values!r}")
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            near = difflib.get_close_matches(str(name), hints, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(hints)}"
            raise ConfigError(f"unknown setting {name!r} in {where}{hint}")
    return kind(**{name: _value(hints[name], v, f"{where}.{name}") for name, v in values.items()})


def _value(hint: Any, value: object, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            known = ", ".join(map(str, get_args(hint)))
            raise ConfigError(f"{where} must be one of {known}, got {value!r}")
        return value
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        if not isinstance(value, list) or len(value) != len(kinds):
            raise ConfigError(f"{where} must be a list of {len(kinds)} numbers, got {value!r}")
        return tuple(_value(kind, v, where) for kind, v in zip(kinds, value, strict=True))
    if hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false, got {value!r}")
        return value
    return _number(hint, value, where)


def _number(kind: Any, value: Any, where: str) -> int | float:
    fits = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if fits and math.isfinite(value):
        number: int | float = kind(value)
        return number
    name = "whole number" if kind is int else "number"
    # YAML 1.1 reads 1e-3 as text.
    hint = "; write 1e-3 as 1.0e-3" if isinstance(value, str) and "e" in value.lower() else ""
    raise ConfigError(f"{where} must be a {name}, got {value!r}{hint}")
