"""Mathematical shapes as occupancy, and dose fields that are known exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sim_tps.geometry import Grid, Vector
from sim_tps.patient import Role, Structure

Inside = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def cube_grid(spacing_mm: float, half_mm: float = 30.0, shift: float = 0.0) -> Grid:
    """A cube of voxels around the origin, moved by ``shift`` voxels."""
    count = 2 * int(np.ceil(half_mm / spacing_mm)) + 1
    first = -(count // 2) * spacing_mm + shift * spacing_mm
    return Grid((first,) * 3, (spacing_mm,) * 3, (count,) * 3)


def shape(name: str, inside: Inside, grid: Grid, role: Role = Role.OAR, parts: int = 8) -> Structure:
    """Occupancy of a shape by ``parts``³ points in each voxel."""
    x, y, z = grid.axes_mm
    offsets = (np.arange(parts) + 0.5) / parts - 0.5
    share = np.zeros(grid.shape)
    for dz in offsets * grid.spacing_mm[2]:
        for dy in offsets * grid.spacing_mm[1]:
            for dx in offsets * grid.spacing_mm[0]:
                share += inside((x + dx)[None, None, :], (y + dy)[None, :, None], (z + dz)[:, None, None])
    return Structure.from_array(name, role, (share / parts**3).astype(np.float32), grid)


def ball(
    name: str, radius_mm: float, grid: Grid, centre_mm: Vector = (0.0, 0.0, 0.0), role: Role = Role.OAR
) -> Structure:
    cx, cy, cz = centre_mm
    return shape(name, lambda x, y, z: (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= radius_mm**2, grid, role)


def everything(grid: Grid, name: str = "External") -> Structure:
    """An External that fills the image."""
    return Structure.from_array(name, Role.EXTERNAL, np.ones(grid.shape, np.float32), grid)


def ball_cc(radius_mm: float) -> float:
    return 4.0 / 3.0 * np.pi * radius_mm**3 / 1000.0


def linear_dose(grid: Grid, direction: Vector, centre_gy: float = 16.0, gy_per_mm: float = 1.0) -> NDArray[np.float32]:
    """A dose that rises evenly along a direction, ``centre_gy`` at the origin."""
    x, y, z = grid.axes_mm
    nx, ny, nz = np.array(direction) / np.linalg.norm(direction)
    distance = nx * x[None, None, :] + ny * y[None, :, None] + nz * z[:, None, None]
    return (centre_gy + gy_per_mm * distance).astype(np.float32)


def radial_dose(grid: Grid, of_radius: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float32]:
    """A dose that depends on the distance from the origin only."""
    x, y, z = grid.axes_mm
    radius = np.sqrt(x[None, None, :] ** 2 + y[None, :, None] ** 2 + z[:, None, None] ** 2)
    return of_radius(radius).astype(np.float32)
