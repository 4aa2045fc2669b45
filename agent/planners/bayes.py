"""A Bayesian search: the tree-structured Parzen estimator of optuna over the box around the first attempt.

The one idea: it keeps nothing. At each asking the search is told every attempt of this stage anew, with the values that
were really set, so a replayed or edited run leads it the same way. The only module that imports optuna, and only when
asked.

Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 24 (2011).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from agent.actions import ActionSpace, Knob
from agent.goals import badness
from agent.observation import Observation, Step
from agent.planners.searching import (
    FIRST,
    Box,
    Point,
    action_name,
    around_first,
    first_that_changes,
    generator,
    key_of,
    value_of,
)
from agent.proposal import Proposal
from agent.trace import Tell
from agent.wording import counted

if TYPE_CHECKING:
    import optuna

STARTUP = 5
"""So many attempts are drawn evenly before the estimator is asked; optuna's own 10 would use up most of a budget."""


class Bayes:
    """Proposes where attempts so far say that fewer goals stay open; the same seed and history give the same point.

    Parameters
    ----------
    action
        What is searched; None: all priorities and doses, and the hot shares where there are any.
    seed
        Of the sampler.
    """

    name = "bayes"

    def __init__(self, action: ActionSpace | None = None, seed: int = 0) -> None:
        self._action = action
        self._seed = seed

    @property
    def arm(self) -> Mapping[str, Any]:
        return {
            "action": action_name(self._action),
            "seed": self._seed,
            "sampler": "TPE",
            "startup_attempts": STARTUP,
            "optuna": metadata.version("optuna"),
        }

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        """A point of the box, started from attempt 1."""
        around = around_first(observation, self._action)
        steps = (step for step in observation.history if step.stage == observation.stage)
        told = {step: point for step in steps if (point := _point(step, around)) is not None}
        seed = int(generator(self._seed, observation).integers(2**32))
        return first_that_changes(_points(around, told, seed), around, _rationale(around, told))


def _points(around: Box, told: Mapping[Step, Point], seed: int) -> Iterator[Point]:
    """What the estimator asks for, one point after the other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ranges = {_label(knob): _distribution(knob) for knob in around.knobs}
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=seed))
    for step, point in told.items():
        values = {_label(knob): point[key_of(knob)] for knob in around.knobs}
        study.add_trial(optuna.trial.create_trial(params=values, distributions=ranges, value=badness(step.goals)))
    while True:
        asked = study.ask(ranges).params
        yield {key_of(knob): float(asked[_label(knob)]) for knob in around.knobs}


def _distribution(knob: Knob) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    if knob.is_integer:
        return IntDistribution(int(knob.low), int(knob.high), log=knob.is_log)
    return FloatDistribution(knob.low, knob.high, log=knob.is_log)


def _point(step: Step, around: Box) -> Point | None:
    """What was set in an attempt; None where it lies outside the box, or between its whole numbers."""
    states = {state.name: state for state in step.objectives}
    point = {key_of(knob): value_of(states[knob.objective], knob.field) for knob in around.knobs}
    inside = all(
        knob.low <= point[key_of(knob)] <= knob.high and (not knob.is_integer or point[key_of(knob)].is_integer())
        for knob in around.knobs
    )
    return point if inside else None


def _label(knob: Knob) -> str:
    return f"{knob.objective} {knob.field}"


def _rationale(around: Box, told: Mapping[Step, Point]) -> str:
    values, attempts = counted(len(around.knobs), "value"), counted(len(told), "attempt")
    if len(told) < STARTUP:
        return f"By chance, to begin with: {values} drawn within one step of attempt {FIRST}; {attempts} known so far."
    best = min(told, key=lambda step: badness(step.goals))
    return (
        f"By the Parzen estimator over {values} within one step of attempt {FIRST}: {attempts} known, the best of them "
        f"attempt {best.number} with a badness of {badness(best.goals):.3g}."
    )
