"""Reading windows in a batch: labels in the order of patches and cells, and an honest loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tests.train.parts import make_heads, make_model

from qzoom.synth.window_labels import CELL_PX, IGNORE, PATCH_PX, WindowLabels
from qzoom.train.cells import WEIGHTS, CellStage, pack_labels, reading_loss
from qzoom.train.pixels import patches_uint8


def test_labels_have_the_order_of_patches_and_cells() -> None:
    rows, cols = 2, 3
    glyphs = np.arange(rows * 2 * cols * 4).reshape(rows * 2, cols * 4)
    tones = np.arange(rows * 2 * cols * 2).reshape(rows * 2, cols * 2)
    cells = np.arange(rows * cols).reshape(rows, cols)
    digits = cells[..., None] * 10 + np.arange(4)
    packed = pack_labels(WindowLabels(glyphs, cells, digits, tones, cells))
    # Pictures whose grey value is the label: the patches must come in the labels' order.
    halves = np.kron(glyphs, np.ones((PATCH_PX, PATCH_PX // 2), np.uint8)).astype(np.uint8)
    patches = patches_uint8(Image.fromarray(halves).convert("RGB"))
    seen = np.stack([patches[:, 0, 8, 4], patches[:, 0, 8, 12]], 1).reshape(-1)
    np.testing.assert_array_equal(packed["glyphs"], seen)
    whole = np.kron(tones, np.ones((PATCH_PX, PATCH_PX), np.uint8)).astype(np.uint8)
    patches = patches_uint8(Image.fromarray(whole).convert("RGB"))
    np.testing.assert_array_equal(packed["tones"], patches[:, 0, 8, 8])
    large = np.kron(cells, np.ones((CELL_PX, CELL_PX), np.uint8)).astype(np.uint8)
    patches = patches_uint8(Image.fromarray(large).convert("RGB"))
    np.testing.assert_array_equal(packed["words"], patches[::4, 0, 8, 8])
    np.testing.assert_array_equal(packed["digits"].reshape(-1, 4), digits.reshape(-1, 4))


def test_every_label_has_its_logits() -> None:
    model = make_model()
    stage = CellStage(model.model.visual, make_heads(model), 0, batch_size=2, side=2)
    batch = stage.make_batch(0)
    with torch.no_grad():
        loss, metrics = stage.loss(batch)
    assert loss.isfinite()
    names = ("glyphs", "words", "digits", "tones", "shapes")
    assert set(metrics) == {f"loss_{n}" for n in names} | {f"{n}_right" for n in names}
    assert float(loss) == pytest.approx(
        sum(WEIGHTS.get(n, 1.0) * metrics[f"loss_{n}"] for n in names), rel=1e-5
    )


def test_shares_count_only_what_is_there_and_whole_numbers() -> None:
    truth = {
        "words": np.array([0, 3, 2, IGNORE]),
        "digits": np.array([5, 1, 0, 0, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    }
    words = torch.full((4, 5), -9.0)
    words[[0, 1, 2, 3], [1, 3, 1, 1]] = 9.0
    digits = torch.full((16, 11), -9.0)
    digits[torch.arange(16), torch.as_tensor(truth["digits"])] = 9.0
    digits[5, 8] = 99.0
    _, metrics = reading_loss({"words": words, "digits": digits}, truth)
    assert metrics["words_right"] == 0.5
    assert metrics["digits_right"] == 0.5


def test_labels_that_are_all_left_out_cost_nothing() -> None:
    scores = torch.randn(3, 5, requires_grad=True)
    loss, metrics = reading_loss({"words": scores}, {"words": np.full(3, IGNORE)})
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == metrics["loss_words"] == 0.0
    assert scores.grad is not None
    assert not scores.grad.any()
