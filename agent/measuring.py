"""Measures a plan through the contract: normalisation, goals, reported metrics, curves.

The one idea: what is asked was settled when the plan was prepared, so measuring an attempt and measuring it again after
a restore are the same few calls.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent import goals as goal_rules
from agent.calls import Calls
from agent.preparation import Prepared
from agent.records import GoalResult, ReportedMetric
from bridge import model
from bridge.client import Session


class RunError(Exception):
    """The run cannot go on; the message says what happened and what to do."""


class Measuring:
    """The measurements of one prepared plan."""

    def __init__(self, call: Calls, session: Session, prepared: Prepared) -> None:
        self._call = call
        self._session = session
        self._prepared = prepared
        self._plan = prepared.plan.name

    def normalise(self) -> float:
        """Scale so that the coverage point that needs most dose is met exactly; percent of the optimiser's dose."""
        points = self._prepared.normalisations
        answers = self._call(self._session.evaluate, self._plan, [_coverage(point) for point in points])
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

    def goals(self) -> tuple[tuple[GoalResult, ...], tuple[ReportedMetric, ...]]:
        """Every goal and reported metric, in one call."""
        bound = [goal.metric for goal in self._prepared.goals] + list(self._prepared.reported)
        queries = [metric.query for metric in bound]
        asked = [query for query in queries if query is not None]
        results = iter(self._call(self._session.evaluate, self._plan, asked))
        answers = [None if query is None else next(results) for query in queries]
        count = len(self._prepared.goals)
        return (
            goal_rules.evaluate(self._prepared.goals, answers[:count]),
            goal_rules.report(self._prepared.reported, answers[count:]),
        )

    def dvhs(self) -> Mapping[str, model.Dvh]:
        """Curves of the targets, the External, and every structure with a goal."""
        resources = self._prepared.resources
        return {
            shown: self._call(self._session.dvh, self._plan, resources[shown]) for shown in self._prepared.with_curves
        }


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


def _coverage(point: model.CoverageNormalization) -> model.MetricQuery:
    return model.MetricQuery(
        model.MetricKind.DOSE_AT_VOLUME,
        point.structure,
        volume=point.volume_percent,
        volume_unit=model.VolumeUnit.PERCENT,
    )
