"""Which weights of a trunk the post-SFT training moves: the one place that says so."""

from __future__ import annotations

from typing import Any

from torch import nn

from qzoom.train.lora import add_lora, merge_lora
from qzoom.train.sft_recipe import SftRecipe
from qzoom.zoom.model import ZoomModel


def trained_modules(model: ZoomModel, recipe: SftRecipe) -> dict[str, nn.Module]:
    """Freeze a model but for what the recipe trains, and return that, by the names of its state.

    "decoder": decoder layers, final norm and language head (the reference leaves the norm as it
    is). Where the head is the input embedding, that one tensor is trained: it learns from both
    uses, so the rows of the prompt's tokens move too. Where it is not, the embedding is frozen.
    "all": vision tower and input embedding as well. With LoRA: its matrices alone, which are put
    into the model here. The branches are always frozen.
    """
    trunk: Any = model.checkpoint.trunk
    language: Any = trunk.model.language_model
    trunk.requires_grad_(False)
    if model.parts.add_on is not None:
        model.parts.add_on.requires_grad_(False)
    if recipe.lora.rank:
        return {"lora": add_lora(language.layers, recipe.lora, recipe.seed)}
    trained = {"layers": language.layers, "norm": language.norm, "lm_head": trunk.lm_head}
    if recipe.trainable == "all":
        trained["model.visual"] = trunk.model.visual
        if trunk.lm_head.weight is not language.embed_tokens.weight:
            trained["embed_tokens"] = language.embed_tokens
    for module in trained.values():
        module.requires_grad_(True)
    return trained


def settle(model: ZoomModel) -> None:
    """Make the trained model an ordinary one again: LoRA matrices become part of the weights."""
    layers: Any = model.checkpoint.trunk.get_submodule("model.language_model.layers")
    merge_lora(layers)
