"""A dosimetrist's routine, written down: coverage, hot spots, spill, organs by rank; no network, no chance.

The one idea: always go on from the best attempt, with the few levers a planner has for each kind of goal.

- Coverage: raise the target's lower objective, priority and dose. When the normalisation has to lift the whole dose,
  this comes first, because everything else is lifted with it.
- Hot spots: raise the upper objectives of target and body, and lower their dose towards the limit.
- Spill (conformity, gradient, volume of a low dose): lower the doses of the rings that the dose has to fall through.
  How steeply it falls is set by what the rings ask for, much less by how loudly they ask. A single hot spot far out is
  the opposite: the ring that holds it must be louder than the others, not all of them tighter.
- Organs: raise their objective; where it has no loss left it no longer pulls, so lower its dose instead.

When an attempt was not better, the next one is gentler, then narrower (only the most pressing goal), then with the
other lever; after that the routine stops and says what is left. Every change carries the numbers it rests on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

from agent.goals import describe, deviation, same_but_for_details, unmet
from agent.observation import ObjectiveState, Observation, Place
from agent.proposal import Change, Proposal
from agent.records import GoalResult
from agent.trace import Tell

GENTLEST, STRONGEST = 1.5, 2.5
"""Factors on a priority; the further a goal is off, the stronger."""
STRONGEST_AT = 0.10
"""A goal that is off by this share of its limit is answered with the strongest factor."""
DOSE_STEP = 0.08
"""Share by which an objective's dose is lowered (or a target's coverage dose is raised by an eighth of it)."""
RING_STEP = 0.16
"""Likewise for rings."""
LIFTED_PERCENT = 102.0
"""A normalisation above this says that coverage is too weak against everything else."""
OUTSIDE = 1.005
"""The body's maximum lies outside the targets when it is above theirs by this factor."""
NO_DRIVE = 1e-3
"""An objective with less than this share of the total loss no longer pulls."""
IDLE = 0.005
"""A goal that came nearer by less than this share of its limit did not answer to the lever that was pulled."""
DRIVE = 0.97
"""Upper objectives of targets and body stand at least this far below the limit of the hot-spot goal."""
ORGAN_DRIVE = 0.90
"""Likewise for organs."""


@dataclass(frozen=True)
class _Style:
    """How one try goes about it."""

    strength: float
    """1: full; below: the factor to this power."""
    goals: int | None
    """At most this many goals, the most pressing first."""
    lever: str
    """``fitting`` chooses by loss; ``priority`` and ``dose`` force one."""
    words: str


TRIES = (
    _Style(1.0, None, "fitting", "all open goals"),
    _Style(0.5, None, "fitting", "all open goals, more gently"),
    _Style(1.0, 1, "fitting", "only the most pressing goal"),
    _Style(1.0, None, "dose", "all open goals by their doses"),
    _Style(0.5, 1, "priority", "only the most pressing goal, gently"),
)
"""What is tried from one best attempt, in this order, until something is better."""
TRIES_FOR_WISHES = 2
PATIENCE = 4
"""So many attempts in a row without real progress end the run."""


class Rules:
    """The routine as a planner; it keeps nothing between two questions."""

    name = "rules"
    arm: Mapping[str, Any] = MappingProxyType({"action": "priorities and doses"})

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        """The next try from the best attempt, or the reason to stop."""
        base = observation.best_step
        goals = unmet(base.goals, 1, 2)
        tries: Sequence[_Style] = TRIES
        if not goals:
            goals, tries = unmet(base.goals, 3), TRIES[:TRIES_FOR_WISHES]
        if _stands_still(observation):
            return Proposal(
                f"The last {PATIENCE} attempts brought no goal nearer by a percent. {_left(goals)}", stop=True
            )
        failed = observation.last.number - observation.best + _turned_down(observation)
        for index, style in enumerate(tries):
            if index < failed:
                continue
            changes = _Try(observation, base.objectives, style).changes(_pressing(goals))
            if changes:
                start_from = None if base is observation.last else base.number
                return Proposal(_rationale(goals, base.number, style), changes, start_from)
        return Proposal(f"Nothing the routine knows made attempt {base.number} better. {_left(goals)}", stop=True)


class _Try:
    """Collects the changes of one try; each objective and field is changed once."""

    def __init__(self, observation: Observation, objectives: Sequence[ObjectiveState], style: _Style) -> None:
        self._observation = observation
        self._objectives = objectives
        self._style = style
        self._total = sum(state.value or 0.0 for state in objectives)
        self._changes: dict[tuple[str, str], Change] = {}

    def changes(self, goals: Sequence[GoalResult]) -> tuple[Change, ...]:
        self._lift_less()
        for goal in goals[: self._style.goals]:
            place = self._observation.places[goal.structure]
            for state in self._levers(goal, place):
                self._pull(state, goal)
        return tuple(self._changes.values())

    def _lift_less(self) -> None:
        """Coverage first: a dose that has to be lifted lifts every hot spot and organ with it."""
        percent = self._observation.best_step.normalization_percent
        if percent is None or percent <= LIFTED_PERCENT:
            return
        reason = f"The normalisation lifts the whole dose to {percent:.1f} %: coverage is too weak."
        for state in self._objectives:
            if state.type in ("lower", "min") and state.structure in self._observation.targets:
                self._set_priority(state, GENTLEST**self._style.strength, reason)

    def _levers(self, goal: GoalResult, place: Place) -> Iterator[ObjectiveState]:
        """The objectives that act on a goal."""
        metric = goal.metric
        if metric.startswith(("CI", "GI", "R50")) or place.region == "ring" or self._is_spill(goal):
            yield from self._rings(goal, place)
        elif place.region == "target" and goal.comparator == ">=":
            yield from self._of(place.organ, "lower", "min")
        elif place.region in ("target", "external"):
            yield from self._hot_spot(place)
        else:
            yield from self._of(place.organ, "upper", "max", "mean")

    def _of(self, organ: str, *types: str) -> Iterator[ObjectiveState]:
        return (state for state in self._objectives if state.place.organ == organ and state.type in types)

    def _hot_spot(self, place: Place) -> Iterator[ObjectiveState]:
        """Upper objectives of the body, and of where in it the hot spot lies: a target, or the innermost ring."""
        outside = place.region == "external" and self._hottest_outside_targets()
        rings = (state for state in self._objectives if state.place.region == "ring")
        for state in self._objectives:
            if state.type not in ("upper", "max"):
                continue
            same_target = place.region == "target" and state.place.organ == place.organ
            any_target = place.region == "external" and state.place.region == "target" and not outside
            if state.place.region == "external" or same_target or any_target:
                yield state
        if outside:
            yield from islice(rings, 1)

    def _hottest_outside_targets(self) -> bool:
        """Whether the body's maximum is above that of every target (of the last attempt's curves)."""
        curves, places = self._observation.dvhs, self._observation.places
        body = [c.max_gy for name, c in curves.items() if places[name].region == "external" and c.max_gy is not None]
        targets = [curves[name].max_gy or 0.0 for name in self._observation.targets if name in curves]
        return bool(body and targets) and max(body) > max(targets) * OUTSIDE

    def _is_spill(self, goal: GoalResult) -> bool:
        """A dose volume in an organ that has no objective of its own (V12Gy of the brain) is the rings' to keep."""
        organ = self._observation.places[goal.structure].organ
        return goal.metric.startswith("V") and not any(self._of(organ, "upper", "max", "mean"))

    def _rings(self, goal: GoalResult, place: Place) -> Iterator[ObjectiveState]:
        rings = [state for state in self._objectives if state.place.region == "ring"]
        if goal.metric.startswith("CI"):
            yield from rings[:2]
        elif place.region == "ring":
            yield from (ring for ring in rings if ring.place.distance_mm >= place.distance_mm)
        else:
            yield from rings

    def _pull(self, state: ObjectiveState, goal: GoalResult) -> None:
        """Make one objective act harder on one goal."""
        reason = f"{describe(goal)} is at {goal.value:.2f}."
        factor = _factor(goal) ** self._style.strength
        lever = self._lever(state, goal)
        by_dose = lever != "priority" and self._set_dose(state, reason)
        if by_dose and lever == "dose":
            return
        by_priority = self._set_priority(state, factor, reason)
        if not (by_dose or by_priority):
            self._set_dose(state, reason)

    def _lever(self, state: ObjectiveState, goal: GoalResult) -> str:
        """``priority``, ``dose`` or ``both``: what will move this objective."""
        if self._style.lever != "fitting":
            return self._style.lever
        is_dose_limit = goal.comparator == "<=" and goal.unit == "Gy"
        if state.place.region == "ring":
            return "priority" if is_dose_limit else "dose"
        if (state.value is not None and state.value < NO_DRIVE * self._total) or self._was_idle(state, goal):
            return "dose"
        if state.type in ("lower", "min"):
            return "both"
        drive = DRIVE if state.place.region in ("target", "external") else ORGAN_DRIVE
        return "dose" if is_dose_limit and state.dose_gy > goal.limit * drive else "priority"

    def _was_idle(self, state: ObjectiveState, goal: GoalResult) -> bool:
        """Whether raising this priority is how the best attempt was made, and the goal hardly moved by it."""
        best = self._observation.best_step
        if not any(change.objective == state.name and change.field == "priority" for change in best.changes):
            return False
        before = self._observation.step(best.start_from or best.number - 1)
        earlier = (deviation(other) for other in before.goals if describe(other) == describe(goal))
        return next(earlier, 0.0) - deviation(goal) < IDLE

    def _set_priority(self, state: ObjectiveState, factor: float, reason: str) -> bool:
        """Raise a priority as far as bounds and ratios allow; False when that is not at all."""
        if "priority" not in state.may_change:
            return False
        limits = self._observation.limits
        ceiling = min([state.priority_bounds[1], *self._ceilings(state)])
        value = min(max(state.priority, 1.0) * min(factor, limits.priority_factor_per_step), ceiling)
        value = float(round(value)) if limits.integer_priorities else round(value, 1)
        if value <= state.priority or value > ceiling:
            return False
        self._changes.setdefault((state.name, "priority"), Change(state.name, "priority", value, reason))
        return True

    def _ceilings(self, state: ObjectiveState) -> Iterator[float]:
        """What the ratio rules leave, with the priorities as they stand after the changes so far."""
        for name, at_most, of in self._observation.limits.ratios:
            if name == state.name:
                changed = self._changes.get((of, "priority"))
                priority = next(other.priority for other in self._objectives if other.name == of)
                yield at_most * (changed.value if changed else priority)

    def _set_dose(self, state: ObjectiveState, reason: str) -> bool:
        """Move a dose one step towards more drive; False when bounds or the next ring leave no room."""
        if "dose_gy" not in state.may_change:
            return False
        low, high = state.dose_bounds_gy
        step = (RING_STEP if state.place.region == "ring" else DOSE_STEP) * self._style.strength
        step = min(step, self._observation.limits.dose_step_percent / 100.0)
        if state.type in ("lower", "min"):
            value = min(state.dose_gy * (1.0 + step / 8.0), high)
        else:
            if state.place.region in ("target", "external"):
                step /= 8.0
            value = max(state.dose_gy * (1.0 - step), low, self._next_ring_gy(state))
        value = round(value, 2)
        if not low <= value <= high or value == state.dose_gy:
            return False
        self._changes.setdefault((state.name, "dose_gy"), Change(state.name, "dose_gy", value, reason))
        return True

    def _next_ring_gy(self, state: ObjectiveState) -> float:
        """The dose of the next ring outwards, which a ring's own dose must not fall below."""
        for chain in self._observation.limits.falling_doses:
            if state.name in chain[:-1]:
                outer = chain[chain.index(state.name) + 1]
                return next(other.dose_gy for other in self._objectives if other.name == outer)
        return 0.0


def _stands_still(observation: Observation) -> bool:
    """Whether the best attempt before the last `PATIENCE` ones was already as good, but for details."""
    before = observation.history[:-PATIENCE]
    return bool(before) and same_but_for_details(min(step.score for step in before), observation.best_step.score)


def _turned_down(observation: Observation) -> int:
    """How often a person turned down what was to be tried next; each time the routine goes on to its next try."""
    return sum(remark.attempt == observation.last.number + 1 for remark in observation.remarks)


def _left(goals: Sequence[GoalResult]) -> str:
    return f"Left: {', '.join(f'{describe(goal)} ({goal.value:.2f})' for goal in goals)}."


def _pressing(goals: Sequence[GoalResult]) -> list[GoalResult]:
    """Missed before acceptable, then by rank, then by how far off."""
    return sorted(goals, key=lambda goal: (goal.status.value != "missed", goal.rank, -deviation(goal)))


def _factor(goal: GoalResult) -> float:
    share = min(deviation(goal) / STRONGEST_AT, 1.0)
    return GENTLEST + (STRONGEST - GENTLEST) * share


def _rationale(goals: Sequence[GoalResult], best: int, style: _Style) -> str:
    listed = ", ".join(f"{describe(goal)} at {goal.value:.2f}" for goal in _pressing(goals)[:3])
    more = f" and {len(goals) - 3} more" if len(goals) > 3 else ""
    return f"From attempt {best}, {style.words}: {listed}{more}."
