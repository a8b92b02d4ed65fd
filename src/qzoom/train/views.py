"""Scenes turned into training views: a coarse, double or full look, or a coarse look and a crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol, TypeVar

from PIL import Image

from qzoom.geometry.grids import smart_resize
from qzoom.synth.canvas import Question, SizeMix
from qzoom.synth.window_labels import CELL_PX
from qzoom.synth.world import CANVASES_PX, Scene, make_scene

COARSE_CELLS: Final = 64
MIN_CELLS: Final = 16
READABLE_PX: Final = 8.5
"""Em size from which print in a view is taken to be readable when questions are chosen."""

SLOW_KINDS: Final = frozenset({"colour", "tallest", "count"})

T = TypeVar("T")
SPOTS_PX: Final = ((128, 128), (160, 128), (128, 160), (192, 128))
SPOT_SIZES: Final = SizeMix(0.0, 0.5, 0.5, ((0, 0), (22.0, 27.0), (27.0, 40.0)))

BoxCells = tuple[int, int, int, int]


@dataclass(frozen=True)
class ViewPlan:
    """What one batch looks like: one canvas size, one budget, perhaps one crop shape.

    look: its name in the metrics.
    """

    canvas_px: tuple[int, int]
    max_cells: int
    images: int
    groups: int
    crop_hw_cells: tuple[int, int] | None = None
    spot: bool = False
    look: str = ""


@dataclass(frozen=True)
class View:
    """One picture at its budget with chosen questions, and for a zoomed one their crops."""

    image: Image.Image
    questions: list[Question]
    boxes_cells_xyxy: list[BoxCells]
    crops: list[Image.Image]


class Looks(Protocol):
    """Where a stage's views come from."""

    def batch(self, rng: Random) -> tuple[ViewPlan, list[View]]:
        """Views of one shape and how they were planned."""
        ...


@dataclass(frozen=True)
class ViewMix:
    """Shares of the kinds of look, and cells a batch may hold.

    A spot is a small picture of one or two signs or cards at its own size: the first lesson.
    """

    spot: float = 0.0
    coarse: float = 0.4
    double: float = 0.15
    full: float = 0.1
    zoom: float = 0.35
    cells_per_batch: int = 1536
    full_max_cells: int = 1024

    def batch(self, rng: Random) -> tuple[ViewPlan, list[View]]:
        """Views of one shape and how they were planned."""
        plan = self.plan(rng)
        return plan, [make_view(rng, plan) for _ in range(plan.images)]

    def plan(self, rng: Random) -> ViewPlan:
        """Draw the plan of one batch."""
        looks = ("spot", "coarse", "double", "full", "zoom")
        shares = (self.spot, self.coarse, self.double, self.full, self.zoom)
        look = rng.choices(looks, shares)[0]
        if look == "spot":
            canvas = rng.choice(SPOTS_PX)
            rows, cols = view_hw_cells(canvas, COARSE_CELLS)
            images = max(1, self.cells_per_batch // (rows * cols))
            return ViewPlan(canvas, COARSE_CELLS, images, 3, spot=True, look=look)
        canvas = rng.choice(CANVASES_PX)
        budget = {"double": 2 * COARSE_CELLS, "full": self.full_max_cells}.get(look, COARSE_CELLS)
        rows, cols = view_hw_cells(canvas, budget)
        if look != "zoom":
            images = max(1, self.cells_per_batch // (rows * cols))
            groups = 6 if look == "coarse" else 8
            return ViewPlan(canvas, budget, images, groups, look=look)
        crop = (min(rows, rng.randint(2, 4)), min(cols, rng.randint(2, 5)))
        images = max(1, self.cells_per_batch // (rows * cols + 110))
        return ViewPlan(canvas, budget, images, 3, crop, look=look)


def view_hw_cells(size_px: tuple[int, int], max_cells: int) -> tuple[int, int]:
    """Rows and columns of cells of a picture of (width, height) pixels under a budget."""
    height, width = smart_resize(
        size_px[1],
        size_px[0],
        factor_px=CELL_PX,
        min_pixels=MIN_CELLS * CELL_PX**2,
        max_pixels=max_cells * CELL_PX**2,
    )
    return height // CELL_PX, width // CELL_PX


def resize_to_budget(image: Image.Image, max_cells: int) -> Image.Image:
    """The picture resized as the image processor would."""
    rows, cols = view_hw_cells(image.size, max_cells)
    return image.resize((cols * CELL_PX, rows * CELL_PX), Image.Resampling.BICUBIC)


def make_view(rng: Random, plan: ViewPlan) -> View:
    """Draw scenes until one has questions that the view can answer."""
    kind = rng.choice(("signs", "cards")) if plan.spot else None
    easy = plan.crop_hw_cells is None and plan.max_cells <= 2 * COARSE_CELLS
    sizes = SizeMix(0.15, 0.2, 0.65) if easy else SizeMix()
    sizes = SPOT_SIZES if plan.spot else sizes
    while True:
        scene = make_scene(rng, kind=kind, size_px=plan.canvas_px, sizes=sizes)
        view = (
            _direct(rng, scene, plan) if plan.crop_hw_cells is None else _zoomed(rng, scene, plan)
        )
        if view is not None:
            return view


def _direct(rng: Random, scene: Scene, plan: ViewPlan) -> View | None:
    _, cols = view_hw_cells(plan.canvas_px, plan.max_cells)
    scale = cols * CELL_PX / plan.canvas_px[0] * scene.unit_px
    fit = [
        q for q in scene.questions if q.size_units is None or q.size_units * scale >= READABLE_PX
    ]
    if not fit:
        return None
    # Naming a colour is learned last: asked three times as often, it is not left behind.
    fit += 2 * [question for question in fit if question.kind in SLOW_KINDS]
    image = resize_to_budget(scene.image, plan.max_cells)
    return View(image, choose(rng, fit, plan.groups), [], [])


def _zoomed(rng: Random, scene: Scene, plan: ViewPlan) -> View | None:
    assert plan.crop_hw_cells is not None
    rows, cols = view_hw_cells(plan.canvas_px, plan.max_cells)
    placed = [
        (question, box)
        for question in scene.questions
        if (box := place_crop(rng, question, plan.canvas_px, (rows, cols), plan.crop_hw_cells))
    ]
    if not placed:
        return None
    chosen = choose(rng, placed, plan.groups)
    cell_w, cell_h = plan.canvas_px[0] / cols, plan.canvas_px[1] / rows
    # One nominal size for all crops: boxes at different places differ by a pixel of rounding.
    nominal = (round(plan.crop_hw_cells[1] * cell_w), round(plan.crop_hw_cells[0] * cell_h))
    crop_rows, crop_cols = view_hw_cells(nominal, plan.max_cells)
    crops = [
        scene.image.crop(
            (int(b[0] * cell_w), int(b[1] * cell_h), int(b[2] * cell_w), int(b[3] * cell_h))
        ).resize((crop_cols * CELL_PX, crop_rows * CELL_PX), Image.Resampling.BICUBIC)
        for _, b in chosen
    ]
    image = resize_to_budget(scene.image, plan.max_cells)
    return View(image, [q for q, _ in chosen], [b for _, b in chosen], crops)


def choose(rng: Random, options: Sequence[T], count: int) -> list[T]:
    """`count` of the options, without repeats where there are enough."""
    if len(options) >= count:
        return rng.sample(options, count)
    return [*options, *rng.choices(options, k=count - len(options))]


def place_crop(
    rng: Random,
    question: Question,
    canvas_px: tuple[int, int],
    source_hw: tuple[int, int],
    crop_hw: tuple[int, int],
) -> BoxCells | None:
    """A box of `crop_hw` source cells that holds the question's answer, at a random place."""
    if question.box_px_xyxy is None:
        return None
    spans = []
    for axis in (0, 1):
        side = canvas_px[axis] / source_hw[1 - axis]
        low, high = question.box_px_xyxy[axis], question.box_px_xyxy[axis + 2]
        first, last = int(low / side), int((high - 1) / side)
        length, limit = crop_hw[1 - axis], source_hw[1 - axis]
        starts = range(max(0, last + 1 - length), min(first, limit - length) + 1)
        if not starts:
            return None
        start = rng.choice(starts)
        spans.append((start, start + length))
    (x1, x2), (y1, y2) = spans
    return x1, y1, x2, y2
