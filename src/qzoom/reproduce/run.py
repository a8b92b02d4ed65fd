"""The order of a reproduction: stages, tables, ablations, the finished model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from qzoom.eval.looks import looks_of
from qzoom.labels.jsonl import write_json
from qzoom.labels.tristate import TriStateRule
from qzoom.loading import load
from qzoom.reproduce import ablations, gate_steps, region_steps, sft_steps
from qzoom.reproduce.finish import MODEL, finish
from qzoom.reproduce.measure import (
    AnswerRecord,
    Look,
    difference,
    direct,
    from_json,
    gated,
    measure,
    summary,
    to_json,
    zoomed,
)
from qzoom.reproduce.questions import QuestionSet
from qzoom.reproduce.region_steps import Variant
from qzoom.reproduce.settings import ReproduceSettings
from qzoom.reproduce.workspace import Outcome, Workspace
from qzoom.zoom.model import ZoomModel

PARTS: Final = ("stages", "boxes", "depth", "rules", "gates")
NOTED: Final = ("draw", "heads", "labels", "answers", "mined", "finish")
"""Steps whose own outcome stands in the results."""


class Reproduction:
    """All steps of one folder; what is done already is read, not done again."""

    def __init__(self, root: Path, settings: ReproduceSettings, trunk: str | None = None) -> None:
        """Begin, or go on in a folder.

        Args:
            trunk: folder or hub id of the model to start from, None for the embedded one.
        """
        self.space, self.settings, self.trunk = Workspace(root), settings, trunk
        self.space.settings(dataclasses.asdict(settings))

    def run(self, about: Outcome) -> Path:
        """Every stage and table; returns the file of results.

        Args:
            about: what else the file shall say: the command, where it ran.
        """
        results = {part: self.part(part) for part in PARTS}
        path = self.space / "results.json"
        content = {**about, "settings": dataclasses.asdict(self.settings), **results}
        write_json(path, {**content, "steps": self.space.outcomes(NOTED)})
        return path

    def part(self, name: str) -> Outcome:
        """One table; several processes may each make another one in the same folder."""
        self.labelled()
        if name in ("stages", "gates"):
            self.stages()
        tables: dict[str, Callable[[], Outcome]] = {
            "stages": self.stages_table,
            "boxes": self.boxes_table,
            "depth": self.depth_table,
            "rules": self.rules_table,
            "gates": self.gates_table,
        }
        return tables[name]()

    def labelled(self) -> None:
        """What every part needs: trunk, scenes, heads and labels."""
        space, settings = self.space, self.settings
        space.once("trunk", lambda: region_steps.plain_trunk(space, self.trunk))
        space.once("draw", lambda: region_steps.draw(space, settings))
        space.once("heads", lambda: region_steps.heads(space, settings))
        space.once("labels", lambda: region_steps.labels(space, settings, "trunk", "labels"))

    def stages(self) -> None:
        """Stages 1, 2, 2.5 and 3 in order, and the finished model."""
        space, settings = self.space, self.settings
        first = Variant("region", "labels", settings.region)
        space.once("region", lambda: region_steps.region(space, settings, first))
        space.once("answers", lambda: sft_steps.answers(space, "region/adapter"))
        space.once("mined", lambda: sft_steps.mined(space, settings))
        space.once("sft", lambda: sft_steps.sft(space, settings, "region/adapter"))
        again = Variant("refit", "labels", settings.refit)
        space.once("refit", lambda: region_steps.region(space, settings, again, model="sft/model"))
        for kind in gate_steps.KINDS:
            space.once(f"gate-labels-{kind}", partial(self._gate_labels, kind))
            space.once(f"gate-{kind}", partial(self._gate, kind))
        adapter = f"gate-{settings.final_gate}/adapter"
        space.once("finish", partial(finish, space, settings, "sft/model", adapter))

    def stages_table(self) -> Outcome:
        """Table IV, and how the finished model compares with looking at everything."""
        rows = {
            "direct, coarse": self._rows("direct-coarse", self._base, direct),
            "direct, double": self._rows(
                "direct-double", lambda: _at("direct_double", self._base()), direct
            ),
            "direct, full": self._rows(
                "direct-full", lambda: _at("direct_full", self._base()), direct
            ),
            "+ region, always": self._rows("region", self._first, zoomed),
            "+ post-SFT, always": self._rows("post-sft", self._refit, zoomed),
            "+ gate": self._rows("gated", self._finished, gated()),
            "direct, full, after post-SFT": self._rows(
                "direct-full-sft", lambda: _at("direct_full", self._finished()), direct
            ),
        }
        full = rows["direct, full"]
        return {
            "questions": len(full),
            "rows": {name: summary(found) for name, found in rows.items()},
            "gate_minus_full": difference(rows["+ gate"], full),
            "gate_minus_always": difference(rows["+ gate"], rows["+ post-SFT, always"]),
            "gate_minus_full_after_sft": difference(
                rows["+ gate"], rows["direct, full, after post-SFT"]
            ),
        }

    def boxes_table(self) -> Outcome:
        """Tables V and VII: attention itself, labels from it, labels from drawn boxes."""
        space, settings = self.space, self.settings
        truth = partial(ablations.run_truth, space, settings)
        attention = partial(ablations.attention_thresholded, space, settings)
        return {
            "self-distilled labels": self._variant(ablations.baseline(settings)),
            "drawn answer boxes": space.once("ablation-truth", truth),
            "attention of the answer, thresholded": space.once("ablation-attention", attention),
        }

    def depth_table(self) -> Outcome:
        """Table VI: where branches sit and how deep they are."""
        return {
            f"B {split}, R {depth}": self._variant(variant)
            for (split, depth), variant in ablations.depth_variants(self.settings)
        }

    def rules_table(self) -> Outcome:
        """Table VIII: thresholds of the labels."""
        found = {}
        for rule, variant in ablations.rule_variants(self.settings):
            name = f"{rule.foreground_threshold:g}, {rule.background_threshold:g}"
            found[name] = self._variant(variant, rule)
        return found

    def gates_table(self) -> Outcome:
        """Figure 9: what a gate is worth, by its labels."""
        plain = self._rows("after-sft-coarse", self._refit, direct)
        found: dict[str, Any] = {}
        for kind in gate_steps.KINDS:
            rows = self._rows(f"gate-{kind}", partial(self._with_gate, kind), gated(0.0))
            found[kind] = gate_steps.judged(plain, rows)
        return found

    def _variant(self, variant: Variant, rule: TriStateRule | None = None) -> Outcome:
        step = partial(ablations.run_variant, self.space, self.settings, variant)
        if rule is not None and variant != ablations.baseline(self.settings):
            step = partial(ablations.run_rule, self.space, self.settings, rule, variant)
        return self.space.once(variant.name.replace("/", "-"), step)

    def _rows(self, name: str, model: Callable[[], ZoomModel], look: Look) -> list[AnswerRecord]:
        """Answers to the test questions, asked once."""
        amounts = self.settings.amounts
        asked = QuestionSet(amounts.test_scenes, "eval", "heldout")
        kept = self.space.once(
            f"rows-{name}", lambda: {"rows": to_json(measure(model(), look, asked))}
        )
        return from_json(kept["rows"])

    def _gate_labels(self, kind: Any) -> Outcome:
        return gate_steps.gate_labels(self.space, self.settings, "sft/model", "refit/adapter", kind)

    def _gate(self, kind: Any) -> Outcome:
        return gate_steps.gate(
            self.space, self.settings, "sft/model", "refit/adapter", (kind,), f"gate-{kind}"
        )

    def _base(self) -> ZoomModel:
        return load(self.space / "trunk")

    def _first(self) -> ZoomModel:
        return load(self.space / "trunk", adapter=self.space / "region" / "adapter")

    def _refit(self) -> ZoomModel:
        return load(self.space / "sft" / "model", adapter=self.space / "refit" / "adapter")

    def _with_gate(self, kind: str) -> ZoomModel:
        return load(self.space / "sft" / "model", adapter=self.space / f"gate-{kind}" / "adapter")

    def _finished(self) -> ZoomModel:
        # As `qzoom.load()` opens the embedded model: stored in bfloat16, computed in float32.
        return load(self.space / MODEL, dtype="float32")


def _at(look: str, model: ZoomModel) -> ZoomModel:
    """The model under the budget of one of `eval.looks.LOOKS`."""
    return looks_of(model, [look])[look].model
