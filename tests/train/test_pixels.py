"""Patches of the training are those of the image pipeline; the tower's batched forward its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tests.train.parts import make_model, picture_of
from transformers import Qwen3VLForConditionalGeneration

from qzoom.errors import ConfigError
from qzoom.images.pipeline import ImagePipeline
from qzoom.synth.world import scene_of
from qzoom.train.pixels import normalise, patches_uint8, whitening_filters
from qzoom.train.tower import encode_equal
from qzoom.train.views import resize_to_budget, view_hw_cells

CELL = 32**2


def pipeline(min_cells: int, max_cells: int) -> ImagePipeline:
    return ImagePipeline(
        patch_size=16,
        merge_size=2,
        min_pixels=min_cells * CELL,
        max_pixels=max_cells * CELL,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
    )


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("size", [(128, 128), (192, 96), (64, 320)])
def test_patches_are_the_pipelines(size: tuple[int, int]) -> None:
    image = noise(*size)
    ours = normalise(patches_uint8(image)[None])[0]
    theirs = pipeline(4, 64)([image])
    assert theirs.image_grid_thw.tolist() == [[1, size[1] // 16, size[0] // 16]]
    torch.testing.assert_close(ours, theirs.pixel_values, atol=1e-6, rtol=0)


@pytest.mark.parametrize("max_cells", [64, 128, 1024])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_views_are_resized_as_the_pipeline_does(max_cells: int, seed: int) -> None:
    image = scene_of(seed).image
    view = resize_to_budget(image, max_cells)
    assert (view.height // 32, view.width // 32) == view_hw_cells(image.size, max_cells)
    theirs = pipeline(16, max_cells)([image])
    ours = normalise(patches_uint8(view)[None])[0]
    torch.testing.assert_close(ours, theirs.pixel_values, atol=1e-6, rtol=0)


def test_patches_can_be_put_together_again() -> None:
    image = noise(96, 64)
    assert picture_of(patches_uint8(image), (2, 3)).tobytes() == image.tobytes()


def test_whitening_filters_give_uncorrelated_patches() -> None:
    patches = np.stack([patches_uint8(scene_of(seed).image)[:256] for seed in range(8)])
    weight, bias = whitening_filters(patches, 16)
    assert weight.shape == (16, 3, 2, 16, 16)
    assert torch.equal(weight[:, :, 0], weight[:, :, 1])
    out = torch.nn.functional.linear(normalise(patches).flatten(0, 1), weight.flatten(1), bias)
    assert out.mean(0).abs().max() < 1e-3
    covariance = out.T.cov()
    spread = covariance.diagonal()
    assert spread.max() < 0.26
    torch.testing.assert_close(covariance, torch.diag(spread), atol=1e-3, rtol=0)


def test_too_few_patches_give_no_filters() -> None:
    with pytest.raises(ConfigError, match="32 patches cannot give 192 filters"):
        whitening_filters(np.zeros((2, 16, 3, 16, 16), np.uint8), 192)


@pytest.fixture(scope="module")
def model() -> Qwen3VLForConditionalGeneration:
    return make_model(seed=5)


@pytest.mark.parametrize("hw_cells", [(2, 2), (3, 5), (1, 4)])
def test_the_tower_gives_what_the_installed_one_gives(
    model: Qwen3VLForConditionalGeneration, hw_cells: tuple[int, int]
) -> None:
    grid = (2 * hw_cells[0], 2 * hw_cells[1])
    images = [noise(32 * hw_cells[1], 32 * hw_cells[0], seed) for seed in range(3)]
    pixels = normalise(np.stack([patches_uint8(image) for image in images]))
    visual = model.model.visual
    with torch.no_grad():
        ours = encode_equal(visual, pixels, grid)
        theirs = visual(
            pixels.flatten(0, 1), grid_thw=torch.tensor([[1, *grid]] * 3), return_dict=True
        )
    torch.testing.assert_close(
        ours.patches_bnd.flatten(0, 1), theirs.last_hidden_state, atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(
        ours.cells_bch.flatten(0, 1), theirs.pooler_output, atol=1e-5, rtol=1e-5
    )
    assert len(ours.deepstack_bch) == len(theirs.deepstack_features) == 1
    for level, wanted in zip(ours.deepstack_bch, theirs.deepstack_features, strict=True):
        torch.testing.assert_close(level.flatten(0, 1), wanted, atol=1e-5, rtol=1e-5)
