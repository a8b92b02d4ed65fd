"""Tokenizer of the embedded model: byte-level, small, Qwen's special tokens and chat layout."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from qzoom.errors import ConfigError
from qzoom.synth.lexicon import COLOURS, SHAPES, TABLE_TITLES, WORDS
from qzoom.zoom.chat import CHAT_TEMPLATE

SPECIAL_TOKENS: Final = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
VOCAB_SIZE: Final = 1152


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer on the world's questions and answers; the same every time.

    Each word of the world is one token, after a space and without one; digits stand alone.
    """
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=1,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_corpus(), trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        chat_template=CHAT_TEMPLATE,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """Id of one token.

    Raises:
        ConfigError: when the vocabulary does not hold it.
    """
    found = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(found, int):
        raise ConfigError(f"the tokenizer has no token {token!r}")
    return found


def _corpus() -> Iterator[str]:
    names = [*WORDS, *COLOURS, *SHAPES, *TABLE_TITLES, "yes", "no"]
    for _ in range(4):
        yield from names
        yield from (f"of {name}" for name in names)
    for what, colour in product(("word", "number"), COLOURS):
        yield f"what {what} is on the {colour} sign?"
        yield f"is there a {colour} sign? what shape is {colour}?"
        yield f"what is the value of the {colour} bar?"
    for what, colour, shape in product(("word", "number"), COLOURS, SHAPES):
        yield f"what {what} is next to the {colour} {shape}? what colour is the {shape}?"
    for _ in range(20):
        yield "what is the title of the chart? what is the title of the table? what is the total?"
        yield "how many signs are there? which bar is the tallest? what is the value of"
        yield "user\nassistant\nsystem\n"
