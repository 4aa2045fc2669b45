"""Voxel arrays as a header and chunks, as the contract's streams carry them.

The etag of a stream is the SHA-256 of its bytes, so it holds exactly as long as the voxels do, and a stream that broke
can go on where it stopped.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bridge import model
from bridge.convert.mirror import noun
from bridge.errors import DataDamaged, EtagMismatch, FieldViolation, InvalidField
from bridge.tps.v1 import common_pb2, dose_pb2, volume_pb2

_grid_to_wire = noun(model.Grid, common_pb2.Grid)[0]
_dose_info_to_wire = noun(model.DoseInfo, dose_pb2.DoseInfo)[0]

CHUNK_BYTES = 256 * 1024
"""Largest chunk that the contract allows, and the fastest of those that were measured."""

FLOAT32 = volume_pb2.VOLUME_ENCODING_FLOAT32_LE
UINT16 = volume_pb2.VOLUME_ENCODING_UINT16_SCALED_LE

_DTYPES: Mapping[int, np.dtype[np.float32] | np.dtype[np.uint16]] = {FLOAT32: np.dtype("<f4"), UINT16: np.dtype("<u2")}


def encode_volume(
    volume: model.Volume,
    voxel_unit: volume_pb2.VoxelUnit.ValueType,
    encoding: volume_pb2.VolumeEncoding.ValueType = FLOAT32,
) -> tuple[volume_pb2.VolumeHeader, bytes]:
    """The header and the bytes of a volume; the bytes run with x fastest."""
    if encoding not in _DTYPES:
        raise _invalid("volume.encoding", "names no encoding; give FLOAT32_LE or UINT16_SCALED_LE")
    values = np.asarray(volume.values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise DataDamaged("the voxels hold values that are not numbers; they cannot be streamed")
    scale, intercept = (1.0, 0.0) if encoding == FLOAT32 else _uint16_scale(values)
    data = _stored(values, scale, intercept, encoding)
    digest = hashlib.sha256(data).hexdigest()
    header = volume_pb2.VolumeHeader(
        grid=_grid_to_wire(volume.grid),
        voxel_unit=voxel_unit,
        encoding=encoding,
        scale=scale,
        intercept=intercept,
        size_bytes=len(data),
        sha256=digest,
        etag=digest,
        dose=None if volume.dose is None else _dose_info_to_wire(volume.dose),
    )
    return header, data


def volume_chunks(
    header: volume_pb2.VolumeHeader, data: bytes, request: volume_pb2.VolumeRequest
) -> Iterator[volume_pb2.VolumeChunk]:
    """The chunks that a request asks for, from its start offset on.

    Raises
    ------
    EtagMismatch
        The stream that is to go on was one of other voxels.
    InvalidField
        The start is not one of this array, or a resumed stream does not say which voxels it was of.
    """
    start = request.start_offset_bytes
    _check_start(header, request)
    return (_chunk(data, offset) for offset in range(start, len(data), CHUNK_BYTES))


def _check_start(header: volume_pb2.VolumeHeader, request: volume_pb2.VolumeRequest) -> None:
    start, itemsize = request.start_offset_bytes, _DTYPES[header.encoding].itemsize
    if not 0 <= start <= header.size_bytes or start % itemsize:
        raise _invalid(
            "volume.start_offset_bytes", f"is {start}; give a multiple of {itemsize} up to {header.size_bytes}"
        )
    if start > 0 and not request.HasField("etag"):
        raise _invalid("volume.etag", "is missing; a stream that goes on names the etag of its first header")
    if request.HasField("etag") and request.etag != header.etag:
        raise EtagMismatch("the voxels changed since the stream began; start it again from byte 0")


def _chunk(data: bytes, offset: int) -> volume_pb2.VolumeChunk:
    part = data[offset : offset + CHUNK_BYTES]
    return volume_pb2.VolumeChunk(offset_bytes=offset, data=part, crc32=zlib.crc32(part))


def _uint16_scale(values: NDArray[np.float32]) -> tuple[float, float]:
    """Value of one step and of 0, so that 16 bits span exactly the values that occur."""
    if values.size == 0:
        return 1.0, 0.0
    low, high = float(values.min()), float(values.max())
    return (high - low) / 65535 or 1.0, low


def _stored(values: NDArray[np.float32], scale: float, intercept: float, encoding: int) -> bytes:
    if encoding == FLOAT32:
        return values.astype("<f4").tobytes()
    return np.rint((values.astype(np.float64) - intercept) / scale).astype("<u2").tobytes()


def _invalid(field: str, description: str) -> InvalidField:
    return InvalidField(f"{field} {description}", violations=(FieldViolation(field, description),))
