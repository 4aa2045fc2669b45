"""Optimising in Eclipse: IMRT in chunks of iterations, VMAT in one go.

The one idea: Eclipse blocks while it optimises and cannot be stopped, so where the site allows it the work is cut into
chunks, each of which goes on from the last. Between two of them the iteration and the objective value are told, a wish
to stop is heard, and it is seen whether somebody changed the plan meanwhile. Lines that Eclipse traces are told as they
come.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge import errors, model
from bridge.backend import Monitor
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.making import likeness, models, normalizing
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reach.site import ARC, STATIC
from bridge.backends.esapi.reading import dose_info, plans
from bridge.backends.esapi.reading.fluences import fluence_of
from bridge.backends.esapi.working.stages import Stage, answered
from bridge.model import StartPoint, StopReason

STAGE = "optimisation"


@dataclass(frozen=True)
class _Run:
    """What all chunks of one optimisation share."""

    chart: Chart
    plan: Any
    plan_name: str
    monitor: Monitor
    mlc: str
    """Id of the leaf collimator; empty: Eclipse takes the machine's."""
    key: str
    """Of the plan's record."""


@dataclass(frozen=True)
class _Outcome:
    total: float
    values: dict[str, float]
    iterations: int
    stop_reason: StopReason


@dataclass
class _Count:
    """Iterations of each chunk, of what Eclipse tells: those of the call, or all since the optimisation was begun.

    A number that is larger than what was asked for is of the latter kind, and so are those after it.
    """

    told: int = 0
    """The number after the last chunk."""
    is_running_total: bool = False

    def of(self, told: int, asked: int) -> int:
        self.is_running_total = self.is_running_total or told > asked
        iterations = told - self.told if self.is_running_total else told
        self.told = told
        return min(iterations, asked)  # a warm start's first total holds iterations of before


def run(chart: Chart, plan_name: str, spec: model.OptimizeSpec, monitor: Monitor) -> model.OptimizationResult:
    """Optimise the plan for its objectives."""
    _require_offered(chart, spec)
    with translated(f"optimise plan {plan_name!r}"):
        plan = chart.plan(plan_name)
        turns = _require_ready(chart, plan, plan_name, spec)
        task = _Run(chart, plan, plan_name, monitor, _mlc(chart, plan), chart.key(plan))
        with normalizing.kept(chart, plan, plan_name, monitor):
            outcome = _vmat(task, spec) if turns else _imrt(task, spec)
            _remember(task, outcome)
        return _result(task, outcome)


# ------------------------------------------------------------------------------------------ what is refused


def _require_offered(chart: Chart, spec: model.OptimizeSpec) -> None:
    if spec.problem is not model.OptimizationProblem.QUADRATIC_PENALTY:
        raise _missing(f"Eclipse does not solve {spec.problem.name}.", "optimize.problem.hot-fraction")
    if spec.max_seconds is not None:
        raise _missing("Eclipse keeps no limit on the time of an optimisation.", "optimize.max-seconds")
    if spec.seed is not None:
        raise _missing("Eclipse takes no seed.", "optimize.seed")
    most = chart.site.max_iterations
    if spec.max_iterations is not None and spec.max_iterations > most:
        raise errors.LimitExceeded(
            f"{spec.max_iterations} iterations were asked for; at most {most} are allowed at this site.",
            metadata={"field": "spec.max_iterations", "limit": str(most)},
        )


def _require_ready(chart: Chart, plan: Any, plan_name: str, spec: model.OptimizeSpec) -> bool:
    """Refuse what Eclipse would, with a reason that it would not give; whether the beams are arcs."""
    beams = plans.treatment_beams(plan)
    if not beams:
        raise errors.TpsRefused(f"plan {plan_name!r} has no treatment beams to optimise.")
    if not likeness.objectives(plan):
        raise errors.NoObjectives(f"plan {plan_name!r} has no objectives; set some before optimising.")
    arcs = [beam for beam in beams if plans.is_arc(beam)]
    if arcs and len(arcs) < len(beams):
        raise errors.TpsRefused(
            f"plan {plan_name!r} has {len(arcs)} arcs among {len(beams)} beams; Eclipse optimises arcs or static "
            "beams. Plan with one kind."
        )
    _require_technique(chart, plan_name, turns=bool(arcs))
    if arcs and spec.max_iterations is not None:
        raise _missing(
            f"plan {plan_name!r} has arcs, for which Eclipse takes no number of iterations.", "optimize.max-iterations"
        )
    if spec.start is StartPoint.WARM and not (chart.record(plan).optimised or _has_fluence(beams)):
        raise errors.NoDose(
            f"plan {plan_name!r} has not been optimised, so there is nothing to go on from; start COLD."
        )
    return bool(arcs)


def _require_technique(chart: Chart, plan_name: str, *, turns: bool) -> None:
    if turns != (chart.site.technique == ARC):
        found, wanted = ("arcs", STATIC) if turns else ("static beams", ARC)
        raise errors.CapabilityMissing(
            f"plan {plan_name!r} has {found}, and technique = {wanted} in section [site]; plan with the other kind.",
            metadata={"capability": "optimize.vmat" if turns else "optimize.imrt"},
        )


def _has_fluence(beams: list[Any]) -> bool:
    return any(fluence_of(beam) is not None for beam in beams)


def _missing(sentence: str, capability: str) -> errors.CapabilityMissing:
    return errors.CapabilityMissing(f"{sentence} Leave it out.", metadata={"capability": capability})


def _mlc(chart: Chart, plan: Any) -> str:
    """The configured leaf collimator, or the only one that the beams name."""
    if chart.site.mlc:
        return chart.site.mlc
    found = [access.get(beam, "MLC") for beam in plans.treatment_beams(plan)]
    named = sorted({str(access.get(mlc, "Id")) for mlc in found if mlc is not None})
    if len(named) > 1:
        raise errors.TpsRefused(
            f"the beams have several leaf collimators: {', '.join(named)}. Name the one to optimise for as mlc in "
            "section [site]."
        )
    return "".join(named)


# ------------------------------------------------------------------------------------------ IMRT and VMAT


def _imrt(task: _Run, spec: model.OptimizeSpec) -> _Outcome:
    models.ensure(task.plan, models.IMRT_OPTIMIZATION, task.chart.site)
    models.ensure(task.plan, models.VOLUME_DOSE, task.chart.site)
    most = spec.max_iterations or task.chart.site.max_iterations
    chunk = task.chart.site.chunk_iterations or most
    basis, done, going_on = likeness.of_basis(task.plan), 0, spec.start is StartPoint.WARM
    total, values, count = math.nan, dict[str, float](), _Count()
    while done < most:
        if task.monitor.cancelled:
            return _stopped(task, total, values, done)
        asked = min(chunk, most - done)
        optimise = functools.partial(task.plan.Optimize, *_imrt_options(task, asked, going_on))
        answer = _optimised(task, done, optimise, basis)
        iterations = count.of(int(access.get(answer, "NumberOfIMRTOptimizerIterations")), asked)
        total, values = _values(task, answer)
        done, going_on = done + iterations, True
        task.monitor.report(model.Progress(STAGE, 100.0 * min(1.0, done / most), done, total))
        if iterations < asked:
            return _Outcome(total, values, done, StopReason.CONVERGED)
    return _Outcome(total, values, done, StopReason.MAX_ITERATIONS)


def _imrt_options(task: _Run, iterations: int, going_on: bool) -> tuple[Any, ...]:
    """Arguments of Optimize; where no leaf collimator is known, those that name none."""
    start = access.enum("OptimizationOption", "ContinueOptimization" if going_on else "RestartOptimization")
    if not task.mlc:
        return iterations, start
    until_converged = access.enum("OptimizationConvergenceOption", "TerminateIfConverged")
    return (access.types().OptimizationOptionsIMRT(iterations, start, until_converged, task.mlc),)


def _vmat(task: _Run, spec: model.OptimizeSpec) -> _Outcome:
    models.ensure(task.plan, models.VMAT_OPTIMIZATION, task.chart.site)
    models.ensure(task.plan, models.VOLUME_DOSE, task.chart.site)
    if task.monitor.cancelled:
        return _stopped(task, math.nan, {}, 0)
    going_on = spec.start is StartPoint.WARM
    start = access.enum("OptimizationOption", "ContinueOptimization" if going_on else "RestartOptimization")
    options = access.types().OptimizationOptionsVMAT(start, task.mlc)
    basis = likeness.of_basis(task.plan)
    answer = _optimised(task, 0, lambda: task.plan.OptimizeVMAT(options), basis)
    total, values = _values(task, answer)
    return _Outcome(total, values, 0, StopReason.VENDOR)


def _optimised(task: _Run, done: int, optimise: Callable[[], Any], basis: dict[str, Any]) -> Any:
    """Eclipse's answer; after a failure the dose that is left is not trusted."""
    had_dose = done > 0 or access.get(task.plan, "Dose") is not None
    try:
        answer = answered(_stage(task, done), optimise)
        had_dose = True
        _require_unchanged(task, basis)
    except errors.BridgeError:
        if had_dose:  # nobody can tell whether it is of the fluence that there is now
            record = task.chart.records.plan(task.key)
            record.dose_kind = model.DoseKind.INTERMEDIATE
            record.revision += 1
        raise
    return answer


def _stage(task: _Run, done: int) -> Stage:
    return Stage(STAGE, "optimise", task.chart, task.plan, task.plan_name, task.monitor, done)


def _stopped(task: _Run, total: float, values: dict[str, float], done: int) -> _Outcome:
    if done == 0:
        raise errors.OperationCancelled(f"the optimisation of plan {task.plan_name!r} was cancelled before it began.")
    return _Outcome(total, values, done, StopReason.CANCELLED)


def _require_unchanged(task: _Run, basis: dict[str, Any]) -> None:
    """Refuse to go on with a plan that somebody changed while Eclipse was optimising it."""
    if not task.chart.has_plan(task.plan_name):
        raise errors.TpsRefused(
            f"plan {task.plan_name!r} was removed or renamed while it was optimised; list plans again."
        )
    now = likeness.of_basis(task.plan)
    changed = [name for name, before in basis.items() if now[name] != before]
    if changed:
        raise errors.TpsRefused(
            f"plan {task.plan_name!r} was changed in Eclipse while it was optimised ({', '.join(changed)}), so what "
            "was found is not of the plan as it is now. Read the plan again and optimise it again."
        )


# ------------------------------------------------------------------------------------------ the result


def _values(task: _Run, answer: Any) -> tuple[float, dict[str, float]]:
    total = float(access.get(answer, "TotalObjectiveFunctionValue"))
    if not math.isfinite(total):
        raise errors.TpsRefused(
            f"Eclipse gave {total} as the objective value of plan {task.plan_name!r}; see its logs."
        )
    values: dict[str, float] = {}
    for each in access.items(answer, "StructureObjectiveValues"):
        structure, value = access.get(each, "Structure"), float(access.get(each, "Value"))
        if structure is not None and math.isfinite(value):
            name = task.chart.structure_name(structure)
            values[name] = values.get(name, 0.0) + value
    return total, values


def _remember(task: _Run, outcome: _Outcome) -> None:
    record = task.chart.record(task.plan)
    record.optimised, record.dose_outdated, record.values = True, False, outcome.values
    record.revision += 1  # nobody can read a fluence, and it is another one
    record.dose_kind = model.DoseKind.INTERMEDIATE


def _result(task: _Run, outcome: _Outcome) -> model.OptimizationResult:
    etag = plans.etag(task.chart, task.plan)
    task.chart.record(task.plan).dose_etag = etag
    return model.OptimizationResult(
        total_value=outcome.total,
        granularity=model.ValueGranularity.PER_STRUCTURE,
        values=outcome.values,
        iterations=outcome.iterations,
        converged=outcome.stop_reason is StopReason.CONVERGED,
        stop_reason=outcome.stop_reason,
        dose=dose_info.read(task.chart, task.plan),
        plan_etag=etag,
    )
