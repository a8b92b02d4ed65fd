"""Options of a request: checked by name, filled up with the model's own."""

from __future__ import annotations

from typing import Any

import pytest
from tests.tiny_chat import chat_model

from qzoom.errors import ConfigError
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.options import read_options

ZOOMING = ZoomConfig(
    enabled=True, split_layer=4, branch_depth=3, gate_enabled=True, gate_threshold=0.3
)


def read(**given: Any) -> Any:
    asked: Any = given
    return read_options(asked, ZOOMING, 2)


def test_what_is_left_out_is_the_models_own() -> None:
    options = read()
    assert options.config == ZOOMING
    assert options.sampling.max_new_tokens == 64
    assert options.sampling.temperature == 0
    assert options.eos_token_ids == {2}
    assert (options.zoom, options.stop) == ("auto", ())
    assert read(gate_threshold=None, roi_threshold=None, stop=None, eos_token_id=None) == options


def test_what_is_given_holds_for_this_request() -> None:
    options = read(gate_threshold=0.0, roi_threshold=1, top_k=4, stop=["a", "b"], zoom="never")
    assert (options.config.gate_threshold, options.config.roi_threshold) == (0.0, 1.0)
    assert options.sampling.top_k == 4
    assert options.stop == ("a", "b")
    assert options.zoom == "never"
    assert read(stop="ab").stop == ("ab",)


def test_end_tokens() -> None:
    assert read(eos_token_id=7).eos_token_ids == {7}
    assert read(eos_token_id=[7, 8]).eos_token_ids == {7, 8}
    assert read(eos_token_id=[]).eos_token_ids == frozenset()
    assert read_options({}, ZOOMING, [3, 4]).eos_token_ids == {3, 4}
    assert read_options({}, ZOOMING, None).eos_token_ids == frozenset()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"zoom": "sometimes"}, "zoom is 'sometimes'; use 'auto', 'never' or 'always'"),
        ({"zoom": True}, "zoom is True"),
        ({"stop": ""}, "at least one character"),
        ({"stop": ["a", ""]}, "at least one character"),
        ({"stop": [b"a"]}, "stop needs a string"),
        ({"gate_threshold": float("nan")}, "gate_threshold must be a finite number"),
        ({"roi_threshold": "high"}, "roi_threshold must be a finite number"),
        ({"top_p": 2}, "top_p is 2"),
        ({"eos_token_id": "<|im_end|>"}, r"eos_token_id is '<\|im_end\|>'"),
        ({"roi_treshold": 0.1}, "unknown option 'roi_treshold'; known: max_new_tokens, "),
    ],
)
def test_bad_options_are_refused_by_name(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(**given)


def test_a_plain_backbone_cannot_be_told_to_zoom() -> None:
    model = chat_model("qwen3_vl", region=False, gate=False)
    with pytest.raises(ConfigError, match="this checkpoint is a plain backbone"):
        model.options(zoom="always")
    assert model.options(zoom="auto").zoom == "auto"
    assert model.options(zoom="never").zoom == "never"
