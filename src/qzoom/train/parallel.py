"""Processes that train together: alone, as replicas (DDP), or with the weights in shards (FSDP2).

A step's micro-batches are dealt out to the processes one by one, so what a step sees does not
depend on how many there are. Processes are started by `torchrun` or `accelerate launch`; this file
and `qzoom.train.group`, where they meet, alone know about them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from qzoom.errors import ConfigError
from qzoom.train.group import accelerate, meet
from qzoom.train.loader import Batch

T = TypeVar("T")
LossAndMetrics = tuple[Tensor, dict[str, float]]


class HasLoss(Protocol):
    """What is run on a micro-batch."""

    def loss(self, batch: Batch) -> LossAndMetrics:
        """Loss and metrics of a batch."""
        ...


class LossModule(nn.Module):
    """A stage's loss as a module, which is what DDP and FSDP2 hook into."""

    def __init__(self, stage: HasLoss, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.stage = stage
        # Names of a state may have dots, names of modules may not.
        self.trained = nn.ModuleList(modules.values())

    def forward(self, batch: Batch) -> LossAndMetrics:
        """Loss and metrics of a batch."""
        return self.stage.loss(batch)


class Processes:
    """One process that trains alone; the other kinds differ in what they override."""

    rank = 0
    count = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and lines of progress."""
        return self.rank == 0

    def wrap(self, stage: HasLoss, modules: Mapping[str, nn.Module]) -> nn.Module:
        """The stage's loss as a module whose gradients are those of all processes."""
        return LossModule(stage, modules)

    def syncing(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of a micro-batch; after the last one gradients are shared."""
        return nullcontext()

    def gather(self, mine: Sequence[T]) -> list[T]:
        """What all processes give, those of the first one first."""
        return list(mine)

    def stand_in(self, batch: Batch | None, before: Batch | None) -> Batch | None:
        """What to run for a micro-batch, so that no process waits for one that runs nothing.

        Args:
            batch: This process's own; None where there is nothing in it to run.
            before: What this gave for the micro-batch before it in the step.
        """
        return batch

    def wait(self) -> None:
        """Go on once every process has come here."""

    def check_optimizers(self, names: Sequence[str]) -> None:
        """Refuse optimisers that cannot work here.

        Raises:
            ConfigError: For Muon on shards.
        """

    def settle(self, modules: Mapping[str, nn.Module]) -> None:
        """Give the modules whole weights again, to be saved."""

    def micro_batches(self, accumulate: int) -> int:
        """Micro-batches that each process has in a step.

        Raises:
            ConfigError: When they cannot be dealt out evenly.
        """
        if accumulate % self.count:
            raise ConfigError(
                f"accumulate is {accumulate} and {self.count} processes train; a step's micro-"
                f"batches are dealt out evenly, so set accumulate to a multiple of {self.count}"
            )
        return accumulate // self.count

    def place(self, turn: int) -> int:
        """Place in the training's sequence of this process's micro-batch number `turn`."""
        return turn * self.count + self.rank


class Replicas(Processes):
    """Every process holds all weights and adds its gradients to the others' (DDP)."""

    def __init__(self, state: Any) -> None:
        """Join the processes that accelerate's `PartialState` has met."""
        self.rank, self.count = int(state.process_index), int(state.num_processes)

    def wrap(self, stage: HasLoss, modules: Mapping[str, nn.Module]) -> nn.Module:
        """DDP around the loss; a stage may leave parts of its modules unused."""
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(
            LossModule(stage, modules), broadcast_buffers=False, find_unused_parameters=True
        )

    def syncing(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients stay here until the last micro-batch of the step."""
        no_sync: Any = model.no_sync
        return nullcontext() if last else cast(AbstractContextManager[Any], no_sync())

    def gather(self, mine: Sequence[T]) -> list[T]:
        """What all processes give, those of the first one first."""
        return list(accelerate("utils").gather_object(list(mine)))

    def stand_in(self, batch: Batch | None, before: Batch | None) -> Batch | None:
        """The batch; without one that of another process; without any, the one before."""
        filled = self.gather([batch is not None])
        if all(filled):
            return batch
        if not any(filled):
            return before
        lent = accelerate("utils").broadcast_object_list([batch], filled.index(True))
        return batch if batch is not None else cast(Batch, lent[0])

    def wait(self) -> None:
        """Go on once every process has come here."""
        torch.distributed.barrier()


class Shards(Replicas):
    """Each process holds a part of every trained weight, its gradient and its momenta (FSDP2).

    Decoder layers are gathered one at a time for their own forward, everything else for the whole
    loss; a stage that reads a decoder layer's weights outside that layer's forward cannot be
    sharded. Frozen modules that the loop is not given stay whole.
    """

    def wrap(self, stage: HasLoss, modules: Mapping[str, nn.Module]) -> nn.Module:
        """Shard the modules in place."""
        from torch.distributed import broadcast
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        model = LossModule(stage, modules)
        parameters = list(model.parameters())
        for parameter in parameters:
            broadcast(parameter.data, 0)
        mesh = init_device_mesh(parameters[0].device.type, (self.count,))
        for module in list(model.modules()):
            if hasattr(module, "self_attn"):
                fully_shard(module, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return model

    def syncing(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients are shared and cut at once: kept whole, they would not fit."""
        return nullcontext()

    def check_optimizers(self, names: Sequence[str]) -> None:
        """Muon needs whole matrices."""
        if "muon" in names:
            raise ConfigError(
                "Muon needs whole matrices and sharded training cuts them; set muon_lr: 0 under "
                "optim (the paper's AdamW), or shard: false"
            )

    def settle(self, modules: Mapping[str, nn.Module]) -> None:
        """Put whole weights, on the CPU, in place of the shards; the modules are for saving only.

        Every process must call this.
        """
        for module in modules.values():
            for part in list(module.modules()):
                for name, parameter in list(part.named_parameters(recurse=False)):
                    plain = nn.Parameter(whole(parameter), requires_grad=parameter.requires_grad)
                    setattr(part, name, plain)


def processes(device: str | torch.device | None = None, *, shard: bool = False) -> Processes:
    """The processes that this one was started with; alone where it was started plainly.

    Args:
        device: "cuda" to talk over NCCL; anything else talks over gloo.
        shard: FSDP2 instead of DDP.

    Raises:
        ConfigError: When there are several and accelerate is missing, or the launcher was told to
            shard by itself.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Processes()
    for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"):
        if os.environ.get(name, "").lower() == "true":
            raise ConfigError(f"{name} is set; leave it to the recipe: shard: true is FSDP2")
    state = meet(device)
    return Shards(state) if shard else Replicas(state)


def own_device(device: str | None) -> str | None:
    """The device of this process: "cuda" is the GPU that its place on the machine names."""
    local_rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{local_rank}" if device == "cuda" and local_rank is not None else device


def whole(tensor: Tensor) -> Tensor:
    """A copy that shares no memory; of a sharded tensor all of it, on the CPU.

    Every process must call this for a sharded tensor.
    """
    from torch.distributed.tensor import DTensor

    tensor = tensor.detach()
    if isinstance(tensor, DTensor):
        return tensor.full_tensor().cpu()
    return tensor.clone().contiguous()


def cut_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as `like` is held: this process's shard of it, or all of it."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    there = tensor.to(like.to_local().device)
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)
