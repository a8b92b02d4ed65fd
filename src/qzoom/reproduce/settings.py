"""Settings of a reproduction."""

from __future__ import annotations

from dataclasses import dataclass, field

from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.train.branch_recipes import RegionRecipe


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
    """

    train_scenes: int = 1500
    head_scenes: int = 80
    tune_scenes: int = 200
    test_scenes: int = 300
    ablation_scenes: int = 150


@dataclass(frozen=True)
class ReproduceSettings:
    """Everything that decides the tables.

    Args:
        region: Training of the region network that goes into the model.
        ablation: The shorter training that all ablations share, their baseline included.
    """

    amounts: Amounts = field(default_factory=Amounts)
    labels: RegionLabelSettings = field(default_factory=_label_settings)
    region: RegionRecipe = field(default_factory=RegionRecipe)
    ablation: RegionRecipe = field(default_factory=RegionRecipe)
    heads_kept: int = 4
    workers: int = 1
