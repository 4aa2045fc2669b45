"""The figures of a prompt: goals, objectives, trends and curves as lines of tables, every number worked out here.

The one idea: no line holds more than may leave the machine. Lines are built field by field from an observation; a
template sees lines, never the observation, so what is not a field here cannot be sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.actions.naming import label, told_line, told_prose
from agent.goals import deviation
from agent.metrics import parse_metric
from agent.observation import ObjectiveState, Observation, Step
from agent.prompts.curves import volume_percent_at
from agent.proposal import Field
from agent.records import GoalResult, GoalStatus
from bridge.model import Dvh, MetricKind

MOVED = 0.005
"""A value moved when it did so by at least this share of its limit, or of itself where there is none."""
NEGLIGIBLE = 1e-3
"""A loss that moved by less than this share of all losses together did not."""
TARGET_SPAN, OTHER_SPAN = (90.0, 115.0), (10.0, 110.0)
"""Where curves are sampled, in percent of the highest prescription: targets near it, everything else from low on."""
_SPILL = (
    MetricKind.CONFORMITY_PADDICK,
    MetricKind.CONFORMITY_RTOG,
    MetricKind.GRADIENT_PADDICK,
    MetricKind.R50,
)


@dataclass(frozen=True)
class GoalLine:
    """A goal and where the plan stands."""

    structure: str
    metric: str
    comparator: str
    limit: float
    acceptable: float | None
    unit: str
    rank: int
    value: float | None
    status: str
    aim: str
    """``coverage``, ``hot spot``, ``spill`` or ``organ``: which step of a planner's routine it belongs to."""
    gap: float | None
    """Signed distance to the limit in the goal's unit: above 0 outside, below 0 room inside."""
    reference: float | None
    """The same goal in the attempt it is compared with."""
    is_scored: bool
    """Counts one point when met."""

    @property
    def text(self) -> str:
        """``Rectum V70Gy[%] <= 25``."""
        return f"{self.structure} {self.metric} {self.comparator} {self.limit:g}"

    @property
    def is_open(self) -> bool:
        return self.status in (GoalStatus.MISSED.value, GoalStatus.ACCEPTABLE.value)


@dataclass(frozen=True)
class ObjectiveLine:
    """An objective as it stands, and what the plan has where it asks."""

    name: str
    type: str
    dose_gy: float
    volume_percent: float | None
    priority: float
    loss: float | None
    """Weighted, as the planning system reports it."""
    loss_percent: float | None
    """Share of the sum over all objectives."""
    has_gy: float | None
    """The dose that the plan has where the objective asks; None before there is one."""
    gap_gy: float | None
    """Above 0: the plan is beyond the objective, which then pulls; 0 or below: the objective no longer pulls."""
    may_change: tuple[str, ...]
    tau: float
    """``dose_gy`` as a share of the highest prescription."""

    @property
    def asks(self) -> str:
        """What it asks of the dose, as the end of a sentence."""
        volume, dose = f"{self.volume_percent or 0.0:.4g} %", f"{self.dose_gy:.4g} Gy"
        part = "nothing" if self.volume_percent == 100.0 else f"nothing in its hottest {volume}"
        return {
            "lower": f"{volume} gets at least {dose}",
            "upper": f"at most {volume} gets more than {dose}" if self.volume_percent else f"nothing gets over {dose}",
            "max": f"nothing gets over {dose}",
            "min": f"nothing gets less than {dose}",
            "mean": f"the mean is at most {dose}",
            "hot": f"{part} gets over {dose}",
            "hold": f"{volume} gets exactly {dose}, always kept",
        }[self.type]


@dataclass(frozen=True)
class StructureLossLine:
    """The loss of all objectives of one structure, where the planning system tells no more than that."""

    structure: str
    loss: float
    loss_percent: float | None
    """Share of the sum over all structures."""


@dataclass(frozen=True)
class TrendLine:
    """One value over the attempts."""

    name: str
    structure: str
    metric: str
    """``loss`` for an objective's."""
    values: tuple[float | None, ...]
    """Oldest first; None where an attempt has none."""
    last_change: float | None
    word: str
    """``better``, ``worse``, ``as before``; for losses ``rises`` and ``falls``."""


@dataclass(frozen=True)
class AttemptLine:
    """One attempt as a planner remembers it."""

    number: int
    start_from: int | None
    changes: tuple[str, ...]
    rationale: str
    open_goals: tuple[str, ...]
    met: int
    of: int
    is_best: bool
    is_trial: bool
    stage: str
    lost: tuple[str, ...]
    normalization_percent: float | None


@dataclass(frozen=True)
class CurveLine:
    """A cumulative curve at evenly spaced doses."""

    structure: str
    volumes_percent: tuple[float, ...]


@dataclass(frozen=True)
class CurveTable:
    """Curves that share their doses."""

    title: str
    doses_gy: tuple[float, ...]
    curves: tuple[CurveLine, ...]


def goal_lines(step: Step, reference: Step, observation: Observation) -> tuple[GoalLine, ...]:
    """The goals of one attempt, each with the value that another attempt has."""
    values = {(goal.structure, goal.metric): goal.value for goal in reference.goals}
    return tuple(_goal_line(goal, values.get((goal.structure, goal.metric)), observation) for goal in step.goals)


def objective_lines(step: Step, observation: Observation, names: Mapping[str, str]) -> tuple[ObjectiveLine, ...]:
    """The objectives of one attempt, and what its plan has where they ask."""
    total = sum(_loss(state) or 0.0 for state in step.objectives)
    highest_gy = max(observation.prescriptions_gy.values())
    return tuple(_objective_line(state, names[state.name], total, highest_gy) for state in step.objectives)


def goal_trends(observation: Observation) -> tuple[TrendLine, ...]:
    """Every goal's value over the attempts, and whether the last one brought it nearer to its limit."""
    goals = [goal for goal in observation.last.goals if goal.value is not None]
    return tuple(_goal_trend(goal, observation) for goal in goals)


def structure_loss_lines(step: Step, observation: Observation) -> tuple[StructureLossLine, ...]:
    """The losses by structure of one attempt; empty where the planning system does not give them so."""
    total = sum(loss for _, loss in step.structure_losses)
    return tuple(
        StructureLossLine(label(observation, structure), loss, 100.0 * loss / total if total > 0.0 else None)
        for structure, loss in step.structure_losses
    )


def loss_trends(observation: Observation, names: Mapping[str, str]) -> tuple[TrendLine, ...]:
    """Weighted losses over the attempts, by objective or by structure as they are told; empty where they are not."""
    if observation.last.structure_losses:
        return tuple(
            _structure_loss_trend(structure, observation) for structure, _ in observation.last.structure_losses
        )
    total = sum(_loss(state) or 0.0 for state in observation.last.objectives)
    return tuple(
        _loss_trend(state, names[state.name], observation, total)
        for state in observation.last.objectives
        if _loss(state) is not None
    )


def attempt_lines(observation: Observation, depth: int | None, names: Mapping[str, str]) -> tuple[AttemptLine, ...]:
    """The last ``depth`` attempts, oldest first; None: all."""
    first = 0 if depth is None else max(0, len(observation.history) - depth)
    return tuple(_attempt_line(step, observation, names) for step in observation.history[first:])


def curve_tables(observation: Observation, samples: int) -> tuple[CurveTable, ...]:
    """The last attempt's curves at ``samples`` evenly spaced doses, targets apart from the rest."""
    if not samples:
        return ()
    highest_gy = max(observation.prescriptions_gy.values())
    targets = {name: curve for name, curve in observation.dvhs.items() if name in observation.targets}
    others = {name: curve for name, curve in observation.dvhs.items() if name not in observation.targets}
    tables = (
        _curve_table("Targets", targets, TARGET_SPAN, highest_gy, samples, observation),
        _curve_table("Other structures", others, OTHER_SPAN, highest_gy, samples, observation),
    )
    return tuple(table for table in tables if table.curves)


def _goal_line(goal: GoalResult, reference: float | None, observation: Observation) -> GoalLine:
    gap = None if goal.value is None else goal.value - goal.limit
    return GoalLine(
        structure=label(observation, goal.structure),
        metric=goal.metric,
        comparator=goal.comparator,
        limit=goal.limit,
        acceptable=goal.acceptable,
        unit=goal.unit,
        rank=goal.rank,
        value=goal.value,
        status=goal.status.value,
        aim=_aim(goal, observation),
        gap=-gap if gap is not None and goal.comparator == ">=" else gap,
        reference=reference,
        is_scored=goal.ramp is not None,
    )


def _aim(goal: GoalResult, observation: Observation) -> str:
    place = observation.places.get(goal.structure)
    region = place.region if place else "organ"
    if parse_metric(goal.metric).kind in _SPILL or region == "ring" or _is_body_volume(goal, observation):
        return "spill"
    if region == "target" and goal.comparator == ">=":
        return "coverage"
    return "hot spot" if region in ("target", "external") else "organ"


def _is_body_volume(goal: GoalResult, observation: Observation) -> bool:
    """A volume at a dose in tissue that has no objective of its own, as the brain around a metastasis."""
    is_volume = parse_metric(goal.metric).kind is MetricKind.VOLUME_AT_DOSE and goal.comparator == "<="
    has_own = any(state.place.organ == goal.structure for state in observation.last.objectives)
    return is_volume and not has_own


def _objective_line(state: ObjectiveState, name: str, total: float, highest_gy: float) -> ObjectiveLine:
    has_gy, loss = state.has_gy, _loss(state)
    beyond = None if has_gy is None else has_gy - state.dose_gy
    return ObjectiveLine(
        name=name,
        type=state.type,
        dose_gy=state.dose_gy,
        volume_percent=state.volume_percent,
        priority=state.priority,
        loss=loss,
        loss_percent=None if loss is None or total <= 0.0 else 100.0 * loss / total,
        has_gy=has_gy,
        gap_gy=-beyond if beyond is not None and state.type in ("lower", "min") else beyond,
        may_change=state.may_change,
        tau=state.dose_gy / highest_gy,
    )


def _loss(state: ObjectiveState) -> float | None:
    """None where the planning system gives none, and for a hard constraint, whose value is no loss."""
    return None if state.type == "hold" else state.value


def _goal_trend(goal: GoalResult, observation: Observation) -> TrendLine:
    values = observation.trend(goal)
    structure = label(observation, goal.structure)
    name = f"{structure} {goal.metric} {goal.comparator} {goal.limit:g}"
    change = _last_change(values)
    return TrendLine(name, structure, goal.metric, values, change, _goal_word(change, goal))


def _goal_word(change: float | None, goal: GoalResult) -> str:
    if change is None:
        return ""
    if abs(change) < MOVED * max(abs(goal.limit), 1.0):
        return "as before"
    is_wanted = (change < 0.0) == (goal.comparator == "<=")
    return "better" if is_wanted else "worse"


def _loss_trend(state: ObjectiveState, name: str, observation: Observation, total: float) -> TrendLine:
    values = tuple(
        next((other.value for other in step.objectives if other.name == state.name), None)
        for step in observation.history
    )
    change = _last_change(values)
    word = "" if change is None else _loss_word(change, values[-2] or 0.0, total)
    return TrendLine(name, label(observation, state.structure), "loss", values, change, word)


def _structure_loss_trend(structure: str, observation: Observation) -> TrendLine:
    values = tuple(dict(step.structure_losses).get(structure) for step in observation.history)
    change, total = _last_change(values), sum(loss for _, loss in observation.last.structure_losses)
    word = "" if change is None else _loss_word(change, values[-2] or 0.0, total)
    name = f"{label(observation, structure)}, all objectives"
    return TrendLine(name, label(observation, structure), "loss", values, change, word)


def _loss_word(change: float, before: float, total: float) -> str:
    if abs(change) <= max(MOVED * before, NEGLIGIBLE * total):
        return "as before"
    return "rises" if change > 0.0 else "falls"


def _last_change(values: Sequence[float | None]) -> float | None:
    if len(values) < 2 or values[-1] is None or values[-2] is None:
        return None
    return values[-1] - values[-2]


def _attempt_line(step: Step, observation: Observation, names: Mapping[str, str]) -> AttemptLine:
    evaluable = [goal for goal in step.goals if goal.value is not None]
    open_goals = sorted((goal for goal in evaluable if deviation(goal) > 0.0), key=lambda goal: goal.rank)
    return AttemptLine(
        number=step.number,
        start_from=step.start_from,
        changes=tuple(_changes(step, observation, names)),
        rationale=told_prose(step.rationale, observation),
        open_goals=tuple(_stands(goal, observation) for goal in open_goals),
        met=len(evaluable) - len(open_goals),
        of=len(evaluable),
        is_best=step.number == observation.best,
        is_trial=step.is_trial,
        stage=step.stage,
        lost=tuple(told_line(line, observation) for line in step.lost),
        normalization_percent=step.normalization_percent,
    )


def _changes(step: Step, observation: Observation, names: Mapping[str, str]) -> Iterator[str]:
    """``Rectum upper dose 55 → 50``: what one attempt changed, against the one it started from."""
    if not step.changes:
        return
    base = observation.step(step.start_from if step.start_from is not None else step.number - 1)
    before = {state.name: state for state in base.objectives}
    highest_gy = max(observation.prescriptions_gy.values())
    for change in step.changes:
        state = before[change.objective]
        word, unit = _written(change.field, state, highest_gy)
        now, then = getattr(state, change.field) / unit, change.value / unit
        yield f"{names[change.objective]} {word} {now:.4g} → {then:.4g}"


def _written(field: Field, state: ObjectiveState, highest_gy: float) -> tuple[str, float]:
    """What a field is called, and how much of it a written 1 means: λ, V and τ in the hot-fraction problem."""
    if state.type == "hot":
        return {"priority": ("λ", 1.0), "volume_percent": ("V", 100.0), "dose_gy": ("τ", highest_gy)}[field]
    return {"priority": "priority", "volume_percent": "volume", "dose_gy": "dose"}[field], 1.0


def _stands(goal: GoalResult, observation: Observation) -> str:
    structure = label(observation, goal.structure)
    return f"{structure} {goal.metric} {goal.value:.2f} ({goal.comparator} {goal.limit:g})"


def _curve_table(
    title: str,
    curves: Mapping[str, Dvh],
    span: tuple[float, float],
    highest_gy: float,
    samples: int,
    observation: Observation,
) -> CurveTable:
    doses_gy = tuple(float(dose) for dose in np.linspace(*span, samples) * highest_gy / 100.0)
    lines = tuple(
        CurveLine(label(observation, name), tuple(volume_percent_at(curve, dose) for dose in doses_gy))
        for name, curve in curves.items()
    )
    return CurveTable(title, doses_gy, lines)
