"""What the planners that search have in common: the box of values around the first attempt, and a proposal from it.

The one idea: every draw starts from attempt 1, so draws do not depend on each other and what a search is told of one
point is true of that point. The box is narrowed, and a drawn point moved, until the rules between objectives hold too;
no draw is spent on a proposal that the checks would refuse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np

from agent.actions import ActionError, ActionSpace, Knob, all_knobs
from agent.actions.knobs import rounded
from agent.observation import Limits, ObjectiveState, Observation
from agent.proposal import Change, Field, Proposal

FIRST = 1
"""The attempt that every draw starts from."""
_TRIES = 100
"""So many draws in a row that leave attempt 1 as it is end the search."""
_SLACK = 1e-9

Key = tuple[str, Field]
"""Objective and field."""
Point = Mapping[Key, float]


@dataclass(frozen=True)
class _Rule:
    """One value is at most ``at_most`` times another."""

    limited: Key
    at_most: float
    of: Key


@dataclass(frozen=True)
class Box:
    """What a search may set."""

    knobs: tuple[Knob, ...]
    """Narrowed so that every point of the box can be moved, within it, to where the rules hold."""
    start: Point
    """Every value of attempt 1 that a knob or a rule concerns."""
    rules: tuple[_Rule, ...]

    def changes(self, drawn: Point) -> tuple[Change, ...]:
        """The changes from attempt 1 to a drawn point, after it was moved to where the rules hold."""
        knobs = {key_of(knob): knob for knob in self.knobs}
        point = {**self.start, **{key: _settled(drawn[key], knob) for key, knob in knobs.items()}}
        for _ in self.rules:
            for rule in self.rules:
                ceiling = rule.at_most * point[rule.of]
                if rule.limited in knobs and point[rule.limited] > ceiling:
                    knob = knobs[rule.limited]
                    point[rule.limited] = max(_down(ceiling, knob), knob.low)
        return tuple(Change(*key, point[key], "") for key in knobs if point[key] != self.start[key])


def generator(seed: int, observation: Observation) -> np.random.Generator:
    """Random numbers that are new at each asking, and the same again in a replay."""
    return np.random.default_rng([seed, len(observation.history), len(observation.remarks)])


def key_of(knob: Knob) -> Key:
    return knob.objective, knob.field


def value_of(state: ObjectiveState, field: Field) -> float:
    value: float = getattr(state, field)
    return value


def action_name(action: ActionSpace | None) -> str:
    """For the record: the action space, or ``all``."""
    return "all" if action is None else action.name


def around_first(observation: Observation, action: ActionSpace | None) -> Box:
    """One step around attempt 1 in an action space; without one, in everything that may change.

    Raises
    ------
    ActionError
        The action space cannot be used in this run, or no step from attempt 1 keeps the rules between objectives.
    """
    knobs = all_knobs(observation, FIRST) if action is None else action.knobs(observation, FIRST)
    states = {state.name: state for state in observation.step(FIRST).objectives}
    rules = tuple(_rules(observation.limits))
    keys = {key_of(knob) for knob in knobs} | {end for rule in rules for end in (rule.limited, rule.of)}
    start = {(name, field): value_of(states[name], field) for name, field in keys}
    return Box(tuple(_narrowed(knobs, start, rules)), start, rules)


def first_that_changes(points: Iterable[Point], box: Box, rationale: str) -> Proposal:
    """The proposal of the first drawn point that is not attempt 1 itself."""
    for point in islice(points, _TRIES):
        changes = box.changes(point)
        if changes:
            return Proposal(rationale, changes, start_from=FIRST)
    return Proposal(f"Nothing can be set to another value within one step of attempt {FIRST}.", stop=True)


def _rules(limits: Limits) -> Iterator[_Rule]:
    """Ratios of priorities and falling doses, which say the same of two values."""
    for name, at_most, of in limits.ratios:
        yield _Rule((name, "priority"), at_most, (of, "priority"))
    for chain in limits.falling_doses:
        for inner, outer in pairwise(chain):
            yield _Rule((outer, "dose_gy"), 1.0, (inner, "dose_gy"))


def _narrowed(knobs: Iterable[Knob], start: Point, rules: tuple[_Rule, ...]) -> Iterator[Knob]:
    """The knobs without those ends from which no point could be moved to where the rules hold."""
    by_key = {key_of(knob): knob for knob in knobs}
    low = {**start, **{key: knob.low for key, knob in by_key.items()}}
    high = {**start, **{key: knob.high for key, knob in by_key.items()}}
    for _ in rules:
        for rule in rules:
            ceiling = _down(rule.at_most * high[rule.of], by_key.get(rule.limited))
            floor = _up(low[rule.limited] / rule.at_most, by_key.get(rule.of))
            high[rule.limited] = min(high[rule.limited], ceiling)
            low[rule.of] = max(low[rule.of], floor)
    for rule in rules:
        if low[rule.limited] > rule.at_most * high[rule.of] * (1.0 + _SLACK):
            raise ActionError(
                f"nothing within one step of attempt {FIRST} keeps the rules: {' '.join(rule.limited)} is at least "
                f"{low[rule.limited]:g}, but may be at most {rule.at_most:g} times {' '.join(rule.of)}, which is at "
                f"most {high[rule.of]:g}. Correct the protocol's objectives or its limits."
            )
    for key, knob in by_key.items():
        yield replace(knob, low=min(low[key], high[key]), high=high[key])


def _settled(value: float, knob: Knob) -> float:
    """A drawn value with the digits that are shown, inside its knob's range."""
    return min(max(float(round(value)) if knob.is_integer else rounded(value), knob.low), knob.high)


def _down(value: float, knob: Knob | None) -> float:
    return float(math.floor(value + _SLACK)) if knob is not None and knob.is_integer else value


def _up(value: float, knob: Knob | None) -> float:
    return float(math.ceil(value - _SLACK)) if knob is not None and knob.is_integer else value
