"""Questions turned into token ids, with user text kept apart from the layout's special tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from qzoom.errors import PromptError

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

# Stand in for user text while the template runs; it can hold neither.
_QUESTION_MARK: Final = "\x00question\x00"
_SYSTEM_MARK: Final = "\x00system\x00"


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
    _check_text("question", question)
    if not question.strip():
        raise PromptError("the question is empty; ask something about the image")
    content = [{"type": "image"} for _ in grids_hw] + [{"type": "text", "text": _QUESTION_MARK}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    texts = {_QUESTION_MARK: question}
    if system is not None:
        _check_text("system text", system)
        turn = {"role": "system", "content": [{"type": "text", "text": _SYSTEM_MARK}]}
        messages.insert(0, turn)
        texts[_SYSTEM_MARK] = system
    rendered = tokenizer.apply_chat_template(
        messages,
        chat_template=tokenizer.chat_template or CHAT_TEMPLATE,
        tokenize=False,
        add_generation_prompt=True,
    )
    ids = _encode(tokenizer, *_fill_in(rendered, texts))
    return _expand(ids, [rows * cols for rows, cols in grids_hw], image_token_id)


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
