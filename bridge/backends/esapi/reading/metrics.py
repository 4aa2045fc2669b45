"""The contract's questions about a dose, put to Eclipse.

The one idea: Eclipse answers two questions, the dose at a volume and the volume at a dose; everything else follows from
them, the structure's volume and the statistics of its DVH. Volumes that count from the cold side are asked as the hot
rest, in percent, which cannot leave the structure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from bridge import errors
from bridge.backends.esapi.chart import doses
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reading import dose_info, dvh, indices
from bridge.model import DoseKind, MetricKind, MetricQuery, MetricResult, MetricStatus, MetricUnit, VolumeUnit

_WHOLE_PERCENT = 99.0
"""A structure with less of it inside the dose grid is answered OUT_OF_GRID."""
_STATISTICS_BIN_GY = 0.05
"""Bin of the DVH whose minimum, maximum and mean are used; its curve is not."""


def evaluate(chart: Chart, plan_name: str, queries: Sequence[MetricQuery]) -> list[MetricResult]:
    """Answer every query on the plan's present dose."""
    plan = chart.plan(plan_name)
    with translated(f"measure the dose of plan {plan_name!r}"):
        measured = _Measured(chart, plan)
        return [_answer(query, measured) for query in queries]


class _Measured:
    """A plan's dose, and the structures that were asked about so far."""

    def __init__(self, chart: Chart, plan: Any) -> None:
        self.chart, self.plan = chart, plan
        self.info = dose_info.read(chart, plan)
        self.status = MetricStatus.STALE if self.info.stale else MetricStatus.OK
        self._structures: dict[str | None, _Asked] = {}

    def structure(self, name: str | None) -> _Asked:
        """A structure by its name, or the External."""
        if name not in self._structures:
            found = self.chart.external() if name is None else self.chart.structure(name)
            self._structures[name] = _Asked(self, found, name or self.chart.structure_name(found))
        return self._structures[name]


class _Asked:
    """One structure in one dose."""

    def __init__(self, measured: _Measured, structure: Any, name: str) -> None:
        self._measured, self._structure, self._name = measured, structure, name

    @cached_property
    def is_empty(self) -> bool:
        return dvh.is_empty(self._structure)

    @cached_property
    def is_whole(self) -> bool:
        """Whether the dose grid holds it."""
        return self._data is not None and dvh.coverage_percent(self._data, self._name) >= _WHOLE_PERCENT

    @cached_property
    def volume_cc(self) -> float:
        return float(access.get(self._structure, "Volume"))

    def statistic_gy(self, name: str) -> float:
        """``MeanDose``, ``MaxDose`` or ``MinDose``."""
        return self._number(doses.gy(access.get(self._data, name)), name)

    def dose_gy_at(self, volume: float, unit: VolumeUnit) -> float:
        """Dose that at least the hottest ``volume`` gets."""
        presentation = "AbsoluteCm3" if unit is VolumeUnit.CC else "Relative"
        found = self._measured.plan.GetDoseAtVolume(
            self._structure,
            float(volume),
            access.enum("VolumePresentation", presentation),
            access.enum("DoseValuePresentation", "Absolute"),
        )
        return self._number(doses.gy(found), f"dose at {volume:g} {unit.name}")

    def volume_at(self, dose_gy: float, unit: VolumeUnit) -> float:
        """Volume that gets at least ``dose_gy``."""
        presentation = "AbsoluteCm3" if unit is VolumeUnit.CC else "Relative"
        found = float(
            self._measured.plan.GetVolumeAtDose(
                self._structure,
                doses.dose_value(dose_gy, self._measured.chart.unit),
                access.enum("VolumePresentation", presentation),
            )
        )
        return self._number(None if found != found else found, f"volume at {dose_gy:g} Gy")

    @cached_property
    def _data(self) -> Any:
        return dvh.data(self._measured.chart, self._measured.plan, self._structure, _STATISTICS_BIN_GY)

    def _number(self, found: float | None, what: str) -> float:
        if found is None:
            raise errors.TpsRefused(
                f"Eclipse gave no number for {what} of structure {self._name!r}; calculate dose again."
            )
        return found


def _answer(query: MetricQuery, measured: _Measured) -> MetricResult:
    if measured.info.kind is DoseKind.NONE:
        return MetricResult(query, MetricStatus.NO_DOSE, _unit(query))
    if query.kind is MetricKind.PLAN_MAX_DOSE:
        return _of_plan(query, measured)
    if query.structure is None:
        raise errors.InvalidField(f"metric {query.kind.name} needs a structure.")
    asked = measured.structure(query.structure)
    if asked.is_empty:
        return MetricResult(query, MetricStatus.EMPTY_STRUCTURE, _unit(query))
    if not asked.is_whole or _wants_more_than_there_is(query, asked):
        return MetricResult(query, MetricStatus.OUT_OF_GRID, _unit(query))
    if query.kind in _INDICES:
        body = measured.structure(query.body)
        if body.is_empty:
            return MetricResult(query, MetricStatus.EMPTY_STRUCTURE, _unit(query))
        value = _INDICES[query.kind](asked, body, _required(query.dose_gy, query, "dose_gy"))
    else:
        value = _PLAIN[query.kind](asked, query)
    return MetricResult(query, measured.status, _unit(query), value)


def _of_plan(query: MetricQuery, measured: _Measured) -> MetricResult:
    if measured.info.max_gy is None:
        raise errors.TpsRefused("Eclipse does not say how high the plan's dose goes; calculate dose again.")
    return MetricResult(query, measured.status, MetricUnit.GY, measured.info.max_gy)


def _wants_more_than_there_is(query: MetricQuery, asked: _Asked) -> bool:
    return query.volume_unit is VolumeUnit.CC and query.volume is not None and query.volume > asked.volume_cc


def _dose_at(asked: _Asked, query: MetricQuery) -> float:
    return asked.dose_gy_at(_volume(query), query.volume_unit or VolumeUnit.PERCENT)


def _dose_at_cold(asked: _Asked, query: MetricQuery) -> float:
    cold = _volume(query)
    cold_percent = 100.0 * cold / asked.volume_cc if query.volume_unit is VolumeUnit.CC else cold
    return asked.dose_gy_at(100.0 - cold_percent, VolumeUnit.PERCENT)


def _volume_at(asked: _Asked, query: MetricQuery) -> float:
    dose_gy = _required(query.dose_gy, query, "dose_gy")
    return asked.volume_at(dose_gy, query.volume_unit or VolumeUnit.PERCENT)


def _volume_below(asked: _Asked, query: MetricQuery) -> float:
    below_percent = 100.0 - asked.volume_at(_required(query.dose_gy, query, "dose_gy"), VolumeUnit.PERCENT)
    return below_percent / 100.0 * asked.volume_cc if query.volume_unit is VolumeUnit.CC else below_percent


def _homogeneity_icru83(asked: _Asked, _: MetricQuery) -> float:
    d2_gy, d98_gy, d50_gy = (asked.dose_gy_at(percent, VolumeUnit.PERCENT) for percent in (2.0, 98.0, 50.0))
    return indices.homogeneity_icru83(d2_gy, d98_gy, d50_gy)


def _cc(asked: _Asked, dose_gy: float) -> float:
    return asked.volume_at(dose_gy, VolumeUnit.CC)


_PLAIN: Mapping[MetricKind, Callable[[_Asked, MetricQuery], float]] = {
    MetricKind.DOSE_AT_VOLUME: _dose_at,
    MetricKind.DOSE_AT_COLD_VOLUME: _dose_at_cold,
    MetricKind.VOLUME_AT_DOSE: _volume_at,
    MetricKind.VOLUME_BELOW_DOSE: _volume_below,
    MetricKind.MEAN_DOSE: lambda asked, _: asked.statistic_gy("MeanDose"),
    MetricKind.MAX_DOSE: lambda asked, _: asked.statistic_gy("MaxDose"),
    MetricKind.MIN_DOSE: lambda asked, _: asked.statistic_gy("MinDose"),
    MetricKind.HOMOGENEITY_ICRU83: _homogeneity_icru83,
}

_INDICES: Mapping[MetricKind, Callable[[_Asked, _Asked, float], float]] = {
    MetricKind.CONFORMITY_PADDICK: lambda target, body, gy: indices.conformity_paddick(
        target.volume_cc, _cc(body, gy), _cc(target, gy)
    ),
    MetricKind.CONFORMITY_RTOG: lambda target, body, gy: indices.conformity_rtog(target.volume_cc, _cc(body, gy)),
    MetricKind.HOMOGENEITY_RTOG: lambda target, _, gy: indices.homogeneity_rtog(target.statistic_gy("MaxDose"), gy),
    MetricKind.GRADIENT_PADDICK: lambda _, body, gy: indices.gradient_paddick(_cc(body, gy), _cc(body, gy / 2.0), gy),
    MetricKind.R50: lambda target, body, gy: indices.r50(target.volume_cc, _cc(body, gy / 2.0)),
}


def _unit(query: MetricQuery) -> MetricUnit:
    if query.kind in (MetricKind.VOLUME_AT_DOSE, MetricKind.VOLUME_BELOW_DOSE):
        return MetricUnit.CC if query.volume_unit is VolumeUnit.CC else MetricUnit.PERCENT
    if query.kind in _INDICES or query.kind is MetricKind.HOMOGENEITY_ICRU83:
        return MetricUnit.RATIO
    return MetricUnit.GY


def _volume(query: MetricQuery) -> float:
    """The volume asked for; more percent than there are is refused."""
    volume = _required(query.volume, query, "volume")
    most = 100.0 if query.volume_unit is not VolumeUnit.CC else float("inf")
    if not 0.0 <= volume <= most:
        raise errors.InvalidField(f"metric {query.kind.name}: volume is {volume:g}, expected 0 to {most:g} percent.")
    return volume


def _required(value: float | None, query: MetricQuery, field: str) -> float:
    if value is None:
        raise errors.InvalidField(f"metric {query.kind.name} needs {field}.")
    return value
