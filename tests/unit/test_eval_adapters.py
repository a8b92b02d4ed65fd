"""What harnesses hand on: model arguments, generation arguments, and VLMEvalKit's messages."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.tiny_chat import chat_checkpoint, picture

from qzoom.checkpoints.save import save_checkpoint
from qzoom.errors import ConfigError, DataError, ImageError, QZoomError
from qzoom.eval.adapters import vlmevalkit
from qzoom.eval.adapters.generation import options_of, without_images
from qzoom.eval.adapters.model_args import read_args
from qzoom.eval.adapters.vlmevalkit import QzoomVLM, register
from qzoom.labels.jsonl import read_rows
from qzoom.zoom.options import AskOptions

GREEDY = {"stop": ()}


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, GREEDY),
        ({"until": ["\n\n"]}, GREEDY),
        ({"until": "END"}, {"stop": ("END",)}),
        ({"until": ["\n", "", "\n\n", "END"]}, {"stop": ("\n", "END")}),
        ({"until": None, "max_new_tokens": None}, GREEDY),
        ({"max_new_tokens": 16}, GREEDY | {"max_new_tokens": 16}),
        ({"temperature": 0, "top_p": 0.9, "do_sample": True}, GREEDY),
        ({"temperature": 0.7, "do_sample": False}, GREEDY),
        ({"temperature": 0.7, "top_p": 0}, GREEDY),
        ({"temperature": None, "top_p": None, "num_beams": None}, GREEDY),
        ({"temperature": 0.7}, GREEDY | {"temperature": 0.7, "top_p": 1.0, "top_k": 0}),
        ({"do_sample": True}, GREEDY | {"temperature": 1.0, "top_p": 1.0, "top_k": 0}),
        (
            {"temperature": 0.2, "top_p": 0.9, "top_k": 5, "do_sample": True},
            GREEDY | {"temperature": 0.2, "top_p": 0.9, "top_k": 5},
        ),
        ({"repetition_penalty": 1.2}, GREEDY | {"repetition_penalty": 1.2}),
        ({"image_aspect_ratio": "original", "num_beams": 1}, GREEDY),
    ],
)
def test_generation_arguments(kwargs: dict[str, Any], expected: dict[str, Any]) -> None:
    assert options_of(kwargs, AskOptions()) == expected


def test_the_task_goes_before_the_model_and_defaults_are_left_alone() -> None:
    defaults = AskOptions(zoom="never", max_new_tokens=128)
    assert options_of({"max_new_tokens": 8}, defaults)["max_new_tokens"] == 8
    assert options_of({}, defaults) == {"zoom": "never", "max_new_tokens": 128, "stop": ()}
    assert defaults == {"zoom": "never", "max_new_tokens": 128}


def test_beams_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_beams is 3; qzoom decodes one beam"):
        options_of({"num_beams": 3}, AskOptions())


@pytest.mark.parametrize(
    ("context", "prompt"),
    [
        ("<image>\nWhat?", "What?"),
        ("Look <image> here <image>", "Look  here "),
        ("The one in <image 1>?", "The one in <image 1>?"),
    ],
)
def test_placeholders_go(context: str, prompt: str) -> None:
    assert without_images(context) == prompt


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_pixels": 7}, r"unknown model argument 'max_pixels'; known: pretrained, adapter, .*"),
        ({"zoom": "often"}, r"model arguments\.zoom must be one of auto, never, always"),
        ({"effort": "some"}, r"model arguments\.effort must be one of low, medium, high"),
        ({"pretrained": 3.5}, r"model arguments\.pretrained must be a text, got 3\.5"),
        ({"batch_size": "auto"}, "batch_size is 'auto'; give a whole number"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"min_cells": 0}, "min_cells is 0; it must be at least 1"),
        ({"gate_threshold": "low"}, r"model arguments\.gate_threshold must be a number"),
    ],
)
def test_wrong_model_arguments(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_args(given)


def test_arguments_that_are_none_were_not_given() -> None:
    args = read_args({"device": None, "batch_size": "4", "gate_threshold": 1})
    assert (args.device, args.batch_size, args.gate_threshold) == (None, 4, 1.0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(folder / "m", chat_checkpoint("qwen3_vl", roi_threshold=0.0))
    return str(folder / "m")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"effort": "low"}, "effort"),
        ({"effort": "low", "gate_threshold": 0.5}, "both say when to zoom"),
        ({"gate_threshold": float("nan")}, "gate_threshold"),
    ],
)
def test_a_model_that_cannot_be_asked_so_is_refused_on_loading(
    checkpoint: str, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(QZoomError, match=message):
        read_args({"pretrained": checkpoint, **wrong}).load()


def answered(model: Any, struct: list[dict[str, str]]) -> str:
    """The steps that VLMEvalKit's inference takes for a row of a dataset."""
    model.set_dump_image(lambda line: [])
    assert not model.use_custom_prompt("TOY")
    text: str = model.generate(message=struct, dataset="TOY")
    return text


def test_vlmevalkit_messages_are_answered_as_the_model_does(
    checkpoint: str, tmp_path: Path
) -> None:
    paths = [str(tmp_path / f"{seed}.png") for seed in range(2)]
    for seed, path in enumerate(paths):
        picture(240, 200, seed).save(path)
    model = QzoomVLM(
        pretrained=checkpoint, zoom="always", max_new_tokens=5, log_zoom=f"{tmp_path}/zoom.jsonl"
    )
    struct = [{"type": "image", "value": path} for path in paths]
    struct += [{"type": "text", "value": "what is it?"}, {"type": "text", "value": "say it."}]
    text = answered(model, struct)
    expected = model.model.open(paths).ask("what is it?\nsay it.", zoom="always", max_new_tokens=5)
    assert text == expected.text
    ((_, row),) = read_rows(tmp_path / "zoom.jsonl")
    assert (row["dataset"], row["pictures"], row["text"]) == ("TOY", paths, text)
    assert row["boxes_px_xyxy"] == [list(box) for box in expected.boxes_xyxy_px]
    assert answered(model, struct[2:])
    with pytest.raises(DataError, match="TOY: a part is of type 'video'"):
        model.generate_inner([{"type": "video", "value": "a.mp4"}], "TOY")


def test_a_picture_that_cannot_be_read_is_named_with_its_dataset(
    checkpoint: str, tmp_path: Path
) -> None:
    path = tmp_path / "cut.png"
    picture(240, 200, 0).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    model = QzoomVLM(pretrained=checkpoint, zoom="never")
    struct = [{"type": "image", "value": str(path)}, {"type": "text", "value": "what is it?"}]
    with pytest.raises(ImageError, match=r"TOY, pictures \[.*cut\.png'\]: the image is damaged"):
        answered(model, struct)
    path.unlink()
    with pytest.raises(ImageError, match=r"TOY, .*: no image file at .*cut\.png"):
        model.generate_inner(struct, "TOY")


def test_registering_names_it_among_the_models_of_vlmevalkit(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, config = ModuleType("vlmeval"), ModuleType("vlmeval.config")
    config.supported_VLM = {}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vlmeval", package)
    monkeypatch.setitem(sys.modules, "vlmeval.config", config)
    register("qzoom-zoom", pretrained=checkpoint, zoom="never")
    model = config.supported_VLM["qzoom-zoom"]()
    assert isinstance(model, QzoomVLM)
    assert model.model.name == Path(checkpoint).name
    with pytest.raises(ConfigError, match="unknown model argument 'zom'"):
        register(zom="auto")


def infer_data(config: ModuleType, model_name: str, use_vllm: bool = False) -> Any:
    """How the inference of VLMEvalKit makes a model of its name."""
    kwargs = {}
    if any(part in model_name for part in ("Llama-4", "Qwen2-VL", "Qwen2.5-VL")):
        kwargs = {"use_vllm": use_vllm}
    return config.supported_VLM[model_name](**kwargs)


@pytest.mark.parametrize("name", ["Q-Zoom-Qwen2.5-VL-3B", "Q-Zoom-Qwen3VL-4B"])
def test_a_name_that_says_its_backbone_is_taken(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = ModuleType("vlmeval.config")
    config.supported_VLM = {}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vlmeval", ModuleType("vlmeval"))
    monkeypatch.setitem(sys.modules, "vlmeval.config", config)
    register(name, pretrained=checkpoint, zoom="never")
    assert infer_data(config, name).model.name == Path(checkpoint).name


def test_vllm_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"use_vllm is set; .* leave out --use-vllm"):
        QzoomVLM(use_vllm=True)


def test_the_harness_s_own_base_class_is_used_where_it_is_there(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BaseModel:
        """Stands in for the one of VLMEvalKit: checks a message and hands it on."""

        def set_dump_image(self, dump_image_func: Any) -> None:
            self.dump_image_func = dump_image_func

        def generate(self, message: Any, dataset: str | None = None) -> str:
            assert all(set(part) == {"type", "value"} for part in message)
            return "base: " + self.generate_inner(message, dataset)  # type: ignore[attr-defined]

    base = ModuleType("vlmeval.vlm.base")
    base.BaseModel = BaseModel  # type: ignore[attr-defined]
    for name in ("vlmeval", "vlmeval.vlm"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "vlmeval.vlm.base", base)
    source = Path(vlmevalkit.__file__)
    spec = spec_from_file_location("vlmevalkit_with_its_base", source)
    assert spec is not None
    assert spec.loader is not None
    again = module_from_spec(spec)
    spec.loader.exec_module(again)
    model = again.QzoomVLM(pretrained=checkpoint, zoom="never")
    assert isinstance(model, BaseModel)
    text = answered(model, [{"type": "text", "value": "what is it?"}])
    expected = model.model.open([]).ask("what is it?", zoom="never", max_new_tokens=128).text
    assert text == f"base: {expected}"
