"""Grounding and sink heads of the models the reference names, by kind of picture (0-based)."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from qzoom.errors import ConfigError
from qzoom.labels.attention import HeadSet

Kind = Literal["textual", "natural"]
"""Text and documents, or scenes: the heads that ground a response differ."""

_NONE: Final = HeadSet({})


@dataclass(frozen=True)
class HeadPreset:
    """Heads of one model.

    textual, natural: whose attention shows what a response is about.
    textual_sinks, natural_sinks: whose attention marks sinks; empty where the reference has none.
    """

    textual: HeadSet
    natural: HeadSet
    textual_sinks: HeadSet = _NONE
    natural_sinks: HeadSet = _NONE

    def grounding(self, kind: Kind) -> HeadSet:
        """Heads to read for a kind of picture."""
        return self.textual if kind == "textual" else self.natural

    def sinks(self, kind: Kind) -> HeadSet:
        """Sink heads for a kind of picture; may be empty."""
        return self.textual_sinks if kind == "textual" else self.natural_sinks


_QWEN3_NATURAL: Final = HeadSet({20: (15, 21, 23), 21: (8, 10, 11)})

HEAD_PRESETS: Final = MappingProxyType[str, HeadPreset](
    {
        "qwen2.5-vl-3b": HeadPreset(
            textual=HeadSet({20: (1, 4), 22: (14,)}),
            natural=HeadSet({21: (9, 11), 22: (0, 7)}),
            natural_sinks=HeadSet({8: (1, 13)}),
        ),
        "qwen2.5-vl-7b": HeadPreset(
            textual=HeadSet({22: (1, 4), 23: (6, 11)}),
            natural=HeadSet({16: (1, 7, 17), 19: (17, 20)}),
            natural_sinks=HeadSet({9: (4, 22)}),
        ),
        "qwen3-vl-4b": HeadPreset(
            textual=HeadSet({19: (24, 27), 24: (21, 23)}),
            natural=_QWEN3_NATURAL,
            textual_sinks=HeadSet({24: (6, 10)}),
            natural_sinks=HeadSet({20: (1, 24)}),
        ),
        "qwen3-vl-8b": HeadPreset(
            textual=HeadSet({19: (24, 26, 27), 24: (21, 22, 23)}),
            natural=_QWEN3_NATURAL,
            textual_sinks=HeadSet({24: (1, 2)}),
            natural_sinks=HeadSet({21: (7,)}),
        ),
    }
)


def head_preset(name: str) -> HeadPreset:
    """The heads of a named model.

    Raises:
        ConfigError: For a name without a preset.
    """
    if name not in HEAD_PRESETS:
        known = ", ".join(HEAD_PRESETS)
        raise ConfigError(
            f"no head preset {name!r}; known: {known}; for another model run 'qzoom label heads'"
        )
    return HEAD_PRESETS[name]
