"""What tests of the adapter do again and again: a working copy, objectives, an optimisation, a dose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bridge import model
from bridge.client import Client, Session
from tests.eclipse.emulated import PLAN

LOWER, UPPER = model.Bound.LOWER, model.Bound.UPPER


@contextmanager
def writing(client: Client, patient: str) -> Iterator[Session]:
    """A session that may change copies of its own."""
    with client.session(patient, model.SessionMode.READ_WRITE) as session:
        yield session


def plan_named(client: Client | Session, patient: str, label: str = PLAN) -> model.Plan:
    """The plan of that label."""
    plans = {plan.label: plan for plan in client.plans(patient)}
    assert label in plans, f"no plan {label!r} among {sorted(plans)}"
    return plans[label]


def by_label(client: Client | Session, patient: str) -> dict[str, model.Structure]:
    return {structure.label: structure for structure in client.structures(patient)}


def copied(session: Session, patient: str, label: str = "copy") -> model.Plan:
    """A working copy of the ordinary plan."""
    return session.copy_plan(plan_named(session, patient).name, label)


def usual(structures: dict[str, model.Structure]) -> list[model.ObjectiveSpec]:
    """Objectives that give the TG-119 phantom a plan worth the name."""
    target, core, body = (structures[label].name for label in ("OuterTarget", "Core", "BODY"))
    return [
        model.ObjectiveSpec(target, model.DoseVolumePoint(LOWER, 50.5, 99.0), 300.0),
        model.ObjectiveSpec(core, model.DoseVolumePoint(UPPER, 20.0, 10.0), 50.0),
        model.ObjectiveSpec(body, model.MaxDose(54.0), 900.0),
    ]


def dosed(session: Session, patient: str, label: str = "copy") -> model.Plan:
    """A working copy, optimised and with its final dose."""
    plan = copied(session, patient, label)
    session.replace_objectives(plan.name, usual(by_label(session, patient)))
    session.optimize(plan.name, model.OptimizeSpec())
    session.calculate_dose(plan.name)
    return session.plan(plan.name)


def dose_at(structure: model.Structure, volume_percent: float) -> model.MetricQuery:
    return model.MetricQuery(
        model.MetricKind.DOSE_AT_VOLUME, structure.name, volume=volume_percent, volume_unit=model.VolumeUnit.PERCENT
    )


def value(session: Client | Session, plan: str, query: model.MetricQuery) -> float:
    """The answer to one question about the dose."""
    (answer,) = session.evaluate(plan, [query])
    assert answer.value is not None, answer
    return answer.value
