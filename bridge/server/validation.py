"""Whether a request keeps to what the schema says about its fields.

The one idea: the schema carries its own rules as field options (`options.proto`), so one walk over the descriptors
checks every request there is, also of RPCs that are yet to be written, and reports all violations at once. What depends
on the server (its limits, its priority scale) is checked elsewhere: see `bridge.server.limits`. Values of strings are
never repeated in a violation; they may identify a patient.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from bridge.errors import FieldViolation, InvalidField
from bridge.server.free_text import HIDDEN_CHARACTERS, is_repeated
from bridge.tps.v1 import options_pb2

FORMATS = {
    options_pb2.FORMAT_RESOURCE_NAME: (
        re.compile(r"(?=.{1,256}\Z)[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64})*\Z"),
        "a resource name: segments of A-Z a-z 0-9 . _ - joined by '/'",
    ),
    options_pb2.FORMAT_UUID: (
        re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z"),
        "a UUID (8-4-4-4-12 hexadecimal digits)",
    ),
    options_pb2.FORMAT_SHA256: (re.compile(r"[0-9a-f]{64}\Z"), "a SHA-256 in 64 lower-case hexadecimal digits"),
}

NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
    FieldDescriptor.CPPTYPE_DOUBLE,
    FieldDescriptor.CPPTYPE_FLOAT,
}

BOUNDS = (
    (options_pb2.min, "at least", operator.lt),
    (options_pb2.max, "at most", operator.gt),
    (options_pb2.above, "greater than", operator.le),
    (options_pb2.below, "less than", operator.ge),
)
"""Option, its words, and how a value breaks it."""


def require_valid(request: Message) -> None:
    """Raise `InvalidField` with every violation, or return."""
    found = tuple(violations(request))
    if found:
        raise InvalidField(
            f"{len(found)} field(s) of {request.DESCRIPTOR.name} cannot be used: "
            + ", ".join(violation.field for violation in found[:5])
            + ". Correct them and send a new request_id.",
            violations=found,
        )


def violations(message: Message, path: str = "") -> Iterator[FieldViolation]:
    """Every field, down to the last nested message, that breaks a rule of the schema."""
    for oneof in message.DESCRIPTOR.oneofs:
        wanted = oneof.GetOptions().Extensions[options_pb2.one_required]
        if wanted and message.WhichOneof(oneof.name) is None:
            choices = ", ".join(field.name for field in oneof.fields)
            yield FieldViolation(path + oneof.name, f"one of {choices} must be given")
    for field in cast("Sequence[FieldDescriptor]", message.DESCRIPTOR.fields):
        if _is_unchosen(message, field):
            continue
        name = path + field.name
        values = _given_values(message, field)
        if not values:
            if field.GetOptions().Extensions[options_pb2.required]:
                yield FieldViolation(name, "must be given")
            continue
        yield from _of_list(field, values, name)


def _of_list(field: FieldDescriptor, values: Sequence[Any], name: str) -> Iterator[FieldViolation]:
    most = field.GetOptions().Extensions[options_pb2.max_items]
    if most and len(values) > most:
        yield FieldViolation(name, f"has {len(values)} items, at most {most} are allowed")
        return
    for index, value in enumerate(values):
        yield from _of_value(field, value, f"{name}[{index}]" if is_repeated(field) else name)


def _of_value(field: FieldDescriptor, value: Any, name: str) -> Iterator[FieldViolation]:
    if isinstance(value, Message):
        yield from violations(value, name + ".")
    elif field.cpp_type in NUMBERS:
        yield from _of_number(field, value, name)
    elif field.enum_type is not None:
        if value not in field.enum_type.values_by_number:
            yield FieldViolation(name, f"{value} is not a value of {field.enum_type.name}")
    elif isinstance(value, str | bytes):
        yield from _of_text(field, value, name)


def _of_number(field: FieldDescriptor, value: float, name: str) -> Iterator[FieldViolation]:
    if not math.isfinite(value):
        yield FieldViolation(name, "must be a finite number")
        return
    options = field.GetOptions()
    for extension, words, is_broken in BOUNDS:
        if options.HasExtension(extension) and is_broken(value, options.Extensions[extension]):
            yield FieldViolation(name, f"is {value:g}, must be {words} {options.Extensions[extension]:g}")


def _of_text(field: FieldDescriptor, value: str | bytes, name: str) -> Iterator[FieldViolation]:
    options = field.GetOptions()
    longest = options.Extensions[options_pb2.max_length]
    if longest and len(value) > longest:
        yield FieldViolation(name, f"is {len(value)} long, at most {longest} is allowed")
    if isinstance(value, bytes):
        return
    if HIDDEN_CHARACTERS.search(value):
        yield FieldViolation(name, "must not hold control or bidirectional-control characters")
    form = options.Extensions[options_pb2.format]
    if form in FORMATS and not FORMATS[form][0].match(value):
        yield FieldViolation(name, f"must be {FORMATS[form][1]}")


def _given_values(message: Message, field: FieldDescriptor) -> Sequence[Any]:
    """The values of a field that count as given; a list for repeated fields, else none or one."""
    value = getattr(message, field.name)
    if _is_map(field):
        return list(value.values())
    if is_repeated(field):
        return value  # type: ignore[no-any-return]
    if field.has_presence:
        return [value] if message.HasField(field.name) else []
    may_be_empty = field.cpp_type in (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_ENUM)
    return [] if may_be_empty and not value else [value]


def _is_unchosen(message: Message, field: FieldDescriptor) -> bool:
    """Whether the field belongs to a choice that fell on another one."""
    oneof = field.containing_oneof
    is_choice = oneof is not None and len(oneof.fields) > 1
    return is_choice and not message.HasField(field.name)


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)
