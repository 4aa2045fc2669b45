"""Where things are: the isocentre, the hot spot and what it lies in, and how organs overlap the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from agent.report.planes import INSIDE
from agent.volumes import Volumes, axes_mm
from bridge import model


@dataclass(frozen=True)
class HotSpot:
    """The highest dose of the plan and its surroundings."""

    dose_gy: float
    position_mm: model.Vector
    inside: tuple[str, ...]
    """Labels of the structures it lies in, the External left out."""
    target: str | None
    """The nearest target, or the one it lies in."""
    distance_mm: float | None
    """From the nearest target; 0 inside one."""


def hot_spot(volumes: Volumes, structures: Sequence[model.Structure], info: model.DoseInfo) -> HotSpot:
    """The highest dose: where the TPS says it is, otherwise the hottest voxel."""
    position, dose_gy = info.max_position_mm, info.max_gy
    if position is None or dose_gy is None:
        z, y, x = np.unravel_index(int(np.argmax(volumes.dose.values)), volumes.dose.values.shape)
        axes = axes_mm(volumes.dose.grid)
        position = (float(axes[0][x]), float(axes[1][y]), float(axes[2][z]))
        dose_gy = float(volumes.dose.values[z, y, x])
    roles = {s.label: s.role for s in structures}
    inside = tuple(
        label
        for label, mask in volumes.masks.items()
        if roles.get(label) is not model.StructureRole.EXTERNAL and value_at(mask, position) >= INSIDE
    )
    targets = {label: m for label, m in volumes.masks.items() if roles.get(label) is model.StructureRole.TARGET}
    distances = {label: _distance_mm(mask, position) for label, mask in targets.items()}
    nearest = min(distances, key=lambda label: distances[label]) if distances else None
    return HotSpot(dose_gy, position, inside, nearest, None if nearest is None else distances[nearest])


def value_at(volume: model.Volume, position_mm: model.Vector) -> float:
    """The value at a point, linear between voxel centres, 0 outside the grid."""
    x, y, z = axes_mm(volume.grid)
    if min(volume.values.shape) < 2:
        return 0.0
    sample = RegularGridInterpolator((z, y, x), volume.values, bounds_error=False, fill_value=0.0)
    return float(sample(np.array([position_mm[::-1]])).item())


def in_brain(volumes: Volumes, structures: Sequence[model.Structure]) -> bool:
    """All targets have their centres in the brain."""
    brain = next((volumes.masks.get(s.label) for s in structures if s.tg263_name == "Brain"), None)
    targets = [s for s in structures if s.role is model.StructureRole.TARGET and s.centre_mm is not None]
    if brain is None or not targets:
        return False
    return all(value_at(brain, s.centre_mm) >= INSIDE for s in targets if s.centre_mm is not None)


def overlap_percent(volumes: Volumes, structures: Sequence[model.Structure]) -> dict[str, float]:
    """For every organ at risk that shares voxels with a target: how much of it does, percent of the organ."""
    roles = {s.label: s.role for s in structures}
    targets = [m for label, m in volumes.masks.items() if roles.get(label) is model.StructureRole.TARGET]
    found = {}
    for label, mask in volumes.masks.items():
        if roles.get(label) is not model.StructureRole.OAR or not targets:
            continue
        organ = mask.values.astype(np.float64)
        shared = np.minimum(organ, np.max([_on_grid_of(mask, target) for target in targets], axis=0))
        if organ.sum() > 0 and shared.sum() > 0:
            found[label] = 100.0 * float(shared.sum() / organ.sum())
    return found


def _on_grid_of(frame: model.Volume, mask: model.Volume) -> NDArray[np.float32]:
    """``mask`` on the voxels of ``frame``, both parts of one image grid; zero where they do not meet."""
    offset = [
        round((m - f) / s)
        for m, f, s in zip(mask.grid.origin_mm, frame.grid.origin_mm, frame.grid.spacing_mm, strict=True)
    ]
    laid = np.zeros_like(frame.values)
    here, there = [], []
    for axis in range(3):
        shift = offset[2 - axis]
        start, stop = max(0, shift), min(frame.values.shape[axis], shift + mask.values.shape[axis])
        if stop <= start:
            return laid
        here.append(slice(start, stop))
        there.append(slice(start - shift, stop - shift))
    laid[tuple(here)] = mask.values[tuple(there)]
    return laid


def _distance_mm(mask: model.Volume, position_mm: model.Vector) -> float:
    """From a point to the nearest voxel of a structure, 0 inside it; voxels count to their faces."""
    if value_at(mask, position_mm) >= INSIDE:
        return 0.0
    z, y, x = np.nonzero(mask.values >= INSIDE)
    if not z.size:
        return float("inf")
    squared = np.zeros(z.size)
    for index, axis, spacing, coordinate in zip(
        (x, y, z), axes_mm(mask.grid), mask.grid.spacing_mm, position_mm, strict=True
    ):
        gap = np.maximum(np.abs(axis[index] - coordinate) - spacing / 2, 0.0)
        squared += gap**2
    return float(np.sqrt(squared.min()))
