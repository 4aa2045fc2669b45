"""Measures a plan through the contract: normalisation, goals, reported metrics, curves, what sequencing did.

The one idea: what is asked was settled when the plan was prepared, so measuring an attempt and measuring it again after
a restore are the same few calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent import goals as goal_rules
from agent.calls import Calls
from agent.goals import BoundGoal
from agent.observation import ObjectiveState
from agent.preparation import Prepared
from agent.records import DoseChange, GoalResult, ReportedMetric
from bridge import model
from bridge.client import Session


class RunError(Exception):
    """The run cannot go on; the message says what happened and what to do."""


@dataclass(frozen=True)
class Measured:
    """What one dose came to."""

    goals: tuple[GoalResult, ...]
    reported: tuple[ReportedMetric, ...]
    objectives_gy: Mapping[str, float | None]
    """Objective -> the dose at the point where it asks."""


class Measuring:
    """The measurements of one prepared plan."""

    def __init__(self, call: Calls, session: Session, prepared: Prepared) -> None:
        self._call = call
        self._session = session
        self._prepared = prepared
        self._plan = prepared.plan.name

    def normalise(self) -> float:
        """Scale so that the coverage point that needs most dose is met exactly; percent of the dose as calculated."""
        points = self._prepared.normalisations
        queries = [_dose_at(point.structure, point.volume_percent) for point in points]
        answers = self._call(self._session.evaluate, self._plan, queries)
        factors = []
        for point, answer in zip(points, answers, strict=True):
            if answer.value is None or answer.value <= 0.0:
                raise RunError(
                    f"{self._plan!r} cannot be normalised: D{point.volume_percent:g}% of {point.structure!r} is "
                    f"{answer.value} ({answer.status.name}). Does any beam reach it, and has it an objective?"
                )
            factors.append(point.dose_gy / answer.value)
        decisive = max(range(len(points)), key=lambda index: factors[index])
        self._call(self._session.set_normalization, self._plan, points[decisive])
        return 100.0 * factors[decisive]

    def key_doses(self, dose: model.DoseInfo) -> Mapping[str, float]:
        """D95 of every target and the hottest point: the few numbers by which two doses of one fluence are compared."""
        resources, targets = self._prepared.resources, self._prepared.prescriptions_gy
        queries = [_dose_at(resources[target], 95.0) for target in targets]
        answers = self._call(self._session.evaluate, self._plan, queries)
        found = {f"{target} D95%": answer.value for target, answer in zip(targets, answers, strict=True)}
        return {what: gy for what, gy in {**found, "hottest point": dose.max_gy}.items() if gy is not None}

    def measure(self, goals: Sequence[BoundGoal], objectives: Sequence[ObjectiveState] = ()) -> Measured:
        """Every goal, every reported metric, and the dose at the point of every objective, in one call."""
        bound = [goal.metric for goal in goals] + list(self._prepared.reported)
        points = [_point(state, self._prepared.resources[state.structure]) for state in objectives]
        queries = [*(metric.query for metric in bound), *points]
        asked = [query for query in queries if query is not None]
        results = iter(self._call(self._session.evaluate, self._plan, asked))
        answers = [None if query is None else next(results) for query in queries]
        of_goals, of_metrics, of_points = answers[: len(goals)], answers[len(goals) : len(bound)], answers[len(bound) :]
        doses_gy = {
            state.name: None if answer is None else answer.value
            for state, answer in zip(objectives, of_points, strict=True)
        }
        return Measured(
            goal_rules.evaluate(goals, of_goals), goal_rules.report(self._prepared.reported, of_metrics), doses_gy
        )

    def dvhs(self) -> Mapping[str, model.Dvh]:
        """Curves of the targets, the External, and every structure with a goal."""
        resources = self._prepared.resources
        return {
            shown: self._call(self._session.dvh, self._plan, resources[shown]) for shown in self._prepared.with_curves
        }


def dose_changes(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[DoseChange, ...]:
    """What became of each of the key doses; one that was 0 or is not known any more is left out."""
    return tuple(DoseChange(what, gy, after[what]) for what, gy in before.items() if gy > 0.0 and what in after)


def largest_difference_percent(recorded: tuple[GoalResult, ...], measured: tuple[GoalResult, ...]) -> float:
    """Largest difference of a goal's value, in percent of the recorded one (of 1 where that is smaller)."""
    largest = 0.0
    for before, after in zip(recorded, measured, strict=True):
        if before.value is None and after.value is None:
            continue
        if before.value is None or after.value is None:
            return float("inf")
        largest = max(largest, 100.0 * abs(after.value - before.value) / max(abs(before.value), 1.0))
    return largest


def _point(state: ObjectiveState, structure: str) -> model.MetricQuery:
    """Where an objective asks; for the excess in a hottest part, the hottest dose."""
    if state.type == "mean":
        return model.MetricQuery(model.MetricKind.MEAN_DOSE, structure)
    if state.type == "min":
        return model.MetricQuery(model.MetricKind.MIN_DOSE, structure)
    if state.type in ("max", "hot") or not state.volume_percent:
        return model.MetricQuery(model.MetricKind.MAX_DOSE, structure)
    return _dose_at(structure, state.volume_percent)


def _dose_at(structure: str, volume_percent: float) -> model.MetricQuery:
    return model.MetricQuery(
        model.MetricKind.DOSE_AT_VOLUME, structure, volume=volume_percent, volume_unit=model.VolumeUnit.PERCENT
    )
