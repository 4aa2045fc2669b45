"""The loops between images and points, on plain arrays, compiled by numba and cached on disk.

Units: mm, patient axes (x, y, z); float32. What the arrays hold:

frames    one row per beam: source, x axis, y axis, z axis of the field
places    one row per beam: first element in ``images``, rows and columns of the beam's image
origins   one row per beam: position of the image's first pixel, and pixels per mm
views     how a beam sees a point: column and row in its image, and the three depth terms times (SAD/distance)²

An image's pixels hold three cubic B-spline coefficients each, one per depth term. Flat offsets are unsigned, so that
numba does not look for negative indices and the inner loops become vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

_SIXTH = np.float32(1.0 / 6.0)
_TWO_THIRDS = np.float32(2.0 / 3.0)
_HALF = np.float32(0.5)


@njit(parallel=True, nogil=True, cache=True, fastmath=True)
def view(points, frames, sad, depths, terms, per_term_mm, origins, places, views):
    """Fill ``views``, shape (beams, points, 5); the number of points that a beam sees but its image does not hold."""
    lost = 0
    for i in prange(points.shape[0]):
        for b in range(frames.shape[0]):
            views[b, i, 0] = 1.0
            views[b, i, 1] = 1.0
            views[b, i, 2:] = 0.0
            if depths[b, i] > 0.0:
                u, v, inverse_square = _project(points, i, frames, b, sad)
                x = (u - origins[b, 0]) * origins[b, 2]
                y = (v - origins[b, 1]) * origins[b, 2]
                if x >= 1.0 and y >= 1.0 and x < places[b, 2] - 2 and y < places[b, 1] - 2:
                    t0, t1, t2 = _terms_at(depths[b, i], terms, per_term_mm)
                    views[b, i, 0] = x
                    views[b, i, 1] = y
                    views[b, i, 2] = t0 * inverse_square
                    views[b, i, 3] = t1 * inverse_square
                    views[b, i, 4] = t2 * inverse_square
                else:
                    lost += 1
    return lost


@njit(parallel=True, nogil=True, cache=True)
def gather(views, places, images, block, dose):
    """Dose at points: sum over beams of the three interpolated layers, weighted.

    Each thread goes beam by beam through a block of points, as large as may be: it reads a beam's image once a block.
    """
    count = views.shape[1]
    for n in prange((count + block - 1) // block):
        first, last = n * block, min((n + 1) * block, count)
        for i in range(first, last):
            dose[i] = 0.0
        for b in range(views.shape[0]):
            _gather_beam(views, places, b, first, last, images, dose)


@njit(parallel=True, nogil=True, cache=True)
def scatter(views, places, values, images):
    """The exact adjoint of `gather`, adding into ``images``; each thread owns whole beams, so nothing is raced for."""
    for b in prange(views.shape[0]):
        _scatter_beam(views, places, b, values, images)


@njit(nogil=True, cache=True, fastmath=True)
def _gather_beam(views, places, b, first, last, images, dose):
    row = np.uint64(places[b, 2] * 3)
    for i in range(first, last):
        n0, taps, across = _footprint(views, places, b, i)
        n1, n2, n3 = n0 + row, n0 + row + row, n0 + row + row + row
        y0, y1, y2, y3 = across
        total = np.float32(0.0)
        for k in range(12):
            j = np.uint64(k)
            total += taps[k] * (y0 * images[n0 + j] + y1 * images[n1 + j] + y2 * images[n2 + j] + y3 * images[n3 + j])
        dose[i] += total


@njit(nogil=True, cache=True, fastmath=True)
def _scatter_beam(views, places, b, values, images):
    row = np.uint64(places[b, 2] * 3)
    for i in range(views.shape[1]):
        value = values[i]
        if value == 0.0:
            continue
        n, taps, across = _footprint(views, places, b, i)
        for weight in across:
            share = weight * value
            for k in range(12):
                images[n + np.uint64(k)] += share * taps[k]
            n += row


@njit(nogil=True, cache=True, inline="always", fastmath=True)
def _footprint(views, places, b, i):
    """First pixel of the 4 × 4 round a point, the 12 weights of one row of them, and the weights of the rows."""
    x, y = views[b, i, 0], views[b, i, 1]
    t0, t1, t2 = views[b, i, 2], views[b, i, 3], views[b, i, 4]
    ix, iy = np.int64(x), np.int64(y)
    x0, x1, x2, x3 = _spline(x - np.float32(ix))
    first = np.uint64(places[b, 0] + ((iy - 1) * places[b, 2] + ix - 1) * 3)
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
    return first, taps, _spline(y - np.float32(iy))


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
