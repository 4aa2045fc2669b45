"""Doses of the objectives only: the action space of the zero-shot agent (arXiv 2510.11754).

The one idea: every dose that may change is set in every answer, so leaving one out is an error and not a silent "as
before".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.actions import answer as answers
from agent.actions.knobs import knobs_of
from agent.actions.naming import to_model
from agent.actions.space import Knob
from agent.observation import Observation, Step
from agent.proposal import CheckFailure, Proposal

_KEY = "doses_gy"


class Doses:
    """Objective -> dose."""

    name = "doses"

    def schema(self, observation: Observation) -> Mapping[str, Any]:
        slots = _slots(observation, observation.shown)
        return answers.schema(_KEY, answers.closed({name: {"type": "number"} for name in slots}))

    def instructions(self, observation: Observation) -> str:
        what = (
            "an object with one entry for each objective shown: its name, and the dose in Gy that it shall have "
            "(plan total). All of them, also those that stay as they are."
        )
        rules = (
            answers.range_rule(observation, answers.dose_step(observation, "dose")),
            *answers.falling_rules(observation, to_model(observation), "dose"),
        )
        return answers.instructions(observation, _KEY, what, rules)

    def present(self, observation: Observation) -> Any:
        slots = _slots(observation, observation.shown)
        allowed = {name: slot.allowed(observation) for name, slot in slots.items()}
        return {
            _KEY: {name: slot.now for name, slot in slots.items()},
            "allowed": {name: span for name, span in allowed.items() if span},
        }

    def read(self, answer: Mapping[str, Any], observation: Observation) -> Proposal:
        return answers.read(answer, observation, _KEY, lambda given, base: _read(given, _slots(observation, base)))

    def refusal(
        self,
        failure: CheckFailure,
        observation: Observation,  # noqa: ARG002 - every action space takes the same
    ) -> CheckFailure:
        """As the checks say it: an answer writes the objectives' own fields."""
        return failure

    def knobs(self, observation: Observation, base: int) -> tuple[Knob, ...]:
        return tuple(knobs_of(observation.step(base).objectives, observation.limits, field="dose_gy"))


def _slots(observation: Observation, base: Step) -> Mapping[str, answers.Slot]:
    """What a model calls an objective -> its dose, for those that may change."""
    names = to_model(observation)
    return {
        names[state.name]: answers.Slot(state, "dose_gy", "dose_gy")
        for state in base.objectives
        if "dose_gy" in state.may_change
    }


def _read(given: Any, slots: Mapping[str, answers.Slot]) -> Iterator[answers.Found]:
    yield from answers.entries(given, slots, _KEY, lambda name: slots[name].state.name)
    if isinstance(given, Mapping):
        for name, slot in slots.items():
            if name in given:
                yield from slot.read(given[name])
