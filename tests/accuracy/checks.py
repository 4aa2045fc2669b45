"""One figure held against one limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was found, and what was asked."""

    what: str
    found: float
    limit: float
    unit: str
    at_least: bool = False
    """The limit is the smallest value allowed, not the largest."""

    @property
    def is_met(self) -> bool:
        return self.found >= self.limit if self.at_least else self.found <= self.limit
