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
from functools import cached_property

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
"""Distance wanted between tried points for margins of a few mm. Points s apart leave an error of s²/8d at distance d, so
for a margin of d mm they may be as far apart as `SAG_MM` allows."""
SAG_MM = 0.02
NEWTON_STEPS = 3
FLAT_MM = 0.03
"""A new surface that bends by less than this within a voxel is taken as flat in it; else the voxel is looked at in eight."""

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
        made = first - _overlap(first, _Union(sources[1:], grid, box).grown(outer_mm), grid)
    elif kind is Kind.INTERSECTION:
        made = _cropped(sources[0], box)
        for source in sources[1:]:
            made = _overlap(made, _cropped(source, box), grid)
    else:
        union = _Union(sources, grid, box)
        made = union.grown(outer_mm)
        if kind is Kind.RING:
            made = np.maximum(made - union.grown(inner_mm), np.float32(0.0))
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


# ------------------------------------------------------------------------------------------ margins


@dataclass(frozen=True, eq=False)
class _Surface:
    """Where a structure ends: points on its surface in mm from the box's first voxel centre (z, y, x), and its level."""

    points_mm: NDArray[np.float64]
    level: float


class _Union:
    """Structures taken together in a part of the image, and what they become with a margin."""

    def __init__(self, structures: Sequence[Structure], grid: Grid, box: _Box) -> None:
        """``box`` is where answers are wanted; sources that reach beyond it are measured whole."""
        own = _box_around(structures, 0.0, grid)
        wide = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(own, box, strict=True))
        self._box = wide if own[0].stop > own[0].start else box
        self._wanted = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, self._box, strict=True))
        self._spacing = np.array(grid.spacing_mm[::-1])
        self._open_ends = (self._box[0].start == 0, self._box[0].stop == grid.shape[0])
        self._occupancy = _cropped(structures[0], self._box)
        for structure in structures[1:]:
            other = _cropped(structure, self._box)
            self._occupancy = self._occupancy + other - _overlap(self._occupancy, other, grid)
        self._empty = not self._occupancy.any()

    def grown(self, margin_mm: float) -> _Reals:
        """Occupancy after a margin in mm; negative shrinks."""
        if margin_mm == 0.0 or self._empty:
            return self._occupancy[self._wanted]
        occupancy, spacing = self._occupancy, self._spacing
        reach_mm, diagonal_mm, outward = abs(margin_mm), float(np.linalg.norm(spacing)), margin_mm > 0.0
        step_mm = max(SURFACE_STEP_MM, (8.0 * SAG_MM * reach_mm) ** 0.5)
        surface = _surface(occupancy, spacing, self._open_ends, step_mm)
        coarse = self._distance_out if outward else self._distance_in
        grown = ((coarse <= reach_mm) if outward else (coarse > reach_mm)).astype(np.float32)
        # The coarse distance is to a centre on the other side, so the surface is nearer, by one voxel diagonal at most;
        # and the new surface cuts voxels whose centre is half a diagonal from it.
        near = (coarse > reach_mm - 0.5 * diagonal_mm) & (coarse < reach_mm + 1.5 * diagonal_mm)
        radius_mm = (0.75 / np.pi * float(occupancy.sum(dtype=np.float64)) * spacing.prod()) ** (1.0 / 3.0) + margin_mm
        flat = (spacing**2).mean() / 12.0 < FLAT_MM * radius_mm
        voxels = np.stack(np.nonzero(near))
        grown[near] = _share_within(voxels, occupancy, surface, margin_mm, spacing, 1 if flat else 2)
        grown = np.maximum(grown, occupancy) if outward else np.minimum(grown, occupancy)
        return grown[self._wanted]

    @cached_property
    def _distance_out(self) -> NDArray[np.float64]:
        """From voxel centres to the nearest centre inside, mm."""
        return ndimage.distance_transform_edt(~self._core, sampling=self._spacing)

    @cached_property
    def _distance_in(self) -> NDArray[np.float64]:
        """From voxel centres to the nearest centre outside, mm; the scan's end is no outside."""
        low, high = (int(not end) for end in self._open_ends)
        padded = np.pad(self._core, ((low, high), (1, 1), (1, 1)))
        return ndimage.distance_transform_edt(padded, sampling=self._spacing)[low : len(padded) - high, 1:-1, 1:-1]

    @cached_property
    def _core(self) -> NDArray[np.bool_]:
        core = self._occupancy >= 0.5
        return core if core.any() else self._occupancy > 0.0


def _share_within(
    voxels: NDArray[np.intp],
    occupancy: _Reals,
    surface: _Surface,
    margin_mm: float,
    spacing: NDArray[np.float64],
    parts: int,
) -> _Reals:
    """Share of each voxel ((3, n)) that lies within ``margin_mm`` of the surface's inside."""
    tree = cKDTree(surface.points_mm)
    depth, length = _depth_within(voxels, occupancy, surface, tree, margin_mm, spacing)
    share = np.clip(0.5 + depth / length, 0.0, 1.0).astype(np.float32)
    if parts > 1:
        cut = np.flatnonzero(np.abs(depth) < np.linalg.norm(spacing) / 2)
        share[cut] = 0.0
        for place in _lattice(np.full(3, parts)) - 0.5:
            depth, length = _depth_within(voxels[:, cut] + place[:, None], occupancy, surface, tree, margin_mm, spacing)
            share[cut] += np.clip(0.5 + depth / length * parts, 0.0, 1.0).astype(np.float32) / parts**3
    return share


def _depth_within(
    places: NDArray[np.number],
    occupancy: _Reals,
    surface: _Surface,
    tree: cKDTree,
    margin_mm: float,
    spacing: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How deep (mm) places in the box ((3, n) in voxels) lie inside the grown structure, and how long a voxel is there.

    The length is that of a voxel's sweep by a plane parallel to the surface: exact along an axis, else equal in variance.
    """
    points = places.T * spacing
    distance, nearest = tree.query(points, workers=2)
    direction = (points - surface.points_mm[nearest]) / np.maximum(distance, 1e-6)[:, None]
    length = np.where(distance < 1e-6, spacing.mean(), np.sqrt((direction**2) @ spacing**2))
    inside = ndimage.map_coordinates(occupancy, places, order=1, mode="nearest", output=np.float32) >= surface.level
    return margin_mm + np.where(inside, distance, -distance), length


def _surface(occupancy: _Reals, spacing: NDArray[np.float64], ends: tuple[bool, bool], step_mm: float) -> _Surface:
    """Points on the surface: a fine lattice in every cell that the surface may cross, moved onto it along the gradient.

    A cell is the box between eight neighbouring voxel centres, in which the occupancy is trilinear.
    """
    padded = np.pad(occupancy, 1)
    if ends[0]:
        padded[0] = padded[1]
    if ends[1]:
        padded[-1] = padded[-2]
    corners = [padded[_side(z), _side(y), _side(x)] for z, y, x in _CORNERS]
    crossed = (np.maximum.reduce(corners) > 0.0) & (np.minimum.reduce(corners) < 1.0)
    cells = np.stack(np.nonzero(crossed), axis=1) - 1.0
    values = np.stack([corner[crossed] for corner in corners])
    parts = _parts(spacing, step_mm, len(cells))
    places = _lattice(parts)
    level = _level(values, places)
    near_mm = float(np.linalg.norm(spacing / parts))
    found = []
    for place in places:
        moved, kept = _onto_level(values, place, level, spacing, near_mm)
        found.append((cells[kept] + moved) * spacing)
    return _Surface(np.concatenate(found), level)


_CORNERS = tuple((z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1))


def _lattice(parts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Centres of a box's equal parts in 0..1, (n_parts, 3)."""
    return np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in parts], indexing="ij"), axis=-1).reshape(-1, 3)


def _side(corner: int) -> slice:
    return slice(1, None) if corner else slice(None, -1)


def _parts(spacing: NDArray[np.float64], step_mm: float, cell_count: int) -> NDArray[np.intp]:
    """Lattice points per cell along z, y, x: ``step_mm`` apart where `SURFACE_POINTS` allows it."""
    parts = np.maximum(1, np.ceil(spacing / step_mm)).astype(np.intp)
    while parts.prod() * cell_count > SURFACE_POINTS and parts.max() > 1:
        parts[np.argmax(parts)] -= 1
    return parts


def _level(values: _Reals, places: NDArray[np.float64]) -> float:
    """The occupancy above which there is just as much volume as the structure has."""
    sampled = np.concatenate([_weights(place) @ values for place in places])
    inside = int(round(float(values.mean(axis=0, dtype=np.float64).sum()) * len(places)))
    rank = min(max(sampled.size - inside, 0), sampled.size - 1)
    return float(np.clip(np.partition(sampled, rank)[rank], 1e-4, 0.98))


def _onto_level(
    values: _Reals, place: NDArray[np.float64], level: float, spacing: NDArray[np.float64], near_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """One lattice place of every cell moved onto the level (Newton's steps), and which cells it stayed near in.

    Returns the places kept, (n_kept, 3) in cells, and the mask over all cells.
    """
    kept = np.ones(values.shape[1], bool)
    moved = np.tile(place, (values.shape[1], 1))
    for _ in range(NEWTON_STEPS):
        slope = np.einsum("nac,cn->na", _slope_weights(moved), values[:, kept]) / spacing
        steep = np.maximum((slope**2).sum(axis=1), 1e-12)
        error = level - np.einsum("nc,cn->n", _weights(moved), values[:, kept])
        moved = moved + (error / steep)[:, None] * slope / spacing
        near = np.linalg.norm((moved - place) * spacing, axis=1) <= near_mm
        kept[kept] = near
        moved = moved[near]
    error = level - np.einsum("nc,cn->n", _weights(moved), values[:, kept])
    there = ((moved >= -0.05) & (moved <= 1.05)).all(axis=1) & (np.abs(error) < 0.02)
    kept[kept] = there
    return moved[there], kept


def _weights(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Trilinear weights of a cell's eight corners at places (..., 3) in 0..1, shape (..., 8)."""
    return np.stack([np.prod([_weight(place[..., a], c[a]) for a in range(3)], axis=0) for c in _CORNERS], axis=-1)


def _slope_weights(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (n, 3, 8) that give the gradient per cell along z, y, x at places (n, 3)."""
    weights = [[_weight(place[:, a], c[a]) for a in range(3)] for c in _CORNERS]
    return np.stack(
        [
            np.stack(
                [(2 * c[axis] - 1) * w[axis - 2] * w[axis - 1] for c, w in zip(_CORNERS, weights, strict=True)], -1
            )
            for axis in range(3)
        ],
        axis=1,
    )


def _weight(coordinate: NDArray[np.float64], corner: int) -> NDArray[np.float64]:
    return coordinate if corner else 1.0 - coordinate
