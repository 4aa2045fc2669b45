"""What a person is shown before the agent goes on, and what may be answered to it.

The one idea: a person agrees to a sheet, and a sheet has a digest over everything on it. A decision names that digest,
so nobody can be held to have agreed to something else than was shown. Terminal and web console differ only in how they
draw a sheet and ask; what an answer means, and which answers there are, is written here.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from agent.observation import ObjectiveState, Observation, Remark, Step
from agent.plain import to_plain
from agent.proposal import Change, CheckFailure, Decision, Field, Proposal, Verdict
from agent.records import GoalResult, GoalStatus

FIELD_WORD: dict[Field, str] = {"priority": "priority", "dose_gy": "dose", "volume_percent": "volume"}
_UNIT: dict[Field, str] = {"priority": "", "dose_gy": "Gy", "volume_percent": "%"}
_BY_PERSON = "Set in review."
"""Reason of a change that a person made."""


class ReviewError(ValueError):
    """A review that cannot be held, or a decision that does not fit what was shown."""


@dataclass(frozen=True)
class ObjectiveDiff:
    """One field of one objective: as it was, and as it would stand."""

    objective: str
    field: Field
    before: float
    after: float
    unit: str
    may_change: bool
    """Whether a proposal, and so a person's edit, may set it."""
    reason: str = ""
    """Why it changes, in the words of whoever proposed it."""

    @property
    def changed(self) -> bool:
        return self.after != self.before

    def __str__(self) -> str:
        """``Core upper: dose 18 → 16 Gy``."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.objective}: {FIELD_WORD[self.field]} {self.before:g} → {self.after:g}{unit}"


@dataclass(frozen=True)
class GoalChange:
    """One goal in two attempts."""

    structure: str
    metric: str
    comparator: str
    limit: float
    before: float | None
    after: float | None
    status_before: GoalStatus | None
    """None where there is no attempt before, or it had no such goal."""
    status_after: GoalStatus
    rank: int
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """All that a person is shown for one decision."""

    kind: Literal["proposal", "plan"]
    attempt: int
    """The attempt that a proposal would become; of a plan, the best."""
    rationale: str
    objectives: tuple[ObjectiveDiff, ...]
    """Every field of every objective, changed or not, in the protocol's order."""
    goals: tuple[GoalChange, ...]
    notes: tuple[str, ...]
    plan_etag: str
    commit_digest: str
    """Of the pending changes that accepting a plan would save; empty where nothing would be saved."""
    base: int
    """The attempt whose objectives are the ones before."""
    goals_of: tuple[int | None, int]
    """The attempts whose goals are shown, before and after."""

    @property
    def digest(self) -> str:
        """SHA-256 over the sheet as canonical JSON."""
        text = json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


class Reviewer(Protocol):
    """Where a person is asked."""

    def decide(self, sheet: Sheet, problems: tuple[CheckFailure, ...] = ()) -> Decision:
        """Show a sheet and wait for the answer.

        Parameters
        ----------
        problems
            Why the edit that was the last answer to the same sheet cannot be applied.
        """
        ...


def proposal_sheet(proposal: Proposal, observation: Observation, *, plan_etag: str = "") -> Sheet:
    """A proposal before it is applied.

    Its own result is not known yet, so the goals are those of the best attempt before the present one, and the present
    one's; a note says so.

    Raises
    ------
    ReviewError
        The proposal changes an objective that the attempt it starts from does not have.
    """
    base = observation.shown if proposal.start_from is None else observation.step(proposal.start_from)
    last, before = observation.last, _kept_before_last(observation)
    return Sheet(
        kind="proposal",
        attempt=last.number + 1,
        rationale=proposal.rationale,
        objectives=_proposed(proposal, base),
        goals=_goal_changes(before, last),
        notes=tuple(_proposal_notes(proposal, observation, base, before)),
        plan_etag=plan_etag,
        commit_digest="",
        base=base.number,
        goals_of=(None if before is None else before.number, last.number),
    )


def plan_sheet(first: Step, best: Step, plan_etag: str, commit_digest: str = "") -> Sheet:
    """The finished plan: objectives and goals from the protocol's template to the best attempt.

    Parameters
    ----------
    commit_digest
        Of the pending changes that accepting would save.
    """
    return Sheet(
        kind="plan",
        attempt=best.number,
        rationale=best.rationale,
        objectives=_differences(first.objectives, best.objectives),
        goals=_goal_changes(first, best),
        notes=tuple(_plan_notes(first, best, commit_digest)),
        plan_etag=plan_etag,
        commit_digest=commit_digest,
        base=first.number,
        goals_of=(first.number, best.number),
    )


def accept(sheet: Sheet, *, by: str) -> Decision:
    """Yes to exactly this sheet."""
    return _judged(Decision(Verdict.ACCEPT, sheet.digest, by=by), sheet)


def edit(sheet: Sheet, changes: tuple[Change, ...], *, by: str, reason: str = "") -> Decision:
    """These changes, all of them, in place of those shown."""
    return _judged(Decision(Verdict.EDIT, sheet.digest, reason, changes, by), sheet)


def reject(sheet: Sheet, reason: str, *, by: str) -> Decision:
    """No, and why; the planner is told."""
    return _judged(Decision(Verdict.REJECT, sheet.digest, reason, by=by), sheet)


def stop(sheet: Sheet, *, by: str, reason: str = "") -> Decision:
    """Nothing more, and nothing of this."""
    return _judged(Decision(Verdict.STOP, sheet.digest, reason, by=by), sheet)


def revised(sheet: Sheet, objective: str, field: Field, value: float) -> Sheet:
    """The sheet as it would read with this value: the draft of an edit.

    Raises
    ------
    ReviewError
        Nothing of this name is on the sheet, it is not to be changed, or the value is no number.
    """
    present = _on(sheet, objective, field)
    _check_value(present, value)
    draft = replace(present, after=value, reason=_BY_PERSON)
    return replace(sheet, objectives=tuple(draft if diff is present else diff for diff in sheet.objectives))


def changes(sheet: Sheet) -> tuple[Change, ...]:
    """What a sheet, or the draft of an edit, changes."""
    return tuple(Change(diff.objective, diff.field, diff.after, diff.reason) for diff in _changed(sheet))


def judge(decision: Decision, sheet: Sheet) -> None:
    """Refuse a decision that does not fit what was shown.

    Raises
    ------
    ReviewError
        It was made on another sheet, rejects without a reason, carries changes without being an edit, or is an edit
        of a finished plan, of nothing, or of what is not on the sheet.
    """
    if decision.digest != sheet.digest:
        raise ReviewError(
            f"the decision is on sheet {decision.digest[:12]!r}, but {sheet.digest[:12]!r} was shown for attempt "
            f"{sheet.attempt}; show that sheet and ask again."
        )
    if decision.verdict is Verdict.REJECT and not decision.reason.strip():
        raise ReviewError(f"attempt {sheet.attempt} is rejected without a reason; say what should be different.")
    if decision.verdict is Verdict.EDIT:
        _judge_edit(decision.changes, sheet)
    elif decision.changes:
        raise ReviewError(f"to {decision.verdict} carries no changes, found {len(decision.changes)}; use an edit.")


def edited(proposal: Proposal, decision: Decision) -> Proposal:
    """The proposal with the person's changes in place of the planner's.

    Raises
    ------
    ReviewError
        The decision is no edit.
    """
    if decision.verdict is not Verdict.EDIT:
        raise ReviewError(f"only an edit changes a proposal, found {decision.verdict.value!r}.")
    why = f" ({decision.reason})" if decision.reason else ""
    rationale = f"Edited in review{why}; the planner's own rationale was: {proposal.rationale}"
    return replace(proposal, rationale=rationale, changes=decision.changes, stop=False)


def remark(sheet: Sheet, decision: Decision) -> Remark:
    """What a rejection tells the planner.

    Its lines name objectives as the observation does; whoever sends them to a model renames them first.

    Raises
    ------
    ReviewError
        The decision is no rejection, or not one of this sheet.
    """
    judge(decision, sheet)
    if decision.verdict is not Verdict.REJECT:
        raise ReviewError(f"only a rejection becomes a remark, found {decision.verdict.value!r}.")
    return Remark(sheet.attempt, tuple(map(str, _changed(sheet))), decision.reason.strip())


def _judged(decision: Decision, sheet: Sheet) -> Decision:
    judge(decision, sheet)
    return decision


def _judge_edit(edits: tuple[Change, ...], sheet: Sheet) -> None:
    if sheet.kind == "plan":
        raise ReviewError("a finished plan is not edited; accept it, or reject it and say what should be different.")
    if not edits:
        raise ReviewError("the edit names no change; change something, or reject the proposal.")
    seen = set()
    for change in edits:
        present = _on(sheet, change.objective, change.field)
        _check_value(present, change.value)
        name = f"{change.objective!r}, {FIELD_WORD[change.field]}"
        if change.value == present.before:
            raise ReviewError(f"{name} is {present.before:g} already; leave it out of the edit.")
        if name in seen:
            raise ReviewError(f"{name} is set twice in one edit; set it once.")
        seen.add(name)
    if _values(edits) == _values(changes(sheet)):
        raise ReviewError("the edit is what was proposed; accept the proposal.")


def _values(made: tuple[Change, ...]) -> set[tuple[str, str, float]]:
    return {(change.objective, change.field, change.value) for change in made}


def _on(sheet: Sheet, objective: str, field: str) -> ObjectiveDiff:
    """The one line of the sheet that is meant."""
    of_objective = [diff for diff in sheet.objectives if diff.objective == objective]
    if not of_objective:
        names = ", ".join(dict.fromkeys(repr(diff.objective) for diff in sheet.objectives))
        raise ReviewError(f"no objective {objective!r} was shown; there are {names}.")
    for diff in of_objective:
        if diff.field == field:
            return diff
    fields = ", ".join(diff.field for diff in of_objective)
    raise ReviewError(f"{objective!r} has no field {field!r}; it has {fields}.")


def _check_value(diff: ObjectiveDiff, value: float) -> None:
    name = f"{diff.objective!r}, {FIELD_WORD[diff.field]}"
    if not diff.may_change:
        raise ReviewError(f"{name} is not to be changed in this protocol; it stays {diff.before:g}.")
    if not math.isfinite(value):
        raise ReviewError(f"{name}: {value!r} is not a finite number; give one such as {diff.before:g}.")


def _changed(sheet: Sheet) -> tuple[ObjectiveDiff, ...]:
    return tuple(diff for diff in sheet.objectives if diff.changed)


def _proposed(proposal: Proposal, base: Step) -> tuple[ObjectiveDiff, ...]:
    """The base's objectives with the proposal's changes."""
    asked = {(change.objective, change.field): change for change in proposal.changes}
    shown = _differences(base.objectives, base.objectives)
    if unknown := asked.keys() - {(diff.objective, diff.field) for diff in shown}:
        listed = ", ".join(f"{objective!r}, {FIELD_WORD[field]}" for objective, field in sorted(unknown))
        raise ReviewError(f"the proposal changes {listed}, which attempt {base.number} does not have; check it first.")
    return tuple(_with(diff, asked.get((diff.objective, diff.field))) for diff in shown)


def _with(diff: ObjectiveDiff, change: Change | None) -> ObjectiveDiff:
    return diff if change is None else replace(diff, after=change.value, reason=change.reason)


def _differences(before: tuple[ObjectiveState, ...], after: tuple[ObjectiveState, ...]) -> tuple[ObjectiveDiff, ...]:
    """Every field that the objectives have; both in the protocol's order."""
    return tuple(
        ObjectiveDiff(old.name, field, getattr(old, field), getattr(new, field), unit, field in old.may_change)
        for old, new in zip(before, after, strict=True)
        for field, unit in _UNIT.items()
        if getattr(old, field) is not None
    )


def _kept_before_last(observation: Observation) -> Step | None:
    """The attempt that was the best when the present one was made."""
    earlier = [step for step in observation.history[:-1] if step.kept]
    return earlier[-1] if earlier else None


def _goal_changes(before: Step | None, after: Step) -> tuple[GoalChange, ...]:
    """The goals of one attempt beside the same ones of an earlier attempt, by rank."""
    earlier = {} if before is None else {_identity(goal): goal for goal in before.goals}
    in_order = sorted(after.goals, key=lambda goal: goal.rank)
    return tuple(_goal_change(earlier.get(_identity(goal)), goal) for goal in in_order)


def _goal_change(before: GoalResult | None, after: GoalResult) -> GoalChange:
    return GoalChange(
        after.structure,
        after.metric,
        after.comparator,
        after.limit,
        None if before is None else before.value,
        after.value,
        None if before is None else before.status,
        after.status,
        after.rank,
        after.note,
    )


def _identity(goal: GoalResult) -> tuple[str, str, str, float]:
    return goal.structure, goal.metric, goal.comparator, goal.limit


def _proposal_notes(proposal: Proposal, observation: Observation, base: Step, before: Step | None) -> Iterator[str]:
    last = observation.last
    measured = f"attempt {last.number}" if before is None else f"attempts {before.number} and {last.number}"
    yield f"The goals are those of {measured}; what this proposal gives is known only once it is optimised."
    if base is not last:
        yield f"The changes start from attempt {base.number}, not from the last one, attempt {last.number}."
    if proposal.is_trial:
        yield "The planner asks what would happen; it costs an optimisation like any other attempt."
    if proposal.stop:
        yield f"The planner proposes to stop here; attempt {observation.best}, the best so far, would be the plan."
    if observation.baseline is not None:
        yield f"Stage {observation.stage}: no attempt may be worse than attempt {observation.baseline}."


def _plan_notes(first: Step, best: Step, commit_digest: str) -> Iterator[str]:
    if best.number == first.number:
        yield "The protocol's own objectives gave the best plan."
    if best.normalization_percent is not None:
        yield f"The dose is scaled to {best.normalization_percent:.2f} % of the optimiser's."
    if commit_digest:
        yield f"Accepting saves the pending changes {commit_digest[:12]} on the server."
    else:
        yield "Accepting saves nothing on the server."
