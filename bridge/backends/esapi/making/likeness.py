"""What two plans can have alike, or one plan at two times: objectives and everything that an optimiser starts from.

The one idea: objectives have no ids in ESAPI, so they are compared by all that can be read of them, in the numbers that
Eclipse itself gives: no unit is touched.
"""

from __future__ import annotations

from typing import Any

from bridge.backends.esapi.chart.chart import set_up
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reading import plans

NORMAL_TISSUE = "OptimizationNormalTissueParameter"
NORMAL_TISSUE_NUMBERS = ("DistanceFromTargetBorderInMM", "StartDosePercentage", "EndDosePercentage", "FallOff")

Facts = tuple[Any, ...]


def objectives(plan: Any) -> list[Any]:
    """A plan's objectives in ESAPI, its normal-tissue objective among them."""
    fall_offs = [each for each in set_up(plan, "Parameters") if access.kind(each) == NORMAL_TISSUE]
    return [*set_up(plan, "Objectives"), *fall_offs]


def of_objective(objective: Any) -> Facts:
    """Everything of an objective that two plans can have alike."""
    kind = access.kind(objective)
    if kind == NORMAL_TISSUE:
        return kind, *(access.get(objective, name) for name in ("Priority", "IsAutomatic", *NORMAL_TISSUE_NUMBERS))
    numbers = (
        access.get(objective, name) for name in ("Priority", "Volume", "ParameterA") if access.has(objective, name)
    )
    dose = of_dose(access.get(objective, "Dose")) if access.has(objective, "Dose") else None
    operator = access.enum_name(access.get(objective, "Operator"))
    return kind, access.get(objective, "StructureId"), operator, dose, *numbers


def of_dose(value: Any) -> Facts:
    return access.get(value, "Dose"), access.enum_name(access.get(value, "Unit"))


def of_basis(plan: Any) -> dict[str, Any]:
    """By name, what an optimisation works on and does not change itself."""
    return {
        "id": access.get(plan, "Id"),
        "approval": plans.state(plan),
        "prescription": (access.get(plan, "NumberOfFractions"), of_dose(access.get(plan, "DosePerFraction"))),
        "target": access.get(plan, "TargetVolumeID"),
        "beams": [_of_beam(beam) for beam in plans.treatment_beams(plan)],
        "objectives": sorted(map(repr, map(of_objective, objectives(plan)))),
    }


def _of_beam(beam: Any) -> Facts:
    first = access.items(beam, "ControlPoints")[:1]
    turns = (
        access.get(each, name) for each in first for name in ("GantryAngle", "CollimatorAngle", "PatientSupportAngle")
    )
    return access.get(beam, "Id"), access.xyz(access.get(beam, "IsocenterPosition")), *turns
