"""Voxels of the planning image and of a dose, as the contract's arrays.

The one idea: ESAPI hands out whole numbers, plane by plane, and a function that says what a number means. The function
is a straight line, so it is asked at the darkest and the brightest number that occur, checked at one between them, and
the rest is arithmetic on arrays.

Where the voxels lie is asked of the TPS too, since nobody says officially whether its origin is the centre of the first
voxel or that voxel's corner. For a dose: at the centre of a voxel the TPS must answer that voxel's dose, and in the
steepest places of the dose only one of the two readings does. For the image: contours lie at the middle of its slices.
Where neither reading holds, or both do, there is no array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge import errors, model
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reading import contours, dose_info
from bridge.backends.esapi.reading.dose_info import InGy
from bridge.backends.esapi.reading.grids import Lattice, Origin, lattice

mask = contours.mask

PROBES_PER_AXIS = 5
"""Steep places along each axis at which the TPS is asked for the dose."""
DOSE_TOLERANCE = 0.004
"""Part of the highest dose by which the TPS's answer may differ from the voxel's number."""


def image(chart: Chart) -> model.Volume:
    """The planning image in HU."""
    with translated("give the planning image"):
        found = access.get(chart.structure_set, "Image")
        if found is None:
            raise errors.TpsRefused("the structure set has no image; choose one that was contoured on an image.")
        voxels = lattice(found, "the planning image")
        origin = contours.image_origin(chart, voxels)
        values = _scaled(_numbers(found, voxels), lambda number: float(found.VoxelToDisplayValue(number)), "the image")
    return model.Volume(voxels.grid(origin), voxels.turned(values))


def dose(chart: Chart, plan_name: str) -> model.Volume:
    """A plan's dose in Gy, plan total, on its own grid."""
    plan = chart.plan(plan_name)
    with translated(f"give the dose of plan {plan_name!r}"):
        with dose_info.absolute(plan) as in_gy:
            found = dose_info.require(plan, plan_name)
            voxels = lattice(found, f"the dose of plan {plan_name!r}")
            values = _scaled(_numbers(found, voxels), lambda number: _dose_gy(found, number, in_gy), "the dose")
            origin = dose_origin(found, voxels, values, in_gy)
        info = dose_info.read(chart, plan)
    return model.Volume(voxels.grid(origin), voxels.turned(values), info)


def dose_origin(found: Any, voxels: Lattice, values: NDArray[np.float32], in_gy: InGy) -> Origin:
    """What the TPS means by the dose's origin: the reading under which its doses at voxel centres are the voxels'.

    Parameters
    ----------
    values
        Dose in Gy, [z, y, x] in ESAPI's own order.
    """
    highest_gy = float(values.max())
    probes = list(_steep_places(values))
    misses = {origin: _worst_miss_gy(found, voxels, values, probes, origin, in_gy) for origin in Origin}
    fitting = [origin for origin, miss_gy in misses.items() if miss_gy <= DOSE_TOLERANCE * highest_gy]
    if len(fitting) == 1:
        _require_hottest(found, voxels, values, fitting[0])
        return fitting[0]
    told = ", ".join(f"{miss_gy:.3g} Gy off with the origin at a voxel's {o.name}" for o, miss_gy in misses.items())
    raise errors.TpsRefused(
        f"where the voxels of the dose lie is not known: at voxel centres the TPS's own dose is {told} "
        f"(highest dose {highest_gy:.3g} Gy); exactly one was expected to agree. Calculate the dose again."
    )


def _worst_miss_gy(
    found: Any,
    voxels: Lattice,
    values: NDArray[np.float32],
    probes: list[tuple[int, int, int]],
    origin: Origin,
    in_gy: InGy,
) -> float:
    """Largest difference between voxels and the TPS's dose where they would lie; infinite where it knows none."""
    worst = 0.0
    for z, y, x in probes:
        told_gy = in_gy(found.GetDoseToPoint(access.vector(voxels.centre_mm((x, y, z), origin))))
        miss_gy = float("inf") if told_gy is None else abs(told_gy - float(values[z, y, x]))
        worst = max(worst, miss_gy)
    return worst


def _steep_places(values: NDArray[np.float32]) -> Iterator[tuple[int, int, int]]:
    """Voxels [z, y, x], not at the edge, the steepest along each axis on planes of their own."""
    if min(values.shape) < 3:
        return
    inner = slice(1, -1)
    for axis in range(3):
        before, after = ([inner, inner, inner] for _ in range(2))
        before[axis], after[axis] = slice(0, -2), slice(2, None)
        rise = np.abs(values[tuple(after)] - values[tuple(before)])
        by_plane = rise.reshape(rise.shape[0], -1)
        for plane in np.argsort(by_plane.max(axis=1))[-PROBES_PER_AXIS:]:
            y, x = np.unravel_index(by_plane[plane].argmax(), rise.shape[1:])
            yield int(plane) + 1, int(y) + 1, int(x) + 1


def _require_hottest(found: Any, voxels: Lattice, values: NDArray[np.float32], origin: Origin) -> None:
    """Refuse an array whose hottest place is not where the TPS says."""
    place = voxels.place_of(access.xyz(access.get(found, "DoseMax3DLocation")))
    x, y, z = (round(each - origin.value) for each in place)
    nx, ny, nz = voxels.size
    inside = 0 <= x < nx and 0 <= y < ny and 0 <= z < nz
    highest_gy = float(values.max())
    there_gy = float(values[z, y, x]) if inside else 0.0
    if there_gy < (1.0 - DOSE_TOLERANCE) * highest_gy:
        raise errors.TpsRefused(
            f"the dose's hottest voxel has {highest_gy:.4g} Gy, but where the TPS says that it lies the voxel has "
            f"{there_gy:.4g} Gy; the dose is not given out. Calculate it again."
        )


def _numbers(found: Any, voxels: Lattice) -> NDArray[np.int32]:
    """All voxels as ESAPI's whole numbers, [z, y, x] in its own order."""
    nx, ny, nz = voxels.size
    numbers = np.empty((nz, ny, nx), np.int32)
    buffer = access.plane_buffer(nx, ny)
    for plane in range(nz):
        found.GetVoxels(plane, buffer)
        numbers[plane] = access.copied(buffer).T
    return numbers


def _scaled(numbers: NDArray[np.int32], meaning: Callable[[int], float], what: str) -> NDArray[np.float32]:
    """The numbers' meaning; a straight line through two of them, or a refusal."""
    low, high = int(numbers.min()), int(numbers.max())
    if low == high:
        return np.full(numbers.shape, meaning(low), np.float32)
    at_low, at_high = meaning(low), meaning(high)
    middle = (low + high) // 2
    expected = at_low + (at_high - at_low) * (middle - low) / (high - low)
    if abs(meaning(middle) - expected) > 1e-3 * abs(at_high - at_low):
        raise errors.TpsRefused(
            f"the numbers of {what} do not mean values along a straight line: {middle} means {meaning(middle):g}, "
            f"expected {expected:g}; the voxels are not given out."
        )
    step = (at_high - at_low) / (high - low)
    values = np.empty(numbers.shape, np.float32)
    for plane, number in zip(values, numbers, strict=True):
        plane[:] = at_low + step * (number - float(low))
    return values


def _dose_gy(found: Any, number: int, in_gy: InGy) -> float:
    dose_gy = in_gy(found.VoxelToDoseValue(number))
    if dose_gy is None:
        raise errors.TpsRefused(
            f"Eclipse does not say what dose the voxel number {number} is; calculate the dose again."
        )
    return dose_gy
