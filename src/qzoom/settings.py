"""Settings files in YAML, read into dataclasses: unknown names are refused with a suggestion."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from qzoom.errors import ConfigError

T = TypeVar("T")


def read_settings_file(path: Path, kind: type[T], name: str) -> T:
    """Read a file into a dataclass of settings; what it leaves out keeps its default.

    Args:
        kind: the dataclass; its fields are numbers, booleans, choices, tuples or dataclasses.
        name: what such a file is called in errors.

    Raises:
        ConfigError: when the file is missing, not YAML, or holds an unknown or mistyped setting.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{name} {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} {path} is not YAML: {_where_and_why(error)}") from None
    return read_settings({} if content is None else content, kind, name)


def read_settings(values: object, kind: type[T], name: str) -> T:
    """Read a mapping into a dataclass of settings; what it leaves out keeps its default.

    Raises:
        ConfigError: when it holds an unknown or mistyped setting.
    """
    settings: T = _build(kind(), values, name)
    return settings


def filled(default: T, values: Mapping[str, Any], name: str) -> T:
    """A dataclass of settings with the given ones in place of its own.

    Args:
        name: what the settings are called in errors.

    Raises:
        ConfigError: for an unknown or mistyped setting.
    """
    settings: T = _build(default, values, name)
    return settings


def _where_and_why(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    return str(error).splitlines()[0]


def _build(default: Any, values: object, where: str) -> Any:
    """The default with what a block of YAML sets, checked by the type hints."""
    given = _given(type(default), values, where, vars(default))
    return dataclasses.replace(default, **given)


def _new(kind: Any, values: object, where: str) -> Any:
    """A dataclass of what a block of YAML sets, for one item of a list."""
    given = _given(kind, values, where, {})
    for field in dataclasses.fields(kind):
        unset = field.default is field.default_factory is dataclasses.MISSING
        if unset and field.name not in given:
            raise ConfigError(f"{where} has no {field.name!r}; each item needs one")
    return kind(**given)


def _given(kind: Any, values: object, where: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a block of settings, got {values!r}")
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            near = difflib.get_close_matches(str(name), hints, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(hints)}"
            raise ConfigError(f"unknown setting {name!r} in {where}{hint}")
    return {
        name: _build(defaults[name], value, f"{where}.{name}")
        if name in defaults and dataclasses.is_dataclass(hints[name])
        else _value(hints[name], value, f"{where}.{name}")
        for name, value in values.items()
    }


def _value(hint: Any, value: object, where: str) -> Any:
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (kind for kind in get_args(hint) if kind is not NoneType)
        return None if value is None else _value(inner, value, where)
    if get_origin(hint) is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a block of settings, got {value!r}")
        return dict(value)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            known = ", ".join(map(str, get_args(hint)))
            raise ConfigError(f"{where} must be one of {known}, got {value!r}")
        return value
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        if kinds[-1] is Ellipsis:
            if not isinstance(value, list):
                raise ConfigError(f"{where} must be a list, got {value!r}")
            kinds = kinds[:1] * len(value)
        if not isinstance(value, list) or len(value) != len(kinds):
            raise ConfigError(f"{where} must be a list of {len(kinds)} values, got {value!r}")
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(_value(kind, v, f"{where}[{index}]") for index, (kind, v) in pairs)
    if dataclasses.is_dataclass(hint):
        return _new(hint, value, where)
    if hint is str:
        if not isinstance(value, str):
            raise ConfigError(f"{where} must be a text, got {value!r}")
        return value
    if hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false, got {value!r}")
        return value
    return _number(hint, value, where)


def _number(kind: Any, value: Any, where: str) -> int | float:
    fits = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if fits and math.isfinite(value):
        number: int | float = kind(value)
        return number
    name = "whole number" if kind is int else "number"
    # YAML 1.1 reads 1e-3 as text.
    hint = "; write 1e-3 as 1.0e-3" if isinstance(value, str) and "e" in value.lower() else ""
    raise ConfigError(f"{where} must be a {name}, got {value!r}{hint}")
