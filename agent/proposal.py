"""What a planner says: which objectives to change, from which attempt on, and why.

The one idea: a proposal is small, complete data. It says nothing about how it was found, so a rule, a search, a model
and a person are checked, traced and applied alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Field = Literal["priority", "dose_gy", "volume_percent"]

_UNITS = {"priority": "", "dose_gy": " Gy", "volume_percent": " %"}


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
class Proposal:
    """The planner's answer to an observation."""

    rationale: str
    changes: tuple[Change, ...] = ()
    start_from: int | None = None
    """Attempt whose objectives and fluence the changes start from; absent: the last one."""
    stop: bool = False
    """Nothing more is worth trying; ``rationale`` says why."""


@dataclass(frozen=True)
class CheckFailure:
    """One rule that a proposal breaks."""

    objective: str
    field: str
    value: float | None
    rule: str
    allowed: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" {self.value:g}{_UNITS.get(self.field, '')}"
        return f"{self.objective!r} {self.field}{shown}: {self.rule}; allowed: {self.allowed}."
