"""Planners: anything with ``propose(observation, tell) -> Proposal``.

The loop does not know whether a planner is a rule, a search, a model or a person; the checks hold for all of them.
`rules` is a written-down routine, `chance`, `static` and `bayes` are the baselines, `model_planner` asks a language
model by one of the `recipes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from agent.observation import Observation
from agent.proposal import Proposal
from agent.trace import Tell


class Planner(Protocol):
    """Decides what to change next."""

    @property
    def name(self) -> str: ...

    @property
    def arm(self) -> Mapping[str, Any]:
        """What it is allowed and shown, as plain JSON values; recorded with every run."""
        ...

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        """The next change, or a proposal to stop; ``observation.rejected`` tells what was wrong with the last one.

        ``tell`` hears what went on behind the proposal: a model's words, its tools, what it cost.
        """
        ...


__all__ = ["Planner"]
