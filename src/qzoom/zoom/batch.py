"""Many questions at once, ragged and routed row by row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.chat import question_ids
from qzoom.zoom.prompt import lay_out
from qzoom.zoom.report import answer_of
from qzoom.zoom.requests import Options, start
from qzoom.zoom.text import TextTracker

if TYPE_CHECKING:
    from qzoom.zoom.model import ZoomModel


def answer_many(
    model: ZoomModel, pairs: Sequence[tuple[Any, str]], options: Options
) -> list[ZoomAnswer]:
    """Answer (images, question) pairs in one batch; pictures given twice are encoded once."""
    if not pairs:
        return []
    began = time.perf_counter()
    tokenizer = model.require_tokenizer()
    opened = _open_once(model, [images for images, _ in pairs])
    pictures = [image for images in opened.values() for image in images]
    encoded = iter(model.encode(pictures))
    features = {key: [next(encoded) for _ in images] for key, images in opened.items()}
    keys = [_key(images) for images, _ in pairs]
    grids = [[image.grid_hw for image in features[key]] for key in keys]
    layouts = [
        lay_out(
            question_ids(tokenizer, question, grid, model.parts.ids.image), grid, model.parts.ids
        )
        for (_, question), grid in zip(pairs, grids, strict=True)
    ]
    run = start(
        model.parts,
        None,
        layouts,
        [opened[key] for key in keys],
        [features[key] for key in keys],
        options,
    )
    trackers = [TextTracker(tokenizer, options.stop) for _ in pairs]
    for lane in run.lanes:
        mine = [trackers[member] for member in lane.members]
        for tokens in run.steps(lane):
            for tracker, token in zip(mine, tokens, strict=True):
                if token is not None:
                    tracker.push(token)
            if all(tracker.stopped for tracker in mine):
                break
    for tracker in trackers:
        tracker.finish()
    run.timings_s["total"] = time.perf_counter() - began
    return [answer_of(run, index, tracker.text) for index, tracker in enumerate(trackers)]


def _key(images: Any) -> Any:
    """Equal for the same source given twice: by value for paths and bytes, else by identity."""
    if isinstance(images, list | tuple):
        return tuple(_key(image) for image in images)
    try:
        return hash(images), images if isinstance(images, str | bytes) else id(images)
    except TypeError:
        return id(images)


def _open_once(model: ZoomModel, sources: Sequence[Any]) -> dict[Any, list[Image.Image]]:
    opened: dict[Any, list[Image.Image]] = {}
    for images in sources:
        key = _key(images)
        if key not in opened:
            opened[key] = model.decode(images)
    return opened
