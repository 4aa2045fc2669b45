"""The loops between beamlets and images, on plain arrays, compiled by numba and cached on disk. float32 throughout.

beamlets  weights of all rasters in a row
rasters   one row per beam: first element in ``beamlets``, rows and columns of its raster, pixels per beamlet, row and
          column in the image of raster element [0, 0], table of profiles
narrow,   the two levels of profiles: (values [table, profile, phase, pixel], mix [table, component, profile], reach
broad     [table, profile]); broad ones live on pixels as many times larger as they have phases
places    one row per beam: first element in ``images``, rows and columns of the beam's image
images    three cubic B-spline coefficients per pixel

Flat offsets are unsigned, so that numba does not look for negative indices and inner loops become vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

_COARSE_BORDER = 2


@njit(parallel=True, nogil=True, cache=True)
def spread(beamlets, rasters, narrow, broad, places, images):
    """Images of all beams: raster ⊗ profile along x, then along y, summed over the profiles of both levels."""
    for b in prange(rasters.shape[0]):
        _spread_beam(beamlets, rasters[b], narrow, broad, places[b], images)


@njit(parallel=True, nogil=True, cache=True)
def collect(images, places, rasters, is_open, narrow, broad, beamlets):
    """The exact adjoint of `spread` for the beamlets that exist."""
    for b in prange(rasters.shape[0]):
        _collect_beam(images, places[b], rasters[b], is_open, narrow, broad, beamlets)


@njit(nogil=True, cache=True)
def _spread_beam(beamlets, raster, narrow, broad, place, images):
    first, height, width = place
    zoom, rows, columns = _coarse_size(broad, height, width)
    coarse = np.zeros(3 * rows * columns, np.float32)
    border = _COARSE_BORDER * zoom
    _sum_profiles(beamlets, raster, broad, zoom, (border, border), rows, columns, coarse)
    _refine(coarse, rows, columns, zoom, height, width, first, images)
    top, bottom, low, high = _box(raster, narrow, height, width)
    tall, wide = bottom - top, high - low
    fine = np.zeros(3 * tall * wide, np.float32)
    _sum_profiles(beamlets, raster, narrow, 1, (-top, -low), tall, wide, fine)
    for y in range(tall):
        for x in range(wide):
            for c in range(3):
                pixel = np.uint64(first + 3 * ((top + y) * width + low + x) + c)
                images[pixel] += fine[np.uint64((c * tall + y) * wide + x)]


@njit(nogil=True, cache=True)
def _collect_beam(images, place, raster, is_open, narrow, broad, beamlets):
    first, height, width = place
    zoom, rows, columns = _coarse_size(broad, height, width)
    top, bottom, low, high = _box(raster, narrow, height, width)
    tall, wide = bottom - top, high - low
    fine = np.empty(3 * tall * wide, np.float32)
    for y in range(tall):
        for x in range(wide):
            for c in range(3):
                pixel = np.uint64(first + 3 * ((top + y) * width + low + x) + c)
                fine[np.uint64((c * tall + y) * wide + x)] = images[pixel]
    _project_profiles(fine, raster, is_open, narrow, 1, (-top, -low), tall, wide, beamlets)
    coarse = np.zeros(3 * rows * columns, np.float32)
    _coarsen(images, first, height, width, zoom, rows, columns, coarse)
    border = _COARSE_BORDER * zoom
    _project_profiles(coarse, raster, is_open, broad, zoom, (border, border), rows, columns, beamlets)


@njit(nogil=True, cache=True, fastmath=True)
def _sum_profiles(beamlets, raster, level, zoom, shift, height, width, planes):
    """Add one level's profiles to its three planes; ``shift`` is their fine pixel that is the image's first."""
    start, rows, columns, stride, row_0, column_0, table = raster
    values, mix, reach = level
    length = values.shape[3]
    profile = values[table].ravel()
    lines = np.empty(rows * width, np.float32)
    line = np.empty(width, np.float32)
    for j in range(reach.shape[1]):
        n = reach[table, j]
        if n < 0:
            continue
        low, high = _covered(column_0 + shift[1], n, stride, columns, zoom, width)
        top, bottom = _covered(row_0 + shift[0], n, stride, rows, zoom, height)
        for row in range(rows):
            lines[row * width + low : row * width + high] = 0.0
            for column in range(columns):
                weight = beamlets[start + row * columns + column]
                if weight != 0.0:
                    at, centre = _centred(column_0 + shift[1] + stride * column, zoom, j, length)
                    a, z = max(low, at - n), min(high, at + n + 1)
                    _add(weight, profile, centre + a - at, lines, row * width + a, z - a)
        for y in range(top, bottom):
            line[low:high] = 0.0
            for row in range(rows):
                at, centre = _centred(row_0 + shift[0] + stride * row, zoom, j, length)
                if abs(y - at) <= n:
                    _add(profile[centre + y - at], lines, row * width + low, line, low, high - low)
            for c in range(3):
                if mix[table, c, j] != 0.0:
                    _add(mix[table, c, j], line, low, planes, (c * height + y) * width + low, high - low)


@njit(nogil=True, cache=True, fastmath=True)
def _project_profiles(planes, raster, is_open, level, zoom, shift, height, width, beamlets):
    """The exact adjoint of `_sum_profiles`, adding into the beamlets that exist."""
    start, rows, columns, stride, row_0, column_0, table = raster
    values, mix, reach = level
    length = values.shape[3]
    profile = values[table].ravel()
    lines = np.empty(rows * width, np.float32)
    line = np.empty(width, np.float32)
    for j in range(reach.shape[1]):
        n = reach[table, j]
        if n < 0:
            continue
        low, high = _covered(column_0 + shift[1], n, stride, columns, zoom, width)
        top, bottom = _covered(row_0 + shift[0], n, stride, rows, zoom, height)
        lines[:] = 0.0
        for y in range(top, bottom):
            line[low:high] = 0.0
            for c in range(3):
                if mix[table, c, j] != 0.0:
                    _add(mix[table, c, j], planes, (c * height + y) * width + low, line, low, high - low)
            for row in range(rows):
                at, centre = _centred(row_0 + shift[0] + stride * row, zoom, j, length)
                if abs(y - at) <= n:
                    _add(profile[centre + y - at], line, low, lines, row * width + low, high - low)
        for row in range(rows):
            for column in range(columns):
                if is_open[start + row * columns + column]:
                    at, centre = _centred(column_0 + shift[1] + stride * column, zoom, j, length)
                    a, z = max(low, at - n), min(high, at + n + 1)
                    beamlets[start + row * columns + column] += _dot(
                        profile, centre + a - at, lines, row * width + a, z - a
                    )


@njit(nogil=True, cache=True, fastmath=True)
def _refine(coarse, rows, columns, zoom, height, width, first, images):
    """The same splines on pixels ``zoom`` times smaller, written over one beam's image."""
    mask = _two_scale(zoom)
    half = 2 * (zoom - 1)
    wide = np.zeros(rows * width * 3, np.float32)
    for row in range(rows):
        for c in range(3):
            for phase in range(zoom):
                count = (width - phase + zoom - 1) // zoom
                for k in range(-((half - phase) // zoom), (phase + half) // zoom + 1):
                    weight = mask[phase - zoom * k + half]
                    source = np.uint64((c * rows + row) * columns + k + _COARSE_BORDER)
                    target = np.uint64((row * width + phase) * 3 + c)
                    for n in range(count):
                        wide[target + np.uint64(3 * zoom * n)] += weight * coarse[source + np.uint64(n)]
    for y in range(height):
        images[first + y * width * 3 : first + (y + 1) * width * 3] = 0.0
        low, high = -((half - y) // zoom), (y + half) // zoom
        for k in range(low, high + 1):
            source = (k + _COARSE_BORDER) * width * 3
            _add(mask[y - zoom * k + half], wide, source, images, first + y * width * 3, width * 3)


@njit(nogil=True, cache=True, fastmath=True)
def _coarsen(images, first, height, width, zoom, rows, columns, coarse):
    """The exact adjoint of `_refine`."""
    mask = _two_scale(zoom)
    half = 2 * (zoom - 1)
    wide = np.zeros(rows * width * 3, np.float32)
    for y in range(height):
        low, high = -((half - y) // zoom), (y + half) // zoom
        for k in range(low, high + 1):
            target = (k + _COARSE_BORDER) * width * 3
            _add(mask[y - zoom * k + half], images, first + y * width * 3, wide, target, width * 3)
    for row in range(rows):
        for c in range(3):
            for phase in range(zoom):
                count = (width - phase + zoom - 1) // zoom
                for k in range(-((half - phase) // zoom), (phase + half) // zoom + 1):
                    weight = mask[phase - zoom * k + half]
                    target = np.uint64((c * rows + row) * columns + k + _COARSE_BORDER)
                    source = np.uint64((row * width + phase) * 3 + c)
                    for n in range(count):
                        coarse[target + np.uint64(n)] += weight * wide[source + np.uint64(3 * zoom * n)]


@njit(nogil=True, cache=True)
def _two_scale(zoom):
    """A cubic B-spline as a sum of narrower ones: (1 + z + … + z^(zoom−1))⁴ / zoom³."""
    mask = np.ones(1, np.float32)
    for _ in range(4):
        longer = np.zeros(len(mask) + zoom - 1, np.float32)
        for n in range(len(mask)):
            longer[n : n + zoom] += mask[n]
        mask = longer
    return mask / np.float32(zoom**3)


@njit(nogil=True, cache=True)
def _coarse_size(broad, height, width):
    """Fine pixels per coarse one, and rows and columns of the coarse image."""
    zoom = broad[0].shape[2]
    border = 2 * _COARSE_BORDER + 1
    return zoom, (height + zoom - 2) // zoom + border, (width + zoom - 2) // zoom + border


@njit(nogil=True, cache=True, inline="always")
def _centred(at, zoom, j, length):
    """Coarse pixel of fine pixel ``at``, and where in the table the profile's value at that coarse pixel stands."""
    coarse = at // zoom
    return coarse, (j * zoom + at - coarse * zoom) * length + length // 2


@njit(nogil=True, cache=True)
def _box(raster, narrow, height, width):
    """Pixels (rows from, to, columns from, to) that the widest narrow profile reaches."""
    _, rows, columns, stride, row_0, column_0, table = raster
    n = max(narrow[2][table].max(), 0) if narrow[2].shape[1] else 0
    top, bottom = _covered(row_0, n, stride, rows, 1, height)
    low, high = _covered(column_0, n, stride, columns, 1, width)
    return top, bottom, low, high


@njit(nogil=True, cache=True, inline="always")
def _covered(first, reach, stride, count, zoom, size):
    """Pixels from the first to before the last that ``count`` beamlets reach."""
    return max(0, first // zoom - reach), min(size, (first + stride * (count - 1)) // zoom + reach + 1)


@njit(nogil=True, cache=True, inline="always", fastmath=True)
def _add(factor, source, first, result, at, count):
    for k in range(count):
        result[np.uint64(at + k)] += factor * source[np.uint64(first + k)]


@njit(nogil=True, cache=True, inline="always", fastmath=True)
def _dot(a, first_a, b, first_b, count):
    total = np.float32(0.0)
    for k in range(count):
        total += a[np.uint64(first_a + k)] * b[np.uint64(first_b + k)]
    return total
