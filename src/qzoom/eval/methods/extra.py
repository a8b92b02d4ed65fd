"""Settings that one method alone has, as a caller names them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from qzoom.errors import ConfigError
from qzoom.settings import filled

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """Of a method that has none of its own."""


def with_extra(default: T, extra: Mapping[str, Any] | None, method: str) -> T:
    """A method's own settings with what a caller gave in place of their defaults.

    Args:
        default: a dataclass of settings.

    Raises:
        ConfigError: for a setting that the method does not know, naming all that it does, and for
            one of a wrong type.
    """
    known = [field.name for field in dataclasses.fields(default)]  # type: ignore[arg-type]
    unknown = sorted(set(extra or ()) - set(known))
    if unknown:
        has = f"it knows {', '.join(known)}" if known else "it has none of its own"
        raise ConfigError(f"method {method} has no setting {unknown[0]!r}; {has}")
    # Lists are what settings are checked as; a caller in Python may give tuples.
    return filled(default, json.loads(json.dumps(dict(extra or {}))), method)


def as_json(settings: Any) -> dict[str, Any]:
    """A dataclass of settings as JSON values."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return found
