"""Dose-volume metrics read from a curve that is already here, so that asking costs no call of the planning system.

The one idea: a cumulative curve answers every question about one structure's own dose and volume, and none about where
the dose lies; conformity and gradient are asked of the planning system, as goals.
"""

from __future__ import annotations

import numpy as np

from agent.metrics import Metric
from bridge.model import Dvh, MetricKind, VolumeUnit


class NotInCurve(Exception):
    """The curve cannot answer; the message says why."""


def read_metric(metric: Metric, curve: Dvh, prescription_gy: float) -> float:
    """The metric's value in its own unit, linear between the curve's points.

    Raises
    ------
    NotInCurve
        An index, a volume larger than the structure, or a statistic that the curve does not carry.
    """
    if metric.kind in (MetricKind.DOSE_AT_VOLUME, MetricKind.DOSE_AT_COLD_VOLUME):
        return metric.value(_dose_gy(metric, curve), prescription_gy)
    if metric.kind in (MetricKind.VOLUME_AT_DOSE, MetricKind.VOLUME_BELOW_DOSE):
        return _volume(metric, curve, prescription_gy)
    statistics = {
        MetricKind.MEAN_DOSE: curve.mean_gy,
        MetricKind.MAX_DOSE: curve.max_gy,
        MetricKind.MIN_DOSE: curve.min_gy,
    }
    if metric.kind not in statistics:
        raise NotInCurve(f"{metric.text} compares volumes in space, which a dose-volume curve does not hold.")
    value = statistics[metric.kind]
    if value is None:
        raise NotInCurve(f"this planning system's curve carries no {metric.text}; ask for D1% or D99%[Gy] instead.")
    return metric.value(value, prescription_gy)


def dose_gy_at(curve: Dvh, volume_percent: float) -> float:
    """The dose that the hottest ``volume_percent`` of the structure gets at least."""
    if volume_percent == 0.0 and curve.max_gy is not None:
        return curve.max_gy
    return float(np.interp(volume_percent, curve.volume_percent[::-1], curve.dose_gy[::-1]))


def volume_percent_at(curve: Dvh, dose_gy: float) -> float:
    """The share of the structure that gets at least ``dose_gy``."""
    return float(np.interp(dose_gy, curve.dose_gy, curve.volume_percent, left=100.0, right=0.0))


def _dose_gy(metric: Metric, curve: Dvh) -> float:
    volume = metric.volume or 0.0
    percent = volume if metric.volume_unit is VolumeUnit.PERCENT else 100.0 * volume / curve.volume_cc
    if percent > 100.0:
        raise NotInCurve(f"{metric.text} asks for {volume:g} cc, and the structure has {curve.volume_cc:.2f} cc.")
    return dose_gy_at(curve, percent if metric.kind is MetricKind.DOSE_AT_VOLUME else 100.0 - percent)


def _volume(metric: Metric, curve: Dvh, prescription_gy: float) -> float:
    dose = metric.dose or 0.0
    hot = volume_percent_at(curve, prescription_gy * dose / 100.0 if metric.dose_is_percent else dose)
    percent = hot if metric.kind is MetricKind.VOLUME_AT_DOSE else 100.0 - hot
    return percent if metric.volume_unit is VolumeUnit.PERCENT else percent * curve.volume_cc / 100.0
