"""Guardrails on proposals, in code: what no planner may do, whatever it was told.

The one idea: every rule looks at the objectives as they would stand after the proposal, and answers with structured
failures (objective, field, value, rule, what is allowed) that a planner can repair and a person can read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from agent.observation import Limits, ObjectiveState, Observation
from agent.proposal import Change, CheckFailure, Fault, Field, Proposal

SMALL_PRIORITY = 10.0
"""A step up from less than this is measured from here, so that an objective at 0 can come into play (own choice)."""
_SLACK = 1e-5
"""Relative; so that a limit told with six digits (``:g``) may be answered."""


def check(proposal: Proposal, observation: Observation) -> tuple[CheckFailure, ...]:
    """Every rule the proposal breaks; empty when it may be applied."""
    if proposal.unreadable or proposal.stop:
        return proposal.unreadable
    numbers = [step.number for step in observation.history]
    if proposal.start_from is not None and proposal.start_from not in numbers:
        where = (Fault.UNKNOWN_ATTEMPT, "", "start_from")
        return (CheckFailure(*where, proposal.start_from, "no such attempt", f"one of {numbers}"),)
    base = observation.shown if proposal.start_from is None else observation.step(proposal.start_from)
    before = {state.name: state for state in base.objectives}
    failures = [*_shape(proposal, before)]
    if failures:
        return tuple(failures)
    after = apply(proposal.changes, base.objectives)
    by_name = {state.name: state for state in after}
    for change in proposal.changes:
        failures += _bounds(change, before[change.objective], observation.limits)
    failures += _ratios(by_name, observation.limits)
    failures += _falling(after, observation.limits)
    return tuple(failures)


def apply(changes: tuple[Change, ...], objectives: tuple[ObjectiveState, ...]) -> tuple[ObjectiveState, ...]:
    """The objectives as they stand after the changes."""
    states = {state.name: state for state in objectives}
    for change in changes:
        state = states[change.objective]
        if change.field == "priority":
            states[change.objective] = replace(state, priority=change.value)
        elif change.field == "dose_gy":
            states[change.objective] = replace(state, dose_gy=change.value)
        else:
            states[change.objective] = replace(state, volume_percent=change.value)
    return tuple(states.values())


def _shape(proposal: Proposal, before: Mapping[str, ObjectiveState]) -> Iterator[CheckFailure]:
    if not proposal.changes:
        rule = "a proposal that does not stop changes something"
        yield CheckFailure(Fault.NO_CHANGE, "", "changes", None, rule, "one or more")
    seen = set()
    for change in proposal.changes:
        where = (change.objective, change.field)
        if change.objective not in before:
            yield CheckFailure(Fault.EXTRA_ENTRY, *where, change.value, "no such objective", f"one of {sorted(before)}")
        elif change.field not in before[change.objective].may_change:
            allowed = ", ".join(before[change.objective].may_change)
            rule = "this field is not the agent's to change"
            yield CheckFailure(Fault.FORBIDDEN_CHANGE, *where, change.value, rule, allowed or "nothing of it")
        elif not math.isfinite(change.value):
            yield CheckFailure(Fault.NOT_A_NUMBER, *where, change.value, "not a finite number", "a number")
        elif where in seen:
            yield CheckFailure(Fault.EXTRA_ENTRY, *where, change.value, "changed twice in one proposal", "once")
        seen.add(where)


def _bounds(change: Change, state: ObjectiveState, limits: Limits) -> Iterator[CheckFailure]:
    if change.field == "priority" and limits.integer_priorities and change.value != round(change.value):
        rule = "this server's priorities are whole numbers"
        yield _failure(Fault.NOT_AN_INTEGER, change, rule, f"{round(change.value)}")
    now, (low, high) = getattr(state, change.field), bounds(state, change.field)
    if not _within(change.value, low, high):
        yield _failure(Fault.OUT_OF_RANGE, change, "outside its bounds", f"{low:g} to {high:g}")
    low, high = step(state, change.field, limits)
    if not _within(change.value, low, high):
        yield _failure(Fault.STEP, change, f"too large a step from {now:g}", f"{low:g} to {high:g}")


def bounds(state: ObjectiveState, field: Field) -> tuple[float, float]:
    """Lowest and highest value that a field of an objective may ever have."""
    if field == "priority":
        return state.priority_bounds
    return state.dose_bounds_gy if field == "dose_gy" else state.volume_bounds_percent


def step(state: ObjectiveState, field: Field, limits: Limits) -> tuple[float, float]:
    """Lowest and highest value that one proposal may take a field to."""
    now = getattr(state, field)
    if field == "priority":
        factor = limits.priority_factor_per_step
        return now / factor, max(now, SMALL_PRIORITY) * factor
    reach = now * limits.dose_step_percent / 100.0 if field == "dose_gy" else limits.volume_step_percent
    return now - reach, now + reach


def _within(value: float, low: float, high: float) -> bool:
    slack = _SLACK * max(abs(low), abs(high), 1.0)
    return low - slack <= value <= high + slack


def _ratios(states: Mapping[str, ObjectiveState], limits: Limits) -> Iterator[CheckFailure]:
    for name, at_most, of in limits.ratios:
        ceiling = states[of].priority * at_most
        if states[name].priority > ceiling * (1 + _SLACK):
            rule = f"priority above {at_most:g} times that of {of!r} ({states[of].priority:g})"
            yield CheckFailure(Fault.RATIO, name, "priority", states[name].priority, rule, f"at most {ceiling:g}")


def _falling(states: tuple[ObjectiveState, ...], limits: Limits) -> Iterator[CheckFailure]:
    by_name = {state.name: state for state in states}
    for chain in limits.falling_doses:
        for inner, outer in pairwise(chain):
            if by_name[outer].dose_gy > by_name[inner].dose_gy:
                rule = f"doses fall outwards, but {inner!r} has {by_name[inner].dose_gy:g} Gy"
                allowed = f"at most {by_name[inner].dose_gy:g}"
                yield CheckFailure(Fault.FALLING, outer, "dose_gy", by_name[outer].dose_gy, rule, allowed)


def _failure(fault: Fault, change: Change, rule: str, allowed: str) -> CheckFailure:
    return CheckFailure(fault, change.objective, change.field, change.value, rule, allowed)
