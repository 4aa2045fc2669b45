"""Which goals of a run cannot all be met, and what shows it.

The one idea: a goal that is still open at the end is explained by what was seen, in this order: it limits a volume that
grows with the target; its organ lies inside a target; over the attempts it got better only while another goal got
worse; or nothing that was tried moved it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.goals import describe, deviation, unmet
from agent.metrics import parse_metric
from agent.observation import Observation, Step
from agent.records import Conflict, GoalResult
from bridge.model import MetricKind, VolumeUnit

MOVED = 0.005
"""A goal came nearer when its value did so by at least this share of its limit."""
OVERLAPS_PERCENT = 5.0
"""An organ with at least this share inside the targets is held by their dose."""


def find_conflicts(observation: Observation) -> tuple[Conflict, ...]:
    """One conflict for each goal that is open on the best attempt."""
    return tuple(_explain(goal, observation) for goal in unmet(observation.best_step.goals, 1, 2, 3))


def _explain(goal: GoalResult, observation: Observation) -> Conflict:
    for explanation in (_volume, _overlap, _traded):
        if conflict := explanation(goal, observation):
            return conflict
    coverage = _coverage(observation)
    values = [value for value in observation.trend(goal) if value is not None]
    moved = f"between {min(values):.2f} and {max(values):.2f}" if len(values) > 1 else f"at {values[0]:.2f}"
    count = len(observation.history)
    text = f"{describe(goal)} stayed {moved} over {count} attempt{'s' * (count > 1)} while {coverage} was held."
    return Conflict((describe(goal), coverage), text)


def _volume(goal: GoalResult, observation: Observation) -> Conflict | None:
    """An irradiated volume in cc that contains the target: set beside the target's own volume."""
    metric = parse_metric(goal.metric)
    if metric.kind is not MetricKind.VOLUME_AT_DOSE or metric.volume_unit is not VolumeUnit.CC or goal.value is None:
        return None
    target_cc = sum(observation.volumes_cc[target] for target in observation.targets)
    if goal.comparator != "<=" or goal.structure in observation.targets:
        return None
    best = min(value for value in observation.trend(goal) if value is not None)
    coverage = _coverage(observation)
    text = (
        f"{describe(goal)} was {best:.1f} cc at its best, with {target_cc:.1f} cc of target inside it: the dose fills "
        f"{best / target_cc:.1f} times the target's volume, and the goal allows {goal.limit / target_cc:.1f} times."
    )
    return Conflict((describe(goal), coverage), text)


def _overlap(goal: GoalResult, observation: Observation) -> Conflict | None:
    place = observation.places[goal.structure]
    percent = observation.overlap_percent.get(place.organ, 0.0)
    if place.region != "organ" or place.organ != goal.structure or percent < OVERLAPS_PERCENT:
        return None
    coverage = _coverage(observation)
    text = f"{percent:.0f} % of {place.organ} lies inside the targets, where {coverage} is asked; {_at(goal)}."
    return Conflict((describe(goal), coverage), text)


def _traded(goal: GoalResult, observation: Observation) -> Conflict | None:
    """Another goal that was lost, or got further from its limit, each time this one came nearer to its own."""
    best = observation.best_step
    nearest = min(observation.history, key=lambda step: _off(goal, step))
    losers = [other for other in nearest.goals if _got_worse(other, best, nearest)]
    if _off(goal, best) - _off(goal, nearest) < MOVED or not losers:
        return None
    loser = min(losers, key=lambda other: (other.rank, -deviation(other)))
    text = (
        f"In attempt {nearest.number} {describe(goal)} came to {_value(goal, nearest):.2f} "
        f"(best plan {goal.value:.2f}), but there {describe(loser)} was at {loser.value:.2f} "
        f"(best plan {_value(loser, best):.2f})."
    )
    return Conflict((describe(goal), describe(loser)), text)


def _got_worse(goal: GoalResult, before: Step, after: Step) -> bool:
    return goal.value is not None and _off(goal, after) - _off(goal, before) >= MOVED / 2


def _off(goal: GoalResult, step: Step) -> float:
    return next((deviation(other) for other in _same(goal, step.goals)), 0.0)


def _value(goal: GoalResult, step: Step) -> float:
    return next((other.value for other in _same(goal, step.goals) if other.value is not None), float("nan"))


def _same(goal: GoalResult, goals: Sequence[GoalResult]) -> Iterator[GoalResult]:
    key = describe(goal)
    return (other for other in goals if describe(other) == key)


def _at(goal: GoalResult) -> str:
    return f"{describe(goal)} is at {goal.value:.2f}"


def _coverage(observation: Observation) -> str:
    """The coverage goal of the highest target, in words."""
    goals = observation.best_step.goals
    highest = max(observation.targets, key=lambda name: observation.prescriptions_gy[name])
    for goal in goals:
        if goal.structure == highest and goal.rank == 1 and goal.comparator == ">=":
            return describe(goal)
    return f"the prescription of {highest}"
