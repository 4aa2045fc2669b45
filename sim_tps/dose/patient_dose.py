"""Dose of a plan's fields in its patient, on grids and at points.

What does not depend on the fluence is found once and kept: the density that beams pass through, each field's kernel at
its skin distance, and the depths on the grids that dose is asked for. Long work is done in parts of a fraction of a
second, so that a cancel is heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sim_tps.dose.density import DensityMap
from sim_tps.dose.fields import Field
from sim_tps.dose.kernels import LateralKernel
from sim_tps.dose.lateral import LateralMaps
from sim_tps.dose.operator import DoseOperator, field_depths
from sim_tps.dose.raytrace import surface_distance
from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.machine import Machine
from sim_tps.memory import DEPTHS_KEPT_BYTES
from sim_tps.progress import IsCancelled, Report, heed

_RAYS_PER_PASS = 300_000
"""Points × fields in one part: a fraction of a second."""


class PatientDose:
    """Dose calculation for one set of beams in one patient.

    Parameters
    ----------
    density
        Inside the External; there is no dose outside.
    fields
        One per beam. Their beamlets are those of `maps`; other rasters of the same beams may be given there.
    grids
        Dose is asked for inside the smallest box round these.
    """

    def __init__(self, machine: Machine, density: DensityMap, fields: Sequence[Field], grids: Sequence[Grid]) -> None:
        self._machine, self._density, self._fields = machine, density, fields
        self._corners = _corners(density.grid, *grids)
        self._kernels = [self._kernel(field) for field in fields]
        self._kept_depths: dict[Grid, NDArray[np.float32]] = {}
        self.maps = self.maps_of(fields)

    def maps_of(self, fields: Sequence[Field], image_step_mm: float | None = None) -> LateralMaps:
        """Lateral maps for other rasters of the same beams."""
        return LateralMaps(self._machine, fields, self._kernels, self._corners, image_step_mm=image_step_mm)

    def operator_on(
        self,
        points_mm: NDArray[np.float64],
        inside: NDArray[np.bool_],
        report: Report,
        cancelled: IsCancelled | None,
    ) -> DoseOperator:
        """The operator from the fields' beamlets to points, shape (points, 3); those not ``inside`` get no dose."""
        depths = np.empty((len(self._fields), len(points_mm)), np.float32)
        for part, percent in self._parts(len(points_mm)):
            heed(cancelled, "the set-up of an optimisation")
            depths[:, part] = field_depths(self._density, self._fields, points_mm[part]) * inside[part]
            report("tracing rays", percent, None, None)
        heed(cancelled, "the set-up of an optimisation")
        return DoseOperator(self._machine, self.maps, points_mm, depths)

    def on_grid(
        self,
        fluence: NDArray[np.float64],
        maps: LateralMaps,
        grid: Grid,
        inside: NDArray[np.intp],
        report: Report,
        cancelled: IsCancelled | None,
    ) -> NDArray[np.float32]:
        """Dose in Gy, [z, y, x], in the voxels with the flat indices ``inside``; 0 elsewhere."""
        images = maps.images(fluence)
        kept = self._depths_on(grid, len(inside))
        dose = np.zeros(grid.size, np.float32)
        for part, percent in self._parts(len(inside)):
            heed(cancelled, "dose calculation")
            points = grid.centres_mm(inside[part])
            depths = self._depths(points, part, kept)
            dose[inside[part]] = DoseOperator(self._machine, maps, points, depths).gather(images)
            report("dose", percent, None, None)
        heed(cancelled, "dose calculation")
        if kept is not None:
            self._kept_depths[grid] = kept
        return dose.reshape(grid.shape)

    def _kernel(self, field: Field) -> LateralKernel:
        distance = surface_distance(self._density, field.frame.source_mm, field.frame.isocentre_mm)
        if distance is None:
            raise BadInput(
                f"beam {field.id!r} misses the patient: its axis meets no tissue. Turn it, or move its isocentre."
            )
        return self._machine.kernel_at(distance)

    def _parts(self, count: int) -> Iterator[tuple[slice, float]]:
        """Stretches of points that take a fraction of a second each, and the percent done after them."""
        stride = max(1, _RAYS_PER_PASS // len(self._fields))
        for first in range(0, count, stride):
            last = min(first + stride, count)
            yield slice(first, last), 100.0 * last / count

    def _depths_on(self, grid: Grid, count: int) -> NDArray[np.float32] | None:
        """Room for the grid's depths, filled already where this grid was asked for before; None when too large."""
        if grid in self._kept_depths:
            return self._kept_depths[grid]
        used = sum(depths.nbytes for depths in self._kept_depths.values())
        if used + 4 * count * len(self._fields) > DEPTHS_KEPT_BYTES:
            return None
        return np.full((len(self._fields), count), np.nan, np.float32)

    def _depths(
        self, points_mm: NDArray[np.float64], part: slice, kept: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        if kept is not None and not np.isnan(kept[0, part.start]):
            return np.ascontiguousarray(kept[:, part])
        depths = field_depths(self._density, self._fields, points_mm)
        if kept is not None:
            kept[:, part] = depths
        return depths


def _corners(*grids: Grid) -> NDArray[np.float64]:
    """The eight corners of the smallest box round all grids, shape (8, 3)."""
    lows = np.array([np.array(g.origin_mm) - np.array(g.spacing_mm) / 2 for g in grids]).min(0)
    highs = np.array(
        [np.array(g.origin_mm) + (np.array(g.shape[::-1]) - 0.5) * np.array(g.spacing_mm) for g in grids]
    ).max(0)
    return np.array([(x, y, z) for x in (lows[0], highs[0]) for y in (lows[1], highs[1]) for z in (lows[2], highs[2])])
