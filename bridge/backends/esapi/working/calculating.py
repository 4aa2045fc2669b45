"""Final dose in Eclipse: leaf motions for what was optimised, then the volume dose.

The one idea: two stages, each told by name. Leaf motions are calculated where there is a fluence to make them from; a
plan that has neither a fluence nor leaves has nothing to calculate.
"""

from __future__ import annotations

from typing import Any

from bridge import errors, model
from bridge.backend import Monitor
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.making import models, normalizing
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reading import dose_info, plans
from bridge.backends.esapi.reading.fluences import fluence_of
from bridge.backends.esapi.working.stages import Stage, answered

_OPEN_CONTROL_POINTS = 2
"""A static beam whose leaves do not move has its first control point and its last."""


def run(chart: Chart, plan_name: str, grid_mm: float | None, monitor: Monitor) -> model.DoseResult:
    """Sequence what was optimised, and calculate the dose of it."""
    with translated(f"calculate the dose of plan {plan_name!r}"):
        plan = chart.plan(plan_name)
        has_fluence = _has_fluence(chart, plan, plan_name)
        models.ensure(plan, models.VOLUME_DOSE, chart.site)
        if grid_mm is not None:
            models.set_grid(plan, grid_mm, chart.site)
        with normalizing.kept(chart, plan, plan_name, monitor):
            if has_fluence:
                models.ensure(plan, models.LEAF_MOTIONS, chart.site)
                _require_going_on(monitor, plan_name)
                stage = Stage("leaf motions", "calculate leaf motions for", chart, plan, plan_name, monitor)
                answered(stage, lambda: plan.CalculateLeafMotions(), errors.NotDeliverable)
            _require_going_on(monitor, plan_name)
            answered(
                Stage("dose", "calculate the dose of", chart, plan, plan_name, monitor), lambda: plan.CalculateDose()
            )
            record = chart.record(plan)
            record.dose_outdated, record.dose_kind = False, None  # what the optimiser left is no longer what there is
            _require_dose(chart, plan, plan_name)
        etag = plans.etag(chart, plan)
        record.dose_etag = etag
        dose = dose_info.read(chart, plan)
        record.dose_kind = dose.kind
        return model.DoseResult(dose, etag)


def _has_fluence(chart: Chart, plan: Any, plan_name: str) -> bool:
    """Whether there is a fluence to be sequenced; refuses a plan with nothing to calculate from."""
    beams = plans.treatment_beams(plan)
    if not beams:
        raise errors.TpsRefused(f"plan {plan_name!r} has no treatment beams to calculate a dose of.")
    if any(plans.is_arc(beam) for beam in beams):
        return False
    if any(fluence_of(beam) is not None for beam in beams):
        return True
    has_leaf_motions = any(len(access.items(beam, "ControlPoints")) > _OPEN_CONTROL_POINTS for beam in beams)
    if not has_leaf_motions and plans.technique(chart, plan) is model.Technique.IMRT:
        raise errors.NoDose(f"plan {plan_name!r} has no fluence yet; optimise it first.")
    return False


def _require_going_on(monitor: Monitor, plan_name: str) -> None:
    if monitor.cancelled:
        raise errors.OperationCancelled(f"the dose calculation of plan {plan_name!r} was cancelled.")


def _require_dose(chart: Chart, plan: Any, plan_name: str) -> None:
    dose = dose_info.read(chart, plan)
    if dose.kind is model.DoseKind.NONE or dose.stale:
        found = "no dose" if dose.kind is model.DoseKind.NONE else "an invalid dose"
        raise errors.TpsRefused(
            f"Eclipse says that it calculated the dose of plan {plan_name!r}, and the plan has {found}; see its logs."
        )
