"""What a chat completion says: the text, its usage, and how a qzoom server looked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from qzoom.eval.methods.base import Told


def read_reply(body: bytes, seconds: float) -> Told | str:
    """A reply from the body of a response, or what is wrong with it.

    No text at all, as where a model used up its tokens thinking, is an empty reply. Without a
    `qzoom` field nothing zoomed, as far as is known.

    Args:
        seconds: that the exchange took; the server's own are told as "server_...".
    """
    try:
        content = json.loads(body)
        message = content["choices"][0]["message"]
        text = message["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "no chat completion"
    if text is None:
        text = message.get("refusal") or ""
    if not isinstance(text, str):
        return "no chat completion"
    usage, look = content.get("usage") or {}, content.get("qzoom") or {}
    try:
        return _told(text, usage, look, seconds)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        return f"a usage or qzoom field that cannot be read ({error})"


def _told(text: str, usage: Mapping[str, Any], look: Mapping[str, Any], seconds: float) -> Told:
    boxes = tuple(_box(box) for box in look.get("boxes_xyxy_px") or ())
    if look.get("zoomed") and not boxes:
        raise ValueError("zoomed is true and boxes_xyxy_px is empty")
    gate = look.get("gate_probability")
    return Told(
        text,
        _count(look, "visual_tokens"),
        _count(look, "roi_tokens"),
        _count(usage, "completion_tokens"),
        _count(usage, "prompt_tokens"),
        None if gate is None else _number("gate_probability", gate),
        boxes,
        2 if boxes else 1,
        _server_seconds(look) | {"total": seconds},
    )


def _box(box: Any) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (_number("boxes_xyxy_px", edge) for edge in box)
    return x1, y1, x2, y2


def _count(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name) or 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} is {value!r}")
    return value


def _number(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} holds {value!r}")
    return value


def _server_seconds(look: Mapping[str, Any]) -> dict[str, float]:
    told = look.get("timings_s") or {}
    parts = told if isinstance(told, Mapping) else {"total": told}
    return {f"server_{part}": _number("timings_s", value) for part, value in parts.items()}
