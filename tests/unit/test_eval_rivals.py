"""Every rival answers, repeats itself, and reports boxes, tokens and passes that fit together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import chat_model, counting, picture

import qzoom
from qzoom.cli import main
from qzoom.errors import ConfigError
from qzoom.eval.benchmarks.synth import synth_benchmark
from qzoom.eval.methods.base import Told
from qzoom.eval.methods.registry import ALONE, MethodOptions, method_of, names
from qzoom.eval.rivals import second_look, tool_loop
from qzoom.eval.rivals.looker import Looker
from qzoom.geometry.boxes import contains
from qzoom.images.decode import decode_image

WITH_A_MODEL = [name for name in names() if name not in ALONE]
ANSWERED = [name for name in WITH_A_MODEL if not name.startswith("grounding_dino")]
CROPS_ALWAYS = ("oracle", "random_crop", "centre_crop", "vicrop", "response_attention")
ANSWER_BOX = (100.0, 60.0, 140.0, 80.0)
QUESTION = "what word is on the red sign?"


def asked(
    name: str,
    model: qzoom.ZoomModel,
    images: list[Image.Image] | None = None,
    options: MethodOptions | None = None,
    prompt: str = QUESTION,
) -> Told:
    method = method_of(name, model, options)
    opened = method.open([picture()] if images is None else images)
    return opened.ask(prompt, 4, (ANSWER_BOX,))


def untimed(told: Told) -> Told:
    """Without times, and without what the order of additions changes in a probability."""
    gate = told.gate_probability
    return replace(told, seconds={}, gate_probability=None if gate is None else round(gate, 4))


@pytest.fixture(scope="module")
def embedded() -> qzoom.ZoomModel:
    return qzoom.load()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ANSWERED)
def test_a_row_comes_out_the_same_and_adds_up(name: str, family: Family) -> None:
    model = chat_model(family, eos=None)
    told, again = asked(name, model), asked(name, model)
    assert untimed(told) == untimed(again)
    direct = asked("direct", model)
    assert told.source_tokens == direct.source_tokens
    assert told.zoomed == (told.roi_tokens > 0)
    # A crop adds its cells and the two tokens around them.
    assert told.prompt_tokens == direct.prompt_tokens + told.roi_tokens + 2 * told.zoomed
    assert told.new_tokens == 4
    assert told.zoomed or name not in CROPS_ALWAYS
    width, height = picture().size
    for box in told.boxes_px_xyxy:
        assert contains((0, 0, width, height), box)
        assert box[0] < box[2]
        assert box[1] < box[3]
    parts = [seconds for part, seconds in told.seconds.items() if part != "total"]
    assert told.seconds["total"] >= max(parts) > 0


@pytest.mark.parametrize("name", ANSWERED)
def test_a_question_on_an_open_picture_is_answered_alike(name: str) -> None:
    model = chat_model("qwen3_vl", eos=None)
    opened = method_of(name, model).open([picture()])
    first = opened.ask(QUESTION, 4, (ANSWER_BOX,))
    opened.ask("what is the title?", 4, (ANSWER_BOX,))
    assert untimed(opened.ask(QUESTION, 4, (ANSWER_BOX,))) == untimed(first)


@pytest.mark.parametrize("name", ANSWERED)
def test_settings_are_json_and_name_the_model(name: str) -> None:
    settings = method_of(name, chat_model("qwen3_vl")).settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["model"] == "tiny qwen3_vl"
    assert settings["max_cells"] == 64


@pytest.mark.parametrize("name", ANSWERED)
def test_text_alone_is_answered_directly(name: str) -> None:
    model = chat_model("qwen3_vl", eos=None)
    told = asked(name, model, images=[])
    assert told.text == asked("direct", model, images=[]).text
    assert (told.source_tokens, told.roi_tokens, told.prefills) == (0, 0, 1)


@pytest.mark.parametrize("name", [*CROPS_ALWAYS, "s2", "tool_loop"])
def test_a_plain_backbone_gets_the_crop_as_a_picture(name: str) -> None:
    model = chat_model("qwen3_vl", region=False, eos=None)
    told = asked(name, model)
    assert told.zoomed == (name in CROPS_ALWAYS)
    if name != "s2":
        with pytest.raises(ConfigError, match="crop_as='aligned' needs zoom branches"):
            asked(name, model, options=MethodOptions(extra={"crop_as": "aligned"}))


def test_two_pictures_keep_the_crop_on_the_first() -> None:
    model = chat_model("qwen3_vl", eos=None)
    images = [picture(), picture(200, 240, seed=1)]
    for name in CROPS_ALWAYS:
        for crop_as in ("aligned", "image"):
            told = asked(name, model, images, MethodOptions(extra={"crop_as": crop_as}))
            assert told.source_tokens == sum(r * c for r, c in map(model.grid_of, images))
            assert contains((0, 0, *images[0].size), told.boxes_px_xyxy[0])


def test_both_second_looks_cut_the_same_crop() -> None:
    model = chat_model("qwen3_vl", eos=None)
    found = [
        asked("oracle", model, options=MethodOptions(extra={"crop_as": crop_as}))
        for crop_as in ("aligned", "image")
    ]
    assert found[0].boxes_px_xyxy == found[1].boxes_px_xyxy
    assert found[0].roi_tokens == found[1].roi_tokens
    assert [told.prefills for told in found] == [2, 1]


def test_the_oracle_holds_the_answer_and_needs_one() -> None:
    model = chat_model("qwen3_vl", eos=None)
    for margin in (0.0, 1.0):
        told = asked("oracle", model, options=MethodOptions(extra={"margin": margin}))
        assert contains(told.boxes_px_xyxy[0], ANSWER_BOX)
    opened = method_of("oracle", model).open([picture()])
    told = opened.ask(QUESTION, 4)
    assert told.boxes_px_xyxy == ()
    assert told.text == asked("direct", model).text


def test_nothing_but_the_oracle_reads_the_answer() -> None:
    model = chat_model("qwen3_vl", eos=None)
    for name in ANSWERED:
        opened = method_of(name, model).open([picture()])
        blind = untimed(opened.ask(QUESTION, 4))
        told = untimed(opened.ask(QUESTION, 4, (ANSWER_BOX,)))
        assert (told == blind) == (name != "oracle"), name


def test_random_crops_depend_on_seed_prompt_and_size() -> None:
    model = chat_model("qwen3_vl", eos=None)
    # A crop of a quarter has few places on so small a grid; these fall on different ones.
    area = {"area": 0.02}
    boxes = {
        asked(
            "random_crop", model, [image], MethodOptions(seed=seed, extra=area), prompt
        ).boxes_px_xyxy
        for seed in (0, 1)
        for prompt in (QUESTION, "what is the title?")
        for image in (picture(), picture(300, 240))
    }
    assert len(boxes) >= 6
    (centre,) = asked("centre_crop", model, options=MethodOptions(extra=area)).boxes_px_xyxy
    assert contains(centre, (129, 99, 131, 101))


def test_two_prefills_say_what_zoom_says_and_compute_more() -> None:
    model = chat_model("qwen3_vl", eos=None)
    options = MethodOptions(gate_threshold=0.0, roi_threshold=0.5)
    rows = {}
    for name in ("zoom", "two_prefill"):
        opened = method_of(name, model, options).open([picture()])
        with counting(model) as counts:
            told = opened.ask(QUESTION, 4)
        assert told.zoomed
        rows[name] = sum(counts.trunk), counts.images, told
    (fewer, images, zoom), (more, again, twice) = rows["zoom"], rows["two_prefill"]
    assert more > fewer + 4 * zoom.source_tokens
    assert again == images + 1
    assert untimed(twice) == untimed(zoom)


def test_two_prefills_equal_zoom_on_the_embedded_model(embedded: qzoom.ZoomModel) -> None:
    zoomed = set()
    for sample in synth_benchmark(scenes=3).read(Path()):
        images = [decode_image(source) for source in sample.images]
        told = [
            method_of(name, embedded).open(images).ask(sample.question, 8)
            for name in ("zoom", "two_prefill")
        ]
        assert untimed(told[0]) == untimed(told[1])
        zoomed.add(told[0].zoomed)
    assert zoomed == {True, False}


def test_the_oracle_reads_what_the_coarse_view_does_not(embedded: qzoom.ZoomModel) -> None:
    samples = [s for s in synth_benchmark(scenes=12).read(Path()) if s.extra["small"]]
    right = dict.fromkeys(("direct", "oracle"), 0)
    for sample in samples:
        for name in right:
            opened = method_of(name, embedded).open([decode_image(s) for s in sample.images])
            told = opened.ask(sample.question, 8, sample.boxes_px_xyxy)
            right[name] += told.text.strip() in sample.answers
    assert right["oracle"] > right["direct"] + len(samples) / 4


def test_a_tool_loop_shows_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chat_model("qwen3_vl", eos=None)
    requests: list[tuple[str, int]] = []
    replies = ['```json\n{"box": [500, 0, 1000, 500]}\n```', "0, 0, 250, 250", "9,9,1,1"]

    def reply(
        looker: Looker, text: str, boxes: list[Any], settings: tool_loop.ToolSettings
    ) -> tuple[str, int, int]:
        requests.append((text, len(boxes)))
        return replies[len(boxes)], 1, 10

    monkeypatch.setattr(tool_loop, "_ask", reply)
    told = asked("tool_loop", model, options=MethodOptions(extra={"rounds": 5}))
    assert [boxes for _, boxes in requests] == [0, 1, 2]
    assert all(QUESTION in text and "from 0 at the left to 1000" in text for text, _ in requests)
    assert (told.prefills, told.extra_new_tokens, len(told.boxes_px_xyxy)) == (4, 30, 2)
    assert contains(told.boxes_px_xyxy[0], (130, 0, 260, 100))
    assert contains(told.boxes_px_xyxy[1], (0, 0, 65, 50))
    direct = asked("direct", model)
    assert told.prompt_tokens == direct.prompt_tokens + told.roi_tokens + 2 * 2
    replies[0] = "none"
    told = asked("tool_loop", model)
    assert (told.text, told.boxes_px_xyxy) == (direct.text, ())
    assert (told.prefills, told.extra_new_tokens) == (2, 10)


def test_a_tool_loop_counts_its_requests() -> None:
    model = chat_model("qwen3_vl", eos=None)
    told = asked("tool_loop", model, options=MethodOptions(extra={"request_tokens": 3}))
    assert (told.zoomed, told.prefills, told.extra_new_tokens) == (False, 2, 3)


def test_boxes_beyond_the_picture_are_cut_or_left_out() -> None:
    model = chat_model("qwen3_vl", eos=None)

    def told(*boxes: tuple[float, float, float, float]) -> Told:
        found = second_look.Found(boxes)
        settings = second_look.LookSettings("image")
        method = second_look.CropMethod("planted", model, settings, lambda *_: found)
        return method.open([picture()]).ask(QUESTION, 2)

    nan = float("nan")
    assert told((-50, -50, 0, 0), (300, 10, 400, 20), (nan, 0, 9, 9), (5, 5, 5, 9)).prefills == 1
    assert told((-50, -50, 1e9, 1e9)).boxes_px_xyxy[0] == (0, 0, 260, 200)


@pytest.mark.parametrize("name", WITH_A_MODEL)
def test_unknown_settings_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"method {name} has no setting 'colour'; it (knows|has)"):
        method_of(name, chat_model("qwen3_vl"), MethodOptions(extra={"colour": 1}))


@pytest.mark.parametrize(
    ("name", "extra", "message"),
    [
        ("oracle", {"margin": -1}, "margin is -1"),
        ("oracle", {"margin": "wide"}, "margin must be a number"),
        ("oracle", {"crop_as": "video"}, "crop_as must be one of aligned, image"),
        ("centre_crop", {"area": 0}, "area is 0"),
        ("vicrop", {"layer": 8}, "layer 8 is named; the trunk has 8"),
        ("vicrop", {"windows": [0.5, 2]}, "windows are"),
        ("response_attention", {"heads": "gpt"}, "none of auto, middle, qwen2.5-vl-3b"),
        ("response_attention", {"heads": "qwen3-vl-4b"}, "layer 19 is named; the trunk has 8"),
        ("s2", {"scales": [2, 2]}, "scales are"),
        ("tool_loop", {"rounds": 0}, "rounds is 0"),
        ("grounding_dino_1", {}, "no detector is named"),
    ],
)
def test_settings_out_of_range(name: str, extra: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        method_of(name, chat_model("qwen3_vl"), MethodOptions(extra=extra))


def test_two_prefills_need_branches() -> None:
    with pytest.raises(ConfigError, match="two_prefill needs zoom branches"):
        method_of("two_prefill", chat_model("qwen3_vl", region=False))


def test_settings_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.jsonl"
    run = ["eval", "synth", "--scenes", "1", "--method", "vicrop", "--out", str(out)]
    own = ["--set", "windows=[0.5]", "--set", "generic=what?", "--set", "layer=2"]
    threads = torch.get_num_threads()
    assert main([*run, *own, "--threads", str(threads)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 3
    for row in rows:
        settings = row["settings"]
        assert settings["windows"] == [0.5]
        assert (settings["generic"], settings["layer"]) == ("what?", 2)
        assert (row["prefills"], row["extra_new_tokens"]) == (4, 0)
    capsys.readouterr()
    for wrong, message in (
        (["--set", "depth=2"], "vicrop has no setting 'depth'; it knows crop_as, layer, windows"),
        (["--set", "layer=2", "--set", "layer=3"], "--set layer is given twice"),
        (["--set", "layer"], "must be NAME=VALUE"),
        (["--set", "layer=NaN"], "vicrop.layer must be a whole number, got 'NaN'"),
    ):
        assert main([*run, *wrong]) != 0
        assert message in capsys.readouterr().err
