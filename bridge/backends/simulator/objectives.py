"""Objectives between the contract's functions and the simulator's types; what it cannot do is refused by name."""

from __future__ import annotations

from bridge import errors, model
from sim_tps.plan import Objective, ObjectiveType

_AUTOMATIC_FALL_OFF = model.NormalTissueFalloff(
    automatic=True, distance_mm=5.0, start_percent=95.0, end_percent=40.0, fall_off_per_mm=0.1
)
"""What this simulator chooses when asked for an automatic fall-off; echoed to the caller."""


def to_sim(spec: model.ObjectiveSpec, objective_id: str, structure: str, highest_gy: float) -> Objective:
    """The simulator's objective for what a client asked; `CapabilityMissing` where it has none."""
    if spec.role is model.ObjectiveRole.CONSTRAINT:
        raise errors.CapabilityMissing("hard constraints (objective.role.constraint) are not available in this TPS.")
    if spec.priority is None:
        raise errors.InvalidField(f"objective on {structure!r}: an objective needs a priority.")

    def made(kind: ObjectiveType, dose_gy: float, **numbers: float) -> Objective:
        return Objective(objective_id, kind, structure, spec.priority or 0.0, dose_gy, **numbers)

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
            return _fall_off(spec.function, objective_id, structure, spec.priority, highest_gy)
        case other:
            raise errors.CapabilityMissing(f"objective function {type(other).__name__} is not available in this TPS.")


def to_model(
    objective: Objective, name: str, structure: str, value: float | None, highest_gy: float
) -> model.Objective:
    """The contract's objective for what the simulator stored."""
    spec = model.ObjectiveSpec(structure, _function(objective, highest_gy), objective.priority)
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


def _present(number: float | None) -> float:
    assert number is not None
    return number


def _fall_off(
    asked: model.NormalTissueFalloff, objective_id: str, structure: str, priority: float, highest_gy: float
) -> Objective:
    chosen = _AUTOMATIC_FALL_OFF if asked.automatic else asked
    numbers = (chosen.distance_mm, chosen.start_percent, chosen.end_percent, chosen.fall_off_per_mm)
    if any(number is None for number in numbers):
        raise errors.InvalidField(
            f"fall-off on {structure!r}: give distance_mm, start_percent, end_percent, fall_off_per_mm; or automatic."
        )
    distance_mm, start_percent, end_percent, fall_off_per_mm = (float(n) for n in numbers if n is not None)
    return Objective(
        objective_id,
        ObjectiveType.FALL_OFF,
        structure,
        priority,
        start_percent / 100.0 * highest_gy,
        end_dose_gy=end_percent / 100.0 * highest_gy,
        distance_mm=distance_mm,
        fall_off_per_mm=fall_off_per_mm,
    )
