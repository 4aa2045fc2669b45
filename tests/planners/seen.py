"""What a scripted model can know: the prompt, read again as a careful reader would, from the messages alone.

The one idea: nothing but text comes in here. What a script needs and cannot find in a prompt, no model could either.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.agent.model_server import Request

FORMS = ("objectives", "doses_gy", "parameters")
"""The key under which an action space asks for values."""
_FENCE = re.compile(r"```json\n(.*?)\n```", re.DOTALL)
_CHANGE = re.compile(r"(?P<name>[^;:]+?) (?P<field>priority|dose|volume) (?P<old>\S+) → (?P<new>[^\s;]+?)\.?(?=;|$)")
_RELATION = re.compile(r"- The \w+ of (?P<low>.+) is at most (?:(?P<times>\S+) times )?that of (?P<of>.+)\.")
_NAME = re.compile(r"(?P<structure>.+) (?P<type>lower|upper|max|min|mean|hot|hold)(?: \d+)?")
_ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Goal:
    """A goal, and where the best attempt stands."""

    structure: str
    metric: str
    comparator: str
    limit: float
    rank: int
    aim: str
    """``coverage``, ``hot spot``, ``spill`` or ``organ``."""
    value: float

    @property
    def is_open(self) -> bool:
        return self.beyond > 0.0

    @property
    def beyond(self) -> float:
        """Distance outside the limit, as a share of it; below 0 inside."""
        distance = self.limit - self.value if self.comparator == ">=" else self.value - self.limit
        return distance / max(abs(self.limit), 1.0)

    def __str__(self) -> str:
        return f"{self.structure} {self.metric} {self.comparator} {self.limit:g}"


@dataclass(frozen=True)
class Relation:
    """One value is at most ``times`` another."""

    low: str
    times: float
    of: str


Key = tuple[str, str]
"""Objective (or structure) and field, as the answer writes them."""


@dataclass(frozen=True)
class Seen:
    """One prompt, understood."""

    form: str
    state: Mapping[str, Any]
    """What may be set, in the form of an answer."""
    values: Mapping[Key, float]
    """Of the best attempt."""
    allowed: Mapping[Key, tuple[float, float]]
    goals: tuple[Goal, ...]
    shown: int
    last: int
    best: int
    attempts_left: int
    relations: tuple[Relation, ...]
    refines: bool
    has_priors: bool
    drive_percent: float | None
    """How far below the wanted dose an objective is usefully set, where the planning system says so."""
    shares_percent: Mapping[str, float]
    """Objective -> its share of all losses, where losses are shown."""
    medians: Mapping[Key, float]
    """Of the knowledge table: structure and ``lambda``, ``V``, ``tau`` or ``ratio``."""
    whole_weights: bool = False
    """Weights of the parameters are to be whole numbers."""

    @property
    def tries(self) -> int:
        """Attempts made since the best one."""
        return self.last - self.best

    @property
    def open_goals(self) -> list[Goal]:
        return [goal for goal in self.goals if goal.is_open]


def read(request: Request) -> Seen:
    """The prompt of a request that opens a conversation.

    Raises
    ------
    ValueError
        The prompt lacks a part that a planner needs.
    """
    system, user = (message["content"] for message in request["messages"][:2])
    goals, state = _json_parts(user)
    form = next(key for key in FORMS if key in state)
    last = int(_found(r"^# Attempt (\d+)$", user)) - 1
    best = int(_found(r"Best so far: attempt (\d+)\.", user))
    shown = int(_found(r"^## Objectives of attempt (\d+),", user))
    values = dict(_values(form, state[form]))
    if shown != best:
        values |= _undone(user, form, last, system)
    drive = re.search(r"usefully set (\S+) % below", system + user)
    return Seen(
        form=form,
        state=state,
        values=values,
        allowed={key: (low, high) for key, (low, high) in _spans(form, state["allowed"])},
        goals=tuple(_goals(goals, user)),
        shown=shown,
        last=last,
        best=best,
        attempts_left=int(_found(r"(\d+) left, this one included", user)),
        relations=tuple(
            Relation(found["low"], float(found["times"] or 1.0), found["of"]) for found in _RELATION.finditer(user)
        ),
        refines="## What this stage is for" in user,
        has_priors="## How the optimiser answers" in system + user,
        drive_percent=float(drive[1]) if drive else None,
        shares_percent=dict(_shares(user)),
        medians=dict(_medians(user)),
        whole_weights="Each λ is a whole number here." in system + user,
    )


def parts(name: str) -> tuple[str, str]:
    """Structure and type of an objective: ``("PTV_1", "lower")``; a bare structure has no type."""
    found = _NAME.fullmatch(name)
    return (found["structure"], found["type"]) if found else (name, "")


def _json_parts(user: str) -> tuple[Any, Any]:
    """Goals and present state, in whichever order the template has them."""
    found = [json.loads(block) for block in _FENCE.findall(user)]
    return next(part for part in found if isinstance(part, list)), next(p for p in found if isinstance(p, dict))


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ValueError(f"the prompt has nothing like {pattern!r}, and a planner needs it.")
    return found[1]


def _values(form: str, given: Any) -> Iterator[tuple[Key, float]]:
    if form == "objectives":
        yield from (((entry["name"], "priority"), entry["priority"]) for entry in given)
    elif form == "doses_gy":
        yield from (((name, "dose_gy"), dose) for name, dose in given.items())
    else:
        yield from (((name, word), value) for name, row in given.items() for word, value in row.items())


def _spans(form: str, given: Any) -> Iterator[tuple[Key, tuple[float, float]]]:
    if form == "parameters":
        yield from (((name, word), span) for name, row in given.items() for word, span in row.items())
    else:
        word = "priority" if form == "objectives" else "dose_gy"
        yield from (((name, word), span) for name, span in given.items())


def _goals(given: Sequence[Mapping[str, Any]], user: str) -> Iterator[Goal]:
    """Values as JSON has them; where the best attempt is another, its values from the last column of the table."""
    rows = {cells[1]: cells for cells in _rows(user) if len(cells) > 5}
    header = rows["Goal"]
    of_the_best = header[-1].startswith("Attempt") and header[-1] != header[4]
    for entry in given:
        text = f"{entry['structure']} {entry['metric']} {entry['comparator']} {entry['limit']:g}"
        cells = rows[text]
        value = float(cells[-1]) if of_the_best and cells[-1] != "–" else entry["value"]
        known = {word: entry[word] for word in ("structure", "metric", "comparator", "limit", "rank")}
        yield Goal(**known, aim=cells[0], value=value)


def _rows(user: str) -> Iterator[list[str]]:
    yield from (row.split(" | ") for row in _ROW.findall(user))


def _shares(user: str) -> Iterator[tuple[str, float]]:
    for cells in _rows(user):
        if len(cells) >= 5 and _NAME.fullmatch(cells[0]) and cells[4].endswith(" %"):
            yield cells[0], float(cells[4].removesuffix(" %"))


def _medians(user: str) -> Iterator[tuple[Key, float]]:
    words = {"λ": "lambda", "V": "V", "τ": "tau", "λ(target) / λ": "ratio"}
    for cells in _rows(user):
        if len(cells) >= 6 and cells[1] in words:
            yield (parts(cells[0])[0], words[cells[1]]), float(cells[3])


def _undone(user: str, form: str, last: int, system: str) -> dict[Key, float]:
    """What the last attempt changed, as it was before: in the best attempt, from which every later one starts."""
    line = re.search(rf"^- \*\*Attempt {last}\*\*.*\n  Changed: (.*)\.$", user, re.MULTILINE)
    before = {}
    for change in _CHANGE.finditer(line[1] if line else ""):
        name, old = change["name"].strip(), float(change["old"])
        if form == "parameters":
            prescription_gy = float(_found(r"p = (\S+) Gy the prescription", system))
            word, unit = {"priority": ("lambda", 1.0), "volume": ("V", 100.0), "dose": ("tau", prescription_gy)}[
                change["field"]
            ]
            before[parts(name)[0], word] = old / unit
        else:
            before[name, "priority" if form == "objectives" else "dose_gy"] = old
    return before


def inside(value: float, span: tuple[float, float], *, is_whole: bool) -> float:
    """The value moved into a range, written as an answer writes it."""
    low, high = span
    moved = min(max(value, low), high)
    if is_whole:
        return int(min(max(round(moved), math.ceil(low)), math.floor(high)))
    return min(max(float(f"{moved:.4g}"), low), high)
