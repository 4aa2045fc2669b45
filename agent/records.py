"""What a run leaves behind: goals with their results, attempts, and the whole run.

The loop fills these, the report reads them, and `result.json` is them written down. Doses are Gy (plan total).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.proposal import Decision, Ending
from bridge import INTENDED_USE, model


class GoalStatus(StrEnum):
    MET = "met"
    ACCEPTABLE = "acceptable"
    """Outside the goal, inside its acceptable variation."""
    MISSED = "missed"
    NOT_EVALUABLE = "not_evaluable"
    """Structure absent or empty, or no dose; never counted as met."""


@dataclass(frozen=True)
class GoalResult:
    """One goal of the protocol against one dose."""

    structure: str
    metric: str
    """TG-263 style, e.g. ``D95%[Gy]``."""
    comparator: str
    """``<=`` or ``>=``."""
    limit: float
    unit: str
    rank: int
    """1 must, 2 should, 3 wish."""
    status: GoalStatus
    value: float | None = None
    acceptable: float | None = None
    note: str = ""
    """Why it could not be evaluated, or what to know about the value (overlap, cut by the scan)."""
    source: str = ""
    """Where the limit comes from."""
    ramp: tuple[float, float] | None = None
    """Scored goals: a full point at the first value, none at the second, linear between."""


@dataclass(frozen=True)
class ReportedMetric:
    """A metric that the protocol asks to be written down, without a limit."""

    structure: str
    metric: str
    value: float | None
    unit: str


@dataclass(frozen=True)
class DoseChange:
    """A number of the optimiser's dose and of the final one, both before normalisation."""

    what: str
    """``PTV D95%``, or ``hottest point``."""
    before_gy: float
    after_gy: float

    @property
    def percent(self) -> float:
        """How much larger it is after sequencing."""
        return 100.0 * (self.after_gy / self.before_gy - 1.0)


@dataclass(frozen=True)
class Attempt:
    """One time round the loop: what was asked, what came out."""

    number: int
    """1, 2, ..."""
    rationale: str
    changes: tuple[str, ...]
    """The proposal's changes, one readable line each."""
    objectives: tuple[model.Objective, ...]
    goals: tuple[GoalResult, ...]
    dvhs: Mapping[str, model.Dvh]
    """Structure label -> curve."""
    dose: model.DoseInfo
    iterations: int
    total_value: float
    seconds: float
    tps_calls: int
    snapshot: str
    kept: bool
    """This attempt was the best so far when it was made."""
    normalization_percent: float | None = None
    """What the optimiser's dose was multiplied by, in percent, so that the coverage point was met."""
    reported: tuple[ReportedMetric, ...] = ()
    sequencing: tuple[DoseChange, ...] = ()
    """What the dose lost and gained between optimiser and control points; empty where the TPS does not show both."""
    stage: str = ""
    """Id of the protocol's stage; empty in the first."""
    lost: tuple[str, ...] = ()
    """Refinement: what became worse than the plan it began with; such an attempt is never kept."""
    is_trial: bool = False
    structure_values: Mapping[str, float] = field(default_factory=dict)
    """Structure -> weighted value of all its objectives together, where the TPS tells no more than that."""


@dataclass(frozen=True)
class Restoration:
    """How the best attempt came back at the end."""

    exact: bool
    """The TPS brought back the dose itself; False: only the configuration, and the plan was optimised again."""
    largest_difference_percent: float
    """Of any goal's value from the recorded one, in percent of it (of 1 where that is smaller)."""
    tolerance_percent: float

    @property
    def within(self) -> bool:
        return self.largest_difference_percent <= self.tolerance_percent


@dataclass(frozen=True)
class ModelCosts:
    """What the language model cost in one run."""

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None
    """None where nothing was asked, or a price or count is not known."""
    seconds: float = 0.0
    tool_calls: int = 0


@dataclass(frozen=True)
class Conflict:
    """Goals that pulled against each other, and what was seen."""

    goals: tuple[str, ...]
    explanation: str


@dataclass(frozen=True)
class RunResult:
    """A whole run."""

    case: str
    protocol: str
    planner: str
    seed: int | None
    attempts: tuple[Attempt, ...]
    best: int
    """Number of the attempt whose plan was restored at the end."""
    stop_reason: str
    conflicts: tuple[Conflict, ...]
    seconds: float
    tps_calls: int
    plan: model.Plan
    beams: tuple[model.Beam, ...]
    """With the MU of the restored plan, where it has any."""
    structures: tuple[model.Structure, ...]
    findings: tuple[model.Finding, ...]
    server: model.ServerInfo
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Things a reader must know: empty helpers left out, prescription differences, limits of the algorithm."""
    intended_use: str = INTENDED_USE
    arm: Mapping[str, Any] = field(default_factory=dict)
    """What the planner was allowed and shown: action space, prompt blocks, model and its settings, stages, start."""
    format_errors: Mapping[str, int] = field(default_factory=dict)
    """Kind of fault -> how often a proposal was refused for it."""
    model_costs: ModelCosts = ModelCosts()
    restoration: Restoration | None = None
    decision: Decision | None = None
    """What a reviewing person said to the plan; None where nobody was asked."""
    commit_digest: str = ""
    """Of the pending changes that the person was shown; only they may be committed."""
    ending: Ending = Ending.PLANNER_DONE
    first_stage_goals: tuple[GoalResult, ...] = ()
    """Of the plan left behind, where a refinement judged it by other goals: comparable with runs that do not refine."""

    @property
    def mu_per_fraction(self) -> float | None:
        """Of all beams together; None where a beam's are not known."""
        metersets = [beam.meterset_mu for beam in self.beams if beam.meterset_mu is not None]
        return sum(metersets) if metersets and len(metersets) == len(self.beams) else None

    @property
    def best_attempt(self) -> Attempt:
        return next(a for a in self.attempts if a.number == self.best)
