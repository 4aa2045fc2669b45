"""A voxel array put together from a stream of chunks.

The one idea: what has come is kept, so a broken stream goes on where it stopped, and nothing is handed out before every
chunk's CRC-32 and the SHA-256 of the whole agree.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
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

_FLOAT = np.dtype("<f4")


async def read_volume(
    wire: Wire, method: Stream[Request, Part], request: Callable[[VolumeRequest], Request]
) -> model.Volume:
    """The whole array, once it has come undamaged.

    Raises
    ------
    DataDamaged
        Bytes are missing, or not what the server sent.
    EtagMismatch
        The stream broke, and meanwhile the array became another one.
    """
    assembly = _Assembly()
    async for part in wire.resumed(method, lambda: request(assembly.still_wanted()), deadline_s=DEADLINE_S):
        if part.HasField("header"):
            assembly.begin(part.header)
        else:
            assembly.add(part.chunk)
    return assembly.volume()


class _Assembly:
    """The bytes so far."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._header: VolumeHeader | None = None

    def still_wanted(self) -> VolumeRequest:
        if self._header is None:
            return VolumeRequest(encoding=VOLUME_ENCODING_FLOAT32_LE)
        return VolumeRequest(
            encoding=VOLUME_ENCODING_FLOAT32_LE, start_offset_bytes=len(self._bytes), etag=self._header.etag
        )

    def begin(self, header: VolumeHeader) -> None:
        if self._header is not None and header.sha256 != self._header.sha256:
            raise DataDamaged("the stream went on with another array than it began with; ask for it again.")
        self._header = header

    def add(self, chunk: VolumeChunk) -> None:
        if chunk.offset_bytes != len(self._bytes):
            raise DataDamaged(f"a chunk begins at byte {chunk.offset_bytes}, expected {len(self._bytes)}; ask again.")
        if zlib.crc32(chunk.data) != chunk.crc32:
            raise DataDamaged(f"the chunk at byte {chunk.offset_bytes} has another CRC-32 than it names; ask again.")
        self._bytes += chunk.data

    def volume(self) -> model.Volume:
        header = self._header
        if header is None:
            raise DataDamaged("the stream ended before its header; ask again.")
        if len(self._bytes) != header.size_bytes or hashlib.sha256(self._bytes).hexdigest() != header.sha256:
            raise DataDamaged(
                f"{len(self._bytes)} of {header.size_bytes} bytes came, or their SHA-256 differs; ask again."
            )
        grid = convert.grid_from_wire(header.grid)
        values = np.frombuffer(self._bytes, _FLOAT).astype(np.float32).reshape(grid.size[::-1])
        dose = convert.dose_info_from_wire(header.dose) if header.HasField("dose") else None
        return model.Volume(grid, values, dose)
