"""Looks at real documents for training: a readable window, a page and a crop, a whole page."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from PIL import Image

from qzoom.errors import DataError
from qzoom.synth.canvas import Question
from qzoom.synth.drawing import PixelBox
from qzoom.synth.window_labels import CELL_PX
from qzoom.train.pages import Page, Pages, choose_evenly, cut, worn
from qzoom.train.views import (
    COARSE_CELLS,
    BoxCells,
    View,
    ViewMix,
    ViewPlan,
    place_crop,
    view_hw_cells,
)

Size = tuple[int, int]

WINDOWS_HW_CELLS: Final = ((3, 8), (4, 8), (5, 7), (6, 6), (6, 8), (4, 10))
"""Shapes of windows: wider than high, as what a line's words belong to is beside them."""
PRINT_PX: Final = (11.0, 27.0)
"""Heights at which the boxes of answers are shown in windows."""
CROP_CELLS: Final = (48, 128)
"""Cells of a crop, after it was enlarged or shrunk."""
SIMILAR_CELLS: Final = 1
"""Rows or columns by which pages of one batch may differ before they are laid on one shape."""
TRIES: Final = 40
"""Pages drawn for one batch, at most, and batches drawn until an answer fits its crop."""


@dataclass(frozen=True)
class PageMix:
    """Shares of the looks at pages, and cells that a batch may hold.

    window: a small part at a readable size, with many questions: where reading is learned.
    zoom: the coarse page and a crop that holds the answer. full: the whole page.
    """

    window: float = 0.5
    zoom: float = 0.35
    full: float = 0.15
    cells_per_batch: int = 600
    full_max_cells: int = 1024

    def batch(self, rng: Random, pages: Pages) -> tuple[ViewPlan, list[View]]:
        """Views of one shape and how they were planned."""
        looks = (_windows, _zooms, _wholes)
        look = rng.choices(looks, (self.window, self.zoom, self.full))[0]
        return look(rng, pages, self)


@dataclass(frozen=True)
class MixedLooks:
    """Real pages for a share of the batches, the procedural world for the others."""

    world: ViewMix
    pages: Pages
    page_mix: PageMix
    share: float

    def batch(self, rng: Random) -> tuple[ViewPlan, list[View]]:
        """Views of one shape and how they were planned."""
        if rng.random() < self.share:
            return self.page_mix.batch(rng, self.pages)
        return self.world.batch(rng)


def _windows(rng: Random, pages: Pages, mix: PageMix) -> tuple[ViewPlan, list[View]]:
    rows, cols = rng.choice(WINDOWS_HW_CELLS)
    size = (cols * CELL_PX, rows * CELL_PX)
    plan = ViewPlan(
        size, rows * cols, max(1, mix.cells_per_batch // (rows * cols)), 6, look="window"
    )
    views = [_window(rng, pages.draw(rng), plan) for _ in range(plan.images)]
    return plan, views


def _window(rng: Random, page: Page, plan: ViewPlan) -> View:
    """A window around one question's answer, asked about all answers in it."""
    image, (width, height) = page.open(), plan.canvas_px
    about = choose_evenly(rng, page.questions, 2)[1]  # the second of two is drawn by kind
    assert about.box_px_xyxy is not None
    x1, y1, x2, y2 = about.box_px_xyxy
    # A long answer is shown smaller, so that it fits.
    scale = min(rng.uniform(*PRINT_PX) / (y2 - y1), 0.95 * width / (x2 - x1))
    scale = min(scale, 0.95 * height / (y2 - y1))
    # Print as high as the page itself must not call for a sheet many pages wide.
    scale = max(scale, min(width / image.width, height / image.height))
    wide, high = width / scale, height / scale
    left = _start(rng, (x1, x2), wide, image.width)
    top = _start(rng, (y1, y2), high, image.height)
    region = (left, top, left + wide, top + high)
    inside = [own for q in page.questions if (own := _within(q, region, scale)) is not None]
    if not inside:
        raise DataError(
            f"image {page.image!r}: the answer to {about.text!r} lies off the picture; "
            "run qzoom data check --decode"
        )
    shown = worn(rng, cut(image, region, plan.canvas_px))
    return View(shown, choose_evenly(rng, inside, plan.groups), [], [])


def _start(rng: Random, span: tuple[float, float], length: float, limit: float) -> float:
    """Where a window of a length begins that holds a span, inside the page if it can be."""
    low, high = span[1] - length, span[0]
    if length < limit:
        low, high = max(low, 0.0), min(high, limit - length)
    return rng.uniform(low, high) if low < high else span[0]


def _within(question: Question, region: PixelBox, scale: float) -> Question | None:
    assert question.box_px_xyxy is not None
    x1, y1, x2, y2 = question.box_px_xyxy
    # A pixel of rounding must not put the question at the window's centre out of it.
    if x1 < region[0] - 1 or y1 < region[1] - 1 or x2 > region[2] + 1 or y2 > region[3] + 1:
        return None
    left, top = region[0], region[1]
    box = ((x1 - left) * scale, (y1 - top) * scale, (x2 - left) * scale, (y2 - top) * scale)
    return Question(question.text, question.answer, question.kind, box)


def _wholes(rng: Random, pages: Pages, mix: PageMix) -> tuple[ViewPlan, list[View]]:
    plan, drawn = _alike(rng, pages, mix, mix.full_max_cells, 0, 8)
    rows, cols = view_hw_cells(plan.canvas_px, plan.max_cells)
    views = []
    for page in drawn:
        sheet = _Sheet(page.open(), plan.canvas_px)
        shown = worn(rng, sheet.show((cols * CELL_PX, rows * CELL_PX)))
        asked = choose_evenly(rng, [sheet.place(q) for q in page.questions], plan.groups)
        views.append(View(shown, asked, [], []))
    return plan, views


def _zooms(rng: Random, pages: Pages, mix: PageMix) -> tuple[ViewPlan, list[View]]:
    for _ in range(TRIES):
        plan, drawn = _alike(rng, pages, mix, COARSE_CELLS, 110, 3)
        rows, cols = view_hw_cells(plan.canvas_px, COARSE_CELLS)
        crop_hw = min(rows, rng.randint(2, 4)), min(cols, rng.randint(2, 6))
        cells = rng.uniform(*CROP_CELLS)
        side = (crop_hw[0] * crop_hw[1] / cells) ** 0.5
        shown_hw = max(1, round(crop_hw[0] / side)), max(1, round(crop_hw[1] / side))
        views = [_zoom(rng, page, plan, (rows, cols), crop_hw, shown_hw) for page in drawn]
        if found := [view for view in views if view is not None]:
            look = "page_zoom"
            return ViewPlan(plan.canvas_px, COARSE_CELLS, len(found), 3, crop_hw, look=look), found
    raise DataError(
        f"no answer of {TRIES} batches of pages fits into a crop of 4x6 cells; set zoom to 0"
    )


def _zoom(
    rng: Random, page: Page, plan: ViewPlan, source_hw: Size, crop_hw: Size, shown_hw: Size
) -> View | None:
    sheet = _Sheet(page.open(), plan.canvas_px)
    boxes: dict[Question, BoxCells] = {}
    for question in page.questions:
        placed = sheet.place(question)
        if box := place_crop(rng, placed, plan.canvas_px, source_hw, crop_hw):
            boxes[placed] = box
    if not boxes:
        return None
    chosen = choose_evenly(rng, list(boxes), plan.groups)
    size = (shown_hw[1] * CELL_PX, shown_hw[0] * CELL_PX)
    crops = [worn(rng, sheet.show(size, boxes[q], source_hw)) for q in chosen]
    shown = worn(rng, sheet.show((source_hw[1] * CELL_PX, source_hw[0] * CELL_PX)))
    return View(shown, chosen, [boxes[q] for q in chosen], crops)


def _alike(
    rng: Random, pages: Pages, mix: PageMix, max_cells: int, more_cells: int, groups: int
) -> tuple[ViewPlan, list[Page]]:
    """Pages of about one shape, to be shown alike."""
    first = pages.draw(rng)
    canvas = first.size_px
    rows, cols = view_hw_cells(canvas, COARSE_CELLS)
    shown = view_hw_cells(canvas, max_cells)
    wanted = max(1, mix.cells_per_batch // (shown[0] * shown[1] + more_cells))
    found = [first]
    for _ in range(TRIES):
        if len(found) == wanted:
            break
        page = pages.draw(rng)
        own = view_hw_cells(page.size_px, COARSE_CELLS)
        if abs(own[0] - rows) <= SIMILAR_CELLS and abs(own[1] - cols) <= SIMILAR_CELLS:
            found.append(page)
    return ViewPlan(canvas, max_cells, len(found), groups, look="page_full"), found


class _Sheet:
    """A page laid on white paper of the canvas's shape, and places of the one on the other."""

    def __init__(self, image: Image.Image, canvas_px: Size) -> None:
        self.image, self.canvas_px = image, canvas_px
        self.scale = min(canvas_px[0] / image.width, canvas_px[1] / image.height)

    def place(self, question: Question) -> Question:
        """The question with its box in pixels of the canvas."""
        assert question.box_px_xyxy is not None
        x1, y1, x2, y2 = (value * self.scale for value in question.box_px_xyxy)
        return Question(question.text, question.answer, question.kind, (x1, y1, x2, y2))

    def show(
        self, size_px: Size, box: BoxCells | None = None, source_hw: Size = (1, 1)
    ) -> Image.Image:
        """The sheet, or what a box of its cells holds, at a size."""
        wide, high = (side / self.scale for side in self.canvas_px)
        x1, y1, x2, y2 = box or (0, 0, source_hw[1], source_hw[0])
        cell_w, cell_h = wide / source_hw[1], high / source_hw[0]
        region = (x1 * cell_w, y1 * cell_h, x2 * cell_w, y2 * cell_h)
        return cut(self.image, region, size_px)
