"""Questions turned into token ids, with user text kept apart from the layout's special tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

from qzoom.errors import PromptError

Role = Literal["system", "user", "assistant"]

CHAT_TEMPLATE: Final = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string -%}{{ message.content }}"
    "{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{{ '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
"""Qwen's layout without a default system turn; used where a tokenizer brings no template."""

_NAMES: Final = {"system": "system text", "user": "question", "assistant": "answer"}


@dataclass(frozen=True)
class Picture:
    """Stands for the next image."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation: who speaks, and texts and images in order."""

    role: Role
    parts: Sequence[str | Picture]


def question_ids(
    tokenizer: Any,
    question: str,
    grids_hw: Sequence[tuple[int, int]],
    image_token_id: int,
    system: str | None = None,
) -> Tensor:
    """Token ids of one user turn: the images, then the question, then the assistant header.

    Special tokens written in the question or the system text are encoded as the plain text they
    are. Any other text gets the ids that the tokenizer's own chat template gives it.

    Args:
        tokenizer: of the backbone.
        grids_hw: rows and columns of cells of each image.
        system: text of a system turn before it.

    Returns:
        ids of shape `(n,)` with one image token per cell.

    Raises:
        PromptError: for an empty question, text that cannot be encoded, or a template that loses
            an image or the question.
    """
    messages = _dialogue([question], [], len(grids_hw), system)
    return conversation_ids(tokenizer, messages, grids_hw, image_token_id)


def dialogue_ids(
    tokenizer: Any,
    turns: Sequence[tuple[str, str]],
    grids_hw: Sequence[tuple[int, int]],
    image_token_id: int,
    system: str | None = None,
) -> tuple[Tensor, list[int]]:
    """Token ids of a dialogue about images, and the rows that ask.

    Every answer follows its header as generated tokens would: the two are encoded apart.

    Args:
        turns: questions with their answers; the images come before the first question.

    Returns:
        ids of shape `(n,)` with one image token per cell, and per turn the row before the answer.

    Raises:
        PromptError: as `question_ids`, and where a template changes what it wrote before once a
            dialogue goes on.
    """
    ids: list[int] = []
    asking: list[int] = []
    done = ""
    questions, answers = zip(*turns, strict=True)
    for turn, answer in enumerate(answers):
        messages = _dialogue(questions[: turn + 1], answers[:turn], len(grids_hw), system)
        whole, spans = _render(tokenizer, messages)
        if not whole.startswith(done):
            raise PromptError("the chat template rewrites earlier turns; train on single turns")
        new = [range(s.start - len(done), s.stop - len(done)) for s in spans]
        ids += _encode(tokenizer, whole[len(done) :], [span for span in new if span.start >= 0])
        asking.append(len(ids) - 1)
        ids += _encode(tokenizer, answer, [range(len(answer))])
        done = whole + answer
    counts = cell_counts(grids_hw)
    expanded = _expand(ids, counts, image_token_id)
    return expanded, [row + sum(counts) - len(counts) for row in asking]


def cell_counts(grids_hw: Sequence[tuple[int, int]]) -> list[int]:
    """Cells of each image."""
    return [rows * cols for rows, cols in grids_hw]


def conversation_ids(
    tokenizer: Any,
    messages: Sequence[Message],
    grids_hw: Sequence[tuple[int, int]],
    image_token_id: int,
) -> Tensor:
    """Token ids of a conversation up to the header of the next answer; see `question_ids`.

    Args:
        messages: in order, each with its texts and images in order.
        grids_hw: rows and columns of cells of each image, in the order of the conversation.

    Raises:
        PromptError: as `question_ids`.
    """
    whole, spans = _render(tokenizer, messages)
    return _expand(_encode(tokenizer, whole, spans), cell_counts(grids_hw), image_token_id)


def _dialogue(
    questions: Sequence[str], answers: Sequence[str], images: int, system: str | None
) -> list[Message]:
    """Images, then questions and answers by turns."""
    messages = [] if system is None else [Message("system", [system])]
    for turn, question in enumerate(questions):
        if isinstance(question, str) and not question.strip():
            raise PromptError("the question is empty; ask something about the image")
        pictures = [Picture()] * (0 if turn else images)
        messages.append(Message("user", [*pictures, question]))
        if turn < len(answers):
            messages.append(Message("assistant", [answers[turn]]))
    return messages


def _render(tokenizer: Any, messages: Sequence[Message]) -> tuple[str, list[range]]:
    """The dialogue up to the header of the next answer, and the spans of what users wrote."""
    texts: dict[str, str] = {}

    def part(message: Message, text: str | Picture) -> dict[str, str]:
        if isinstance(text, Picture):
            return {"type": "image"}
        _check_text(_NAMES.get(message.role, message.role), text)
        mark = f"\x00{len(texts)}\x00"
        texts[mark] = text
        return {"type": "text", "text": mark}

    rendered = tokenizer.apply_chat_template(
        [{"role": m.role, "content": [part(m, text) for text in m.parts]} for m in messages],
        chat_template=tokenizer.chat_template or CHAT_TEMPLATE,
        tokenize=False,
        add_generation_prompt=True,
    )
    return _fill_in(rendered, texts)


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise PromptError(f"the {name} must be a string, got {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PromptError(f"the {name} holds a lone surrogate; give valid Unicode") from None


def _fill_in(rendered: str, texts: dict[str, str]) -> tuple[str, list[range]]:
    """The rendered template with the texts in place, and the spans they take up."""
    whole, spans = "", []
    for part in re.split(f"({'|'.join(texts)})", rendered):
        text = texts.get(part)
        if text is not None:
            spans.append(range(len(whole), len(whole) + len(text)))
        whole += part if text is None else text
    if len(spans) != len(texts):
        raise PromptError(
            f"the chat template wrote {len(spans)} of {len(texts)} texts; "
            "give the tokenizer another one"
        )
    return whole, spans


def _encode(tokenizer: Any, whole: str, spans: list[range]) -> list[int]:
    # split_special_tokens=True would change the tokenizer, which other threads are using.
    ids: list[int] = []
    start = 0
    for end in [*_cuts(_special_tokens(tokenizer), whole, spans), len(whole)]:
        piece = whole[start:end]
        ids += tokenizer(piece, add_special_tokens=False, split_special_tokens=False).input_ids
        start = end
    return ids


def _special_tokens(tokenizer: Any) -> list[str]:
    tokens = tokenizer.added_tokens_decoder.values()
    return [token.content for token in tokens if token.special and len(token.content) > 1]


def _cuts(specials: list[str], whole: str, spans: list[range]) -> Iterator[int]:
    """Where to cut so that no piece holds a special token that lies in or reaches into a span."""
    pattern = re.compile("|".join(map(re.escape, sorted(specials, key=len, reverse=True))))
    found = pattern.search(whole) if specials else None
    while found is not None:
        first, last = found.start(), found.end() - 1
        if any(span.start <= last and first < span.stop for span in spans):
            yield first + 1
            found = pattern.search(whole, first + 1)
        else:
            found = pattern.search(whole, last + 1)


def _expand(ids: list[int], cell_counts: list[int], image_token_id: int) -> Tensor:
    places = [i for i, token in enumerate(ids) if token == image_token_id]
    if len(places) != len(cell_counts):
        raise PromptError(
            f"the chat template wrote {len(places)} image tokens for {len(cell_counts)} images"
        )
    counts = torch.ones(len(ids), dtype=torch.long)
    if places:
        counts[places] = torch.tensor(cell_counts)
    return torch.tensor(ids).repeat_interleave(counts)
