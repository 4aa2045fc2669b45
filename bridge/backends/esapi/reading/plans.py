"""Plans and beams as the contract sees them.

The one idea: a plan is read anew each time, and its etag is a digest over everything of it that can be read, since
ESAPI has no version of a plan. What Eclipse cannot keep comes from the records.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from bridge import errors, model
from bridge.backends.esapi.chart import angles, doses, names
from bridge.backends.esapi.chart.chart import Chart, set_up
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reach.site import FACTOR
from bridge.backends.esapi.reading import dose_info

log = structlog.get_logger(__name__)

NORMALIZATION_TOLERANCE = 1e-6
DOSE_TOLERANCE_GY = 1e-3
_STATES: Mapping[str, model.PlanState] = {
    "UnApproved": model.PlanState.EDITABLE,
    "Rejected": model.PlanState.RETIRED,
    "Retired": model.PlanState.RETIRED,
    "Reviewed": model.PlanState.LOCKED,
    "PlanningApproved": model.PlanState.APPROVED,
    "TreatmentApproved": model.PlanState.APPROVED,
    "ExternallyApproved": model.PlanState.APPROVED,
    "CompletedEarly": model.PlanState.TREATED,
    "Completed": model.PlanState.TREATED,
    "UnPlannedTreatment": model.PlanState.TREATED,
}
_ARC_TYPES = frozenset({"ArcDynamic", "VMAT"})
"""A new arc is ArcDynamic until its first optimisation makes it VMAT."""
_ANGLES = ("GantryAngle", "CollimatorAngle", "PatientSupportAngle")
_OBJECTIVE_MEMBERS = ("StructureId", "Operator", "Dose", "Volume", "ParameterA", "Priority")
_PARAMETER_MEMBERS = (
    "IsAutomatic",
    "DistanceFromTargetBorderInMM",
    "StartDosePercentage",
    "EndDosePercentage",
    "FallOff",
    "Priority",
)


def read_all(chart: Chart) -> Sequence[model.Plan]:
    """All plans; one that cannot be read hides no other, and is left out with a line in the log."""
    return [each for each in (_shown_or_none(chart, plan) for plan in chart.plans()) if each is not None]


def read(chart: Chart, name: str) -> model.Plan:
    return shown(chart, chart.plan(name))


def beams(chart: Chart, name: str) -> Sequence[model.Beam]:
    return [_beam(chart, name, beam) for beam in treatment_beams(chart.plan(name))]


def _shown_or_none(chart: Chart, plan: Any) -> model.Plan | None:
    try:
        with translated("read a plan"):
            return shown(chart, plan)
    except errors.TpsUnavailable:
        raise
    except (errors.BridgeError, AttributeError, IndexError, TypeError, ValueError) as odd:
        log.warning("a plan that cannot be read is left out", plan=chart.plan_name(plan), reason=str(odd))
        return None


def shown(chart: Chart, plan: Any) -> model.Plan:
    """An ESAPI plan in the contract's words."""
    record = chart.record(plan)
    dose = dose_info.read(chart, plan)
    return model.Plan(
        name=chart.plan_name(plan),
        patient=chart.name,
        label=str(access.get(plan, "Id")),
        state=_shown_state(chart, plan),
        vendor_state=_shown_vendor_state(chart, plan),
        prescription=prescription(chart, plan),
        normalization=normalization(chart, plan),
        technique=technique(chart, plan),
        deliverable=dose.deliverable,
        working_copy=record.provenance is not None,
        dose=dose,
        etag=etag(chart, plan),
        provenance=record.provenance,
    )


def state(plan: Any) -> model.PlanState:
    """EDITABLE only for a plan that is unapproved and was never treated."""
    if access.get(plan, "IsTreated"):
        return model.PlanState.TREATED
    return _STATES.get(_approval(plan), model.PlanState.LOCKED)


def _shown_state(chart: Chart, plan: Any) -> model.PlanState:
    found = state(plan)
    return model.PlanState.LOCKED if found is model.PlanState.EDITABLE and chart.is_handed_over(plan) else found


def _shown_vendor_state(chart: Chart, plan: Any) -> str:
    told = _vendor_state(plan)
    return f"{told}, committed: left to the person to save" if chart.is_handed_over(plan) else told


def treatment_beams(plan: Any) -> list[Any]:
    """The plan's beams without set-up fields."""
    return [beam for beam in access.items(plan, "Beams") if not access.get(beam, "IsSetupField")]


def is_arc(beam: Any) -> bool:
    return access.enum_name(access.get(beam, "MLCPlanType")) in _ARC_TYPES or _turns(beam)


def technique(chart: Chart, plan: Any) -> model.Technique:
    """A static beam without leaves is CONFORMAL, unless it is there to be optimised."""
    of_plan = treatment_beams(plan)
    if not of_plan:
        return model.Technique.OTHER
    if any(is_arc(beam) for beam in of_plan):
        return model.Technique.VMAT
    modulated = any(access.enum_name(access.get(beam, "MLCPlanType")) == "DoseDynamic" for beam in of_plan)
    if modulated or chart.record(plan).provenance is not None or _objectives(plan):
        return model.Technique.IMRT
    return model.Technique.CONFORMAL


def prescription(chart: Chart, plan: Any) -> model.Prescription | None:
    """Eclipse's one dose level, or the record's several as long as the highest is still Eclipse's."""
    fractions = access.get(plan, "NumberOfFractions")
    total_gy = doses.gy(access.get(plan, "TotalDose"))
    if fractions is None or total_gy is None:
        return None
    recorded = chart.record(plan).targets
    if recorded and math.isclose(max(t.total_gy for t in recorded), total_gy, abs_tol=DOSE_TOLERANCE_GY):
        return model.Prescription(int(fractions), recorded)
    target = access.get(plan, "TargetVolumeID")
    targets = (model.TargetPrescription(chart.structure_name_of_id(target), total_gy),) if target else ()
    return model.Prescription(int(fractions), targets)


def normalization(chart: Chart, plan: Any) -> model.Normalization:
    """As it was asked for, unless Eclipse's number is another one by now."""
    value = float(access.get(plan, "PlanNormalizationValue"))
    record = chart.record(plan)
    if record.normalization_value is not None and abs(value - record.normalization_value) < NORMALIZATION_TOLERANCE:
        return record.normalization
    if math.isnan(value) or value <= 0.0 or abs(value - 100.0) < NORMALIZATION_TOLERANCE:
        return None
    is_factor = chart.facts.normalization_is_factor
    if is_factor is None:
        is_factor = chart.site.normalization == FACTOR
    return model.PercentNormalization(value if is_factor else 1e4 / value)


def etag(chart: Chart, plan: Any) -> str:
    """A digest over everything of the plan that can be read."""
    facts = [
        access.get(plan, "Id"),
        _vendor_state(plan),
        access.get(plan, "NumberOfFractions"),
        doses.gy(access.get(plan, "TotalDose")),
        access.get(plan, "TargetVolumeID"),
        access.get(plan, "PlanNormalizationValue"),
        sorted(repr(_facts_of(each, _OBJECTIVE_MEMBERS)) for each in _objectives(plan)),
        sorted(repr(_facts_of(each, _PARAMETER_MEMBERS)) for each in _parameters(plan)),
        [_facts_of_beam(beam) for beam in treatment_beams(plan)],
        _facts_of_dose(plan),
        chart.record(plan).revision,
    ]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:32]


def _approval(plan: Any) -> str:
    return access.enum_name(access.get(plan, "ApprovalStatus"))


def _vendor_state(plan: Any) -> str:
    return f"{_approval(plan)}, treated" if access.get(plan, "IsTreated") else _approval(plan)


def _beam(chart: Chart, plan_name: str, beam: Any) -> model.Beam:
    points = access.items(beam, "ControlPoints")
    label, machine = str(access.get(beam, "Id")), machine_id(beam)
    if not points:
        raise errors.TpsRefused(f"beam {label!r} of plan {plan_name!r} has no control points, so no angles.")
    first, last = points[0], points[-1]
    stop_deg = angles.gantry(chart.site, access.get(last, "GantryAngle")) if is_arc(beam) else None
    return model.Beam(
        name=names.beam_name(plan_name, label),
        label=label,
        machine=names.machine_name(machine) if machine else "",
        energy=str(access.get(beam, "EnergyModeDisplayName")),
        isocentre_mm=access.xyz(access.get(beam, "IsocenterPosition")),
        gantry_deg=angles.gantry(chart.site, access.get(first, "GantryAngle")),
        collimator_deg=angles.collimator(chart.site, access.get(first, "CollimatorAngle")),
        couch_deg=angles.couch(chart.site, access.get(first, "PatientSupportAngle")),
        gantry_stop_deg=stop_deg,
        meterset_mu=meterset_mu(beam),
    )


def machine_id(beam: Any) -> str:
    """Empty where Eclipse knows no machine for the beam."""
    unit = access.get(beam, "TreatmentUnit")
    return "" if unit is None else str(access.get(unit, "Id"))


def meterset_mu(beam: Any) -> float | None:
    """Monitor units; None before they are calculated, or where they are minutes."""
    meterset = access.get(beam, "Meterset")
    if meterset is None:
        return None
    amount = float(access.get(meterset, "Value"))
    if math.isnan(amount) or access.enum_name(access.get(meterset, "Unit")) != "MU":
        return None
    return amount


def _turns(beam: Any) -> bool:
    return access.enum_name(access.get(beam, "GantryDirection")) != "None"


def _objectives(plan: Any) -> list[Any]:
    return set_up(plan, "Objectives")


def _parameters(plan: Any) -> list[Any]:
    return set_up(plan, "Parameters")


def _facts_of(thing: Any, members: Sequence[str]) -> list[Any]:
    found: list[Any] = [access.kind(thing)]
    for member in members:
        if access.has(thing, member):
            value = access.get(thing, member)
            found.append([member, doses.gy(value) if member == "Dose" else _plain(value)])
    return found


def _plain(value: Any) -> Any:
    return access.enum_name(value) if access.is_net(value) else value


def _facts_of_beam(beam: Any) -> list[Any]:
    points = access.items(beam, "ControlPoints")
    return [
        access.get(beam, "Id"),
        machine_id(beam),
        access.get(beam, "EnergyModeDisplayName"),
        *(access.get(each, angle) for each in (*points[:1], *points[-1:]) for angle in _ANGLES),
        access.xyz(access.get(beam, "IsocenterPosition")),
        access.get(beam, "WeightFactor"),
        meterset_mu(beam),
    ]


def _facts_of_dose(plan: Any) -> list[Any]:
    dose = access.get(plan, "Dose")
    return [bool(access.get(plan, "IsDoseValid")), None if dose is None else access.get(dose, "UID")]
