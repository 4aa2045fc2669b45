"""Snapshots: objectives and normalisation as they stood, kept beside Eclipse, which has no undo.

The one idea: a snapshot is CONFIG_ONLY. Restoring it puts objectives and normalisation back; fluence and dose are those
of later, so the dose counts as stale until the plan is optimised or calculated again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from bridge import errors, model
from bridge.backends.esapi.chart import names
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.making import normalizing
from bridge.backends.esapi.objectives import stored as objectives
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reading import plans

MOST_SNAPSHOTS = 100


@dataclass(frozen=True)
class Kept:
    """What a snapshot brings back."""

    shown: model.Snapshot
    objectives: tuple[model.Objective, ...]
    normalization: model.Normalization
    normalization_value: float


def create(chart: Chart, plan_name: str, label: str) -> model.Snapshot:
    """Keep objectives and normalisation; the plan stays as it is."""
    with translated(f"read plan {plan_name!r}"):
        plan = chart.plan(plan_name)
        record = chart.record(plan)
        if len(record.snapshots) >= MOST_SNAPSHOTS:
            raise errors.QuotaExceeded(f"plan {plan_name!r} has {MOST_SNAPSHOTS} snapshots; no more are kept.")
        name = f"{plan_name}/snapshots/{names.next_id('snapshot', list(record.snapshots))}"
        shown = model.Snapshot(name, plan_name, label, datetime.now(UTC), plans.etag(chart, plan))
        record.snapshots[name.rpartition("/")[2]] = Kept(
            shown,
            tuple(objectives.read(chart, plan_name)),
            record.normalization,
            float(access.get(plan, "PlanNormalizationValue")),
        )
        return shown


def list_all(chart: Chart, plan_name: str) -> list[model.Snapshot]:
    """The snapshots of a plan, the oldest first."""
    return [kept.shown for kept in chart.record(chart.plan(plan_name)).snapshots.values()]


def restore(chart: Chart, snapshot_name: str) -> model.Plan:
    """Put objectives and normalisation back; the dose is stale then."""
    plan_name = names.plan_of(snapshot_name)
    with translated(f"restore snapshot {snapshot_name!r}"):
        plan = chart.plan(plan_name)
        record = chart.record(plan)
        kept = record.snapshots.get(snapshot_name.rpartition("/")[2])
        if kept is None or kept.shown.name != snapshot_name:
            raise errors.NotFound(f"there is no snapshot {snapshot_name!r}; list the plan's snapshots again.")
        objectives.restore(chart, plan_name, kept.objectives)
        normalizing.restore(chart, plan, kept.normalization, kept.normalization_value)
        record.revision += 1
        record.dose_outdated = True
        return plans.read(chart, plan_name)
