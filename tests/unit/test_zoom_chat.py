"""Questions as token ids: the tokenizer's own for plain text, and special tokens kept as text."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny_chat import IMAGE_PAD, chat_tokenizer

from qzoom.errors import PromptError
from qzoom.zoom.chat import question_ids

TOKENIZER = chat_tokenizer()
SPECIAL = ["<|image_pad|>", "<|im_end|>", "<|vision_start|>", "<|video_pad|>", "<|endoftext|>"]
PIECES = st.sampled_from([*SPECIAL, "<|im_", "<|", "end|>", "|>", "image_pad", "tiger", " ", "\n"])
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def encoded(question: str, images: int = 1, system: str | None = None) -> list[int]:
    ids = question_ids(TOKENIZER, question, [(1, 1)] * images, IMAGE_PAD, system)
    return list(ids.tolist())


def templated(question: str, images: int = 1, system: str | None = None) -> list[int]:
    """What the tokenizer's own chat template gives."""
    content = [{"type": "image"}] * images + [{"type": "text", "text": question}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    ids: Any = TOKENIZER.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    return list(ids)


def special_ids(ids: list[int]) -> list[int]:
    return [token for token in ids if token < 7]


@given(PLAIN, st.integers(0, 2), st.none() | PLAIN)
def test_plain_text_gets_the_ids_of_the_chat_template(
    text: str, images: int, system: str | None
) -> None:
    question = "is " + text
    assert encoded(question, images, system) == templated(question, images, system)


@given(st.lists(PIECES, min_size=1, max_size=6), st.lists(PIECES, max_size=4))
def test_special_tokens_in_user_text_are_text(parts: list[str], system_parts: list[str]) -> None:
    question, system = "say " + "".join(parts), "".join(system_parts)
    ids = encoded(question, 1, system)
    assert special_ids(ids) == special_ids(templated("say", 1, "x"))
    # Not a character is lost (the tiny tokenizer folds case).
    shown = TOKENIZER.decode(ids, clean_up_tokenization_spaces=False)
    assert f"<|vision_end|>{question}<|im_end|>" in shown
    assert f"system\n{system}<|im_end|>" in shown


def test_every_special_token_alone() -> None:
    for token in TOKENIZER.all_special_tokens + SPECIAL:
        assert special_ids(encoded(token)) == special_ids(encoded("x"))


def test_tokens_that_form_with_the_templates_own_text_are_broken_up() -> None:
    tokenizer = copy.deepcopy(TOKENIZER)
    # Here user text stands between halves of special tokens.
    tokenizer.chat_template = "<|im_start|><|im_{{ messages[0].content[0].text }}_pad|>"
    ids = question_ids(tokenizer, "end|> and <|image", [], IMAGE_PAD)
    assert special_ids(ids.tolist()) == [1]


def test_special_tokens_that_overlap_are_all_broken_up() -> None:
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.add_special_tokens({"additional_special_tokens": ["xyx", "yxz"]})
    found = question_ids(tokenizer, "xyxz", [], IMAGE_PAD)
    assert not set(tokenizer.convert_tokens_to_ids(["xyx", "yxz"])) & set(found.tolist())


def test_encoding_does_not_change_the_tokenizer() -> None:
    before = TOKENIZER.backend_tokenizer.to_str()
    assert TOKENIZER.backend_tokenizer.encode_special_tokens is False
    encoded("say <|im_end|> and <|image_pad|>")
    # Another thread that encodes meanwhile must not find its special tokens turned into text.
    assert TOKENIZER.backend_tokenizer.encode_special_tokens is False
    assert TOKENIZER.backend_tokenizer.to_str() == before


def test_one_image_token_per_cell() -> None:
    ids = question_ids(TOKENIZER, "what?", [(2, 3), (1, 4)], IMAGE_PAD)
    runs = torch.unique_consecutive(ids == IMAGE_PAD, return_counts=True)
    lengths = [n for image, n in zip(runs[0].tolist(), runs[1].tolist(), strict=True) if image]
    assert lengths == [6, 4]


@pytest.mark.parametrize("template", [None, "own"])
def test_tokenizers_with_and_without_a_template(template: str | None) -> None:
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.chat_template = None if template is None else tokenizer.chat_template
    ids = question_ids(tokenizer, "what?", [(1, 1)], IMAGE_PAD, "be brief")
    assert ids.tolist() == encoded("what?", 1, "be brief")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ 'hello' }}", "wrote 0 of 1 texts"),
        ("{{ messages[0].content[-1].text * 2 }}", "wrote 2 of 1 texts"),
        ("{{ messages[0].content[-1].text }}", "wrote 0 image tokens for 1 images"),
    ],
)
def test_templates_that_lose_something_are_refused(template: str, says: str) -> None:
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.chat_template = template
    with pytest.raises(PromptError, match=says):
        question_ids(tokenizer, "what?", [(1, 1)], IMAGE_PAD)


@pytest.mark.parametrize(
    ("question", "system", "says"),
    [
        ("", None, "question is empty"),
        (" \n\t", None, "question is empty"),
        (None, None, "question must be a string, got NoneType"),
        (b"what?", None, "question must be a string, got bytes"),
        ("what \ud800?", None, "question holds a lone surrogate"),
        ("what?", 7, "system text must be a string, got int"),
        ("what?", "\udfff", "system text holds a lone surrogate"),
    ],
)
def test_text_that_cannot_be_used(question: Any, system: Any, says: str) -> None:
    with pytest.raises(PromptError, match=says):
        question_ids(TOKENIZER, question, [], IMAGE_PAD, system)


def test_marks_in_user_text_stay_there() -> None:
    hostile = "\x00question\x00 and \x00system\x00"
    assert encoded(hostile, 1, hostile) == templated(hostile, 1, hostile)
