"""From CT numbers to relative electron density, inside the External.

Outside the External there is nothing: a couch or an immobilisation shell that the import left out carries no dose and
attenuates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.patient import Patient


@dataclass(frozen=True, eq=False)
class HuTable:
    """Piecewise linear relation between CT numbers and electron density relative to water."""

    hu: NDArray[np.float64]
    relative_density: NDArray[np.float64]
    source: str

    def density(self, hu: NDArray[np.integer]) -> NDArray[np.float32]:
        """Relative electron density; every CT number must lie inside the table."""
        return np.interp(hu, self.hu, self.relative_density).astype(np.float32)


HU_TABLE = HuTable(
    np.array([-1024.0, -999.0, -90.0, -45.0, 0.0, 100.0, 350.0, 3000.0, 3095.0]),
    np.array([0.001, 0.001, 0.95, 0.99, 1.0, 1.095, 1.199, 2.505, 2.505 + 95.0 * (2.505 - 1.199) / 2650.0]),
    "default table of matRad and pyRadPlan (BSD-3-Clause, DKFZ) up to 3000 HU; its last segment continued with the "
    "same slope to 3095 HU, the largest number a 12-bit CT can hold",
)


@dataclass(frozen=True, eq=False)
class DensityMap:
    """Relative electron density in the External's box; zero outside the External."""

    values: NDArray[np.float32]
    """[z, y, x]."""
    grid: Grid
    """The box's voxels: a part of the image grid."""


def density_map(patient: Patient, table: HuTable = HU_TABLE) -> DensityMap:
    """Density of what beams pass through; CT numbers the table does not know are refused, never clipped."""
    external = patient.external
    if external.is_empty:
        raise BadInput(f"patient {patient.id!r}: External {external.name!r} is empty, so there is no body to plan on.")
    inside = external.occupancy >= 0.5
    hu = patient.hu[external.slices]
    _check_range(patient.id, hu[inside], table)
    values = np.where(inside, table.density(np.where(inside, hu, 0)), np.float32(0.0))
    return DensityMap(np.ascontiguousarray(values, np.float32), box_grid(patient.grid, external.slices))


def box_grid(grid: Grid, box: tuple[slice, slice, slice]) -> Grid:
    """The part of a grid that a box of indices [z, y, x] cuts out."""
    z, y, x = box
    origin = [o + s * part.start for o, s, part in zip(grid.origin_mm, grid.spacing_mm, (x, y, z), strict=True)]
    shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
    return Grid((origin[0], origin[1], origin[2]), grid.spacing_mm, shape)


def _check_range(patient_id: str, hu: NDArray[np.integer], table: HuTable) -> None:
    low, high = table.hu[0], table.hu[-1]
    outside = int(np.count_nonzero((hu < low) | (hu > high)))
    if outside:
        raise BadInput(
            f"patient {patient_id!r}: {outside} voxels inside the External have CT numbers outside the density table "
            f"({low:.0f} to {high:.0f} HU); found {int(hu.min())} to {int(hu.max())} HU. Overwrite them in the image "
            f"(metal and padding have no meaningful CT number)."
        )
