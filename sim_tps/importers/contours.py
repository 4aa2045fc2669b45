"""Closed contours on slices -> how much of each voxel they enclose.

The one idea: along every sub-line of a pixel row the places where the outlines cross it are known exactly, so the
length inside is too; only the direction across the lines is sampled (`LINES_PER_PIXEL`). A point is inside when a line
to it crosses an odd number of outlines of its plane (even-odd), which makes an inner ring a hole and lets a keyhole
contour, whose two channels coincide, be one as well.

Along z each plane stands for a slab reaching halfway to the structure's usual next plane, at both ends too: a structure
contoured on n planes dz apart is n·dz thick. DICOM does not say how ends are to be read; this is the reading under
which parts on neighbouring planes add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sim_tps.geometry import Grid

LINES_PER_PIXEL = 30
"""Sub-lines in each pixel row. Contours drawn on pixels have corners at halves, thirds or fifths of one: with a number
that these divide, corners fall midway between lines and cost no area."""
ROUNDING = 1e-6

Ring = NDArray[np.float64]
"""Corners of one closed outline, (n, 2), x and y in mm; the last is joined to the first."""


def occupancy(planes: Mapping[float, Sequence[Ring]], grid: Grid) -> tuple[NDArray[np.float32], float]:
    """Occupancy [z, y, x] of the image by contours, and the thickness in mm that each plane stands for.

    Parameters
    ----------
    planes
        z in mm -> the rings on that plane.
    """
    heights = np.array(sorted(planes))
    thickness_mm = float(np.median(np.diff(heights))) if heights.size > 1 else grid.spacing_mm[2]
    whole = np.zeros(grid.shape, np.float32)
    for z_mm in heights:
        area = plane_occupancy(planes[z_mm], grid)
        for index, share in _slab(z_mm, thickness_mm, grid):
            whole[index] += share * area
    return np.minimum(whole, 1.0, out=whole), thickness_mm


def plane_occupancy(rings: Sequence[Ring], grid: Grid) -> NDArray[np.float32]:
    """Share of each pixel [y, x] enclosed by rings on one plane, even-odd."""
    _, ny, nx = grid.shape
    line, crossing = _crossings(rings, grid)
    order = np.lexsort((crossing, line))
    line, crossing = line[order], np.clip(crossing[order], 0.0, nx)
    # Every second crossing enters: from there to the right +1, from where it leaves -1. Stored as differences along x.
    sign = np.where(np.arange(line.size) % 2 == 0, 1.0, -1.0) / LINES_PER_PIXEL
    pixel = np.minimum(crossing.astype(np.intp), nx - 1)
    beyond = crossing - pixel
    start = line // LINES_PER_PIXEL * (nx + 1) + pixel
    steps = np.bincount(start, sign * (1.0 - beyond), minlength=ny * (nx + 1))
    steps += np.bincount(start + 1, sign * beyond, minlength=ny * (nx + 1))
    share = np.cumsum(steps.reshape(ny, nx + 1), axis=1)[:, :nx]
    # Running sums leave a rounding rest along the row, which would be a trace of the structure across the image.
    return np.where(share < ROUNDING, 0.0, np.where(share > 1.0 - ROUNDING, 1.0, share)).astype(np.float32)


def _crossings(rings: Sequence[Ring], grid: Grid) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Where outlines cross the sub-lines: line numbers, and places along them in pixels from the image's left edge."""
    _, ny, _ = grid.shape
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    edge = np.array(grid.origin_mm[:2]) - np.array(grid.spacing_mm[:2]) / 2
    per_mm = np.array([1.0, LINES_PER_PIXEL]) / grid.spacing_mm[:2]
    (x0, y0), (x1, y1) = ((start - edge) * per_mm).T, ((end - edge) * per_mm).T
    # Line k runs at k + 1/2; an edge crosses those from its lower end (included) to its upper end (excluded).
    first = np.ceil(np.minimum(y0, y1) - 0.5).astype(np.intp)
    last = np.ceil(np.maximum(y0, y1) - 0.5).astype(np.intp)
    count = last - first
    which = np.repeat(np.arange(count.size), count)
    line = first[which] + np.arange(which.size) - np.repeat(np.cumsum(count) - count, count)
    along = (line + 0.5 - y0[which]) / (y1 - y0)[which]
    crossing = x0[which] + along * (x1 - x0)[which]
    on_image = (line >= 0) & (line < ny * LINES_PER_PIXEL)
    return line[on_image], crossing[on_image]


def _slab(z_mm: float, thickness_mm: float, grid: Grid) -> list[tuple[int, float]]:
    """The slices that a plane's slab reaches into, and the share of each that it fills."""
    spacing = grid.spacing_mm[2]
    low = (z_mm - thickness_mm / 2 - grid.origin_mm[2]) / spacing + 0.5
    high = low + thickness_mm / spacing
    filled = []
    for index in range(max(0, int(np.floor(low))), min(grid.shape[0], int(np.ceil(high)))):
        share = min(high, index + 1) - max(low, index)
        if share > 1e-6:
            filled.append((index, share))
    return filled
