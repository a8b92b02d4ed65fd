"""In the style of Thyme, DeepEyes and AdaptVision: the model writes a box, and is given the crop.

Untrained: the model is asked for a box in words. Each round is a prompt of its own, with the crops
so far as further pictures, so nothing depends on how a chat template takes pictures in later turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qzoom.errors import ConfigError
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rivals.box_text import Coordinates, extent_of, parse_box
from qzoom.eval.rivals.looker import Looker
from qzoom.eval.rivals.second_look import CropMethod, Found, LookSettings, look_settings
from qzoom.geometry.boxes import BoxLike
from qzoom.zoom.model import ZoomModel


@dataclass(frozen=True)
class ToolSettings(LookSettings):
    """rounds: most boxes that are asked for.

    request_tokens: longest reply to such a request; coordinates: what it is asked in.
    """

    rounds: int = 2
    request_tokens: int = 64
    coordinates: Coordinates = "thousandths"


def build(model: ZoomModel, options: MethodOptions) -> CropMethod:
    """Ask for boxes, then for the answer; the direct answer where no box comes.

    Raises:
        ConfigError: for less than 1 round or 1 token of a request.
    """
    own: Coordinates = "resized_px" if model.family == "qwen2_5_vl" else "thousandths"
    settings = look_settings(
        ToolSettings(crop_as="image", coordinates=own), model, options, "tool_loop"
    )
    if min(settings.rounds, settings.request_tokens) < 1:
        raise ConfigError(
            f"rounds is {settings.rounds} and request_tokens {settings.request_tokens}; "
            "both must be at least 1"
        )

    def find(looker: Looker, prompt: str, boxes_px_xyxy: Sequence[BoxLike]) -> Found:
        extent = extent_of(settings.coordinates, looker.grid_hw, model.pipeline.cell_side_px)
        boxes: list[BoxLike] = []
        prefills = new_tokens = 0
        for _ in range(settings.rounds):
            reply, passes, tokens = _ask(looker, request(prompt, extent), boxes, settings)
            prefills, new_tokens = prefills + passes, new_tokens + tokens
            box = parse_box(reply, extent, looker.images[0].size)
            if box is None or box in boxes:
                break
            boxes.append(box)
        return Found(tuple(boxes), prefills, new_tokens)

    return CropMethod("tool_loop", model, settings, find)


def request(prompt: str, extent_xy: tuple[int, int]) -> str:
    """The prompt with the offer of a closer look."""
    wide, high = extent_xy
    return (
        f"{prompt}\n\nDo not answer yet. You may see one part of the first picture enlarged: "
        'reply only with its box as JSON, {"box": [x1, y1, x2, y2]}, where x runs from 0 at the '
        f"left to {wide} at the right and y from 0 at the top to {high} at the bottom. If you see "
        "enough already, reply with the word none."
    )


def _ask(
    looker: Looker, text: str, boxes: Sequence[BoxLike], settings: ToolSettings
) -> tuple[str, int, int]:
    """Reply, prefills and new tokens of one request."""
    if not boxes:
        answer = looker.direct(text, settings.request_tokens)
        return answer.text, 1, len(answer.token_ids)
    told = looker.closer(text, boxes, settings.request_tokens, settings.crop_as)
    return told.text, told.prefills, told.new_tokens
