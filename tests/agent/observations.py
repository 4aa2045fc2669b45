"""A small furnished observation for tests of checks, planners and conflicts: one target, one organ, two rings."""

from __future__ import annotations

from dataclasses import replace

from agent.goals import BoundGoal, BoundMetric, evaluate, score
from agent.metrics import parse_goal
from agent.observation import Limits, ObjectiveState, Observation, Place, Step, Task
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
TASK = Task("phantom", 25, "D95% of PTV = 50 Gy", beams=7, hot_fraction=False)
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
        task=TASK,
        labels={structure: structure for structure in PLACES},
    )


HOT_PLACES = {name: Place("target" if name == "PTV" else "organ", name) for name in ("PTV", "Bladder", "Rectum")}
HOT_LIMITS = Limits(
    priority_factor_per_step=10.0,
    dose_step_percent=50.0,
    volume_step_percent=50.0,
    integer_priorities=False,
    ratios=(),
    falling_doses=(),
)


def hot(structure: str, lambda_: float, share: float, tau: float) -> ObjectiveState:
    """An objective of the hot-fraction problem at 79.2 Gy."""
    return ObjectiveState(
        name=f"{structure} hot",
        structure=structure,
        type="hot",
        dose_gy=79.2 * tau,
        volume_percent=100.0 * share,
        priority=lambda_,
        value=0.5,
        place=HOT_PLACES[structure],
        dose_bounds_gy=(79.2, 79.2 * 1.2) if structure == "PTV" else (79.2 * 0.1, 79.2),
        priority_bounds=(0.0, 1000.0),
        may_change=("priority", "dose_gy", "volume_percent"),
    )


HOLD = replace(hot("PTV", 0.0, 0.95, 1.0), name="PTV hold", type="hold", may_change=())
HOT_OBJECTIVES = (HOLD, hot("PTV", 1.0, 0.1, 1.0), hot("Bladder", 1.0, 1.0, 1.0), hot("Rectum", 0.6, 1.0, 0.6))


def hot_observation() -> Observation:
    """The nominal start of the hot-fraction problem, with the rectum a little tightened."""
    first = step(1, goal("Rectum", "V60Gy[%] <= 50", 55.0), objectives=HOT_OBJECTIVES)
    return replace(
        observation(first),
        limits=HOT_LIMITS,
        places=HOT_PLACES,
        prescriptions_gy={"PTV": 79.2},
        labels={structure: structure for structure in HOT_PLACES},
        task=replace(TASK, coverage="D95% of PTV = 79.2 Gy", hot_fraction=True),
    )
