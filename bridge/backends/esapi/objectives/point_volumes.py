"""Whether Eclipse counts the volume of a point objective in percent or as a ratio: found out, never guessed.

The one idea: no ratio is above 1. A volume above 1 in any plan of the patient proves percent. Without one a probe is
made while a plan is being written to: an objective at 50 that Eclipse takes and gives back as 50 is in percent; where
Eclipse takes 0.5, gives 0.5 back and refuses 50, before and after, it is a ratio. Anything else is no answer, and
nothing is read or written by it. What was found holds for every patient of the site.
"""

from __future__ import annotations

from typing import Any

from bridge import errors
from bridge.backends.esapi.chart import doses
from bridge.backends.esapi.chart.chart import Chart, set_up
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import as_bridge_error
from bridge.backends.esapi.reach.undoing import undone_on_failure

PERCENT, RATIO = 1.0, 0.01
"""What Eclipse writes for one percent."""
_POINT = "OptimizationPointObjective"
_PROBE_DOSE_GY, _PROBE_PRIORITY = 1.0, 0.0


def known(chart: Chart) -> float | None:
    """What Eclipse writes for one percent; None where nothing has shown it yet."""
    facts = chart.facts
    if facts.point_volume_per_percent is None and _is_seen_above_one(chart):
        facts.point_volume_per_percent = PERCENT
    return facts.point_volume_per_percent


def found_out(chart: Chart, setup: Any, structure: Any) -> float:
    """The same, by a probe where it is not known; the plan of ``setup`` must be writable.

    Raises
    ------
    TpsRefused
        Eclipse's answers fit neither reading.
    """
    present = known(chart)
    if present is None:
        present = _probed(chart, setup, structure)
        chart.facts.point_volume_per_percent = present
    return present


def _is_seen_above_one(chart: Chart) -> bool:
    return any(
        access.get(objective, "Volume") > 1.0
        for plan in chart.plans()
        for objective in set_up(plan, "Objectives")
        if access.kind(objective) == _POINT
    )


def _probed(chart: Chart, setup: Any, structure: Any) -> float:
    fifty, _ = _given_back(chart, setup, structure, 50.0)
    if fifty == 50.0:
        return PERCENT
    half, refusal = _given_back(chart, setup, structure, 0.5)
    if refusal is not None:
        raise refusal
    again, _ = _given_back(chart, setup, structure, 50.0)
    if again == 50.0 and half == 0.5:
        return PERCENT
    if fifty is None and again is None and half == 0.5:
        return RATIO
    raise errors.TpsRefused(
        "whether Eclipse counts the volume of a point objective in percent or as a ratio is not known: objectives at "
        f"50, 0.5 and 50 came back as {_words(fifty)}, {_words(half)} and {_words(again)}; expected the same, or a "
        "refusal of 50. Make one objective with a volume above 1 in Eclipse."
    )


def _given_back(
    chart: Chart, setup: Any, structure: Any, volume: float
) -> tuple[float | None, errors.BridgeError | None]:
    """The volume of an objective that was added and removed again, or why Eclipse refused it."""
    operator = access.enum("OptimizationObjectiveOperator", "Upper")
    dose = doses.dose_value(_PROBE_DOSE_GY, chart.unit)
    try:
        made = setup.AddPointObjective(structure, operator, dose, volume, _PROBE_PRIORITY)
    except access.net_errors() as error:
        return None, as_bridge_error("add a point objective", error)
    with undone_on_failure("the probe, an objective of 1 Gy at priority 0", lambda: setup.RemoveObjective(made)):
        given_back = round(float(access.get(made, "Volume")), 9)
        setup.RemoveObjective(made)
    return given_back, None


def _words(given_back: float | None) -> str:
    return "a refusal" if given_back is None else f"{given_back:g}"
