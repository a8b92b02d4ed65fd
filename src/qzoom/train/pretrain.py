"""`qzoom train pretrain`: the embedded model from nothing, stage by stage, resumable."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3VLForConditionalGeneration

from qzoom.checkpoints.load import read_checkpoint
from qzoom.errors import CheckpointError, ConfigError
from qzoom.synth.vocabulary import SPECIAL_TOKENS, build_tokenizer, token_id
from qzoom.train.branches import BranchStage, init_from_trunk
from qzoom.train.cells import CellStage, ReadingHeads, level_cells
from qzoom.train.export import export, export_trunk, tiny_zoom_config
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.optim import OptimSettings
from qzoom.train.page_looks import MixedLooks
from qzoom.train.pages import Pages
from qzoom.train.pixels import whitening_filters
from qzoom.train.questions import QuestionStage, freeze_tower
from qzoom.train.recipe import CellsRecipe, QuestionsRecipe, Recipe, read_recipe
from qzoom.train.state import load_modules, states, step_of
from qzoom.train.tiny import SPLIT_LAYER, tiny_config
from qzoom.zoom.branches import ZoomAddOn

STAGES = ("cells", "sizes", "questions", "budgets", "documents", "branches", "export")


class Pretraining:
    """Model, heads and branches, and the stages that train them in turn."""

    def __init__(self, recipe: Recipe, out: Path, workers: int, init: Path | None = None) -> None:
        """Build everything fresh.

        Args:
            init: an exported model whose trunk stands in for the end of the stage before.
        """
        self.recipe, self.out, self.workers, self.init = recipe, out, workers, init
        torch.manual_seed(recipe.seed)
        self.tokenizer = build_tokenizer()
        special = {token: token_id(self.tokenizer, token) for token in SPECIAL_TOKENS}
        config: Any = tiny_config(len(self.tokenizer), special)
        config._attn_implementation = "sdpa"
        self.model = Qwen3VLForConditionalGeneration(config)
        vision = config.vision_config
        self.heads = ReadingHeads(vision.hidden_size, vision.out_hidden_size)
        self.add_on = ZoomAddOn(config.text_config, tiny_zoom_config(recipe.zoom))

    def run(self, stage: str) -> None:
        """Run one stage to its end, starting from the end of the one before."""
        {
            "cells": self._cells,
            "sizes": self._sizes,
            "questions": self._questions,
            "budgets": self._budgets,
            "documents": self._documents,
            "branches": self._branches,
            "export": self._export,
        }[stage]()

    def _settings(self, steps: int, optim: OptimSettings) -> LoopSettings:
        return LoopSettings(steps=steps, workers=self.workers, optim=optim)

    def _end_of(self, stage: str) -> Path:
        found = states(self.out / stage)
        if not found:
            raise CheckpointError(f"{self.out / stage} holds no state; run --stage {stage} first")
        done, wanted = step_of(found[-1]), getattr(self.recipe, stage).steps
        if done < wanted:
            sys.stderr.write(
                f"{stage} stopped after {done} of {wanted} steps; going on from there\n"
            )
        return found[-1]

    def _start_from(self, stage: str, modules: dict[str, torch.nn.Module]) -> None:
        """Load the end of a stage, or the trunk of the model given to start from."""
        if self.init is None:
            load_modules(self._end_of(stage), modules)
            return
        trunk = read_checkpoint(self.init, dtype=torch.float32).trunk
        self.model.load_state_dict(trunk.state_dict())

    def _cells(self) -> None:
        visual = self.model.model.visual
        stage = self._reading(self.recipe.cells, self.recipe.seed, "cells")
        # Whitened patches: the first layer need not learn to undo the pictures' own statistics.
        sample = stage.make_batch(-1)["pixels"]
        weight, bias = whitening_filters(sample, visual.patch_embed.embed_dim)
        with torch.no_grad():
            visual.patch_embed.proj.weight.copy_(weight)
            visual.patch_embed.proj.bias.copy_(bias)
        self._read(stage, self.recipe.cells)

    def _sizes(self) -> None:
        self._start_from("cells", self._readers())
        stage = self._reading(self.recipe.sizes, self.recipe.seed + 1, "sizes")
        self._read(stage, self.recipe.sizes)

    def _readers(self) -> dict[str, torch.nn.Module]:
        return {"visual": self.model.model.visual, "heads": self.heads}

    def _reading(self, recipe: CellsRecipe, seed: int, name: str) -> CellStage:
        sizes = (recipe.smallest_px, recipe.largest_px)
        visual = self.model.model.visual
        return CellStage(visual, self.heads, seed, recipe.batch_size, recipe.side, sizes, name)

    def _read(self, stage: CellStage, recipe: CellsRecipe) -> None:
        settings = self._settings(recipe.steps, recipe.optim)
        run_stage(stage, self._readers(), settings, self.out / stage.name)

    def _questions(self) -> None:
        self._start_from("sizes", self._readers())
        if self.init is None:
            sample = self._reading(self.recipe.sizes, self.recipe.seed, "sizes")
            level_cells(self.model.model.visual, sample)
        self._ask("questions", self.recipe.questions, seed=self.recipe.seed)

    def _budgets(self) -> None:
        self._start_from("questions", {"model": self.model, "heads": self.heads})
        self._ask("budgets", self.recipe.budgets, seed=self.recipe.seed + 1)

    def _ask(self, name: str, recipe: QuestionsRecipe, seed: int) -> None:
        visual = self.model.model.visual
        windows = None
        if recipe.windows:
            sizes = (self.recipe.sizes.smallest_px, recipe.largest_px)
            windows = CellStage(visual, self.heads, seed, recipe.windows, recipe.window_side, sizes)
        if recipe.freeze_tower:
            freeze_tower(visual)
        stage = QuestionStage(self.model, self.tokenizer, windows, seed, recipe.mix, name)
        modules = {"model": self.model, "heads": self.heads}
        run_stage(stage, modules, self._settings(recipe.steps, recipe.optim), self.out / name)

    def _documents(self) -> None:
        recipe = self.recipe.documents
        if not recipe.steps:
            return
        self._start_from("budgets", {"model": self.model})
        looks = MixedLooks(recipe.mix, Pages(recipe.sources), recipe.pages, recipe.share)
        seed = self.recipe.seed + 2
        stage = QuestionStage(self.model, self.tokenizer, None, seed, looks, "documents")
        settings = self._settings(recipe.steps, recipe.optim)
        run_stage(stage, {"model": self.model}, settings, self.out / "documents")
        export_trunk(self.out / "trunk", self.model, self.tokenizer, self.recipe.zoom)

    def _trunk(self) -> str:
        """The last stage that trains the trunk."""
        return "documents" if self.recipe.documents.steps else "budgets"

    def _branches(self) -> None:
        self._start_from(self._trunk(), {"model": self.model})
        init_from_trunk(self.add_on, self.model.model.language_model.layers, SPLIT_LAYER)
        recipe = self.recipe.branches
        stage = BranchStage(
            self.model, self.add_on, self.tokenizer, self.recipe.seed, recipe.mix, SPLIT_LAYER
        )
        settings = self._settings(recipe.steps, recipe.optim)
        run_stage(stage, {"add_on": self.add_on}, settings, self.out / "branches")

    def _export(self) -> None:
        self._start_from(self._trunk(), {"model": self.model})
        load_modules(self._end_of("branches"), {"add_on": self.add_on})
        target = export(
            self.out / "qzoom-tiny", self.model, self.add_on, self.tokenizer, self.recipe.zoom
        )
        sys.stdout.write(f"{target}\n")


def main(args: argparse.Namespace) -> int:
    """Run the stages asked for.

    Args:
        args: `recipe` (path), `out` (folder), `stage` (a stage or "all"), `workers`, `threads`,
            `init` (an exported model to start one stage from, or None).
    """
    if args.stage != "all" and args.stage not in STAGES:
        raise ConfigError(f"unknown stage {args.stage!r}; known: all, {', '.join(STAGES)}")
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe, out = read_recipe(Path(args.recipe)), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=2))
    workers = 1 if args.workers is None else args.workers
    init = Path(args.init) if args.init else None
    if init is not None and args.stage in ("all", "cells"):
        raise ConfigError("--init replaces the stage before; give --stage sizes or a later one")
    for stage in STAGES if args.stage == "all" else (args.stage,):
        Pretraining(recipe, out, workers, init).run(stage)
    return 0
