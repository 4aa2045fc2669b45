"""How a patient lies, and what that does to images and machine angles.

The one idea: the simulator knows head-first supine patients with voxels along DICOM's x, y and z (LPS). A scanner's
image of a prone patient has its rows and columns the other way round, so arrays cross this border flipped; and the
machine turns half round the patient: R_y(180) R_z(-couch) R_y(gantry) = R_z(couch) R_y(180 + gantry). Positions are
DICOM patient coordinates on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid, Vector


@dataclass(frozen=True)
class Orientation:
    """One way to lie, and in which direction its images' own voxels run."""

    name: str
    own_direction: tuple[int, int, int]
    """Of x, y and z: 1 along DICOM's axis, -1 against it."""
    prone: bool

    def flipped(self, values: NDArray[Any]) -> NDArray[Any]:
        """An array [z, y, x] from DICOM's voxel order into the image's own, or back."""
        turned = values[tuple(slice(None, None, sign) for sign in reversed(self.own_direction))]
        return np.ascontiguousarray(turned)

    def plane(self, index: int, count: int) -> int:
        """Number of one of ``count`` slices, from DICOM's order into the image's own, or back."""
        return index if self.own_direction[2] > 0 else count - 1 - index

    def geometry(self, grid: Grid) -> dict[str, Any]:
        """Size, resolution and directions of a grid in the image's own order."""
        last = [o + s * (n - 1) for o, s, n in zip(grid.origin_mm, grid.spacing_mm, reversed(grid.shape), strict=True)]
        first = zip(self.own_direction, grid.origin_mm, last, strict=True)
        directions = [[float(sign * (axis == own)) for own in range(3)] for axis, sign in enumerate(self.own_direction)]
        return {
            "size": list(reversed(grid.shape)),
            "res": list(grid.spacing_mm),
            "origin": [low if sign > 0 else high for sign, low, high in first],
            **{f"{axis}_direction": direction for axis, direction in zip("xyz", directions, strict=True)},
        }

    def grid(self, geometry: Mapping[str, Any]) -> Grid:
        """The grid that `geometry` described."""
        nx, ny, nz = geometry["size"]
        spacing_mm: Vector = tuple(geometry["res"])
        there = zip(self.own_direction, geometry["origin"], spacing_mm, (nx, ny, nz), strict=True)
        x, y, z = (origin if sign > 0 else origin - step * (count - 1) for sign, origin, step, count in there)
        return Grid((x, y, z), spacing_mm, (nz, ny, nx))

    def supine_angles(self, gantry_deg: float, couch_deg: float) -> tuple[float, float]:
        """Gantry and couch angle at which a head-first supine patient is hit as this one is."""
        return ((gantry_deg + 180.0) % 360.0, -couch_deg % 360.0) if self.prone else (gantry_deg, couch_deg)


_KNOWN = {
    known.name: known
    for known in (
        Orientation("HeadFirstSupine", (1, 1, 1), prone=False),
        Orientation("HeadFirstProne", (-1, -1, 1), prone=True),
    )
}


def orientation(name: str) -> Orientation:
    """The way to lie of that name."""
    if name not in _KNOWN:
        raise BadInput(f"orientation {name!r} is not emulated; expected {' or '.join(sorted(_KNOWN))}.")
    return _KNOWN[name]
