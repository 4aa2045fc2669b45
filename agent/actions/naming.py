"""What a model may call things: the protocol's names, never the patient's.

The one idea: names leave the machine through here only. A structure without a neutral label is an error, not a leak.
Fields are renamed, not texts; in a text that is already made, names are looked for only where they can stand, so that a
structure called "Gy" or "1" leaves units and numbers alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.actions.space import ActionError
from agent.observation import Observation

SHORTEST_NAME = 4
"""Characters; in a person's prose a shorter name is not told apart from a unit or a word."""


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


def told_rule(text: str, observation: Observation) -> str:
    """A rule of the checks, with every objective that stands in it in quotes called as a model may call it."""
    written = {repr(name): repr(told) for name, told in to_model(observation).items()}
    return _replaced(text, written, "{}")


def told_line(line: str, observation: Observation) -> str:
    """A line that begins with a structure or an objective (a goal, a change, what was lost), with that one renamed."""
    return _replaced(line, observation.labels, r"\A{}(?=[ :]|\Z)")


def told_prose(text: str, observation: Observation) -> str:
    """What a person wrote, with the patient's names replaced wherever they stand as whole words.

    Names of less than `SHORTEST_NAME` characters may be units or words of the sentence, and names that a model knows
    may be meant as such; both stay.
    """
    labels = observation.labels
    known = set(labels.values())
    patients = {name: told for name, told in labels.items() if name not in known and len(name) >= SHORTEST_NAME}
    return _replaced(text, patients, r"(?<!\w){}(?!\w)")


def _replaced(text: str, written: Mapping[str, str], place: str) -> str:
    """The text with every key that stands in its place replaced by its value; a longer key goes before a shorter."""
    if not written:
        return text
    longest_first = sorted(written, key=len, reverse=True)
    pattern = place.format(f"({'|'.join(map(re.escape, longest_first))})")
    return re.sub(pattern, lambda found: written[found[1]], text)
