"""Named moves: each is one step that the checks allow by itself, so an answer is a choice and holds no number.

The one idea: a model that keeps to the schema cannot write a value that is out of range. Several moves together may
still break a rule between objectives; that is for the checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.actions import answer as answers
from agent.actions.knobs import all_knobs, rounded
from agent.actions.naming import to_model
from agent.actions.parameters import in_symbols, parameter_slots
from agent.actions.space import Knob
from agent.checks import check
from agent.observation import ObjectiveState, Observation, Step
from agent.proposal import Change, CheckFailure, Fault, Proposal

MOST_MOVES = 5
_KEY = "moves"


@dataclass(frozen=True)
class _Published:
    """Multiplicative steps of one parameter, and how far they go."""

    up: float
    down: float
    lowest: float = 0.0
    highest: float = 1.0


_LAMBDA = _Published(1.65, 0.60, highest=100_000.0)
_TARGET = {"lambda": _LAMBDA, "V": _Published(1.25, 0.80, highest=0.3), "tau": _Published(1.01, 0.91, 1.0, 1.2)}
_ORGAN = {"lambda": _LAMBDA, "V": _Published(1.25, 0.80), "tau": _Published(1.25, 0.60)}
"""The actions of the agent that M2M (arXiv 2606.00922) learns from, as its authors' code has them
(Mainulabrar/Actor-Critic-Based-Treatment-Planner-Clean @ 5de8d5c)."""

_PRIORITY = {"x2": 2.0, "x1.25": 1.25, "/1.25": 0.8, "/2": 0.5}
_DOSE = {"+8%": 1.08, "+2%": 1.02, "-2%": 0.98, "-8%": 0.92}
"""Own choice: a coarse and a fine step each way."""


@dataclass(frozen=True)
class _Move:
    """A named change, and how it reads."""

    change: Change
    reads: str
    """``50 to 100``."""


class Discrete:
    """A list of named moves."""

    name = "discrete"

    def schema(self, observation: Observation) -> Mapping[str, Any]:
        named = {"type": "string", "enum": [*_moves(observation, observation.shown)]}
        return answers.schema(_KEY, {"type": "array", "items": named})

    def instructions(self, observation: Observation) -> str:
        what = (
            f"a list of one to {MOST_MOVES} of the moves shown, by name; with each stands the value it starts from "
            "and the one it leads to."
        )
        names = to_model(observation)
        rules = (
            "No two moves change the same value.",
            "From another attempt, a move takes the same step from that attempt's own value, if it is allowed there.",
            *answers.ratio_rules(observation, names, "priority"),
            *answers.falling_rules(observation, names, "dose"),
        )
        return answers.instructions(observation, _KEY, what, rules)

    def present(self, observation: Observation) -> Any:
        return {_KEY: {name: move.reads for name, move in _moves(observation, observation.shown).items()}}

    def read(self, answer: Mapping[str, Any], observation: Observation) -> Proposal:
        return answers.read(answer, observation, _KEY, lambda given, base: _read(given, _moves(observation, base)))

    def refusal(self, failure: CheckFailure, observation: Observation) -> CheckFailure:
        """In the words that the moves are named by."""
        return in_symbols(failure, observation)

    def knobs(self, observation: Observation, base: int) -> tuple[Knob, ...]:
        """A search has no use for names: the ranges that the moves are taken from."""
        return all_knobs(observation, base)


def _moves(observation: Observation, base: Step) -> Mapping[str, _Move]:
    """Every move that the checks allow by itself, from one attempt."""
    names = to_model(observation)
    found = {}
    for state in base.objectives:
        for slot, word, value in _steps(state, observation):
            change = Change(state.name, slot.field, _settled(value * slot.unit, slot, observation), "")
            is_move = change.value != getattr(state, slot.field)
            if is_move and not check(Proposal("", (change,), base.number), observation):
                reads = f"{slot.now:g} to {rounded(change.value / slot.unit):g}"
                found[f"{names[state.name]}: {slot.word} {word}"] = _Move(change, reads)
    return found


def _steps(state: ObjectiveState, observation: Observation) -> Iterator[tuple[answers.Slot, str, float]]:
    """Number, name of the step, and where it leads, as written."""
    if state.type == "hot":
        table = _TARGET if state.place.region == "target" else _ORGAN
        for slot in parameter_slots(state, observation).values():
            published = table[slot.word]
            for factor in (published.up, published.down):
                if published.lowest <= rounded(slot.now * factor) <= published.highest:
                    yield slot, f"x{factor:.2f}", slot.now * factor
        return
    general = {"priority": _PRIORITY, "dose_gy": _DOSE}
    for slot in (answers.Slot(state, "priority", "priority"), answers.Slot(state, "dose_gy", "dose")):
        for word, factor in general[slot.field].items():
            yield slot, word, slot.now * factor


def _settled(value: float, slot: answers.Slot, observation: Observation) -> float:
    """The value as it is set: with the digits that are shown, and whole where the server's priorities are."""
    whole = slot.field == "priority" and observation.limits.integer_priorities
    return float(round(value)) if whole else rounded(value)


def _read(given: Any, moves: Mapping[str, _Move]) -> Iterator[answers.Found]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        yield CheckFailure(Fault.SCHEMA, "", _KEY, answers.quoted(given), "not a list of names", "names of moves")
        return
    if len(given) > MOST_MOVES:
        rule = f"{len(given)} moves in one answer"
        yield CheckFailure(Fault.EXTRA_ENTRY, "", _KEY, None, rule, f"one to {MOST_MOVES}")
        return
    turned = set()
    for name in given:
        if name not in moves:
            allowed = "one of the moves shown, if it is allowed from the attempt you start from"
            yield CheckFailure(Fault.EXTRA_ENTRY, "", _KEY, answers.quoted(name), "no such move", allowed)
            continue
        change = moves[name].change
        if (change.objective, change.field) in turned:
            rule = "another move of this answer changes the same value"
            yield CheckFailure(Fault.EXTRA_ENTRY, change.objective, change.field, answers.quoted(name), rule, "one")
        turned.add((change.objective, change.field))
        yield change
