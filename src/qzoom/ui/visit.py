"""One visitor's picture: opened once, asked several times."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Final

from qzoom.errors import ImageError, PromptError
from qzoom.images.decode import ImageSource, decode_image
from qzoom.serve.limits import Limits

if TYPE_CHECKING:
    from qzoom.zoom.answer import ZoomAnswer
    from qzoom.zoom.model import ZoomModel
    from qzoom.zoom.session import ImageSession

MAX_QUESTION_CHARS: Final = 500
MAX_NEW_TOKENS: Final = 128
KEPT_QUESTIONS: Final = 8
# Above the cells of any picture within the limits.
_NO_BUDGET_CELLS: Final = 1_000_000


@dataclass(frozen=True)
class Step:
    """What is known of an answer so far.

    text: as written until now.
    answer: once it is complete.
    other: the same question answered the other way, directly or with a closer look; the last step
        has it, unless the model cannot zoom.
    """

    question: str
    text: str
    answer: ZoomAnswer | None = None
    other: ZoomAnswer | None = None


@dataclass(frozen=True)
class Visit:
    """An opened picture and what was asked about it.

    full_tokens: visual tokens of the picture at its own size; read_s: seconds that reading took;
    asked: the last complete steps, oldest first; suggestions: questions that suit the picture.
    """

    session: ImageSession
    full_tokens: int
    read_s: float
    asked: tuple[Step, ...] = ()
    suggestions: tuple[str, ...] = ()

    def with_step(self, step: Step) -> Visit:
        """The visit after one more answer."""
        return replace(self, asked=(*self.asked, step)[-KEPT_QUESTIONS:])


def open_visit(model: ZoomModel, source: ImageSource, suggestions: Sequence[str] = ()) -> Visit:
    """Decode a picture and read its coarse view, so that every question pays for itself alone.

    Raises:
        ImageError: for a picture that cannot be read or is over a limit.
    """
    limits = Limits()
    image = decode_image(source, limits.image)
    if min(image.size) < limits.min_image_side_px:
        raise ImageError(
            f"the image is {image.width}x{image.height} px; "
            f"it needs {limits.min_image_side_px} px a side"
        )
    started = time.perf_counter()
    session = model.open(image)
    # A gate threshold of 0 runs gate and region network, so that their rows are there as well.
    session.ask("?", max_new_tokens=1, gate_threshold=0.0 if model.config.enabled else None)
    read_s = time.perf_counter() - started
    full = model.with_budget(min_cells=1, max_cells=_NO_BUDGET_CELLS)
    return Visit(session, prod(full.grid_of(image)), read_s, suggestions=tuple(suggestions))


def answer_steps(visit: Visit, question: str) -> Iterator[Step]:
    """Answer a question, a step for each piece of text, then the other way for comparison.

    Raises:
        PromptError: for a question that is empty or too long.
    """
    question = question.strip()
    if not question:
        raise PromptError("the question is empty; type what you want to know")
    if len(question) > MAX_QUESTION_CHARS:
        raise PromptError(
            f"the question has {len(question)} characters, the limit is {MAX_QUESTION_CHARS}"
        )
    yield Step(question, "")
    stream = visit.session.ask(question, stream=True, max_new_tokens=MAX_NEW_TOKENS)
    text = ""
    for piece in stream:
        text += piece
        yield Step(question, text)
    answer = stream.answer
    assert answer is not None
    done = Step(question, answer.text, answer)
    yield done
    if visit.session.model.config.enabled:
        yield replace(done, other=_other_way(visit.session, question, answer))


def _other_way(session: ImageSession, question: str, answer: ZoomAnswer) -> ZoomAnswer:
    return session.ask(
        question, zoom="never" if answer.zoomed else "always", max_new_tokens=MAX_NEW_TOKENS
    )
