"""Stored losses and gradient norms of the reference's training, compared tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from tests.parity.compare import Difference
from torch import Tensor

from qzoom.labels.tristate import IGNORE, TriStateRule, picture_cells, tristate_labels
from qzoom.train.branch_losses import gate_loss, region_loss
from qzoom.train.tap_pass import gate_logits, region_map_logits, tap_states
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.prompt import lay_out

TRAINING_FILE = "training.json"
REGION_LAYER = "twig_layers."
GATE_LAYER = "high_res_layers."
GATE_HEAD = "high_res_head."


def training_differences(
    folder: Path, model: ZoomModel
) -> Iterator[tuple[str, str, list[Difference]]]:
    """Name, branch and differences of every stored training step of a folder."""
    path = folder / TRAINING_FILE
    if not path.is_file():
        return
    model.checkpoint.trunk.requires_grad_(False)
    assert model.parts.add_on is not None
    model.parts.add_on.requires_grad_(True)
    for record in json.loads(path.read_text(encoding="utf-8"))["trainings"]:
        for branch in ("region", "gate"):
            model.parts.add_on.zero_grad()
            loss = _loss(folder, model, record, branch)
            loss.backward()  # type: ignore[no-untyped-call]
            gradients = {
                name: 0.0 if p.grad is None else float(p.grad.norm())
                for name, p in model.parts.add_on.named_parameters()
                if name.startswith(branch)
            }
            yield (
                record["id"],
                branch,
                _compare(float(loss.detach()), gradients, record[branch], model),
            )


def label_differences(path: Path) -> Iterator[tuple[str, list[Difference]]]:
    """Name and differences of every case of a labels.json and the tensors beside it."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    tensors = load_file(path.with_suffix(".safetensors"))
    names = ("foreground_threshold", "background_threshold", "sink_threshold")
    rule = TriStateRule(**{name: stored[name] for name in names})
    for case in stored["cases"]:
        prefix = f"{case['case']}."
        attention, sink = (tensors[f"{prefix}{name}"] for name in ("grounding", "sink"))
        shown = picture_cells(tuple(case["image_size"]), attention.shape[0])
        found = tristate_labels(attention, sink, rule, shown)
        x1, y1, x2, y2 = found.box_cells_xyxy
        expected = tensors[f"{prefix}labels"]
        yield (
            f"case {case['case']}",
            [
                Difference("labels", float((found.labels_hw != expected).sum())),
                _same("box", [y1, x1, y2 - 1, x2 - 1], case["box_rows_cols_inclusive"]),
                _same("foreground", int((found.labels_hw == 1).sum()), case["foreground"]),
                _same("ignored", int((found.labels_hw == IGNORE).sum()), case["ignored"]),
            ],
        )


def _loss(folder: Path, model: ZoomModel, record: Mapping[str, Any], branch: str) -> Tensor:
    parts = model.parts
    with Image.open(folder / f"{record['id']}.png") as image:
        features = model.encode([image.convert("RGB")])
    grid = features[0].grid_hw
    layout = lay_out(torch.tensor(record["input_ids"]), [grid], parts.ids)
    asking = next(i for i, label in enumerate(record["labels"]) if label != IGNORE) - 1
    tap = tap_states(parts, [layout], [features])
    if branch == "gate":
        return gate_loss(gate_logits(tap, [asking]), torch.tensor([record["gate"]["label"]]))
    logits = region_map_logits(tap, [[asking]])[0][0].view(grid)
    return region_loss([logits], [torch.tensor(record["roi_target"])])


def _compare(
    loss: float, gradients: dict[str, float], stored: Mapping[str, Any], model: ZoomModel
) -> list[Difference]:
    depth = model.config.branch_depth
    norms = {_own_name(name, depth): value for name, value in stored["grad_norm"].items()}
    relative = [
        abs(gradients.get(name, 0.0) - norm) / max(norm, 1e-12) for name, norm in norms.items()
    ]
    # Above 1 the loss is compared relatively: single precision holds seven digits of it.
    scale = max(1.0, abs(stored["loss"]))
    return [
        Difference("loss", abs(loss - stored["loss"]) / scale),
        Difference("gradient_norms", max(relative)),
        _same("tensors", sorted(gradients), sorted(norms)),
    ]


def _own_name(published: str, depth: int) -> str:
    """Name within the add-on of a trained tensor of the published format."""
    if GATE_HEAD in published:
        return f"gate.head.{published.split(GATE_HEAD)[1]}"
    if GATE_LAYER in published:
        return f"gate.layers.{published.split(GATE_LAYER)[1]}"
    index, name = published.split(REGION_LAYER)[1].split(".", 1)
    if int(index) < depth - 1:
        return f"region.layers.{index}.{name}"
    return f"region.final.{name.removeprefix('self_attn.')}"


def _same(name: str, found: object, stored: object) -> Difference:
    return Difference(name, 0.0 if found == stored else float("inf"))
