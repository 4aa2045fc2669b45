"""Segments: made from each other, drawn by contours, and read as contours.

The one idea: a segment is the simulator's structure, occupancy and all, so margins and set operations are its own and
a helper made here step by step is the one the simulator would have made. Nothing is kept inside the body: that is for
whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from sim_tps.errors import BadInput
from sim_tps.exporters.outlines import outlines
from sim_tps.geometry import Grid
from sim_tps.importers.contours import plane_occupancy
from sim_tps.patient import Role, Structure
from sim_tps.structures import Kind, derive

OPERATIONS = ("margin", "asymmetric", "and", "or", "sub", "xor", "not", "high_resolution")
DECIMALS = 4
"""Contours are told to a ten-thousandth of a mm."""

_SETS = {"and": Kind.INTERSECTION, "or": Kind.UNION, "sub": Kind.DIFFERENCE}


def whole_image(grid: Grid) -> Structure:
    """The segment that fills the image."""
    return Structure("image", Role.HELPER, np.ones(grid.shape, np.float32), (0, 0, 0), grid)


def combined(operation: str, a: Structure, b: Structure, image: Structure) -> Structure:
    """``and``, ``or``, ``sub`` (a without b) or ``xor``."""
    if operation == "xor":
        return combined("sub", combined("or", a, b, image), combined("and", a, b, image), image)
    return derive("segment", _SETS[operation], [a, b], external=image)


def inverted(a: Structure, image: Structure) -> Structure:
    return derive("segment", Kind.DIFFERENCE, [image, a], external=image)


def grown(a: Structure, margin_mm: float, image: Structure) -> Structure:
    """With a margin; negative shrinks."""
    return derive("segment", Kind.MARGIN, [a], outer_mm=margin_mm, external=image)


def grown_by_sides(a: Structure, margins_mm: Sequence[float], inner: bool, image: Structure) -> Structure:
    """With a margin for each side, in mm towards -x, -y, -z, +x, +y, +z; ``inner`` shrinks.

    Margins that differ are laid out as eighths of ellipsoids, in whole voxels. What ends at the image's edge is taken
    to go on beyond it.
    """
    if len(margins_mm) != 6 or min(margins_mm) < 0.0:
        raise BadInput(f"margins {list(margins_mm)}, expected six lengths of at least 0 mm: x1, y1, z1, x2, y2, z2.")
    if len(set(margins_mm)) == 1:
        return grown(a, -margins_mm[0] if inner else margins_mm[0], image)
    occupancy = a.on_image()
    if inner:
        facing = [*margins_mm[3:], *margins_mm[:3]]
        left = np.minimum(occupancy, 1.0 - _swept(1.0 - occupancy, facing, a.image_grid))
        return Structure.from_array("segment", Role.HELPER, left.astype(np.float32), a.image_grid)
    swept = np.maximum(occupancy, _swept(occupancy, margins_mm, a.image_grid))
    return Structure.from_array("segment", Role.HELPER, swept.astype(np.float32), a.image_grid)


def redrawn(
    a: Structure | None, plane: int, points_mm: NDArray[np.float64] | None, operation: str, grid: Grid
) -> Structure:
    """A segment after an outline (n, 2) on one slice was added or subtracted, or the slice was cleared."""
    if not 0 <= plane < grid.shape[0]:
        raise BadInput(f"contour on plane {plane}, expected 0 to {grid.shape[0] - 1}.")
    whole = np.zeros(grid.shape, np.float32) if a is None else a.on_image()
    if operation == "clear":
        whole[plane] = 0.0
    elif points_mm is None or len(points_mm) < 3:
        raise BadInput(
            f"contour on plane {plane}: {0 if points_mm is None else len(points_mm)} points, expected 3 or more."
        )
    elif operation == "add":
        whole[plane] = np.maximum(whole[plane], plane_occupancy([points_mm], grid))
    elif operation == "subtract":
        whole[plane] = np.minimum(whole[plane], 1.0 - plane_occupancy([points_mm], grid))
    else:
        raise BadInput(f"contour operation {operation!r}, expected add, subtract or clear.")
    return Structure.from_array("segment", Role.HELPER, whole, grid)


def contours(a: Structure) -> dict[int, list[list[list[float]]]]:
    """Slice -> closed polygons, each a list of [x, y, z] in mm."""
    z_mm = a.image_grid.axes_mm[2]
    return {
        plane: [[[*point, float(z_mm[plane])] for point in ring.round(DECIMALS).tolist()] for ring in rings]
        for plane, rings in outlines(a).items()
    }


def contains(a: Structure, points_mm: NDArray[np.float64]) -> list[bool]:
    """Whether each point (n, 3) lies inside."""
    if a.is_empty:
        return [False] * len(points_mm)
    grid = a.image_grid
    place = ((points_mm - np.array(grid.origin_mm)) / np.array(grid.spacing_mm))[:, ::-1].T
    within = place - np.array(a.first_voxel, np.float64)[:, None]
    share = ndimage.map_coordinates(a.occupancy, within, order=1, mode="grid-constant", output=np.float32)
    return [bool(inside) for inside in share >= 0.5]


def part_count(a: Structure) -> int:
    """Number of parts that do not touch."""
    if a.is_empty:
        return 0
    core = a.occupancy >= 0.5
    return int(ndimage.label(core if core.any() else a.occupancy > 0.0)[1])


def _swept(values: NDArray[np.float32], margins_mm: Sequence[float], grid: Grid) -> NDArray[np.float32]:
    """1 where any voxel that is at least half full comes to lie when it is moved within the margins, else 0."""
    spacing = np.array(grid.spacing_mm)
    low, high = np.array(margins_mm[:3], float), np.array(margins_mm[3:], float)
    reach = np.floor(np.maximum(low, high) / spacing + 1e-9).astype(int)
    x, y, z = (np.arange(-n, n + 1) * step for n, step in zip(reach, spacing, strict=True))
    share = sum(
        np.where(mm == 0.0, 0.0, np.abs(mm) / np.maximum(np.where(mm < 0.0, low[axis], high[axis]), 1e-9)) ** 2
        for axis, mm in enumerate(np.meshgrid(x, y, z, indexing="ij"))
    )
    brush = np.transpose(np.asarray(share) <= 1.0 + 1e-9).astype(np.float32)
    pad = [(n, n) for n in reversed(reach.tolist())]
    padded = np.pad((values >= 0.5).astype(np.float32), pad)
    hits = signal.fftconvolve(padded, brush, mode="same")
    inside = tuple(slice(n, size - n) for (n, _), size in zip(pad, padded.shape, strict=True))
    return (hits[inside] > 0.5).astype(np.float32)
