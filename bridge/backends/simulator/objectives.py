"""Objectives between the contract's functions and the simulator's types; what it cannot do is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge import errors, model
from sim_tps.optimise.objectives import problem_of
from sim_tps.plan import Objective, ObjectiveType, Relation

_AUTOMATIC_FALL_OFF = model.NormalTissueFalloff(
    automatic=True, distance_mm=5.0, start_percent=95.0, end_percent=40.0, fall_off_per_mm=0.1
)
"""What this simulator chooses when asked for an automatic fall-off; echoed to the caller."""


_HOT_FRACTION_NOTE = "The mean is over the voxels of the hottest part that exceed the dose, as in the published engine."

_TO_SIM: Mapping[model.Relation, Relation] = {
    model.Relation.GREATER_OR_EQUAL: Relation.AT_LEAST,
    model.Relation.LESS_OR_EQUAL: Relation.AT_MOST,
    model.Relation.EQUAL: Relation.EXACTLY,
}
_TO_MODEL: Mapping[Relation, model.Relation] = {ours: theirs for theirs, ours in _TO_SIM.items()}


def to_sim(spec: model.ObjectiveSpec, objective_id: str, structure: str, highest_gy: float) -> Objective:
    """The simulator's objective for what a client asked; `CapabilityMissing` where it has none."""
    relation = _relation(spec, structure)
    priority = _priority(spec, structure)

    def made(kind: ObjectiveType, dose_gy: float, **numbers: float) -> Objective:
        return Objective(objective_id, kind, structure, priority, dose_gy, relation=relation, **numbers)

    match spec.function:
        case model.DoseVolumePoint(bound, dose_gy, volume_percent):
            kind = ObjectiveType.LOWER if bound is model.Bound.LOWER else ObjectiveType.UPPER
            return made(kind, dose_gy, volume_percent=volume_percent)
        case model.MaxDose(dose_gy):
            return made(ObjectiveType.MAX, dose_gy)
        case model.MinDose(dose_gy):
            return made(ObjectiveType.MIN, dose_gy)
        case model.MeanDose(dose_gy):
            return made(ObjectiveType.MEAN, dose_gy)
        case model.Geud(bound, dose_gy, a):
            kind = ObjectiveType.EUD_LOWER if bound is model.Bound.LOWER else ObjectiveType.EUD_UPPER
            return made(kind, dose_gy, a=a)
        case model.UniformDose(dose_gy):
            return made(ObjectiveType.UNIFORM, dose_gy)
        case model.NormalTissueFalloff():
            return made(ObjectiveType.FALL_OFF, **_fall_off(spec.function, structure, highest_gy))
        case model.HotFraction(dose_gy, hottest_percent):
            return made(ObjectiveType.HOT_FRACTION, dose_gy, volume_percent=hottest_percent)
        case other:
            raise errors.CapabilityMissing(f"objective function {type(other).__name__} is not available in this TPS.")


def require_problem(asked: model.OptimizationProblem, stored: Sequence[Objective]) -> None:
    """Refuse to solve another problem than the stored objectives pose."""
    posed = problem_of(stored)
    if posed.name != asked.name:
        raise errors.InvalidField(
            f"problem {asked.name} was asked for, but the plan's objectives pose {posed.name}: HotFraction objectives "
            "belong to HOT_FRACTION, and all others to QUADRATIC_PENALTY."
        )


def to_model(
    objective: Objective, name: str, structure: str, value: float | None, highest_gy: float
) -> model.Objective:
    """The contract's objective for what the simulator stored."""
    function = _function(objective, highest_gy)
    if objective.relation is None:
        spec = model.ObjectiveSpec(structure, function, objective.priority)
    else:
        spec = model.ObjectiveSpec(
            structure, function, None, model.ObjectiveRole.CONSTRAINT, _TO_MODEL[objective.relation]
        )
    if objective.type is ObjectiveType.HOT_FRACTION:
        return model.Objective(name, spec, model.Fidelity.APPROXIMATED, _HOT_FRACTION_NOTE, value)
    return model.Objective(name, spec, value=value)


def _function(stored: Objective, highest_gy: float) -> model.ObjectiveFunction:
    dose_gy = stored.dose_gy
    match stored.type:
        case ObjectiveType.LOWER:
            return model.DoseVolumePoint(model.Bound.LOWER, dose_gy, _present(stored.volume_percent))
        case ObjectiveType.UPPER:
            return model.DoseVolumePoint(model.Bound.UPPER, dose_gy, _present(stored.volume_percent))
        case ObjectiveType.MAX:
            return model.MaxDose(dose_gy)
        case ObjectiveType.MIN:
            return model.MinDose(dose_gy)
        case ObjectiveType.MEAN:
            return model.MeanDose(dose_gy)
        case ObjectiveType.EUD_LOWER:
            return model.Geud(model.Bound.LOWER, dose_gy, _present(stored.a))
        case ObjectiveType.EUD_UPPER:
            return model.Geud(model.Bound.UPPER, dose_gy, _present(stored.a))
        case ObjectiveType.UNIFORM:
            return model.UniformDose(dose_gy)
        case ObjectiveType.FALL_OFF:
            return model.NormalTissueFalloff(
                automatic=False,
                distance_mm=stored.distance_mm,
                start_percent=100.0 * dose_gy / highest_gy,
                end_percent=100.0 * _present(stored.end_dose_gy) / highest_gy,
                fall_off_per_mm=stored.fall_off_per_mm,
            )
        case ObjectiveType.HOT_FRACTION:
            return model.HotFraction(dose_gy, _present(stored.volume_percent))


def _present(number: float | None) -> float:
    assert number is not None
    return number


def _relation(spec: model.ObjectiveSpec, structure: str) -> Relation | None:
    if spec.role is model.ObjectiveRole.OBJECTIVE:
        return None
    if spec.relation is None:
        raise errors.InvalidField(f"constraint on {structure!r}: a constraint needs a relation.")
    return _TO_SIM[spec.relation]


def _priority(spec: model.ObjectiveSpec, structure: str) -> float:
    if spec.role is model.ObjectiveRole.CONSTRAINT:
        return 0.0
    if spec.priority is None:
        raise errors.InvalidField(f"objective on {structure!r}: an objective needs a priority.")
    return spec.priority


def _fall_off(asked: model.NormalTissueFalloff, structure: str, highest_gy: float) -> dict[str, float]:
    """The simulator's numbers of a fall-off."""
    chosen = _AUTOMATIC_FALL_OFF if asked.automatic else asked
    numbers = (chosen.distance_mm, chosen.start_percent, chosen.end_percent, chosen.fall_off_per_mm)
    if any(number is None for number in numbers):
        raise errors.InvalidField(
            f"fall-off on {structure!r}: give distance_mm, start_percent, end_percent, fall_off_per_mm; or automatic."
        )
    distance_mm, start_percent, end_percent, fall_off_per_mm = (float(n) for n in numbers if n is not None)
    return {
        "dose_gy": start_percent / 100.0 * highest_gy,
        "end_dose_gy": end_percent / 100.0 * highest_gy,
        "distance_mm": distance_mm,
        "fall_off_per_mm": fall_off_per_mm,
    }
