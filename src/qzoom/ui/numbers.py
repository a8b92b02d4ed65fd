"""The numbers of an answer as HTML: the gate's meter, the tokens, direct beside zoomed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qzoom.zoom.answer import ZoomAnswer

_WAYS: Final = ("Direct", "With zoom")


def percent(share: float) -> str:
    """A share in words that never round to a certainty it does not have."""
    if share < 0.0005:
        return "under 0.1 %"
    if share > 0.9995:
        return "over 99.9 %"
    return f"{share:.1%}".replace("%", " %") if share < 0.1 else f"{share * 100:.0f} %"


def gate_html(probability: float | None, threshold: float) -> str:
    """The gate's meter: how likely a closer look is needed, and from where on one is taken."""
    if probability is None:
        return _meter("Gate", "not asked", 0.0, "", "This model has no gate.")
    mark = f'<i class="qz-mark" style="left:{100 * min(1.0, threshold):.1f}%"></i>'
    note = f"Chance that a closer look is needed. It takes one from {percent(threshold)} on."
    return _meter("Gate", percent(probability), probability, mark, note)


def tokens_used(answer: ZoomAnswer) -> int:
    """Visual tokens of an answer: the coarse view and the crop."""
    return answer.usage.get("visual_tokens", 0) + answer.usage.get("roi_tokens", 0)


def tokens_html(answer: ZoomAnswer, full_tokens: int) -> str:
    """Visual tokens against those of the picture at its own size."""
    used = tokens_used(answer)
    saved = 1 - used / max(1, full_tokens)
    value = f"{percent(saved)} saved" if saved > 0 else "none saved"
    note = f"{used} visual tokens; the picture at its full size takes {full_tokens}."
    return _meter("Tokens", value, min(1.0, used / max(1, full_tokens)), "", note)


def versus_html(direct: ZoomAnswer, zoomed: ZoomAnswer, texts: Sequence[str], given: int) -> str:
    """Both ways of answering side by side.

    Args:
        texts: the answers' texts as HTML, the direct one first.
        given: which of the two the visitor got, 0 or 1.
    """
    looks = (direct, zoomed)
    found = "" if zoomed.zoomed else '<p class="qz-note">The closer look found no region.</p>'
    titles = [name + (" (given)" if place == given else "") for place, name in enumerate(_WAYS)]
    rows = (
        ("Answer", [f"<b>{text}</b>" for text in texts]),
        ("Visual tokens", [str(tokens_used(look)) for look in looks]),
        ("Seconds", [f"{look.timings_s.get('total', 0.0):.3f}" for look in looks]),
    )
    head = _cells('th scope="col"', titles, given)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{_cells("td", cells, given)}</tr>' for name, cells in rows
    )
    return (
        '<section class="qz-versus"><h2>Direct beside zoom</h2>'
        f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{found}</section>"
    )


def _cells(tag: str, texts: Sequence[str], given: int) -> str:
    kind = tag.partition(" ")[0]
    marks = [' class="qz-given"' if place == given else "" for place in range(len(texts))]
    return "".join(f"<{tag}{mark}>{text}</{kind}>" for text, mark in zip(texts, marks, strict=True))


def _meter(name: str, value: str, share: float, mark: str, note: str) -> str:
    return (
        f'<div class="qz-meter"><p><span>{name}</span><b>{value}</b></p>'
        f'<div class="qz-bar" aria-hidden="true"><i style="width:{100 * share:.1f}%"></i>{mark}'
        f"</div><p>{note}</p></div>"
    )
