"""Where things are: voxel grids and beam frames.

Arrays are indexed ``[z, y, x]``; positions are ``(x, y, z)`` in mm, DICOM patient coordinates (LPS: x to the
patient's left, y to posterior, z to superior). Machine angles are IEC 61217 degrees for a head-first supine patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """A box of equal voxels, axes along x, y, z of the patient."""

    origin_mm: Vector
    """Centre of voxel [0, 0, 0], ordered x, y, z."""
    spacing_mm: Vector
    """Voxel size, ordered x, y, z."""
    shape: tuple[int, int, int]
    """Number of voxels, ordered as the arrays are: z, y, x."""

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def voxel_cc(self) -> float:
        return self.spacing_mm[0] * self.spacing_mm[1] * self.spacing_mm[2] / 1000.0

    @cached_property
    def axes_mm(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Voxel-centre coordinates along x, y and z."""
        nz, ny, nx = self.shape
        return (
            self.origin_mm[0] + self.spacing_mm[0] * np.arange(nx),
            self.origin_mm[1] + self.spacing_mm[1] * np.arange(ny),
            self.origin_mm[2] + self.spacing_mm[2] * np.arange(nz),
        )

    def centres_mm(self, index: NDArray[np.integer]) -> NDArray[np.float64]:
        """Centres of the voxels with the given flat (C-order) indices, shape (n, 3), ordered x, y, z."""
        z, y, x = np.unravel_index(index, self.shape)
        return np.stack([x, y, z], axis=1) * np.asarray(self.spacing_mm) + np.asarray(self.origin_mm)

    def contains(self, point_mm: Vector) -> bool:
        """Whether a point lies inside the box, voxel edges included."""
        return all(
            origin - spacing / 2 <= coordinate <= origin + (count - 0.5) * spacing
            for coordinate, origin, spacing, count in zip(
                point_mm, self.origin_mm, self.spacing_mm, reversed(self.shape), strict=True
            )
        )

    def resampled(self, spacing_mm: Vector) -> Grid:
        """A grid over the same box with another voxel size; the last voxels may reach past the box by less than one."""
        low = [o - s / 2 for o, s in zip(self.origin_mm, self.spacing_mm, strict=True)]
        extent = [n * s for n, s in zip(reversed(self.shape), self.spacing_mm, strict=True)]
        counts = [max(1, int(np.ceil(e / s - 1e-6))) for e, s in zip(extent, spacing_mm, strict=True)]
        origin = tuple(edge + s / 2 for edge, s in zip(low, spacing_mm, strict=True))
        return Grid((origin[0], origin[1], origin[2]), spacing_mm, (counts[2], counts[1], counts[0]))


@dataclass(frozen=True)
class BeamFrame:
    """The beam's-eye view of one static field: where the source is and which way the field's axes point.

    ``x_axis`` and ``y_axis`` are the IEC 61217 beam-limiting-device axes (leaves move along x), ``z_axis`` points
    from the isocentre to the source; all are unit vectors in patient coordinates.
    """

    isocentre_mm: Vector
    source_mm: Vector
    x_axis: Vector
    y_axis: Vector
    z_axis: Vector


def beam_frame(
    isocentre_mm: Vector, gantry_deg: float, collimator_deg: float, couch_deg: float, sad_mm: float
) -> BeamFrame:
    """Patient-frame axes of a field at IEC 61217 angles, head-first supine.

    With all angles zero the source lies anterior of the isocentre, the field's x axis points to the patient's left
    and its y axis to superior. Gantry, couch and collimator rotations follow IEC 61217 (right-handed, active
    rotations of the gantry about fixed +Y, of the couch about fixed +Z, of the collimator about the beam axis).

    References
    ----------
    IEC 61217:2011, clauses 5.3 to 5.6.
    """
    fixed_to_patient = _rotation_z(-couch_deg)
    beam_to_fixed = _rotation_y(gantry_deg) @ _rotation_z(collimator_deg)
    # IEC fixed axes (x left seen from the foot of a supine patient, y to the gantry, z up) in DICOM LPS.
    lps_from_iec = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    axes = lps_from_iec @ fixed_to_patient @ beam_to_fixed
    source = np.asarray(isocentre_mm) + sad_mm * axes[:, 2]
    return BeamFrame(isocentre_mm, _vector(source), _vector(axes[:, 0]), _vector(axes[:, 1]), _vector(axes[:, 2]))


def _vector(array: NDArray[np.float64]) -> Vector:
    return float(array[0]), float(array[1]), float(array[2])


def _rotation_y(degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _rotation_z(degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
