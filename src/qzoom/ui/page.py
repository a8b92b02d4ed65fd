"""The page's layout and its events, in Gradio."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from qzoom.errors import ImageError
from qzoom.ui.events import on_picture, on_question
from qzoom.ui.gallery import SUGGESTIONS, Example
from qzoom.ui.results import EMPTY
from qzoom.ui.visit import MAX_QUESTION_CHARS

if TYPE_CHECKING:
    from qzoom.zoom.model import ZoomModel

MAX_WAITING: Final = 16
"""Events that wait for the model; more are told that the page is busy."""

_KEPT_VISITS: Final = 16
_FORGET_AFTER_S: Final = 3600
_SWEEP_EVERY_S: Final = 600
# The model does one thing at a time; no event can be called as an API.
_ONE_AT_A_TIME: Final[dict[str, Any]] = {
    "concurrency_limit": 1,
    "concurrency_id": "model",
    "api_visibility": "private",
    "show_progress": "hidden",
}
# Where a keyboard is likely, the next thing to do is to type.
_FOCUS: Final = (
    "() => { if (matchMedia('(pointer: fine)').matches) "
    "document.querySelector('#qz-question textarea, #qz-question input')?.focus(); }"
)
# On a phone the answer is below the fold.
_SCROLL: Final = (
    "() => { if (matchMedia('(max-width: 860px)').matches) "
    "document.querySelector('#qz-result')?.scrollIntoView({behavior: 'smooth'}); }"
)


def build_page(model: ZoomModel, examples: Sequence[Example], note: str = "") -> Any:
    """The page over a model.

    Args:
        note: a line below the title, about the model.

    Returns:
        A `gradio.Blocks` with its queue set up, not yet served.
    """
    with gr.Blocks(
        title="qzoom",
        analytics_enabled=False,
        delete_cache=(_SWEEP_EVERY_S, _FORGET_AFTER_S),
    ) as page:
        parts = _Parts(examples, note)
        _connect(parts, model, examples)
    page.queue(max_size=MAX_WAITING, api_open=False, default_concurrency_limit=1)
    page.state_session_capacity = _KEPT_VISITS
    return page


class _Parts:
    """The components of the page, laid out."""

    def __init__(self, examples: Sequence[Example], note: str) -> None:
        self.visit = gr.State(None, time_to_live=_FORGET_AFTER_S)
        gr.HTML(_title(note), elem_id="qz-title")
        with gr.Row(elem_id="qz-grid"):
            with gr.Column(elem_id="qz-ask"):
                self._lay_out_asking()
            with gr.Column(elem_id="qz-show"):
                self.result = gr.HTML(EMPTY, elem_id="qz-result")
            with gr.Column(elem_id="qz-examples", visible=bool(examples)):
                gr.HTML("<h2>Examples</h2>")
                self.gallery = gr.Gallery(
                    [(str(example.image), example.image.stem) for example in examples],
                    columns=4,
                    height="auto",
                    allow_preview=False,
                    object_fit="cover",
                    show_label=False,
                    buttons=[],
                    interactive=False,
                    elem_id="qz-gallery",
                )

    def _lay_out_asking(self) -> None:
        self.picture = gr.Image(
            type="filepath",
            image_mode=None,
            sources=["upload", "clipboard"],
            show_label=False,
            buttons=[],
            height=300,
            placeholder="Drop a picture here, paste one, or tap to choose",
            elem_id="qz-picture",
        )
        _handing_over_paths(_closed(self.picture))
        with gr.Row(elem_id="qz-line"):
            self.question = gr.Textbox(
                placeholder="What do you want to know?",
                label="Question",
                show_label=False,
                lines=1,
                max_lines=1,
                max_length=MAX_QUESTION_CHARS,
                scale=5,
                min_width=120,
                elem_id="qz-question",
            )
            _closed(self.question)
            self.ask = gr.Button("Ask", variant="primary", scale=1, min_width=72, elem_id="qz-go")
        with gr.Row(elem_id="qz-chips"):
            self.chips = [
                gr.Button(visible=False, size="sm", min_width=60, elem_classes="qz-chip")
                for _ in range(SUGGESTIONS)
            ]


def _connect(parts: _Parts, model: ZoomModel, examples: Sequence[Example]) -> None:
    def opened(path: str | None) -> Iterator[list[Any]]:
        for shown in on_picture(model, path):
            yield [shown.visit, shown.html, *_chips(())]

    def chosen(event: gr.SelectData) -> Iterator[list[Any]]:
        example = examples[int(event.index) % len(examples)]
        for shown in on_picture(model, example.image, example.questions):
            yield [str(example.image), shown.visit, shown.html, *_chips(example.questions)]

    def asked(visit: Any, question: str | None) -> Iterator[list[Any]]:
        for shown in on_question(visit, question):
            yield [shown.visit, shown.html]

    def suggested(place: int, visit: Any) -> Iterator[list[Any]]:
        question = visit.suggestions[place] if visit is not None else ""
        for shown in on_question(visit, question):
            yield [shown.visit, shown.html, question]

    # Gradio finds the event's data by its type, which is text under postponed annotations.
    chosen.__annotations__["event"] = gr.SelectData
    pair = [parts.visit, parts.result]
    one = _ONE_AT_A_TIME
    focus = {"js": _FOCUS, "api_visibility": "private"}
    parts.picture.upload(opened, parts.picture, [*pair, *parts.chips], **one).then(None, **focus)
    parts.picture.clear(partial(opened, None), None, [*pair, *parts.chips], **one)
    parts.gallery.select(chosen, None, [parts.picture, *pair, *parts.chips], **one).then(
        None, **focus
    )
    for ask in (parts.question.submit, parts.ask.click):
        ask(asked, [parts.visit, parts.question], pair, **one).then(
            None, js=_SCROLL, api_visibility="private"
        )
    # A chip is no input: what a browser sends for it is never read.
    for place, chip in enumerate(parts.chips):
        chip.click(partial(suggested, place), parts.visit, [*pair, parts.question], **one).then(
            None, js=_SCROLL, api_visibility="private"
        )


def _chips(questions: Sequence[str]) -> list[Any]:
    """The suggested questions; those that are not needed are hidden."""
    texts = [*questions, *[""] * SUGGESTIONS][:SUGGESTIONS]
    return [gr.update(value=text, visible=bool(text)) for text in texts]


def _closed(component: Any) -> Any:
    """An input that fetches no address, whatever a browser sends for it.

    A component whose settings an event changes is made anew without this; give it values only.
    """
    keep = component.async_move_resource_to_block_cache

    async def only_files(place: str | Path | None) -> Any:
        if place is not None and "://" in str(place):
            raise ImageError("images are not fetched from URLs; download it and give the file")
        return await keep(place)

    component.async_move_resource_to_block_cache = only_files
    return component


def _handing_over_paths(picture: Any) -> Any:
    """An image input that leaves all reading to `decode_image`: Pillow alone reads any format."""
    picture.preprocess = lambda payload: None if payload is None else payload.path
    return picture


def _title(note: str) -> str:
    # The name of an option does not break behind its hyphens.
    text = html.escape(note).replace("--", "&#8209;&#8209;")
    line = f'<p class="qz-note">{text}</p>' if note else ""
    return (
        "<h1>qzoom</h1><p>Ask about a picture. The model looks closer only where your question "
        f"needs it, and shows you where.</p>{line}"
    )
