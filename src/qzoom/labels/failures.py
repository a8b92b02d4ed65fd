"""How much of a long run may fail before it stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qzoom.errors import ConfigError, DataError


@dataclass(frozen=True)
class FailureLimit:
    """When a run stops: more than `share` of all requests failed, counting at least `least`.

    Raises:
        ConfigError: If `share` is not from 0 to 1, or `least` is below 1.
    """

    share: float = 0.05
    least: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"the failure share is {self.share}; it must be from 0 to 1")
        if self.least < 1:
            raise ConfigError(f"the least count of the failure limit is {self.least}; give 1 or up")

    def exceeded(self, failed: int, total: int) -> bool:
        """Whether so many failures are too many."""
        return failed > self.share * max(total, self.least)

    def check_pictures(self, bad: int, total: int, reason: str) -> None:
        """Stop when too many pictures cannot be used.

        Raises:
            DataError: When the share is exceeded.
        """
        if self.exceeded(bad, total):
            raise DataError(
                f"{bad} of {total} pictures are bad (limit {self.share:.0%}), such as: {reason}; "
                "restore them or raise --most-bad"
            )


DEFAULT_LIMIT: Final = FailureLimit()
