"""The bridge's own course: every plan that it makes lies there, under an id that fits, and marked as made by an agent.

The one idea: a plan is whole or it is not there. What fails after Eclipse made the plan, or the course for it, takes
both away again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bridge import errors, model
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.undoing import undone_on_failure


def require_fitting(label: str, longest: int, what: str, field: str = "label") -> None:
    """Refuse an id that is empty or longer than Eclipse stores: cutting it would make two ids one."""
    if not label.strip():
        raise errors.InvalidField(
            f"{field}: {what} needs an id.", violations=(errors.FieldViolation(field, "must not be empty"),)
        )
    if len(label) > longest:
        rule = f"at most {longest} characters are allowed for {what}"
        raise errors.LimitExceeded(
            f"{field} {label!r} has {len(label)} characters: {rule} in this Eclipse. Choose a shorter one.",
            metadata={"field": field, "limit": str(longest)},
            violations=(errors.FieldViolation(field, rule),),
        )


@contextmanager
def own_course(chart: Chart) -> Iterator[Any]:
    """The bridge's course, made when it is absent; one that was made goes again if the block fails."""
    for course in access.items(chart.patient, "Courses"):
        if access.get(course, "Id") == chart.site.course:
            yield course
            return
    made = chart.patient.AddCourse()
    with undone_on_failure("the course that was made", lambda: chart.patient.RemoveCourse(made)):
        _name_course(made, chart.site.course)
        yield made
    chart.records.made_course = True


def remove_if_left_empty(chart: Chart, course: Any) -> None:
    """Take the bridge's course away with its last plan, if it was made since the last commit."""
    if chart.records.made_course and not _plans_in(course):
        chart.patient.RemoveCourse(course)
        chart.records.made_course = False


@contextmanager
def all_or_nothing(chart: Chart, course: Any, plan: Any) -> Iterator[None]:
    """Take a plan that was just made away again if the block fails."""

    def undo() -> None:
        chart.records.forget(chart.key(plan))
        course.RemovePlanSetup(plan)

    with undone_on_failure("the half-made plan", undo):
        yield


def name_plan(chart: Chart, course: Any, plan: Any, label: str, provenance: model.Provenance) -> str:
    """Give a plan that was just made its id and its mark, and keep where it comes from; its resource name.

    The id is the label, with a tail ~2, ~3 ... where the course has that id already.
    """
    wanted = _free_id(label, _other_ids(course, plan), chart.site.max_plan_id_length)
    access.put(plan, "Id", wanted)
    stored = str(access.get(plan, "Id"))
    if stored != wanted:
        raise errors.LimitExceeded(
            f"Eclipse stored the plan id {wanted!r} as {stored!r}: max_plan_id_length = "
            f"{chart.site.max_plan_id_length} in section [site] is more than it keeps. Choose a shorter label.",
            metadata={"field": "label", "limit": str(len(stored))},
        )
    if not access.get(plan, "UID"):
        raise errors.TpsRefused(
            f"Eclipse gives plan {wanted!r}, which it just made, no UID, by which alone it could be told from a plan "
            "of somebody else's; so it is not made."
        )
    _mark(plan, label, provenance)
    record = chart.record(plan)
    record.name, record.provenance, record.committed = chart.plan_name(plan), provenance, False
    return record.name


def _mark(plan: Any, label: str, provenance: model.Provenance) -> None:
    """Say in the plan itself that an agent made it, where this version of ESAPI lets that be written."""
    origin = "" if provenance.source_plan is None else " as a copy"
    note = (
        f"Made by an agent through beamwright {provenance.bridge_version}{origin} on "
        f"{provenance.created:%Y-%m-%d %H:%M} UTC. Not for clinical use without review."
    )
    for member, text in (("Comment", note), ("Name", f"agent: {label}")):
        if access.settable(plan, member):
            access.put(plan, member, text)


def _name_course(course: Any, wanted: str) -> None:
    access.put(course, "Id", wanted)
    stored = str(access.get(course, "Id"))
    if stored != wanted:
        raise errors.TpsRefused(
            f"Eclipse stored the course id {wanted!r} as {stored!r}; make course in section [site] shorter."
        )


def _other_ids(course: Any, plan: Any) -> set[str]:
    """Ids in the course that are taken, without regard to case."""
    return {str(access.get(other, "Id")).casefold() for other in _plans_in(course) if other != plan}


def _plans_in(course: Any) -> list[Any]:
    return [*access.items(course, "PlanSetups"), *access.items(course, "PlanSums")]


def _free_id(label: str, taken: set[str], longest: int) -> str:
    candidate, number = label, 1
    while candidate.casefold() in taken:
        number += 1
        tail = f"~{number}"
        candidate = label[: longest - len(tail)] + tail
    return candidate
