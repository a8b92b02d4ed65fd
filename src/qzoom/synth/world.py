"""The procedural world: which scenes there are, how large, and how they are split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final

from PIL import Image

from qzoom.synth.canvas import Canvas, Question, SizeMix, blank_canvas
from qzoom.synth.cards import draw_cards
from qzoom.synth.charts import draw_chart
from qzoom.synth.fonts import FontSplit
from qzoom.synth.signs import draw_signs
from qzoom.synth.tables import draw_table

KINDS: Final = MappingProxyType[str, Callable[[Canvas], None]](
    {"signs": draw_signs, "cards": draw_cards, "chart": draw_chart, "table": draw_table}
)

CANVASES_PX: Final[tuple[tuple[int, int], ...]] = (
    (512, 512), (512, 512), (640, 512), (512, 640), (640, 640), (768, 512), (512, 768),
    (768, 576), (768, 768), (1024, 512), (1024, 576), (1024, 768),
)  # fmt: skip
"""(width, height) of the canvases, all whole cells of 32 px."""


@dataclass(frozen=True)
class Scene:
    """A picture with questions."""

    image: Image.Image
    questions: tuple[Question, ...]
    kind: str
    unit_px: float


def make_scene(
    rng: Random,
    *,
    kind: str | None = None,
    size_px: tuple[int, int] | None = None,
    sizes: SizeMix | None = None,
    split: FontSplit = "train",
) -> Scene:
    """Draw one scene; every choice not given is drawn from the generator."""
    while True:
        chosen = kind or rng.choice(sorted(KINDS))
        canvas = blank_canvas(rng, size_px or rng.choice(CANVASES_PX), sizes or SizeMix(), split)
        KINDS[chosen](canvas)
        if canvas.questions:
            return Scene(canvas.image, tuple(canvas.questions), chosen, canvas.unit_px)


def scene_of(seed: int, split: FontSplit = "train", name: str = "scene") -> Scene:
    """The scene of a seed: the same on every machine with the same fonts and Pillow."""
    return make_scene(Random(f"{name}/{split}/{seed}"), split=split)
