"""Model objects to messages and back, by walking the names that both share.

The rules of the mirror, in this order of looking:

- a field of the model is the message's field, or its oneof, of the same name; a value that is one of several classes
  is the oneof's member whose message has the class's name;
- an enum member is the enum value of the same name (behind the prefix) and number; UNSPECIFIED is ``None`` where the
  model allows it and refused where it does not;
- a fixed tuple is a message whose fields, in order, are its items; a datetime is a UTC timestamp;
- ``None`` is an absent field.

Two things are not mirrored so: `model.MetricQuery` is flat where the wire has one message per kind of question, and
the normalisation ``None`` is a message of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, MutableSequence
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message

from bridge import model
from bridge.errors import FieldViolation, InvalidField
from bridge.tps.v1 import plan_pb2

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

T = TypeVar("T")
M = TypeVar("M", bound=Message)
E = TypeVar("E", bound=Enum)
V = TypeVar("V", bound=int)
T_co = TypeVar("T_co", covariant=True)
M_contra = TypeVar("M_contra", contravariant=True)

_CHOICES = {"ObjectiveFunction": "function", "Normalization": "normalization"}
"""Messages that are nothing but a oneof, for model types that are a union of classes."""

_METRIC_FIELDS = {
    "structure": "structure",
    "body": "body",
    "volume_unit": "volume_unit",
    "volume_percent": "volume",
    "volume_cc": "volume",
    "dose_gy": "dose_gy",
    "reference_dose_gy": "dose_gy",
}
"""Field of a wire question -> field of `model.MetricQuery`."""


class FromWire(Protocol[M_contra, T_co]):
    """Reads a message or a wire number that stands at ``path`` in its request."""

    def __call__(self, wire: M_contra, /, path: str = "") -> T_co: ...


# ------------------------------------------------------------------------------------------ the surface


def noun(kind: type[T], message: type[M]) -> tuple[Callable[[T], M], FromWire[M, T]]:
    """Both directions between a dataclass and the message that mirrors it.

    Reading raises `InvalidField` when something that the model needs is absent or UNSPECIFIED; the violation names the
    field below ``path``.
    """

    def to_wire(value: T, /) -> M:
        wire = message()
        _write(wire, value)
        return wire

    def from_wire(wire: M, /, path: str = "") -> T:
        value: T = _read(wire, kind, path)
        return value

    return to_wire, from_wire


def word(kind: type[E], wire: _EnumTypeWrapper[V]) -> tuple[Callable[[E], V], FromWire[int, E]]:
    """Both directions between an enum and the wire's numbers; UNSPECIFIED and unknown numbers are refused."""

    def to_wire(member: E, /) -> V:
        return wire.Value(_prefix(wire.DESCRIPTOR) + member.name)

    def from_wire(number: int, /, path: str = "") -> E:
        return _member(number, kind, path)

    return to_wire, from_wire


def normalization_to_wire(normalization: model.Normalization) -> plan_pb2.Normalization:
    message = plan_pb2.Normalization()
    _write(message, normalization)
    return message


def normalization_from_wire(message: plan_pb2.Normalization, path: str = "") -> model.Normalization:
    normalization: model.Normalization = _read_choice(message, "normalization", path)
    return normalization


# ------------------------------------------------------------------------------------------ model to wire


def _write(message: Any, value: Any) -> None:
    message.SetInParent()  # a message without fields is there all the same
    if message.DESCRIPTOR.name in _CHOICES:
        _write_choice(message, message.DESCRIPTOR.oneofs_by_name[_CHOICES[message.DESCRIPTOR.name]], value)
    elif isinstance(value, model.MetricQuery):
        _write_query(message, value)
    elif isinstance(value, datetime):
        _write_time(message, value)
    elif isinstance(value, tuple):
        for field, item in zip(message.DESCRIPTOR.fields, value, strict=True):
            setattr(message, field.name, item)
    else:
        for mirrored in dataclasses.fields(value):
            _write_field(message, mirrored.name, getattr(value, mirrored.name))


def _write_field(message: Any, name: str, value: Any) -> None:
    oneof = message.DESCRIPTOR.oneofs_by_name.get(name)
    if oneof is not None:
        if value is not None:
            _write_choice(message, oneof, value)
        return
    field = message.DESCRIPTOR.fields_by_name[name]
    if value is None and not _is_choice(field):
        return
    if field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name) is not None:
        other = message.WhichOneof(field.containing_oneof.name)
        raise _invalid(name, f"cannot be given together with {other}; leave one of them out")
    if _is_map(field):
        getattr(message, name).update(value)
    elif isinstance(getattr(message, name), MutableSequence):
        _write_items(getattr(message, name), field, value)
    elif field.message_type is not None:
        _write(getattr(message, name), value)
    else:
        setattr(message, name, _scalar(field, value))


def _write_items(items: Any, field: FieldDescriptor, values: Any) -> None:
    if field.message_type is not None:
        for value in values:
            _write(items.add(), value)
    elif isinstance(values, np.ndarray):
        items.extend(values.tolist())
    else:
        items.extend(sorted(_scalar(field, value) for value in values) if isinstance(values, frozenset) else values)


def _write_choice(message: Any, oneof: OneofDescriptor, value: Any) -> None:
    wanted = "NoNormalization" if value is None else type(value).__name__
    member = next(field for field in oneof.fields if field.message_type and field.message_type.name == wanted)
    if value is None:
        getattr(message, member.name).SetInParent()
    else:
        _write(getattr(message, member.name), value)


def _write_time(message: Any, value: datetime) -> None:
    if value.tzinfo is None:
        raise _invalid("", f"the time {value.isoformat()} has no time zone; give a datetime that knows its own")
    message.FromDatetime(value)


def _write_query(message: Any, query: model.MetricQuery) -> None:
    question = getattr(message, query.kind.name.lower())
    question.SetInParent()
    left = {name for name in _METRIC_FIELDS.values() if getattr(query, name) is not None}
    for field in _fields_of_question(question, query):
        source = _METRIC_FIELDS[field.name]
        value = getattr(query, source)
        if value is not None:
            setattr(question, field.name, _scalar(field, value))
        elif field.name != "body":
            raise _invalid(source, f"is missing, and a {query.kind.name} needs it")
        left.discard(source)
    if question.DESCRIPTOR.oneofs_by_name.get("volume"):
        left.discard("volume_unit")
    if left:
        raise _invalid(min(left), f"has no meaning for a {query.kind.name}; leave it out")


def _fields_of_question(question: Any, query: model.MetricQuery) -> list[FieldDescriptor]:
    """The fields of a wire question that this query fills: of the two volumes only the one in its unit."""
    fields: list[FieldDescriptor] = list(question.DESCRIPTOR.fields)
    if "volume" not in question.DESCRIPTOR.oneofs_by_name:
        return fields
    if query.volume_unit is None:
        raise _invalid("volume_unit", f"is missing, and a {query.kind.name} needs it")
    other = "volume_cc" if query.volume_unit is model.VolumeUnit.PERCENT else "volume_percent"
    return [field for field in fields if field.name != other]


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is None:
        return value
    return field.enum_type.values_by_name[_prefix(field.enum_type) + value.name].number


# ------------------------------------------------------------------------------------------ wire to model


def _read(message: Any, kind: Any, path: str) -> Any:
    if message.DESCRIPTOR.name in _CHOICES:
        return _read_choice(message, _CHOICES[message.DESCRIPTOR.name], path)
    if kind is model.MetricQuery:
        return _read_query(message, path)
    if kind is datetime:
        return message.ToDatetime(tzinfo=UTC)
    if get_origin(kind) is tuple:
        return tuple(getattr(message, field.name) for field in message.DESCRIPTOR.fields)
    return kind(**{name: _read_field(message, name, hint, _join(path, name)) for name, hint in _hints(kind).items()})


def _read_field(message: Any, name: str, hint: Any, path: str) -> Any:
    if name in message.DESCRIPTOR.oneofs_by_name:
        return None if message.WhichOneof(name) is None else _read_choice(message, name, path)
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if _is_map(field):
        return dict(value)
    if isinstance(value, MutableSequence):
        return _read_items(field, value, hint, path)
    optional, kind = _without_none(hint)
    if (field.has_presence and not message.HasField(name)) or (field.enum_type is not None and optional and value == 0):
        if optional and not _is_choice(field):
            return None
        raise _invalid(path, "is missing")
    return _read_value(field, value, kind, path)


def _read_items(field: FieldDescriptor, values: Any, hint: Any, path: str) -> Any:
    if get_origin(hint) is np.ndarray:
        return np.array(values, dtype=np.float64)
    item = get_args(hint)[0]
    return get_origin(hint)(_read_value(field, value, item, f"{path}[{index}]") for index, value in enumerate(values))


def _read_value(field: FieldDescriptor, value: Any, kind: Any, path: str) -> Any:
    if field.message_type is not None:
        return _read(value, kind, path)
    return value if field.enum_type is None else _member(value, kind, path)


def _read_choice(message: Any, oneof: str, path: str) -> Any:
    name = message.WhichOneof(oneof)
    if name is None:
        choices = ", ".join(field.name for field in message.DESCRIPTOR.oneofs_by_name[oneof].fields)
        raise _invalid(path, f"is missing; give one of {choices}")
    member = getattr(message, name)
    if member.DESCRIPTOR.name == "NoNormalization":
        return None
    return _read(member, getattr(model, member.DESCRIPTOR.name), _join(path, name))


def _read_query(message: Any, path: str) -> model.MetricQuery:
    name = message.WhichOneof("metric")
    if name is None:
        raise _invalid(path, "is missing; give one of the metrics")
    question = getattr(message, name)
    values: dict[str, Any] = {}
    for field in question.DESCRIPTOR.fields:
        if field.has_presence and not question.HasField(field.name):
            continue
        value = getattr(question, field.name)
        if field.enum_type is not None:
            value = _member(value, model.VolumeUnit, _join(path, f"{name}.{field.name}"))
        elif field.name in ("volume_percent", "volume_cc"):
            values["volume_unit"] = model.VolumeUnit[field.name.removeprefix("volume_").upper()]
        values[_METRIC_FIELDS[field.name]] = value
    return model.MetricQuery(kind=model.MetricKind[name.upper()], **values)


# ------------------------------------------------------------------------------------------ helpers


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _without_none(hint: Any) -> tuple[bool, Any]:
    """Whether a type hint allows None, and what it is without."""
    if get_origin(hint) not in (Union, UnionType) or NoneType not in get_args(hint):
        return False, hint
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return True, kinds[0] if len(kinds) == 1 else hint


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_choice(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.name in _CHOICES


def _member(number: int, kind: type[E], path: str) -> E:
    """The member that a number stands for: both sides number their words alike, and 0 is UNSPECIFIED."""
    try:
        return kind(number)
    except ValueError:
        choices = ", ".join(member.name for member in kind)
        raise _invalid(path, f"is {number or 'UNSPECIFIED'}; give one of {choices}") from None


def _prefix(enum: EnumDescriptor) -> str:
    return enum.values[0].name.removesuffix("UNSPECIFIED")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _invalid(field: str, description: str) -> InvalidField:
    return InvalidField(f"{field} {description}".strip(), violations=(FieldViolation(field, description),))
