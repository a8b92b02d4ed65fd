"""The training loop: one stage, resumable, loud on a loss or gradient that is not finite."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from qzoom.errors import CheckpointError, ConfigError
from qzoom.train.loader import Batch, batches
from qzoom.train.metrics import MetricsLog, NoLog
from qzoom.train.optim import OptimizerPair, OptimSettings
from qzoom.train.parallel import Processes, processes
from qzoom.train.pictures import PictureTally, none_left, pictures_of
from qzoom.train.state import read_notes, resume, save_state
from qzoom.train.step_report import MicroReport, StepReport, samples_of, weight_of
from qzoom.train.tensorboard import ScalarWriter


class Stage(Protocol):
    """What the loop needs of a stage."""

    name: str

    def make_batch(self, place: int, /) -> Batch:
        """The micro-batch at a place of the training's sequence, computed in a worker.

        A pure function of `place`; step n of the loop takes the places from n * accumulate on. The
        loop reads what is there of `loss_weight`, `sample_ids` and the counts of `pictures.usable`,
        which are all there is where no picture can be used.
        """
        ...

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Loss and metrics of a batch: the loss a mean over `loss_weight` equal parts."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """How long and how often, in steps; `bf16` runs the stage under autocast.

    accumulate: micro-batches of a step, dealt out to however many processes there are. The step's
        loss is their mean, weighted by `loss_weight`.
    shard: several processes hold parts of the weights (FSDP2) and not all of them (DDP).
    tensorboard: write the metrics as event files too.
    most_bad: share of the pictures that may be missing or damaged.
    """

    steps: int
    accumulate: int = 1
    save_every: int = 100
    log_every: int = 20
    workers: int = 1
    bf16: bool = True
    shard: bool = False
    tensorboard: bool = False
    most_bad: float = 0.05
    optim: OptimSettings = field(default_factory=OptimSettings)

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise ConfigError(f"accumulate is {self.accumulate}; a step has at least 1 micro-batch")


def run_stage(
    stage: Stage, modules: Mapping[str, nn.Module], settings: LoopSettings, folder: Path
) -> None:
    """Train the modules' trainable parameters on one stage until `settings.steps`.

    States and `metrics.jsonl` go into the folder; a run that was stopped goes on from its last
    state and computes exactly what it would have without the stop. Several processes, started by
    `torchrun` or `accelerate launch`, call this alike; one of them writes.

    Raises:
        ConfigError: when the micro-batches of a step cannot be dealt out to the processes, or Muon
            is to train shards.
        CheckpointError: when the folder's state does not fit the modules.
        DataError: when more pictures are bad than the settings allow; the last state is kept.
        QZoomError: on a loss or gradient that is not finite, before it touches any weight; when a
            data worker died.
        OSError: when a state or a metric cannot be written, such as to a full disk.
    """
    together = processes(_device(modules), shard=settings.shard)
    each = together.micro_batches(settings.accumulate)
    model = together.wrap(stage, modules)
    optimizers = OptimizerPair(_named_parameters(modules), settings.optim)
    together.check_optimizers(tuple(optimizers.parts))
    folder.mkdir(parents=True, exist_ok=True)
    start = _start(resume(folder, modules, optimizers), together, folder)
    if start >= settings.steps and together.writes:
        sys.stderr.write(f"{stage.name}: all {settings.steps} steps are done\n")

    def make(turn: int) -> Batch:
        return stage.make_batch(together.place(turn))

    work = batches(make, start * each, settings.steps * each, settings.workers)
    with closing(work):
        run = _Run(stage.name, model, optimizers, settings, together, work)
        _run_steps(run, start, modules, folder)
    together.settle(modules)


@dataclass(frozen=True)
class _Run:
    """What every step of a run needs; `work` gives this process's micro-batches in order."""

    name: str
    model: nn.Module
    optimizers: OptimizerPair
    settings: LoopSettings
    together: Processes
    work: Iterator[Batch]


def _run_steps(run: _Run, start: int, modules: Mapping[str, nn.Module], folder: Path) -> None:
    settings, together, last = run.settings, run.together, run.settings.steps
    if start >= last:
        return
    notes = read_notes(folder)
    pictures = PictureTally(settings.most_bad, *notes.get("pictures", ()))
    with _log(run, folder, start) as log:
        log.window.sums.update(notes.get("window", {}))
        for step in range(start, last):
            metrics = _train_step(run, step, pictures)
            if line := log.add(step + 1, metrics, pictures.metrics()):
                sys.stderr.write(line)
            if (step + 1) % settings.save_every == 0 or step + 1 == last:
                notes = {"window": log.window.sums, "pictures": [pictures.asked, pictures.bad]}
                save_state(folder, step + 1, modules, run.optimizers, notes, writes=together.writes)
                together.wait()


def _train_step(run: _Run, step: int, pictures: PictureTally) -> dict[str, float]:
    """One update from the next micro-batches of all processes; the step's metrics, loss first.

    Where all their pictures are bad there is no update and there are no metrics.
    """
    # Nothing that is not finite has reached a weight yet, and every process hears of it.
    micro = sorted(run.together.gather(_backward_all(run, step)), key=lambda found: found.place)
    for found in micro:
        pictures.add(found.pictures)
    # Every process counts all pictures, so that all of them stop alike.
    pictures.check(last=step + 1 == run.settings.steps)
    if all(found.pictures.none_left for found in micro):
        return {}
    report = StepReport(run.name, step, micro)
    report.check_losses()
    # DDP and FSDP2 give the mean over processes; wanted is the sum.
    scale = run.together.count * report.gradient_scale
    norm = run.optimizers.step(step, run.settings.steps, scale)
    report.check_gradient(norm)
    return report.metrics(norm)


def _backward_all(run: _Run, step: int) -> list[MicroReport]:
    """Add the gradients of this process's micro-batches of a step."""
    each = run.together.micro_batches(run.settings.accumulate)
    reports, shown = [], None
    for turn in range(each):
        batch, place = next(run.work), run.together.place(step * each + turn)
        empty, last = none_left(batch), turn == each - 1
        shown = run.together.stand_in(None if empty else batch, shown)
        if not empty:
            reports.append(_backward(run, batch, place, last=last))
            continue
        if shown is not None:
            _backward(run, shown, place, last=last, counts=False)
        reports.append(MicroReport(place, 0.0, 0.0, {}, pictures=pictures_of(batch)))
    return reports


def _backward(
    run: _Run, batch: Batch, place: int, *, last: bool, counts: bool = True
) -> MicroReport:
    """Add a micro-batch's gradients, weighted; the sum is divided when all are there.

    Args:
        counts: False for weight 0.
    """
    device = next(iter(run.optimizers.named.values())).device.type
    # Where a step is one micro-batch, its weight cancels out: leave the gradients as they are.
    weight = weight_of(batch) if run.settings.accumulate > 1 else 1.0
    with run.together.syncing(run.model, last=last):
        with torch.autocast(device, torch.bfloat16, enabled=run.settings.bf16):
            loss, metrics = run.model(batch)
        (loss * (weight if counts else 0.0)).backward()
    value, samples = float(loss.detach()), samples_of(batch)
    return MicroReport(place, value, weight, metrics, samples, pictures_of(batch))


def _start(found: int, together: Processes, folder: Path) -> int:
    """The step to begin with, which all processes must have found alike."""
    starts = set(together.gather([found]))
    if len(starts) > 1:
        raise CheckpointError(
            f"processes found states of steps {sorted(starts)} in {folder}; use storage they share"
        )
    return found


def _log(run: _Run, folder: Path, start: int) -> MetricsLog | NoLog:
    if not run.together.writes:
        return NoLog()
    settings, path = run.settings, folder / "metrics.jsonl"
    scalars = None
    if settings.tensorboard:
        scalars = ScalarWriter(folder / "tensorboard", run.name, start)
    return MetricsLog(path, run.name, start, settings.steps, settings.log_every, scalars)


def _named_parameters(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    return {
        f"{module_name}.{name}": parameter
        for module_name, module in modules.items()
        for name, parameter in module.named_parameters()
    }


def _device(modules: Mapping[str, nn.Module]) -> torch.device:
    return next(iter(_named_parameters(modules).values())).device
