"""The region branch of a tiny model, trained in one or several processes."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.tiny_chat import chat_checkpoint

from qzoom.train.label_index import LabelIndex
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.region_stage import RegionStage
from qzoom.zoom.model import ZoomModel


def train_region_branch(folder: Path, settings: LoopSettings) -> RegionStage:
    """Train on the pictures and labels that lie beside the folder."""
    root = folder.parent
    model = ZoomModel(chat_checkpoint("qwen3_vl", eos=None))
    stage = RegionStage(model, LabelIndex.open(root / "labels"), root, 1, seed=1)
    run_stage(stage, stage.modules, settings, folder)
    return stage


def without_pictures(root: Path, copy: Path) -> None:
    """Copy labels and pictures, but for all pictures except one."""
    shutil.copytree(root / "labels", copy / "labels")
    shutil.copy(root / "3.png", copy)
