"""Fixtures of the training tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.tiny_chat import chat_checkpoint, picture

from qzoom.labels.attention import HeadSet
from qzoom.labels.presets import HeadPreset
from qzoom.labels.region import RegionLabeller, RegionSample
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.labels.store import LabelStore
from qzoom.labels.tristate import TriStateRule
from qzoom.zoom.model import ZoomModel

HEADS = HeadPreset(textual=HeadSet({2: (0, 1), 5: (3,)}), natural=HeadSet({3: (2,)}))
RULE = TriStateRule(min_peak=0.0, max_box_share=2.0)
QUESTIONS = ("what is that?", "which word is on the red sign?")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small sums gain nothing from threads, and forked workers must not inherit them."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two questions about each of four pictures, labelled; the pictures lie beside the labels."""
    root = tmp_path_factory.mktemp("labelled")
    settings = RegionLabelSettings(layout="native", cells=36, max_new_tokens=5, rule=RULE)
    model = ZoomModel(chat_checkpoint("qwen3_vl", eos=None))
    labeller = RegionLabeller(model, HEADS, settings)
    store = LabelStore(root / "labels", settings.to_json(HEADS))
    for shard in range(2):
        rows = []
        for number in (2 * shard, 2 * shard + 1):
            image = picture(240 + 30 * number, 200, seed=number)
            image.save(root / f"{number}.png")
            for turn, question in enumerate(QUESTIONS):
                sample = RegionSample(
                    f"{number}-{turn}", f"{number}.png", image, question, "textual"
                )
                rows += labeller([sample])
        store.write(shard, rows)
    return root
