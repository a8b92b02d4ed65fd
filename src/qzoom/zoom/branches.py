"""The two add-on branches, assembled from the decoder layers of the installed transformers.

Both branches read the hidden states that leave trunk layer `split_layer`. The gate runs all its
layers and a linear head on the last row; the region branch needs only queries and keys of its
last layer, so that layer's values, output projection and MLP are never held.

Modules hold weights and know shapes; the pass over a sequence with its caches lives elsewhere.
Building under `torch.device("meta")` works: nothing here reads a weight or holds a buffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from qzoom.errors import ConfigError
from qzoom.zoom.config import ZoomConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class GateBranch(nn.Module):
    """Full decoder layers and a bare linear head: "does this question need a closer look?".

    Args:
        text_config: The trunk's text configuration, shared with the trunk's own layers so that
            `attn_implementation` is too.
        depth: Number of decoder layers; `layer_idx` counts from 0.
    """

    def __init__(self, text_config: PreTrainedConfig, depth: int) -> None:
        super().__init__()
        self.layers = _decoder_layers(text_config, depth)
        self.head = nn.Linear(_hidden_size(text_config), 1, bias=True)


class RegionBranch(nn.Module):
    """Decoder layers whose last one is kept only as far as queries and keys go.

    Args:
        text_config: The trunk's text configuration.
        depth: Number of layers counting the trimmed last one; `layers` holds `depth - 1`.
    """

    def __init__(self, text_config: PreTrainedConfig, depth: int) -> None:
        super().__init__()
        if depth < 1:
            raise ConfigError(f"branch_depth must be at least 1, got {depth}")
        self.layers = _decoder_layers(text_config, depth - 1)
        self.final = QueryKeyHead(text_config, depth - 1)


class QueryKeyHead(nn.Module):
    """Input norm, query and key projections (and their norms, if any) of one decoder layer."""

    def __init__(self, text_config: PreTrainedConfig, layer_idx: int) -> None:
        super().__init__()
        layer = _decoder_layer(text_config, layer_idx)
        attention = layer.self_attn
        self.head_dim: int = attention.head_dim
        self.scaling: float = attention.scaling
        self.input_layernorm: nn.Module = layer.input_layernorm
        self.q_proj: nn.Module = attention.q_proj
        self.k_proj: nn.Module = attention.k_proj
        self.q_norm: nn.Module | None = getattr(attention, "q_norm", None)
        self.k_norm: nn.Module | None = getattr(attention, "k_norm", None)

    def queries(self, hidden_states: Tensor) -> Tensor:
        """Queries before rotation: (batch, rows, hidden) -> (batch, heads, rows, head_dim)."""
        return self._heads(self.q_proj, self.q_norm, hidden_states)

    def keys(self, hidden_states: Tensor) -> Tensor:
        """Keys before rotation: (batch, rows, hidden) -> (batch, kv_heads, rows, head_dim)."""
        return self._heads(self.k_proj, self.k_norm, hidden_states)

    def _heads(self, project: nn.Module, norm: nn.Module | None, hidden_states: Tensor) -> Tensor:
        rows = project(self.input_layernorm(hidden_states))
        rows = rows.view(*rows.shape[:-1], -1, self.head_dim)
        rows = rows if norm is None else norm(rows)
        return cast(Tensor, rows.transpose(1, 2))


class ZoomAddOn(nn.Module):
    """What turns a backbone into a zooming model: a region branch and, as a rule, a gate.

    Args:
        text_config: The trunk's text configuration.
        config: Says which branches exist and how deep they are.

    Raises:
        ConfigError: If `config` is a plain backbone or splits beyond the trunk.
    """

    gate: GateBranch | None
    region: RegionBranch

    def __init__(self, text_config: PreTrainedConfig, config: ZoomConfig) -> None:
        super().__init__()
        if not config.enabled:
            raise ConfigError(
                "a plain backbone has no zoom branches; set enable_twig in config.json"
            )
        trunk_layers = int(text_config.num_hidden_layers)
        if config.split_layer >= trunk_layers:
            raise ConfigError(
                f"split_layer (twig_K) is {config.split_layer}; the trunk has {trunk_layers} layers"
            )
        depth = config.branch_depth
        self.gate = GateBranch(text_config, depth) if config.gate_enabled else None
        self.region = RegionBranch(text_config, depth)


def trunk_source(member: str, depth: int) -> tuple[int, str] | None:
    """Where the trunk holds what a branch's tensor starts from.

    Args:
        member: Name of the tensor in `GateBranch` or `RegionBranch`.
        depth: Layers of a branch.

    Returns:
        the layer, counted from the first one above the split, and the name in it; None for a head.
    """
    kind, _, rest = member.partition(".")
    if kind == "layers":
        index, _, name = rest.partition(".")
        return int(index), name
    if kind != "final":
        return None
    inside = rest if rest.startswith("input_layernorm.") else f"self_attn.{rest}"
    return depth - 1, inside


def _decoder_layers(text_config: PreTrainedConfig, count: int) -> nn.ModuleList:
    return nn.ModuleList(_decoder_layer(text_config, index) for index in range(count))


def _decoder_layer(text_config: Any, layer_idx: int) -> Any:
    # Imported late: reading a configuration should not pull in every modelling file.
    if text_config.model_type == "qwen3_vl_text":
        from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextDecoderLayer

        return Qwen3VLTextDecoderLayer(text_config, layer_idx)
    if text_config.model_type == "qwen2_5_vl_text":
        from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLDecoderLayer

        return Qwen2_5_VLDecoderLayer(text_config, layer_idx)
    raise ConfigError(f"no zoom branches for a text model of type {text_config.model_type!r}")


def _hidden_size(text_config: PreTrainedConfig) -> int:
    return int(text_config.hidden_size)
