"""Benchmarks by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from qzoom.errors import ConfigError
from qzoom.eval.benchmarks.base import Benchmark

MODULES: Final[dict[str, str]] = {
    "chartqa": "chartqa",
    "docvqa": "docvqa",
    "hrbench4k": "hrbench",
    "hrbench8k": "hrbench",
    "infovqa": "docvqa",
    "mme": "mme",
    "mmerealworld_lite": "mmerealworld",
    "mmstar": "mmstar",
    "ocrbench": "ocrbench",
    "pope": "pope",
    "textvqa": "textvqa",
    "vstar": "vstar",
}
"""Module of each benchmark that is read from files; its `BENCHMARKS` holds it by name."""


def benchmark_of(name: str, settings: Mapping[str, Any] | None = None) -> Benchmark:
    """The benchmark of that name.

    Args:
        settings: of one that is made, as its rows hold them; left out, its defaults.

    Raises:
        ConfigError: when there is none, or it has no such settings.
    """
    if name == "synth":
        from qzoom.eval.benchmarks.synth import synth_benchmark

        try:
            return synth_benchmark(**(settings or {}))
        except TypeError:
            raise ConfigError(f"synth has no such settings: {dict(settings or {})}") from None
    if name not in MODULES:
        raise ConfigError(f"no benchmark is called {name!r}; known: {', '.join(names())}")
    module = import_module(f"qzoom.eval.benchmarks.{MODULES[name]}")
    found: Benchmark = module.BENCHMARKS[name]
    return found


def names() -> list[str]:
    """All that can be asked for."""
    return ["synth", *sorted(MODULES)]
