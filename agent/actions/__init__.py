"""What a planner may turn: priorities, doses, the parameters of the hot-fraction problem, or named moves.

The one idea: an action space is the only place that knows how an answer is written. It says what an answer must hold,
reads one, and lists the knobs for planners that search; the rest of the agent sees changes of objectives only.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.actions.discrete import Discrete
from agent.actions.doses import Doses
from agent.actions.knobs import all_knobs
from agent.actions.parameters import Parameters
from agent.actions.priorities import Priorities
from agent.actions.space import ActionError, ActionSpace, Knob

ACTIONS: Mapping[str, ActionSpace] = {space.name: space for space in (Priorities(), Doses(), Parameters(), Discrete())}
"""Name -> action space."""

__all__ = ["ACTIONS", "ActionError", "ActionSpace", "Knob", "all_knobs"]
