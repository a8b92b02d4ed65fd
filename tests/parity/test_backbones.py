"""The layer-by-layer drivers equal transformers' own forward pass and greedy generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.parity.prompts import IMAGE, VISION_END, VISION_START, Prompt, batch_of, random_prompt
from tests.tiny import FAMILIES, Family, random_trunk, write_reference_checkpoint
from torch import Tensor
from transformers import AutoModelForImageTextToText, PreTrainedModel

import qzoom
from qzoom.backbones.base import Backbone
from qzoom.backbones.registry import backbone_for
from qzoom.zoom.cache import KVStore
from qzoom.zoom.layers import LayerRun
from qzoom.zoom.prompt import SpecialIds, lay_out
from qzoom.zoom.rows import rows_of

# Nearly all of a difference comes from the patch embedding, which the drivers sum in another order.
CLOSE = {"rtol": 0.0, "atol": 5e-5}
SAME = {"rtol": 0.0, "atol": 1e-6}
IDS = SpecialIds(IMAGE, VISION_START, VISION_END)
PICTURES = {"text": [], "4x6": [(4, 6)], "1x9": [(1, 9)], "two": [(4, 6), (3, 2)]}
NEW_TOKENS = 7
NO_END = -1


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.fixture(scope="module")
def trunk(family: Family, attn: str) -> PreTrainedModel:
    return random_trunk(family, seed=3, attn_implementation=attn)


@pytest.fixture(scope="module")
def backbone(family: Family, attn: str) -> Backbone:
    # Its own trunk: a driver replaces the patch embedding of the one it gets.
    return backbone_for(random_trunk(family, seed=3, attn_implementation=attn))


@pytest.fixture(scope="module", params=["plain", "zoom"])
def folder(
    request: pytest.FixtureRequest, family: Family, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    zooms = request.param == "zoom"
    target = tmp_path_factory.mktemp("checkpoint") / request.param
    return write_reference_checkpoint(target, family, seed=3, gate=zooms, region=zooms)


@pytest.fixture(scope="module")
def model(folder: Path, attn: str) -> qzoom.ZoomModel:
    return qzoom.load(folder, attn_implementation=attn)


@pytest.fixture(scope="module")
def plain(folder: Path, attn: str) -> Any:
    return AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attn
    ).eval()


def forward(backbone: Backbone, prompts: list[Prompt]) -> list[Tensor]:
    """Logits of shape `(n, vocabulary)` of each prompt, all run as one batch."""
    encoded = [
        backbone.encode(prompt.pixels, prompt.grid_thw) if prompt.grids_hw else []
        for prompt in prompts
    ]
    layouts = [lay_out(prompt.ids, prompt.grids_hw, IDS) for prompt in prompts]
    rows = rows_of(backbone, layouts, encoded, [0] * len(prompts), IMAGE)
    store = KVStore(len(backbone.layers))
    run = LayerRun(backbone, store, backbone.rotary(rows.position_ids), rows.valid_bn)
    logits = backbone.logits(run(backbone.layers, rows.hidden_bnh, rows=rows))
    return [out[: len(prompt.ids)] for out, prompt in zip(logits, prompts, strict=True)]


def plain_forward(trunk: Any, prompt: Prompt) -> Tensor:
    """Logits of transformers' own forward pass."""
    logits: Tensor = trunk(**batch_of([prompt])).logits[0]
    return logits


@pytest.mark.parametrize("pictures", PICTURES)
def test_forward(trunk: PreTrainedModel, backbone: Backbone, family: Family, pictures: str) -> None:
    prompt = random_prompt(family, PICTURES[pictures], seed=1)
    with torch.inference_mode():
        (found,) = forward(backbone, [prompt])
        torch.testing.assert_close(found, plain_forward(trunk, prompt), **CLOSE)


@pytest.mark.parametrize("pictures", PICTURES)
def test_forward_with_the_convolution_kept(
    trunk: Any, family: Family, attn: str, pictures: str
) -> None:
    kept = backbone_for(random_trunk(family, seed=3, attn_implementation=attn))
    kept.visual.patch_embed = trunk.model.visual.patch_embed
    prompt = random_prompt(family, PICTURES[pictures], seed=1)
    with torch.inference_mode():
        (found,) = forward(kept, [prompt])
        torch.testing.assert_close(found, plain_forward(trunk, prompt), **SAME)


def test_patch_embedding_is_no_less_exact(trunk: Any, backbone: Backbone, family: Family) -> None:
    pixels = random_prompt(family, [(4, 6)]).pixels
    convolution, product = trunk.model.visual.patch_embed, backbone.visual.patch_embed
    weight, bias = convolution.proj.weight.double(), convolution.proj.bias
    with torch.inference_mode():
        exact = pixels.double() @ weight.flatten(1).T
        exact = exact if bias is None else exact + bias.double()
        theirs, ours = ((embed(pixels) - exact).abs().mean() for embed in (convolution, product))
    assert ours <= theirs + 1e-6
    assert product.state_dict().keys() == convolution.state_dict().keys()


def test_forward_of_a_ragged_batch(
    trunk: PreTrainedModel, backbone: Backbone, family: Family
) -> None:
    prompts = [
        random_prompt(family, grids, words=3 + 4 * i, seed=i)
        for i, grids in enumerate(PICTURES.values())
    ]
    with torch.inference_mode():
        for prompt, found in zip(prompts, forward(backbone, prompts), strict=True):
            torch.testing.assert_close(found, plain_forward(trunk, prompt), **CLOSE)


def test_vision_features(trunk: Any, backbone: Backbone, family: Family) -> None:
    prompt = random_prompt(family, [(4, 6), (1, 9), (5, 5)])
    with torch.inference_mode():
        expected = trunk.model.visual(prompt.pixels, grid_thw=prompt.grid_thw, return_dict=True)
        images = backbone.encode(prompt.pixels, prompt.grid_thw)
    assert [image.grid_hw for image in images] == prompt.grids_hw
    cells = torch.cat([image.cells_ch for image in images])
    torch.testing.assert_close(cells, expected.pooler_output, **CLOSE)
    levels = getattr(expected, "deepstack_features", None) or []
    assert all(len(image.deepstack_ch) == len(levels) for image in images)
    for number, level in enumerate(levels):
        found = torch.cat([image.deepstack_ch[number] for image in images])
        torch.testing.assert_close(found, level, **CLOSE)


@pytest.mark.parametrize("pictures", PICTURES)
def test_generate(model: qzoom.ZoomModel, plain: Any, family: Family, pictures: str) -> None:
    inputs = batch_of([random_prompt(family, PICTURES[pictures], seed=2)])
    check_generate(model, plain, inputs)


@pytest.mark.parametrize("grids", [[], [(4, 6)]], ids=["text", "pictures"])
def test_generate_from_a_left_padded_batch(
    model: qzoom.ZoomModel, plain: Any, family: Family, grids: list[tuple[int, int]]
) -> None:
    prompts = [random_prompt(family, grids, words=2 + 5 * i, seed=i) for i in range(3)]
    check_generate(model, plain, batch_of(prompts))


def test_generate_from_rows_with_and_without_pictures(
    model: qzoom.ZoomModel, plain: Any, family: Family
) -> None:
    prompts = [random_prompt(family, grids, seed=i) for i, grids in enumerate(PICTURES.values())]
    check_generate(model, plain, batch_of(prompts))


def test_rows_end_at_the_end_token(model: qzoom.ZoomModel, plain: Any, family: Family) -> None:
    prompts = [random_prompt(family, [(2, 3)], words=3 + i, seed=i) for i in range(3)]
    inputs = batch_of(prompts)
    width = inputs["input_ids"].shape[1]
    free = plain.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=NO_END)
    options = {"eos_token_id": int(free[1, width + 1]), "pad_token_id": 6}
    expected = plain.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False, **options)
    assert (expected[:, width:] == 6).any(), "no row ended early, so nothing was tested"
    found = model.generate(**inputs, max_new_tokens=NEW_TOKENS, zoom="never", **options)
    assert found.tolist() == expected.tolist()


def test_repetition_penalty(model: qzoom.ZoomModel, plain: Any, family: Family) -> None:
    inputs = batch_of([random_prompt(family, [(4, 6)], seed=4)])
    check_generate(model, plain, inputs, repetition_penalty=1.5)


def check_generate(
    model: qzoom.ZoomModel, plain: Any, inputs: dict[str, Any], **options: Any
) -> None:
    """Sequences are equal and the logits of every step close."""
    options = {"max_new_tokens": NEW_TOKENS, "eos_token_id": NO_END, **options}
    expected = plain.generate(
        **inputs, **options, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    found = model.generate(**inputs, **options, zoom="never", return_details=True)
    assert found.sequences.tolist() == expected.sequences.tolist()
    logits = torch.stack(expected.logits, 1)
    torch.testing.assert_close(found.logits, logits.float(), **CLOSE)
    assert not any(found.zoomed)
