"""Helper structures made from others: margins, rings and booleans, below the voxel.

The one idea: a margin is a distance, so it is measured in mm from the structure's *surface*, not counted in voxels. The
surface is where the interpolated occupancy crosses the level that encloses the structure's own volume (0.5 for large
ones, lower for a cochlea thinner than a voxel, which so keeps its margin). Whole-voxel distances tell which voxels the
new surface can pass through at all; only for those the exact distance to the old surface is looked up, and turned into
the share of the voxel that lies within the margin.

A structure that ends at the first or last slice is taken to go on beyond it: its end there is the scan's, not its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.patient import Role, Structure

LONGEST_MARGIN_MM = 500.0
SURFACE_POINTS = 6_000_000
"""At most this many points are tried in search of a surface; a larger surface is sampled more coarsely."""
SURFACE_STEP_MM = 0.7
"""Distance wanted between tried points: leaves less than 0.1 mm between the points kept and the surface's own bulge."""

_Reals = NDArray[np.float32]
_Box = tuple[slice, slice, slice]


class Kind(Enum):
    """How a structure is made from its sources."""

    MARGIN = "margin"
    """Union of the sources grown by ``outer_mm`` (negative shrinks)."""
    RING = "ring"
    """Union grown by ``outer_mm`` less union grown by ``inner_mm``."""
    UNION = "union"
    INTERSECTION = "intersection"
    DIFFERENCE = "difference"
    """First source less the union of the others grown by ``outer_mm``."""


def derive(
    name: str,
    kind: Kind | str,
    sources: Sequence[Structure],
    *,
    inner_mm: float = 0.0,
    outer_mm: float = 0.0,
    external: Structure,
) -> Structure:
    """A helper structure from others, kept inside the External; empty sources give an empty structure.

    Raises
    ------
    BadInput
        For an unknown kind, too few sources, sources on different images, or margins that make no sense together.
    """
    kind = _checked(name, kind, sources, inner_mm, outer_mm, external)
    grid = external.image_grid
    reach_mm = max(outer_mm, inner_mm, 0.0)
    box = _box_around(sources[:1] if kind is Kind.DIFFERENCE else sources, reach_mm, grid)
    if kind is Kind.DIFFERENCE:
        first = _cropped(sources[0], box)
        others = _grown_union(sources[1:], outer_mm, grid, box)
        made = first - _overlap(first, others, grid)
    elif kind is Kind.INTERSECTION:
        made = _cropped(sources[0], box)
        for source in sources[1:]:
            made = _overlap(made, _cropped(source, box), grid)
    elif kind is Kind.RING:
        made = np.maximum(
            _grown_union(sources, outer_mm, grid, box) - _grown_union(sources, inner_mm, grid, box), np.float32(0.0)
        )
    else:
        made = _grown_union(sources, outer_mm, grid, box)
    inside = _overlap(made, _cropped(external, box), grid)
    return _structure(name, inside, box, grid)


def _checked(
    name: str, kind: Kind | str, sources: Sequence[Structure], inner_mm: float, outer_mm: float, external: Structure
) -> Kind:
    try:
        kind = Kind(kind)
    except ValueError:
        raise BadInput(
            f"structure {name!r}: unknown derivation {kind!r}, expected one of {[known.value for known in Kind]}."
        ) from None
    least = 2 if kind in (Kind.INTERSECTION, Kind.DIFFERENCE) else 1
    if len(sources) < least:
        raise BadInput(f"structure {name!r}: {kind.value} of {len(sources)} structures, expected at least {least}.")
    for source in sources:
        if source.image_grid != external.image_grid:
            raise BadInput(f"structure {name!r}: source {source.name!r} is drawn on another image than the External.")
    for label, value in (("inner_mm", inner_mm), ("outer_mm", outer_mm)):
        if not abs(value) <= LONGEST_MARGIN_MM:
            raise BadInput(f"structure {name!r}: {label} is {value:g}, expected within ±{LONGEST_MARGIN_MM:g} mm.")
    if inner_mm != 0.0 and kind is not Kind.RING:
        raise BadInput(f"structure {name!r}: inner_mm is {inner_mm:g}, but only a ring has one; leave it out.")
    if outer_mm != 0.0 and kind in (Kind.UNION, Kind.INTERSECTION):
        raise BadInput(f"structure {name!r}: outer_mm is {outer_mm:g}, but a {kind.value} has none; leave it out.")
    if kind is Kind.RING and not inner_mm < outer_mm:
        raise BadInput(f"structure {name!r}: ring from {inner_mm:g} to {outer_mm:g} mm, expected inner below outer.")
    return kind


# ------------------------------------------------------------------------------------------ boxes


def _box_around(sources: Sequence[Structure], reach_mm: float, grid: Grid) -> _Box:
    """The part of the image that the sources, grown by ``reach_mm``, can touch."""
    filled = [source for source in sources if not source.is_empty]
    if not filled:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    spans = []
    for axis in range(3):
        reach = int(np.ceil(reach_mm / grid.spacing_mm[2 - axis])) + 1 if reach_mm else 0
        low = min(source.slices[axis].start for source in filled) - reach
        high = max(source.slices[axis].stop for source in filled) + reach
        spans.append(slice(max(0, low), min(grid.shape[axis], high)))
    return spans[0], spans[1], spans[2]


def _cropped(structure: Structure, box: _Box) -> _Reals:
    """Occupancy in a part of the image."""
    part = np.zeros([side.stop - side.start for side in box], np.float32)
    here, there = [], []
    for side, own in zip(box, structure.slices, strict=True):
        low, high = max(side.start, own.start), min(side.stop, own.stop)
        if low >= high:
            return part
        here.append(slice(low - side.start, high - side.start))
        there.append(slice(low - own.start, high - own.start))
    part[tuple(here)] = structure.occupancy[tuple(there)]
    return part


def _structure(name: str, occupancy: _Reals, box: _Box, grid: Grid) -> Structure:
    tight = Structure.from_array(name, Role.HELPER, occupancy, Grid(grid.origin_mm, grid.spacing_mm, occupancy.shape))
    z, y, x = (first + side.start for first, side in zip(tight.first_voxel, box, strict=True))
    cut = bool(tight.occupancy.size) and (z == 0 or z + tight.occupancy.shape[0] == grid.shape[0])
    return Structure(name, Role.HELPER, tight.occupancy, (z, y, x), grid, cut)


# ------------------------------------------------------------------------------------------ booleans


def _overlap(a: _Reals, b: _Reals, grid: Grid) -> _Reals:
    """Share of each voxel that lies in both.

    Known exactly where either is 0 or 1. In a voxel that both surfaces cross it depends on how they lie: nested surfaces
    (same direction) share min(a, b), facing ones max(0, a + b - 1), crossing ones a·b; the angle between the
    gradients of occupancy chooses between the three.
    """
    both = a * b
    shared_rim = (a > 0.0) & (a < 1.0) & (b > 0.0) & (b < 1.0)
    if not shared_rim.any():
        return both
    slopes_a, slopes_b = _slopes(a, shared_rim, grid), _slopes(b, shared_rim, grid)
    length = np.linalg.norm(slopes_a, axis=0) * np.linalg.norm(slopes_b, axis=0)
    cosine = (slopes_a * slopes_b).sum(axis=0) / np.maximum(length, 1e-9)
    rim_a, rim_b, crossing = a[shared_rim], b[shared_rim], both[shared_rim]
    nested, facing = np.minimum(rim_a, rim_b), np.maximum(rim_a + rim_b - 1.0, 0.0)
    both[shared_rim] = crossing + np.where(cosine > 0, cosine * (nested - crossing), -cosine * (facing - crossing))
    return both


def _slopes(values: _Reals, where: NDArray[np.bool_], grid: Grid) -> _Reals:
    """Gradient of occupancy per mm at the chosen voxels, (3, n)."""
    padded = np.pad(values, 1, mode="edge")
    z, y, x = (index + 1 for index in np.nonzero(where))
    dx, dy, dz = grid.spacing_mm
    return np.stack(
        [
            (padded[z + 1, y, x] - padded[z - 1, y, x]) / dz,
            (padded[z, y + 1, x] - padded[z, y - 1, x]) / dy,
            (padded[z, y, x + 1] - padded[z, y, x - 1]) / dx,
        ]
    )


def _union(structures: Sequence[Structure], box: _Box, grid: Grid) -> _Reals:
    union = _cropped(structures[0], box)
    for structure in structures[1:]:
        other = _cropped(structure, box)
        union = union + other - _overlap(union, other, grid)
    return union


# ------------------------------------------------------------------------------------------ margins


@dataclass(frozen=True, eq=False)
class _Surface:
    """Where a structure ends: points on its surface in mm from the box's first voxel centre (z, y, x), and its level."""

    points_mm: NDArray[np.float64]
    level: float


def _grown_union(structures: Sequence[Structure], margin_mm: float, grid: Grid, box: _Box) -> _Reals:
    """The union of structures, grown (or shrunk) by a margin, in a part of the image."""
    filled = [structure for structure in structures if not structure.is_empty]
    if not filled:
        return np.zeros([side.stop - side.start for side in box], np.float32)
    if margin_mm == 0.0:
        return _union(filled, box, grid)
    wide = _box_around(filled, max(margin_mm, 0.0), grid)
    wide = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(wide, box, strict=True))
    ends = (wide[0].start == 0, wide[0].stop == grid.shape[0])
    grown = _grown(_union(filled, wide, grid), margin_mm, np.array(grid.spacing_mm[::-1]), ends)
    here = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
    return grown[here]


def _grown(occupancy: _Reals, margin_mm: float, spacing: NDArray[np.float64], ends: tuple[bool, bool]) -> _Reals:
    """Occupancy after a margin; ``ends`` says whether the box's first and last slice are the scan's."""
    surface = _surface(occupancy, spacing, ends)
    outward = margin_mm > 0.0
    core = occupancy >= surface.level
    if not core.any():
        core = occupancy > 0.0
    if not outward:
        core = np.pad(core, ((int(not ends[0]), int(not ends[1])), (1, 1), (1, 1)))
    coarse = ndimage.distance_transform_edt(~core if outward else core, sampling=spacing)
    if not outward:
        coarse = coarse[int(not ends[0]) : coarse.shape[0] - int(not ends[1]), 1:-1, 1:-1]
    # A whole-voxel distance is to a centre on the other side of the surface: off by at most one voxel's diagonal.
    reach, slack = abs(margin_mm), 1.5 * float(np.linalg.norm(spacing))
    grown = ((coarse <= reach) if outward else (coarse > reach)).astype(np.float32)
    near = np.abs(coarse - reach) <= slack
    grown[near] = _share_within(np.stack(np.nonzero(near)), occupancy[near] >= surface.level, surface, margin_mm, spacing)
    return np.maximum(grown, occupancy) if outward else np.minimum(grown, occupancy)


def _share_within(
    voxels: NDArray[np.intp],
    inside: NDArray[np.bool_],
    surface: _Surface,
    margin_mm: float,
    spacing: NDArray[np.float64],
) -> _Reals:
    """Share of each voxel ((3, n)) that lies within ``margin_mm`` of the surface's inside."""
    centres = voxels.T * spacing
    distance, nearest = cKDTree(surface.points_mm).query(centres, workers=2)
    away = centres - surface.points_mm[nearest]
    direction = away / np.maximum(distance, 1e-6)[:, None]
    # A plane at right angles to `direction` sweeps the voxel over about this length (exact along an axis).
    width = np.sqrt((direction**2) @ spacing**2)
    width[distance < 1e-6] = float(spacing.mean())
    depth = margin_mm - np.where(inside, -distance, distance)
    return np.clip(0.5 + depth / width, 0.0, 1.0).astype(np.float32)


def _surface(occupancy: _Reals, spacing: NDArray[np.float64], ends: tuple[bool, bool]) -> _Surface:
    """Points on the surface: a fine lattice in every cell that the surface may cross, moved onto it along the gradient.

    A cell is the box between eight neighbouring voxel centres, in which the occupancy is trilinear.
    """
    padded = np.pad(np.pad(occupancy, ((0, 0), (1, 1), (1, 1))), ((1, 1), (0, 0), (0, 0)))
    if ends[0]:
        padded[0] = padded[1]
    if ends[1]:
        padded[-1] = padded[-2]
    corners = [padded[z : z + s0, y : y + s1, x : x + s2] for z, y, x, s0, s1, s2 in _corner_views(padded.shape)]
    highest, lowest = np.maximum.reduce(corners), np.minimum.reduce(corners)
    crossed = (highest > 0.0) & (lowest < 1.0)
    cells = np.stack(np.nonzero(crossed))
    values = np.stack([corner[crossed] for corner in corners])
    places = _lattice(spacing, cells.shape[1])
    sampled = np.stack([_trilinear(values, place) for place in places])
    level = _level(sampled, float(occupancy.sum(dtype=np.float64)) - _open_ends(occupancy, ends), highest, lowest, ends)
    tries = [_onto_level(values, place, at, level, spacing, len(places)) for place, at in zip(places, sampled, strict=True)]
    points = np.concatenate([(cells[:, kept].T + moved - 1.0) * spacing for kept, moved in tries])
    return _Surface(points, level)
