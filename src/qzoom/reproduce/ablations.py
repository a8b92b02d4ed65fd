"""Ablations of the region network: depth (Table VI), boxes (VII), thresholds (VIII)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from qzoom.labels.tristate import TriStateRule
from qzoom.loading import load
from qzoom.reproduce.attention_boxes import attention_look
from qzoom.reproduce.measure import measure, summary, zoomed
from qzoom.reproduce.questions import SmallPrint
from qzoom.reproduce.region_steps import Variant, preset_of, region, relabelled, truth_labels
from qzoom.reproduce.settings import ReproduceSettings
from qzoom.reproduce.workspace import Outcome, Workspace

DEPTHS: Final = ((1, 3), (2, 3), (3, 1), (3, 2), (3, 3))
"""(B, R) of Table VI: trunk layers below the branches, layers of a branch."""

RULES: Final = ((0.15, 0.05), (0.25, 0.05), (0.4, 0.05), (0.25, 0.02), (0.25, 0.15))
"""(foreground, background) thresholds of Table VIII, as shares of the peak."""

BASELINE: Final = "ablation/baseline"


def baseline(settings: ReproduceSettings) -> Variant:
    """What every ablation changes in one respect."""
    return Variant(BASELINE, "labels", settings.ablation)


def depth_variants(settings: ReproduceSettings) -> Iterator[tuple[tuple[int, int], Variant]]:
    """Branches at other places and of other depths."""
    for split, depth in DEPTHS:
        branches = replace(settings.ablation.branches, split_layer=split, branch_depth=depth)
        recipe = replace(settings.ablation, branches=branches)
        variant = Variant(f"ablation/depth-{split}-{depth}", "labels", recipe)
        same = recipe == settings.ablation
        yield (split, depth), baseline(settings) if same else variant


def rule_variants(settings: ReproduceSettings) -> Iterator[tuple[TriStateRule, Variant]]:
    """Labels under other thresholds."""
    for foreground, background in RULES:
        rule = replace(
            settings.labels.rule,
            foreground_threshold=foreground,
            background_threshold=background,
        )
        name = f"rule-{foreground:g}-{background:g}"
        variant = Variant(f"ablation/{name}", f"labels-{name}", settings.ablation)
        yield rule, baseline(settings) if rule == settings.labels.rule else variant


def run_variant(space: Workspace, settings: ReproduceSettings, variant: Variant) -> Outcome:
    """Train one variant and look twice at every question about small print."""
    region(space, settings, variant)
    model = load(space / "trunk", adapter=space / variant.name / "adapter")
    rows = measure(model, zoomed, small_print(settings))
    return summary(rows)


def run_rule(
    space: Workspace, settings: ReproduceSettings, rule: TriStateRule, variant: Variant
) -> Outcome:
    """Make the labels under a rule, then train and measure."""
    counts = relabelled(space, rule, "labels", variant.labels)
    return {"labels": dict(counts), **run_variant(space, settings, variant)}


def run_truth(space: Workspace, settings: ReproduceSettings) -> Outcome:
    """The same training on the boxes that were drawn."""
    variant = replace(baseline(settings), name="ablation/truth", labels="labels-truth")
    counts = truth_labels(space, settings, variant.labels)
    return {"labels": dict(counts), **run_variant(space, settings, variant)}


def attention_thresholded(space: Workspace, settings: ReproduceSettings) -> Outcome:
    """No region network: the answer's own attention gives the box (Table V)."""
    model = load(space / "trunk", adapter=space / BASELINE / "adapter")
    look = attention_look(model, preset_of(space), settings.labels)
    return summary(measure(model, look, small_print(settings)))


def small_print(settings: ReproduceSettings) -> SmallPrint:
    """The questions of the ablations: a face that training never saw."""
    return SmallPrint(settings.amounts.ablation_scenes, "ablation", "heldout")
