"""The loops of ray tracing, on plain arrays, compiled by numba and cached on disk. Units: mm, patient axes, float64."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(parallel=True, nogil=True, cache=True)
def trace_depths(density, origin, spacing, sources, points, depths):
    """Length × density from each source to each point, every voxel face crossed exactly (Siddon 1985)."""
    for i in prange(points.shape[0]):
        for b in range(sources.shape[0]):
            depths[b, i] = _trace(density, origin, spacing, points[i], sources[b])


@njit(nogil=True, cache=True)
def first_hit(density, origin, spacing, start, end, threshold):
    """Distance from ``start`` to the first voxel denser than ``threshold`` on the way to ``end``; -1 if none."""
    steps = 4 * (density.shape[0] + density.shape[1] + density.shape[2])
    length = np.sqrt(((end - start) ** 2).sum())
    enter, leave = _clip(density.shape, origin, spacing, start, end)
    for n in range(steps):
        share = enter + (leave - enter) * (n + 0.5) / steps
        point = start + share * (end - start)
        x = int(np.floor((point[0] - origin[0]) / spacing[0] + 0.5))
        y = int(np.floor((point[1] - origin[1]) / spacing[1] + 0.5))
        z = int(np.floor((point[2] - origin[2]) / spacing[2] + 0.5))
        inside = 0 <= z < density.shape[0] and 0 <= y < density.shape[1] and 0 <= x < density.shape[2]
        if inside and density[z, y, x] > threshold:
            return share * length
    return -1.0


@njit(nogil=True, cache=True)
def _clip(shape, origin, spacing, start, end):
    """Shares of the way from ``start`` to ``end`` at which the line enters and leaves the grid's box."""
    enter, leave = 0.0, 1.0
    for axis in range(3):
        low = origin[axis] - 0.5 * spacing[axis]
        high = low + shape[2 - axis] * spacing[axis]
        run = end[axis] - start[axis]
        if abs(run) < 1e-12:
            if start[axis] < low or start[axis] > high:
                return 1.0, 1.0
            continue
        a, b = (low - start[axis]) / run, (high - start[axis]) / run
        enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    return enter, max(enter, leave)


@njit(nogil=True, cache=True)
def _trace(density, origin, spacing, start, end):
    enter, leave = _clip(density.shape, origin, spacing, start, end)
    if leave <= enter:
        return 0.0
    length = np.sqrt((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2 + (end[2] - start[2]) ** 2)
    nz, ny, nx = density.shape
    x, step_x, next_x, delta_x = _first_crossing(start[0], end[0], origin[0], spacing[0], enter, nx)
    y, step_y, next_y, delta_y = _first_crossing(start[1], end[1], origin[1], spacing[1], enter, ny)
    z, step_z, next_z, delta_z = _first_crossing(start[2], end[2], origin[2], spacing[2], enter, nz)
    total, here = 0.0, enter
    while here < leave and 0 <= x < nx and 0 <= y < ny and 0 <= z < nz:
        value = density[z, y, x]
        if next_x <= next_y and next_x <= next_z:
            there = next_x
            next_x += delta_x
            x += step_x
        elif next_y <= next_z:
            there = next_y
            next_y += delta_y
            y += step_y
        else:
            there = next_z
            next_z += delta_z
            z += step_z
        there = min(there, leave)
        total += value * (there - here)
        here = there
    return total * length


@njit(nogil=True, cache=True)
def _first_crossing(start, end, origin, spacing, enter, count):
    """Voxel at the entry, direction, share of the way to the next face, and share between faces."""
    run = end - start
    position = (start + enter * run - origin) / spacing + 0.5
    voxel = min(max(int(np.floor(position)), 0), count - 1)
    if run > 1e-12:
        return voxel, 1, ((voxel + 0.5) * spacing + origin - start) / run, spacing / run
    if run < -1e-12:
        return voxel, -1, ((voxel - 0.5) * spacing + origin - start) / run, -spacing / run
    return voxel, 0, np.inf, np.inf
