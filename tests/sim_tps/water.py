"""A water cube with a ball in it: the smallest patient a plan can be made for."""

from __future__ import annotations

import numpy as np

from sim_tps.geometry import Grid
from sim_tps.patient import Patient, Role, Structure


def ball(name: str, role: Role, grid: Grid, centre_mm: tuple[float, float, float], radius_mm: float) -> Structure:
    """Voxels whose centre lies within ``radius_mm``."""
    x, y, z = grid.axes_mm
    squared = (
        (z[:, None, None] - centre_mm[2]) ** 2
        + (y[None, :, None] - centre_mm[1]) ** 2
        + (x[None, None, :] - centre_mm[0]) ** 2
    )
    return Structure.from_array(name, role, squared <= radius_mm**2, grid)


def water_cube(side_mm: float = 120.0, voxel_mm: float = 4.0, hu: int = 0) -> Patient:
    """Water all through; a 20 mm PTV in the middle, an organ 35 mm to its left, a 0.1 cc speck 30 mm below."""
    count = round(side_mm / voxel_mm)
    first = -0.5 * side_mm + 0.5 * voxel_mm
    grid = Grid((first, first, first), (voxel_mm, voxel_mm, voxel_mm), (count, count, count))
    speck = np.zeros(grid.shape)
    z = int(np.argmin(np.abs(grid.axes_mm[2] + 30.0)))
    speck[z, count // 2, count // 2] = 1.0
    structures = [
        Structure.from_array("External", Role.EXTERNAL, np.ones(grid.shape), grid),
        ball("PTV", Role.TARGET, grid, (0.0, 0.0, 0.0), 20.0),
        ball("Organ", Role.OAR, grid, (38.0, 0.0, 0.0), 12.0),
        Structure.from_array("Speck", Role.OAR, speck, grid),
    ]
    return Patient("water", "cube", grid, np.full(grid.shape, hu, np.int16), {s.name: s for s in structures})
