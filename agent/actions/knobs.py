"""How far one step may take each number of an objective.

The one idea: a knob's range is its bounds and one step of the limits together, so whatever is set within it passes the
checks that look at one objective alone; ratios and falling doses, which tie objectives together, are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from agent.actions.space import Knob
from agent.checks import bounds, step
from agent.observation import Limits, ObjectiveState, Observation
from agent.proposal import Field

_SLACK = 1e-9
"""So that three times a third is a whole number."""
DIGITS = 4


def rounded(value: float) -> float:
    """The value as it is shown and compared: four significant digits."""
    return float(f"{value:.{DIGITS}g}")


def all_knobs(observation: Observation, base: int) -> tuple[Knob, ...]:
    """Priorities and doses of all objectives, and the volumes of those that penalise a hot share."""
    return tuple(knobs_of(observation.step(base).objectives, observation.limits))


def knobs_of(
    states: Iterable[ObjectiveState], limits: Limits, *, field: Field | None = None, is_whole: bool = False
) -> Iterator[Knob]:
    """The knobs of these objectives; none for what may not change or has no room to.

    Parameters
    ----------
    field
        This field only; None: weight and dose, and the hot share where that counts.
    is_whole
        Whole numbers only, whatever the server takes.
    """
    for state in states:
        for name in (field,) if field else _fields(state):
            if name in state.may_change:
                knob = _knob(state, name, limits, is_whole=is_whole)
                if knob.low < knob.high:
                    yield knob


def _fields(state: ObjectiveState) -> tuple[Field, ...]:
    return ("priority", "dose_gy", "volume_percent") if state.type == "hot" else ("priority", "dose_gy")


def _knob(state: ObjectiveState, field: Field, limits: Limits, *, is_whole: bool) -> Knob:
    now: float = getattr(state, field)
    lowest, highest = bounds(state, field)
    step_low, step_high = step(state, field, limits)
    low, high = max(lowest, step_low), min(highest, step_high)
    is_priority = field == "priority"
    is_integer = is_priority and (is_whole or limits.integer_priorities)
    if is_integer:
        low, high = float(math.ceil(low - _SLACK)), float(math.floor(high + _SLACK))
    return Knob(state.name, field, now, low, high, is_log=is_priority and low > 0.0, is_integer=is_integer)
