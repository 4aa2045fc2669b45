"""Frozen dataclasses as plain JSON values, and back again.

The one idea: the type annotations are the schema. Enums travel by name, times as ISO 8601, arrays as lists, and a
dataclass that is one of several a field may hold says which one under ``"type"`` (one with a field ``type`` of its own
cannot, so it is never one of several). Used for the files of a run folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

import numpy as np


def to_plain(value: object) -> Any:
    """Dictionaries, lists, strings, numbers, booleans and None that `from_plain` understands."""
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} {value!r} has no plain form.")


def from_plain(kind: Any, plain: Any) -> Any:
    """The value of type ``kind`` that `to_plain` wrote; a `ValueError` names what does not fit."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return plain
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, plain)
    if origin is typing.Literal:
        return _literal(arguments, plain)
    if origin is np.ndarray:
        return np.asarray(plain, dtype=np.float64)
    if origin is tuple:
        return _tuple(arguments, plain)
    if origin is frozenset:
        return frozenset(from_plain(arguments[0], item) for item in plain)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {from_plain(arguments[0], key): from_plain(arguments[1], item) for key, item in plain.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind, plain)
    if kind is datetime:
        return datetime.fromisoformat(plain)
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if isinstance(kind, type) and isinstance(plain, kind):
        return plain
    raise ValueError(f"expected {kind!r}, found {plain!r}.")


def _one_of(kinds: tuple[Any, ...], plain: Any) -> Any:
    if plain is None and types.NoneType in kinds:
        return None
    for kind in kinds:
        if dataclasses.is_dataclass(kind) and isinstance(plain, dict) and plain.get("type") == _name(kind):
            return from_plain(kind, plain)
    simple = [kind for kind in kinds if kind is not types.NoneType and not dataclasses.is_dataclass(kind)]
    if len(simple) == 1:
        return from_plain(simple[0], plain)
    for kind in simple:
        with contextlib.suppress(ValueError):
            return from_plain(kind, plain)
    raise ValueError(f"expected one of {kinds!r}, found {plain!r}.")


def _literal(allowed: tuple[Any, ...], plain: Any) -> Any:
    if plain not in allowed:
        raise ValueError(f"expected one of {allowed!r}, found {plain!r}.")
    return plain


def _tuple(kinds: tuple[Any, ...], plain: Any) -> tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(from_plain(kinds[0], item) for item in plain)
    return tuple(from_plain(kind, item) for kind, item in zip(kinds, plain, strict=True))


def _dataclass(kind: Any, plain: Any) -> Any:
    hints = _hints(kind)
    tagged = "type" not in hints
    if not isinstance(plain, dict) or (tagged and plain.get("type") != kind.__name__):
        raise ValueError(f"expected {kind.__name__}, found {plain!r:.80}.")
    fields = {name: item for name, item in plain.items() if not (tagged and name == "type")}
    if unknown := fields.keys() - hints.keys():
        raise ValueError(f"{kind.__name__} has no {sorted(unknown)}; it has {sorted(hints)}.")
    return kind(**{name: from_plain(hints[name], item) for name, item in fields.items()})


def _enum(kind: type[Enum], plain: Any) -> Enum:
    try:
        return kind[plain]
    except KeyError:
        raise ValueError(f"{kind.__name__} has no {plain!r}; it has {[member.name for member in kind]}.") from None


def _name(kind: Any) -> str:
    return str(kind.__name__)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
