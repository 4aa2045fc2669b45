"""Voxel arrays on their way out: one header, then chunks, from wherever the caller wants to go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from bridge import convert, model
from bridge.tps.v1 import volume_pb2

Part = TypeVar("Part")


async def parts_of(
    volume: model.Volume,
    voxel_unit: volume_pb2.VoxelUnit.ValueType,
    request: volume_pb2.VolumeRequest,
    part: Callable[..., Part],
) -> AsyncIterator[Part]:
    """The parts of a stream, each wrapped in the response ``part``; the encoding is done off the event loop."""
    header, data = await asyncio.to_thread(convert.encode_volume, volume, voxel_unit, request.encoding)
    chunks = convert.volume_chunks(header, data, request)
    yield part(header=header)
    for chunk in chunks:
        yield part(chunk=chunk)
