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
from agent.proposal import Change, CheckFailure, Proposal

_SLACK = 1e-9
"""Relative; so that a value computed as limit x 1.0 passes."""


def check(proposal: Proposal, observation: Observation) -> tuple[CheckFailure, ...]:
    """Every rule the proposal breaks; empty when it may be applied."""
    if proposal.stop:
        return ()
    numbers = [step.number for step in observation.history]
    if proposal.start_from is not None and proposal.start_from not in numbers:
        failure = CheckFailure("", "start_from", proposal.start_from, "no such attempt", f"one of {numbers}")
        return (failure,)
    base = observation.last if proposal.start_from is None else observation.step(proposal.start_from)
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
        yield CheckFailure("", "changes", None, "a proposal that does not stop changes something", "one or more")
    seen = set()
    for change in proposal.changes:
        where = (change.objective, change.field)
        if change.objective not in before:
            yield CheckFailure(*where, change.value, "no such objective", f"one of {sorted(before)}")
        elif change.field not in before[change.objective].may_change:
            allowed = ", ".join(before[change.objective].may_change)
            yield CheckFailure(*where, change.value, "this field is not the agent's to change", allowed)
        elif not math.isfinite(change.value):
            yield CheckFailure(*where, change.value, "not a finite number", "a number")
        elif where in seen:
            yield CheckFailure(*where, change.value, "changed twice in one proposal", "once")
        seen.add(where)


def _bounds(change: Change, state: ObjectiveState, limits: Limits) -> Iterator[CheckFailure]:
    now = getattr(state, change.field)
    if change.field == "priority":
        low, high = state.priority_bounds
        if limits.integer_priorities and change.value != round(change.value):
            yield _failure(change, "this server's priorities are whole numbers", f"{round(change.value)}")
        factor = limits.priority_factor_per_step
        step_low, step_high = now / factor, max(now * factor, factor)
    elif change.field == "dose_gy":
        low, high = state.dose_bounds_gy
        reach = now * limits.dose_step_percent / 100.0
        step_low, step_high = now - reach, now + reach
    else:
        low, high = 0.0, 100.0
        step_low, step_high = now - limits.volume_step_percent, now + limits.volume_step_percent
    if not low <= change.value <= high:
        yield _failure(change, "outside its bounds", f"{low:g} to {high:g}")
    slack = _SLACK * max(abs(step_high), 1.0)
    if not step_low - slack <= change.value <= step_high + slack:
        yield _failure(change, f"too large a step from {now:g}", f"{step_low:g} to {step_high:g}")


def _ratios(states: Mapping[str, ObjectiveState], limits: Limits) -> Iterator[CheckFailure]:
    for name, at_most, of in limits.ratios:
        ceiling = states[of].priority * at_most
        if states[name].priority > ceiling * (1 + _SLACK):
            rule = f"priority above {at_most:g} times that of {of!r} ({states[of].priority:g})"
            yield CheckFailure(name, "priority", states[name].priority, rule, f"at most {ceiling:g}")


def _falling(states: tuple[ObjectiveState, ...], limits: Limits) -> Iterator[CheckFailure]:
    by_name = {state.name: state for state in states}
    for chain in limits.falling_doses:
        for inner, outer in pairwise(chain):
            if by_name[outer].dose_gy > by_name[inner].dose_gy:
                rule = f"doses fall outwards, but {inner!r} has {by_name[inner].dose_gy:g} Gy"
                allowed = f"at most {by_name[inner].dose_gy:g}"
                yield CheckFailure(outer, "dose_gy", by_name[outer].dose_gy, rule, allowed)


def _failure(change: Change, rule: str, allowed: str) -> CheckFailure:
    return CheckFailure(change.objective, change.field, change.value, rule, allowed)
