"""Radiological depth: how much water a ray has gone through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim_tps.dose import _rays
from sim_tps.dose._threads import compute_turn
from sim_tps.dose.density import DensityMap
from sim_tps.geometry import Vector

SURFACE_DENSITY = 0.05
"""Relative density at which a patient begins on the beam's axis; matRad's and pyRadPlan's value for the SSD."""


def radiological_depths(
    density: DensityMap, sources_mm: Sequence[Vector], points_mm: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Water-equivalent depth of points, seen from each source.

    The straight ray from source to point is cut at every voxel face it crosses; length times density is summed, so air
    before the skin counts for what it is (0 outside the External).

    Parameters
    ----------
    density
        Relative electron density, water = 1.
    sources_mm
        Patient coordinates.
    points_mm
        Shape (points, 3), ordered x, y, z, patient coordinates.

    Returns
    -------
    (sources, points) float32 array
        mm of water.

    References
    ----------
    Siddon, Med. Phys. 12 (1985) 252-255, https://doi.org/10.1118/1.595715; faces are visited one after the other as in
    Amanatides and Woo, Eurographics (1987) 3-10.
    """
    depths = np.empty((len(sources_mm), len(points_mm)), np.float32)
    with compute_turn:
        _rays.trace_depths(
            density.values,
            np.array(density.grid.origin_mm),
            np.array(density.grid.spacing_mm),
            np.array(sources_mm, np.float64),
            np.ascontiguousarray(points_mm, np.float64),
            depths,
        )
    return depths


def surface_distance(density: DensityMap, source_mm: Vector, towards_mm: Vector) -> float | None:
    """Distance from the source to the skin along a line through ``towards_mm``; None where the line meets no tissue."""
    source, towards = np.array(source_mm), np.array(towards_mm)
    distance = _rays.first_hit(
        density.values,
        np.array(density.grid.origin_mm),
        np.array(density.grid.spacing_mm),
        source,
        source + 2.0 * (towards - source),
        SURFACE_DENSITY,
    )
    return None if distance < 0 else float(distance)
