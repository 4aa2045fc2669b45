"""Text from the TPS is data: nothing hidden in it leaves the server.

The one idea: every answer passes `clean` on its way out, which takes control and bidirectional-control characters out
of each field that the schema marks as free text and cuts it to its length. A structure may be called "ignore previous
instructions"; it then arrives as exactly these words, and with nothing that a reader cannot see.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from bridge.tps.v1 import options_pb2

HIDDEN_CHARACTERS = re.compile("[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""C0 and C1 controls, delete, and the bidirectional controls of Unicode UAX 9."""


def visible(text: str) -> str:
    """The text without characters that cannot be seen."""
    return HIDDEN_CHARACTERS.sub("", text)


def clean(message: Message) -> None:
    """Clean every free-text field of a message, down to the last nested one, in place."""
    for spot in _spots(message.DESCRIPTOR):
        if spot.is_text:
            _clean_text(message, spot)
            continue
        value = getattr(message, spot.name)
        if spot.is_map:
            for item in value.values():
                clean(item)
        elif spot.is_repeated:
            for item in value:
                clean(item)
        elif message.HasField(spot.name):
            clean(value)


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether the field is a list or a map; protobuf names this differently from one major version to the next."""
    return bool(getattr(field, "is_repeated", getattr(field, "label", None) == FieldDescriptor.LABEL_REPEATED))


@dataclass(frozen=True)
class _Spot:
    """A field that is free text, or a message that holds some."""

    name: str
    is_text: bool
    is_repeated: bool
    is_map: bool
    max_length: int


def _clean_text(message: Message, spot: _Spot) -> None:
    value = getattr(message, spot.name)
    longest = spot.max_length or None
    if spot.is_repeated:
        value[:] = [visible(text)[:longest] for text in value]
    elif value:
        setattr(message, spot.name, visible(value)[:longest])


@cache
def _spots(descriptor: Descriptor) -> Sequence[_Spot]:
    spots = []
    for field in descriptor.fields:
        options = field.GetOptions()
        is_text = options.Extensions[options_pb2.free_text]
        inner = field.message_type
        is_map = inner is not None and inner.GetOptions().map_entry
        if inner is not None and is_map:
            inner = inner.fields_by_name["value"].message_type
        if is_text or (inner is not None and _spots(inner)):
            longest = options.Extensions[options_pb2.max_length]
            spots.append(_Spot(field.name, is_text, is_repeated(field), is_map, longest))
    return tuple(spots)
