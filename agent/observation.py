"""What a planner is shown before it proposes: goals, objectives, trends, and what may be changed.

The one idea: everything a planner may know is here, computed by the agent. No planner holds a client, and none has to
work out a trend or remember an attempt by itself, so two planners differ only in how they decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent.knowledge import Knowledge
from agent.proposal import Change, CheckFailure, Field
from agent.records import GoalResult
from bridge import model

Region = Literal["target", "organ", "ring", "external"]
Score = tuple[float, ...]


@dataclass(frozen=True)
class Place:
    """Where a structure lies, as far as it decides which objectives act on it."""

    region: Region
    organ: str
    """The protocol's structure that it was cut or grown from; itself otherwise."""
    distance_mm: float = 0.0
    """Rings: distance of the inner edge from the targets."""


@dataclass(frozen=True)
class ObjectiveState:
    """An objective as it stands, and how far it may move."""

    name: str
    structure: str
    type: str
    """``lower upper max min mean hot hold``; ``hot``: the excess in the hottest part; ``hold``: a hard constraint."""
    dose_gy: float
    volume_percent: float | None
    priority: float
    value: float | None
    """Weighted loss after the last optimisation; None where the TPS gives none."""
    place: Place
    dose_bounds_gy: tuple[float, float]
    priority_bounds: tuple[float, float]
    may_change: tuple[Field, ...]
    volume_bounds_percent: tuple[float, float] = (0.0, 100.0)
    has_gy: float | None = None
    """Dose that the plan has where the objective asks, after normalisation; None before there is one."""


@dataclass(frozen=True)
class Step:
    """One attempt as later decisions need it."""

    number: int
    start_from: int | None
    changes: tuple[Change, ...]
    goals: tuple[GoalResult, ...]
    objectives: tuple[ObjectiveState, ...]
    score: Score
    kept: bool
    normalization_percent: float | None
    rationale: str = ""
    stage: str = ""
    lost: tuple[str, ...] = ()
    """What a refinement made worse than the plan it began with, one line each; such an attempt is never kept."""
    is_trial: bool = False
    structure_losses: tuple[tuple[str, float], ...] = ()
    """(structure, weighted loss of all its objectives), where the TPS tells no more than that."""


@dataclass(frozen=True)
class Task:
    """What is planned, in words and numbers that any planner may be told."""

    site: str
    fractions: int
    coverage: str
    """The coverage point to which every attempt is scaled: ``D95% of PTV = 79.2 Gy``."""
    beams: int
    hot_fraction: bool
    """The optimiser solves the hot-fraction problem with hard coverage, not quadratic penalties."""
    upper_points: bool = False
    """Weights and thresholds of that problem stand for upper points of quadratic penalties, over whole structures."""


@dataclass(frozen=True)
class Remark:
    """What a person said when turning a proposal down."""

    attempt: int
    """The attempt it would have become."""
    changes: tuple[str, ...]
    """What was turned down, one readable line each."""
    reason: str


@dataclass(frozen=True)
class Limits:
    """How far one proposal may go."""

    priority_factor_per_step: float
    dose_step_percent: float
    volume_step_percent: float
    integer_priorities: bool
    ratios: tuple[tuple[str, float, str], ...]
    """(objective, at most this many times, objective)."""
    falling_doses: tuple[tuple[str, ...], ...]
    """Chains of upper objectives whose doses fall from the first to the last."""


@dataclass(frozen=True)
class Observation:
    """The state of a run when a planner is asked."""

    history: tuple[Step, ...]
    """Every attempt so far, oldest first; the last is the present one."""
    best: int
    """Number of the best attempt so far."""
    limits: Limits
    places: Mapping[str, Place]
    """Structure that a goal names -> where it lies."""
    targets: tuple[str, ...]
    prescriptions_gy: Mapping[str, float]
    """Target -> plan-total dose."""
    overlap_percent: Mapping[str, float]
    """Organ -> share of it inside the targets."""
    volumes_cc: Mapping[str, float]
    dvhs: Mapping[str, model.Dvh]
    """Structure -> curve of the last attempt."""
    hints: model.PlanningHints | None
    attempts_left: int
    task: Task
    stage: str = ""
    """Id of the protocol's stage; empty in the first."""
    baseline: int | None = None
    """Later stages: the attempt whose coverage and organs no attempt may be worse than."""
    new_goals: tuple[str, ...] = ()
    """Later stages: what is asked for that the stage before did not ask for, ``zShell V18Gy[%] <= 2.5``."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Structure, as the observation names it -> what may leave the machine: the protocol's name, not the patient's."""
    knowledge: Knowledge | None = None
    """Where good parameters have been found to lie, if the protocol names such a table."""
    fixed_set: tuple[Change, ...] = ()
    """The protocol's fixed parameter set, which one solve suffices to try."""
    remarks: tuple[Remark, ...] = ()
    """What a reviewing person turned down so far, oldest first."""
    rejected: tuple[CheckFailure, ...] = ()
    """Why the proposal just made was not applied; empty at the first asking."""

    @property
    def last(self) -> Step:
        return self.history[-1]

    @property
    def best_step(self) -> Step:
        return self.step(self.best)

    def step(self, number: int) -> Step:
        return next(step for step in self.history if step.number == number)

    @property
    def shown(self) -> Step:
        """The attempt whose objectives a planner is shown and changes: the last, in refinement always the best."""
        return self.last if self.baseline is None else self.best_step

    def trend(self, goal: GoalResult) -> tuple[float | None, ...]:
        """The goal's value over the attempts, oldest first."""
        key = (goal.structure, goal.metric, goal.comparator, goal.limit)
        return tuple(
            next((g.value for g in step.goals if (g.structure, g.metric, g.comparator, g.limit) == key), None)
            for step in self.history
        )
