"""Optimisation, leaf motions and dose of one patient's plans, by the simulator.

The one idea: the steps are those of `sim_tps.tps.Tps`, taken one by one as Eclipse takes them, so the same beams, grids
and objectives lead to the same numbers, bit for bit. A calculation that a planning system would not carry out is an
`Outcome` without success, and the reason is in its logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.backends.emulated_eclipse import plans
from bridge.backends.emulated_eclipse.arrays import Fluence
from bridge.backends.emulated_eclipse.hospital import Chart
from bridge.backends.emulated_eclipse.options import Options
from bridge.backends.emulated_eclipse.plans import Declined, Geometry, Record, Say
from sim_tps.delivery.delivered import Technique
from sim_tps.delivery.delivery import Delivery, deliver
from sim_tps.engine import PlanEngine, Solution
from sim_tps.errors import BadInput
from sim_tps.machine import machines
from sim_tps.memory import check_dose_memory
from sim_tps.plan import Dose, Objective
from sim_tps.progress import Report
from sim_tps.tps import PENCIL_BEAM, dose_grid

OPTIMIZATION, LEAF_MOTIONS, DOSE = "Optimization", "LMC", "Dose"
"""Categories of calculation logs."""
MOST_SECONDS = 600.0
"""An optimisation does not go on for longer; the simulator's own default."""
TRACED_EVERY = 5
"""Iterations from one line on the trace to the next."""
_ENGINES_KEPT = 2


@dataclass(frozen=True)
class Request:
    """A plan to calculate, with the structures as they are now and somewhere to tell how it goes."""

    chart: Chart
    plan: Record
    structures: list[Record]
    options: Options
    say: Say


@dataclass(frozen=True)
class Outcome:
    """What a calculation led to: facts for the reply, and lines for every beam's log."""

    category: str
    success: bool
    lines: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def reply(self, plan: Record) -> dict[str, Any]:
        log = {"category": self.category, "lines": list(self.lines)}
        logs = {beam["id"]: [log] for beam in plan["beams"] if not beam["setup"]}
        reason = {} if self.success else {"reason": self.lines[-1]}
        return {"success": self.success, "logs": logs, **reason, **self.facts}


class Calculations:
    """The engines, kept from one calculation to the next where nothing that matters changed."""

    def __init__(self) -> None:
        self._engines: dict[tuple[object, ...], PlanEngine] = {}
        self._deliveries: dict[tuple[object, ...], Delivery] = {}

    def optimise(self, request: Request, *, warm: bool, iterations: int | None) -> Outcome:
        """Fluence for the plan's objectives, and its dose on the optimisation grid."""
        return _attempt(OPTIMIZATION, lambda: self._optimise(request, warm, iterations))

    def leaf_motions(self, request: Request) -> Outcome:
        """Control points that deliver the plan's fluence."""
        return _attempt(LEAF_MOTIONS, lambda: self._leaf_motions(request))

    def dose(self, request: Request) -> Outcome:
        """The dose of the control points, on the plan's dose grid."""
        return _attempt(DOSE, lambda: self._dose(request))

    def _optimise(self, request: Request, warm: bool, iterations: int | None) -> Outcome:
        plan, structures, chart = request.plan, request.structures, request.chart
        _check_body(structures)
        objectives = plans.objectives(plan, structures, request.say)
        _check_drawn(objectives, request)
        start = _fluence(request) if warm else None
        targets = start.geometry.targets if start else ()
        geometry = plans.geometry(plan, structures, request.options, chart.lies, targets)
        report = _traced(request.say)
        engine = self._engine(request, geometry, report)
        solution, gy = engine.optimise_with_dose(
            objectives,
            start=start.weights if start else None,
            max_iterations=request.options.iterations if iterations is None else iterations,
            max_seconds=MOST_SECONDS,
            report=report,
        )
        facts = {
            "total": solution.total,
            "iterations": solution.iterations,
            "converged": solution.converged,
            "structures": _by_structure(objectives, solution.values),
            "fluence": chart.keep(Fluence(solution.fluence, geometry)),
            "dose": chart.keep(Dose(gy, engine.optimization_grid, "intermediate", f"{PENCIL_BEAM}; ideal fluence")),
        }
        return Outcome(OPTIMIZATION, True, _told(solution), facts)

    def _leaf_motions(self, request: Request) -> Outcome:
        _check_body(request.structures)
        fluence = _fluence(request)
        delivery = self._delivery(request, fluence, _traced(request.say))
        findings = tuple(finding.message for finding in delivery.findings)
        beams = {
            beam["id"]: {"mu": mu, "control_points": sum(len(part.control_points) for part in parts)}
            for beam, mu, parts in zip(
                plans.treatment_beams(request.plan), delivery.beam_mu, delivery.parts, strict=True
            )
        }
        lines = (f"Leaf motions calculated: {delivery.technique.value}.", *findings)
        return Outcome(LEAF_MOTIONS, True, lines, {"beams": beams})

    def _dose(self, request: Request) -> Outcome:
        _check_body(request.structures)
        fluence, plan, chart = _fluence(request), request.plan, request.chart
        grid = dose_grid(chart.patient(request.structures), plans.dose_grid_mm(plan, request.options))
        check_dose_memory(grid, len(fluence.geometry.beams))
        report = _traced(request.say)
        delivery = self._delivery(request, fluence, report)
        engine = self._engine(request, fluence.geometry, report)
        gy = engine.delivered_dose(delivery.parts, plans.fraction_count(plan), grid, report)
        handle = chart.keep(Dose(gy, grid, "final", f"{PENCIL_BEAM}; {delivery.technique.value}"))
        beams = {beam["id"]: {"mu": mu} for beam, mu in zip(plans.treatment_beams(plan), delivery.beam_mu, strict=True)}
        spacing = " x ".join(f"{mm:g}" for mm in grid.spacing_mm)
        lines = (f"Dose calculated on voxels of {spacing} mm; maximum {float(gy.max()):.2f} Gy.",)
        return Outcome(DOSE, True, lines, {"dose": handle, "beams": beams})

    def _delivery(self, request: Request, fluence: Fluence, report: Report) -> Delivery:
        """The control points of a fluence, kept because dose is asked for right after leaf motions."""
        fractions = plans.fraction_count(request.plan)
        key = (request.plan["fluence"], fractions)
        if key not in self._deliveries:
            self._deliveries.clear()
            self._deliveries[key] = deliver(
                machines()[fluence.geometry.machine],
                self._engine(request, fluence.geometry, report).fields,
                fluence.weights,
                fractions,
                Technique.SLIDING_WINDOW,
                report=report,
                cancelled=lambda: False,
            )
        return self._deliveries[key]

    def _engine(self, request: Request, geometry: Geometry, report: Report) -> PlanEngine:
        """The engine for beams over targets; the targets stay as they were when the beams were laid over them."""
        chart = request.chart
        patient = chart.patient(request.structures)
        targets = {t.structure: chart.segment_as(t.structure, t.segment) for t in geometry.targets}
        key = (chart, geometry, patient.external)
        if key not in self._engines:
            grid_mm, judged_mm = geometry.dose_grid_mm, geometry.optimization_grid_mm
            self._engines[key] = PlanEngine(
                replace(patient, structures={**patient.structures, **targets}),
                geometry.beams,
                machines()[geometry.machine],
                list(targets),
                dose_grid=dose_grid(patient, grid_mm),
                optimization_grid=dose_grid(patient, grid_mm if judged_mm is None else judged_mm),
                beamlet_mm=geometry.beamlet_mm,
                report=report,
            )
            while len(self._engines) > _ENGINES_KEPT:
                self._engines.pop(next(iter(self._engines)))
        engine = self._engines[key]
        engine.use(patient)
        return engine


def _attempt(category: str, calculate: Callable[[], Outcome]) -> Outcome:
    """The outcome; without success where the plan cannot be calculated."""
    try:
        return calculate()
    except (Declined, BadInput) as refusal:
        return Outcome(category, False, (str(refusal),))


def _fluence(request: Request) -> Fluence:
    """The plan's fluence, if its beams are still those it was found for."""
    handle = request.plan["fluence"]
    if handle is None:
        raise Declined("The plan has no optimal fluence; optimize it first.")
    fluence = request.chart.thing(handle, Fluence)
    here = (plans.machine(request.plan, request.options), plans.sim_beams(request.plan, request.chart.lies))
    if here != (fluence.geometry.machine, fluence.geometry.beams):
        raise Declined("The beams were changed since the optimization; optimize the plan again.")
    return fluence


def _check_body(structures: Sequence[Record]) -> None:
    if not any(record["dicom_type"] == "EXTERNAL" and record["segment"] is not None for record in structures):
        raise Declined("The structure set has no body: no EXTERNAL structure with contours.")


def _check_drawn(objectives: Sequence[Objective], request: Request) -> None:
    drawn = {record["id"]: record["segment"] for record in request.structures}
    for objective in objectives:
        if drawn.get(objective.structure) is None:
            raise Declined(f"Structure {objective.structure} has an optimization objective but no contours.")


def _by_structure(objectives: Sequence[Objective], values: Mapping[str, float]) -> dict[str, float]:
    """Weighted values summed over each structure's objectives."""
    sums: dict[str, float] = {}
    for objective in objectives:
        sums[objective.structure] = sums.get(objective.structure, 0.0) + values.get(objective.id, 0.0)
    return sums


def _told(solution: Solution) -> tuple[str, ...]:
    return (
        f"Optimization ended after {solution.iterations} iterations: {solution.stop_reason.value}.",
        f"Objective {solution.total:.2f}.",
    )


def _traced(say: Say) -> Report:
    """Progress as lines of text: each stage once, every few iterations their objective."""
    told: list[str] = []

    def report(stage: str, _percent: float | None, iteration: int | None, value: float | None) -> None:
        if stage not in told[-1:]:
            told.append(stage)
            say(stage)
        if iteration and value is not None and (iteration == 1 or iteration % TRACED_EVERY == 0):
            say(f"iteration {iteration}: objective {value:.2f}")

    return report
