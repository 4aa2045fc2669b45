"""What a plan's dose is: kind, whether it still belongs to the plan, where it lies and how high it goes.

The one idea: Eclipse does not say what a dose was computed from, but the beams tell. A dose that could be delivered has
beams that know their monitor units, and a beam whose fluence was optimised has been given leaf motions, which are
control points beyond the first and last. So a kind is read from the plan itself every time; what this process remembers
of its own calculations can only make a dose less than it looks, never more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from bridge import errors, model
from bridge.backends.esapi.chart import doses
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access, faults
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reading import grids
from bridge.backends.esapi.reading.fluences import fluence_of
from bridge.model import DoseKind

log = structlog.get_logger(__name__)

InGy = Callable[[Any], float | None]
"""Gy of a DoseValue of the plan; None for an undefined one."""

_PRESENTATION, _ABSOLUTE = "DoseValuePresentation", "Absolute"
_OPEN_CONTROL_POINTS = 2
"""A static beam without leaf motions has its first control point and its last."""


def read(chart: Chart, plan: Any) -> model.DoseInfo:
    """What the dose of an ESAPI plan is; a plan without one has the kind NONE."""
    with translated("describe a plan's dose"):
        dose = access.get(plan, "Dose")
        if dose is None:
            return model.DoseInfo(DoseKind.NONE)
        record = chart.record(plan)
        kind = DoseKind.INTERMEDIATE if record.dose_kind is DoseKind.INTERMEDIATE else _kind(plan)
        is_outdated = kind is DoseKind.FINAL and not access.get(plan, "IsDoseValid")
        stale = record.dose_outdated or is_outdated
        max_gy, max_position_mm = _hottest(plan)
        return model.DoseInfo(
            kind=kind,
            stale=stale,
            deliverable=kind is DoseKind.FINAL and not stale,
            algorithm=str(access.get(plan, "PhotonCalculationModel") or ""),
            grid=_grid(dose, max_position_mm),
            plan_etag=record.dose_etag,
            max_gy=max_gy,
            max_position_mm=max_position_mm,
        )


@contextmanager
def absolute(plan: Any) -> Iterator[InGy]:
    """Read the plan's doses in Gy inside the block, with the function that it gives.

    Eclipse is asked to show the plan's doses as absolute meanwhile. Where it does not let that be set (a plan that is
    approved, a patient that is only read), what it shows in percent is taken of the plan's total dose. Ask for the
    plan's ``Dose`` inside the block: one from before may go on speaking as it did.
    """
    before = access.get(plan, _PRESENTATION)
    is_changed = access.enum_name(before) != _ABSOLUTE and _is_put(plan, access.enum(_PRESENTATION, _ABSOLUTE))
    try:
        yield lambda shown: _in_gy(plan, shown)
    finally:
        if is_changed and not _is_put(plan, before):
            log.warning("Eclipse goes on showing a plan's doses as absolute, and showed them in percent before")


def require(plan: Any, plan_name: str) -> Any:
    """The plan's dose, or `NoDose`."""
    dose = access.get(plan, "Dose")
    if dose is None:
        raise errors.NoDose(f"plan {plan_name!r} has no dose; optimise it and calculate dose first.")
    return dose


def _is_put(plan: Any, presentation: Any) -> bool:
    """Whether Eclipse lets it be set how a plan's doses are shown."""
    try:
        access.put(plan, _PRESENTATION, presentation)
    except access.net_errors() as error:
        if faults.is_gone(error):
            raise
        return False
    return True


def _in_gy(plan: Any, shown: Any) -> float | None:
    if shown is None or doses.unit_of(shown) != "Percent":
        return doses.gy(shown)
    percent, total_gy = float(access.get(shown, "Dose")), doses.gy(access.get(plan, "TotalDose"))
    if total_gy is None:
        raise errors.TpsRefused(
            "Eclipse shows a plan's doses in percent, does not let that be changed, and the plan has no total dose "
            "that they would be percent of. Prescribe a dose, or show doses as absolute, in Eclipse."
        )
    return None if math.isnan(percent) else percent / 100.0 * total_gy


def _kind(plan: Any) -> DoseKind:
    beams = [beam for beam in access.items(plan, "Beams") if not access.get(beam, "IsSetupField")]
    if not beams:
        return DoseKind.IMPORTED
    return DoseKind.FINAL if all(_is_deliverable(beam) for beam in beams) else DoseKind.INTERMEDIATE


def _is_deliverable(beam: Any) -> bool:
    """Whether a beam knows its monitor units, and its leaf motions if it was optimised."""
    if not _has_meterset(beam):
        return False
    return _control_points(beam) > _OPEN_CONTROL_POINTS or fluence_of(beam) is None


def _has_meterset(beam: Any) -> bool:
    meterset = access.get(beam, "Meterset")
    if meterset is None or access.enum_name(access.get(meterset, "Unit")) != "MU":
        return False
    mu = float(access.get(meterset, "Value"))
    return math.isfinite(mu) and mu > 0.0


def _control_points(beam: Any) -> int:
    return int(access.get(access.get(beam, "ControlPoints"), "Count"))


def _hottest(plan: Any) -> tuple[float | None, model.Vector | None]:
    with absolute(plan) as in_gy:
        dose = access.get(plan, "Dose")
        max_gy = in_gy(access.get(dose, "DoseMax3D"))
    position_mm = access.xyz(access.get(dose, "DoseMax3DLocation"))
    return max_gy, position_mm if all(math.isfinite(each) for each in position_mm) else None


def _grid(dose: Any, max_position_mm: model.Vector | None) -> model.Grid | None:
    """The dose's grid; None where it is oblique, or where Eclipse does not show what it means by its origin."""
    if max_position_mm is None:
        return None
    try:
        voxels = grids.lattice(dose, "the dose")
        return voxels.grid(grids.origin_from(voxels.place_of(max_position_mm), "the dose"))
    except (errors.TpsRefused, errors.CapabilityMissing):
        return None
