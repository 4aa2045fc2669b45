"""Voxels in chunks that can be taken up again."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import grpc
import numpy as np
import pytest
from raw_client import CLINICAL, PATIENT, PTV, Raw, on_a_loop, refused_stream, serving
from toy_backend import GRID, ToyBackend

from bridge import model

FLOAT32 = {"encoding": "VOLUME_ENCODING_FLOAT32_LE"}
LARGE = (130, 70, 20)


class LargeBackend(ToyBackend):
    """A toy whose image takes several chunks."""

    def image(self, patient: str) -> model.Volume:
        grid = model.Grid(GRID.origin_mm, GRID.spacing_mm, LARGE)
        values = np.random.default_rng(1).uniform(-1000, 1000, LARGE[::-1]).astype(np.float32)
        return model.Volume(grid, values)


async def _parts(raw: Raw, **volume: Any) -> tuple[Any, list[Any]]:
    parts = [part async for part in raw.call("StreamImage", patient=PATIENT, volume=FLOAT32 | volume)]
    return parts[0].header, [part.chunk for part in parts[1:]]


@on_a_loop
async def test_image_arrives_whole() -> None:
    """Chunks of at most 256 KiB, each with its CRC, together have the header's SHA-256 and are the voxels."""
    async with serving(LargeBackend()) as raw:
        header, chunks = await _parts(raw)
    data = b"".join(chunk.data for chunk in chunks)
    assert len(chunks) == 3
    assert max(len(chunk.data) for chunk in chunks) == 256 * 1024
    assert all(zlib.crc32(chunk.data) == chunk.crc32 for chunk in chunks)
    assert hashlib.sha256(data).hexdigest() == header.sha256
    assert np.array_equal(np.frombuffer(data, "<f4").reshape(LARGE[::-1]), LargeBackend().image(PATIENT).values)


@on_a_loop
async def test_broken_stream_goes_on_where_it_stopped() -> None:
    """A stream that begins behind its start gives exactly the rest."""
    async with serving(LargeBackend()) as raw:
        header, chunks = await _parts(raw)
        offset = chunks[1].offset_bytes + 400
        _, rest = await _parts(raw, start_offset_bytes=offset, etag=header.etag)
    whole = b"".join(chunk.data for chunk in chunks)
    assert b"".join(chunk.data for chunk in rest) == whole[offset:]


@on_a_loop
async def test_resumed_stream_of_other_voxels_is_aborted() -> None:
    """When the voxels changed meanwhile, the rest is not given."""
    async with serving(LargeBackend()) as raw:
        call = raw.call("StreamImage", patient=PATIENT, volume=FLOAT32 | {"start_offset_bytes": 4, "etag": "old"})
        refusal = await refused_stream(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


@on_a_loop
async def test_plan_without_dose_has_nothing_to_stream() -> None:
    """StreamDose on a plan without dose is NO_DOSE, also as a stream."""
    async with serving() as raw:
        refusal = await refused_stream(raw.call("StreamDose", plan=CLINICAL, volume=FLOAT32))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_DOSE")


@on_a_loop
async def test_mask_counts_the_voxels_inside() -> None:
    """A structure's mask is its occupancy on the image grid."""
    async with serving() as raw:
        parts = [part async for part in raw.call("StreamStructureMask", structure=PTV, volume=FLOAT32)]
    occupancy = np.frombuffer(parts[1].chunk.data, "<f4")
    assert occupancy.sum() == pytest.approx(81)
