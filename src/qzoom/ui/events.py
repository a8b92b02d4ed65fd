"""What the page does when something is dropped, chosen or asked; knows no Gradio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qzoom.errors import QZoomError
from qzoom.ui.results import EMPTY, notice, problem, result
from qzoom.ui.visit import Visit, answer_steps, open_visit

if TYPE_CHECKING:
    from qzoom.images.decode import ImageSource
    from qzoom.zoom.model import ZoomModel


@dataclass(frozen=True)
class Shown:
    """What the page holds after an event: the visit, or None without a picture, and its HTML."""

    visit: Visit | None
    html: str


def on_picture(
    model: ZoomModel, source: ImageSource | None, suggestions: Sequence[str] = ()
) -> Iterator[Shown]:
    """A picture was dropped or chosen, or taken away where `source` is None."""
    if source is None:
        yield Shown(None, EMPTY)
        return
    yield Shown(None, notice("Reading the picture ..."))
    try:
        visit = open_visit(model, source, suggestions)
    except QZoomError as error:
        yield Shown(None, problem(str(error)))
        return
    image = visit.session.images[0]
    size = f"{image.width} x {image.height} px, {visit.read_s:.2f} s"
    yield Shown(visit, notice(f"Picture read ({size}). Ask about it."))


def on_question(visit: Visit | None, question: str | None) -> Iterator[Shown]:
    """A question was asked."""
    if visit is None:
        yield Shown(None, problem("There is no picture yet. Drop one or choose an example."))
        return
    step = None
    try:
        for step in answer_steps(visit, question or ""):
            yield Shown(visit, result(visit, step))
    except QZoomError as error:
        yield Shown(visit, problem(str(error)))
        return
    assert step is not None
    yield Shown(visit.with_step(step), result(visit, step))
