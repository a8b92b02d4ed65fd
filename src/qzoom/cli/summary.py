"""An answer's way there in a few words, for the note under it and for the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qzoom.zoom.answer import ZoomAnswer


def decision(answer: ZoomAnswer) -> str:
    """Whether the model looked closer, and how sure the gate was that it had to."""
    parts = ["looked closer" if answer.zoomed else "direct"]
    if answer.gate_probability is not None:
        parts.append(f"gate {answer.gate_probability:.2f}")
    if answer.heatmap is not None and not answer.zoomed:
        parts.append("no region found")
    return ", ".join(parts)


def summary_line(answer: ZoomAnswer) -> str:
    """Decision, boxes, tokens and time on one line."""
    parts = [decision(answer)]
    if answer.boxes_xyxy_px:
        name = "box" if len(answer.boxes_xyxy_px) == 1 else "boxes"
        boxes = " ".join(",".join(map(str, box)) for box in answer.boxes_xyxy_px)
        parts.append(f"{name} {boxes} px")
    parts.append(_tokens(answer.usage))
    if "total" in answer.timings_s:
        parts.append(f"{answer.timings_s['total']:.2f} s")
    return " | ".join(part for part in parts if part)


def _tokens(usage: dict[str, int]) -> str:
    names = {"visual_tokens": "image", "roi_tokens": "region", "new_tokens": "new"}
    counts = [f"{usage[key]} {name}" for key, name in names.items() if usage.get(key)]
    return f"tokens: {' + '.join(counts)}" if counts else ""
