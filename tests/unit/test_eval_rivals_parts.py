"""Parts of the rivals: windows, boxes in text, detectors, tiles, and maps that are planted."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import chat_model, picture

from qzoom.backbones.base import VisionFeatures
from qzoom.cli import main
from qzoom.errors import CheckpointError, ConfigError
from qzoom.eval.methods.registry import MethodOptions, method_of
from qzoom.eval.rivals import response_attention, vicrop
from qzoom.eval.rivals.box_text import extent_of, parse_box
from qzoom.eval.rivals.grounding_dino import best_boxes, build_one, build_two, detecting, phrase_of
from qzoom.eval.rivals.looker import Looker, clipped, enclosing, pixels_of_cells
from qzoom.eval.rivals.response_attention import heads_of
from qzoom.eval.rivals.s2 import encode_scales, pooled
from qzoom.geometry.boxes import Box, BoxLike, cells_to_pixels, pixels_to_cells
from qzoom.labels.attention import HeadSet
from qzoom.labels.presets import HEAD_PRESETS
from qzoom.zoom.session import ImageSession

QUESTION = "what word is on the red sign?"


def planted(rows: int, cols: int, box: Box, background: float = 1.0) -> torch.Tensor:
    found = torch.full((rows, cols), background)
    found[box.y1 : box.y2, box.x1 : box.x2] = 10.0
    return found


@pytest.mark.parametrize(("side", "offered"), [(2, [2, 3, 5]), (3, [2, 3, 4]), (4, [3, 4, 5])])
def test_the_window_of_the_planted_size_wins(side: int, offered: list[int]) -> None:
    for x, y in itertools.product((0, 3, 12 - side), (0, 2, 9 - side)):
        box = Box(x, y, x + side, y + side)
        assert vicrop.best_window(planted(9, 12, box), offered) == box


def test_windows_are_cut_to_the_map() -> None:
    assert vicrop.best_window(planted(1, 6, Box(2, 0, 4, 1)), [2]) == Box(2, 0, 4, 1)
    assert vicrop.best_window(torch.ones(2, 3), [5]) == Box(0, 0, 3, 2)


def test_a_planted_map_gives_the_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chat_model("qwen3_vl", eos=None)
    rows, cols = model.grid_of(picture())
    box = Box(3, 1, 5, 3)

    def shown(box_cells: Box) -> Box:
        return cells_to_pixels(box_cells, (rows, cols), (260, 200), reference_cell_side_px=32)

    contrast = lambda *_: planted(rows, cols, box)  # noqa: E731
    monkeypatch.setattr(vicrop, "contrast", contrast)
    told = method_of("vicrop", model).open([picture()]).ask(QUESTION, 2)
    assert told.boxes_px_xyxy == (shown(box),)
    # The rule of the labels grows the foreground by one cell.
    maps = lambda *_: (planted(rows, cols, box, 0.0), None)  # noqa: E731
    monkeypatch.setattr(response_attention, "_maps", maps)
    told = method_of("response_attention", model).open([picture()]).ask(QUESTION, 2)
    assert told.boxes_px_xyxy == (shown(Box(2, 0, 6, 4)),)


@pytest.mark.parametrize("family", FAMILIES)
def test_contrast_with_itself_is_one(family: Family) -> None:
    model = chat_model(family)
    looker, heads = Looker(model, [picture()]), HeadSet({5: (0, 1, 2, 3)})
    same = vicrop.contrast(looker, QUESTION, QUESTION, heads)
    assert same.shape == model.grid_of(picture())
    torch.testing.assert_close(same, torch.ones_like(same), rtol=1e-4, atol=0)
    other = vicrop.contrast(looker, QUESTION, "what is the title?", heads)
    assert float((other - 1).abs().max()) > 0.01


def test_a_response_of_one_token_is_answered_directly() -> None:
    model = chat_model("qwen3_vl", eos=None)
    options = MethodOptions(extra={"response_tokens": 1})
    told = method_of("response_attention", model, options).open([picture()]).ask(QUESTION, 2)
    assert (told.zoomed, told.prefills, told.extra_new_tokens) == (False, 2, 1)


def test_heads_follow_the_backbone_or_a_file(tmp_path: Path) -> None:
    model = chat_model("qwen3_vl")
    middle = {4: (0, 1, 2, 3), 5: (0, 1, 2, 3)}
    assert heads_of("auto", model).textual.heads_by_layer == middle
    assert heads_of("qwen3-vl-4b", model) is HEAD_PRESETS["qwen3-vl-4b"]
    assert set(response_attention.PRESET_OF.values()) == set(HEAD_PRESETS)
    file = tmp_path / "heads.json"
    file.write_text(json.dumps({"textual": {"3": [1]}, "natural": {"2": [0]}}))
    method = method_of(
        "response_attention",
        model,
        MethodOptions(extra={"heads": str(file), "kind": "natural"}),
    )
    assert method.settings()["grounding_heads"] == {"2": [0]}
    file.write_text("{")
    with pytest.raises(ConfigError, match="nor a file of 'qzoom label heads'"):
        heads_of(str(file), model)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("[100, 200, 300, 400]", (10, 40, 30, 80)),
        ('{"box": [100, 200, 300, 400]}', (10, 40, 30, 80)),
        ('```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "x"}]\n```', (10, 40, 30, 80)),
        ("<box>(100,200),(300,400)</box>", (10, 40, 30, 80)),
        ("I look at 100.0, 200.0, 300.0, 400.0.", (10, 40, 30, 80)),
        ('{"x1": 100, "y1": 200, "x2": 300, "y2": 400}', (10, 40, 30, 80)),
        ("y1=200 x1=100 y2=400 x2=300", (10, 40, 30, 80)),
        ("-50, -9, 5000, 99999", (0, 0, 100, 200)),
        ("1, 2, 3 then 100,200,300,400", (10, 40, 30, 80)),
        ("none", None),
        ("", None),
        ("12", None),
        ("1, 2, 3", None),
        ("1, 2, 3, 4, 5", None),
        ("300, 400, 100, 200", None),
        ("100, 100, 100, 300", None),
        ("1001, 1001, 2000, 2000", None),
        ("nan, nan, inf, inf", None),
        ("NaN, 1e999, 3, 4", None),
        ("1e3, 2e3, 3e3, 4e3", None),
        ("10%, 20%, 30%, 40%", None),
        ("v1.2.3, 4, 5, 6", None),
        ("9" * 400 + ", 1, 2, 3", None),
        ("100 200 300 400", None),
        ("[" * 100_000, None),
        ("1," * 100_000, None),
        ("x1:" * 50_000, None),
        ("1" + " " * 100_000 + ",2,3,4", None),
        ("\x00\ud800[100, 200, 300, 400]", (10, 40, 30, 80)),
        ("\u0661, \u0662, \u0663, \u0664", None),
    ],
)
def test_boxes_in_replies(reply: str, expected: BoxLike | None) -> None:
    found = parse_box(reply, (1000, 1000), (100, 200))
    assert found == (None if expected is None else pytest.approx(expected))


def test_coordinates_of_each_kind_name_the_same_box() -> None:
    kinds = {"thousandths": "500,0,1000,500", "resized_px": "128,0,256,64", "cells": "4,0,8,2"}
    for kind, reply in kinds.items():
        extent = extent_of(kind, (4, 8), 32)  # type: ignore[arg-type]
        assert parse_box(reply, extent, (600, 300)) == (300, 0, 600, 150)


@pytest.mark.parametrize("size_px", [(260, 200), (31, 997), (1000, 7), (3, 5)])
@pytest.mark.parametrize("grid_hw", [(6, 8), (13, 3), (1, 9)])
def test_pixels_of_cells_touch_those_cells_alone(
    grid_hw: tuple[int, int], size_px: tuple[int, int]
) -> None:
    rows, cols = grid_hw
    for x1, y1 in itertools.product(range(cols), range(rows)):
        for x2, y2 in itertools.product((x1 + 1, cols), (y1 + 1, rows)):
            box = Box(x1, y1, x2, y2)
            box_px = pixels_of_cells(box, grid_hw, size_px)
            assert pixels_to_cells(box_px, grid_hw, size_px) == box


def test_clipping_and_enclosing() -> None:
    assert clipped((-1, 2, 50, 60), (10, 20)) == (0, 2, 10, 20)
    assert clipped((10, 0, 12, 5), (10, 20)) is None
    assert clipped((float("nan"), 0, 1, 1), (10, 20)) is None
    assert enclosing([(1, 5, 2, 6), (0, 7, 1, 9)]) == (0, 5, 2, 9)


def test_pooling_lays_tiles_side_by_side() -> None:
    whole = torch.arange(4 * 6, dtype=torch.float32).view(4, 6)
    tiles = [
        whole[y : y + 2, x : x + 3].reshape(6, 1) for y, x in itertools.product((0, 2), (0, 3))
    ]
    expected = torch.nn.functional.avg_pool2d(whole[None], 2)[0].reshape(6, 1)
    torch.testing.assert_close(pooled(tiles, (2, 3), 2), expected)


def test_scales_share_a_grid_and_are_averaged() -> None:
    model = chat_model("qwen3_vl")
    one, two, both = (encode_scales(model, picture(), s) for s in ((1,), (2,), (1, 2)))
    torch.testing.assert_close(one.cells_ch, model.encode([picture()])[0].cells_ch)
    assert two.grid_hw == one.grid_hw == model.grid_of(picture())
    torch.testing.assert_close(both.cells_ch, (one.cells_ch + two.cells_ch) / 2)
    levels = zip(one.deepstack_ch, two.deepstack_ch, both.deepstack_ch, strict=True)
    for first, second, mean in levels:
        torch.testing.assert_close(mean, (first + second) / 2)
    assert len(both.deepstack_ch) == 2


def test_a_session_over_given_features_answers_as_ever() -> None:
    model, image = chat_model("qwen3_vl", eos=None), picture()
    expected = model.open(image).ask(QUESTION, max_new_tokens=4)
    given = ImageSession(model, [image], None, model.encode([image]))
    assert given.ask(QUESTION, max_new_tokens=4).token_ids == expected.token_ids
    (features,) = model.encode([image])
    other = VisionFeatures(-features.cells_ch, features.deepstack_ch, features.grid_hw)
    changed = ImageSession(model, [image], None, [other]).ask(QUESTION, max_new_tokens=4)
    assert changed.token_ids != expected.token_ids


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GroundingDINO of 0.15 M parameters with its processor."""
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoProcessor,
        SwinConfig,
    )
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
        GroundingDinoImageProcessorPil,
    )

    folder = tmp_path_factory.mktemp("detector")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "what", "word", "sign"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    swin = SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2],
        window_size=2, out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    bert = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, num_queries=8, d_model=32, max_text_len=16,
        encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2, encoder_n_points=2,
        decoder_layers=2, decoder_ffn_dim=16, decoder_attention_heads=2, decoder_n_points=2,
    )  # fmt: skip
    torch.manual_seed(0)
    GroundingDinoForObjectDetection(config).eval().save_pretrained(folder)
    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 128, "longest_edge": 192})
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def test_a_detector_says_where_to_look(detector: Path) -> None:
    model = chat_model("qwen3_vl", eos=None)
    extra = {"detector": str(detector), "least_score": 0.0, "most_overlap": 0.9}
    for build, boxes, crop_as in ((build_one, 1, "aligned"), (build_two, 2, "image")):
        method = build(model, MethodOptions(extra=extra))
        assert method.settings()["detector"] == str(detector)
        assert method.settings()["crop_as"] == crop_as
        # Longer than the detector reads.
        question = f"{QUESTION} {QUESTION} {QUESTION}"
        first, again = (method.open([picture()]).ask(question, 2) for _ in range(2))
        assert first.boxes_px_xyxy == again.boxes_px_xyxy
        assert len(first.boxes_px_xyxy) == boxes
        assert first.prefills == (2 if crop_as == "aligned" else 1)


@pytest.mark.parametrize(
    ("method", "setting"),
    [("grounding_dino_1", "detector={detector}"), ("vicrop", "layer=2"), ("random_crop", "area=1")],
)
def test_rows_of_rivals_reproduce(
    method: str, setting: str, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = str(tmp_path / "rows.jsonl")
    asked = ["eval", "synth", "--scenes", "1", "--method", method, "--seed", "3", "--out", rows]
    assert main([*asked, "--set", setting.format(detector=detector)]) == 0
    assert main(["eval", "rerun", rows, "--all"]) == 0
    assert capsys.readouterr().out.endswith("3 of 3 rows reproduce\n")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, CheckpointError, "is no folder|neither a folder"),
        ({}, ConfigError, "cannot be loaded|need a GroundingDINO"),
    ],
)
def test_what_is_no_detector(
    tmp_path: Path, content: Any, error: type[Exception], message: str
) -> None:
    folder = tmp_path / "detector"
    if content is not None:
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(error, match=message):
        build_one(chat_model("qwen3_vl"), MethodOptions(extra={"detector": str(folder)}))


def test_boxes_by_score_without_repeats() -> None:
    first, near, far = (0, 0, 10, 10), (0, 0, 10, 9), (50, 50, 60, 60)
    found: list[tuple[float, BoxLike]] = [(0.3, far), (0.8, near), (0.9, first)]
    assert best_boxes(found, 2, 0.5) == [first, far]
    assert best_boxes(found, 2, 1.0) == [first, near]
    assert best_boxes([], 2, 0.5) == []


def test_low_scores_are_answered_directly() -> None:
    model = chat_model("qwen3_vl", eos=None)
    phrases = []

    def detect(_: object, phrase: str) -> list[tuple[float, BoxLike]]:
        phrases.append(phrase)
        return [(0.2, (0.0, 0.0, 50.0, 50.0)), (0.24, (100.0, 100.0, 300.0, 150.0))]

    prompt = f"\n {QUESTION}\nAnswer with one word."
    for least, boxes in ((0.25, 0), (0.22, 1), (0.1, 2)):
        method = detecting(model, MethodOptions(extra={"least_score": least}), 2, detect)
        told = method.open([picture()]).ask(prompt, 2)
        assert len(told.boxes_px_xyxy) == boxes
    assert set(phrases) == {"what word is on the red sign?."}


def test_phrases() -> None:
    assert phrase_of("A Cat.\nmore") == "a cat."
    assert phrase_of(" \n\n the sign") == "the sign."
