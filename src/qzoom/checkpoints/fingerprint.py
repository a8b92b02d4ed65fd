"""Telling weights apart without reading all of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qzoom.checkpoints.loaded import LoadedCheckpoint

_VALUES = 64


def trunk_fingerprint(trunk: PreTrainedModel, split_layer: int) -> str:
    """Tells trunks apart whose branches would read other features: a hash of a sample of weights.

    Taken from the layers below the split in bfloat16, so that the type a trunk is loaded in does
    not matter.
    """
    digest = hashlib.sha256()
    layers: Any = trunk.get_submodule("model.language_model.layers")
    for layer in layers[:split_layer]:
        for weight in (layer.input_layernorm.weight, layer.mlp.down_proj.weight[0]):
            sample = weight.detach().to(torch.bfloat16).cpu().view(torch.int16)
            digest.update(sample.numpy().tobytes())
    return digest.hexdigest()


def weights_fingerprint(checkpoint: LoadedCheckpoint) -> str:
    """Tells models apart that may answer differently: a hash of a sample of every weight.

    Another type of the same weights is another model here.
    """
    digest = hashlib.sha256()
    for module in (checkpoint.trunk, checkpoint.add_on):
        for name, weight in () if module is None else module.named_parameters():
            flat = weight.detach().flatten()
            sample = flat[:: max(1, len(flat) // _VALUES)].float().cpu()
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:16]
