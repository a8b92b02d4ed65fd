"""The embedded model's tokenizer: one token a word, one a digit, Qwen's layout."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from qzoom.errors import ConfigError
from qzoom.synth.lexicon import COLOURS, SHAPES, TABLE_TITLES, WORDS
from qzoom.synth.vocabulary import SPECIAL_TOKENS, VOCAB_SIZE, build_tokenizer, token_id
from qzoom.zoom.chat import CHAT_TEMPLATE

NAMES = [*WORDS, *COLOURS, *SHAPES, *TABLE_TITLES, "yes", "no"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


def test_names_are_one_token_with_and_without_a_space(tokenizer: PreTrainedTokenizerFast) -> None:
    split = [
        text for name in NAMES for text in (name, f" {name}") if len(tokenizer(text).input_ids) != 1
    ]
    assert split == []
    ids = {tokenizer(text).input_ids[0] for name in NAMES for text in (name, f" {name}")}
    assert len(ids) == 2 * len(NAMES)


def test_answers_are_one_token_after_the_assistant_header(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    header = "<|im_start|>assistant\n"
    for name in NAMES:
        whole = tokenizer(f"{header}{name}<|im_end|>").input_ids
        assert whole[-2:] == [*tokenizer(name).input_ids, token_id(tokenizer, "<|im_end|>")]


def test_digits_stand_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    for number in ("7", "42", "907", "4100"):
        ids = tokenizer(number).input_ids
        assert [tokenizer.decode([i]) for i in ids] == list(number)


def test_special_tokens_come_first_and_are_never_split(tokenizer: PreTrainedTokenizerFast) -> None:
    assert [tokenizer(token).input_ids for token in SPECIAL_TOKENS] == [
        [i] for i in range(len(SPECIAL_TOKENS))
    ]
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    ids = tokenizer("red<|image_pad|>sign").input_ids
    assert ids[1] == token_id(tokenizer, "<|image_pad|>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "redsign"


def test_case_is_folded_and_other_text_survives(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer("Tiger").input_ids == tokenizer("tiger").input_ids
    assert tokenizer.decode(tokenizer("Größe: 5 €?\n").input_ids) == "größe: 5 €?\n"


def test_size_and_repeatability(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) <= VOCAB_SIZE
    again = build_tokenizer().backend_tokenizer.to_str()
    assert again == tokenizer.backend_tokenizer.to_str()


def test_chat_template(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.chat_template == CHAT_TEMPLATE
    content = [{"type": "image"}, {"type": "text", "text": "what is the total?"}]
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    assert rendered == (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>what is the total?"
        "<|im_end|>\n<|im_start|>assistant\n"
    )


def test_unknown_tokens_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    assert token_id(tokenizer, "<|endoftext|>") == 0
    with pytest.raises(ConfigError, match="no token '<gone>'"):
        token_id(tokenizer, "<gone>")
