"""Methods by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from qzoom.errors import ConfigError
from qzoom.eval.methods.base import Method
from qzoom.eval.methods.extra import NoSettings, with_extra
from qzoom.eval.methods.own import ZOOMS, OwnMethod
from qzoom.zoom.model import ZoomModel

RIVALS: Final[dict[str, str]] = {
    "centre_crop": "fixed_crop:build_centre",
    "grounding_dino_1": "grounding_dino:build_one",
    "grounding_dino_2": "grounding_dino:build_two",
    "oracle": "oracle:build",
    "random_crop": "fixed_crop:build_random",
    "response_attention": "response_attention:build",
    "s2": "s2:build",
    "tool_loop": "tool_loop:build",
    "two_prefill": "two_prefill:build",
    "vicrop": "vicrop:build",
}
"""Module of each rival, below `qzoom.eval.rivals`, and its function of model and options."""

ALONE: Final[dict[str, str]] = {"endpoint": "endpoint"}
"""Module of each method that loads no model, below `qzoom.eval.methods`; holds `build(options)`."""


@dataclass(frozen=True)
class MethodOptions:
    """What a caller may set; a method takes what it knows.

    extra: settings that one method alone has, by name.
    """

    gate_threshold: float | None = None
    roi_threshold: float | None = None
    seed: int = 0
    extra: Mapping[str, Any] | None = None


def method_of(name: str, model: ZoomModel, options: MethodOptions | None = None) -> Method:
    """The method of that name over a model, whose budget is the method's.

    Raises:
        ConfigError: when there is none, the model cannot do it, or it does not know a setting.
    """
    options = options or MethodOptions()
    if name in ZOOMS:
        with_extra(NoSettings(), options.extra, name)
        if name != "direct" and not model.config.enabled:
            raise ConfigError(f"{model.name} is a plain backbone; {name} needs zoom branches")
        return OwnMethod(name, model, options.gate_threshold, options.roi_threshold)
    if name not in RIVALS:
        raise ConfigError(f"no method is called {name!r}; known: {', '.join(names())}")
    module, _, build = RIVALS[name].partition(":")
    found: Method = getattr(import_module(f"qzoom.eval.rivals.{module}"), build)(model, options)
    return found


def method_alone(name: str, options: MethodOptions) -> Method:
    """The method of that name among those that load no model; see `ALONE`.

    Raises:
        ConfigError: when a setting of its own is missing or wrong.
    """
    found: Method = import_module(f"qzoom.eval.methods.{ALONE[name]}").build(options)
    return found


def names() -> list[str]:
    """All that can be asked for."""
    return [*ZOOMS, *sorted(RIVALS), *sorted(ALONE)]
