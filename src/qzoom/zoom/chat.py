"""Questions turned into token ids, with user text kept apart from the layout's special tokens."""

from __future__ import annotations

from collections.abc import Sequence
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

_USER_TEXT: Final = "\x00user text\x00"


def question_ids(
    tokenizer: Any,
    question: str,
    grids_hw: Sequence[tuple[int, int]],
    image_token_id: int,
    system: str | None = None,
) -> Tensor:
    """Token ids of one user turn: the images, then the question, then the assistant header.

    Special tokens written in the question are encoded as the plain text they are.

    Args:
        tokenizer: of the backbone.
        grids_hw: rows and columns of cells of each image.
        system: text of a system turn before it.

    Returns:
        ids of shape `(n,)` with one image token per cell.

    Raises:
        PromptError: for an empty question, or a template that loses an image or the question.
    """
    if not question.strip():
        raise PromptError("the question is empty; ask something about the image")
    content = [{"type": "image"} for _ in grids_hw] + [{"type": "text", "text": _USER_TEXT}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    rendered = tokenizer.apply_chat_template(
        messages,
        chat_template=tokenizer.chat_template or CHAT_TEMPLATE,
        tokenize=False,
        add_generation_prompt=True,
    )
    before, found, after = rendered.partition(_USER_TEXT)
    if not found:
        raise PromptError("the chat template dropped the question; give the tokenizer another one")
    ids = _encode(tokenizer, before, question, after)
    return _expand(ids, [rows * cols for rows, cols in grids_hw], image_token_id)


def _encode(tokenizer: Any, before: str, text: str, after: str) -> list[int]:
    def encode(part: str, **options: bool) -> list[int]:
        ids: list[int] = tokenizer(part, add_special_tokens=False, **options).input_ids
        return ids

    if not any(token in text for token in tokenizer.get_added_vocab()):
        return encode(before + text + after)
    return encode(before) + encode(text, split_special_tokens=True) + encode(after)


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
