"""Beamlets: the small squares of fluence each field is made of.

A field's beamlets lie on a square raster in the isocentre plane, along the axes of its collimator; those that see a
target (with a margin for the penumbra) are free, the rest do not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from sim_tps.errors import BadInput
from sim_tps.geometry import BeamFrame, beam_frame
from sim_tps.machine import Machine
from sim_tps.plan import Beam

MARGIN_MM = 5.0
"""How far beamlets reach beyond the target's projection: about the 20-50 % width of a 6 MV penumbra."""

_CELLS_PER_BEAMLET = 5


@dataclass(frozen=True, eq=False)
class Field:
    """One static field: where it looks from, and its beamlets."""

    id: str
    frame: BeamFrame
    beamlet_mm: float
    first_centre_mm: tuple[float, float]
    """Isocentre-plane position (x, y) of raster element [0, 0]."""
    is_open: NDArray[np.bool_]
    """Raster [y, x]: which beamlets exist."""

    @property
    def beamlet_count(self) -> int:
        return int(self.is_open.sum())


def field_for_target(beam: Beam, machine: Machine, beamlet_mm: float, target_points_mm: NDArray[np.floating]) -> Field:
    """The field of a beam with beamlets over everything of the targets it sees, as far as the head opens.

    Parameters
    ----------
    target_points_mm
        Shape (points, 3): the targets' voxel centres, dense enough that gaps are smaller than the margin.
    """
    frame = beam_frame(beam.isocentre_mm, beam.gantry_deg, beam.collimator_deg, beam.couch_deg, machine.sad_mm)
    u, v = project(frame, machine.sad_mm, target_points_mm)
    _check_size(beam, machine, u, v)
    reach = np.array([np.abs(u).max(), np.abs(v).max()]) + MARGIN_MM
    half = np.ceil(reach / beamlet_mm).astype(int)
    cell = beamlet_mm / _CELLS_PER_BEAMLET
    columns, rows = 2 * half * _CELLS_PER_BEAMLET
    seen = np.zeros((rows, columns), bool)
    seen[
        np.floor((v + half[1] * beamlet_mm) / cell).astype(int), np.floor((u + half[0] * beamlet_mm) / cell).astype(int)
    ] = True
    covered = distance_transform_edt(~seen, sampling=cell) <= MARGIN_MM
    blocks = covered.reshape(rows // _CELLS_PER_BEAMLET, _CELLS_PER_BEAMLET, -1, _CELLS_PER_BEAMLET)
    first = ((0.5 - half[0]) * beamlet_mm, (0.5 - half[1]) * beamlet_mm)
    is_open = blocks.any(axis=(1, 3)) & _inside_head(machine, beamlet_mm, half)
    return _cropped(Field(beam.id, frame, beamlet_mm, first, is_open))


def open_field(
    frame: BeamFrame, beamlet_mm: float, first_centre_mm: tuple[float, float], shape: tuple[int, int]
) -> Field:
    """A rectangular field in which every beamlet exists."""
    return Field("open", frame, beamlet_mm, first_centre_mm, np.ones(shape, bool))


def project(
    frame: BeamFrame, sad_mm: float, points_mm: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions of points on the isocentre plane, seen from the source; every point must lie beyond the source."""
    relative = np.asarray(points_mm, np.float64) - np.asarray(frame.source_mm)
    along = -(relative @ np.asarray(frame.z_axis))
    if along.min() <= 0.0:
        raise BadInput("a point lies behind the beam's source; is the isocentre inside the patient?")
    scale = sad_mm / along
    return relative @ np.asarray(frame.x_axis) * scale, relative @ np.asarray(frame.y_axis) * scale


def beamlet_count(fields: Sequence[Field]) -> int:
    return sum(field.beamlet_count for field in fields)


def _check_size(beam: Beam, machine: Machine, u: NDArray[np.float64], v: NDArray[np.float64]) -> None:
    half_x, half_y = (side / 2 for side in machine.head.max_field_mm)
    if u.min() > half_x or u.max() < -half_x or v.min() > half_y or v.max() < -half_y:
        raise BadInput(
            f"beam {beam.id!r} misses the targets: seen from gantry {beam.gantry_deg:g} they lie at x {u.min():.0f} to "
            f"{u.max():.0f} mm, y {v.min():.0f} to {v.max():.0f} mm, outside the machine's field. Move the isocentre."
        )
    if max(-u.min(), u.max()) > half_x or max(-v.min(), v.max()) > half_y:
        raise BadInput(
            f"beam {beam.id!r} cannot cover the targets: they reach x {u.min():.0f} to {u.max():.0f} mm, y "
            f"{v.min():.0f} to {v.max():.0f} mm from the isocentre; {machine.id!r} opens {2 * half_x:.0f} × "
            f"{2 * half_y:.0f} mm. Centre the isocentre or take a machine with a larger field."
        )


def _inside_head(machine: Machine, beamlet_mm: float, half: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which beamlets of a raster of ``half`` to each side of the axis the head can open in full, [y, x]."""
    along_x, along_y = (
        np.abs(np.arange(2 * count) + 0.5 - count) * beamlet_mm + beamlet_mm / 2 <= side / 2 + 1e-6
        for count, side in zip(half, machine.head.max_field_mm, strict=True)
    )
    return along_y[:, None] & along_x


def _cropped(field: Field) -> Field:
    rows, columns = np.flatnonzero(field.is_open.any(1)), np.flatnonzero(field.is_open.any(0))
    x, y = field.first_centre_mm
    first = (x + columns[0] * field.beamlet_mm, y + rows[0] * field.beamlet_mm)
    is_open = field.is_open[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Field(field.id, field.frame, field.beamlet_mm, first, is_open)
