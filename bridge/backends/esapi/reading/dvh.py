"""A structure's dose-volume histogram, as Eclipse has it.

The one idea: Eclipse answers nothing at all where there is no dose or no structure, as null or as an exception, so both
are looked for before it is asked, and what comes back empty all the same is said for what it is. Doses are asked for
absolute and volumes in percent; each point's own unit is believed, none is assumed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge import errors, model
from bridge.backends.esapi.chart import doses
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reading import dose_info


def read(chart: Chart, plan_name: str, structure_name: str, bin_gy: float) -> model.Dvh:
    """The cumulative DVH of a structure in a plan, in bins of ``bin_gy``."""
    if not math.isfinite(bin_gy) or bin_gy <= 0.0:
        raise errors.InvalidField(f"DVH of {structure_name!r}: bin of {bin_gy:g} Gy, expected more than 0.")
    plan, structure = chart.plan(plan_name), chart.structure(structure_name)
    with translated(f"give the DVH of {structure_name!r}"):
        dose_info.require(plan, plan_name)
        if is_empty(structure):
            raise errors.TpsRefused(f"structure {structure_name!r} is empty: it has no DVH; choose another.")
        found = data(chart, plan, structure, bin_gy)
        if found is None:
            raise errors.NoDose(
                f"Eclipse has no DVH of {structure_name!r} in plan {plan_name!r}: no dose of the plan lies in the "
                "structure. Calculate dose, on a grid that holds it."
            )
        dose_gy, volume_percent = _curve(found, bin_gy, structure_name)
        return model.Dvh(
            structure=structure_name,
            dose=dose_info.read(chart, plan),
            volume_cc=float(access.get(structure, "Volume")),
            dose_gy=dose_gy,
            volume_percent=volume_percent,
            min_gy=doses.gy(access.get(found, "MinDose")),
            max_gy=doses.gy(access.get(found, "MaxDose")),
            mean_gy=doses.gy(access.get(found, "MeanDose")),
            median_gy=doses.gy(access.get(found, "MedianDose")),
            coverage_percent=coverage_percent(found, structure_name),
        )


def is_empty(structure: Any) -> bool:
    return bool(access.get(structure, "IsEmpty")) or not access.get(structure, "HasSegment")


def data(chart: Chart, plan: Any, structure: Any, bin_gy: float) -> Any:
    """ESAPI's DVHData in absolute dose and percent of volume, or null."""
    return plan.GetDVHCumulativeData(
        structure,
        access.enum("DoseValuePresentation", "Absolute"),
        access.enum("VolumePresentation", "Relative"),
        doses.from_gy(bin_gy, chart.unit),
    )


def coverage_percent(found: Any, structure_name: str) -> float:
    """Percent of the structure inside the dose grid, which ESAPI gives as a ratio."""
    ratio = float(access.get(found, "Coverage"))
    if not 0.0 <= ratio <= 1.0 + 1e-6:
        raise errors.TpsRefused(
            f"Eclipse says that {ratio:g} of structure {structure_name!r} is inside the dose grid, expected a ratio "
            "from 0 to 1; the DVH is not used."
        )
    return 100.0 * min(ratio, 1.0)


def _curve(found: Any, bin_gy: float, structure_name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Doses and percents up to the first dose that nothing gets."""
    points = list(access.get(found, "CurveData"))
    if not points:
        raise errors.TpsRefused(f"Eclipse's DVH of {structure_name!r} has no points; calculate the dose again.")
    unit = str(points[0].VolumeUnit)
    if unit != "%":
        raise errors.TpsRefused(f"Eclipse's DVH of {structure_name!r} counts volume in {unit!r}, expected percent.")
    dose_gy = _doses_gy(points)
    volume_percent = np.array([float(point.Volume) for point in points])
    reached = int(np.count_nonzero(volume_percent > 0.0))
    if reached == len(points):
        return np.append(dose_gy, dose_gy[-1] + bin_gy), np.append(volume_percent, 0.0)
    return dose_gy[: reached + 1], volume_percent[: reached + 1]


def _doses_gy(points: list[Any]) -> NDArray[np.float64]:
    """The points' doses; they share the unit of the first."""
    unit = doses.unit_of(points[0].DoseValue)
    if doses.gy(points[0].DoseValue) is None:
        raise errors.TpsRefused("Eclipse's DVH has points without a dose; calculate the dose again.")
    return np.array([doses.in_gy(float(point.DoseValue.Dose), unit) for point in points])
