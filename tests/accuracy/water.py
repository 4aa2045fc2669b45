"""Depth doses and profiles in water against pyRadPlan's, point by point, with the same machine file.

Geometry, cut-off and the shift of pyRadPlan's beamlets are described in the README of the reference data. A point is
judged by its dose, or in the penumbra by the distance to the nearest place where our dose is the reference's. The
penumbra begins where both demands cross: steeper than 0.5 % / 0.2 mm, a shift of 0.2 mm is more dose than 0.5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim_tps.dose.density import DensityMap
from sim_tps.dose.fields import open_field
from sim_tps.geometry import Grid, beam_frame
from sim_tps.machine import Machine, matrad_machine
from tests.accuracy.checks import Check
from tests.accuracy.engine import dose_at
from tests.benchmarks.peer import CENTRE_SHIFT_MM

DOSE_LIMIT_PERCENT, DISTANCE_LIMIT_MM = 0.5, 0.2
PENUMBRA_PERCENT_PER_MM = DOSE_LIMIT_PERCENT / DISTANCE_LIMIT_MM
DEPTHS_MM = (15, 51, 99, 101, 201)

_BEAMLET_MM = 5.0
_SKIN_DISTANCE_MM, _ISOCENTRE_DEPTH_MM = 900.0, 100.0
_WATER = Grid((-150.0, -99.0, -150.0), (2.0, 2.0, 2.0), (151, 150, 151))
_DRAWN_STEP_MM = 0.5
_SEARCH_MM = np.linspace(-1.0, 1.0, 201)

_Reals = NDArray[np.float64]


@dataclass(frozen=True)
class FieldCase:
    """One field of the reference data."""

    tag: str
    title: str
    side_beamlets: int
    is_judged: bool = True
    note: str = ""


CASES = (
    FieldCase("bixel5_cut170", "One 5 × 5 mm beamlet", 1),
    FieldCase(
        "bixel5_cut50",
        "One 5 × 5 mm beamlet, cut off at 50 mm",
        1,
        note="The reference ends where its ray is 50 mm away (on the isocentre plane), our dose does not; points "
        "beyond the cut-off are left out.",
    ),
    FieldCase("open50_uniform", "50 × 50 mm field", 10),
    FieldCase("open100_uniform", "100 × 100 mm field", 20),
    FieldCase(
        "open100_primaryfluence",
        "100 × 100 mm field with the machine's primary fluence (not judged)",
        20,
        is_judged=False,
        note="The reference multiplies the fluence by the machine's radial table (the horn: more fluence off the "
        "axis). Our engine's primary fluence is flat, as pyRadPlan's own is when it plans beamlets, so the horn is "
        "missing from our curve and the difference is what it amounts to: shown, not judged.",
    ),
)


@dataclass(frozen=True, eq=False)
class Curve:
    """One reference curve and ours at the same places; all arrays have shape (points,)."""

    name: str
    depth_mm: int | None
    """Of a profile; None for the depth dose itself."""
    place_mm: _Reals
    """Depth, or position across the field."""
    reference: _Reals
    ours: _Reals
    line: tuple[_Reals, _Reals]
    """Places close together and our doses there, to be drawn."""
    difference_percent: _Reals
    """Ours minus reference in percent of the reference curve's maximum; NaN where the reference is cut off."""
    in_penumbra: NDArray[np.bool_]
    distance_mm: _Reals
    """To the nearest place where our dose is the reference's; NaN outside the penumbra, infinite beyond 1 mm."""

    @property
    def worst_percent(self) -> float:
        """Largest difference outside the penumbra, either sign."""
        return _largest(self.difference_percent[~self.in_penumbra])

    @property
    def worst_mm(self) -> float:
        """Largest distance inside the penumbra, 0 where the curve has none."""
        return _largest(self.distance_mm[self.in_penumbra])


@dataclass(frozen=True, eq=False)
class FieldResult:
    """All curves of one field."""

    case: FieldCase
    depth_dose: Curve
    profiles: tuple[Curve, ...]

    @property
    def curves(self) -> tuple[Curve, ...]:
        return (self.depth_dose, *self.profiles)

    @property
    def beyond_cut_off_percent(self) -> float:
        """Our largest dose where the reference has none, in percent of that curve's maximum."""
        return max(100.0 * _largest(c.ours[c.reference == 0.0]) / c.reference.max() for c in self.curves)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The field's limits; none where it is not judged."""
        if not self.case.is_judged:
            return ()
        title = self.case.title
        return (
            Check(f"{title}: depth dose", self.depth_dose.worst_percent, DOSE_LIMIT_PERCENT, "% of maximum"),
            Check(
                f"{title}: profiles outside the penumbra",
                max(c.worst_percent for c in self.profiles),
                DOSE_LIMIT_PERCENT,
                "% of maximum",
            ),
            Check(f"{title}: penumbra", max(c.worst_mm for c in self.profiles), DISTANCE_LIMIT_MM, "mm"),
        )


def compare_field(shared_data: Path, case: FieldCase) -> FieldResult:
    """One field of the reference data against ours."""
    machine = matrad_machine(shared_data / "machines" / "photons_Generic.mat")
    folder = shared_data / "reference-dose"

    def dose(points: _Reals) -> _Reals:
        return _dose_in_water(machine, case.side_beamlets, points)

    return FieldResult(case, _depth_dose(folder, case, dose), tuple(_profiles(folder, case, dose)))


def _depth_dose(folder: Path, case: FieldCase, dose: Callable[[_Reals], _Reals]) -> Curve:
    table = _read(folder / f"depth_{case.tag}.csv")
    depth, reference = table["geometric_depth_mm"], table["dose"]

    def along(place: _Reals) -> _Reals:
        return dose(_points(0.0, place, 0.0))

    ours = along(depth)
    nowhere = np.zeros(len(depth), bool)
    difference, distance = _percent(ours - reference, reference), np.full(len(depth), np.nan)
    return Curve("depth dose", None, depth, reference, ours, _line(depth, along), difference, nowhere, distance)


def _profiles(folder: Path, case: FieldCase, dose: Callable[[_Reals], _Reals]) -> Sequence[Curve]:
    curves = []
    for depth in DEPTHS_MM:
        table = _read(folder / f"profile_{case.tag}_depth{depth:03d}mm.csv")
        for axis in ("x", "z"):

            def along(place: _Reals, axis: str = axis, depth: int = depth) -> _Reals:
                return dose(_points(place, depth, 0.0) if axis == "x" else _points(0.0, depth, place))

            name = f"along {axis}, {depth} mm deep"
            curves.append(_profile(name, depth, table["x_mm"], table[f"dose_{axis}"], along))
    return curves


def _profile(name: str, depth_mm: int, place: _Reals, reference: _Reals, dose: Callable[[_Reals], _Reals]) -> Curve:
    ours = dose(place)
    seen = reference > 0.0
    slope = np.abs(np.gradient(_percent(reference, reference), place))
    in_penumbra = seen & (slope > PENUMBRA_PERCENT_PER_MM)
    near = dose(np.add.outer(place[in_penumbra], _SEARCH_MM).ravel()).reshape(-1, len(_SEARCH_MM))
    distance = np.full(len(place), np.nan)
    distance[in_penumbra] = [_distance_mm(row - own) for row, own in zip(near, reference[in_penumbra], strict=True)]
    difference = np.where(seen, _percent(ours - reference, reference), np.nan)
    return Curve(name, depth_mm, place, reference, ours, _line(place, dose), difference, in_penumbra, distance)


def _line(place: _Reals, dose: Callable[[_Reals], _Reals]) -> tuple[_Reals, _Reals]:
    fine = np.arange(place[0], place[-1] + 1e-6, _DRAWN_STEP_MM)
    return fine, dose(fine)


def _distance_mm(excess: _Reals) -> float:
    """The smallest offset at which the excess over the wanted dose changes sign."""
    step = _SEARCH_MM[1] - _SEARCH_MM[0]
    before = np.flatnonzero(np.diff(np.sign(excess)) != 0)
    crossings = _SEARCH_MM[before] + step * excess[before] / (excess[before] - excess[before + 1])
    return float(np.abs(crossings).min(initial=np.inf))


def _dose_in_water(machine: Machine, side_beamlets: int, points_mm: _Reals) -> _Reals:
    first_mm = -0.5 * _BEAMLET_MM * (side_beamlets - 1) + CENTRE_SHIFT_MM
    frame = beam_frame((0.0, 0.0, 0.0), 0.0, 0.0, 0.0, machine.sad_mm)
    field = open_field(frame, _BEAMLET_MM, (first_mm, first_mm), (side_beamlets, side_beamlets))
    water = DensityMap(np.ones(_WATER.shape, np.float32), _WATER)
    kernel = machine.kernel_at(_SKIN_DISTANCE_MM)
    return dose_at(machine, [field], [kernel], water, points_mm, np.ones(side_beamlets**2)).astype(float)


def _points(x: _Reals | float, depth: _Reals | float, z: _Reals | float) -> _Reals:
    return np.stack(np.broadcast_arrays(x, np.asarray(depth) - _ISOCENTRE_DEPTH_MM, z), axis=1).astype(float)


def _read(path: Path) -> NDArray[np.void]:
    return np.genfromtxt(path, delimiter=",", names=True)


def _percent(values: _Reals, reference: _Reals) -> _Reals:
    return 100.0 * values / reference.max()


def _largest(values: _Reals) -> float:
    known = np.abs(values[~np.isnan(values)])
    return float(known.max(initial=0.0))
