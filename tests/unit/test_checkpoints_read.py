"""Reading the published format: layouts, ties, branches, and every way a file can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny import (
    EOS_TOKEN_ID,
    FAMILIES,
    Family,
    Layout,
    image_settings,
    random_trunk,
    reference_tensors,
    shard_checkpoint,
    write_json,
    write_reference_checkpoint,
)

from qzoom.checkpoints import LoadedCheckpoint, read_checkpoint
from qzoom.errors import CheckpointError, ConfigError

TREES: list[tuple[Family, Layout]] = [
    ("qwen3_vl", "new"),
    ("qwen2_5_vl", "old"),
    ("qwen2_5_vl", "new"),
]
DEAD = ("v_proj", "o_proj", "mlp", "post_attention_layernorm")


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = folder / "model.safetensors"
    tensors = {name: value.clone() for name, value in load_file(file).items()}
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def assert_holds(loaded: LoadedCheckpoint, tensors: dict[str, torch.Tensor]) -> None:
    """Every live tensor of a newer-tree dict is where it belongs, bit for bit."""
    assert loaded.add_on is not None
    gate, region = loaded.add_on.gate, loaded.add_on.region
    for name, value in tensors.items():
        module, _, member = name.removeprefix("model.language_model.").partition(".")
        if module == "high_res_head" and gate is not None:
            held: Any = gate.head.get_parameter(member)
        elif module == "high_res_layers" and gate is not None:
            held = gate.layers.get_parameter(member)
        elif module == "twig_layers" and member.startswith("2."):
            if any(part in member for part in DEAD):
                continue
            held = region.final.get_parameter(member[2:].removeprefix("self_attn."))
        elif module == "twig_layers":
            held = region.layers.get_parameter(member)
        else:
            held = loaded.trunk.get_parameter(name)
        assert torch.equal(held, value), name


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize(("family", "layout"), TREES)
def test_reads_every_tree(tmp_path: Path, family: Family, layout: Layout, sharded: bool) -> None:
    folder = write_reference_checkpoint(tmp_path / "tiny", family, seed=3, layout=layout)
    if sharded:
        shard_checkpoint(folder)
    loaded = read_checkpoint(folder, attn_implementation="eager")
    assert_holds(loaded, reference_tensors(family, seed=3, layout="new"))
    assert (loaded.family, loaded.name, loaded.tokenizer) == (family, "tiny", None)
    assert loaded.config.enabled
    assert loaded.image_settings == image_settings(family)
    assert loaded.generation_config.eos_token_id == EOS_TOKEN_ID
    assert not loaded.trunk.training


@pytest.mark.parametrize("family", FAMILIES)
def test_computes_what_a_plainly_built_trunk_computes(tmp_path: Path, family: Family) -> None:
    folder = write_reference_checkpoint(tmp_path, family, seed=4)
    loaded = read_checkpoint(folder, attn_implementation="eager")
    prompt = torch.tensor([[1, 20, 21, 22, 2, 7]])
    with torch.inference_mode():
        expected = random_trunk(family, seed=4)(input_ids=prompt).logits
        torch.testing.assert_close(loaded.trunk(input_ids=prompt).logits, expected, rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_dead_weights_are_neither_held_nor_needed(tmp_path: Path, family: Family) -> None:
    folder = write_reference_checkpoint(tmp_path, family)
    whole = read_checkpoint(folder)
    assert whole.add_on is not None
    names = {name for name, _ in whole.add_on.region.final.named_parameters()}
    assert not [name for name in names if any(part in name for part in DEAD)]

    def drop_dead(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            if "twig_layers.2." in name and any(part in name for part in DEAD):
                del tensors[name]

    change_tensors(folder, drop_dead)
    trimmed = read_checkpoint(folder)
    assert trimmed.add_on is not None
    for name, value in trimmed.add_on.state_dict().items():
        assert torch.equal(value, whole.add_on.state_dict()[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_region_without_gate(tmp_path: Path, family: Family) -> None:
    loaded = read_checkpoint(write_reference_checkpoint(tmp_path, family, gate=False))
    assert not loaded.config.gate_enabled
    assert loaded.add_on is not None
    assert loaded.add_on.gate is None


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_backbone(tmp_path: Path, family: Family) -> None:
    folder = write_reference_checkpoint(tmp_path, family, gate=False, region=False)
    loaded = read_checkpoint(folder)
    assert loaded.add_on is None
    assert not loaded.config.enabled


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_tied_head(tmp_path: Path, family: Family, copied: bool) -> None:
    folder = write_reference_checkpoint(tmp_path, family, tied=True)
    if copied:
        change_tensors(folder, copy_head)
    trunk: Any = read_checkpoint(folder).trunk
    assert trunk.lm_head.weight is trunk.get_input_embeddings().weight
    assert torch.equal(trunk.lm_head.weight, random_trunk(family, tied=True).lm_head.weight)


def copy_head(tensors: dict[str, torch.Tensor]) -> None:
    name = next(name for name in tensors if name.endswith("embed_tokens.weight"))
    tensors["lm_head.weight"] = tensors[name].clone()


def test_tie_declared_only_in_text_config(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl", tied=True)
    fields = json.loads((folder / "config.json").read_text())
    del fields["tie_word_embeddings"]
    fields["text_config"]["tie_word_embeddings"] = True
    write_json(folder / "config.json", fields)
    trunk: Any = read_checkpoint(folder).trunk
    assert trunk.lm_head.weight is trunk.get_input_embeddings().weight


def test_tied_by_config_but_not_by_weights(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl", tie_word_embeddings=True)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight differs from the embedding"):
        read_checkpoint(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_untied_head_missing(tmp_path: Path, family: Family) -> None:
    folder = write_reference_checkpoint(tmp_path, family)
    change_tensors(folder, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(CheckpointError, match=r"1 tensor missing: lm_head\.weight"):
        read_checkpoint(folder)


def test_many_missing_tensors_are_counted(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen2_5_vl", gate=False, enable_high_res=True)
    message = r"38 tensors missing: model\.high_res_head\.bias, .* and 35 more"
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


def test_enabled_without_region_weights(tmp_path: Path) -> None:
    fields = {"enable_twig": True, "twig_K": 4, "twig_T": 3}
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl", gate=False, region=False, **fields)
    with pytest.raises(CheckpointError, match=r"missing: model\.language_model\.twig_layers\.0"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "name", ["model.language_model.layers.8.mlp.up_proj.weight", "model.twig_layers.3.mlp.weight"]
)
def test_leftover_tensor(tmp_path: Path, name: str) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl")
    change_tensors(folder, lambda tensors: tensors.update({name: torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=f"1 tensor left over: {name}"):
        read_checkpoint(folder)


def test_gate_weights_without_a_gate_are_left_over(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl", enable_high_res=False)
    with pytest.raises(CheckpointError, match=r"35 tensors left over: .*high_res_head\.bias"):
        read_checkpoint(folder)


def test_zoom_weights_without_zoom_fields(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen2_5_vl", enable_twig=False)
    with pytest.raises(CheckpointError, match="set enable_twig, twig_K and twig_T"):
        read_checkpoint(folder)


def test_both_layouts_in_one_file(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen2_5_vl", layout="old")
    extra = {"model.language_model.norm.weight": torch.ones(64)}
    change_tensors(folder, lambda tensors: tensors.update(extra))
    with pytest.raises(CheckpointError, match=r"norm\.weight are the same tensor"):
        read_checkpoint(folder)


def test_shape_mismatch_names_both_shapes(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl")
    name = "model.language_model.twig_layers.2.self_attn.q_proj.weight"
    change_tensors(folder, lambda tensors: tensors.update({name: torch.zeros(32, 64)}))
    message = r"twig_layers\.2\.self_attn\.q_proj\.weight has shape \[32, 64\].*\[64, 64\]"
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_reduced_precision_keeps_rotary_frequencies_in_float32(
    tmp_path: Path, family: Family
) -> None:
    folder = write_reference_checkpoint(tmp_path, family)
    loaded = read_checkpoint(folder, dtype="bfloat16")
    assert loaded.add_on is not None
    parameters = [*loaded.trunk.parameters(), *loaded.add_on.parameters()]
    assert {parameter.dtype for parameter in parameters} == {torch.bfloat16}
    assert loaded.trunk.config.dtype == torch.bfloat16
    expected = dict(random_trunk(family).named_buffers())
    for name, value in loaded.trunk.named_buffers():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
        assert value.dtype == torch.float32


def test_dtype_comes_from_the_config(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen2_5_vl", torch_dtype="bfloat16")
    for dtype in (None, "auto"):
        assert read_checkpoint(folder, dtype=dtype).trunk.dtype == torch.bfloat16


def test_attention_implementation_reaches_the_branches(tmp_path: Path) -> None:
    loaded = read_checkpoint(
        write_reference_checkpoint(tmp_path, "qwen3_vl"), attn_implementation="eager"
    )
    assert loaded.add_on is not None
    layer: Any = loaded.add_on.region.layers[0]
    assert layer.self_attn.config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "dtype must be"),
        ({"device": "warp"}, "device 'warp' cannot be used"),
        ({"attn_implementation": "magic"}, "attn_implementation='magic' cannot be used"),
    ],
)
def test_unusable_options(tmp_path: Path, options: dict[str, str], message: str) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl")
    with pytest.raises(ConfigError, match=message):
        read_checkpoint(folder, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "llava"}, "model_type 'llava'; supported: qwen3_vl, qwen2_5_vl"),
        ({"quantization_config": {"bits": 4}}, "unquantised"),
        ({"image_token_id": "five"}, "does not fit Qwen3VLConfig"),
    ],
)
def test_unusable_config(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl", **fields)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


def test_llava_parts_are_refused(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl")
    extra = {"twig_head.weight": torch.zeros(1)}
    change_tensors(folder, lambda tensors: tensors.update(extra))
    with pytest.raises(CheckpointError, match="from a LLaVA checkpoint"):
        read_checkpoint(folder)


def test_unused_norm_of_early_region_checkpoints_is_dropped(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen2_5_vl", gate=False)
    extra = {"model.twig_norm.weight": torch.ones(64)}
    change_tensors(folder, lambda tensors: tensors.update(extra))
    assert read_checkpoint(folder).add_on is not None
