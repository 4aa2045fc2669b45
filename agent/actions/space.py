"""What an action space is, and what a knob is.

The one idea: whoever answers in words and whoever searches by numbers turn the same things, so one object offers both:
an answer's form for the one, a list of knobs for the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.observation import Observation
from agent.proposal import CheckFailure, Field, Proposal


class ActionError(Exception):
    """The action space cannot be used in this run; the message says why and what to do."""


@dataclass(frozen=True)
class Knob:
    """One number that a search may set, and how far one step from the base attempt may take it."""

    objective: str
    field: Field
    now: float
    low: float
    high: float
    is_log: bool
    """Searched by its logarithm."""
    is_integer: bool


class ActionSpace(Protocol):
    """One way to say what should change."""

    @property
    def name(self) -> str: ...

    def schema(self, observation: Observation) -> Mapping[str, Any]:
        """JSON schema of a whole answer: ``rationale``, ``start_from``, ``stop``, and what is set."""
        ...

    def instructions(self, observation: Observation) -> str:
        """What the answer must hold and which rules bind it, in plain English, for the prompt."""
        ...

    def present(self, observation: Observation) -> Any:
        """The present state as JSON values, in the form of an answer, with the range each value may take."""
        ...

    def read(self, answer: Mapping[str, Any], observation: Observation) -> Proposal:
        """The proposal an answer means; ``unreadable`` lists what is wrong with it."""
        ...

    def refusal(self, failure: CheckFailure, observation: Observation) -> CheckFailure:
        """A rule that the checks found broken, with field and numbers as an answer writes them."""
        ...

    def knobs(self, observation: Observation, base: int) -> tuple[Knob, ...]:
        """What a search may set, starting from attempt ``base``."""
        ...
