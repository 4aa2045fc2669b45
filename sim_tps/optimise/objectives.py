"""The penalties: each a number and its exact gradient with respect to dose.

    value = priority × Σ_i w_i · v_i²

v is the one-sided violation in Gy and w the share of the structure's volume a point stands for (Σ w = 1; rim voxels
count with what is really inside). So a priority means the same for a small and a large structure, and a hot spot is
diluted by the volume of the structure it is judged in. The violations:

MAX, MIN                dose above (below) the limit, point by point
UPPER, LOWER at v %     the same, but the hottest v % (the coldest 100 − v %) of the volume are excused: what acts is
                        the dose between the limit and the current D(v) (Wu and Mohan 2000)
MEAN                    the mean dose above the limit
EUD_UPPER, EUD_LOWER    the gEUD = (Σ w d^a)^(1/a) above (below) the limit
UNIFORM                 the distance from the wanted dose, either way, point by point
FALL_OFF                dose above a limit that falls exponentially with the distance from the targets, point by point;
                        points inside the targets do not count

HOT_FRACTION belongs to a problem of its own (`sim_tps.optimise.hot_fraction`); its value is priority × the mean squared
excess over the limit of those of the structure's hottest v % that exceed it. A constraint has a relation instead of a
priority and no value here: see `sim_tps.optimise.constraints`.

References
----------
Wu and Mohan, Med. Phys. 27 (2000) 701-711, https://doi.org/10.1118/1.598932
Niemierko, Med. Phys. 26 (1999) 1100 (generalised EUD)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import BadInput, Unsupported
from sim_tps.optimise import _kernels
from sim_tps.plan import Objective, ObjectiveType, Problem, Relation

Doses = NDArray[np.float64]


class Operator(Protocol):
    """Fluence to dose at points, and its adjoint."""

    @property
    def shape(self) -> tuple[int, int]:
        """(points, beamlets)."""

    def forward(self, weights: NDArray[np.floating], /) -> NDArray[np.floating]:
        """Dose at the points, Gy."""

    def adjoint(self, values: NDArray[np.floating], /) -> NDArray[np.floating]:
        """For one number per point, one number per beamlet."""


@dataclass(frozen=True, eq=False)
class Region:
    """The points a structure is judged on."""

    index: NDArray[np.intp]
    """Which points of the whole set."""
    weight: NDArray[np.float64]
    """Share of the structure's volume each stands for; sums to 1."""
    target_distance_mm: NDArray[np.float64]
    """Distance from the nearest target, 0 inside."""


@dataclass(frozen=True, eq=False)
class Penalty:
    """One objective on its points."""

    objective: Objective
    region: Region

    def evaluate(self, dose: NDArray[np.floating]) -> tuple[float, Doses]:
        """Weighted value, and its gradient on the region's own points, from the dose at all points in Gy."""
        objective, region = self.objective, self.region
        bounds = _bounds(objective)
        if bounds is not None:
            value, gradient = _kernels.squared_violation(dose, region.index, region.weight, *bounds)
        else:
            value, gradient = _FORMS[objective.type](dose[region.index].astype(np.float64), region, objective)
        return objective.priority * value, objective.priority * gradient


def check_objective(objective: Objective) -> None:
    """Refuse numbers that have no meaning, naming the objective."""
    name = f"objective {objective.id!r} ({objective.type.value} on {objective.structure!r})"
    if not np.isfinite(objective.dose_gy) or objective.dose_gy < 0:
        raise BadInput(f"{name}: dose {objective.dose_gy} Gy, expected a number of at least 0.")
    if not 0 <= objective.priority <= 1000:
        raise BadInput(f"{name}: priority {objective.priority}, expected 0 to 1000.")
    for attribute, types, low, high in _NEEDED:
        number = getattr(objective, attribute)
        if objective.type in types and (number is None or not low <= number <= high):
            raise BadInput(f"{name}: {attribute} is {number}, expected {low:g} to {high:g}.")
    if objective.type in _EUD and objective.a == 0.0:
        raise BadInput(
            f"{name}: a is 0, expected -100 to 100 without 0; 1 is the mean, large leans to the hottest, negative to "
            "the coldest parts."
        )
    if objective.type is ObjectiveType.HOT_FRACTION and objective.volume_percent == 0.0:
        raise BadInput(f"{name}: volume_percent is 0, expected more than 0; 100 looks at the whole structure.")
    if objective.relation is not None:
        _check_constraint(objective, objective.relation, name)


def _check_constraint(objective: Objective, relation: Relation, name: str) -> None:
    possible = RELATIONS[objective.type]
    if relation not in possible:
        offered = " or ".join(repr(r.value) for r in possible) or "an objective, never a constraint"
        raise Unsupported(f"{name}: as a constraint it cannot be {relation.value!r}; it can be {offered}.")
    if objective.priority != 0.0:
        raise BadInput(f"{name}: a constraint has priority {objective.priority:g}, expected 0: it is not weighed.")


def problem_of(objectives: Sequence[Objective]) -> Problem:
    """The problem that these objectives pose; `BadInput` where they belong to no single one."""
    weighed = [o for o in objectives if o.relation is None]
    hot = [o for o in weighed if o.type is ObjectiveType.HOT_FRACTION]
    if not hot:
        return Problem.QUADRATIC_PENALTY
    if len(hot) < len(weighed):
        others = ", ".join(repr(o.id) for o in weighed if o not in hot)
        raise BadInput(
            f"hot-fraction objectives cannot be weighed against the penalties {others}: they are a problem of their "
            "own. Remove one kind."
        )
    constraints = [o for o in objectives if o.relation is not None]
    wrong = [o for o in constraints if not _holds_target(o)]
    if wrong or not constraints:
        found = ", ".join(f"{o.id!r} ({o.type.value}, {o.relation.value})" for o in wrong if o.relation) or "none"
        raise BadInput(
            "hot-fraction objectives need each target held by a constraint that a percentage of its volume (above 0) "
            f"gets exactly a dose (above 0), and no other constraints; found {found}."
        )
    return Problem.HOT_FRACTION


def _holds_target(constraint: Objective) -> bool:
    """A dose of a volume is exactly prescribed, and neither is nothing."""
    exactly = constraint.type in _VOLUME and constraint.relation is Relation.EXACTLY
    return exactly and constraint.dose_gy > 0.0 and bool(constraint.volume_percent)


def _upper(dose: Doses, limit: float | Doses, weight: Doses, excused: float = 0.0) -> tuple[float, Doses]:
    """Squared excess over the limit, the hottest ``excused`` share of the volume left out."""
    return _squared(np.maximum(dose - limit, 0.0), weight, excused)


def _lower(dose: Doses, limit: float, weight: Doses, excused: float = 0.0) -> tuple[float, Doses]:
    """Squared shortfall under the limit, the coldest ``excused`` share of the volume left out."""
    value, gradient = _squared(np.maximum(limit - dose, 0.0), weight, excused)
    return value, -gradient


def _squared(violation: Doses, weight: Doses, excused: float) -> tuple[float, Doses]:
    acting = weight if excused <= 0.0 else without_worst(violation, weight, excused)
    return float(acting @ violation**2), 2.0 * acting * violation


def without_worst(violation: Doses, weight: Doses, excused: float) -> Doses:
    """Weights less the worst ``excused`` share; the point on the border keeps a part, so the penalty is continuous."""
    violating = np.flatnonzero(violation)
    worst_first = violating[np.argsort(-violation[violating], kind="stable")]
    acting = np.zeros_like(weight)
    acting[worst_first] = np.clip(np.cumsum(weight[worst_first]) - excused, 0.0, weight[worst_first])
    return acting


def hot_excess(dose: Doses, weight: Doses, objective: Objective) -> tuple[Doses, Doses]:
    """Excess in Gy over a HOT_FRACTION objective's limit, and each point's share in the mean.

    The mean is over the points of the hottest part that exceed the limit. Which they are is taken as given: the value
    jumps where a point begins to exceed the limit, and the gradient is that between jumps.
    """
    excess = np.where(
        hottest(dose, weight, _percent(objective) / 100.0), np.maximum(dose - objective.dose_gy, 0.0), 0.0
    )
    share = np.where(excess > 0.0, weight, 0.0)
    total = share.sum()
    return excess, share / total if total > 0.0 else share


def hottest(dose: Doses, weight: Doses, part: float) -> NDArray[np.bool_]:
    """The fewest points, hottest first, that make up at least ``part`` of the volume."""
    hottest_first = np.argsort(-dose, kind="stable")
    before = np.cumsum(weight[hottest_first]) - weight[hottest_first]
    inside = np.zeros(len(dose), bool)
    inside[hottest_first] = before < part - _SHARE_ROUNDING
    return inside


def _bounds(objective: Objective) -> tuple[float, float] | None:
    """Floor and ceiling of every point's dose; None where points are not judged one by one."""
    match objective.type:
        case ObjectiveType.MAX:
            return -np.inf, objective.dose_gy
        case ObjectiveType.MIN:
            return objective.dose_gy, np.inf
        case ObjectiveType.UNIFORM:
            return objective.dose_gy, objective.dose_gy
        case _:
            return None


def _upper_volume(dose: Doses, region: Region, objective: Objective) -> tuple[float, Doses]:
    return _upper(dose, objective.dose_gy, region.weight, _percent(objective) / 100.0)


def _lower_volume(dose: Doses, region: Region, objective: Objective) -> tuple[float, Doses]:
    return _lower(dose, objective.dose_gy, region.weight, 1.0 - _percent(objective) / 100.0)


def _mean(dose: Doses, region: Region, objective: Objective) -> tuple[float, Doses]:
    excess = max(float(region.weight @ dose) - objective.dose_gy, 0.0)
    return excess**2, 2.0 * excess * region.weight


def _eud_upper(dose: Doses, region: Region, objective: Objective) -> tuple[float, Doses]:
    eud, slope = generalised_eud(dose, region.weight, _a(objective))
    excess = max(eud - objective.dose_gy, 0.0)
    return excess**2, 2.0 * excess * slope


def _eud_lower(dose: Doses, region: Region, objective: Objective) -> tuple[float, Doses]:
    eud, slope = generalised_eud(dose, region.weight, _a(objective))
    shortfall = max(objective.dose_gy - eud, 0.0)
    return shortfall**2, -2.0 * shortfall * slope


def _fall_off(dose: Doses, region: Region, objective: Objective) -> tuple[float, Doses]:
    outside = region.target_distance_mm > 0.0
    weight = np.where(outside, region.weight, 0.0)
    return _upper(dose, fall_off_limit(objective, region.target_distance_mm), weight)


def _hot_fraction(dose: Doses, region: Region, objective: Objective) -> tuple[float, Doses]:
    excess, share = hot_excess(dose, region.weight, objective)
    return float(share @ excess**2), 2.0 * share * excess


def generalised_eud(dose: Doses, weight: Doses, a: float) -> tuple[float, Doses]:
    """gEUD in Gy and its gradient; doses are scaled by their largest (or smallest), so no power overflows."""
    positive = np.maximum(dose, 1e-3)
    scale = positive.max() if a > 0 else positive.min()
    ratio = positive / scale
    mean = float(weight @ ratio**a)
    eud = scale * mean ** (1.0 / a)
    slope = weight * (eud / scale) * ratio ** (a - 1.0) / mean
    return float(eud), np.where(dose > 1e-3, slope, 0.0)


def fall_off_limit(objective: Objective, distance_mm: Doses) -> Doses:
    """Dose limit at a distance from the targets: flat up to ``distance_mm``, then exponential to ``end_dose_gy``."""
    if objective.end_dose_gy is None or objective.distance_mm is None or objective.fall_off_per_mm is None:
        raise BadInput(f"objective {objective.id!r}: a fall-off needs end_dose_gy, distance_mm and fall_off_per_mm.")
    beyond = np.maximum(distance_mm - objective.distance_mm, 0.0)
    drop = objective.dose_gy - objective.end_dose_gy
    return objective.end_dose_gy + drop * np.exp(-objective.fall_off_per_mm * beyond)


def _percent(objective: Objective) -> float:
    if objective.volume_percent is None:
        raise BadInput(f"objective {objective.id!r}: a dose-volume objective needs volume_percent.")
    return objective.volume_percent


def _a(objective: Objective) -> float:
    if not objective.a:
        raise BadInput(f"objective {objective.id!r}: a gEUD needs a parameter a other than 0.")
    return objective.a


_VOLUME = (ObjectiveType.LOWER, ObjectiveType.UPPER)
_EUD = (ObjectiveType.EUD_LOWER, ObjectiveType.EUD_UPPER)
_FALL = (ObjectiveType.FALL_OFF,)
_NEEDED: tuple[tuple[str, tuple[ObjectiveType, ...], float, float], ...] = (
    ("volume_percent", (*_VOLUME, ObjectiveType.HOT_FRACTION), 0.0, 100.0),
    ("a", _EUD, -100.0, 100.0),
    ("end_dose_gy", _FALL, 0.0, 1000.0),
    ("distance_mm", _FALL, 0.0, 1000.0),
    ("fall_off_per_mm", _FALL, 0.0, 100.0),
)
_SHARE_ROUNDING = 1e-9
"""Shares of a volume that differ by less are equal: sums of up to millions of them round by less than that."""

RELATIONS: Mapping[ObjectiveType, tuple[Relation, ...]] = {
    ObjectiveType.LOWER: (Relation.AT_LEAST, Relation.EXACTLY),
    ObjectiveType.UPPER: (Relation.AT_MOST, Relation.EXACTLY),
    ObjectiveType.MAX: (Relation.AT_MOST,),
    ObjectiveType.MIN: (Relation.AT_LEAST,),
    ObjectiveType.MEAN: (Relation.AT_MOST, Relation.AT_LEAST, Relation.EXACTLY),
    ObjectiveType.EUD_UPPER: (Relation.AT_MOST, Relation.EXACTLY),
    ObjectiveType.EUD_LOWER: (Relation.AT_LEAST, Relation.EXACTLY),
    ObjectiveType.UNIFORM: (Relation.EXACTLY,),
    ObjectiveType.FALL_OFF: (Relation.AT_MOST,),
    ObjectiveType.HOT_FRACTION: (),
}
"""What a constraint of each type may demand: the relations under which it still says what its type says."""

_FORMS: Mapping[ObjectiveType, Callable[[Doses, Region, Objective], tuple[float, Doses]]] = {
    ObjectiveType.LOWER: _lower_volume,
    ObjectiveType.UPPER: _upper_volume,
    ObjectiveType.MEAN: _mean,
    ObjectiveType.EUD_UPPER: _eud_upper,
    ObjectiveType.EUD_LOWER: _eud_lower,
    ObjectiveType.FALL_OFF: _fall_off,
    ObjectiveType.HOT_FRACTION: _hot_fraction,
}
