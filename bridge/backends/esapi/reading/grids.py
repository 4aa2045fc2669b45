"""Where the voxels of an ESAPI image or dose lie, and how they become the contract's arrays.

The one idea: ESAPI lays voxels along directions of its own, which for a prone or feet-first patient run against the
patient's axes; the contract's arrays always run towards left, posterior and superior. A `Lattice` is the voxels as
ESAPI has them; turning an axis round moves the first voxel to the other end and never moves a voxel in the patient.

What ESAPI calls the origin is the centre of its first voxel in all that could be read about it, but nobody has said so
officially. A whole dose half a voxel off is not seen by eye, so nothing here takes it for granted: whoever makes an
array asks the TPS itself where some voxel lies (see `volumes`) and says the `Origin` it found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge import errors, model
from bridge.backends.esapi.reach import access
from bridge.model import Vector

MOST_TILT = 1e-4
"""Largest part of a direction that may point along another axis: 0.05 mm over half a metre."""


class Origin(Enum):
    """What the TPS means by the origin of voxels: how many voxels from there to the first one's centre."""

    CENTRE = 0.0
    CORNER = 0.5


@dataclass(frozen=True)
class Lattice:
    """Voxels as ESAPI has them, along the patient's axes in either direction."""

    origin_mm: Vector
    """ESAPI's own."""
    spacing_mm: Vector
    size: tuple[int, int, int]
    """Counts along x, y, z."""
    signs: tuple[int, int, int]
    """+1 where the voxels run along the patient's axis, -1 where they run against it."""

    def centre_mm(self, voxel: tuple[float, float, float], origin: Origin) -> Vector:
        """Centre of the voxel with ESAPI's own indices x, y, z."""
        x, y, z = (
            start + sign * spacing * (index + origin.value)
            for start, sign, spacing, index in zip(self.origin_mm, self.signs, self.spacing_mm, voxel, strict=True)
        )
        return x, y, z

    def place_of(self, point_mm: Vector) -> Vector:
        """Where a point lies, in voxels from ESAPI's origin along its own directions."""
        x, y, z = (
            sign * (coordinate - start) / spacing
            for coordinate, start, sign, spacing in zip(
                point_mm, self.origin_mm, self.signs, self.spacing_mm, strict=True
            )
        )
        return x, y, z

    def grid(self, origin: Origin) -> model.Grid:
        """The contract's grid of these voxels."""
        first = tuple(0 if sign > 0 else count - 1 for sign, count in zip(self.signs, self.size, strict=True))
        return model.Grid(self.centre_mm((first[0], first[1], first[2]), origin), self.spacing_mm, self.size)

    def turned(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """An array [z, y, x] in ESAPI's own order, in the contract's."""
        x, y, z = self.signs
        return np.ascontiguousarray(values[::z, ::y, ::x])


def lattice(voxels: Any, what: str) -> Lattice:
    """The voxels of an ESAPI Image or Dose; oblique ones are refused.

    Parameters
    ----------
    what
        Names the object in a refusal.
    """
    directions = [access.xyz(access.get(voxels, f"{axis}Direction")) for axis in "XYZ"]
    spacing = tuple(float(access.get(voxels, f"{axis}Res")) for axis in "XYZ")
    size = tuple(int(access.get(voxels, f"{axis}Size")) for axis in "XYZ")
    x, y, z = (_sign(direction, axis, what) for axis, direction in enumerate(directions))
    if not all(0.0 < step < math.inf for step in spacing) or min(size) < 1:
        raise errors.TpsRefused(f"{what} has {size} voxels of {spacing} mm, expected positive numbers; it is unusable.")
    return Lattice(
        origin_mm=access.xyz(access.get(voxels, "Origin")),
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        size=(size[0], size[1], size[2]),
        signs=(x, y, z),
    )


def origin_from(places: Vector, what: str) -> Origin:
    """What the TPS means by its origin, from where it says that some voxel's centre lies (`Lattice.place_of`)."""
    for origin in Origin:
        if all(_is_close_to_whole(place - origin.value) for place in places):
            return origin
    raise errors.TpsRefused(
        f"{what}: the TPS puts a voxel {tuple(round(place, 3) for place in places)} voxels from its origin, expected "
        "whole numbers (origin at a voxel's centre) or halves (at its corner); where the voxels lie is not known."
    )


def _is_close_to_whole(number: float) -> bool:
    return math.isfinite(number) and abs(number - round(number)) < 0.02


def _sign(direction: Vector, axis: int, what: str) -> int:
    sign = 1 if direction[axis] > 0 else -1
    along = tuple(float(sign) if other == axis else 0.0 for other in range(3))
    if not all(abs(part - straight) <= MOST_TILT for part, straight in zip(direction, along, strict=True)):
        raise errors.CapabilityMissing(
            f"{what} is oblique: its {'xyz'[axis]} direction is {tuple(round(part, 5) for part in direction)}, not "
            "along the patient's axis; voxels are not resampled here. Use an image in the patient's axes."
        )
    return sign
