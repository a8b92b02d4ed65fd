"""Images, boxes and positions against stored outputs of the reference implementation."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from qzoom.geometry.boxes import Box, cells_to_pixels
from qzoom.geometry.grids import cells_of
from qzoom.geometry.heatmaps import corner_sink_keep, foreground_box, gaussian_blur3
from qzoom.geometry.positions import AlignedRegion, ImageGrid, positions_of_segments, segments_of
from qzoom.images.decode import decode_image
from qzoom.images.pipeline import ImagePipeline

FOLDERS = [
    f"{family}-{kind}"
    for family in ("qwen2_5_vl", "qwen3_vl")
    for kind in ("aligned", "plain", "large")
]
IMAGE_TOKEN_ID = 5


class Case(NamedTuple):
    record: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    image_path: Path
    aligned: bool

    def zoomed_runs(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return ((i, run) for i, run in enumerate(self.record["runs"]) if run["zoomed"])


@pytest.fixture(params=FOLDERS)
def folder(request, shared_goldens) -> Path:
    return shared_goldens / request.param


@pytest.fixture
def pipeline(folder) -> ImagePipeline:
    text = (folder / "checkpoint" / "preprocessor_config.json").read_text(encoding="utf-8")
    return ImagePipeline.from_config(json.loads(text))


@pytest.fixture
def cases(folder) -> list[Case]:
    stored = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    return [
        Case(
            record,
            load_file(folder / f"{record['id']}.safetensors"),
            folder / f"{record['id']}.png",
            stored["align"],
        )
        for record in stored["cases"]
    ]


def test_pixel_values(cases, pipeline):
    for case in cases:
        batch = pipeline([decode_image(case.image_path)])
        assert batch.image_grid_thw.tolist() == [case.record["image_grid_thw"]]
        if "pixel_values" in case.tensors:
            torch.testing.assert_close(
                batch.pixel_values, case.tensors["pixel_values"], rtol=0, atol=1e-6
            )


def test_boxes(cases):
    for case in cases:
        for i, run in enumerate(case.record["runs"]):
            logits = case.tensors.get(f"run{i}.roi_logits")
            if logits is None:
                continue
            keep = case.tensors.get(f"run{i}.sink_keep", corner_sink_keep(*logits.shape))
            blurred = gaussian_blur3(logits.sigmoid() * keep)
            box = foreground_box(blurred, run["roi_threshold"])
            assert box == (tuple(run["roi_box_cells"]) if run["zoomed"] else None)


def test_crop_grids(cases, pipeline):
    for case in cases:
        for _, run in case.zoomed_runs():
            box = cells_to_pixels(
                Box(*run["roi_box_cells"]),
                cells_of(case.record["image_grid_thw"], pipeline.merge_size),
                tuple(case.record["image_size"]),
                reference_cell_side_px=pipeline.cell_side_px,
            )
            found = pipeline.grid_thw_for_size((box.width, box.height))
            assert list(found) == run["roi_grid_thw"]


def test_position_ids(cases):
    for case in cases:
        source = cells_of(case.record["image_grid_thw"], 2)
        for i, run in case.zoomed_runs():
            region = cells_of(run["roi_grid_thw"], 2)
            ids = torch.tensor(run["zoomed_input_ids"])
            segments = segments_of(ids, IMAGE_TOKEN_ID, [source, region])
            if case.aligned:
                last = max(k for k, part in enumerate(segments) if isinstance(part, ImageGrid))
                origin = segments[0].length
                segments[last] = AlignedRegion(*region, origin, tuple(run["roi_box_cells"]))
            positions, _ = positions_of_segments(segments)
            expected = case.tensors[f"run{i}.position_ids"]
            torch.testing.assert_close(positions.to(expected.dtype), expected)
