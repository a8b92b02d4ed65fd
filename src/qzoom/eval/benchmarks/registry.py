"""Benchmarks by name."""

from __future__ import annotations

from importlib import import_module
from typing import Final

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


def benchmark_of(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        ConfigError: when there is none.
    """
    if name == "synth":
        from qzoom.eval.benchmarks.synth import synth_benchmark

        return synth_benchmark()
    if name not in MODULES:
        raise ConfigError(f"no benchmark is called {name!r}; known: {', '.join(names())}")
    module = import_module(f"qzoom.eval.benchmarks.{MODULES[name]}")
    found: Benchmark = module.BENCHMARKS[name]
    return found


def names() -> list[str]:
    """All that can be asked for."""
    return ["synth", *sorted(MODULES)]
