"""The contract's questions about a dose, answered from the simulator's dose-volume samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bridge import errors, model
from bridge.model import MetricKind, MetricQuery, MetricResult, MetricStatus, MetricUnit, VolumeUnit
from sim_tps import indices
from sim_tps.dvh import DoseVolume
from sim_tps.tps import Tps

_WHOLE_PERCENT = 99.0
"""A structure with less of it inside the dose grid is answered OUT_OF_GRID."""


def dvh(structure: str, dose: model.DoseInfo, volume: DoseVolume, bin_gy: float) -> model.Dvh:
    """A structure's cumulative DVH."""
    dose_gy, volume_percent = volume.curve(bin_gy)
    return model.Dvh(
        structure=structure,
        dose=dose,
        volume_cc=volume.volume_cc,
        dose_gy=dose_gy,
        volume_percent=volume_percent,
        min_gy=volume.min,
        max_gy=volume.max,
        mean_gy=volume.mean,
        median_gy=volume.median,
        coverage_percent=volume.coverage_percent,
    )


def evaluate(
    tps: Tps, patient_id: str, plan_id: str, queries: Sequence[MetricQuery], labels: Mapping[str, str]
) -> list[MetricResult]:
    """Answer every query; ``labels`` are the simulator's names of the structures that occur in them."""
    if tps.plan(patient_id, plan_id).raw_dose is None:
        return [MetricResult(query, MetricStatus.NO_DOSE, _unit(query)) for query in queries]
    external = tps.patient(patient_id).external.name

    def volume(name: str | None) -> DoseVolume:
        return tps.dose_volume(patient_id, plan_id, external if name is None else labels[name])

    return [_answer(query, volume) for query in queries]


def _answer(query: MetricQuery, volume: Callable[[str | None], DoseVolume]) -> MetricResult:
    if query.kind is MetricKind.PLAN_MAX_DOSE:
        return MetricResult(query, MetricStatus.OK, MetricUnit.GY, volume(None).max)
    if query.structure is None:
        raise errors.InvalidField(f"metric {query.kind.name} needs a structure.")
    asked = volume(query.structure)
    if asked.volume_cc <= 0.0:
        return MetricResult(query, MetricStatus.EMPTY_STRUCTURE, _unit(query))
    if asked.coverage_percent < _WHOLE_PERCENT or _wants_more_than_there_is(query, asked):
        return MetricResult(query, MetricStatus.OUT_OF_GRID, _unit(query))
    if query.kind in _INDICES:
        value = _INDICES[query.kind](asked, volume(query.body), _required(query.dose_gy, query, "dose_gy"))
    else:
        value = _PLAIN[query.kind](asked, query)
    return MetricResult(query, MetricStatus.OK, _unit(query), value)


def _wants_more_than_there_is(query: MetricQuery, asked: DoseVolume) -> bool:
    return query.volume_unit is VolumeUnit.CC and query.volume is not None and query.volume > asked.volume_cc


def _dose_at(asked: DoseVolume, query: MetricQuery) -> float:
    volume = _required(query.volume, query, "volume")
    return asked.dose_at_cc(volume) if query.volume_unit is VolumeUnit.CC else asked.dose_at_percent(volume)


def _dose_at_cold(asked: DoseVolume, query: MetricQuery) -> float:
    volume = _required(query.volume, query, "volume")
    if query.volume_unit is VolumeUnit.CC:
        return asked.dose_at_cc(asked.volume_cc - volume)
    return asked.dose_at_percent(100.0 - volume)


def _volume_at(asked: DoseVolume, query: MetricQuery) -> float:
    hot_cc = asked.volume_at(_required(query.dose_gy, query, "dose_gy"))
    return _in_unit(hot_cc, asked, query)


def _volume_below(asked: DoseVolume, query: MetricQuery) -> float:
    hot_cc = asked.volume_at(_required(query.dose_gy, query, "dose_gy"))
    return _in_unit(asked.volume_cc - hot_cc, asked, query)


def _in_unit(cc: float, asked: DoseVolume, query: MetricQuery) -> float:
    return cc if query.volume_unit is VolumeUnit.CC else 100.0 * cc / asked.volume_cc


_PLAIN: Mapping[MetricKind, Callable[[DoseVolume, MetricQuery], float]] = {
    MetricKind.DOSE_AT_VOLUME: _dose_at,
    MetricKind.DOSE_AT_COLD_VOLUME: _dose_at_cold,
    MetricKind.VOLUME_AT_DOSE: _volume_at,
    MetricKind.VOLUME_BELOW_DOSE: _volume_below,
    MetricKind.MEAN_DOSE: lambda asked, _: asked.mean,
    MetricKind.MAX_DOSE: lambda asked, _: asked.max,
    MetricKind.MIN_DOSE: lambda asked, _: asked.min,
    MetricKind.HOMOGENEITY_ICRU83: lambda asked, _: indices.homogeneity_icru83(asked),
}

_INDICES: Mapping[MetricKind, Callable[[DoseVolume, DoseVolume, float], float]] = {
    MetricKind.CONFORMITY_PADDICK: indices.conformity_paddick,
    MetricKind.CONFORMITY_RTOG: indices.conformity_rtog,
    MetricKind.HOMOGENEITY_RTOG: lambda target, _, reference_gy: indices.homogeneity_rtog(target, reference_gy),
    MetricKind.GRADIENT_PADDICK: lambda _, body, reference_gy: indices.gradient_paddick(body, reference_gy),
    MetricKind.R50: indices.r50,
}


def _unit(query: MetricQuery) -> MetricUnit:
    if query.kind in (MetricKind.VOLUME_AT_DOSE, MetricKind.VOLUME_BELOW_DOSE):
        return MetricUnit.CC if query.volume_unit is VolumeUnit.CC else MetricUnit.PERCENT
    if query.kind in _INDICES or query.kind is MetricKind.HOMOGENEITY_ICRU83:
        return MetricUnit.RATIO
    return MetricUnit.GY


def _required(value: float | None, query: MetricQuery, field: str) -> float:
    if value is None:
        raise errors.InvalidField(f"metric {query.kind.name} needs {field}.")
    return value
