"""What all answers share: why, from which attempt, whether to stop; and how one number of an answer is read.

The one idea: an answer is absolute and complete. It is held against the attempt it starts from, and only what differs
becomes a change. Here the form is judged; whether a value is allowed is for `agent.checks` to say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard

from agent.actions.knobs import DIGITS, knobs_of, rounded
from agent.observation import ObjectiveState, Observation, Step
from agent.proposal import Change, CheckFailure, Fault, Field, Proposal
from agent.wording import counted

_LONGEST = 60
"""So much of what a model wrote is quoted back to it."""
_FEW = 3
"""So many of the names that a model wrote are quoted, and the others counted."""

Found = Change | CheckFailure
Named = Mapping[str, str]
"""Objective -> what a model calls it."""


@dataclass(frozen=True)
class Slot:
    """One number of an answer: which field of an objective it sets, and how it is written."""

    state: ObjectiveState
    """As it stands in the attempt that the answer is held against."""
    field: Field
    word: str
    """What an answer calls the field."""
    unit: float = 1.0
    """What a written 1 means: the prescription for a threshold, 100 for a share."""
    is_whole: bool = False

    @property
    def now(self) -> float:
        """The present value as an answer would write it."""
        return self._written(getattr(self.state, self.field))

    def allowed(self, observation: Observation) -> list[float] | None:
        """Lowest and highest value within one step, as written; None where the present value is the only one."""
        for knob in knobs_of([self.state], observation.limits, field=self.field, is_whole=self.is_whole):
            if self.is_whole:
                return [int(knob.low), int(knob.high)]
            low, high = self._inside(knob.low, 1), self._inside(knob.high, -1)
            return [low, high] if low <= high else None
        return None

    def read(self, given: Any) -> Iterator[Found]:
        """The change that a written value means, if any, or what is wrong with it."""
        if not is_number(given) or not math.isfinite(given * self.unit):
            yield self._failure(Fault.NOT_A_NUMBER, given, "not a number", "a number")
        elif self.is_whole and not isinstance(given, int):
            rule = "not a whole number written without a decimal point"
            yield self._failure(Fault.NOT_AN_INTEGER, given, rule, "a whole number")
        elif self._written(self._meant(given)) != self.now:
            yield Change(self.state.name, self.field, self._meant(given), "")

    def _written(self, value: float) -> float:
        return round(value) if self.is_whole else rounded(value / self.unit)

    def _meant(self, given: float) -> float:
        return float(round(given * self.unit, 6))

    def _inside(self, end: float, inwards: int) -> float:
        """One end of a range as written, moved inwards by a digit where rounding would put it outside."""
        written = rounded(end / self.unit)
        if (self._meant(written) - end) * inwards >= 0.0:
            return written
        digit = 10.0 ** (math.floor(math.log10(abs(written))) + 1 - DIGITS)
        return rounded(written + inwards * digit)

    def _failure(self, fault: Fault, given: Any, rule: str, allowed: str) -> CheckFailure:
        return CheckFailure(fault, self.state.name, self.word, quoted(given), rule, allowed)


def is_number(given: Any) -> TypeGuard[float]:
    """Whether a JSON value is a finite number; true and false are none, nor is a whole number too long for one."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    try:
        return math.isfinite(given)
    except OverflowError:
        return False


def quoted(given: Any) -> str:
    """What a model wrote, as it is quoted in a refusal."""
    text = given if isinstance(given, str) else json.dumps(given)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def first_few(given: Sequence[Any]) -> str:
    """The first of several things a model wrote, and how many more there are: ``a, b, c and 97 more``."""
    more = f" and {len(given) - _FEW} more" if len(given) > _FEW else ""
    return ", ".join(map(quoted, given[:_FEW])) + more


def schema(key: str, what: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON schema of an answer that sets ``key``, in the strict form that model servers can keep to."""
    return closed(
        {
            "rationale": {"type": "string"},
            "start_from": {"type": ["integer", "null"]},
            "stop": {"type": "boolean"},
            key: what,
        }
    )


def closed(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def read(
    answer: Mapping[str, Any], observation: Observation, key: str, body: Callable[[Any, Step], Iterable[Found]]
) -> Proposal:
    """The proposal that an answer means.

    Parameters
    ----------
    key
        The part of the answer that says what is set.
    body
        Reads that part against the attempt it starts from.
    """
    rationale = answer.get("rationale")
    rationale = rationale.strip() if isinstance(rationale, str) else ""
    failures = tuple(_head_failures(answer, observation, key, rationale))
    if failures:
        return Proposal(rationale, unreadable=failures)
    if answer["stop"]:
        return Proposal(rationale, stop=True)
    number = answer["start_from"]
    base = observation.shown if number is None else observation.step(number)
    found = tuple(body(answer[key], base))
    failures = tuple(item for item in found if isinstance(item, CheckFailure))
    if failures:
        return Proposal(rationale, unreadable=failures)
    changes = tuple(item for item in found if isinstance(item, Change))
    goes_on = base is observation.last and base is observation.shown
    return Proposal(rationale, changes, None if goes_on else base.number)


def entries(
    given: Any, expected: Collection[str], where: str, objective: Callable[[str], str] = str
) -> Iterator[CheckFailure]:
    """What keeps a value from being a JSON object with exactly the expected entries.

    Parameters
    ----------
    where
        What the object is called in the answer.
    objective
        An expected entry -> the objective it stands for.
    """
    if not isinstance(given, Mapping):
        yield CheckFailure(Fault.SCHEMA, "", where, quoted(given), "not a JSON object", "an object with one entry each")
        return
    for name in expected:
        if name not in given:
            yield CheckFailure(Fault.MISSING_ENTRY, objective(name), where, None, "this entry is missing", "once")
    if extra := [name for name in given if name not in expected]:
        yield CheckFailure(Fault.EXTRA_ENTRY, "", where, first_few(extra), "no such entry", f"exactly {[*expected]}")


def instructions(observation: Observation, key: str, what: str, rules: Iterable[str]) -> str:
    """The whole of what an answer must hold, around what one action space says of its own part."""
    shown = observation.shown.number
    lines = (
        "Answer with one JSON object and nothing else. It has exactly these four entries:",
        "- rationale: why, in a few sentences, with the numbers it rests on.",
        f"- start_from: null to go on from attempt {shown}, whose values are shown; or the number of an earlier "
        "attempt, to go back to its objectives and beam intensities.",
        "- stop: true if nothing more is worth trying (the rationale then says why, and nothing changes); else false.",
        f"- {key}: {what}",
        "",
        "Rules, which are checked; an answer that breaks one is sent back:",
        "- Unless you stop, at least one value differs from the attempt you start from.",
        *(f"- {rule}" for rule in rules),
    )
    return "\n".join(lines)


def range_rule(observation: Observation, step: str) -> str:
    """``allowed`` and what one step is."""
    return (
        f'"allowed" gives the lowest and the highest value that one step from attempt {observation.shown.number} '
        f"may take; what has no entry there keeps its value. From another attempt, one step is counted from that "
        f"attempt's own values: {step}."
    )


def priority_step(observation: Observation, word: str) -> str:
    return f"a {word} by a factor of at most {observation.limits.priority_factor_per_step:g} up or down"


def dose_step(observation: Observation, word: str) -> str:
    return f"a {word} by at most {observation.limits.dose_step_percent:g} % up or down"


def ratio_rules(observation: Observation, named: Named, word: str) -> Iterator[str]:
    """The rules that tie two priorities together."""
    for name, at_most, of in observation.limits.ratios:
        if name in named and of in named:
            yield f"The {word} of {named[name]} is at most {at_most:g} times that of {named[of]}."


def falling_rules(observation: Observation, named: Named, word: str) -> Iterator[str]:
    """The rules that doses fall outwards."""
    for chain in observation.limits.falling_doses:
        for inner, outer in pairwise(chain):
            if inner in named and outer in named:
                yield f"The {word} of {named[outer]} is at most that of {named[inner]}."


def _head_failures(
    answer: Mapping[str, Any], observation: Observation, key: str, rationale: str
) -> Iterator[CheckFailure]:
    expected = ("rationale", "start_from", "stop", key)
    stops = answer.get("stop") is True
    for name in expected:
        if name not in answer and not (stops and name == key):
            yield _misshapen(name, None, "this entry is missing", "once")
    if extra := [name for name in answer if name not in expected]:
        yield _misshapen(first_few(extra), None, "no such entry", f"exactly {[*expected]}")
    if "rationale" in answer and not rationale:
        yield _misshapen("rationale", quoted(answer["rationale"]), "no reason is given", "a few sentences")
    if not isinstance(answer.get("stop", False), bool):
        yield _misshapen("stop", quoted(answer["stop"]), "neither true nor false", "true or false")
    yield from _start_failures(answer.get("start_from"), observation)


def _start_failures(given: Any, observation: Observation) -> Iterator[CheckFailure]:
    numbers = [step.number for step in observation.history]
    allowed = f"null, or one of {numbers}"
    if given is None or (type(given) is int and given in numbers):
        return
    if type(given) is int:
        rule = f"no such attempt; there are {counted(len(numbers), 'attempt')}"
        yield CheckFailure(Fault.UNKNOWN_ATTEMPT, "", "start_from", quoted(given), rule, allowed)
    else:
        yield _misshapen("start_from", quoted(given), "neither null nor the number of an attempt", allowed)


def _misshapen(name: str, value: str | None, rule: str, allowed: str) -> CheckFailure:
    return CheckFailure(Fault.SCHEMA, "", name, value, rule, allowed)
