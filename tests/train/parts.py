"""Models of the embedded shape with repeatable random weights, and prompts cut from batches."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration

from qzoom.synth.vocabulary import SPECIAL_TOKENS, build_tokenizer, token_id
from qzoom.train.cells import ReadingHeads
from qzoom.train.export import tiny_zoom_config
from qzoom.train.loader import Batch
from qzoom.train.packing import Tokens
from qzoom.train.recipe import ZoomRecipe
from qzoom.train.tiny import tiny_config
from qzoom.train.views import ViewMix
from qzoom.zoom.branches import ZoomAddOn


@functools.cache
def tokenizer() -> PreTrainedTokenizerFast:
    """The embedded model's tokenizer."""
    return build_tokenizer()


def tokens() -> Tokens:
    """Its ids of the fixed parts."""
    return Tokens.of(tokenizer())


def scatter(module: nn.Module, seed: int) -> None:
    """Seeded weights, large enough that every part of the network matters to the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name and name.endswith("weight")
            parameter.copy_(1 + 0.1 * noise if is_norm else 0.05 * noise)


def make_model(seed: int = 0) -> Qwen3VLForConditionalGeneration:
    """A trunk of the embedded model's shape."""
    special = {token: token_id(tokenizer(), token) for token in SPECIAL_TOKENS}
    config: Any = tiny_config(len(tokenizer()), special)
    config._attn_implementation = "sdpa"
    model = Qwen3VLForConditionalGeneration(config)
    scatter(model, seed)
    return model


def make_heads(model: Qwen3VLForConditionalGeneration, seed: int = 1) -> ReadingHeads:
    """Reading heads that fit the model's tower."""
    vision: Any = model.config.vision_config
    heads = ReadingHeads(vision.hidden_size, vision.out_hidden_size)
    scatter(heads, seed)
    return heads


def make_add_on(model: Qwen3VLForConditionalGeneration, seed: int = 2) -> ZoomAddOn:
    """Branches that fit the model."""
    text: Any = model.config.text_config
    add_on = ZoomAddOn(text, tiny_zoom_config(ZoomRecipe()))
    scatter(add_on, seed)
    return add_on


def only(look: str, cells: int) -> ViewMix:
    """A mix of one kind of look."""
    shares = dict.fromkeys(("spot", "coarse", "double", "full", "zoom"), 0.0) | {look: 1.0}
    return ViewMix(**shares, cells_per_batch=cells)  # type: ignore[arg-type]


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """Copies of all weights."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def moved(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """Names of weights that differ from a snapshot."""
    return {name for name, v in module.state_dict().items() if not torch.equal(v, before[name])}


@dataclass(frozen=True)
class Prompt:
    """One group of one picture of a batch as an ordinary prompt, with the picture itself.

    asked: length of the prompt without the answer.
    """

    input_ids: Tensor
    asked: int
    source_hw: tuple[int, int]
    image: Image.Image


def prompt_of(batch: Batch, image: int, group: int) -> Prompt:
    """Cut one direct prompt out of a batch."""
    fixed = tokens()
    rows, cols = (int(n) for n in batch["source_hw"])
    labels = torch.as_tensor(batch["labels"])[image, group]
    start = int((labels >= 0).nonzero()[0]) + 1
    last = int((labels >= 0).nonzero()[-1]) + 2
    text = torch.as_tensor(batch["ids"])[image, group, :last]
    before = [*fixed.prefix, *[fixed.image] * (rows * cols), fixed.vision_end]
    ids = torch.cat([torch.tensor(before), text])
    picture = picture_of(batch["source"][image], (rows, cols))
    return Prompt(ids, len(before) + start, (rows, cols), picture)


def picture_of(patches: NDArray[Any], grid_hw: tuple[int, int]) -> Image.Image:
    """The picture that patches in merge-block order were cut from."""
    rows, cols = grid_hw
    blocks = patches.reshape(rows, cols, 2, 2, 3, 16, 16).transpose(0, 2, 5, 1, 3, 6, 4)
    return Image.fromarray(np.ascontiguousarray(blocks.reshape(rows * 32, cols * 32, 3)))
