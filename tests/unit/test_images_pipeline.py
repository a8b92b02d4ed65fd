"""Crops and patches."""

import numpy as np
import pytest
import torch
from PIL import Image

from qzoom.errors import ConfigError, ImageError
from qzoom.images.crop import crop_px
from qzoom.images.pipeline import ImagePipeline

CONFIG = {
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "patch_size": 14,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.4],
    "min_pixels": 4 * 784,
    "max_pixels": 16 * 784,
}


def make_noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def patches_by_hand(image: Image.Image, pipeline: ImagePipeline) -> torch.Tensor:
    _, rows, cols = pipeline.grid_thw_for_size(image.size)
    side, merge = pipeline.patch_size, pipeline.merge_size
    resized = image.resize((cols * side, rows * side), Image.Resampling.BICUBIC)
    values = np.asarray(resized, dtype=np.float64) / 255
    values = (values - pipeline.image_mean) / pipeline.image_std
    found = []
    for top in range(0, rows, merge):
        for left in range(0, cols, merge):
            for i in range(top, top + merge):
                for j in range(left, left + merge):
                    patch = values[i * side : (i + 1) * side, j * side : (j + 1) * side]
                    channels = patch.transpose(2, 0, 1)
                    found.append(np.stack([channels, channels], axis=1).ravel())
    return torch.from_numpy(np.stack(found)).float()


# Sides of 1 and 3 px are the ones that a guess of the channel axis gets wrong.
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (3, 1), (1, 3), (3, 50), (64, 48), (400, 3)])
def test_patches_equal_those_by_hand(size):
    pipeline = ImagePipeline.from_config(CONFIG)
    image = make_noise(*size)
    batch = pipeline([image])
    assert batch.pixel_values.dtype == torch.float32
    assert batch.image_grid_thw.dtype == torch.long
    assert batch.image_grid_thw.tolist() == [list(pipeline.grid_thw_for_size(size))]
    torch.testing.assert_close(batch.pixel_values, patches_by_hand(image, pipeline))


def test_several_images_follow_each_other():
    pipeline = ImagePipeline.from_config(CONFIG)
    images = [make_noise(64, 48), make_noise(30, 90)]
    batch = pipeline(images)
    alone = [pipeline([image]) for image in images]
    assert torch.equal(batch.pixel_values, torch.cat([one.pixel_values for one in alone]))
    assert torch.equal(batch.image_grid_thw, torch.cat([one.image_grid_thw for one in alone]))
    assert len(batch.pixel_values) == int(batch.image_grid_thw.prod(dim=1).sum())


def test_both_spellings_of_the_budget():
    size_only = {k: v for k, v in CONFIG.items() if not k.endswith("_pixels")}
    size_only["size"] = {"shortest_edge": 4 * 784, "longest_edge": 16 * 784}
    assert ImagePipeline.from_config(size_only) == ImagePipeline.from_config(CONFIG)
    both = {**CONFIG, "size": {"shortest_edge": 784, "longest_edge": 784}}
    assert ImagePipeline.from_config(both) == ImagePipeline.from_config(CONFIG)


def test_saved_settings_come_back():
    pipeline = ImagePipeline.from_config({**CONFIG, "resample": 2, "rescale_factor": 1 / 256})
    assert ImagePipeline.from_config(pipeline.to_dict()) == pipeline
    assert pipeline.resample == 2


def test_transformers_reads_the_saved_settings():
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    pipeline = ImagePipeline.from_config(CONFIG)
    image = make_noise(64, 48)
    processor = Qwen2VLImageProcessorPil.from_dict(pipeline.to_dict())
    features = processor(images=[image], return_tensors="pt")
    assert torch.equal(features["pixel_values"], pipeline([image]).pixel_values)


def test_budget_in_cells():
    pipeline = ImagePipeline.from_config(CONFIG).with_budget(9, 9)
    assert (pipeline.min_pixels, pipeline.max_pixels) == (9 * 784, 9 * 784)
    assert pipeline.grid_thw_for_size((500, 500)) == (1, 6, 6)
    assert len(pipeline([make_noise(500, 500)]).pixel_values) == 36
    with pytest.raises(ConfigError, match="min_pixels=7840, max_pixels=784"):
        pipeline.with_budget(10, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": None}, "has no patch_size"),
        ({"min_pixels": None}, "neither min_pixels nor"),
        ({"max_pixels": None}, "neither max_pixels nor"),
        ({"do_resize": False}, "do_resize=false"),
        ({"image_processor_type": "CLIPImageProcessor"}, "CLIPImageProcessor is not supported"),
        ({"merge_size": 0}, "sizes >= 1"),
        ({"image_std": [0.1, 0.0, 0.1]}, "image_mean and image_std"),
        ({"image_mean": [0.1, 0.0]}, "image_mean and image_std"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        ImagePipeline.from_config({**CONFIG, **change})


def test_bad_images_are_refused():
    pipeline = ImagePipeline.from_config(CONFIG)
    with pytest.raises(ImageError, match="got 0 images"):
        pipeline([])
    with pytest.raises(ImageError, match="mode is RGBA"):
        pipeline([Image.new("RGBA", (40, 40))])
    with pytest.raises(ImageError, match="1x10000 px has an aspect ratio of 10000"):
        pipeline([Image.new("RGB", (1, 10_000))])


def test_crop_takes_the_pixels_of_the_box():
    image = make_noise(20, 10)
    found = crop_px(image, (3, 2, 11, 10))
    assert found.size == (8, 8)
    assert np.array_equal(found, np.asarray(image)[2:10, 3:11])


@pytest.mark.parametrize("box", [(0, 0, 21, 5), (-1, 0, 5, 5), (4, 4, 4, 8), (0, 5, 5, 11)])
def test_crops_outside_the_image_are_refused(box):
    with pytest.raises(ImageError, match="leaves the image of 20x10 px"):
        crop_px(make_noise(20, 10), box)
