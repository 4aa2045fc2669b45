"""Chance: every value drawn evenly from the box around the first attempt. What any planner has to beat.

The one idea: each draw is independent of what came before, so the best of n draws is the plain baseline for n attempts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from agent.actions import ActionSpace, Knob
from agent.observation import Observation
from agent.planners.searching import FIRST, Box, Point, action_name, around_first, first_that_changes, generator, key_of
from agent.proposal import Proposal
from agent.trace import Tell
from agent.wording import counted


class Random:
    """Draws each proposal anew; the same seed and history give the same draw.

    Parameters
    ----------
    action
        What is drawn; None: all priorities and doses, and the hot shares where there are any.
    seed
        Of the random generator.
    """

    name = "random"

    def __init__(self, action: ActionSpace | None = None, seed: int = 0) -> None:
        self._action = action
        self._seed = seed

    @property
    def arm(self) -> Mapping[str, Any]:
        return {"action": action_name(self._action), "seed": self._seed}

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        """A point of the box, started from attempt 1."""
        around = around_first(observation, self._action)
        values = counted(len(around.knobs), "value")
        return first_that_changes(
            _points(around, generator(self._seed, observation)),
            around,
            f"By chance: {values} drawn within one step of attempt {FIRST}.",
        )


def _points(around: Box, numbers: np.random.Generator) -> Iterator[Point]:
    while True:
        yield {key_of(knob): _draw(knob, numbers) for knob in around.knobs}


def _draw(knob: Knob, numbers: np.random.Generator) -> float:
    """Evenly in the value, or in its logarithm."""
    if knob.is_log:
        return math.exp(numbers.uniform(math.log(knob.low), math.log(knob.high)))
    return float(numbers.uniform(knob.low, knob.high))
