"""Review: a sheet shows what would change, its digest stands for all of it, and a decision has to fit it."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from enum import Enum
from typing import Any

import pytest
from observations import LIMITS, OBJECTIVES, PLACES, goal, step

from agent.observation import Observation, Step, Task
from agent.proposal import Change, Decision, Proposal, Verdict
from agent.records import GoalStatus
from agent.review import (
    GoalChange,
    ObjectiveDiff,
    ReviewError,
    Sheet,
    accept,
    changes,
    edit,
    edited,
    judge,
    plan_sheet,
    proposal_sheet,
    reject,
    remark,
    revised,
    stop,
)

FIRST = step(1, goal("Brain", "Mean[Gy] <= 20", 12.0, rank=2), goal("Core", "D10%[Gy] <= 25", 30.0))
TIGHTER = (*OBJECTIVES[:2], replace(OBJECTIVES[2], priority=125.0), *OBJECTIVES[3:])
SECOND = step(2, *(replace(g, value=24.0, status=GoalStatus.MET) for g in FIRST.goals), objectives=TIGHTER)
PROPOSAL = Proposal(
    "The organ is spared; now the target.",
    (Change("PTV upper", "dose_gy", 52.5, "PTV Max[Gy] is at 58."), Change("Core upper", "priority", 150.0, "More.")),
)
SHEET = Sheet(
    kind="proposal",
    attempt=3,
    rationale="why",
    objectives=(
        ObjectiveDiff("Core upper", "priority", 50.0, 125.0, "", True, "it is high"),
        ObjectiveDiff("Core upper", "dose_gy", 18.0, 18.0, "Gy", True),
        ObjectiveDiff("Core upper", "volume_percent", 0.0, 0.0, "%", False),
    ),
    goals=(GoalChange("Core", "D10%[Gy]", "<=", 25.0, 30.0, 24.0, GoalStatus.MISSED, GoalStatus.MET, 1, "overlap"),),
    notes=("a note",),
    plan_etag="e1",
    commit_digest="c1",
    base=2,
    goals_of=(1, 2),
)
PLAN = replace(SHEET, kind="plan")
PRIORITY = Change("Core upper", "priority", 60.0, "Set in review.")
DOSE = Change("Core upper", "dose_gy", 16.0, "Set in review.")


def observed(*steps: Step, best: int, baseline: int | None = None) -> Observation:
    return Observation(
        history=tuple(replace(each, kept=each.number <= best) for each in steps),
        best=best,
        limits=LIMITS,
        places=PLACES,
        targets=("PTV",),
        prescriptions_gy={"PTV": 50.0},
        overlap_percent={},
        volumes_cc={},
        dvhs={},
        hints=None,
        attempts_left=5,
        task=Task("spine", 5, "D95% of PTV = 50 Gy", 7, hot_fraction=False),
        stage="" if baseline is None else "refinement",
        baseline=baseline,
    )


def different(value: Any) -> Any:
    """Some other value of the same kind."""
    match value:
        case bool():
            return not value
        case Enum():
            return next(other for other in type(value) if other is not value)
        case str():
            return f"{value}!"
        case int() | float():
            return value + 1
        case _:
            return value[:-1]


@pytest.mark.parametrize("name", [field.name for field in fields(Sheet)])
def test_the_digest_stands_for_every_part_of_a_sheet(name: str) -> None:
    """Whatever else a sheet shows, its digest is another one."""
    assert replace(SHEET, **{name: different(getattr(SHEET, name))}).digest != SHEET.digest


@pytest.mark.parametrize(
    ("part", "name"),
    [("objectives", field.name) for field in fields(ObjectiveDiff)]
    + [("goals", field.name) for field in fields(GoalChange)],
)
def test_the_digest_stands_for_every_value_in_a_row(part: str, name: str) -> None:
    """One other value in one row of objectives or goals makes another digest."""
    first, *rest = getattr(SHEET, part)
    changed = replace(first, **{name: different(getattr(first, name))})
    assert replace(SHEET, **{part: (changed, *rest)}).digest != SHEET.digest


def test_equal_sheets_have_equal_digests() -> None:
    """A sheet made again from the same attempts, as another process would, has the same digest."""
    sheets = [proposal_sheet(PROPOSAL, observed(FIRST, SECOND, best=2)) for _ in range(2)]
    assert sheets[0] is not sheets[1]
    assert sheets[0].digest == sheets[1].digest
    assert len(sheets[0].digest) == 64


def test_a_proposal_is_shown_as_it_would_stand() -> None:
    """Every field of every objective is there, from the present attempt; only what is proposed differs."""
    sheet = proposal_sheet(PROPOSAL, observed(FIRST, SECOND, best=2), plan_etag="e4")
    assert (sheet.kind, sheet.attempt, sheet.base, sheet.plan_etag) == ("proposal", 3, 2, "e4")
    assert [str(diff) for diff in sheet.objectives if diff.changed] == [
        "PTV upper: dose 53 → 52.5 Gy",
        "Core upper: priority 125 → 150",
    ]
    assert len(sheet.objectives) == 3 * len(OBJECTIVES)
    assert {diff.field for diff in sheet.objectives if diff.may_change} == {"priority", "dose_gy"}
    assert {(c.objective, c.field, c.value, c.reason) for c in changes(sheet)} == {
        (c.objective, c.field, c.value, c.reason) for c in PROPOSAL.changes
    }


def test_goals_of_a_proposal_are_those_measured_so_far() -> None:
    """The goals run from the best attempt before to the present one, by rank, and a note says that it is so."""
    sheet = proposal_sheet(PROPOSAL, observed(FIRST, SECOND, best=2))
    assert sheet.goals_of == (1, 2)
    assert [(g.structure, g.before, g.after, g.status_before, g.status_after) for g in sheet.goals] == [
        ("Core", 30.0, 24.0, GoalStatus.MISSED, GoalStatus.MET),
        ("Brain", 12.0, 24.0, GoalStatus.MET, GoalStatus.MET),
    ]
    assert "attempts 1 and 2" in sheet.notes[0]
    assert "only once it is optimised" in sheet.notes[0]


def test_an_attempt_that_was_set_back_is_no_measure() -> None:
    """After attempts 1 (kept), 2 (set back) and 3, the goals run from 1 to 3."""
    sheet = proposal_sheet(PROPOSAL, observed(FIRST, SECOND, replace(SECOND, number=3), best=1))
    assert sheet.goals_of == (1, 3)
    assert sheet.goals[0].before == 30.0


def test_the_first_proposal_has_no_attempt_before() -> None:
    """After one attempt there is nothing to compare its goals with."""
    sheet = proposal_sheet(PROPOSAL, observed(FIRST, best=1))
    assert sheet.goals_of == (None, 1)
    assert {(goal.before, goal.status_before) for goal in sheet.goals} == {(None, None)}


def test_going_back_to_an_earlier_attempt_is_said() -> None:
    """A proposal from attempt 1 on is shown against the objectives of attempt 1, and a note says so."""
    sheet = proposal_sheet(replace(PROPOSAL, start_from=1), observed(FIRST, SECOND, best=1))
    assert "Core upper: priority 50 → 150" in [str(diff) for diff in sheet.objectives]
    assert any("start from attempt 1, not from the last" in note for note in sheet.notes)


def test_in_refinement_the_best_attempt_is_what_changes() -> None:
    """With a baseline the changes apply to the best attempt, although the last one is another."""
    sheet = proposal_sheet(PROPOSAL, observed(FIRST, SECOND, best=1, baseline=1))
    assert sheet.base == 1
    assert any("no attempt may be worse than attempt 1" in note for note in sheet.notes)


@pytest.mark.parametrize(
    ("proposal", "said"),
    [(Proposal("enough", stop=True), "attempt 2, the best so far"), (replace(PROPOSAL, is_trial=True), "would happen")],
)
def test_what_is_special_about_a_proposal_is_noted(proposal: Proposal, said: str) -> None:
    """A wish to stop and a trial are told as what they are."""
    sheet = proposal_sheet(proposal, observed(FIRST, SECOND, best=2))
    assert any(said in note for note in sheet.notes)


def test_a_proposal_for_an_unknown_objective_has_no_sheet() -> None:
    """What was not checked is not shown as if it could be done."""
    with pytest.raises(ReviewError, match="'Cord upper', priority, which attempt 2 does not have"):
        proposal_sheet(Proposal("?", (Change("Cord upper", "priority", 1.0, ""),)), observed(FIRST, SECOND, best=2))


def test_a_plan_is_shown_from_the_template_to_the_best() -> None:
    """The final sheet compares first and best attempt, and says what accepting would save."""
    sheet = plan_sheet(FIRST, replace(SECOND, rationale="spare the organ"), "e9", "d" * 64)
    assert (sheet.kind, sheet.attempt, sheet.base, sheet.goals_of) == ("plan", 2, 1, (1, 2))
    assert (sheet.plan_etag, sheet.commit_digest, sheet.rationale) == ("e9", "d" * 64, "spare the organ")
    assert [str(diff) for diff in sheet.objectives if diff.changed] == ["Core upper: priority 50 → 125"]
    assert any("saves the pending changes dddddddddddd" in note for note in sheet.notes)
    assert any("saves nothing" in note for note in plan_sheet(FIRST, FIRST, "e9").notes)


def test_every_answer_fits_its_own_sheet_only() -> None:
    """What the four constructors give names the sheet and its place; on any other sheet it is refused."""
    decisions = (
        accept(SHEET, by="here"),
        edit(SHEET, (PRIORITY,), by="here"),
        reject(SHEET, "too much", by="here"),
        stop(SHEET, by="here"),
    )
    assert [decision.verdict for decision in decisions] == list(Verdict)
    for decision in decisions:
        assert (decision.digest, decision.by) == (SHEET.digest, "here")
        judge(decision, SHEET)
        with pytest.raises(ReviewError, match="show that sheet and ask again"):
            judge(decision, replace(SHEET, notes=()))


@pytest.mark.parametrize("reason", ["", " \n "])
def test_a_rejection_needs_a_reason(reason: str) -> None:
    """Neither the constructor nor a decision from elsewhere can reject in silence."""
    with pytest.raises(ReviewError, match="without a reason"):
        reject(SHEET, reason, by="here")
    with pytest.raises(ReviewError, match="without a reason"):
        judge(Decision(Verdict.REJECT, SHEET.digest, reason), SHEET)


@pytest.mark.parametrize(
    ("sheet", "wanted", "problem"),
    [
        (SHEET, (), "names no change"),
        (
            SHEET,
            (replace(PRIORITY, objective="Cord upper"),),
            "no objective 'Cord upper' was shown; there are 'Core up",
        ),
        (SHEET, (replace(PRIORITY, field="dose"),), "no field 'dose'; it has priority, dose_gy, volume_percent"),
        (SHEET, (replace(DOSE, field="volume_percent"),), "volume is not to be changed"),
        (SHEET, (replace(DOSE, value=math.nan),), "not a finite number"),
        (SHEET, (replace(DOSE, value=18.0),), "dose is 18 already"),
        (SHEET, (DOSE, replace(DOSE, value=17.0)), "set twice"),
        (SHEET, (replace(PRIORITY, value=125.0),), "what was proposed"),
        (PLAN, (DOSE,), "a finished plan is not edited"),
    ],
)
def test_an_edit_that_cannot_be_meant_is_refused(sheet: Sheet, wanted: tuple[Change, ...], problem: str) -> None:
    """Each way in which an edit does not fit the sheet has its own sentence."""
    with pytest.raises(ReviewError, match=problem):
        edit(sheet, wanted, by="here")


@pytest.mark.parametrize("verdict", [Verdict.ACCEPT, Verdict.REJECT, Verdict.STOP])
def test_only_an_edit_carries_changes(verdict: Verdict) -> None:
    """A yes or no that would smuggle in changes is refused."""
    with pytest.raises(ReviewError, match="carries no changes"):
        judge(Decision(verdict, SHEET.digest, "because", (DOSE,)), SHEET)


def test_an_edit_is_drafted_value_by_value() -> None:
    """A draft holds the planner's changes and the person's; set back to before, a change is gone from it."""
    draft = revised(revised(SHEET, "Core upper", "dose_gy", 16.0), "Core upper", "priority", 50.0)
    assert changes(draft) == (DOSE,)
    assert changes(SHEET) == (Change("Core upper", "priority", 125.0, "it is high"),)
    with pytest.raises(ReviewError, match="no objective 'Cord upper' was shown"):
        revised(SHEET, "Cord upper", "dose_gy", 1.0)
    with pytest.raises(ReviewError, match="not a finite number"):
        revised(SHEET, "Core upper", "dose_gy", math.inf)


def test_an_edited_proposal_has_exactly_the_persons_changes() -> None:
    """The planner's changes are gone, its words are kept and marked, and it goes on where it wanted to."""
    planned = replace(PROPOSAL, start_from=1, stop=True)
    made = edited(planned, edit(SHEET, (DOSE,), by="here", reason="too hot"))
    assert made.changes == (DOSE,)
    assert (made.start_from, made.stop) == (1, False)
    assert made.rationale.startswith("Edited in review (too hot)")
    assert PROPOSAL.rationale in made.rationale
    with pytest.raises(ReviewError, match="only an edit changes a proposal, found 'accept'"):
        edited(planned, accept(SHEET, by="here"))


def test_a_rejection_becomes_a_remark() -> None:
    """The planner hears which changes were turned down and why; other answers, or other sheets, make no remark."""
    said = remark(SHEET, reject(SHEET, " spare the target ", by="here"))
    assert (said.attempt, said.changes, said.reason) == (3, ("Core upper: priority 50 → 125",), "spare the target")
    with pytest.raises(ReviewError, match="only a rejection"):
        remark(SHEET, accept(SHEET, by="here"))
    with pytest.raises(ReviewError, match="show that sheet"):
        remark(PLAN, reject(SHEET, "no", by="here"))
