"""All that a prompt may hold: one typed object, built from an observation field by field.

The one idea: an allow-list. A template is given a `Shown` and nothing else, so a field that is not here cannot leave
the machine, and a block that is switched off is simply empty.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.actions import ActionSpace
from agent.actions.naming import label, to_model, told_line, told_prose
from agent.goals import NOTICEABLE_PERCENT, Points, points
from agent.knowledge import Knowledge, Parameter, Range
from agent.observation import ObjectiveState, Observation, Step
from agent.prompts.blocks import Blocks
from agent.prompts.fence import fenced
from agent.prompts.figures import (
    AttemptLine,
    CurveTable,
    GoalLine,
    ObjectiveLine,
    StructureLossLine,
    TrendLine,
    attempt_lines,
    curve_tables,
    goal_lines,
    goal_trends,
    loss_trends,
    objective_lines,
    structure_loss_lines,
)
from agent.proposal import Change
from bridge.model import PenaltyForm, PlanningHints

STRENGTHEN: Mapping[str, str] = {
    "priorities": "raise its priority",
    "doses": "lower the dose of an upper objective, or raise that of a lower one",
    "parameters": "raise its λ, or lower its τ",
    "discrete": "choose a move that makes it stronger",
}
"""Action space -> how an objective is made to pull harder there."""
OVERLAPS_PERCENT = 0.5
"""An organ with at least this share inside the targets is told of."""
_PENALTIES = {
    PenaltyForm.MEAN_SQUARED_VIOLATION: "An objective's penalty is the mean, over its structure, of the squared "
    "violation in Gy.",
    PenaltyForm.SUM_SQUARED_VIOLATION: "An objective's penalty is the sum, over its structure, of the squared "
    "violation in Gy.",
    PenaltyForm.VENDOR: "The form of an objective's penalty is the maker's own and not published.",
}
_NOT_OF_POINTS: tuple[Parameter, ...] = ("V", "lambda")
"""Found in the hot-fraction problem, and saying nothing of upper points: V is 1 there, and λ has another scale."""
_SYMBOLS: Mapping[Parameter, str] = {"lambda": "λ", "V": "V", "tau": "τ", "lambda_ratio": "λ(target) / λ"}


@dataclass(frozen=True)
class TargetLine:
    """A target and what it is to get."""

    name: str
    dose_gy: float
    volume_cc: float | None


@dataclass(frozen=True)
class OverlapLine:
    """An organ that lies partly inside the targets."""

    name: str
    percent: float


@dataclass(frozen=True)
class Levers:
    """Which objectives act on each step of the ordered strategy; only those that may be changed."""

    coverage: tuple[str, ...]
    hot_spot: tuple[str, ...]
    inner_ring: tuple[str, ...]
    outer_rings: tuple[str, ...]
    organs: tuple[str, ...]


@dataclass(frozen=True)
class Relation:
    """One priority that is held against another."""

    limited: str
    at_most: float
    reference: str
    now: float
    ceiling: float


@dataclass(frozen=True)
class Pace:
    """How large the next step should be."""

    word: str
    """``coarse`` in the first half of the attempts, ``fine`` in the second."""
    dose_percent: tuple[float, float]
    priority_factor: tuple[float, float]


@dataclass(frozen=True)
class Priors:
    """The numbers of the block on how the optimiser answers; its words are the template's."""

    dose_gy: tuple[float, float]
    """Lowest and highest dose that an objective may be given here."""
    priority: tuple[float, float]


@dataclass(frozen=True)
class Hints:
    """What the planning system says of its optimiser."""

    facts: tuple[str, ...]
    """Sentences of ours made from its typed fields."""
    texts: tuple[str, ...]
    """Its own words, made harmless; shown inside a fence."""


@dataclass(frozen=True)
class KnowledgeLine:
    """One parameter's range, and where it stands now."""

    objective: str
    parameter: str
    range: Range
    now: float | None
    is_transferred: bool
    """The range was found for another structure or site."""

    @property
    def is_inside(self) -> bool:
        """Within the middle half, as far as four digits tell."""
        low, high = self.range.lower_quartile, self.range.upper_quartile
        return self.now is not None and 0.999 * low <= self.now <= 1.001 * high


@dataclass(frozen=True)
class KnowledgeTable:
    title: str
    provenance: str
    runs: int
    lines: tuple[KnowledgeLine, ...]


@dataclass(frozen=True)
class RemarkLine:
    """What a reviewing person turned down, and why."""

    attempt: int
    changes: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Shown:
    """What a template may use."""

    site: str
    fractions: int
    beams: int
    coverage: str
    hot_fraction: bool
    upper_points: bool
    """Lambda and tau of upper points of quadratic penalties."""
    whole_priorities: bool
    """The planning system takes whole numbers only."""
    targets: tuple[TargetLine, ...]
    highest_gy: float
    overlaps: tuple[OverlapLine, ...]
    present: int
    """The attempt whose goals and objectives are shown, and which the next one changes."""
    last: int
    best: int
    reference: int
    """The attempt that the present one is compared with: the refinement's baseline, otherwise the best."""
    baseline: int | None
    """Later stages: the attempt that no goal may be worse than."""
    tolerance_percent: float
    """A goal that changes by less than this share of its limit has not become worse."""
    attempts_left: int
    goals: tuple[GoalLine, ...]
    not_evaluable: tuple[str, ...]
    new_goals: tuple[str, ...]
    """Goals that this stage has and the one before it had not, or had with another limit."""
    goals_json: str
    score: Points | None
    objectives: tuple[ObjectiveLine, ...]
    objectives_json: str
    instructions: str
    """What an answer must hold, as the action space says."""
    strengthen: str
    relations: tuple[Relation, ...]
    shows_losses: bool
    structure_losses: tuple[StructureLossLine, ...]
    """Where the planning system tells losses by structure only."""
    lacks_losses: bool
    """They would be shown, but the planning system does not tell them apart."""
    shows_deviations: bool
    history: tuple[AttemptLine, ...]
    goal_trends: tuple[TrendLine, ...]
    loss_trends: tuple[TrendLine, ...]
    curves: tuple[CurveTable, ...]
    levers: Levers | None
    pace: Pace | None
    priors: Priors | None
    hints: Hints | None
    knowledge: KnowledgeTable | None
    remarks: tuple[RemarkLine, ...]
    tools: tuple[str, ...]
    set_by_person: tuple[str, ...]
    """What a person put in the place of what the model wanted to try; empty where it was tried as asked."""

    @property
    def open_goals(self) -> tuple[GoalLine, ...]:
        return tuple(goal for goal in self.goals if goal.is_open)


def show(
    observation: Observation,
    action: ActionSpace,
    blocks: Blocks,
    tools: Sequence[str] = (),
    asked: Collection[Change] | None = None,
) -> Shown:
    """What a model is told of an observation.

    Parameters
    ----------
    tools
        Names of the functions offered with this prompt; empty where the model is offered none.
    asked
        Where the last attempt is a trial whose result is told: what the model asked to try.

    Raises
    ------
    agent.actions.space.ActionError
        A structure has no name that may leave the machine.
    """
    names = to_model(observation)
    present, task = observation.shown, observation.task
    reference = observation.best_step if observation.baseline is None else observation.step(observation.baseline)
    goals = goal_lines(present, reference, observation)
    evaluable = tuple(goal for goal in goals if goal.value is not None)
    losses_given = any(state.value is not None for state in present.objectives)
    several = len(observation.history) > 1
    return Shown(
        site=task.site,
        fractions=task.fractions,
        beams=task.beams,
        coverage=task.coverage,
        hot_fraction=task.hot_fraction,
        upper_points=task.upper_points,
        whole_priorities=observation.limits.integer_priorities,
        targets=tuple(_targets(observation)),
        highest_gy=max(observation.prescriptions_gy.values()),
        overlaps=tuple(_overlaps(observation)),
        present=present.number,
        last=observation.last.number,
        best=observation.best,
        reference=reference.number,
        baseline=observation.baseline,
        tolerance_percent=NOTICEABLE_PERCENT,
        attempts_left=observation.attempts_left,
        goals=evaluable,
        not_evaluable=tuple(goal.text for goal in goals if goal.value is None),
        new_goals=tuple(told_line(text, observation) for text in observation.new_goals),
        goals_json=_lines_of_json([_goal_json(goal) for goal in evaluable]),
        score=points(present.goals),
        objectives=objective_lines(present, observation, names),
        objectives_json=_lines_of_json(action.present(observation)),
        instructions=action.instructions(observation),
        strengthen=STRENGTHEN[action.name],
        relations=tuple(_relations(observation, present, names)),
        shows_losses=blocks.losses and losses_given,
        structure_losses=structure_loss_lines(present, observation) if blocks.losses else (),
        lacks_losses=blocks.losses and not losses_given and not present.structure_losses,
        shows_deviations=blocks.deviations,
        history=attempt_lines(observation, blocks.history, names),
        goal_trends=goal_trends(observation) if blocks.trends and several else (),
        loss_trends=loss_trends(observation, names) if blocks.trends and blocks.losses and several else (),
        curves=curve_tables(observation, blocks.dvh_samples),
        levers=_levers(present, names) if blocks.strategy else None,
        pace=_pace(observation) if blocks.strategy else None,
        priors=_priors(present) if blocks.priors else None,
        hints=_hints(observation.hints) if blocks.hints and observation.hints else None,
        knowledge=_knowledge(observation, present, names) if blocks.knowledge else None,
        remarks=tuple(_remarks(observation)),
        tools=tuple(tools),
        set_by_person=() if asked is None or _same(asked, observation.last.changes) else _tried(observation, names),
    )


def _same(asked: Collection[Change], made: Collection[Change]) -> bool:
    """Whether the same values were set, for whatever reason."""
    wanted, found = ({(change.objective, change.field, change.value) for change in side} for side in (asked, made))
    return wanted == found


def _tried(observation: Observation, names: Mapping[str, str]) -> tuple[str, ...]:
    """What the last attempt changed, one line each."""
    return attempt_lines(observation, 1, names)[0].changes


def _targets(observation: Observation) -> Iterator[TargetLine]:
    for target in observation.targets:
        dose_gy = observation.prescriptions_gy[target]
        yield TargetLine(label(observation, target), dose_gy, observation.volumes_cc.get(target))


def _overlaps(observation: Observation) -> Iterator[OverlapLine]:
    for organ, percent in observation.overlap_percent.items():
        if percent >= OVERLAPS_PERCENT:
            yield OverlapLine(label(observation, organ), percent)


def _goal_json(goal: GoalLine) -> dict[str, Any]:
    return {
        "structure": goal.structure,
        "metric": goal.metric,
        "comparator": goal.comparator,
        "limit": goal.limit,
        "acceptable": goal.acceptable,
        "rank": goal.rank,
        "value": None if goal.value is None else round(goal.value, 3),
        "status": goal.status,
    }


def _lines_of_json(value: Any) -> str:
    """JSON with one line for each entry of the outer lists and objects, so that it is short and can still be read."""
    if isinstance(value, Mapping) and any(isinstance(item, Mapping | list) for item in value.values()):
        parts = (f"{_json(key)}: {_entries_of_json(item)}" for key, item in value.items())
        return "{\n" + ",\n".join(parts) + "\n}"
    return _entries_of_json(value)


def _entries_of_json(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        return "{\n" + ",\n".join(f"  {_json(key)}: {_json(item)}" for key, item in value.items()) + "\n}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"  {_json(item)}" for item in value) + "\n]"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _relations(observation: Observation, present: Step, names: Mapping[str, str]) -> Iterator[Relation]:
    priority = {state.name: state.priority for state in present.objectives}
    for limited, at_most, reference in observation.limits.ratios:
        ceiling = at_most * priority[reference]
        yield Relation(names[limited], at_most, names[reference], priority[limited], ceiling)


def _levers(present: Step, names: Mapping[str, str]) -> Levers:
    states = [state for state in present.objectives if state.may_change]
    rings = sorted((state for state in states if state.place.region == "ring"), key=lambda s: s.place.distance_mm)
    targets = [state for state in states if state.place.region == "target"]
    lower = [state for state in targets if state.type in ("lower", "min")]
    outside = [state for state in states if state.place.region == "external"]

    def named(chosen: Sequence[ObjectiveState]) -> tuple[str, ...]:
        return tuple(names[state.name] for state in chosen)

    return Levers(
        coverage=named(lower),
        hot_spot=named([*(state for state in targets if state not in lower), *outside]),
        inner_ring=named(rings[:1]),
        outer_rings=named(rings[1:]),
        organs=named([state for state in states if state.place.region == "organ"]),
    )


def _pace(observation: Observation) -> Pace:
    """Coarse: half to all of the largest step; fine: a tenth to a quarter of it.

    The zero-shot paper (arXiv 2510.11754) steps coarsely first and finely later; the numbers are our own choice.
    """
    made, limits = len(observation.history), observation.limits
    is_coarse = made <= observation.attempts_left
    low, high = (0.5, 1.0) if is_coarse else (0.1, 0.25)
    return Pace(
        word="coarse" if is_coarse else "fine",
        dose_percent=(low * limits.dose_step_percent, high * limits.dose_step_percent),
        priority_factor=(limits.priority_factor_per_step**low, limits.priority_factor_per_step**high),
    )


def _priors(present: Step) -> Priors | None:
    states = [state for state in present.objectives if state.may_change]
    if not states:
        return None
    return Priors(
        dose_gy=(min(s.dose_bounds_gy[0] for s in states), max(s.dose_bounds_gy[1] for s in states)),
        priority=(min(s.priority_bounds[0] for s in states), max(s.priority_bounds[1] for s in states)),
    )


def _hints(hints: PlanningHints) -> Hints:
    facts = [_PENALTIES[hints.penalty_form]]
    if hints.normalised_by_structure_volume:
        facts.append("A priority means the same for a small and a large structure.")
    else:
        facts.append("The same priority weighs more in a large structure than in a small one.")
    if (percent := hints.dose_between_objective_and_goal_percent) is not None:
        facts.append(f"An upper objective is usefully set {percent:g} % below the dose that is wanted.")
    if hints.warm_start_keeps_fluence:
        facts.append("Each optimisation goes on from the fluence of the attempt it starts from.")
    else:
        facts.append("Each optimisation begins anew, whatever attempt it starts from.")
    return Hints(tuple(facts), fenced(hints.texts))


def _knowledge(observation: Observation, present: Step, names: Mapping[str, str]) -> KnowledgeTable | None:
    table = observation.knowledge
    if table is None:
        return None
    lines = [
        line
        for state in present.objectives
        if state.type == "hot"
        for line in _knowledge_lines(table, state, observation, present, names)
    ]
    return KnowledgeTable(table.title, table.provenance, table.runs, tuple(lines))


def _knowledge_lines(
    table: Knowledge, state: ObjectiveState, observation: Observation, present: Step, names: Mapping[str, str]
) -> Iterator[KnowledgeLine]:
    """The structure's own ranges; those of any structure of its kind where the table has none of its own."""
    structure = label(observation, state.structure)
    own = [found for found in table.ranges if found.structure == structure]
    kind = "any target" if state.place.region == "target" else "any organ"
    left_out = _NOT_OF_POINTS if observation.task.upper_points else ()
    for found in own or [found for found in table.ranges if found.structure == kind]:
        if found.parameter in left_out:
            continue
        now = _now(found.parameter, state, observation, present)
        yield KnowledgeLine(names[state.name], _SYMBOLS[found.parameter], found, now, not own)


def _now(parameter: Parameter, state: ObjectiveState, observation: Observation, present: Step) -> float | None:
    if parameter == "lambda":
        return state.priority
    if parameter == "V":
        return (state.volume_percent or 0.0) / 100.0
    if parameter == "tau":
        return state.dose_gy / max(observation.prescriptions_gy.values())
    targets = [other.priority for other in present.objectives if other.type == "hot" and other.place.region == "target"]
    return max(targets) / state.priority if targets and state.priority > 0.0 else None


def _remarks(observation: Observation) -> Iterator[RemarkLine]:
    for remark in observation.remarks:
        changes = tuple(told_line(line, observation) for line in remark.changes)
        yield RemarkLine(remark.attempt, changes, told_prose(remark.reason, observation))
