"""Normalising a plan: the contract's percent and coverage, by Eclipse's own number.

A coverage that was asked for holds for every dose that comes after, until another normalisation is set; where a dose
that comes after cannot be scaled to it, the wish is forgotten, and the plan is shown with the number that it has.

The one idea: whether Eclipse's ``PlanNormalizationValue`` divides the dose (the isodose that becomes 100 %) or
multiplies it is not taken from a book. It is learnt once from a dose, by changing the number and looking, and every
normalisation is checked on the dose that follows; where that does what neither reading says, the old number comes back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from bridge import errors, model
from bridge.backend import Monitor
from bridge.backends.esapi.chart import doses
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reach.undoing import undone_on_failure
from bridge.backends.esapi.reading import dose_info, plans

log = structlog.get_logger(__name__)

TOLERANCE = 1e-3
"""Of a dose that was asked for."""

_UNSCALED = 100.0
_PROBE = 1.25
"""How much the number is changed to see what it does: far more than a dose is rounded."""


def set(chart: Chart, plan_name: str, normalization: model.Normalization) -> model.Plan:
    """Scale the plan's dose; what Eclipse does not bring within 0.1 % is refused and undone."""
    with translated(f"normalise plan {plan_name!r}"):
        plan = chart.plan(plan_name)
        before = _value(plan)
        with undone_on_failure("the normalisation", lambda: _put_back(plan, before)):
            match normalization:
                case None:
                    access.put(plan, "PlanNormalizationValue", _UNSCALED)
                case model.PercentNormalization(percent):
                    _to_percent(chart, plan, plan_name, percent)
                case model.CoverageNormalization():
                    _to_coverage(chart, plan, plan_name, normalization)
        _remember(chart, plan, normalization)
        return plans.read(chart, plan_name)


def restore(chart: Chart, plan: Any, normalization: model.Normalization, value: float) -> None:
    """Put back a normalisation that the plan had, with Eclipse's number for it."""
    _put_back(plan, value)
    _remember(chart, plan, normalization)


@contextmanager
def kept(chart: Chart, plan: Any, plan_name: str, monitor: Monitor) -> Iterator[None]:
    """Have the plan normalised after the block as it was asked for before, whatever dose it has then.

    A coverage of a structure that is gone or empty is refused before the block. One that the new dose cannot be scaled
    to does not undo hours of work: it is forgotten, which is told as progress.
    """
    record = chart.record(plan)
    value, wanted = _value(plan), record.normalization
    is_ours = value == record.normalization_value
    if is_ours and isinstance(wanted, model.CoverageNormalization):
        _require_possible(chart, plan_name, wanted)
    yield
    if not is_ours:
        return
    if not isinstance(wanted, model.CoverageNormalization):
        _put_back(plan, value)
    elif access.get(plan, "Dose") is not None:
        why_not = _why_not_covered(chart, plan, plan_name, wanted, value)
        if why_not:
            record.normalization, record.normalization_value = None, None
            log.warning("the normalisation that was asked for is forgotten", plan=plan_name, reason=why_not)
            monitor.report(model.Progress(f"normalisation given up, it is what Eclipse shows: {why_not}"))
            return
    _remember(chart, plan, wanted)


def _require_possible(chart: Chart, plan_name: str, wanted: model.CoverageNormalization) -> None:
    try:
        structure = chart.structure(wanted.structure)
    except errors.NotFound:
        raise errors.TpsRefused(
            f"plan {plan_name!r} is normalised to structure {wanted.structure!r}, which is gone; set another "
            "normalisation first."
        ) from None
    _require_filled(structure, wanted.structure)


def _why_not_covered(chart: Chart, plan: Any, plan_name: str, wanted: model.CoverageNormalization, value: float) -> str:
    """Scale the plan's dose to a coverage; where that is refused, the reason, and the plan has ``value`` again."""
    try:
        with (
            translated(f"normalise plan {plan_name!r}"),
            undone_on_failure("the normalisation", lambda: _put_back(plan, value)),
        ):
            _to_coverage(chart, plan, plan_name, wanted)
    except errors.TpsUnavailable:
        raise
    except errors.BridgeError as refusal:
        return refusal.message
    return ""


def _remember(chart: Chart, plan: Any, normalization: model.Normalization) -> None:
    record = chart.record(plan)
    record.normalization, record.normalization_value = normalization, _value(plan)


# ------------------------------------------------------------------------------------------ the two ways


def _to_percent(chart: Chart, plan: Any, plan_name: str, percent: float) -> None:
    if percent == _UNSCALED:
        access.put(plan, "PlanNormalizationValue", _UNSCALED)
        return
    is_factor = chart.facts.normalization_is_factor
    if access.get(plan, "Dose") is None:
        if is_factor is None:
            raise errors.NoDose(
                f"plan {plan_name!r} has no dose, and which way Eclipse's normalisation acts is learnt from one; "
                "calculate the dose first."
            )
        access.put(plan, "PlanNormalizationValue", _number(percent, is_factor))
        return

    def hottest() -> float:
        with dose_info.absolute(plan) as in_gy:
            found_gy = in_gy(access.get(access.get(plan, "Dose"), "DoseMax3D"))
        if found_gy is None:
            raise errors.TpsRefused(
                f"Eclipse does not say the maximum of plan {plan_name!r}; calculate the dose again."
            )
        return found_gy

    is_factor = _learnt(chart, plan, hottest)
    unscaled = hottest() / _scale(_value(plan), is_factor)
    access.put(plan, "PlanNormalizationValue", _number(percent, is_factor))
    _require_near(hottest() / unscaled * 100.0, percent, f"plan {plan_name!r}: its maximum is at", "%")


def _to_coverage(chart: Chart, plan: Any, plan_name: str, wanted: model.CoverageNormalization) -> None:
    _require_valid_dose(chart, plan, plan_name)
    structure = chart.structure(wanted.structure)
    relative, absolute = access.enum("VolumePresentation", "Relative"), access.enum("DoseValuePresentation", "Absolute")

    def covered_gy() -> float:
        found = plan.GetDoseAtVolume(structure, wanted.volume_percent, relative, absolute)
        dose_gy = doses.gy(found)
        if dose_gy is None or not dose_gy > 0.0:
            raise errors.TpsRefused(
                f"plan {plan_name!r}: {wanted.volume_percent:g} % of {wanted.structure!r} gets no dose that could be "
                "scaled; choose another structure."
            )
        return dose_gy

    _require_filled(structure, wanted.structure)
    is_factor = _learnt(chart, plan, covered_gy)
    for _ in range(2):  # once, and once more for what Eclipse rounded
        percent = 100.0 * _scale(_value(plan), is_factor) * wanted.dose_gy / covered_gy()
        access.put(plan, "PlanNormalizationValue", _number(percent, is_factor))
        if _is_near(covered_gy(), wanted.dose_gy):
            return
    _require_near(
        covered_gy(),
        wanted.dose_gy,
        f"plan {plan_name!r}: {wanted.volume_percent:g} % of {wanted.structure!r} gets",
        "Gy",
    )


def _require_filled(structure: Any, name: str) -> None:
    if access.get(structure, "IsEmpty"):
        raise errors.TpsRefused(f"structure {name!r} is empty: no dose is normalised to it; choose another.")


def _require_valid_dose(chart: Chart, plan: Any, plan_name: str) -> None:
    info = dose_info.read(chart, plan)
    if info.kind is model.DoseKind.NONE:
        raise errors.NoDose(f"plan {plan_name!r} has no dose to normalise; calculate it first.")
    if info.stale:
        raise errors.DoseStale(f"the dose of plan {plan_name!r} is older than the plan; calculate it first.")


# ------------------------------------------------------------------------------------------ Eclipse's number


def _learnt(chart: Chart, plan: Any, dose: Callable[[], float]) -> bool:
    """Whether Eclipse's number multiplies the dose; found out on the first plan with a dose, for the whole site."""
    facts = chart.facts
    if facts.normalization_is_factor is None:
        value, before = _value(plan), dose()
        try:
            access.put(plan, "PlanNormalizationValue", value * _PROBE)
            ratio = dose() / before if before > 0.0 else math.nan
        finally:
            access.put(plan, "PlanNormalizationValue", value)
        facts.normalization_is_factor = _reading(ratio)
        _compare_with_site(chart, is_factor=facts.normalization_is_factor)
    return facts.normalization_is_factor


def _compare_with_site(chart: Chart, *, is_factor: bool) -> None:
    found = "factor" if is_factor else "isodose"
    if found != chart.site.normalization:
        log.warning(
            "Eclipse's normalisation value acts otherwise than configured; what was found is used. Correct the key",
            section="site",
            key="normalization",
            configured=chart.site.normalization,
            found=found,
        )


def _reading(ratio: float) -> bool:
    for is_factor, expected in ((False, 1.0 / _PROBE), (True, _PROBE)):
        if _is_near(ratio, expected):
            return is_factor
    raise errors.TpsRefused(
        f"Eclipse's normalisation value was raised by {_PROBE:g} and the dose became {ratio:g} times what it was; "
        f"expected {1 / _PROBE:g} or {_PROBE:g}. Normalise the plan in Eclipse."
    )


def _scale(value: float, is_factor: bool) -> float:
    """What the optimiser's dose is multiplied by under Eclipse's number."""
    return value / _UNSCALED if is_factor else _UNSCALED / value


def _number(percent: float, is_factor: bool) -> float:
    """Eclipse's number for percent of the optimiser's dose."""
    return percent if is_factor else _UNSCALED * _UNSCALED / percent


def _value(plan: Any) -> float:
    value = float(access.get(plan, "PlanNormalizationValue"))
    if not (math.isfinite(value) and value > 0.0):
        raise errors.TpsRefused(f"Eclipse gives {value:g} as the plan's normalisation value; set one in Eclipse.")
    return value


def _put_back(plan: Any, value: float) -> None:
    if access.get(plan, "PlanNormalizationValue") != value:
        access.put(plan, "PlanNormalizationValue", value)


def _is_near(found: float, wanted: float) -> bool:
    return abs(found - wanted) <= TOLERANCE * abs(wanted)


def _require_near(found: float, wanted: float, what: str, unit: str) -> None:
    if not _is_near(found, wanted):
        raise errors.TpsRefused(
            f"{what} {found:.2f} {unit} after normalising, and {wanted:.2f} {unit} was asked for; the normalisation "
            "was put back. Normalise the plan in Eclipse."
        )
