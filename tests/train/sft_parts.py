"""Pictures, samples and stages of the post-SFT tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import Family, randomize, tiny_qwen2_5_vl_config, tiny_qwen3_vl_config
from tests.tiny_chat import VOCABULARY, chat_checkpoint, picture
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen3VLForConditionalGeneration

from qzoom.data.images import ImageFolder
from qzoom.train.loop import LoopSettings
from qzoom.train.optim import OptimSettings
from qzoom.train.sft_recipe import SftRecipe
from qzoom.train.sft_samples import SftSample
from qzoom.train.sft_stage import SftStage
from qzoom.zoom.decode import Decoder
from qzoom.zoom.model import ZoomModel

SIZES_PX = ((261, 199), (340, 230), (199, 307))
RECIPE = SftRecipe(batch_size=4, bf16=False)


def write_pictures(folder: Path) -> ImageFolder:
    """Pictures whose cells are no whole number of pixels."""
    for number, size in enumerate(SIZES_PX):
        picture(*size, seed=number).save(folder / f"{number}.png")
    return ImageFolder(folder)


def samples() -> list[SftSample]:
    """Six questions about three pictures: looks with and without a crop, under two budgets."""
    return [
        SftSample("a", "0.png", "what is that?", "281", (30, 20, 160, 120)),
        SftSample("b", "0.png", "which word is on the red sign?", "owl", (30, 20, 160, 120)),
        SftSample("c", "0.png", "what word is on the blue sign?", "horse 12"),
        SftSample("d", "1.png", "what is the total?", "9", None, 30),
        SftSample("e", "1.png", "what is the title?", "ship", (50, 90, 210, 200), 30),
        SftSample("f", "2.png", "what is that?", "green house", (5, 5, 60, 300)),
    ]


def fresh_model(family: Family = "qwen3_vl", *, tied: bool = False, **fields: Any) -> ZoomModel:
    """A model of its own, which a test may change."""
    checkpoint = chat_checkpoint(family, **fields)
    if tied:
        trunk = tied_trunk(family)
        trunk.generation_config = checkpoint.generation_config
        checkpoint = dataclasses.replace(checkpoint, trunk=trunk)
    return ZoomModel(checkpoint)


def tied_trunk(family: Family) -> Any:
    """A trunk whose head is its input embedding."""
    kind: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    model: Any = Qwen3VLForConditionalGeneration
    config: Any = tiny_qwen3_vl_config(True, vocab_size=VOCABULARY)
    if family == "qwen2_5_vl":
        model = Qwen2_5_VLForConditionalGeneration
        config = tiny_qwen2_5_vl_config(True, vocab_size=VOCABULARY)
    trunk = model._from_config(config, **kind)
    randomize(trunk, seed=3)
    return trunk.eval()


def stage_of(
    folder: Path,
    model: ZoomModel | None = None,
    recipe: SftRecipe = RECIPE,
    taught: Sequence[SftSample] | None = None,
) -> SftStage:
    """A stage on the pictures of a folder."""
    return SftStage(model or fresh_model(), taught or samples(), ImageFolder(folder), recipe)


def settings(steps: int) -> LoopSettings:
    """A loop whose every loss is logged."""
    optim = OptimSettings(muon_lr=0.0, adamw_lr=1e-3, warmup_steps=2, schedule="cosine")
    return LoopSettings(steps=steps, save_every=3, log_every=1, workers=0, bf16=False, optim=optim)


@contextmanager
def dictated(monkeypatch: pytest.MonkeyPatch, ids: Sequence[int]) -> Iterator[None]:
    """Make greedy decoding write these tokens, whatever the logits say."""

    def choose(decoder: Any) -> list[int]:
        place = getattr(decoder, "place", 0)
        decoder.place = place + 1
        decoder._tokens_b = torch.full((len(decoder.logits_bv),), ids[place])
        tokens: list[int] = decoder._tokens_b.tolist()
        return tokens

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "choose", choose)
        yield
