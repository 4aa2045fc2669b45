"""Frames on a pipe: a JSON header, and bytes behind it.

The one idea: two little-endian uint32 say how long the header and the blob are, so either side reads exactly one frame
and never waits for a line's end. A pipe that ends between two frames has ended politely; within one it is an error.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

LONGEST_HEADER = 256 * 1024**2
"""Bytes. A longer one is no header, but somebody else's bytes on the pipe."""

_LENGTHS = struct.Struct("<II")


class BrokenFrame(Exception):
    """What came is not a frame."""


def read_frame(pipe: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next header and blob; None at the pipe's end."""
    start = pipe.read(_LENGTHS.size)
    if not start:
        return None
    if len(start) < _LENGTHS.size:
        raise BrokenFrame(f"the pipe ended {len(start)} bytes into a frame; expected {_LENGTHS.size} bytes of lengths.")
    header_length, blob_length = _LENGTHS.unpack(start)
    if header_length > LONGEST_HEADER:
        raise BrokenFrame(f"a header of {header_length} bytes, expected at most {LONGEST_HEADER}.")
    header = _parsed(_exactly(pipe, header_length))
    return header, _exactly(pipe, blob_length)


def write_frame(pipe: BinaryIO, header: Mapping[str, Any], blob: bytes = b"") -> None:
    """Send one frame, at once."""
    text = json.dumps(header, allow_nan=False).encode()
    pipe.write(_LENGTHS.pack(len(text), len(blob)) + text)
    pipe.write(blob)
    pipe.flush()


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except ValueError as error:
        raise BrokenFrame(f"a header that is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise BrokenFrame(f"a header that is a JSON {type(header).__name__}, expected an object.")
    return header


def _exactly(pipe: BinaryIO, length: int) -> bytes:
    content = pipe.read(length)
    if len(content) < length:
        raise BrokenFrame(f"the pipe ended {len(content)} bytes into a part of {length} bytes.")
    return content
