"""A small furnished observation for tests of checks, planners and conflicts: one target, one organ, two rings."""

from __future__ import annotations

from dataclasses import replace

from agent.goals import BoundGoal, BoundMetric, evaluate, score
from agent.metrics import parse_goal
from agent.observation import Limits, ObjectiveState, Observation, Place, Step
from agent.proposal import Change
from agent.records import GoalResult
from bridge import model

PLACES = {
    "PTV": Place("target", "PTV"),
    "Core": Place("organ", "Core"),
    "Brain": Place("organ", "Brain"),
    "zInner": Place("ring", "zInner", 1.0),
    "zOuter": Place("ring", "zOuter", 10.0),
    "External": Place("external", "External"),
}
LIMITS = Limits(
    priority_factor_per_step=3.0,
    dose_step_percent=20.0,
    volume_step_percent=5.0,
    integer_priorities=False,
    ratios=(("PTV upper", 0.5, "PTV lower"),),
    falling_doses=(("zInner upper", "zOuter upper"),),
)


def objective(structure: str, type_: str, dose_gy: float, priority: float, value: float = 1.0) -> ObjectiveState:
    return ObjectiveState(
        name=f"{structure} {type_}",
        structure=structure,
        type=type_,
        dose_gy=dose_gy,
        volume_percent=99.0 if type_ == "lower" else 0.0,
        priority=priority,
        value=value,
        place=PLACES[structure],
        dose_bounds_gy=(dose_gy * 0.3, dose_gy * 1.15),
        priority_bounds=(0.0, 1000.0),
        may_change=("priority", "dose_gy"),
    )


OBJECTIVES = (
    objective("PTV", "lower", 50.5, 300.0),
    objective("PTV", "upper", 53.0, 100.0),
    objective("Core", "upper", 18.0, 50.0),
    objective("zInner", "upper", 45.0, 40.0),
    objective("zOuter", "upper", 30.0, 40.0),
    objective("External", "upper", 54.0, 900.0),
)


def goal(structure: str, text: str, value: float, *, rank: int = 1, acceptable: float | None = None) -> GoalResult:
    parsed = parse_goal(text)
    bound = BoundGoal(BoundMetric(structure, parsed.metric, 50.0, structure), parsed, rank, acceptable, "test")
    query = bound.metric.query
    assert query is not None
    answer = model.MetricResult(query, model.MetricStatus.OK, model.MetricUnit.GY, value)
    return evaluate([bound], [answer])[0]


def step(
    number: int,
    *goals: GoalResult,
    objectives: tuple[ObjectiveState, ...] = OBJECTIVES,
    changes: tuple[Change, ...] = (),
    normalization_percent: float = 100.5,
) -> Step:
    return Step(
        number, None, changes, goals, objectives, score(goals), kept=False, normalization_percent=normalization_percent
    )


def observation(*steps: Step, volumes_cc: dict[str, float] | None = None, overlap: float = 0.0) -> Observation:
    best = min(steps, key=lambda s: s.score)
    return Observation(
        history=tuple(replace(s, kept=s is best) for s in steps),
        best=best.number,
        limits=LIMITS,
        places=PLACES,
        targets=("PTV",),
        prescriptions_gy={"PTV": 50.0},
        overlap_percent={"Core": overlap},
        volumes_cc=volumes_cc or {"PTV": 100.0, "Core": 30.0, "Brain": 1200.0},
        dvhs={},
        hints=None,
        attempts_left=5,
    )
