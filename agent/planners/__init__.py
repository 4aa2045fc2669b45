"""Planners: anything with ``propose(observation) -> Proposal``.

The loop does not know whether a planner is a rule, a search, a model or a person; the checks hold for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from agent.observation import Observation
from agent.planners.rules import Rules
from agent.proposal import Proposal


class Planner(Protocol):
    """Decides what to change next."""

    @property
    def name(self) -> str: ...

    def propose(self, observation: Observation) -> Proposal:
        """The next change, or a proposal to stop; ``observation.rejected`` tells what was wrong with the last one."""
        ...


PLANNERS: Mapping[str, Callable[[], Planner]] = {"rules": Rules}
"""Name -> factory."""


def make_planner(name: str) -> Planner:
    """The planner of that name."""
    if name not in PLANNERS:
        raise ValueError(f"no planner {name!r}; there are {', '.join(sorted(PLANNERS))}.")
    return PLANNERS[name]()


__all__ = ["PLANNERS", "Planner", "make_planner"]
