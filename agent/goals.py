"""Goals against a dose: what is asked, what came out, and which of two plans is the better one.

The one idea: a goal is bound once to the patient's structures; after that, evaluating it is one contract call and a
comparison, and comparing two attempts is comparing two written-down scores. Values are compared as they are printed
(two decimals), so a dose normalised to 70 Gy meets 70 Gy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from agent.metrics import GoalText, Metric
from agent.observation import Score
from agent.records import GoalResult, GoalStatus, ReportedMetric
from bridge import model

_DECIMALS = 2
_RANK_WEIGHTS = {1: 9.0, 2: 3.0, 3: 1.0}
NOTICEABLE_PERCENT = 2.0
"""A value counts as changed from this share of its limit on; less is the optimiser's own scatter (own choice)."""

_WHY_NOT = {
    model.MetricStatus.NO_DOSE: "the plan has no dose",
    model.MetricStatus.STALE: "the dose is older than the plan",
    model.MetricStatus.EMPTY_STRUCTURE: "the structure is empty",
    model.MetricStatus.OUT_OF_GRID: "the structure reaches out of the dose grid",
}


@dataclass(frozen=True)
class BoundMetric:
    """A metric of one structure of this patient."""

    structure: str
    """The protocol's name; the patient's label where the protocol means several."""
    metric: Metric
    prescription_gy: float
    resource: str | None
    """The structure's resource name; None: the patient has none."""
    body: str | None = None
    """Where the prescription isodose is counted; None: the External."""
    absent_because: str = ""

    @property
    def query(self) -> model.MetricQuery | None:
        return None if self.resource is None else self.metric.query(self.resource, self.prescription_gy, self.body)


@dataclass(frozen=True)
class BoundGoal:
    """A goal of the protocol for one structure of this patient."""

    metric: BoundMetric
    text: GoalText
    rank: int
    acceptable: float | None
    source: str
    note: str = ""
    ramp: tuple[float, float] | None = None
    group: int | None = None
    """Goals of one group (``one_of``): the best takes ``rank``, the others ``others_rank``."""
    others_rank: int | None = None


PLAN_INDICES = ("CI", "GI", "R50", "HI")
"""How metrics begin that are of the plan rather than of a structure."""


def evaluate(goals: Sequence[BoundGoal], answers: Sequence[model.MetricResult | None]) -> tuple[GoalResult, ...]:
    """Status of every goal; ``answers`` are the contract's, in order, None where there was nothing to ask."""
    results = [_result(goal, answer) for goal, answer in zip(goals, answers, strict=True)]
    for group in sorted({goal.group for goal in goals if goal.group is not None}):
        _rank_group(goals, results, group)
    return tuple(results)


def report(metrics: Sequence[BoundMetric], answers: Sequence[model.MetricResult | None]) -> tuple[ReportedMetric, ...]:
    """The metrics that are written down without a limit."""
    return tuple(
        ReportedMetric(bound.structure, bound.metric.text, _value(bound, answer), bound.metric.unit)
        for bound, answer in zip(metrics, answers, strict=True)
    )


def deviation(goal: GoalResult, limit: float | None = None) -> float:
    """How far beyond its limit a goal is, as a share of the limit; 0 when inside or not evaluable."""
    limit = goal.limit if limit is None else limit
    if goal.value is None:
        return 0.0
    excess = goal.value - limit if goal.comparator == "<=" else limit - goal.value
    return max(0.0, round(excess, _DECIMALS)) / max(abs(limit), 1.0)


def score(goals: Sequence[GoalResult]) -> Score:
    """The attempt's score; of two attempts the one with the smaller score is the better (compared left to right).

    First every must and should at least acceptable (rank 1: how many missed, by how much; then rank 2), then met
    (rank 1: how many not met, by how much; then rank 2), then the wishes (rank 3: missed, by how much, not met, by how
    much). "By how much" counts in whole percents of the limits here, so that a hair's breadth of one goal never
    outweighs another goal; only between otherwise equal attempts do the exact sums decide, rank by rank. A goal that
    cannot be evaluated counts nowhere: it is the same in every attempt.
    """
    parts: list[float] = []
    for rank in (1, 2):
        parts += _missed(goals, rank)
    for rank in (1, 2):
        parts += _unmet(goals, rank)
    parts += [*_missed(goals, 3), *_unmet(goals, 3)]
    return (*parts, *(round(_beyond(unmet(goals, rank)), 4) for rank in (1, 2, 3)))


def badness(goals: Sequence[GoalResult]) -> float:
    """One number for a search that needs one: 0 when all is met, and the smaller the better.

    Every open goal counts 1 where acceptable and 2 where missed, and up to 1 more the further it is beyond its limit,
    times 9, 3 or 1 by rank. So whatever brings one goal nearer lowers this and `score` alike; where goals pull against
    each other, `score` decides rank by rank, and this weighs.
    """
    return sum(_RANK_WEIGHTS[goal.rank] * _openness(goal) for goal in unmet(goals, *_RANK_WEIGHTS))


def same_but_for_details(one: Score, other: Score) -> bool:
    """Whether two scores differ by less than a goal, or a percent of one."""
    return one[:-3] == other[:-3]


def success(goals: Sequence[GoalResult]) -> bool:
    """Every evaluable rank-1 goal is met or acceptable."""
    return not any(goal.rank == 1 and goal.status is GoalStatus.MISSED for goal in goals)


def unmet(goals: Sequence[GoalResult], *ranks: int) -> tuple[GoalResult, ...]:
    """Goals of these ranks that are missed or only acceptable."""
    open_states = (GoalStatus.MISSED, GoalStatus.ACCEPTABLE)
    return tuple(goal for goal in goals if goal.rank in ranks and goal.status in open_states)


@dataclass(frozen=True)
class Points:
    """A plan's score on the criteria of a study."""

    met: int
    """One point for each goal met, none otherwise, as M2M counts (arXiv 2606.00922)."""
    of: int
    ramp: float
    """Full points, and part of one between a full point and none, as ProKnow counts."""


def points(goals: Sequence[GoalResult]) -> Points | None:
    """The score over the goals that have a ramp; None where the protocol scores nothing."""
    scored = [goal for goal in goals if goal.ramp is not None and goal.value is not None]
    if not scored:
        return None
    met = sum(goal.status is GoalStatus.MET for goal in scored)
    return Points(met, len(scored), round(sum(map(_on_ramp, scored)), 3))


def lost(baseline: Sequence[GoalResult], goals: Sequence[GoalResult], targets: Collection[str]) -> tuple[str, ...]:
    """What of the baseline's coverage and doses to organs got worse, one line each (SAGE, arXiv 2512.20586).

    Worse is a lower status, or a value that came nearer to its limit from inside, or went further beyond it, by more
    than `NOTICEABLE_PERCENT` of the limit. Hot spots of targets and plan indices are what a refinement trades; the
    score judges them.
    """
    before = {describe(goal): goal for goal in baseline if goal.structure not in targets or goal.comparator == ">="}
    pairs = ((before.get(describe(goal)), goal) for goal in goals if not goal.metric.startswith(PLAN_INDICES))
    return tuple(_loss(old, new) for old, new in pairs if old is not None and _got_worse(old, new))


def describe(goal: GoalResult) -> str:
    """``SpinalCord D0.03cc[Gy] <= 45``."""
    return f"{goal.structure} {goal.metric} {goal.comparator} {goal.limit:g}"


def _on_ramp(goal: GoalResult) -> float:
    if goal.ramp is None or goal.value is None:
        return 0.0
    full_at, none_at = goal.ramp
    return min(1.0, max(0.0, (none_at - goal.value) / (none_at - full_at)))


_WORST_LAST = (GoalStatus.MET, GoalStatus.ACCEPTABLE, GoalStatus.MISSED)


def _got_worse(old: GoalResult, new: GoalResult) -> bool:
    if old.value is None or new.value is None:
        return False
    if _WORST_LAST.index(new.status) > _WORST_LAST.index(old.status):
        return True
    rise = new.value - old.value if new.comparator == "<=" else old.value - new.value
    return rise > NOTICEABLE_PERCENT / 100.0 * abs(new.limit)


def _loss(old: GoalResult, new: GoalResult) -> str:
    return f"{describe(new)} went from {old.value:.2f} ({old.status}) to {new.value:.2f} ({new.status})"


def _missed(goals: Sequence[GoalResult], rank: int) -> list[float]:
    missed = [goal for goal in goals if goal.rank == rank and goal.status is GoalStatus.MISSED]
    beyond = sum(deviation(goal, goal.acceptable) for goal in missed)
    return [len(missed), round(beyond, 2)]


def _unmet(goals: Sequence[GoalResult], rank: int) -> list[float]:
    open_goals = unmet(goals, rank)
    return [len(open_goals), round(_beyond(open_goals), 2)]


def _openness(goal: GoalResult) -> float:
    """1 to 2 for an acceptable goal, 2 to 3 for a missed one."""
    beyond = deviation(goal)
    return (2.0 if goal.status is GoalStatus.MISSED else 1.0) + beyond / (1.0 + beyond)


def _beyond(goals: Sequence[GoalResult]) -> float:
    return sum(deviation(goal) for goal in goals)


def _result(goal: BoundGoal, answer: model.MetricResult | None) -> GoalResult:
    value = _value(goal.metric, answer)
    result = GoalResult(
        structure=goal.metric.structure,
        metric=goal.text.metric.text,
        comparator=goal.text.comparator,
        limit=goal.text.limit,
        unit=goal.text.metric.unit,
        rank=goal.rank,
        status=GoalStatus.NOT_EVALUABLE,
        value=value,
        acceptable=goal.acceptable,
        note=goal.note,
        source=goal.source,
        ramp=goal.ramp,
    )
    if value is None:
        why = goal.metric.absent_because if answer is None else _WHY_NOT[answer.status]
        return replace(result, note="; ".join(filter(None, (why, goal.note))))
    return replace(result, status=_status(result))


def _status(result: GoalResult) -> GoalStatus:
    if deviation(result) == 0.0:
        return GoalStatus.MET
    if result.acceptable is not None and deviation(result, result.acceptable) == 0.0:
        return GoalStatus.ACCEPTABLE
    return GoalStatus.MISSED


def _value(bound: BoundMetric, answer: model.MetricResult | None) -> float | None:
    if answer is None or answer.status is not model.MetricStatus.OK or answer.value is None:
        return None
    return bound.metric.value(answer.value, bound.prescription_gy)


def _rank_group(goals: Sequence[BoundGoal], results: list[GoalResult], group: int) -> None:
    """The best of a group keeps its rank; the others take their lower one."""
    members = [index for index, goal in enumerate(goals) if goal.group == group and results[index].value is not None]
    best = min(members, key=lambda index: _badness(results[index]), default=None)
    for index in members:
        others_rank = goals[index].others_rank
        if index != best and others_rank is not None:
            note = "; ".join(filter(None, (results[index].note, "the other side is the one to spare")))
            results[index] = replace(results[index], rank=others_rank, note=note)


def _badness(result: GoalResult) -> float:
    value = result.value or 0.0
    return value if result.comparator == "<=" else -value
