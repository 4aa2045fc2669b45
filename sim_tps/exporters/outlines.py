"""Occupancy -> closed outlines on slices.

The one idea: an outline runs where interpolated occupancy passes a level, and the level is the one at which the outline
encloses as much area as the slice's occupancy adds up to. It is near one half; one half itself would round off whatever
is small (a 0.14 cc cochlea on 2.5 mm voxels loses 30 % of its volume). A slice filled evenly but thinly has no such
level: it is drawn whole where it is more than half full, and not at all otherwise. A structure that is known by whole
voxels only is drawn along their edges, so that it comes back as those voxels.

A hole is joined to the outline round it by a channel of no width (a keyhole), so that each outline is one polygon that
means the same under the even-odd and the winding rule, and a plain CLOSED_PLANAR contour can carry it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from sim_tps.patient import Structure

LEVELS = (0.01, 0.99)
"""Where the level is sought: outside these, outlines would hug the voxel centres."""
LEVEL_STEP = 1e-3
"""How exactly the level is found; it moves an outline by a thousandth of a voxel."""
CORNER = 1e-3
"""Share of a voxel by which the corners of whole voxels are cut off."""
ABOVE_ALL = 2.0
"""More than any occupancy."""

Ring = NDArray[np.float64]
"""Corners of one closed outline, (n, 2), x and y in mm; the last is joined to the first."""
_Polygons = list[list[Ring]]
"""Outer rings, each with its holes behind it."""


def outlines(structure: Structure) -> dict[int, list[Ring]]:
    """Outlines of a structure: image slice -> rings, slices without any left out."""
    if structure.is_empty:
        return {}
    _, box_y, box_x = structure.slices
    dx, dy, _ = structure.image_grid.spacing_mm
    x, y = _rimmed(structure.image_grid.axes_mm[0][box_x], dx), _rimmed(structure.image_grid.axes_mm[1][box_y], dy)
    whole = bool(np.isin(structure.occupancy, (0.0, 1.0)).all())
    drawn = {
        index: _stepped(np.pad(share, 1), x, y) if whole else _smooth(np.pad(share, 1), x, y)
        for index, share in enumerate(structure.occupancy, start=structure.first_voxel[0])
    }
    return {index: rings for index, rings in drawn.items() if rings}


def _rimmed(centres_mm: NDArray[np.float64], spacing_mm: float) -> NDArray[np.float64]:
    """Voxel centres with one more at either end, so that outlines close where the structure meets the image's edge."""
    return np.concatenate([[centres_mm[0] - spacing_mm], centres_mm, [centres_mm[-1] + spacing_mm]])


def _smooth(share: NDArray[np.float32], x_mm: NDArray[np.float64], y_mm: NDArray[np.float64]) -> list[Ring]:
    """The outlines of one slice's occupancy [y, x], which enclose what it adds up to."""
    wanted_mm2 = float(share.sum(dtype=np.float64)) * (x_mm[1] - x_mm[0]) * (y_mm[1] - y_mm[0])
    return [_keyholed(rings) for rings in _of_area(_drawing(share, x_mm, y_mm), wanted_mm2)]


def _stepped(share: NDArray[np.float32], x_mm: NDArray[np.float64], y_mm: NDArray[np.float64]) -> list[Ring]:
    """The outlines of one slice's whole voxels [y, x], along their edges."""
    fine = np.repeat(np.repeat(share, 2, axis=0), 2, axis=1)
    polygons = _drawing(fine, _just_inside(x_mm), _just_inside(y_mm))(0.5)
    return [_keyholed([_corners(ring) for ring in rings]) for rings in polygons]


def _just_inside(centres_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Both ends of each voxel, a little inside: halfway between the ends of two neighbours lies their common edge."""
    reach_mm = (0.5 - CORNER) * (centres_mm[1] - centres_mm[0])
    return np.stack([centres_mm - reach_mm, centres_mm + reach_mm], axis=1).ravel()


def _corners(ring: Ring) -> Ring:
    """The ring without the points on its straight lines."""
    (x0, y0), (x1, y1) = (ring - np.roll(ring, 1, axis=0)).T, (np.roll(ring, -1, axis=0) - ring).T
    return ring[np.abs(x0 * y1 - y0 * x1) > 1e-9]


def _drawing(
    share: NDArray[np.float32], x_mm: NDArray[np.float64], y_mm: NDArray[np.float64]
) -> Callable[[float], _Polygons]:
    """What draws the outlines of [y, x] values at a level."""
    lines = contourpy.contour_generator(x_mm, y_mm, share, fill_type=contourpy.FillType.OuterOffset)

    def at(level: float) -> _Polygons:
        polygons, offsets = lines.filled(level, ABOVE_ALL)
        return [
            [points[start : end - 1] for start, end in pairwise(cuts)]
            for points, cuts in zip(polygons, offsets, strict=True)
        ]

    return at


def _of_area(at: Callable[[float], _Polygons], wanted_mm2: float) -> _Polygons:
    """The polygons, of those that ``at`` draws at its levels, whose area is nearest to the wanted one."""

    def surplus(level: float) -> float:
        return _area_mm2(at(level)) - wanted_mm2

    low, high = LEVELS
    if surplus(low) <= 0.0:
        return at(low)
    if surplus(high) >= 0.0:
        return at(high)
    level = float(brentq(surplus, low, high, xtol=LEVEL_STEP))
    around = [at(level + step) for step in (-LEVEL_STEP, 0.0, LEVEL_STEP)]  # the area may jump at the level
    return min(around, key=lambda polygons: abs(_area_mm2(polygons) - wanted_mm2))


def _area_mm2(polygons: _Polygons) -> float:
    """Enclosed area; contourpy turns holes the other way round, so they count as negative."""
    return sum(_signed_mm2(ring) for rings in polygons for ring in rings)


def _signed_mm2(ring: Ring) -> float:
    x, y = ring.T
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _keyholed(rings: Sequence[Ring]) -> Ring:
    """One ring from an outer ring and its holes: into each hole and back again at the place where it is nearest."""
    joined, *holes = rings
    for hole in holes:
        apart = ((joined[:, None] - hole[None]) ** 2).sum(axis=2)
        out, into = np.unravel_index(int(np.argmin(apart)), apart.shape)
        round_the_hole = np.roll(hole, -into, axis=0)
        joined = np.concatenate([joined[: out + 1], round_the_hole, round_the_hole[:1], joined[out:]])
    return joined
