"""Helper structures made from others: margins, rings and booleans, kept inside the External.

All of it works on occupancy, so a ring of 2 mm on 3 mm voxels has the volume it should. Margins are measured in
`sim_tps.margins`; where two surfaces cross one voxel, `_overlap` says how much of it lies in both.

A structure that ends at the first or last slice is taken to go on beyond it: its end there is the scan's, not its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.margins import Region
from sim_tps.patient import Role, Structure

LONGEST_MARGIN_MM = 500.0

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

    Known exactly where either is 0 or 1. In a voxel that both surfaces cross it depends on how they lie: nested ones
    (same direction) share min(a, b), facing ones max(0, a + b - 1), crossing ones a·b; the angle between the gradients
    of occupancy chooses between the three.
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


# ------------------------------------------------------------------------------------------ unions with margins


class _Union:
    """Structures taken together in a part of the image, and what they become with a margin."""

    def __init__(self, structures: Sequence[Structure], grid: Grid, box: _Box) -> None:
        """``box`` is where answers are wanted; sources that reach beyond it are measured whole."""
        own = _box_around(structures, 0.0, grid)
        whole = own if own[0].stop > own[0].start else box
        z, y, x = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(whole, box, strict=True))
        self._wanted = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, (z, y, x), strict=True))
        union = _cropped(structures[0], (z, y, x))
        for structure in structures[1:]:
            other = _cropped(structure, (z, y, x))
            union = union + other - _overlap(union, other, grid)
        self._region = Region(union, np.array(grid.spacing_mm[::-1]), (z.start == 0, z.stop == grid.shape[0]))

    def grown(self, margin_mm: float) -> _Reals:
        """Occupancy after a margin in mm; negative shrinks."""
        return self._region.grown(margin_mm)[self._wanted]
