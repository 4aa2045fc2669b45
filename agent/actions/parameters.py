"""Weight, hot share and threshold of each structure: the action space of M2M (arXiv 2606.00922).

The one idea: lambda, V and tau are another way to write an objective of the hot-fraction problem: its priority, the
hottest share of the structure that counts, and its dose as a share of the highest prescription.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agent.actions import answer as answers
from agent.actions.knobs import knobs_of
from agent.actions.naming import label
from agent.actions.space import ActionError, Knob
from agent.observation import ObjectiveState, Observation, Step
from agent.proposal import CheckFailure, Proposal

_KEY = "parameters"
_WORDS = {"priority": "lambda", "doses": "values of tau"}
"""How rules of the checks begin -> how they do in this action space."""
_WORD_AT_START = re.compile(rf"\A(?:{'|'.join(_WORDS)})\b")
_NUMBER = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b")
_VALUE_AT_END = re.compile(rf"{_NUMBER.pattern}(?: Gy)?\Z")
_Slots = Mapping[str, Mapping[str, answers.Slot]]
"""Structure, as a model knows it -> ``lambda``, ``V``, ``tau``."""


class Parameters:
    """Structure -> lambda, V and tau."""

    name = "parameters"

    def schema(self, observation: Observation) -> Mapping[str, Any]:
        structures = {
            structure: answers.closed({word: {"type": "number"} for word in row})
            for structure, row in _slots(observation, observation.shown).items()
        }
        return answers.schema(_KEY, answers.closed(structures))

    def instructions(self, observation: Observation) -> str:
        gy = _prescription_gy(observation)
        what = (
            "an object with one entry for each structure shown, and in it all of its parameters, also those that stay "
            f"as they are. What is penalised is the squared dose above tau times {gy:g} Gy in the hottest share V of "
            "the structure, weighted by lambda. V = 1 counts the whole structure, V = 0.1 only its hottest tenth; it "
            "is not a volume that may be exceeded."
        )
        named = {state.name: label(observation, state.structure) for state in _hot(observation, observation.shown)}
        volume_step = f"a V by at most {observation.limits.volume_step_percent / 100.0:g} up or down"
        steps = (answers.priority_step(observation, "lambda"), volume_step, answers.dose_step(observation, "tau"))
        rules = (
            answers.range_rule(observation, ", ".join(steps)),
            *answers.ratio_rules(observation, named, "lambda"),
            *answers.falling_rules(observation, named, "tau"),
        )
        return answers.instructions(observation, _KEY, what, rules)

    def present(self, observation: Observation) -> Any:
        slots = _slots(observation, observation.shown)
        allowed = {
            structure: {word: span for word, slot in row.items() if (span := slot.allowed(observation))}
            for structure, row in slots.items()
        }
        return {
            _KEY: {structure: {word: slot.now for word, slot in row.items()} for structure, row in slots.items()},
            "allowed": {structure: spans for structure, spans in allowed.items() if spans},
        }

    def read(self, answer: Mapping[str, Any], observation: Observation) -> Proposal:
        return answers.read(answer, observation, _KEY, lambda given, base: _read(given, _slots(observation, base)))

    def refusal(self, failure: CheckFailure, observation: Observation) -> CheckFailure:
        """In lambda, V and tau."""
        return in_symbols(failure, observation)

    def knobs(self, observation: Observation, base: int) -> tuple[Knob, ...]:
        return tuple(knobs_of(_hot(observation, observation.step(base)), observation.limits))


def parameter_slots(state: ObjectiveState, observation: Observation) -> Mapping[str, answers.Slot]:
    """Lambda, V and tau of one objective of type ``hot``, those of them that may change."""
    slots = (
        answers.Slot(state, "priority", "lambda"),
        answers.Slot(state, "volume_percent", "V", unit=100.0),
        answers.Slot(state, "dose_gy", "tau", unit=_prescription_gy(observation)),
    )
    return {slot.word: slot for slot in slots if slot.field in state.may_change}


def in_symbols(failure: CheckFailure, observation: Observation) -> CheckFailure:
    """A rule that the checks found broken, in lambda, V and tau where it is about an objective of type ``hot``."""
    for state in _of_type_hot(observation.last):
        for slot in parameter_slots(state, observation).values():
            if (failure.objective, failure.field) == (state.name, slot.field):
                return _written_as(slot, failure)
    return failure


def _written_as(slot: answers.Slot, failure: CheckFailure) -> CheckFailure:
    def written(number: re.Match[str]) -> str:
        return f"{float(number[1]) / slot.unit:g}"

    value = failure.value
    return replace(
        failure,
        field=slot.word,
        value=_digits(value / slot.unit) if isinstance(value, float) else value,
        rule=_VALUE_AT_END.sub(written, _WORD_AT_START.sub(lambda word: _WORDS[word[0]], failure.rule)),
        allowed=_NUMBER.sub(written, failure.allowed),
    )


def _digits(value: float) -> float:
    """As many digits as the checks tell a limit with."""
    return float(f"{value:g}")


def _prescription_gy(observation: Observation) -> float:
    return max(observation.prescriptions_gy.values())


def _hot(observation: Observation, base: Step) -> list[ObjectiveState]:
    """The objectives of the hot-fraction problem."""
    states = _of_type_hot(base)
    if not states:
        raise ActionError(
            "action space 'parameters' sets lambda, V and tau of the hot-fraction problem, and no objective of this "
            "run is of type 'hot'. Use a protocol of that problem, such as prostate-m2m-7, or another action space."
        )
    structures = [label(observation, state.structure) for state in states]
    if len(set(structures)) < len(structures):
        raise ActionError(f"action space 'parameters' takes one objective of type 'hot' a structure, not {structures}.")
    return states


def _of_type_hot(step: Step) -> list[ObjectiveState]:
    return [state for state in step.objectives if state.type == "hot"]


def _slots(observation: Observation, base: Step) -> _Slots:
    states = _hot(observation, base)
    rows = {label(observation, state.structure): parameter_slots(state, observation) for state in states}
    return {structure: row for structure, row in rows.items() if row}


def _read(given: Any, slots: _Slots) -> Iterator[answers.Found]:
    yield from answers.entries(given, slots, _KEY, lambda structure: _objective(slots[structure]))
    if not isinstance(given, Mapping):
        return
    for structure, row in slots.items():
        if structure in given:
            yield from _read_row(given[structure], structure, row)


def _read_row(given: Any, structure: str, row: Mapping[str, answers.Slot]) -> Iterator[answers.Found]:
    yield from answers.entries(given, row, structure, lambda word: row[word].state.name)
    if isinstance(given, Mapping):
        for word, slot in row.items():
            if word in given:
                yield from slot.read(given[word])


def _objective(row: Mapping[str, answers.Slot]) -> str:
    return next(iter(row.values())).state.name
