"""An answer as HTML: the text first, then where the model looked, then the numbers.

Everything that comes from a model or a visitor passes `escaped`.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from qzoom.ui.numbers import gate_html, tokens_html, versus_html
from qzoom.ui.pictures import crop_of, data_uri, looked_at

if TYPE_CHECKING:
    from PIL import Image

    from qzoom.ui.visit import Step, Visit
    from qzoom.zoom.answer import ZoomAnswer

# Gradio reads HTML as a template; these would begin an expression of it.
_TEMPLATE_SIGNS: Final = str.maketrans({sign: f"&#{ord(sign)};" for sign in "{}$`\\"})

EMPTY: Final = (
    '<div class="qz-empty"><p>Choose an example or drop a picture, then ask.</p>'
    "<p>The answer appears here, with where the model looked.</p></div>"
)


def escaped(text: str) -> str:
    """Text as HTML that shows it and does nothing else."""
    return html.escape(text).translate(_TEMPLATE_SIGNS)


def notice(text: str) -> str:
    """A message in place of a result."""
    return f'<div class="qz-empty" role="status"><p>{escaped(text)}</p></div>'


def problem(text: str) -> str:
    """What went wrong, in place of a result."""
    return f'<div class="qz-problem" role="alert"><p>{escaped(text)}</p></div>'


def result(visit: Visit, step: Step) -> str:
    """A step of an answer, with as much as is known by then.

    Args:
        visit: as before the step.
    """
    parts = [_said(step)]
    if step.answer is not None:
        source = visit.session.images[0]
        if (shown := _shown(step)) is not None:
            parts.append(_looked(source, shown, really=shown is step.answer))
        parts.append(_numbers(visit, step))
    if visit.asked:
        parts.append(_earlier(visit))
    return f'<div class="qz-result">{"".join(parts)}</div>'


def _said(step: Step) -> str:
    writing = step.answer is None
    text = escaped(step.text) or ("" if writing else "(nothing)")
    cursor = '<span class="qz-cursor" aria-hidden="true"></span>' if writing else ""
    why = "" if step.answer is None else f'<p class="qz-why">{_why(step.answer)}</p>'
    return (
        f'<section class="qz-said" aria-live="polite" aria-busy="{str(writing).lower()}">'
        f'<p class="qz-question">{escaped(step.question)}</p>'
        f'<p class="qz-answer">{text}{cursor}</p>{why}</section>'
    )


def _why(answer: ZoomAnswer) -> str:
    if answer.zoomed:
        return "It looked closer before it answered."
    if answer.heatmap is not None:
        return "It wanted a closer look and found no place for it."
    return "The coarse view was enough; it did not look closer."


def _shown(step: Step) -> ZoomAnswer | None:
    """The answer whose map is shown: the one given, or else the one that looked closer instead."""
    found = (look for look in (step.answer, step.other) if look is not None)
    return next((look for look in found if look.heatmap is not None), None)


def _looked(source: Image.Image, answer: ZoomAnswer, *, really: bool) -> str:
    heat, plain = (data_uri(looked_at(source, answer, heat=on)) for on in (True, False))
    title = "Where it looked" if really else "Where a closer look would go"
    crop = crop_of(source, answer)
    figure = ""
    if crop is not None:
        x1, y1, x2, y2 = answer.boxes_xyxy_px[0]
        figure = (
            f'<figure class="qz-crop"><img alt="The crop" src="{data_uri(crop)}">'
            f"<figcaption>The crop: {x2 - x1} x {y2 - y1} px</figcaption></figure>"
        )
    return (
        f'<section class="qz-looked"><h2>{title}</h2>'
        '<label class="qz-toggle"><input type="checkbox" checked> heat map</label>'
        '<div class="qz-pictures"><figure class="qz-source">'
        f'<img class="qz-heat" alt="The picture under its heat map, the box drawn in" src="{heat}">'
        f'<img class="qz-plain" alt="The picture with the box drawn in" src="{plain}">'
        f"<figcaption>Bright: likely to hold the answer</figcaption></figure>{figure}</div>"
        "</section>"
    )


def _numbers(visit: Visit, step: Step) -> str:
    assert step.answer is not None
    config = visit.session.model.config
    gate = gate_html(step.answer.gate_probability, config.gate_threshold)
    tokens = tokens_html(step.answer, visit.full_tokens)
    versus = ""
    if step.other is not None:
        direct, zoomed = (
            (step.other, step.answer) if step.answer.zoomed else (step.answer, step.other)
        )
        texts = [escaped(look.text or "(nothing)") for look in (direct, zoomed)]
        versus = versus_html(direct, zoomed, texts, given=int(zoomed is step.answer))
    elif config.enabled:
        versus = '<p class="qz-note">Answering the other way, to compare ...</p>'
    return f'<section class="qz-numbers">{gate}{tokens}</section>{versus}'


def _earlier(visit: Visit) -> str:
    rows = "".join(
        f"<li><span>{escaped(step.question)}</span> <b>{escaped(step.text)}</b></li>"
        for step in reversed(visit.asked)
    )
    return (
        '<section class="qz-earlier"><h2>Asked before about this picture</h2>'
        f"<ul>{rows}</ul>"
        f'<p class="qz-note">The picture was read once, in {visit.read_s:.2f} s; '
        "a question adds only its own words.</p></section>"
    )
