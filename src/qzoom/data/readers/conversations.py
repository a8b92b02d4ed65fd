"""Conversations of human and gpt messages, as LLaVA's files and their descendants hold them."""

from __future__ import annotations

from typing import Any, Final

from qzoom.data import fields
from qzoom.data.records import Turn
from qzoom.errors import DataError

SHORT_ANSWER_SUFFIX: Final = "Answer the question using a single word or phrase."
_IMAGE_MARK: Final = "<image>"


def turns_of(messages: object, keep_suffix: bool) -> tuple[Turn, ...]:
    """A turn for each question; a last question without a reply has no answers."""
    said = [_message(message, i) for i, message in enumerate(fields.items(messages, "messages"))]
    # Some conversations open with a left-over reply.
    if said and said[0][0] == "gpt":
        said = said[1:]
    for index, (role, _) in enumerate(said):
        if role != ("human", "gpt")[index % 2]:
            raise DataError("conversations must take turns between 'human' and 'gpt'")
    turns = []
    for index in range(0, len(said), 2):
        reply = said[index + 1][1] if index + 1 < len(said) else ""
        turns.append(Turn(question_of(said[index][1], keep_suffix), (reply,) if reply else ()))
    return tuple(turns)


def question_of(text: str, keep_suffix: bool) -> str:
    """A question without image marks, and without the short-answer sentence unless kept."""
    question = text.replace(_IMAGE_MARK, "").strip()
    return question if keep_suffix else question.removesuffix(SHORT_ANSWER_SUFFIX).rstrip()


def _message(value: object, index: int) -> tuple[str, str]:
    obj: dict[str, Any] = fields.mapping(value, f"conversations[{index}]")
    role, text = fields.required(obj, "from"), fields.required(obj, "value")
    if role not in ("human", "gpt") or not isinstance(text, str):
        raise DataError(f"conversations[{index}] must be text from 'human' or 'gpt'")
    return role, text.strip()
