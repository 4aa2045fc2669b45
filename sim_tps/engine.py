"""Dose and optimisation of one plan geometry.

A `PlanEngine` belongs to a patient, a set of fields and two grids. It sets up once (density, beamlets, kernels, sample
points, depths) and then answers as often as asked: optimise, evaluate, compute dose. Re-optimising after a changed
objective starts at once; only a structure it has not seen yet makes it draw its sample points again.

Doses are plan totals in Gy. One unit of fluence is what the machine says in `Machine.unit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from sim_tps.checks import check_beamlet, check_beams, check_objectives, checked_targets
from sim_tps.delivery.delivery import MU_PER_UNIT, Parts
from sim_tps.delivery.fluence import CELL_MM, delivered_fluence
from sim_tps.dose._threads import one_blas_thread
from sim_tps.dose.density import density_map
from sim_tps.dose.fields import Field, beamlet_count, field_for_target, open_field
from sim_tps.dose.lateral import LateralMaps
from sim_tps.dose.operator import DoseOperator, load_kernels
from sim_tps.dose.patient_dose import PatientDose
from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.machine import Machine
from sim_tps.memory import check_dose_memory, check_optimisation_memory
from sim_tps.optimise.constraints import descend_within
from sim_tps.optimise.hot_fraction import Held, solve_hot_fraction
from sim_tps.optimise.objectives import problem_of
from sim_tps.optimise.points import FINEST, Points
from sim_tps.optimise.sampling import share_on
from sim_tps.optimise.smoothing import USUAL_STRENGTH, Smoothness
from sim_tps.optimise.solver import Descent, Limits, StopReason
from sim_tps.optimise.terms import Terms
from sim_tps.patient import Patient, Structure
from sim_tps.plan import Beam, Objective, Problem
from sim_tps.progress import IsCancelled, Report, heeding, silent

_SMALLEST_GAIN_GY2 = 1e-4
"""Convergence: a window of iterations that gains less than this × the sum of priorities gains next to nothing: it is
what 0.1 Gy too much in a hundredth of a structure costs."""
_THINNING_ALLOWED = 0.03
"""Sample points that are off by a larger share of the objectives' sum are made denser."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What an optimisation found."""

    fluence: NDArray[np.float32]
    """One number per beamlet, all fields in a row."""
    values: Mapping[str, float]
    """Objective id -> priority × penalty, in Gy²; constraint id -> the Gy by which it is missed, 0 where it is kept."""
    unmet: Mapping[str, float]
    """Constraint id -> Gy, for those missed by more than their tolerance."""
    total: float
    iterations: int
    converged: bool
    stop_reason: StopReason
    seconds: float
    thinning_percent: float | None = None
    """Share of the total that the sample points have hidden, below 0 where they exaggerated; None before a look."""


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
    fields
        One field per beam with its beamlets, where these are not to be placed over the targets.
    smoothing
        Price of rough fluence (`sim_tps.optimise.smoothing`), in every problem but the hot-fraction one; 0 for none.
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
        fields: Sequence[Field] | None = None,
        smoothing: float = USUAL_STRENGTH,
        seed: int = 0,
        report: Report | None = None,
        cancelled: IsCancelled | None = None,
    ) -> None:
        say = heeding(report or silent, cancelled)
        self.patient, self.machine = patient, machine
        self.dose_grid, self.optimization_grid = dose_grid, optimization_grid
        self.beamlet_mm = machine.head.leaf_width_mm if beamlet_mm is None else beamlet_mm
        self.seed = seed
        self._targets = checked_targets(patient, targets)
        check_beams(patient, beams)
        check_beamlet(self.beamlet_mm)
        check_dose_memory(dose_grid, len(beams))
        check_optimisation_memory(optimization_grid, len(beams), self._targets)
        say("loading kernels (compiled once per machine)", None, None, None)
        load_kernels()
        say("density", None, None, None)
        self._density = density_map(patient)
        say("beamlets", None, None, None)
        self.fields = tuple(fields or self._fields_over_targets(beams))
        self._smoothness = Smoothness(self.fields, smoothing) if smoothing > 0.0 else None
        self._calculation = PatientDose(machine, self._density, self.fields, [optimization_grid, dose_grid])
        self._points = Points(self._targets, optimization_grid, seed)

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
        max_iterations: int = 500,
        max_seconds: float = 300.0,
        fineness: int = 1,
        report: Report | None = None,
        cancelled: IsCancelled | None = None,
    ) -> Solution:
        """Find the fluence with the smallest sum of objectives that keeps the constraints.

        The objectives themselves say which `Problem` they pose. Constraints that cannot all be kept end in a finite
        fluence and `Solution.unmet`. ``start`` continues from an earlier fluence of this geometry. Cancelled or out of
        time, the best fluence so far is returned, and `Solution.stop_reason` says so. ``fineness`` divides the distance
        between sample points where they are thinned.
        """
        say, began = report or silent, monotonic()
        if not objectives:
            raise BadInput("there are no objectives to optimise.")
        terms = self._terms(objectives, say, cancelled, fineness)
        x = terms.first_fluence() if start is None else self._checked(start)
        say("optimising", None, 0, None)
        smallest_gain = _SMALLEST_GAIN_GY2 * sum(o.priority for o in objectives)
        limits = Limits(max_iterations, max_seconds - (monotonic() - began), smallest_gain)
        with one_blas_thread():
            descent = self._descend(terms, objectives, x, limits, say, cancelled)
        values, missed = terms.values(descent.x)
        unmet = terms.unmet(missed)
        converged = descent.stop_reason is StopReason.CONVERGED and not unmet
        return Solution(
            descent.x.astype(np.float32),
            {**values, **missed},
            unmet,
            sum(values.values()),
            descent.iterations,
            converged,
            descent.stop_reason,
            monotonic() - began,
        )

    def prepare(self, objectives: Sequence[Objective], report: Report | None = None) -> None:
        """Do now what the first optimisation would do before its first iteration: sample points, rays."""
        self._terms(objectives, report or silent, None)

    def evaluate(
        self, objectives: Sequence[Objective], fluence: NDArray[np.floating]
    ) -> tuple[float, Mapping[str, float]]:
        """Total and per-objective weighted values of a fluence, and what each constraint is missed by in Gy."""
        checked = self._checked(fluence)
        values, missed = self._terms(objectives, silent, None).values(checked)
        dose_gy = self.dose(checked, self.optimization_grid)
        whole = {**values, **self._points.whole_values(objectives, self.patient, dose_gy)}
        return sum(whole.values()), {**whole, **missed}

    def optimise_with_dose(
        self,
        objectives: Sequence[Objective],
        *,
        start: NDArray[np.floating] | None = None,
        max_iterations: int = 500,
        max_seconds: float = 300.0,
        report: Report | None = None,
        cancelled: IsCancelled | None = None,
    ) -> tuple[Solution, NDArray[np.float32]]:
        """`optimise`, the dose on the optimisation grid, and the objectives' values on all its voxels.

        Where the sample points have hidden too much from the optimiser, it goes on from there on denser ones, within
        the same limits; `Solution.thinning_percent` tells what is left.

        Raises
        ------
        Cancelled
            Before or while the dose is computed; unlike `optimise` it has no dose to return then.
        """
        say, began, done, fineness = report or silent, monotonic(), 0, 1
        while True:
            solution = self.optimise(
                objectives,
                start=start,
                max_iterations=max_iterations - done,
                max_seconds=max_seconds - (monotonic() - began),
                fineness=fineness,
                report=report,
                cancelled=cancelled,
            )
            done += solution.iterations
            dose_gy = self.dose(solution.fluence, self.optimization_grid, report, cancelled)
            whole = self._on_all_voxels(objectives, solution, dose_gy)
            start, whole = solution.fluence, replace(whole, iterations=done, seconds=monotonic() - began)
            say(f"judged on all voxels; samples hid {whole.thinning_percent:.1f} %", None, done, whole.total)
            misled = abs(whole.total - solution.total) > self._thinning_allowed(objectives, whole.total)
            if not misled or not solution.converged or done >= max_iterations or fineness >= FINEST:
                return whole, dose_gy
            fineness *= 2

    def dose(
        self,
        fluence: NDArray[np.floating],
        grid: Grid,
        report: Report | None = None,
        cancelled: IsCancelled | None = None,
    ) -> NDArray[np.float32]:
        """Dose in Gy of ideal fluence on a grid, [z, y, x]; 0 outside the External."""
        return self._dose(self._checked(fluence), self._calculation.maps, grid, report or silent, cancelled)

    def delivered_dose(
        self,
        delivered: Sequence[Parts],
        fraction_count: int,
        grid: Grid,
        report: Report | None = None,
        cancelled: IsCancelled | None = None,
    ) -> NDArray[np.float32]:
        """Dose in Gy of what control points let through, over all fractions; as `dose`, but in finer cells.

        Parameters
        ----------
        delivered
            For each field what is delivered for it, with MU per fraction; a field without anything gives no dose.
        """
        opened = [self._opened(field, parts) for field, parts in zip(self.fields, delivered, strict=True)]
        maps = self._calculation.maps_of([field for field, _ in opened], CELL_MM)
        mu = np.concatenate([raster.ravel() for _, raster in opened])
        return self._dose(mu * fraction_count / MU_PER_UNIT, maps, grid, report or silent, cancelled)

    # helpers --------------------------------------------------------------------------------------------------------

    def _on_all_voxels(
        self, objectives: Sequence[Objective], solution: Solution, dose_gy: NDArray[np.floating]
    ) -> Solution:
        """The solution with its objectives' values on every voxel, and what the thinning of the samples has hidden."""
        values = {**solution.values, **self._points.whole_values(objectives, self.patient, dose_gy)}
        total = sum(values[o.id] for o in objectives if o.priority > 0.0)
        hidden = 100.0 * (1.0 - solution.total / total) if total > 0.0 else 0.0
        return replace(solution, values=values, total=total, thinning_percent=hidden)

    def _thinning_allowed(self, objectives: Sequence[Objective], total: float) -> float:
        return max(_THINNING_ALLOWED * total, _SMALLEST_GAIN_GY2 * sum(o.priority for o in objectives))

    def _dose(
        self,
        fluence: NDArray[np.float64],
        maps: LateralMaps,
        grid: Grid,
        report: Report,
        cancelled: IsCancelled | None,
    ) -> NDArray[np.float32]:
        check_dose_memory(grid, len(self.fields))
        inside = np.flatnonzero(share_on(self.patient.external, grid) > 0.0)
        return self._calculation.on_grid(fluence, maps, grid, inside, report, cancelled)

    def _opened(self, field: Field, parts: Parts) -> tuple[Field, NDArray[np.float64]]:
        """What goes through the head as a field of small cells, with their MU; one empty cell where nothing does."""
        first, raster = delivered_fluence(self.machine, parts) if parts else ((0.0, 0.0), np.zeros((1, 1)))
        return replace(open_field(field.frame, CELL_MM, first, raster.shape), id=field.id), raster

    def _fields_over_targets(self, beams: Sequence[Beam]) -> list[Field]:
        points = _target_points(self._targets)
        return [field_for_target(beam, self.machine, self.beamlet_mm, points) for beam in beams]

    def _terms(
        self, objectives: Sequence[Objective], say: Report, cancelled: IsCancelled | None, fineness: int = 1
    ) -> Terms:
        def operator_on(points_mm: NDArray[np.float64]) -> DoseOperator:
            return self._calculation.operator_on(points_mm, self._in_body(points_mm), say, cancelled)

        check_objectives(self.patient, objectives)
        constrained = {o.structure: self.patient.structure(o.structure) for o in objectives if o.relation is not None}
        check_optimisation_memory(self.optimization_grid, len(self.fields), list(constrained.values()))
        heeding(say, cancelled)("sampling", None, None, None)
        terms = self._points.terms(objectives, self.patient, operator_on, fineness)
        return replace(terms, smoothness=self._smoothness)

    def _in_body(self, points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points lie in voxels of the optimisation grid that hold some of the External, as `dose` has it."""
        grid = self.optimization_grid
        body = share_on(self.patient.external, grid) > 0.0
        voxel = np.floor((points_mm - np.array(grid.origin_mm)) / np.array(grid.spacing_mm) + 0.5).astype(np.intp)
        x, y, z = np.clip(voxel, 0, np.array(grid.shape[::-1]) - 1).T
        return body[z, y, x]

    def _descend(
        self,
        terms: Terms,
        objectives: Sequence[Objective],
        start: NDArray[np.float64],
        limits: Limits,
        say: Report,
        cancelled: IsCancelled | None,
    ) -> Descent:
        def progress(iteration: int, value: float) -> None:
            say("optimising", None, iteration, value)

        operator, constraints = terms.operator, terms.constraints
        if problem_of(objectives) is Problem.HOT_FRACTION:
            held = [Held(c.objective, c.region) for c in constraints]
            return solve_hot_fraction(
                operator, terms.penalties, held, start, limits, progress=progress, cancelled=cancelled
            )
        return descend_within(
            terms,
            constraints,
            operator.forward,
            start,
            limits,
            scale=terms.scale(start),
            progress=progress,
            cancelled=cancelled,
        )

    def _checked(self, fluence: NDArray[np.floating]) -> NDArray[np.float64]:
        checked = np.asarray(fluence, np.float64)
        if checked.shape != (self.beamlet_count,):
            raise BadInput(f"fluence of shape {checked.shape}; this geometry has {self.beamlet_count} beamlets.")
        if not np.all(np.isfinite(checked)) or checked.min() < 0.0:
            raise BadInput("fluence holds negative or non-finite numbers.")
        return checked


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
