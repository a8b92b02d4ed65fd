"""Levels of effort: gate thresholds that 'qzoom calibrate' chose for a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, Literal, get_args

from qzoom.errors import ConfigError

EffortLevel = Literal["low", "medium", "high"]

LEVELS: Final[tuple[EffortLevel, ...]] = get_args(EffortLevel)
"""From the fewest closer looks to the most."""

NEVER: Final = math.nextafter(1.0, 2.0)
"""A threshold that no probability reaches."""


class EffortThresholds(Mapping[str, float]):
    """Threshold of the gate's own probability for each level; immutable, in the order of `LEVELS`.

    Raises:
        ConfigError: If a level is unknown or a threshold lies outside [0, `NEVER`].
    """

    def __init__(self, thresholds: Mapping[str, float] | None = None) -> None:
        given = {} if thresholds is None else thresholds
        if not isinstance(given, Mapping):
            raise ConfigError(f"effort_thresholds must be thresholds by level, got {given!r}")
        for level, value in given.items():
            if level not in LEVELS:
                known = ", ".join(LEVELS)
                raise ConfigError(f"effort_thresholds has a level {level!r}; known: {known}")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 <= value <= NEVER:
                raise ConfigError(f"effort_thresholds: {level} must be from 0 to 1, got {value!r}")
        self._pairs: tuple[tuple[str, float], ...] = tuple(
            (level, float(given[level])) for level in LEVELS if level in given
        )

    def __getitem__(self, level: str) -> float:
        return dict(self._pairs)[level]

    def __iter__(self) -> Iterator[str]:
        return (level for level, _ in self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"EffortThresholds({dict(self._pairs)})"

    def of(self, level: str) -> float:
        """The threshold of a level.

        Raises:
            ConfigError: If the level is unknown, or the checkpoint has none of that name.
        """
        if level not in LEVELS:
            known = ", ".join(map(repr, LEVELS))
            raise ConfigError(f"effort is {level!r}; use one of {known}")
        if level not in self:
            raise ConfigError(
                f"effort={level!r} needs thresholds that this checkpoint does not have; make them "
                "with 'qzoom calibrate', or give gate_threshold"
            )
        return self[level]
