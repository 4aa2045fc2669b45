"""The protocol's fixed parameter set, tried once: one solve, no planning.

The one idea: a set that is good for every patient is the line that a planner has to beat, so it runs on the same loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.observation import Observation
from agent.proposal import Proposal
from agent.records import GoalStatus
from agent.trace import Tell
from agent.wording import counted


class Static:
    """Applies the fixed set to the first attempt, and stops."""

    name = "static"

    @property
    def arm(self) -> Mapping[str, Any]:
        return {}

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        """The fixed set, then the reason to stop."""
        if not observation.fixed_set:
            return Proposal("The protocol has no fixed set beside its own objectives, which are tried.", stop=True)
        if observation.rejected:
            refused = "; ".join(map(str, observation.rejected))
            return Proposal(f"The protocol's fixed set does not pass the checks: {refused}", stop=True)
        if observation.remarks:
            return Proposal("The protocol's fixed set was turned down, and there is no other.", stop=True)
        if len(observation.history) > 1:
            return Proposal(f"The protocol's fixed set is tried: {_outcome(observation)}.", stop=True)
        size = counted(len(observation.fixed_set), "value")
        return Proposal(f"The protocol's fixed set, {size}.", observation.fixed_set, start_from=observation.last.number)


def _outcome(observation: Observation) -> str:
    goals = [goal for goal in observation.last.goals if goal.status is not GoalStatus.NOT_EVALUABLE]
    met = sum(goal.status is GoalStatus.MET for goal in goals)
    return f"{met} of {counted(len(goals), 'goal')} met"
