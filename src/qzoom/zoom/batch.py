"""Many questions at once, ragged and routed row by row."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qzoom.images.decode import ImageSource
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.chat import question_ids
from qzoom.zoom.options import Options
from qzoom.zoom.prompt import PromptLayout, lay_out
from qzoom.zoom.report import answer_of
from qzoom.zoom.requests import batch_of, start
from qzoom.zoom.text import TextTracker
from qzoom.zoom.timings import Timings

if TYPE_CHECKING:
    from qzoom.zoom.model import Images, ZoomModel


def answer_many(
    model: ZoomModel, pairs: Sequence[tuple[Images, str]], options: Options
) -> list[ZoomAnswer]:
    """Answer (images, question) pairs in one batch; an image given twice is encoded once.

    Raises:
        QZoomError: for an image or a question that cannot be used; nothing is answered then.
    """
    if not pairs:
        return []
    timings = Timings()
    places, sources = _distinct([as_list(images) for images, _ in pairs])
    pictures = [model.decode(source)[0] for source in sources]
    grids_hw = [model.grid_of(picture) for picture in pictures]
    layouts = [
        _lay_out(model, question, [grids_hw[place] for place in mine])
        for (_, question), mine in zip(pairs, places, strict=True)
    ]
    with timings.part("encode"):
        features = model.encode(pictures)
    images = [[pictures[place] for place in mine] for mine in places]
    encoded = [[features[place] for place in mine] for mine in places]
    work = batch_of(model.parts, options, layouts, images, encoded)
    texts = [TextTracker(model.require_tokenizer(), options.stop) for _ in pairs]
    run = start(work, timings, texts)
    run.finish()
    for text in texts:
        text.finish()
    return [answer_of(answered, run.timings) for answered in run.answered]


def as_list(images: Images) -> list[ImageSource]:
    """One image or several as a list."""
    several = isinstance(images, Sequence) and not isinstance(
        images, (str, bytes, bytearray, memoryview)
    )
    return list(images) if several else [images]  # type: ignore[arg-type, list-item]


def _lay_out(model: ZoomModel, question: str, grids_hw: list[tuple[int, int]]) -> PromptLayout:
    ids = model.parts.ids
    input_ids = question_ids(model.require_tokenizer(), question, grids_hw, ids.image)
    return lay_out(input_ids, grids_hw, ids)


def _distinct(sources: list[list[ImageSource]]) -> tuple[list[list[int]], list[ImageSource]]:
    """Each distinct source once, and for every pair the places of its own among them."""
    place_of: dict[Hashable, int] = {}
    distinct: list[ImageSource] = []
    places = []
    for mine in sources:
        for source in mine:
            if _identity(source) not in place_of:
                place_of[_identity(source)] = len(distinct)
                distinct.append(source)
        places.append([place_of[_identity(source)] for source in mine])
    return places, distinct


def _identity(source: ImageSource) -> Hashable:
    """Equal for the same image given twice: by value for paths and bytes, else by object."""
    if isinstance(source, (str, Path)):
        return "path", str(source)
    if isinstance(source, bytes):
        return "bytes", source
    return "object", id(source)
