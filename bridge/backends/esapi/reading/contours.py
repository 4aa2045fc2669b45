"""Closed contours on the planes of an image -> how much of each voxel they enclose.

The one idea: ESAPI has no masks, but it gives a structure's outlines on every plane of the image. Thin lines are laid
through each row of voxels (`LINES`). Where outlines cross such a line is known exactly, and from the left edge on each
crossing turns inside into outside and back (even-odd): an inner ring is a hole, parts lie side by side, and the two
banks of a keyhole's channel undo each other. So lengths along the lines are exact and only their number is a sample.

The outlines are given for every plane, so each plane stands for its own slice and nothing is interpolated between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge import errors, model
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reading.grids import Lattice, Origin, lattice, origin_from

LINES = 30
"""Lines through each row of voxels. Outlines like to have corners at halves, thirds or fifths of a voxel, and with a
number that these divide such a corner lies midway between two lines, where it costs no area."""
ROUNDING = 1e-6
MOST_DIFFERENCE, SMALL_CC = 0.2, 0.5
"""A mask whose volume differs from the TPS's by more than this part and by more than this many cc is not given out."""

Ring = NDArray[np.float64]
"""Corners of one closed outline, (n, 3) in mm; the last is joined to the first."""


def mask(chart: Chart, structure_name: str) -> model.Volume:
    """The part 0..1 of each voxel of the planning image inside a structure."""
    structure = chart.structure(structure_name)
    what = f"structure {structure_name!r}"
    with translated(f"give the contours of {what}"):
        voxels = lattice(access.get(chart.structure_set, "Image"), "the planning image")
        rings = dict(planes(structure, voxels))
        origin = _origin(rings, voxels, what) if rings else image_origin(chart, voxels)
        values = occupancy(rings, voxels, origin)
        _require_volume(values, voxels, float(access.get(structure, "Volume")), what)
    return model.Volume(voxels.grid(origin), voxels.turned(values))


def planes(structure: Any, voxels: Lattice) -> Iterator[tuple[int, list[Ring]]]:
    """The planes of the image that hold outlines of a structure, by ESAPI's own index."""
    for plane in range(voxels.size[2]):
        rings = _rings(structure, plane)
        if rings:
            yield plane, rings


def corners(chart: Chart, structure: Any) -> NDArray[np.float64]:
    """Every corner of a structure's contours on the planning image, (n, 3) in mm."""
    voxels = lattice(access.get(chart.structure_set, "Image"), "the planning image")
    return np.concatenate([np.empty((0, 3)), *(ring for _, rings in planes(structure, voxels) for ring in rings)])


def image_origin(chart: Chart, voxels: Lattice) -> Origin:
    """What the TPS means by the image's origin, from where it puts the contours of some structure along z."""
    for structure in access.items(chart.structure_set, "Structures"):
        if access.get(structure, "IsEmpty"):
            continue
        middle = voxels.place_of(access.xyz(access.get(structure, "CenterPoint")))[2]
        near = sorted(range(voxels.size[2]), key=lambda plane: abs(plane - middle))
        for plane in near[:_NEAR]:
            rings = _rings(structure, plane)
            if rings:
                return _origin({plane: rings}, voxels, "the planning image")
    raise errors.TpsRefused(
        "the planning image: no structure has a contour to tell where its voxels lie; contour the External first."
    )


_NEAR = 7
"""How many planes around a structure's centre are looked at for a contour."""


def occupancy(planes: Mapping[int, Sequence[Ring]], voxels: Lattice, origin: Origin) -> NDArray[np.float32]:
    """Occupancy [z, y, x], in ESAPI's own voxel order, of rings by plane."""
    nx, ny, nz = voxels.size
    values = np.zeros((nz, ny, nx), np.float32)
    start, spacing = np.array(voxels.origin_mm[:2]), np.array(voxels.spacing_mm[:2]) * voxels.signs[:2]
    for plane, rings in planes.items():
        if not 0 <= plane < nz:
            raise errors.TpsRefused(f"contours on plane {plane}, expected 0 to {nz - 1}, the planes of the image.")
        in_voxels = [(ring[:, :2] - start) / spacing + 0.5 - origin.value for ring in rings]
        values[plane] = enclosed(in_voxels, nx, ny)
    return values


def enclosed(rings: Sequence[NDArray[np.float64]], nx: int, ny: int) -> NDArray[np.float32]:
    """Part of each of nx by ny unit squares [y, x] inside rings ((n, 2): x, y from the first square's corner)."""
    line, crossing = _crossings(rings, ny)
    order = np.lexsort((crossing, line))
    line, crossing = line[order], np.clip(crossing[order], 0.0, nx)
    turn = np.where(np.arange(line.size) % 2 == 0, 1.0 / LINES, -1.0 / LINES)
    square = np.minimum(crossing.astype(np.intp), nx - 1)
    # A crossing changes all that is right of it: a part of its own square, the whole of those beyond.
    here = line // LINES * (nx + 1) + square
    own = turn * (square + 1 - crossing)
    change = np.bincount(here, own, ny * (nx + 1)) + np.bincount(here + 1, turn - own, ny * (nx + 1))
    part = np.cumsum(change.reshape(ny, nx + 1), axis=1)[:, :nx]
    part[part < ROUNDING] = 0.0
    part[part > 1.0 - ROUNDING] = 1.0
    return part.astype(np.float32)


def _crossings(rings: Sequence[NDArray[np.float64]], ny: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which lines the rings' edges cross, and at which x. Line k runs at y = (k + 1/2) / LINES."""
    tail = np.concatenate([np.zeros((0, 2)), *rings])
    head = np.concatenate([np.zeros((0, 2)), *(np.roll(ring, -1, axis=0) for ring in rings)])
    # An edge owns the lines from its lower end up to, but not including, its upper end, so that a corner on a line
    # is counted once where the outline passes through and twice or not at all where it turns back.
    begin = np.ceil(np.minimum(tail[:, 1], head[:, 1]) * LINES - 0.5)
    end = np.ceil(np.maximum(tail[:, 1], head[:, 1]) * LINES - 0.5)
    begin, end = (np.clip(edge, 0, ny * LINES).astype(np.intp) for edge in (begin, end))
    count = end - begin
    edge = np.repeat(np.arange(count.size), count)
    line = np.arange(edge.size) - np.repeat(np.cumsum(count) - count - begin, count)
    (x0, y0), (x1, y1) = tail[edge].T, head[edge].T
    return line, x0 + (x1 - x0) * ((line + 0.5) / LINES - y0) / (y1 - y0)


def _rings(structure: Any, plane: int) -> list[Ring]:
    """A structure's outlines on one plane; those of fewer than three corners enclose nothing."""
    outlines = structure.GetContoursOnImagePlane(plane)
    rings = [] if outlines is None else [access.points(outline) for outline in outlines]
    if not all(np.isfinite(ring).all() for ring in rings):
        raise errors.TpsRefused(f"a contour on plane {plane} has corners without a place; draw it again in Eclipse.")
    return [ring for ring in rings if len(ring) > 2]


def _origin(rings: Mapping[int, Sequence[Ring]], voxels: Lattice, what: str) -> Origin:
    """What the TPS means by the image's origin: its planes' contours lie at the middle of the slices."""
    offsets = {
        round(float(place - plane), 3)
        for plane, found in rings.items()
        for ring in found
        for place in np.unique((ring[:, 2] - voxels.origin_mm[2]) * voxels.signs[2] / voxels.spacing_mm[2])
    }
    low, high = min(offsets), max(offsets)
    if high - low > 0.02 or min(abs(low - origin.value) for origin in Origin) > 0.02:
        raise errors.TpsRefused(
            f"{what}: its contours lie {low:g} to {high:g} slices from where the image's origin puts their planes, "
            "expected 0 (origin at a voxel's centre) or 0.5 (at its corner); where its voxels lie is not known."
        )
    return origin_from((low, low, low), what)


def _require_volume(values: NDArray[np.float32], voxels: Lattice, volume_cc: float, what: str) -> None:
    """Refuse a mask that cannot be what the TPS means by the structure."""
    mask_cc = float(values.sum(dtype=np.float64)) * float(np.prod(voxels.spacing_mm)) / 1000.0
    if not abs(mask_cc - volume_cc) <= max(MOST_DIFFERENCE * volume_cc, SMALL_CC):
        raise errors.TpsRefused(
            f"{what}: its contours enclose {mask_cc:.2f} cc, but the TPS says {volume_cc:.2f} cc; no mask is made of "
            "them. Look at its contours for parts that overlap or leave the image."
        )
