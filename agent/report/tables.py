"""The rows of a report: goals from first to best, attempts, objectives, beams, structures, all as short readable texts.

The one idea: whatever is shown as text is made here, once, for the page, the terminal and the comparison alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.goals import NOTICEABLE_PERCENT, points
from agent.records import Attempt, GoalResult, GoalStatus, ModelCosts, RunResult
from agent.wording import counted
from bridge import model

RANK_WORD: Mapping[int, str] = {1: "must", 2: "should", 3: "wish"}
_SIGN = {"<=": "≤", ">=": "≥"}


@dataclass(frozen=True)
class GoalRow:
    """One goal from the first attempt to the best."""

    structure: str
    metric: str
    limit: str
    acceptable: str
    rank: int
    first: str
    best: str
    first_status: GoalStatus
    status: GoalStatus
    trend: int
    """1: better than at first, -1: worse, 0: the same within 2 % of the limit."""
    note: str
    source: str


@dataclass(frozen=True)
class Answer:
    """What one of two runs has to say to a goal."""

    text: str
    status: GoalStatus | None
    """None where it was no goal of that run."""


@dataclass(frozen=True)
class PairRow:
    """One goal in two runs."""

    structure: str
    metric: str
    limit: str
    rank: int
    a: Answer
    b: Answer


@dataclass(frozen=True)
class StructureRow:
    label: str
    role: str
    volume: str
    mean: str
    hottest: str
    overlap: str
    remarks: str


@dataclass(frozen=True)
class ObjectiveRow:
    structure: str
    function: str
    priority: str
    first: str
    """Function and priority of the first attempt, where they differ from those at the end."""
    value: str
    share: float | None
    """Percent of the total that this objective makes up; None where the TPS tells no value of it."""
    note: str


def goal_rows(goals: Sequence[GoalResult], first: Sequence[GoalResult]) -> list[GoalRow]:
    """Rows in the order of rank, then of the protocol."""
    before = {goal_identity(goal): goal for goal in first}
    return [_goal_row(goal, before.get(goal_identity(goal))) for goal in sorted(goals, key=lambda goal: goal.rank)]


def goal_history(attempts: Sequence[Attempt]) -> list[tuple[GoalResult, list[GoalResult | None]]]:
    """Every goal with its results over the attempts, by rank; None where an attempt did not have it."""
    tables = [{goal_identity(goal): goal for goal in attempt.goals} for attempt in attempts]
    return [
        (goal, [table.get(goal_identity(goal)) for table in tables])
        for goal in sorted(attempts[-1].goals, key=lambda goal: goal.rank)
        if goal.status is not GoalStatus.NOT_EVALUABLE
    ]


def goal_identity(goal: GoalResult) -> tuple[str, str, str, float]:
    """What makes two results answers to the same goal."""
    return goal.structure, goal.metric, goal.comparator, goal.limit


def goal_text(goal: GoalResult) -> str:
    return f"{goal.structure} {goal.metric} {_SIGN[goal.comparator]} {number(goal.limit)}"


def limit_text(goal: GoalResult) -> str:
    return f"{_SIGN[goal.comparator]} {number(goal.limit)}{_unit(goal.unit)}"


def number(value: float | None, digits: int = 1) -> str:
    """A number as a clinician writes it: one decimal, more for small ones, none for round ones; – where absent."""
    if value is None:
        return "–"
    if abs(value) < 10 and value != round(value, 1):
        digits = max(digits, 2)
    text = f"{value:.{digits}f}"
    return f"{float(text):.0f}" if float(text).is_integer() else text


def measured(value: float | None, unit: str) -> str:
    """A measured value: two decimals, as goals are compared; – where absent."""
    return "–" if value is None else f"{value:.2f}{_unit(unit)}"


def gy(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} Gy"


def position(point_mm: model.Vector | None) -> str:
    """A point in words that need no coordinate system at hand."""
    if point_mm is None:
        return "–"
    return f"x {point_mm[0]:.1f}, y {point_mm[1]:.1f}, z {point_mm[2]:.1f} mm".replace("-", "−")


def changed(goal: GoalResult, first: GoalResult | None) -> int:
    """1 when a goal's value is better than at first, -1 when it is worse, 0 within 2 % of its limit."""
    if goal.value is None or first is None or first.value is None:
        return 0
    step = goal.value - first.value
    if abs(step) < NOTICEABLE_PERCENT / 100.0 * max(abs(goal.limit), 1e-6):
        return 0
    better = step < 0 if goal.comparator == "<=" else step > 0
    return 1 if better else -1


def sequencing_lines(attempt: Attempt) -> list[str]:
    """What leaf sequencing did: ``PTV D95% 18.20 → 18.05 Gy (−0.8 %)``."""
    return [
        f"{change.what} {change.before_gy:.2f} → {change.after_gy:.2f} Gy ({change.percent:+.1f} %)".replace("-", "−")
        for change in attempt.sequencing
    ]


def objective_rows(attempt: Attempt, first: Attempt, names: Mapping[str, str]) -> list[ObjectiveRow]:
    """Objectives of an attempt, with the share of the total that each makes up."""
    total = sum(objective.value or 0.0 for objective in attempt.objectives)
    before = {objective.name: objective.spec for objective in first.objectives}
    rows = []
    for objective in attempt.objectives:
        rows.append(
            ObjectiveRow(
                structure=names.get(objective.spec.structure, objective.spec.structure.rpartition("/")[2]),
                function=function_text(objective.spec.function),
                priority=_priority(objective.spec),
                first=_earlier(before.get(objective.name), objective.spec),
                value="–" if objective.value is None else f"{objective.value:.3g}",
                share=_share(objective.value, total),
                note=objective.fidelity_note,
            )
        )
    return rows


def _share(value: float | None, total: float) -> float | None:
    if value is None:
        return None
    return 100.0 * value / total if total > 0.0 else 0.0


def structure_value_lines(attempt: Attempt) -> list[str]:
    """``PTV 12.3 (60 %)``: the weighted values of a TPS that tells them by structure only, largest first."""
    total = sum(attempt.structure_values.values())
    ordered = sorted(attempt.structure_values.items(), key=lambda item: -item[1])
    return [
        f"{name} {value:.3g}" + (f" ({100.0 * value / total:.0f} %)" if total > 0.0 else "") for name, value in ordered
    ]


def _priority(spec: model.ObjectiveSpec) -> str:
    return "constraint" if spec.priority is None else number(spec.priority, 0)


def _earlier(before: model.ObjectiveSpec | None, now: model.ObjectiveSpec) -> str:
    """What an objective was before, where it was different."""
    if before is None or before == now:
        return ""
    parts = [function_text(before.function)] if before.function != now.function else []
    parts += [f"priority {_priority(before)}"] if before.priority != now.priority else []
    return ", ".join(parts)


def function_text(function: model.ObjectiveFunction) -> str:
    """An objective in a planner's words."""
    match function:
        case model.DoseVolumePoint(model.Bound.UPPER, dose_gy, 0.0):
            return f"max ≤ {number(dose_gy)} Gy"
        case model.DoseVolumePoint(bound, dose_gy, volume):
            sign = "at least" if bound is model.Bound.LOWER else "at most"
            return f"{sign} {number(volume)} % above {number(dose_gy)} Gy"
        case model.MaxDose(dose_gy):
            return f"max ≤ {number(dose_gy)} Gy"
        case model.MinDose(dose_gy):
            return f"min ≥ {number(dose_gy)} Gy"
        case model.MeanDose(dose_gy):
            return f"mean ≤ {number(dose_gy)} Gy"
        case model.Geud(bound, dose_gy, a):
            return f"gEUD (a = {number(a)}) {'≥' if bound is model.Bound.LOWER else '≤'} {number(dose_gy)} Gy"
        case model.UniformDose(dose_gy):
            return f"uniform {number(dose_gy)} Gy"
        case model.DoseFallOff(high_gy, low_gy, distance_mm):
            return f"falls from {number(high_gy)} to {number(low_gy)} Gy in {number(distance_mm)} mm"
        case model.NormalTissueFalloff(automatic=True):
            return "normal tissue fall-off, automatic"
        case model.NormalTissueFalloff():
            start, end = number(function.start_percent), number(function.end_percent)
            return f"normal tissue: {start} % at {number(function.distance_mm)} mm, falling to {end} %"
        case model.HotFraction(dose_gy, hottest):
            return f"hottest {number(hottest)} % above {number(dose_gy)} Gy"
        case model.VendorFunction(kind, text):
            return f"{kind}: {text}"


def structure_rows(
    structures: Sequence[model.Structure], dvhs: Mapping[str, model.Dvh], overlap_percent: Mapping[str, float]
) -> list[StructureRow]:
    """Structures with volume, dose and what to know about them; targets first, then the External, then organs."""
    return [
        StructureRow(
            label=structure.label,
            role=_ROLE_WORD[structure.role],
            volume="empty" if structure.empty else f"{structure.volume_cc:.{_volume_digits(structure.volume_cc)}f} cc",
            mean=gy(dvhs[structure.label].mean_gy) if structure.label in dvhs else "–",
            hottest=gy(dvhs[structure.label].max_gy) if structure.label in dvhs else "–",
            overlap=f"{overlap_percent[structure.label]:.1f} %" if structure.label in overlap_percent else "",
            remarks="; ".join(_remarks(structure, dvhs.get(structure.label))),
        )
        for structure in sorted(structures, key=lambda each: _ROLE_ORDER.index(each.role))
    ]


_ROLE_ORDER = (
    model.StructureRole.TARGET,
    model.StructureRole.EXTERNAL,
    model.StructureRole.OAR,
    model.StructureRole.HELPER,
    model.StructureRole.SUPPORT,
)
_ROLE_WORD = dict(zip(_ROLE_ORDER, ("target", "external", "organ", "helper", "support"), strict=True))


def normalization_text(normalization: model.Normalization, names: Mapping[str, str]) -> str:
    match normalization:
        case None:
            return "none"
        case model.PercentNormalization(percent):
            return f"{percent:.2f} % of the optimiser's dose"
        case model.CoverageNormalization(structure, volume, dose_gy):
            return f"{number(volume)} % of {names.get(structure, structure)} gets exactly {number(dose_gy)} Gy"


def prescription_lines(plan: model.Plan, names: Mapping[str, str]) -> list[str]:
    """Highest dose first, with the dose per fraction."""
    if plan.prescription is None:
        return []
    count = plan.prescription.fraction_count
    targets = sorted(plan.prescription.targets, key=lambda target: -target.total_gy)
    return [
        f"{names.get(t.structure, t.structure)}: {number(t.total_gy)} Gy in {count} "
        f"{'fraction' if count == 1 else 'fractions'} of {number(t.total_gy / count, 2)} Gy"
        for t in targets
    ]


def labels(result: RunResult) -> dict[str, str]:
    """Resource name of a structure -> the TPS's label."""
    return {structure.name: structure.label for structure in result.structures}


def curves(attempt: Attempt, result: RunResult) -> dict[str, model.Dvh]:
    """The attempt's DVHs by the TPS's labels, whatever the protocol calls the structures."""
    names = labels(result)
    return {names.get(curve.structure, shown): curve for shown, curve in attempt.dvhs.items()}


def label_of(structure: str, result: RunResult) -> str:
    """The TPS's label of a structure as a goal names it; the name itself where there is no such structure."""
    curve = result.best_attempt.dvhs.get(structure)
    if curve is not None:
        return labels(result).get(curve.structure, structure)
    return next((each.label for each in result.structures if each.tg263_name == structure), structure)


def paired_goals(one: Attempt, other: Attempt) -> list[PairRow]:
    """Every goal of either attempt with the answers of both, by rank."""
    here, there = ({goal_identity(goal): goal for goal in attempt.goals} for attempt in (one, other))
    either = sorted({**there, **here}.items(), key=lambda item: item[1].rank)
    return [
        PairRow(
            goal.structure, goal.metric, limit_text(goal), goal.rank, _answer(here.get(key)), _answer(there.get(key))
        )
        for key, goal in either
    ]


def _answer(goal: GoalResult | None) -> Answer:
    return Answer("not asked", None) if goal is None else Answer(measured(goal.value, goal.unit), goal.status)


def status_counts(attempt: Attempt) -> dict[GoalStatus, int]:
    return {status: sum(goal.status is status for goal in attempt.goals) for status in GoalStatus}


def _goal_row(goal: GoalResult, first: GoalResult | None) -> GoalRow:
    sign = _SIGN[goal.comparator]
    return GoalRow(
        structure=goal.structure,
        metric=goal.metric,
        limit=limit_text(goal),
        acceptable="" if goal.acceptable is None else f"{sign} {number(goal.acceptable)}",
        rank=goal.rank,
        first=measured(None if first is None else first.value, goal.unit),
        best=measured(goal.value, goal.unit),
        first_status=GoalStatus.NOT_EVALUABLE if first is None else first.status,
        status=goal.status,
        trend=changed(goal, first),
        note=goal.note,
        source=goal.source,
    )


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def _volume_digits(volume_cc: float) -> int:
    return 2 if volume_cc < 10 else 1 if volume_cc < 100 else 0


def _remarks(structure: model.Structure, dvh: model.Dvh | None) -> list[str]:
    remarks = []
    if structure.tg263_name and structure.tg263_name != structure.label:
        remarks.append(f"read as {structure.tg263_name}")
    if structure.cut_by_image_edge:
        remarks.append("cut by the end of the scan: volume and % are incomplete")
    if dvh is not None and dvh.coverage_percent is not None and dvh.coverage_percent < 99.5:
        remarks.append(f"{dvh.coverage_percent:.0f} % of it lies inside the dose grid")
    return remarks


def planner_lines(result: RunResult) -> tuple[str, ...]:
    """What is to be told of a run besides goals: its score, refused proposals, the language model, the restoration."""
    lines = []
    if (score := points(result.best_attempt.goals)) is not None:
        first = points(result.attempts[0].goals)
        began = "" if first is None else f", {first.met} at the start"
        near = f"{score.ramp:.2f} with part of a point for a near miss"
        lines.append(f"Score: {score.met} of {score.of} criteria met{began}; {near}.")
    if result.first_stage_goals:
        evaluable = [goal for goal in result.first_stage_goals if goal.status is not GoalStatus.NOT_EVALUABLE]
        met = sum(goal.status is GoalStatus.MET for goal in evaluable)
        of = len(evaluable)
        lines.append(f"Judged by the goals of the refinement; by those of the first stage {met} of {of} are met.")
    if result.format_errors:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(result.format_errors.items()))
        lines.append(f"Proposals refused by the checks: {sum(result.format_errors.values())} faults ({kinds}).")
    if (costs := result.model_costs).requests:
        lines.append(_costs(costs))
    if (restored := result.restoration) is not None and not restored.exact:
        verdict = "within" if restored.within else "BEYOND"
        lines.append(
            f"The TPS brought back the settings only; the plan optimised again differs by at most "
            f"{restored.largest_difference_percent:.2g} %, {verdict} the tolerance of {restored.tolerance_percent:g} %."
        )
    if (decision := result.decision) is not None:
        reason = f": {decision.reason}" if decision.reason else ""
        lines.append(f"The reviewing person's word on the plan: {decision.verdict.value}{reason}.")
    return tuple(lines)


def _costs(costs: ModelCosts) -> str:
    price = "no price known" if costs.cost_usd is None else f"{costs.cost_usd:.4f} USD"
    return (
        f"Language model: {counted(costs.requests, 'request')}, {costs.prompt_tokens} tokens read, "
        f"{costs.answer_tokens} written ({costs.reasoning_tokens} of them reasoning), {costs.seconds:.0f} s, {price}."
    )
