"""Dose and optimisation of one plan geometry.

A `PlanEngine` belongs to a patient, a set of fields and two grids. It sets up once (density, beamlets, kernels, sample
points, depths) and then answers as often as asked: optimise, evaluate, compute dose. Re-optimising after a changed
objective starts at once; only a structure it has not seen yet makes it draw its sample points again.

Doses are plan totals in Gy. One unit of fluence is what the machine says in `Machine.unit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from sim_tps.dose.density import density_map
from sim_tps.dose.fields import beamlet_count, field_for_target
from sim_tps.dose.lateral import LateralMaps
from sim_tps.dose.operator import DoseOperator, field_depths, load_kernels
from sim_tps.dose.raytrace import surface_distance
from sim_tps.errors import BadInput, Cancelled
from sim_tps.geometry import Grid
from sim_tps.machine import Machine
from sim_tps.optimise.objectives import Penalty, check_objective
from sim_tps.optimise.sampling import Samples, sample, share_on
from sim_tps.optimise.solver import Limits, StopReason, descend
from sim_tps.patient import Patient, Structure
from sim_tps.plan import Beam, Objective, ObjectiveType

Report = Callable[[str, float | None, int | None, float | None], None]
"""Told (stage, percent, iteration, objective value), each where it applies."""

_RAYS_PER_PASS = 300_000
"""Dose is computed in parts of so many points × fields: a fraction of a second each, so that a cancel is heard."""
_SMALLEST_GAIN_GY2 = 1e-4
"""Convergence: a window of iterations that gains less than this × the sum of priorities changes no dose by 0.1 Gy."""
_LOWER_TYPES = (ObjectiveType.LOWER, ObjectiveType.MIN, ObjectiveType.UNIFORM, ObjectiveType.EUD_LOWER)
_DEPTHS_KEPT_BYTES = 512 * 1024**2
"""Depths on the grids dose was asked for are kept for the next time, while they fit in this."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What an optimisation found."""

    fluence: NDArray[np.float32]
    """One number per beamlet, all fields in a row."""
    values: Mapping[str, float]
    """Objective id -> priority × penalty, in Gy²."""
    total: float
    iterations: int
    converged: bool
    stop_reason: StopReason
    seconds: float


class PlanEngine:
    """Dose and optimisation of one plan geometry.

    Parameters
    ----------
    targets
        Names of the structures the beamlets must cover.
    dose_grid, optimization_grid
        Where `dose` is usually asked for, and where objectives are judged.
    beamlet_mm
        Side of a beamlet on the isocentre plane; the machine's leaf width when None.
    """

    def __init__(
        self,
        patient: Patient,
        beams: Sequence[Beam],
        machine: Machine,
        targets: Sequence[str],
        *,
        dose_grid: Grid,
        optimization_grid: Grid,
        beamlet_mm: float | None,
        seed: int = 0,
        report: Report | None = None,
    ) -> None:
        say = report or _silent
        self.patient, self.machine = patient, machine
        self.dose_grid, self.optimization_grid = dose_grid, optimization_grid
        self.beamlet_mm = beamlet_mm or machine.leaf_width_mm
        self.seed = seed
        self._targets = _targets(patient, targets)
        _check_beams(patient, beams)
        say("loading kernels (compiled once per machine)", None, None, None)
        load_kernels()
        say("density", None, None, None)
        self._density = density_map(patient)
        say("beamlets", None, None, None)
        points = _target_points(self._targets)
        self.fields = tuple(field_for_target(beam, machine, self.beamlet_mm, points) for beam in beams)
        self._maps = self._lateral_maps()
        self._samples: Samples | None = None
        self._sampled: dict[str, Structure] = {}
        self._operator: DoseOperator | None = None
        self._kept_depths: dict[Grid, NDArray[np.float32]] = {}

    @property
    def beamlet_count(self) -> int:
        return beamlet_count(self.fields)

    def use(self, patient: Patient) -> None:
        """Go on with the same image but other structures (helpers come and go while a plan is made)."""
        if patient.hu is not self.patient.hu or patient.external is not self.patient.external:
            raise BadInput(f"patient {patient.id!r}: image or External differ from the engine's; make a new engine.")
        self.patient = patient

    def optimise(
        self,
        objectives: Sequence[Objective],
        *,
        start: NDArray[np.floating] | None = None,
        max_iterations: int | None = None,
        max_seconds: float | None = None,
        report: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Solution:
        """Find the fluence with the smallest sum of objectives.

        ``start`` continues from an earlier fluence of this geometry. Cancelled or out of time, the best fluence so far
        is returned, and `Solution.stop_reason` says so.
        """
        say, began = report or _silent, monotonic()
        if not objectives:
            raise BadInput("there are no objectives to optimise.")
        operator, penalties = self._prepared(objectives, say, cancelled)
        problem = _Problem(operator, penalties)
        x = self._first_fluence(operator, penalties) if start is None else self._checked(start)
        say("optimising", None, 0, None)
        smallest_gain = _SMALLEST_GAIN_GY2 * sum(o.priority for o in objectives)
        limits = Limits(max_iterations or 500, (max_seconds or 300.0) - (monotonic() - began), smallest_gain)
        descent = descend(
            problem,
            x,
            limits,
            scale=np.full(len(x), max(float(x.max()), 1e-6)),
            progress=lambda n, value: say("optimising", None, n, value),
            cancelled=cancelled,
        )
        total, values = problem.values(descent.x)
        converged = descent.stop_reason is StopReason.CONVERGED
        fluence = descent.x.astype(np.float32)
        return Solution(fluence, values, total, descent.iterations, converged, descent.stop_reason, monotonic() - began)

    def evaluate(
        self, objectives: Sequence[Objective], fluence: NDArray[np.floating]
    ) -> tuple[float, Mapping[str, float]]:
        """Total and per-objective weighted values of a fluence."""
        operator, penalties = self._prepared(objectives, _silent, None)
        return _Problem(operator, penalties).values(self._checked(fluence))

    def dose(
        self,
        fluence: NDArray[np.floating],
        grid: Grid,
        report: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> NDArray[np.float32]:
        """Dose in Gy on a grid, [z, y, x]; 0 outside the External."""
        say = report or _silent
        images = self._maps.images(self._checked(fluence))
        inside = np.flatnonzero(share_on(self.patient.external, grid) > 0.0)
        kept = self._depths_on(grid, len(inside))
        dose = np.zeros(grid.size, np.float32)
        for part, percent in self._parts(len(inside)):
            if cancelled is not None and cancelled():
                raise Cancelled("dose calculation was cancelled.")
            points = grid.centres_mm(inside[part])
            depths = self._depths(points, part, kept)
            dose[inside[part]] = DoseOperator(self.machine, self._maps, points, depths).gather(images)
            say("dose", percent, None, None)
        if kept is not None:
            self._kept_depths[grid] = kept
        return dose.reshape(grid.shape)

    # set-up ---------------------------------------------------------------------------------------------------------

    def _lateral_maps(self) -> LateralMaps:
        corners = _corners(self._density.grid, self.optimization_grid, self.dose_grid)
        kernels = []
        for field in self.fields:
            distance = surface_distance(self._density, field.frame.source_mm, field.frame.isocentre_mm)
            if distance is None:
                raise BadInput(f"beam {field.id!r} misses the patient: its axis meets no tissue.")
            kernels.append(self.machine.kernel_at(distance))
        return LateralMaps(self.machine, self.fields, kernels, corners)

    def _prepared(
        self, objectives: Sequence[Objective], say: Report, cancelled: Callable[[], bool] | None
    ) -> tuple[DoseOperator, list[Penalty]]:
        """The operator on the sample points, and the objectives on theirs; drawn anew for structures not seen yet."""
        for objective in objectives:
            check_objective(objective)
        wanted = {o.structure: self.patient.structure(o.structure) for o in objectives}
        if any(self._sampled.get(name) is not structure for name, structure in wanted.items()):
            self._draw(wanted, say, cancelled)
        assert self._samples is not None and self._operator is not None
        regions = self._samples.regions
        return self._operator, [Penalty(o, regions[o.structure]) for o in objectives if o.priority > 0.0]

    def _draw(self, wanted: Mapping[str, Structure], say: Report, cancelled: Callable[[], bool] | None) -> None:
        say("sampling", None, None, None)
        everything = {**self._sampled, **wanted}
        samples = sample(list(everything.values()), self._targets, self.optimization_grid, self.seed)
        depths = np.empty((len(self.fields), len(samples.points_mm)), np.float32)
        for part, percent in self._parts(len(samples.points_mm)):
            if cancelled is not None and cancelled():
                raise Cancelled("optimisation was cancelled during set-up.")
            depths[:, part] = field_depths(self._density, self.fields, samples.points_mm[part])
            say("tracing rays", percent, None, None)
        self._operator = DoseOperator(self.machine, self._maps, samples.points_mm, depths)
        self._samples, self._sampled = samples, everything

    def _parts(self, count: int) -> Iterator[tuple[slice, float]]:
        """Stretches of points that take a fraction of a second each, and the percent done after them."""
        stride = max(1, _RAYS_PER_PASS // len(self.fields))
        for first in range(0, count, stride):
            last = min(first + stride, count)
            yield slice(first, last), 100.0 * last / count

    def _first_fluence(self, operator: DoseOperator, penalties: Sequence[Penalty]) -> NDArray[np.float64]:
        """Flat fluence, scaled so that the lower objectives' structures get their doses in the mean."""
        flat = np.ones(self.beamlet_count)
        dose = operator.forward(flat)
        ratios = [
            p.objective.dose_gy / float(p.region.weight @ dose[p.region.index])
            for p in penalties
            if p.objective.type in _LOWER_TYPES and p.objective.dose_gy > 0.0
        ]
        return flat * (min(ratios) if ratios else 0.0)

    def _depths_on(self, grid: Grid, count: int) -> NDArray[np.float32] | None:
        """Room for the grid's depths, filled already where this grid was asked for before; None when too large."""
        if grid in self._kept_depths:
            return self._kept_depths[grid]
        used = sum(depths.nbytes for depths in self._kept_depths.values())
        if used + 4 * count * len(self.fields) > _DEPTHS_KEPT_BYTES:
            return None
        return np.full((len(self.fields), count), np.nan, np.float32)

    def _depths(
        self, points: NDArray[np.float64], part: slice, kept: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        if kept is not None and not np.isnan(kept[0, part.start]):
            return np.ascontiguousarray(kept[:, part])
        depths = field_depths(self._density, self.fields, points)
        if kept is not None:
            kept[:, part] = depths
        return depths

    def _checked(self, fluence: NDArray[np.floating]) -> NDArray[np.float64]:
        checked = np.asarray(fluence, np.float64)
        if checked.shape != (self.beamlet_count,):
            raise BadInput(f"fluence of shape {checked.shape}; this geometry has {self.beamlet_count} beamlets.")
        if not np.all(np.isfinite(checked)) or checked.min() < 0.0:
            raise BadInput("fluence holds negative or non-finite numbers.")
        return checked


class _Problem:
    """Sum of penalties as a function of fluence, with its gradient."""

    def __init__(self, operator: DoseOperator, penalties: Sequence[Penalty]) -> None:
        self._operator = operator
        self._penalties = penalties

    def __call__(self, fluence: NDArray[np.float64]) -> tuple[float, NDArray[np.float32]]:
        dose = self._operator.forward(fluence)
        slope = np.zeros(len(dose))
        total = 0.0
        for penalty in self._penalties:
            value, gradient = penalty.evaluate(dose)
            total += value
            if value > 0.0:
                slope[penalty.region.index] += gradient
        return total, self._operator.adjoint(slope)

    def values(self, fluence: NDArray[np.float64]) -> tuple[float, dict[str, float]]:
        dose = self._operator.forward(fluence)
        values = {p.objective.id: p.evaluate(dose)[0] for p in self._penalties}
        return sum(values.values()), values


def _targets(patient: Patient, names: Sequence[str]) -> list[Structure]:
    if not names:
        raise BadInput("a plan needs at least one target.")
    targets = [patient.structure(name) for name in names]
    for target in targets:
        if target.is_empty:
            raise BadInput(f"target {target.name!r} is empty; there is nothing to irradiate.")
    return targets


def _check_beams(patient: Patient, beams: Sequence[Beam]) -> None:
    if not beams:
        raise BadInput("a plan needs at least one beam.")
    for beam in beams:
        if not patient.grid.contains(beam.isocentre_mm):
            x, y, z = beam.isocentre_mm
            raise BadInput(f"beam {beam.id!r}: its isocentre ({x:.1f}, {y:.1f}, {z:.1f}) mm lies outside the image.")


def _target_points(targets: Sequence[Structure]) -> NDArray[np.float64]:
    """Centres of the targets' image voxels, with corners where voxels are large, shape (points, 3)."""
    parts = []
    for target in targets:
        box = target.image_grid
        z, y, x = np.nonzero(target.occupancy >= min(0.5, 0.5 * float(target.occupancy.max())))
        first_z, first_y, first_x = target.first_voxel
        centres = np.stack([x + first_x, y + first_y, z + first_z], axis=1) * box.spacing_mm + box.origin_mm
        for sign in np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(-1, 3):
            parts.append(centres + 0.25 * sign * box.spacing_mm)
    return np.concatenate(parts)


def _corners(*grids: Grid) -> NDArray[np.float64]:
    """The eight corners of the smallest box round all grids, shape (8, 3)."""
    lows = np.array([np.array(g.origin_mm) - np.array(g.spacing_mm) / 2 for g in grids]).min(0)
    highs = np.array(
        [np.array(g.origin_mm) + (np.array(g.shape[::-1]) - 0.5) * np.array(g.spacing_mm) for g in grids]
    ).max(0)
    return np.array([(x, y, z) for x in (lows[0], highs[0]) for y in (lows[1], highs[1]) for z in (lows[2], highs[2])])


def _silent(stage: str, percent: float | None, iteration: int | None, value: float | None) -> None:
    """Nobody is listening."""
