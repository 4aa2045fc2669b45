"""What a planner says: which objectives to change, from which attempt on, and why.

The one idea: a proposal is small, complete data. It says nothing about how it was found, so a rule, a search, a model
and a person are checked, traced and applied alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Field = Literal["priority", "dose_gy", "volume_percent"]

Review = Literal["each", "final", "none"]
"""On what a person decides: every proposal and the plan, the plan, nothing."""

_UNITS = {"priority": "", "dose_gy": " Gy", "volume_percent": " %"}


class Fault(StrEnum):
    """What kind of rule a proposal breaks; format errors are counted by it."""

    EMPTY = "empty-answer"
    REFUSAL = "refusal"
    UNCLOSED_REASONING = "unclosed-reasoning"
    REPETITION = "repetition"
    NO_JSON = "no-json"
    BROKEN_JSON = "broken-json"
    """JSON that is cut off or cannot be parsed."""
    SCHEMA = "schema"
    """JSON without a field, with a field too many, or of the wrong type."""
    MISSING_ENTRY = "missing-entry"
    EXTRA_ENTRY = "extra-entry"
    FORBIDDEN_CHANGE = "forbidden-change"
    NOT_A_NUMBER = "not-a-number"
    NOT_AN_INTEGER = "not-an-integer"
    OUT_OF_RANGE = "out-of-range"
    STEP = "step-too-large"
    RATIO = "ratio"
    FALLING = "doses-fall-outwards"
    NO_CHANGE = "no-change"
    UNKNOWN_ATTEMPT = "unknown-attempt"
    BAD_TOOL_CALL = "bad-tool-call"


@dataclass(frozen=True)
class Change:
    """One objective's field gets a new value."""

    objective: str
    """As the observation names it, e.g. ``PTV lower``."""
    field: Field
    value: float
    reason: str
    """One sentence with the numbers it rests on."""


@dataclass(frozen=True)
class CheckFailure:
    """One rule that a proposal breaks."""

    fault: Fault
    objective: str
    field: str
    value: float | str | None
    """What was proposed; text where it is no number."""
    rule: str
    allowed: str

    def __str__(self) -> str:
        place = " ".join(part for part in (self.objective and repr(self.objective), self.field) if part)
        if self.value is None:
            shown = ""
        elif isinstance(self.value, str):
            shown = f" {self.value!r}"
        else:
            shown = f" {self.value:g}{_UNITS.get(self.field, '')}"
        what = f"{place}{shown}".strip()
        return f"{what}: {self.rule}; allowed: {self.allowed}." if what else f"{self.rule}; allowed: {self.allowed}."


class Ending(StrEnum):
    """Why a run, or a stage of it, came to its end."""

    GOALS_MET = "goals-met"
    ATTEMPTS_SPENT = "attempts-spent"
    PLANNER_DONE = "planner-done"
    """Nothing more is worth trying."""
    TIME_SPENT = "time-spent"
    CALLS_SPENT = "calls-spent"
    PERSON = "person"
    """A person stopped it."""
    BROKEN_OFF = "broken-off"
    """The planner could not go on: its proposals were refused, or no model answered."""

    @property
    def leaves_room(self) -> bool:
        """Whether a later stage may follow."""
        return self in (Ending.GOALS_MET, Ending.ATTEMPTS_SPENT, Ending.PLANNER_DONE)


@dataclass(frozen=True)
class Proposal:
    """The planner's answer to an observation."""

    rationale: str
    changes: tuple[Change, ...] = ()
    start_from: int | None = None
    """Attempt whose objectives and fluence the changes start from; absent: the one that was shown."""
    stop: bool = False
    """Nothing more is tried; ``rationale`` says why."""
    ending: Ending = Ending.PLANNER_DONE
    """Of a proposal to stop: what kind of end it is."""
    is_trial: bool = False
    """Asked as "what would happen if"; it costs an optimisation and is counted like any other attempt."""
    unreadable: tuple[CheckFailure, ...] = ()
    """Why the planner's own answer could not be read; such a proposal changes nothing and is asked for again."""


class Verdict(StrEnum):
    ACCEPT = "accept"
    EDIT = "edit"
    REJECT = "reject"
    STOP = "stop"


@dataclass(frozen=True)
class Decision:
    """What a person says to what was shown."""

    verdict: Verdict
    digest: str
    """Of the sheet that was shown; a decision on another sheet is refused."""
    reason: str = ""
    """Required to reject; reaches the next prompt."""
    changes: tuple[Change, ...] = ()
    """The edited changes."""
    by: str = ""
    """Who decided: the word of the place where it was asked (``terminal``), never a person's name."""
