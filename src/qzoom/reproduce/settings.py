"""Settings of a reproduction."""

from __future__ import annotations

from dataclasses import dataclass, field

from qzoom.labels.gate_labels import GateLabelKind
from qzoom.labels.mining import MiningSettings
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.train.branch_recipes import GateRecipe, RegionRecipe
from qzoom.train.sft_recipe import SftRecipe


def _label_settings() -> RegionLabelSettings:
    # The embedded model's heads show no sinks, and its answers are a few tokens long.
    return RegionLabelSettings(layout="native", cells=64, max_new_tokens=8, sinks="none")


@dataclass(frozen=True)
class Amounts:
    """How much is drawn and asked.

    Args:
        train_scenes: Scenes of the training pool.
        head_scenes: Scenes on which grounding heads are looked for.
        tune_scenes: Scenes for the calibration and the thresholds.
        test_scenes: Scenes of the tables, in a face that training never saw.
        ablation_scenes: Scenes of the ablations, all their questions about small print.
        rising_questions, crop_questions: Questions of the pool that gate labels are made of, at
            rising resolutions and by direct and zoomed answers.
    """

    train_scenes: int = 1500
    head_scenes: int = 80
    tune_scenes: int = 200
    test_scenes: int = 300
    ablation_scenes: int = 150
    rising_questions: int = 1500
    crop_questions: int = 6000


@dataclass(frozen=True)
class ReproduceSettings:
    """Everything that decides the tables.

    Args:
        region: Training of the region network that goes into the model.
        ablation: The shorter training that all ablations share, their baseline included.
        refit: The region network's training after the trunk's (stage 2.5), from where it was.
        mining, sft: Hard samples, and the trunk's training on them.
        gate, gate_cells: The gate's training, and the resolutions of its labels.
        final_gate: Labels of the gate that goes into the finished model.
        heads_kept: Grounding heads whose attention makes the labels.
    """

    amounts: Amounts = field(default_factory=Amounts)
    labels: RegionLabelSettings = field(default_factory=_label_settings)
    region: RegionRecipe = field(default_factory=RegionRecipe)
    ablation: RegionRecipe = field(default_factory=RegionRecipe)
    refit: RegionRecipe = field(default_factory=RegionRecipe)
    mining: MiningSettings = field(default_factory=MiningSettings)
    sft: SftRecipe = field(default_factory=SftRecipe)
    gate: GateRecipe = field(default_factory=GateRecipe)
    gate_cells: tuple[int, ...] = (16, 36, 64, 144, 400, 900)
    final_gate: GateLabelKind = "crop-fix"
    heads_kept: int = 4
    workers: int = 1
