"""A voxel array put together from a stream of chunks.

The one idea: what has come is kept, so a broken stream goes on where it stopped, and nothing is handed out before every
chunk's CRC-32 and the SHA-256 of the whole agree.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar

import numpy as np

from bridge import convert, model
from bridge.client._wire import Stream, Wire
from bridge.errors import DataDamaged
from bridge.tps.v1.dose_service_pb2 import StreamDoseResponse, StreamImageResponse
from bridge.tps.v1.structure_service_pb2 import StreamStructureMaskResponse
from bridge.tps.v1.volume_pb2 import VOLUME_ENCODING_FLOAT32_LE, VolumeChunk, VolumeHeader, VolumeRequest

Request = TypeVar("Request")
Part = StreamDoseResponse | StreamImageResponse | StreamStructureMaskResponse

DEADLINE_S = 120.0
"""For each opening of the stream; one that is cut goes on in the next."""

_FLOAT32_LE = np.dtype("<f4")


async def read_volume(
    wire: Wire, method: Stream[Request, Part], request: Callable[[VolumeRequest], Request]
) -> model.Volume:
    """The whole array, once it has come undamaged.

    Raises
    ------
    DataDamaged
        Bytes are missing, or are not what their checksums say.
    EtagMismatch
        The stream broke, and meanwhile the array became another one.
    """
    received = _Received()
    parts = wire.resumed(method, lambda: request(received.still_wanted()), deadline_s=DEADLINE_S)
    async with aclosing(parts):
        async for part in parts:
            if part.HasField("header"):
                received.begin(part.header)
            else:
                received.add(part.chunk)
    return received.volume()


class _Received:
    """The bytes so far."""

    def __init__(self) -> None:
        self._header: VolumeHeader | None = None
        self._bytes = bytearray()

    def still_wanted(self) -> VolumeRequest:
        wanted = VolumeRequest(encoding=VOLUME_ENCODING_FLOAT32_LE)
        if self._header is not None:
            del self._bytes[len(self._bytes) // _FLOAT32_LE.itemsize * _FLOAT32_LE.itemsize :]
            wanted.start_offset_bytes, wanted.etag = len(self._bytes), self._header.etag
        return wanted

    def begin(self, header: VolumeHeader) -> None:
        if header.encoding != VOLUME_ENCODING_FLOAT32_LE:
            raise DataDamaged(f"the stream has encoding {header.encoding}; FLOAT32_LE was asked for.")
        if self._header is not None and header.sha256 != self._header.sha256:
            raise DataDamaged("the stream went on with another array than it began with; stream it again.")
        self._header = header

    def add(self, chunk: VolumeChunk) -> None:
        if chunk.offset_bytes != len(self._bytes):
            raise DataDamaged(f"a chunk begins at byte {chunk.offset_bytes}, expected {len(self._bytes)}.")
        if zlib.crc32(chunk.data) != chunk.crc32:
            raise DataDamaged(f"the chunk at byte {chunk.offset_bytes} does not match its CRC-32; stream it again.")
        self._bytes += chunk.data

    def volume(self) -> model.Volume:
        header = self._header
        if header is None:
            raise DataDamaged("the stream ended before its header; stream it again.")
        if len(self._bytes) != header.size_bytes or hashlib.sha256(self._bytes).hexdigest() != header.sha256:
            raise DataDamaged(
                f"{len(self._bytes)} of {header.size_bytes} bytes came, or not the right ones; stream it again."
            )
        grid = convert.grid_from_wire(header.grid)
        values = np.frombuffer(self._bytes, _FLOAT32_LE).astype(np.float32).reshape(grid.size[::-1])
        dose = convert.dose_info_from_wire(header.dose) if header.HasField("dose") else None
        return model.Volume(grid, values, dose)
