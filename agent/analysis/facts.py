"""What was recorded when something was said: every number of a run, by what it is a number of.

The one idea: a fact is one number with a subject and a quantity. Which facts there are depends on when the words were
written: nothing of a later attempt is known, except what the same proposal sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.analysis.story import Chapter, Story, Text
from agent.metrics import MetricError, parse_metric
from agent.observation import ObjectiveState
from agent.proposal import Field
from agent.records import GoalResult


@dataclass(frozen=True)
class Fact:
    """One recorded number."""

    subject: str
    """Structure or objective; empty for the plan as a whole."""
    quantity: str
    """A metric without its unit (``D95%``), or ``priority dose volume loss tau V normalisation prescription``."""
    value: float
    unit: str
    """``Gy``, ``%``, ``cc``, or empty."""
    where: str
    """``attempt 2``, ``limit``, ``proposed``."""


@dataclass(frozen=True)
class Facts:
    """Everything that was recorded so far."""

    all: tuple[Fact, ...]
    structures: frozenset[str]
    objectives: Mapping[str, str]
    """Objective -> its structure."""


def facts_for(story: Story, text: Text) -> Facts:
    """What was recorded when a text was written, its own changes included, under the names that a model is told."""
    told_as = story.prepared.told_as if story.prepared else {}
    prescriptions_gy = _prescriptions_gy(story)
    highest_gy = max(prescriptions_gy, default=None)
    before = [chapter for chapter in story.chapters if chapter.number < text.attempt and chapter.evaluated]
    states = {state.name: state for state in (story.prepared.states if story.prepared else ())}
    facts = [Fact("", "prescription", dose_gy, "Gy", "prescription") for dose_gy in prescriptions_gy]
    for state in states.values():
        facts += _of_objective(state, "at the start", highest_gy)
    for chapter in before:
        facts += _of_attempt(chapter, highest_gy)
        states |= {state.name: state for state in _states(chapter)}
    for stage in story.stages:
        if stage.baseline < text.attempt:
            facts += [fact for goal in stage.goals for fact in _of_goal(goal, f"start of {stage.stage}")]
    for change in text.changes:
        if change.objective in states:
            facts += _of_field(states[change.objective], change.field, change.value, "proposed", highest_gy)
    return _gathered(facts, states, told_as)


def family(metric: str) -> str:
    """A metric without its unit, in one spelling: ``D95%[Gy]`` and ``D95`` are ``D95%``; as it is where it is none."""
    try:
        return parse_metric(metric).text.partition("[")[0]
    except MetricError:
        return metric


def _gathered(facts: Sequence[Fact], states: Mapping[str, ObjectiveState], told_as: Mapping[str, str]) -> Facts:
    told = tuple(dict.fromkeys(replace(fact, subject=_renamed(fact.subject, told_as)) for fact in facts))
    objectives = {_renamed(s.name, told_as): _renamed(s.structure, told_as) for s in states.values()}
    structures = {fact.subject for fact in told} | set(objectives.values())
    return Facts(told, frozenset(structures - objectives.keys() - {""}), objectives)


def _prescriptions_gy(story: Story) -> tuple[float, ...]:
    prescription = story.prepared.prescription if story.prepared else None
    return tuple(target.total_gy for target in prescription.targets) if prescription else ()


def _states(chapter: Chapter) -> tuple[ObjectiveState, ...]:
    return chapter.evaluated.objectives if chapter.evaluated else ()


def _of_attempt(chapter: Chapter, highest_gy: float | None) -> Iterator[Fact]:
    evaluated, where = chapter.evaluated, f"attempt {chapter.number}"
    if evaluated is None:
        return
    for goal in evaluated.goals:
        yield from _of_goal(goal, where)
    for metric in evaluated.reported:
        if metric.value is not None:
            yield Fact(metric.structure, family(metric.metric), metric.value, metric.unit, where)
    for state in evaluated.objectives:
        yield from _of_objective(state, where, highest_gy)
    if evaluated.normalization_percent is not None:
        yield Fact("", "normalisation", evaluated.normalization_percent, "%", where)


def _of_goal(goal: GoalResult, where: str) -> Iterator[Fact]:
    for value, which in ((goal.value, where), (goal.limit, "limit"), (goal.acceptable, "acceptable")):
        if value is not None:
            yield Fact(goal.structure, family(goal.metric), value, goal.unit, which)


def _of_objective(state: ObjectiveState, where: str, highest_gy: float | None) -> Iterator[Fact]:
    yield from _of_field(state, "priority", state.priority, where, highest_gy)
    yield from _of_field(state, "dose_gy", state.dose_gy, where, highest_gy)
    if state.volume_percent is not None:
        yield from _of_field(state, "volume_percent", state.volume_percent, where, highest_gy)
    if state.value is not None:
        yield Fact(state.name, "loss", state.value, "", where)
    if state.has_gy is not None:
        yield Fact(state.name, "dose", state.has_gy, "Gy", f"the plan of {where}")
    for bound in state.priority_bounds:
        yield Fact(state.name, "priority", bound, "", "bound")
    for bound in state.dose_bounds_gy:
        yield Fact(state.name, "dose", bound, "Gy", "bound")


def _of_field(
    state: ObjectiveState, field: Field, value: float, where: str, highest_gy: float | None
) -> Iterator[Fact]:
    """One field of an objective; of the hot-fraction problem also as its parameters tau and V."""
    is_hot = state.type == "hot"
    match field:
        case "priority":
            yield Fact(state.name, "priority", value, "", where)
        case "dose_gy":
            yield Fact(state.name, "dose", value, "Gy", where)
            if is_hot and highest_gy:
                yield Fact(state.name, "tau", value / highest_gy, "", where)
        case "volume_percent":
            yield Fact(state.name, "volume", value, "%", where)
            if is_hot:
                yield Fact(state.name, "V", value / 100.0, "", where)


def _renamed(name: str, told_as: Mapping[str, str]) -> str:
    """A structure, or an objective that begins with one, as a model was told it."""
    for structure, alias in told_as.items():
        if name == structure or name.startswith(f"{structure} "):
            return alias + name[len(structure) :]
    return name
