"""What a model may call things: the protocol's names, never the patient's.

The one idea: names leave the machine through here only. A structure without a neutral label is an error, not a leak.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.actions.space import ActionError
from agent.observation import Observation


def label(observation: Observation, structure: str) -> str:
    """What a model may call a structure.

    Raises
    ------
    ActionError
        The observation has no label for it.
    """
    if structure not in observation.labels:
        raise ActionError(
            f"structure {structure!r} has no neutral label, so no model may be told of it; "
            f"there are labels for {sorted(observation.labels)}. Give Observation.labels one for every structure."
        )
    return observation.labels[structure]


def to_model(observation: Observation) -> Mapping[str, str]:
    """Objective -> what a model may call it: ``Met left, front lower`` -> ``PTV_1 lower``."""
    names = {
        state.name: label(observation, state.structure) + state.name[len(state.structure) :]
        for state in observation.last.objectives
    }
    if len(set(names.values())) < len(names):
        raise ActionError(f"two objectives share a name for the model: {sorted(names.values())}; labels must differ.")
    return names


def from_model(observation: Observation) -> Mapping[str, str]:
    """What a model calls an objective -> the objective."""
    return {told: name for name, told in to_model(observation).items()}


def worded(text: str, observation: Observation) -> str:
    """A text of the agent's own (a refusal, a change, what was lost) with every structure called by its label."""
    labels = observation.labels
    written = {form: told for name, told in labels.items() for form in (name, repr(name)[1:-1])}
    if not written:
        return text
    longest_first = sorted(written, key=len, reverse=True)
    pattern = rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)"
    return re.sub(pattern, lambda found: written[found.group()], text)
