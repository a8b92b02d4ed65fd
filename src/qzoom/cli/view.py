"""The picture of one answer: question and answer above, what the model saw side by side below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw

from qzoom.cli.captions import font, wrap
from qzoom.cli.summary import decision
from qzoom.images.crop import crop_px
from qzoom.ui.heat import colour_bar, peak
from qzoom.ui.panels import BOX_COLOURS, Panel, box_colour

if TYPE_CHECKING:
    from qzoom.zoom.answer import ZoomAnswer

_PAPER: Final = (250, 250, 248)
_INK: Final = (28, 32, 40)
_DIM: Final = (112, 118, 130)
_ACCENT: Final = (0, 122, 110)

_MARGIN_PX: Final = 36
_GAP_PX: Final = 24
_LABEL_PX: Final = 104
_TEXT_SIZE: Final = 24
_SMALL_SIZE: Final = 17
_LINE_PX: Final = 34
_CAPTION_PX: Final = 30
_BAR_PX: Final = (72, 10)

_ROW_WIDTH_PX: Final = 1560
_LEAST_WIDTH_PX: Final = 680
_PANEL_HEIGHTS_PX: Final = (180, 440)
# Beyond these shapes a picture is centred in its panel, so that no panel grows without end.
_ASPECTS: Final = (0.4, 3.0)
_MAX_LINES: Final = 6


def render_view(source: Image.Image, question: str, answer: ZoomAnswer) -> Image.Image:
    """Draw source, heat map and crops of an answer, as far as there are any.

    Args:
        source: The decoded image that was asked about.
        question: As asked.
        answer: What the model gave; one without a closer look shows the source alone.
    """
    panels = _panels(source, answer)
    sizes = _panel_sizes(panels)
    row = sum(width for width, _ in sizes) + _GAP_PX * (len(sizes) - 1)
    width = max(row, _LEAST_WIDTH_PX)
    texts = _header(question, answer, width - _LABEL_PX)
    header_height = _LINE_PX * sum(len(lines) for _, lines, _ in texts) + _GAP_PX
    height = 2 * _MARGIN_PX + header_height + _CAPTION_PX + sizes[0][1]
    canvas = Image.new("RGB", (width + 2 * _MARGIN_PX, height), _PAPER)
    _draw_header(canvas, texts)
    left, top = _MARGIN_PX, _MARGIN_PX + header_height
    for panel, size in zip(panels, sizes, strict=True):
        _draw_caption(canvas, panel, (left, top), size[0])
        canvas.paste(panel.draw(size), (left, top + _CAPTION_PX))
        left += size[0] + _GAP_PX
    return canvas


def _panels(source: Image.Image, answer: ZoomAnswer) -> list[Panel]:
    boxes = tuple(answer.boxes_xyxy_px)
    panels = [Panel("source", _size_text(source), source, boxes)]
    if answer.heatmap is not None:
        map_hw = np.asarray(answer.heatmap.detach().float().cpu())
        detail = f"{peak(map_hw):.2f}"
        panels.append(Panel("heat map", detail, source, boxes, map_hw))
    for index, box in enumerate(boxes[: len(BOX_COLOURS)]):
        crop = crop_px(source, box)
        title = "crop" if len(boxes) == 1 else f"crop {index + 1}"
        panels.append(Panel(title, _size_text(crop), crop, frame=box_colour(index)))
    return panels


def _panel_sizes(panels: Sequence[Panel]) -> list[tuple[int, int]]:
    """Sizes of one height, chosen so that the row fills its width."""
    least, most = _ASPECTS
    aspects = [min(most, max(least, p.source.width / p.source.height)) for p in panels]
    low, high = _PANEL_HEIGHTS_PX
    room = _ROW_WIDTH_PX - _GAP_PX * (len(panels) - 1)
    height = round(min(high, max(low, room / sum(aspects))))
    return [(round(aspect * height), height) for aspect in aspects]


_Text = tuple[str, list[str], tuple[int, int, int]]


def _header(question: str, answer: ZoomAnswer, width_px: int) -> list[_Text]:
    rows = (
        ("question", question, _INK),
        ("answer", answer.text or "(nothing)", _ACCENT),
        ("decision", decision(answer), _DIM),
    )
    face = font(_TEXT_SIZE)
    return [(label, wrap(text, face, width_px, _MAX_LINES), ink) for label, text, ink in rows]


def _draw_header(canvas: Image.Image, texts: Sequence[_Text]) -> None:
    draw = ImageDraw.Draw(canvas)
    # Both sizes stand on one baseline.
    baseline = _MARGIN_PX + _TEXT_SIZE
    for label, lines, ink in texts:
        draw.text((_MARGIN_PX, baseline), label, _DIM, font(_SMALL_SIZE), anchor="ls")
        for line in lines:
            left = _MARGIN_PX + _LABEL_PX
            draw.text((left, baseline), line, ink, font(_TEXT_SIZE), anchor="ls")
            baseline += _LINE_PX


def _draw_caption(
    canvas: Image.Image, panel: Panel, left_top: tuple[int, int], width_px: int
) -> None:
    draw, face = ImageDraw.Draw(canvas), font(_SMALL_SIZE)
    left, baseline = left_top[0], left_top[1] + _SMALL_SIZE
    draw.text((left, baseline), panel.title, _INK, face, anchor="ls")
    is_map = panel.map_hw is not None
    detail_px = face.getlength(panel.detail) + (_BAR_PX[0] + face.getlength("0") + 16) * is_map
    if face.getlength(panel.title) + 12 + detail_px > width_px:
        return
    right = left + width_px
    draw.text((right, baseline), panel.detail, _DIM, face, anchor="rs")
    if is_map:
        bar_left = round(right - face.getlength(panel.detail) - 8 - _BAR_PX[0])
        canvas.paste(colour_bar(_BAR_PX), (bar_left, baseline - _BAR_PX[1]))
        draw.text((bar_left - 8, baseline), "0", _DIM, face, anchor="rs")


def _size_text(image: Image.Image) -> str:
    return f"{image.width} x {image.height} px"
