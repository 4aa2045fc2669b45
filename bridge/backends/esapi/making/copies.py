"""Working copies: the plan as it stands, once more, in the bridge's own course.

The one idea: whatever Eclipse leaves behind when it copies a plan is brought after it, so that the copy has the
source's prescription, normalisation and objectives whatever the version does. The source is only read.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from bridge import errors, model
from bridge.backends.esapi.chart import doses
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.chart.records import PlanRecord
from bridge.backends.esapi.making import courses, likeness
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reading import plans


def copy(chart: Chart, plan_name: str, label: str, provenance: model.Provenance) -> model.Plan:
    """Copy a plan under a new id; the answer's label is the id that it got."""
    courses.require_fitting(label, chart.site.max_plan_id_length, "a plan")
    with translated(f"copy plan {plan_name!r}"):
        source = chart.plan(plan_name)
        _require_copyable(source, plan_name)
        with courses.own_course(chart) as course:
            made = course.CopyPlanSetup(source)
            with courses.all_or_nothing(chart, course, made):
                name = courses.name_plan(chart, course, made, label, provenance)
                _bring_after(source, made, plan_name)
                _remember(chart.record(source), chart.record(made))
                return plans.read(chart, name)


def delete(chart: Chart, plan_name: str) -> None:
    """Remove a plan that the bridge made; any other is refused."""
    with translated(f"delete plan {plan_name!r}"):
        plan = chart.plan(plan_name)
        if not chart.record(plan).made_here:
            raise errors.NotWorkingCopy(f"plan {plan_name!r} was not made here, so it is not deleted here.")
        chart.require_not_handed_over(plan)
        remove(chart, plan)


def remove(chart: Chart, plan: Any) -> None:
    """Remove a plan of the bridge's own, and its course where it was made for it and nothing is left in it."""
    course, key = chart.course_of(plan), chart.key(plan)
    if not course.CanRemovePlanSetup(plan):
        raise errors.TpsRefused(
            f"Eclipse does not let plan {chart.plan_name(plan)!r} be removed; see its state in Eclipse."
        )
    course.RemovePlanSetup(plan)
    chart.records.forget(key)
    courses.remove_if_left_empty(chart, course)


def _require_copyable(source: Any, plan_name: str) -> None:
    if not access.has(source, "CalculateLeafMotions"):
        raise errors.TpsRefused(f"plan {plan_name!r} is not an external photon plan; choose another source.")
    if access.get(source, "StructureSet") is None:
        raise errors.TpsRefused(f"plan {plan_name!r} has no structure set, so it cannot be planned on; choose another.")
    if not plans.treatment_beams(source):
        raise errors.TpsRefused(f"plan {plan_name!r} has no treatment beams to plan with; choose another source.")


def _remember(source: PlanRecord, record: PlanRecord) -> None:
    """What the source's record says holds for the copy."""
    record.normalization = source.normalization
    record.normalization_value = source.normalization_value
    record.targets = source.targets
    record.dose_kind, record.dose_outdated = source.dose_kind, source.dose_outdated
    record.optimised = source.optimised


# ------------------------------------------------------------------------------------------ what did not come along


def _bring_after(source: Any, made: Any, plan_name: str) -> None:
    _prescription(source, made)
    normalization = access.get(source, "PlanNormalizationValue")
    if access.get(made, "PlanNormalizationValue") != normalization:
        access.put(made, "PlanNormalizationValue", normalization)
    _objectives(source, made, plan_name)


def _prescription(source: Any, made: Any) -> None:
    fractions, per_fraction = access.get(source, "NumberOfFractions"), access.get(source, "DosePerFraction")
    if fractions is None or doses.gy(per_fraction) is None:
        return
    present = access.get(made, "NumberOfFractions"), likeness.of_dose(access.get(made, "DosePerFraction"))
    if present != (fractions, likeness.of_dose(per_fraction)):
        made.SetPrescription(fractions, per_fraction, access.get(source, "TreatmentPercentage"))


def _objectives(source: Any, made: Any, plan_name: str) -> None:
    wanted, present = likeness.objectives(source), likeness.objectives(made)
    if Counter(map(likeness.of_objective, wanted)) == Counter(map(likeness.of_objective, present)):
        return
    if present:
        raise errors.TpsRefused(
            f"Eclipse copied {len(present)} of the {len(wanted)} objectives of plan {plan_name!r}; expected all or "
            "none. Copy the plan in Eclipse, and copy that."
        )
    setup = access.get(made, "OptimizationSetup")
    for objective in wanted:
        _add(setup, objective, plan_name)


def _add(setup: Any, objective: Any, plan_name: str) -> None:
    """Add to a plan what another plan has, number for number."""
    priority = access.get(objective, "Priority")
    match access.kind(objective):
        case "OptimizationPointObjective":
            setup.AddPointObjective(*_aim(objective), access.get(objective, "Volume"), priority)
        case "OptimizationMeanDoseObjective":
            structure, dose = access.get(objective, "Structure"), access.get(objective, "Dose")
            setup.AddMeanDoseObjective(structure, dose, priority)
        case "OptimizationEUDObjective":
            setup.AddEUDObjective(*_aim(objective), access.get(objective, "ParameterA"), priority)
        case likeness.NORMAL_TISSUE:
            if access.get(objective, "IsAutomatic"):
                setup.AddAutomaticNormalTissueObjective(priority)
            else:
                numbers = (access.get(objective, name) for name in likeness.NORMAL_TISSUE_NUMBERS)
                setup.AddNormalTissueObjective(priority, *numbers)
        case kind:
            raise errors.TpsRefused(
                f"this Eclipse copies plans without their objectives, and plan {plan_name!r} has one of the kind "
                f"{kind} that no script can add. Copy the plan in Eclipse, and copy that."
            )


def _aim(objective: Any) -> tuple[Any, Any, Any]:
    return access.get(objective, "Structure"), access.get(objective, "Operator"), access.get(objective, "Dose")
