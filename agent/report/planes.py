"""Cuts through a volume along the patient's axes, and the part of a cut worth showing.

axial      seen from the feet: R on the left, A on top        h = x, v = y
coronal    seen from the front: R on the left, H on top       h = x, v = z
sagittal   seen from the left: A on the left, H on top        h = y, v = z
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.volumes import Volumes, axes_mm
from bridge import model


@dataclass(frozen=True)
class Orientation:
    """One of the three ways to cut: which patient axes run across and up the picture."""

    name: str
    normal: int
    """Index of the patient axis (x 0, y 1, z 2) that the cut is perpendicular to."""
    across: int
    along: int
    v_grows_down: bool
    edges: tuple[str, str, str, str]
    """Letters at the left, right, top and bottom edge."""


AXIAL = Orientation("Axial", 2, 0, 1, True, ("R", "L", "A", "P"))
CORONAL = Orientation("Coronal", 1, 0, 2, False, ("R", "L", "H", "F"))
SAGITTAL = Orientation("Sagittal", 0, 1, 2, False, ("A", "P", "H", "F"))
ORIENTATIONS = (AXIAL, CORONAL, SAGITTAL)


@dataclass(frozen=True, eq=False)
class Cut:
    """A plane of values with the coordinates of its pixel centres."""

    h_mm: NDArray[np.float64]
    v_mm: NDArray[np.float64]
    values: NDArray[np.float64]
    """[v, h]."""


@dataclass(frozen=True)
class Box:
    """The part of the patient that is shown, in mm along x, y, z."""

    low_mm: model.Vector
    high_mm: model.Vector

    def span(self, axis: int) -> tuple[float, float]:
        return self.low_mm[axis], self.high_mm[axis]

    def length(self, axis: int) -> float:
        return self.high_mm[axis] - self.low_mm[axis]


INSIDE = 0.5
"""A point belongs to a structure when at least half of what lies there does."""
_BODY_MARGIN_MM = 10.0


def cut(volume: model.Volume, orientation: Orientation, at_mm: float) -> Cut | None:
    """The plane through coordinate ``at_mm`` of the normal axis, linear between slices; None outside the volume."""
    axes = axes_mm(volume.grid)
    spacing = volume.grid.spacing_mm[orientation.normal]
    position = (at_mm - axes[orientation.normal][0]) / spacing
    count = volume.grid.size[orientation.normal]
    if not -0.5 <= position <= count - 0.5:
        return None
    position = min(max(position, 0.0), count - 1.0)
    lower = min(int(position), max(0, count - 2))
    share = position - lower
    array_axis = 2 - orientation.normal
    plane = np.take(volume.values, lower, axis=array_axis).astype(np.float64)
    if share > 0.0 and count > 1:
        plane = (1.0 - share) * plane + share * np.take(volume.values, lower + 1, axis=array_axis)
    return Cut(axes[orientation.across], axes[orientation.along], plane)


def around_body(volumes: Volumes, body: model.Volume | None, orientation: Orientation, at_mm: float) -> Box:
    """The part of one cut that holds the patient, with the same margin on every side; without a body the image."""
    grid = volumes.image.grid
    low = [float(axis[0]) - spacing / 2 for axis, spacing in zip(axes_mm(grid), grid.spacing_mm, strict=True)]
    high = [float(axis[-1]) + spacing / 2 for axis, spacing in zip(axes_mm(grid), grid.spacing_mm, strict=True)]
    outline = None if body is None else cut(body, orientation, at_mm)
    if outline is not None and outline.values.max() >= INSIDE:
        for axis, coordinates, across in (
            (orientation.across, outline.h_mm, 0),
            (orientation.along, outline.v_mm, 1),
        ):
            held = coordinates[(outline.values >= INSIDE).any(axis=across)]
            low[axis], high[axis] = float(held[0]) - _BODY_MARGIN_MM, float(held[-1]) + _BODY_MARGIN_MM
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def close_up(volumes: Volumes, structures: Sequence[model.Structure], point_mm: model.Vector) -> Box:
    """A box of 60 to 120 mm centred on a point: the larger the targets, the wider."""
    low, high = _extent(volumes, structures, point_mm)
    half = min(max(0.5 * max(h - w for h, w in zip(high, low, strict=True)), 30.0), 60.0)
    return _kept_to_image(volumes, [c - half for c in point_mm], [c + half for c in point_mm])


def _extent(
    volumes: Volumes, structures: Sequence[model.Structure], point_mm: model.Vector
) -> tuple[list[float], list[float]]:
    """Lowest and highest coordinates of the targets; the point's where there is no target."""
    targets = [
        volumes.masks[s.label].grid
        for s in structures
        if s.role is model.StructureRole.TARGET and s.label in volumes.masks
    ]
    low = [min((g.origin_mm[a] for g in targets), default=point_mm[a]) for a in range(3)]
    high = [max((float(axes_mm(g)[a][-1]) for g in targets), default=point_mm[a]) for a in range(3)]
    return low, high


def _kept_to_image(volumes: Volumes, low: list[float], high: list[float]) -> Box:
    for axis, (coordinates, spacing) in enumerate(
        zip(axes_mm(volumes.image.grid), volumes.image.grid.spacing_mm, strict=True)
    ):
        low[axis] = max(low[axis], float(coordinates[0]) - spacing / 2)
        high[axis] = min(high[axis], float(coordinates[-1]) + spacing / 2)
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
