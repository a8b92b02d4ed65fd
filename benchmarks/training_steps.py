"""Two training steps on the same prompts: the region stage's, and one of the whole plain model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qzoom.bench.subject import Subject
from qzoom.bench.timing import seconds_of
from qzoom.labels.attention import HeadSet
from qzoom.labels.presets import HeadPreset
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.labels.store import LabelRow, LabelStore
from qzoom.train.branch_recipes import paper_optim
from qzoom.train.label_index import LabelIndex
from qzoom.train.loader import Batch
from qzoom.train.optim import OptimizerPair
from qzoom.train.prompt_batch import split_flat
from qzoom.train.region_stage import RegionStage

QUESTION = "What is written on the sign at the left of the door?"
RESPONSE = "It says that the shop is open from nine to five."
NO_LABEL = -100
_NO_HEADS = HeadPreset(textual=HeadSet({}), natural=HeadSet({}))


@dataclass
class Step:
    """One contender: loss and gradients, then the optimiser; seconds of each are kept."""

    modules: dict[str, nn.Module]
    frozen: list[nn.Module]
    loss: Callable[[], Tensor]
    clock: str
    bf16: bool
    gradients_s: list[float] = field(default_factory=list)
    update_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._choose()
        named = {f"{k}.{n}": p for k, m in self.modules.items() for n, p in m.named_parameters()}
        self._optimizers = OptimizerPair(named, paper_optim())

    def __call__(self) -> None:
        """One whole step."""
        self._choose()
        self.gradients_s.append(seconds_of(self.gradients, self.clock))
        self.update_s.append(seconds_of(lambda: self._optimizers.step(1, 10), self.clock))

    def gradients(self) -> None:
        """Forward and backward."""
        device = next(iter(self._optimizers.named.values())).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.bf16):
            loss = self.loss()
        loss.backward()

    def drop_gradients(self) -> None:
        """Without an update."""
        for parameter in self._optimizers.named.values():
            parameter.grad = None

    def _choose(self) -> None:
        """Say what is trained: contenders share their weights."""
        for module in self.modules.values():
            module.requires_grad_(True)
        for module in self.frozen:
            module.requires_grad_(False)


def region_stage(subject: Subject, folder: Path, batch_size: int) -> RegionStage:
    """The stage on labels of random cells, as many prompts as a batch holds."""
    cells = subject.model.pipeline.max_pixels // subject.model.pipeline.cell_side_px**2
    settings = RegionLabelSettings(layout="native", cells=cells)
    grid = subject.model.grid_of(subject.image)
    generator = torch.Generator().manual_seed(0)
    subject.image.save(folder / "picture.png")
    rows = [
        LabelRow(
            {"id": str(n), "image": "picture.png", "question": QUESTION, "response": RESPONSE}
            | {"teaches": True},
            {"labels": torch.randint(0, 2, grid, generator=generator, dtype=torch.int8)},
        )
        for n in range(batch_size)
    ]
    LabelStore(folder / "labels", settings.to_json(_NO_HEADS)).write(0, rows)
    index = LabelIndex.open(folder / "labels")
    return RegionStage(subject.model, index, folder, batch_size, seed=0)


def region_step(stage: RegionStage, batch: Batch, **kind: Any) -> Step:
    """Tower and trunk layers 1..B without gradients, the branch with them."""
    trunk: Any = stage.parts.backbone.trunk
    return Step(dict(stage.modules), [trunk], lambda: stage.loss(batch)[0], **kind)


def plain_step(
    plain: PreTrainedModel, inputs: dict[str, Tensor], *, frozen_tower: bool, **kind: Any
) -> Step:
    """Transformers' own forward pass with its loss, and gradients of all weights it trains."""
    model: Any = plain
    frozen = [model.model.visual] if frozen_tower else []
    return Step({"model": plain}, frozen, lambda: model(**inputs, use_cache=False).loss, **kind)


def plain_inputs(stage: RegionStage, batch: Batch, pad: int) -> dict[str, Tensor]:
    """The batch's own prompts as a processor would pad them; the response is what is learnt."""
    ids = split_flat(batch["ids"], batch["lengths"])
    asking = [int(rows[-1]) for rows in split_flat(batch["asking"], batch["turns"])]
    labels = [row.clone() for row in ids]
    for row, last in zip(labels, asking, strict=True):
        row[: last + 1] = NO_LABEL
    padded = nn.utils.rnn.pad_sequence
    input_ids = padded(ids, batch_first=True, padding_value=pad)
    ones = [torch.ones_like(row) for row in ids]
    return {
        "input_ids": input_ids,
        "attention_mask": padded(ones, batch_first=True),
        "labels": padded(labels, batch_first=True, padding_value=NO_LABEL),
        "mm_token_type_ids": (input_ids == stage.parts.ids.image).int(),
        "pixel_values": torch.as_tensor(batch["pixels"]),
        "image_grid_thw": torch.as_tensor(batch["grid_thw"]),
    }


@dataclass
class Ran:
    """Calls of each kind of layer in one step, and of those the ones that gradients go through."""

    tower_blocks: int = 0
    tower_blocks_with_gradients: int = 0
    trunk_layers: int = 0
    trunk_layers_with_gradients: int = 0
    branch_layers: int = 0
    branch_layers_with_gradients: int = 0
    query_key_rows: int = 0
    head_rows: int = 0
    rows: int = 0


@contextmanager
def counting(subject: Subject, trunk: Any) -> Iterator[Ran]:
    """Count by hooks what runs inside; `trunk` is the model that the contender runs."""
    ran, region = Ran(), subject.model.parts.add_on
    assert region is not None
    groups = {
        "tower_blocks": trunk.model.visual.blocks,
        "trunk_layers": trunk.model.language_model.layers,
        "branch_layers": region.region.layers,
    }
    hooks = []

    def count(name: str) -> Callable[..., None]:
        def hook(_: Any, args: Any, out: Any) -> None:
            first = out[0] if isinstance(out, tuple) else out
            setattr(ran, name, getattr(ran, name) + 1)
            graded = f"{name}_with_gradients"
            setattr(ran, graded, getattr(ran, graded) + bool(first.requires_grad))
            if name == "trunk_layers":
                ran.rows = first.shape[:-1].numel()

        return hook

    def count_rows(name: str) -> Callable[..., None]:
        def hook(_: Any, args: Any) -> None:
            setattr(ran, name, getattr(ran, name) + args[0].shape[:-1].numel())

        return hook

    for name, layers in groups.items():
        hooks += [layer.register_forward_hook(count(name)) for layer in layers]
    hooks.append(trunk.lm_head.register_forward_pre_hook(count_rows("head_rows")))
    for projection in (region.region.final.q_proj, region.region.final.k_proj):
        hooks.append(projection.register_forward_pre_hook(count_rows("query_key_rows")))
    try:
        yield ran
    finally:
        for hook in hooks:
            hook.remove()


def as_json(ran: Ran) -> dict[str, int]:
    """Counts by name."""
    return dataclasses.asdict(ran)
