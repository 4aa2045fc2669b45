"""The three loops everything waits for, on plain arrays, compiled by numba and cached on disk.

Units: mm, patient axes (x, y, z). float32 throughout, except ray tracing (float64). ``frames`` has one row per beam:
source, x axis, y axis, z axis of the field. ``places`` has, per beam and layer, the first element in ``images``, the
rows and the columns of that layer; ``origins`` the position of its first pixel and pixels per mm. A layer's pixels hold
three cubic B-spline coefficients each, one per depth term. ``terms`` tabulates the depth terms over depth.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

_SIXTH = np.float32(1.0 / 6.0)
_TWO_THIRDS = np.float32(2.0 / 3.0)
_HALF = np.float32(0.5)
_BLOCK = 1024


@njit(parallel=True, nogil=True, cache=True)
def trace_depths(density, origin, spacing, sources, points, depths):
    """Length × density from each source to each point, every voxel face crossed exactly (Siddon 1985)."""
    for i in prange(points.shape[0]):
        for b in range(sources.shape[0]):
            depths[b, i] = _trace(density, origin, spacing, points[i], sources[b])


@njit(parallel=True, nogil=True, cache=True, fastmath=True)
def gather(points, frames, sad, depths, terms, per_term_mm, origins, places, images, dose):
    """Dose at points: sum over beams of (SAD/distance)² × depth terms × interpolated layers.

    Beam by beam within a block of points, so that one beam's images stay in the cache.
    """
    count = points.shape[0]
    for block in prange((count + _BLOCK - 1) // _BLOCK):
        first = block * _BLOCK
        last = min(first + _BLOCK, count)
        for i in range(first, last):
            dose[i] = 0.0
        for b in range(frames.shape[0]):
            for i in range(first, last):
                depth = depths[b, i]
                if depth <= 0.0:
                    continue
                u, v, inverse_square = _project(points, i, frames, b, sad)
                t0, t1, t2 = _terms_at(depth, terms, per_term_mm)
                beam = np.float32(0.0)
                for layer in range(places.shape[1]):
                    beam += _read(u, v, t0, t1, t2, origins, places, b, layer, images)
                dose[i] += beam * inverse_square


@njit(parallel=True, nogil=True, cache=True, fastmath=True)
def scatter(points, frames, sad, depths, terms, per_term_mm, origins, places, values, images):
    """The exact adjoint of `gather`, adding into ``images``; each thread owns whole beams, so nothing is raced for."""
    for b in prange(frames.shape[0]):
        for i in range(points.shape[0]):
            value = values[i]
            depth = depths[b, i]
            if value == 0.0 or depth <= 0.0:
                continue
            u, v, inverse_square = _project(points, i, frames, b, sad)
            t0, t1, t2 = _terms_at(depth, terms, per_term_mm)
            value *= inverse_square
            for layer in range(places.shape[1]):
                _add(u, v, t0 * value, t1 * value, t2 * value, origins, places, b, layer, images)


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


@njit(nogil=True, cache=True, inline="always")
def _project(points, i, frames, b, sad):
    """Position on the isocentre plane, and (SAD/distance)²."""
    dx = points[i, 0] - frames[b, 0]
    dy = points[i, 1] - frames[b, 1]
    dz = points[i, 2] - frames[b, 2]
    along = -(dx * frames[b, 9] + dy * frames[b, 10] + dz * frames[b, 11])
    scale = sad / along
    u = (dx * frames[b, 3] + dy * frames[b, 4] + dz * frames[b, 5]) * scale
    v = (dx * frames[b, 6] + dy * frames[b, 7] + dz * frames[b, 8]) * scale
    return u, v, sad * sad / (dx * dx + dy * dy + dz * dz)


@njit(nogil=True, cache=True, inline="always")
def _terms_at(depth, terms, per_term_mm):
    position = depth * per_term_mm
    n = np.int64(position)
    f = position - np.float32(n)
    e = np.float32(1.0) - f
    return (
        e * terms[n, 0] + f * terms[n + 1, 0],
        e * terms[n, 1] + f * terms[n + 1, 1],
        e * terms[n, 2] + f * terms[n + 1, 2],
    )


@njit(nogil=True, cache=True, inline="always")
def _spline(f):
    """Weights of the four cubic B-splines round a point ``f`` of a pixel past the second."""
    e = np.float32(1.0) - f
    return (
        e * e * e * _SIXTH,
        _TWO_THIRDS - f * f * (np.float32(1.0) - _HALF * f),
        _TWO_THIRDS - e * e * (np.float32(1.0) - _HALF * e),
        f * f * f * _SIXTH,
    )


@njit(nogil=True, cache=True, inline="always", fastmath=True)
def _read(u, v, t0, t1, t2, origins, places, b, layer, images):
    x = (u - origins[b, layer, 0]) * origins[b, layer, 2]
    y = (v - origins[b, layer, 1]) * origins[b, layer, 2]
    rows, columns = places[b, layer, 1], places[b, layer, 2]
    total = np.float32(0.0)
    if x >= 1.0 and y >= 1.0 and x < columns - 2 and y < rows - 2:
        ix, iy = np.int64(x), np.int64(y)
        x0, x1, x2, x3 = _spline(x - np.float32(ix))
        y0, y1, y2, y3 = _spline(y - np.float32(iy))
        # Unsigned, so that numba does not look for negative indices.
        row = np.uint64(columns * 3)
        n0 = np.uint64(places[b, layer, 0] + ((iy - 1) * columns + ix - 1) * 3)
        n1, n2, n3 = n0 + row, n0 + row + row, n0 + row + row + row
        taps = (
            x0 * t0,
            x0 * t1,
            x0 * t2,
            x1 * t0,
            x1 * t1,
            x1 * t2,
            x2 * t0,
            x2 * t1,
            x2 * t2,
            x3 * t0,
            x3 * t1,
            x3 * t2,
        )
        for k in range(12):
            j = np.uint64(k)
            total += taps[k] * (y0 * images[n0 + j] + y1 * images[n1 + j] + y2 * images[n2 + j] + y3 * images[n3 + j])
    return total


@njit(nogil=True, cache=True, inline="always", fastmath=True)
def _add(u, v, t0, t1, t2, origins, places, b, layer, images):
    x = (u - origins[b, layer, 0]) * origins[b, layer, 2]
    y = (v - origins[b, layer, 1]) * origins[b, layer, 2]
    rows, columns = places[b, layer, 1], places[b, layer, 2]
    if x >= 1.0 and y >= 1.0 and x < columns - 2 and y < rows - 2:
        ix, iy = np.int64(x), np.int64(y)
        x0, x1, x2, x3 = _spline(x - np.float32(ix))
        row = np.uint64(columns * 3)
        n = np.uint64(places[b, layer, 0] + ((iy - 1) * columns + ix - 1) * 3)
        taps = (
            x0 * t0,
            x0 * t1,
            x0 * t2,
            x1 * t0,
            x1 * t1,
            x1 * t2,
            x2 * t0,
            x2 * t1,
            x2 * t2,
            x3 * t0,
            x3 * t1,
            x3 * t2,
        )
        for weight in _spline(y - np.float32(iy)):
            for k in range(12):
                images[n + np.uint64(k)] += weight * taps[k]
            n += row


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
