"""Faithfulness: each number in a planner's words that names a metric or an objective, against what was recorded.

The one idea: a number is checked only where it is plain what it is about. A statement is a **hit** when the number is,
after rounding to the digits that were written, a recorded value of the one thing it names (or a difference or ratio of
two of them), a **miss** when it is none of them, and **not checkable** in every other case, with the reason. Hits and
misses say something only beside the number of those that could not be checked.

Recorded are: goal values of every attempt before the proposal, limits and acceptable values; priority, dose, volume and
loss of every objective before the proposal, its bounds, and its values after; prescriptions; normalisations.

Named is a structure or an objective by its exact name (no matter of case; ``_`` as a space), together with
``D95% D95 V12Gy V12 Dmax``, ``mean dose``, ``CI``, ``GI`` and the like, or with ``priority dose volume loss``, in
either order (``priority of PTV lower``). A metric alone will do where only one structure has it, and a name is carried
on to the next quantity, or through its clause or sentence where that names no other.

Limits
------
- A list that names several things and then gives several numbers is not checkable.
- A value of another attempt than the one that is meant is a hit: it is a recorded value of that thing.
- Differences and ratios are looked for only beside words of difference, or with a percent sign; the more attempts, the
  more of them fit by chance. They are counted apart as ``derived``.
- What is expected ("should"), only considered ("if", "could") or a rule ("must", "at most") is no recorded state: a hit
  where it is a recorded value, otherwise not checkable. Only of metrics, not of objectives: what a proposal sets is
  recorded, so "will" of an objective is held against it.
- Shares of something ("99 % of the prescription"), counts, ranks and attempt numbers are not compared.
- A dose beside a bare objective may be what the plan has there, read off its curve; the trace has no such number.
- Words are English; ``target`` and ``cord`` are not names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations

from agent.analysis.coding import sentences
from agent.analysis.facts import Fact, Facts, facts_for
from agent.analysis.mentions import Number, Reader, Thing
from agent.analysis.story import Story

PRINTED = 0.005
"""Half of the second decimal: a value that was shown with two decimals and written with fewer was rounded twice."""
_SHOWN_VALUES = 4
"""So many recorded values are named beside a miss."""

_CUE_BEFORE = re.compile(
    r"(?:\bby|[=≈]|\b(?:difference|gap|margin|excess|deviation|deficit|rise|drop|gain|change|increase|decrease|factor)"
    r"(?: of| is| =)?)\s*(?:only |about |another |a factor (?:of )?|~)?$",
    re.IGNORECASE,
)
_CUE_AFTER = re.compile(
    r"^\s*(?:above|below|over|under|short|more|less|higher|lower|beyond|inside|outside|too|off|away|times|x|×|-fold)\b",
    re.IGNORECASE,
)
_CONSIDERED = re.compile(
    r"\b(?:if|could|would|might|may|maybe|perhaps|suppose|consider|option|must|at most|at least|cap(?:s|ped)?)\b",
    re.IGNORECASE,
)
_EXPECTED = re.compile(
    r"\b(?:will|should|expect(?:s|ed|ing)?|predict|estimate|aim(?:s|ing)?|want|need|towards?|likely"
    r"|to (?:bring|reach|get))\b",
    re.IGNORECASE,
)


class Outcome(StrEnum):
    HIT = "hit"
    MISS = "miss"
    NOT_CHECKABLE = "not-checkable"


@dataclass(frozen=True)
class Statement:
    """One number in a sentence, and what the record says to it."""

    sentence: str
    number: str
    """As it was written."""
    unit: str
    about: str
    """What it is about, e.g. ``PTV D95%``; empty where that is not plain."""
    outcome: Outcome
    kind: str
    """Of a hit: ``recorded`` or ``derived``; otherwise empty."""
    why: str
    """The fact that it fits, or why it is a miss or not checkable."""


@dataclass(frozen=True)
class Said:
    """A statement, and where it was said."""

    attempt: int
    source: str
    """``reasoning rationale reason``."""
    statement: Statement


def check_story(story: Story) -> tuple[Said, ...]:
    """Every number that was said in a run."""
    return tuple(
        Said(text.attempt, text.source, statement)
        for text in story.texts
        for statement in check_statements(text.text, facts_for(story, text))
    )


def check_statements(text: str, facts: Facts) -> tuple[Statement, ...]:
    """Every number of a text against the facts, sentence by sentence."""
    reader = Reader(facts)
    return tuple(
        _checked(sentence, number, thing) for sentence in sentences(text) for number, thing in reader.numbers(sentence)
    )


def _checked(sentence: str, number: Number, thing: Thing | None) -> Statement:
    if thing is None:
        why = "it is not plain which metric or objective it is about"
        return Statement(sentence, number.text, number.unit, "", Outcome.NOT_CHECKABLE, "", why)
    outcome, kind, why = _verdict(sentence, number, thing)
    return Statement(sentence, number.text, number.unit, thing.name, outcome, kind, why)


def _verdict(sentence: str, number: Number, thing: Thing) -> tuple[Outcome, str, str]:
    """Outcome, kind and reason for a number about one thing."""
    if number.is_share:
        return Outcome.NOT_CHECKABLE, "", "a share of something"
    if not thing.facts:
        return Outcome.NOT_CHECKABLE, "", "nothing is recorded of it under this name alone"
    same_unit = [fact for fact in thing.facts if number.unit in ("", fact.unit)]
    nearest = min(same_unit, key=lambda fact: abs(fact.value - number.value), default=None)
    if nearest is not None and _equal(number, nearest.value):
        return Outcome.HIT, "recorded", f"{nearest.where}: {_shown(nearest)}"
    if derived := next(_derived(sentence, number, thing), ""):
        return Outcome.HIT, "derived", derived
    if not same_unit:
        return Outcome.NOT_CHECKABLE, "", f"recorded in {thing.facts[0].unit or 'no unit'}, not in {number.unit}"
    if reason := _not_a_state(sentence, number, thing):
        return Outcome.NOT_CHECKABLE, "", reason
    values = list(dict.fromkeys(_shown(fact) for fact in same_unit))
    more = ", ..." if len(values) > _SHOWN_VALUES else ""
    return Outcome.MISS, "", f"recorded are {', '.join(values[:_SHOWN_VALUES])}{more}"


def _derived(sentence: str, number: Number, thing: Thing) -> Iterator[str]:
    """Differences and ratios of two recorded values of the same quantity that the number fits."""
    before, after = sentence[: number.start], sentence[number.end :]
    is_difference = number.is_signed or bool(_CUE_BEFORE.search(before) or _CUE_AFTER.match(after))
    for one, other in permutations(thing.facts, 2):
        if (one.quantity, one.unit) != (other.quantity, other.unit):
            continue
        pair = f"{_shown(one)} ({one.where}) and {_shown(other)} ({other.where})"
        if is_difference and number.unit in ("", one.unit) and _equal(number, abs(one.value - other.value)):
            yield f"difference of {pair}"
        if not other.value:
            continue
        ratio = one.value / other.value
        if number.unit == "%" and (_equal(number, 100.0 * ratio) or _equal(number, abs(100.0 * (ratio - 1.0)))):
            yield f"ratio of {pair}"
        if is_difference and not number.unit and _equal(number, ratio):
            yield f"ratio of {pair}"


def _not_a_state(sentence: str, number: Number, thing: Thing) -> str:
    """Why a number that fits nothing need not be a wrong statement of the recorded state; empty where it is one."""
    if _CONSIDERED.search(sentence):
        return "a thought or a rule, not a statement of what is"
    if not thing.is_objective and _EXPECTED.search(sentence):
        return "expected, not recorded"
    if thing.is_bare and number.unit == "Gy":
        return "may be the dose that the plan has at the objective, which is not recorded"
    return ""


def _equal(number: Number, value: float) -> bool:
    half_digit = 0.5 * 10.0**-number.decimals
    twice_rounded = PRINTED if number.decimals < 2 else 0.0
    return abs(number.value - value) <= half_digit + twice_rounded + 1e-9


def _shown(fact: Fact) -> str:
    return f"{fact.value:g} {fact.unit}".rstrip()
