"""Taking back what was made in Eclipse and not committed, where only a person could undo it.

The one idea: plans are found by their UID, whatever they are called by now and in whichever course they lie. A refusal
stops nothing: the rest is taken back all the same, and what stays is told, so that a person can look after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from bridge import errors
from bridge.backends.esapi.chart.chart import Chart, set_up
from bridge.backends.esapi.making import copies, courses, helpers
from bridge.backends.esapi.objectives import functions as objective_functions
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reading import plans
from bridge.model import PlanState

log = structlog.get_logger(__name__)


def take_back(chart: Chart) -> Mapping[str, str] | None:
    """Delete what was made since the last commit; what a person deleted is gone already.

    Returns
    -------
    Mapping or None
        What stays: the resource name under which it was made -> the one that it has now. None: the patient was closed,
        and nobody can tell.
    """
    try:
        stays = {**_plans(chart), **_structures(chart)}
        _try("the course", lambda: _course(chart))
    except errors.TpsUnavailable as gone:
        log.warning("the patient was closed in Eclipse before the bridge's work was taken back", reason=gone.message)
        return None
    return stays


def _plans(chart: Chart) -> dict[str, str]:
    with translated("look for the plans that were made"):
        there = {chart.key(plan): plan for plan in chart.everywhere()}
    stays: dict[str, str] = {}
    for uid in chart.records.uncommitted_plans():
        plan, made_as = there.get(uid), chart.records.plan(uid).name
        if plan is None:
            continue
        with translated("name a plan that was made"):
            now = chart.plan_name(plan)
        if not _try(now, lambda plan=plan: copies.remove(chart, plan)):  # type: ignore[misc]
            stays[made_as] = now
            _try(now, lambda plan=plan: _let_helpers_go(chart, plan))  # type: ignore[misc]
    return stays


def _let_helpers_go(chart: Chart, plan: Any) -> None:
    """Take objectives on helpers that go out of a plan of ours that stays, unless somebody signed it."""
    if plans.state(plan) is not PlanState.EDITABLE:
        return
    doomed = chart.records.uncommitted_structures()
    for objective in set_up(plan, "Objectives"):
        if chart.structure_name_of_id(access.get(objective, "StructureId")) in doomed:
            objective_functions.remove(access.get(plan, "OptimizationSetup"), objective)


def _structures(chart: Chart) -> dict[str, str]:
    return {
        name: name
        for name in sorted(chart.records.uncommitted_structures())
        if not _try(name, lambda name=name: helpers.delete(chart, name))  # type: ignore[misc]
    }


def _course(chart: Chart) -> None:
    for course in access.items(chart.patient, "Courses"):
        if access.get(course, "Id") == chart.site.course:
            courses.remove_if_left_empty(chart, course)


def _try(what: str, delete: Callable[[], None]) -> bool:
    """Whether it is gone; a refusal is logged."""
    try:
        with translated("take back what was made"):
            delete()
    except errors.NotFound:
        log.info("what was made is not there any more under its name", resource=what)
    except errors.TpsUnavailable:
        raise
    except errors.BridgeError as refusal:
        log.warning("what was made cannot be taken back and stays in Eclipse", resource=what, reason=refusal.message)
        return False
    return True
