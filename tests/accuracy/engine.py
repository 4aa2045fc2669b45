"""Our dose at points, at the numerical setting every plan and every speed figure has: the engine's defaults."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim_tps.dose.density import DensityMap
from sim_tps.dose.fields import Field
from sim_tps.dose.kernels import LateralKernel
from sim_tps.dose.lateral import IMAGE_STEP_MM, LateralMaps
from sim_tps.dose.operator import DoseOperator, field_depths
from sim_tps.geometry import Grid
from sim_tps.machine import Machine

SETTING = f"lateral maps in float32 on pixels of at most {IMAGE_STEP_MM:.3g} mm, interpolated by cubic splines"
"""What the page says about the numerics."""


def dose_at(
    machine: Machine,
    fields: Sequence[Field],
    kernels: Sequence[LateralKernel],
    density: DensityMap,
    points_mm: NDArray[np.float64],
    weights: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Dose in Gy at points, shape (points,); ``kernels`` is one per field, ``weights`` one number per beamlet."""
    maps = LateralMaps(machine, fields, kernels, _corners(density.grid))
    return DoseOperator(machine, maps, points_mm, field_depths(density, fields, points_mm)).forward(weights)


def _corners(grid: Grid) -> NDArray[np.float64]:
    """The eight corners of a grid's box, shape (8, 3); voxel edges."""
    half = np.array(grid.spacing_mm) / 2
    low = np.array([axis[0] for axis in grid.axes_mm]) - half
    high = np.array([axis[-1] for axis in grid.axes_mm]) + half
    return np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
