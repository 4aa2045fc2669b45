"""The loops everything waits for, on plain arrays, compiled by numba and cached on disk.

Units: mm, patient axes (x, y, z). float32 throughout, except ray tracing (float64). What the arrays hold:

frames    one row per beam: source, x axis, y axis, z axis of the field
places    one row per beam: first element in ``images``, rows and columns of the beam's image
origins   one row per beam: position of the image's first pixel, and pixels per mm
rasters   one row per beam: first element in ``beamlets``, rows and columns of its raster, pixels per beamlet, row and
          column in the image of raster element [0, 0], table of profiles
narrow,   the two levels of profiles: (values [table, profile, phase, pixel], mix [table, component, profile], reach
broad     [table, profile]); broad ones live on pixels as many times larger as they have phases
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
_COARSE_BORDER = 2


@njit(parallel=True, nogil=True, cache=True)
def trace_depths(density, origin, spacing, sources, points, depths):
    """Length × density from each source to each point, every voxel face crossed exactly (Siddon 1985)."""
    for i in prange(points.shape[0]):
        for b in range(sources.shape[0]):
            depths[b, i] = _trace(density, origin, spacing, points[i], sources[b])


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


@njit(nogil=True, cache=True)
def _spread_beam(beamlets, raster, narrow, broad, place, images):
    first, height, width = place
    zoom, rows, columns = _coarse_size(broad, height, width)
    coarse = np.zeros(3 * rows * columns, np.float32)
    _sum_profiles(beamlets, raster, broad, zoom, _COARSE_BORDER * zoom, rows, columns, coarse)
    _refine(coarse, rows, columns, zoom, height, width, first, images)
    fine = np.zeros(3 * height * width, np.float32)
    _sum_profiles(beamlets, raster, narrow, 1, 0, height, width, fine)
    top, bottom, low, high = _box(raster, narrow, 1, 0, height, width)
    for y in range(top, bottom):
        for x in range(low, high):
            for c in range(3):
                images[np.uint64(first + 3 * (y * width + x) + c)] += fine[np.uint64((c * height + y) * width + x)]


@njit(nogil=True, cache=True)
def _collect_beam(images, place, raster, is_open, narrow, broad, beamlets):
    first, height, width = place
    zoom, rows, columns = _coarse_size(broad, height, width)
    fine = np.empty(3 * height * width, np.float32)
    top, bottom, low, high = _box(raster, narrow, 1, 0, height, width)
    for y in range(top, bottom):
        for x in range(low, high):
            for c in range(3):
                fine[np.uint64((c * height + y) * width + x)] = images[np.uint64(first + 3 * (y * width + x) + c)]
    _project_profiles(fine, raster, is_open, narrow, 1, 0, height, width, beamlets)
    coarse = np.zeros(3 * rows * columns, np.float32)
    _coarsen(images, first, height, width, zoom, rows, columns, coarse)
    _project_profiles(coarse, raster, is_open, broad, zoom, _COARSE_BORDER * zoom, rows, columns, beamlets)


@njit(nogil=True, cache=True, fastmath=True)
def _sum_profiles(beamlets, raster, level, zoom, border, height, width, planes):
    """Add one level's profiles to its three planes."""
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
        low, high = _covered(column_0 + border, n, stride, columns, zoom, width)
        top, bottom = _covered(row_0 + border, n, stride, rows, zoom, height)
        for row in range(rows):
            lines[row * width + low : row * width + high] = 0.0
            for column in range(columns):
                weight = beamlets[start + row * columns + column]
                if weight != 0.0:
                    at, centre = _centred(column_0 + border + stride * column, zoom, j, length)
                    a, z = max(low, at - n), min(high, at + n + 1)
                    _add(weight, profile, centre + a - at, lines, row * width + a, z - a)
        for y in range(top, bottom):
            line[low:high] = 0.0
            for row in range(rows):
                at, centre = _centred(row_0 + border + stride * row, zoom, j, length)
                if abs(y - at) <= n:
                    _add(profile[centre + y - at], lines, row * width + low, line, low, high - low)
            for c in range(3):
                if mix[table, c, j] != 0.0:
                    _add(mix[table, c, j], line, low, planes, (c * height + y) * width + low, high - low)


@njit(nogil=True, cache=True, fastmath=True)
def _project_profiles(planes, raster, is_open, level, zoom, border, height, width, beamlets):
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
        low, high = _covered(column_0 + border, n, stride, columns, zoom, width)
        top, bottom = _covered(row_0 + border, n, stride, rows, zoom, height)
        lines[:] = 0.0
        for y in range(top, bottom):
            line[low:high] = 0.0
            for c in range(3):
                if mix[table, c, j] != 0.0:
                    _add(mix[table, c, j], planes, (c * height + y) * width + low, line, low, high - low)
            for row in range(rows):
                at, centre = _centred(row_0 + border + stride * row, zoom, j, length)
                if abs(y - at) <= n:
                    _add(profile[centre + y - at], line, low, lines, row * width + low, high - low)
        for row in range(rows):
            for column in range(columns):
                if is_open[start + row * columns + column]:
                    at, centre = _centred(column_0 + border + stride * column, zoom, j, length)
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
def _box(raster, level, zoom, border, height, width):
    """Pixels (rows from, to, columns from, to) that the widest profile of a level reaches."""
    _, rows, columns, stride, row_0, column_0, table = raster
    n = max(level[2][table].max(), 0) if level[2].shape[1] else 0
    top, bottom = _covered(row_0 + border, n, stride, rows, zoom, height)
    low, high = _covered(column_0 + border, n, stride, columns, zoom, width)
    return top, bottom, low, high


@njit(nogil=True, cache=True, inline="always")
def _covered(first, reach, stride, count, zoom, size):
    """Pixels from the first to before the last that ``count`` beamlets reach."""
    return max(0, first // zoom - reach), min(size, (first + stride * (count - 1)) // zoom + reach + 1)


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
