"""How region labels are made: heads, sinks, layout of the picture, thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from PIL import Image

from qzoom.errors import ConfigError
from qzoom.images.pipeline import ImagePipeline
from qzoom.images.square import pad_to_square
from qzoom.labels.attention import HeadSet
from qzoom.labels.presets import HeadPreset, Kind
from qzoom.labels.tristate import TriStateRule

Layout = Literal["square", "native"]
SinkSource = Literal["heads", "norm", "none"]

BOX_REQUEST: Final = (
    "Which parts of the picture are needed to answer this question? For each, write one plain "
    "line: its box as four numbers, then what it shows."
)
"""Asked along with a question about a natural picture: naming places makes attention land there."""


@dataclass(frozen=True)
class RegionLabelSettings:
    """What decides a region label; stored beside the labels.

    Args:
        layout: "square" pads the picture to a square of exactly `cells` (a square number), as the
            reference does; "native" keeps its shape, at most `cells`.
        cells: Cells of a map.
        max_new_tokens: Longest response.
        sinks: Where sinks come from: the preset's sink heads, feature norms, or nowhere.
        norm_layer, norm_threshold: For "norm": the trunk layer whose inputs are measured, and the
            length above which a cell is a sink.
        rule: Thresholds of the tri-state labels.

    Raises:
        ConfigError: If a value is out of range.
    """

    layout: Layout = "square"
    cells: int = 576
    max_new_tokens: int = 128
    sinks: SinkSource = "heads"
    norm_layer: int = 1
    norm_threshold: float = 0.0
    rule: TriStateRule = field(default_factory=TriStateRule)

    def __post_init__(self) -> None:
        for name, choices in (("layout", Layout), ("sinks", SinkSource)):
            if getattr(self, name) not in get_args(choices):
                known = ", ".join(get_args(choices))
                raise ConfigError(f"{name} is {getattr(self, name)!r}; known: {known}")
        side = round(self.cells**0.5)
        if self.cells < 1 or (self.layout == "square" and side * side != self.cells):
            raise ConfigError(f"cells is {self.cells}; a square map needs a square number")
        if self.max_new_tokens < 2:
            raise ConfigError("max_new_tokens must be at least 2: the first token has no step")

    def prepare(self, image: Image.Image, cell_side_px: int) -> Image.Image:
        """The picture as it is labelled and trained on: as it is, or a square of `cells`."""
        if self.layout == "native":
            return image
        # Left to the budget alone, rounding may cost a square a row and a column of cells.
        side = round(self.cells**0.5) * cell_side_px
        return pad_to_square(image).resize((side, side), Image.Resampling.BICUBIC)

    def budgeted(self, pipeline: ImagePipeline) -> ImagePipeline:
        """The pipeline under this budget: exactly `cells` for a square map, at most otherwise."""
        cell_px = pipeline.cell_side_px**2
        least = min(max(1, pipeline.min_pixels // cell_px), self.cells)
        return pipeline.with_budget(self.cells if self.layout == "square" else least, self.cells)

    def to_json(self, heads: HeadPreset) -> dict[str, Any]:
        """Everything that decides a label, as JSON."""
        return dataclasses.asdict(self) | {
            "heads": {name: _plain(value) for name, value in vars(heads).items()}
        }


def settings_from_json(content: Mapping[str, Any]) -> RegionLabelSettings:
    """The settings that `to_json` wrote, without the heads."""
    fields = {item.name for item in dataclasses.fields(RegionLabelSettings)}
    values = {name: value for name, value in content.items() if name in fields}
    return RegionLabelSettings(**values | {"rule": TriStateRule(**values["rule"])})


def preset_from_json(content: object, where: str) -> HeadPreset:
    """Heads from the JSON that `qzoom label heads` writes.

    Raises:
        ConfigError: When it is not `{"textual": {layer: [heads]}, ...}`.
    """
    names = [item.name for item in dataclasses.fields(HeadPreset)]
    if not isinstance(content, Mapping) or not {"textual", "natural"} <= set(content) <= set(names):
        raise ConfigError(f"{where} must hold {', '.join(names)}, the last two optional")
    return HeadPreset(**{name: _head_set(heads, where) for name, heads in content.items()})


def prompt_for(question: str, kind: Kind) -> str:
    """The text a sample is labelled with."""
    return question if kind == "textual" else f"{question}\n{BOX_REQUEST}"


def heads_to_json(grounding: HeadSet, sinks: HeadSet) -> dict[str, dict[str, list[int]]]:
    """Heads that serve both kinds of picture, as `preset_from_json` reads them."""
    found, struck = _plain(grounding), _plain(sinks)
    return {"textual": found, "natural": found, "textual_sinks": struck, "natural_sinks": struck}


def _head_set(content: Any, where: str) -> HeadSet:
    try:
        return HeadSet({int(layer): tuple(map(int, heads)) for layer, heads in content.items()})
    except (AttributeError, TypeError, ValueError):
        raise ConfigError(f"heads in {where} must be layer: [heads], got {content!r}") from None


def _plain(heads: HeadSet) -> dict[str, list[int]]:
    return {str(layer): list(named) for layer, named in sorted(heads.heads_by_layer.items())}
