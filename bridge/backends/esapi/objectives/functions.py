"""One objective between the contract's functions and ESAPI's objects.

The one idea: ESAPI's objectives are immutable and nameless, so everything of one is read into a `Content`: plain, to be
compared, and enough to add the same objective again. A client's spec becomes a Content, a Content becomes an ESAPI
object by adding it, and an ESAPI object is read back into a Content; if the last two differ, Eclipse kept something
else than was asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge import errors, model
from bridge.backends.esapi.chart import doses
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access

POINT, MEAN, EUD = "OptimizationPointObjective", "OptimizationMeanDoseObjective", "OptimizationEUDObjective"
FALL_OFF = "OptimizationNormalTissueParameter"
_FALL_OFF_NUMBERS = ("DistanceFromTargetBorderInMM", "StartDosePercentage", "EndDosePercentage", "FallOff")
_OPERATOR = {model.Bound.UPPER: "Upper", model.Bound.LOWER: "Lower"}
_BOUND = {operator: bound for bound, operator in _OPERATOR.items()}
_DIGITS = 6
"""Decimals that are told of a number; Gy from cGy have more, which mean nothing."""


@dataclass(frozen=True)
class Content:
    """All of one objective; numbers that its kind does not have are absent."""

    kind: str
    """The .NET class."""
    priority: float
    structure_id: str = ""
    """Empty for the normal-tissue objective, which belongs to the whole body."""
    operator: str = ""
    dose_gy: float | None = None
    volume: float | None = None
    """ESAPI's own number: see `bridge.backends.esapi.objectives.point_volumes`."""
    a: float | None = None
    fall_off: tuple[float, ...] = ()
    """Distance, start, end and fall-off; none when automatic."""
    flavour: str = ""
    """Whatever else tells two of the kind apart."""

    @property
    def can_be_added(self) -> bool:
        """Whether a script can make another one like it."""
        if self.kind in (POINT, EUD):
            return self.operator in _BOUND
        return self.kind in (MEAN, FALL_OFF)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for objectives that are the same but for the last digits of their numbers."""
        numbers = (self.priority, self.dose_gy, self.volume, self.a, *self.fall_off)
        written = tuple(None if number is None else f"{number:.6g}" for number in numbers)
        return self.kind, self.structure_id, self.operator, self.flavour, written

    def is_like(self, other: Content) -> bool:
        return self.key == other.key


# from ESAPI ------------------------------------------------------------------------------------------------------


def stored(setup: Any) -> list[tuple[Any, Content]]:
    """All objectives of an OptimizationSetup, its normal-tissue objectives last; other parameters are no objectives."""
    if setup is None:
        return []
    fall_offs = [each for each in access.items(setup, "Parameters") if access.kind(each) == FALL_OFF]
    return [(thing, read(thing)) for thing in (*access.items(setup, "Objectives"), *fall_offs)]


def read(thing: Any) -> Content:
    """Everything of an ESAPI objective or normal-tissue parameter."""
    kind, priority = access.kind(thing), float(access.get(thing, "Priority"))
    if kind == FALL_OFF:
        return _read_fall_off(thing, priority)
    return Content(
        kind,
        priority,
        structure_id=str(access.get(thing, "StructureId")),
        operator="" if kind == MEAN else access.enum_name(access.get(thing, "Operator")),
        dose_gy=doses.gy(access.get(thing, "Dose")) if access.has(thing, "Dose") else None,
        volume=float(access.get(thing, "Volume")) if access.has(thing, "Volume") else None,
        a=float(access.get(thing, "ParameterA")) if access.has(thing, "ParameterA") else None,
        flavour=_curve(thing) if access.has(thing, "CurveData") else "",
    )


def _read_fall_off(thing: Any, priority: float) -> Content:
    if access.get(thing, "IsAutomatic"):
        return Content(FALL_OFF, priority)
    return Content(FALL_OFF, priority, fall_off=tuple(float(access.get(thing, name)) for name in _FALL_OFF_NUMBERS))


def _curve(thing: Any) -> str:
    points = list(access.get(thing, "CurveData") or ())
    if not points:
        return "line without points"
    (low, first), (high, last) = ((doses.gy(point.DoseValue), point.Volume) for point in (points[0], points[-1]))
    return f"line of {len(points)} points from {first:.4g} % at {low or 0:.4g} Gy to {last:.4g} % at {high or 0:.4g} Gy"


def to_function(content: Content, volume_per_percent: float | None) -> model.ObjectiveFunction:
    """The contract's function; what it has no words for, or whose volume cannot be read, is a VendorFunction."""
    dose_gy = 0.0 if content.dose_gy is None else round(content.dose_gy, _DIGITS)
    bound = _BOUND.get(content.operator)
    match content:
        case Content(kind=kind) if kind == FALL_OFF:
            return _fall_off(content)
        case Content(kind=kind) if kind == MEAN and content.dose_gy is not None:
            return model.MeanDose(dose_gy)
        case Content(kind=kind, a=a) if kind == EUD and bound is not None and content.dose_gy is not None:
            return model.Geud(bound, dose_gy, a or 0.0)
        case Content(kind=kind) if kind == POINT and bound is not None and content.dose_gy is not None:
            return _point(content, bound, dose_gy, volume_per_percent)
    return model.VendorFunction(content.kind, _words(content))


def _point(
    content: Content, bound: model.Bound, dose_gy: float, volume_per_percent: float | None
) -> model.ObjectiveFunction:
    volume = content.volume or 0.0
    if volume == 0.0 and bound is model.Bound.UPPER:
        return model.MaxDose(dose_gy)
    if volume_per_percent is None and volume != 0.0:
        return model.VendorFunction(content.kind, f"{_words(content)}; percent or ratio, this Eclipse has not shown")
    percent = round(volume / (volume_per_percent or 1.0), _DIGITS)
    if percent == 100.0 and bound is model.Bound.LOWER:
        return model.MinDose(dose_gy)
    return model.DoseVolumePoint(bound, dose_gy, percent)


def _fall_off(content: Content) -> model.NormalTissueFalloff:
    if not content.fall_off:
        return model.NormalTissueFalloff(automatic=True)
    distance_mm, start_percent, end_percent, fall_off_per_mm = (round(each, _DIGITS) for each in content.fall_off)
    return model.NormalTissueFalloff(False, distance_mm, start_percent, end_percent, fall_off_per_mm)


def _words(content: Content) -> str:
    said = [f"operator {content.operator}"] if content.operator else []
    said += [f"dose {content.dose_gy:.6g} Gy"] if content.dose_gy is not None else []
    said += [f"volume {content.volume:g}"] if content.volume is not None else []
    said += [f"a {content.a:g}"] if content.a is not None else []
    return ", ".join([*said, content.flavour] if content.flavour else said)


# from a client ---------------------------------------------------------------------------------------------------


def wanted(chart: Chart, spec: model.ObjectiveSpec, volume_per_percent: Callable[[], float]) -> Content:
    """What a client's spec is in Eclipse; `CapabilityMissing` where it has no such objective.

    Parameters
    ----------
    volume_per_percent
        Asked only for a volume that is not 0, since finding out may need a probe.
    """
    structure = chart.structure(spec.structure)
    priority = _priority(spec)
    structure_id = str(access.get(structure, "Id"))

    def content(
        kind: str, operator: str, dose_gy: float, volume: float | None = None, a: float | None = None
    ) -> Content:
        if not math.isfinite(dose_gy) or dose_gy < 0.0:
            raise errors.InvalidField(f"objective on {spec.structure!r}: dose is {dose_gy:g} Gy, expected 0 or more.")
        return Content(kind, priority, structure_id, operator, dose_gy, volume, a)

    def point(bound: model.Bound, dose_gy: float, percent: float) -> Content:
        if not 0.0 <= percent <= 100.0:
            raise errors.InvalidField(f"objective on {spec.structure!r}: volume is {percent:g} %, expected 0 to 100.")
        volume = percent * volume_per_percent() if percent else 0.0
        return content(POINT, _OPERATOR[bound], dose_gy, volume=volume)

    match spec.function:
        case model.DoseVolumePoint(bound, dose_gy, volume_percent):
            return point(bound, dose_gy, volume_percent)
        case model.MaxDose(dose_gy):
            return point(model.Bound.UPPER, dose_gy, 0.0)
        case model.MinDose(dose_gy):
            return point(model.Bound.LOWER, dose_gy, 100.0)
        case model.MeanDose(dose_gy):
            return content(MEAN, "", dose_gy)
        case model.Geud(bound, dose_gy, a):
            if a == 0.0:
                raise errors.InvalidField(f"gEUD of {spec.structure!r}: a is 0, for which there is no gEUD.")
            return content(EUD, _OPERATOR[bound], dose_gy, a=a)
        case model.NormalTissueFalloff():
            return _wanted_fall_off(chart, spec.structure, spec.function, priority)
        case model.VendorFunction(kind, _):
            raise errors.InvalidField(f"{kind} on {spec.structure!r}: a vendor's function can be read, not written.")
        case other:
            raise errors.CapabilityMissing(
                f"Eclipse has no objective {type(other).__name__}; set what GetServerInfo declares."
            )


def _wanted_fall_off(chart: Chart, structure_name: str, asked: model.NormalTissueFalloff, priority: float) -> Content:
    external = chart.structure_name(chart.external())
    if structure_name != external:
        raise errors.InvalidField(
            f"normal-tissue fall-off on {structure_name!r}: Eclipse has it for the whole body; name {external!r}."
        )
    if asked.automatic:
        return Content(FALL_OFF, priority)
    numbers = (asked.distance_mm, asked.start_percent, asked.end_percent, asked.fall_off_per_mm)
    if None in numbers:
        raise errors.InvalidField(
            f"fall-off on {structure_name!r}: give distance_mm, start_percent, end_percent, fall_off_per_mm; or "
            "automatic."
        )
    return Content(FALL_OFF, priority, fall_off=tuple(float(number) for number in numbers if number is not None))


def _priority(spec: model.ObjectiveSpec) -> float:
    if spec.role is model.ObjectiveRole.CONSTRAINT:
        raise errors.CapabilityMissing(
            f"constraint on {spec.structure!r}: Eclipse has no hard constraints; set an objective with a high priority."
        )
    if spec.relation is not None or spec.priority is None:
        raise errors.InvalidField(f"objective on {spec.structure!r}: an objective has a priority and no relation.")
    return spec.priority


# to ESAPI --------------------------------------------------------------------------------------------------------


def add(chart: Chart, setup: Any, content: Content) -> Any:
    """Add an objective to an OptimizationSetup; the ESAPI object that was made."""
    if content.kind == FALL_OFF:
        if not content.fall_off:
            return setup.AddAutomaticNormalTissueObjective(content.priority)
        return setup.AddNormalTissueObjective(content.priority, *content.fall_off)
    structure = chart.structure(chart.structure_name_of_id(content.structure_id))
    assert content.dose_gy is not None
    dose = doses.dose_value(content.dose_gy, chart.unit)
    if content.kind == MEAN:
        return setup.AddMeanDoseObjective(structure, dose, content.priority)
    operator = access.enum("OptimizationObjectiveOperator", content.operator)
    if content.kind == EUD:
        return setup.AddEUDObjective(structure, operator, dose, content.a, content.priority)
    return setup.AddPointObjective(structure, operator, dose, content.volume, content.priority)


def remove(setup: Any, thing: Any) -> None:
    if access.kind(thing) == FALL_OFF:
        setup.RemoveParameter(thing)
    else:
        setup.RemoveObjective(thing)
