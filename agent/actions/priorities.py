"""Priorities only, as whole numbers: the action space of SAGE (arXiv 2512.20586).

The one idea: the answer is the whole list of objectives again, as a planner keeps it, and nothing in it but the
priorities may differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from agent.actions import answer as answers
from agent.actions.knobs import knobs_of, rounded
from agent.actions.naming import from_model, label, to_model
from agent.actions.space import Knob
from agent.observation import ObjectiveState, Observation, Step
from agent.proposal import CheckFailure, Fault, Proposal

_KEY = "objectives"


class Priorities:
    """The list of objectives with new priorities."""

    name = "priorities"

    def schema(self, observation: Observation) -> Mapping[str, Any]:
        number_or_null = {"type": ["number", "null"]}
        entry = {
            "name": {"type": "string", "enum": [*from_model(observation)]},
            "structure": {"type": "string"},
            "type": {"type": "string"},
            "dose_gy": {"type": "number"},
            "volume_percent": number_or_null,
            "priority": {"type": "integer"},
        }
        return answers.schema(_KEY, {"type": "array", "items": answers.closed(entry)})

    def instructions(self, observation: Observation) -> str:
        what = (
            "the whole list of objectives, each exactly once, in the form shown. Only priority may differ; name, "
            "structure, type, dose_gy and volume_percent are repeated as they are."
        )
        rules = (
            "A priority is a whole number, written without a decimal point.",
            answers.range_rule(observation, answers.priority_step(observation, "priority")),
            *answers.ratio_rules(observation, to_model(observation), "priority"),
        )
        return answers.instructions(observation, _KEY, what, rules)

    def present(self, observation: Observation) -> Any:
        names = to_model(observation)
        states = observation.shown.objectives
        allowed = {names[state.name]: _slot(state).allowed(observation) for state in states}
        return {
            _KEY: [{**_fixed(state, observation), "priority": _slot(state).now} for state in states],
            "allowed": {name: span for name, span in allowed.items() if span},
        }

    def read(self, answer: Mapping[str, Any], observation: Observation) -> Proposal:
        return answers.read(answer, observation, _KEY, lambda given, base: _read(given, base, observation))

    def refusal(
        self,
        failure: CheckFailure,
        observation: Observation,  # noqa: ARG002 - every action space takes the same
    ) -> CheckFailure:
        """As the checks say it: an answer writes the objectives' own fields."""
        return failure

    def knobs(self, observation: Observation, base: int) -> tuple[Knob, ...]:
        states = observation.step(base).objectives
        return tuple(knobs_of(states, observation.limits, field="priority", is_whole=True))


def _slot(state: ObjectiveState) -> answers.Slot:
    return answers.Slot(state, "priority", "priority", is_whole=True)


def _fixed(state: ObjectiveState, observation: Observation) -> Mapping[str, Any]:
    """What an entry of the list holds beside the priority."""
    return {
        "name": to_model(observation)[state.name],
        "structure": label(observation, state.structure),
        "type": state.type,
        "dose_gy": rounded(state.dose_gy),
        "volume_percent": None if state.volume_percent is None else rounded(state.volume_percent),
    }


def _read(given: Any, base: Step, observation: Observation) -> Iterator[answers.Found]:
    if not isinstance(given, list):
        yield CheckFailure(Fault.SCHEMA, "", _KEY, answers.quoted(given), "not a list", "the list of objectives")
        return
    objectives = from_model(observation)
    yield from _list_failures(given, objectives)
    fixed = {state.name: _fixed(state, observation) for state in observation.shown.objectives}
    states = {state.name: state for state in base.objectives}
    for entry in given:
        state = states.pop(objectives.get(_name(entry), ""), None)
        if state is not None:
            yield from _read_entry(entry, fixed[state.name], state)
    for missing in states:
        yield CheckFailure(Fault.MISSING_ENTRY, missing, _KEY, None, "this objective is missing", "once")


def _name(entry: Any) -> str:
    """What an entry of the list calls its objective; empty where it has no name."""
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name if isinstance(name, str) else ""


def _list_failures(given: list[Any], objectives: Mapping[str, str]) -> Iterator[CheckFailure]:
    """Entries that cannot stand in the list, one failure for each kind of them, however many there are."""
    names = [_name(entry) for entry in given]
    if nameless := [entry for entry, name in zip(given, names, strict=True) if not name]:
        rule = "not an object with a name"
        yield CheckFailure(Fault.SCHEMA, "", _KEY, answers.first_few(nameless), rule, "the form shown")
    if unknown := [name for name in names if name and name not in objectives]:
        allowed = f"exactly {[*objectives]}"
        yield CheckFailure(Fault.EXTRA_ENTRY, "", _KEY, answers.first_few(unknown), "no such objective", allowed)
    if twice := [name for name, times in Counter(names).items() if times > 1 and name in objectives]:
        yield CheckFailure(Fault.EXTRA_ENTRY, "", _KEY, answers.first_few(twice), "listed more than once", "once")


def _read_entry(entry: Mapping[str, Any], fixed: Mapping[str, Any], state: ObjectiveState) -> Iterator[answers.Found]:
    """Read one entry: what is fixed is held against what was shown, the priority against where it starts from."""
    expected = (*fixed, "priority")
    for name in expected:
        if name not in entry:
            rule, allowed = "this field is missing", f"exactly {[*expected]}"
            yield CheckFailure(Fault.SCHEMA, state.name, name, None, rule, allowed)
    if extra := [name for name in entry if name not in expected]:
        rule, allowed = "no such field", f"exactly {[*expected]}"
        yield CheckFailure(Fault.SCHEMA, state.name, answers.first_few(extra), None, rule, allowed)
    for name, value in fixed.items():
        if name in entry and not _same(entry[name], value):
            rule, allowed = "only priority may differ", answers.quoted(value)
            yield CheckFailure(Fault.FORBIDDEN_CHANGE, state.name, name, answers.quoted(entry[name]), rule, allowed)
    if "priority" in entry:
        yield from _slot(state).read(entry["priority"])


def _same(given: Any, value: Any) -> bool:
    """Whether a repeated field is the one shown, up to the digits it is shown with."""
    if isinstance(value, float) and answers.is_number(given):
        return rounded(given) == value
    return type(given) is type(value) and bool(given == value)
