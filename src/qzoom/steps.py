"""Work that pauses, so that whoever runs it can do something else in between."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Does nothing until it is run; what it writes to is good for nothing before its last step."""


def finish(steps: Steps[T]) -> T:
    """Run all steps; what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
