"""The loop on the simulated TPS, over gRPC: it plans, keeps the best, restores it, and leaves an honest trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from coarse import COARSE, Limited

from agent import protocols
from agent.goals import describe, score, unmet
from agent.loop import Budget, Options, run
from agent.observation import Observation
from agent.planners import Planner
from agent.planners.rules import Rules
from agent.preparation import PreparationError
from agent.proposal import Change, CheckFailure, Decision, Ending, Fault, Proposal, Verdict
from agent.protocols import LoadedProtocol
from agent.records import GoalStatus, RunResult
from agent.review import Reviewer, Sheet, accept, edit, reject, stop
from agent.trace import Progressed, Tell, Trace, read, verify
from bridge import model, testing
from bridge.backends.simulator import Simulator
from bridge.client import Client
from sim_tps.cases import make_case

NOMINAL = Options()


@dataclass
class Scripted:
    """A planner that plays a list of proposals, then stops."""

    proposals: list[Proposal]
    seen: list[Observation]
    name: str = "scripted"
    arm: Mapping[str, Any] = field(default_factory=dict)

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        self.seen.append(observation)
        return self.proposals.pop(0) if self.proposals else Proposal("The script is over.", stop=True)


@pytest.fixture(scope="module")
def coarse() -> LoadedProtocol:
    return protocols.read(COARSE, "coarse.yaml")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a simulated TPS that has the TG-119 phantom."""
    simulator = Simulator(tmp_path_factory.mktemp("tps"))
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as connected:
        yield connected


@dataclass
class Finished:
    result: RunResult
    trace: Path
    progress: list[Progressed]


def plan(
    client: Client,
    protocol: LoadedProtocol,
    planner: Planner,
    folder: Path,
    attempts: int = 3,
    options: Options = NOMINAL,
    reviewer: Reviewer | None = None,
) -> Finished:
    case = client.patients()[0].name
    progress: list[Progressed] = []
    path = folder / "trace.jsonl"
    with Trace(path) as trace, client.session(case, model.SessionMode.READ_WRITE) as session:
        result = run(
            client,
            session,
            case,
            protocol,
            planner,
            trace=trace,
            options=replace(options, budget=Budget(attempts=attempts)),
            reviewer=reviewer,
            on_event=lambda event: progress.append(event) if isinstance(event, Progressed) else None,
        )
    return Finished(result, path, progress)


@pytest.fixture(scope="module")
def finished(client: Client, coarse: LoadedProtocol, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Three attempts of the rules planner."""
    return plan(client, coarse, Rules(), tmp_path_factory.mktemp("run"))


def test_every_attempt_is_normalised_to_the_coverage_point(finished: Finished) -> None:
    """D95 of the target is 50.00 Gy in each attempt, whatever the optimiser left."""
    values = [goal.value for attempt in finished.result.attempts for goal in attempt.goals if goal.metric == "D95%[Gy]"]
    assert values == pytest.approx([50.0] * len(finished.result.attempts), abs=0.005)


def test_the_best_attempt_has_the_smallest_score(finished: Finished) -> None:
    """The attempt restored at the end is the one that the written score calls best."""
    scores = {attempt.number: score(attempt.goals) for attempt in finished.result.attempts}
    assert scores[finished.result.best] == min(scores.values())


def test_the_routine_improves_on_the_protocols_own_objectives(finished: Finished) -> None:
    """Something that the first attempt did not reach is nearer in the best one."""
    assert score(finished.result.best_attempt.goals) < score(finished.result.attempts[0].goals)


def test_an_absent_organ_is_shown_and_never_met(finished: Finished) -> None:
    """The goal on a liver that a phantom does not have is not evaluable, with the reason."""
    (liver,) = (goal for goal in finished.result.best_attempt.goals if goal.structure == "Liver")
    assert (liver.status, liver.note) == (GoalStatus.NOT_EVALUABLE, "the patient has no Liver")


def test_an_empty_helper_is_left_out_and_reported(finished: Finished) -> None:
    """A recipe that leaves nothing makes no structure, and a note says so."""
    assert any(note.startswith("Helper zNothing left out") for note in finished.result.notes)
    assert "zNothing" not in {structure.label for structure in finished.result.structures}


def test_a_goal_left_open_names_its_conflict(finished: Finished) -> None:
    """The 5 Gy that the core cannot have is explained, and so is every other goal left open."""
    left_open = [describe(goal) for goal in unmet(finished.result.best_attempt.goals, 1, 2, 3)]
    assert "Core D10%[Gy] <= 5" in left_open
    assert [conflict.goals[0] for conflict in finished.result.conflicts] == left_open


def test_the_trace_is_whole_and_counts_every_call(finished: Finished) -> None:
    """The chain verifies, and the calls counted are the calls traced."""
    assert verify(finished.trace).ok
    lines = read(finished.trace)
    assert sum(line["event"] == "TpsCalled" for line in lines) == finished.result.tps_calls
    assert lines[-1]["event"] == "Ended"


def test_the_restored_plan_measures_as_recorded(finished: Finished) -> None:
    """The trace holds the comparison made after the restore, and nothing differed."""
    (restored,) = (line["data"] for line in read(finished.trace) if line["event"] == "Restored")
    assert restored["attempt"] == finished.result.best
    assert finished.result.restoration is not None
    assert restored["restoration"]["largest_difference_percent"] < 1e-3
    assert (finished.result.restoration.exact, finished.result.restoration.within) == (True, True)


def test_goals_are_judged_on_the_final_dose(finished: Finished) -> None:
    """Every attempt is sequenced before it is evaluated, and the plan left behind has MU and can be delivered."""
    result = finished.result
    assert {attempt.dose.kind for attempt in result.attempts} == {model.DoseKind.FINAL}
    assert result.plan.deliverable
    assert result.mu_per_fraction == pytest.approx(sum(beam.meterset_mu or 0.0 for beam in result.beams))
    assert (result.mu_per_fraction or 0.0) > 100.0
    assert "sequencing leaves" in {event.progress.stage for event in finished.progress}


def test_what_sequencing_did_is_recorded(finished: Finished) -> None:
    """Each attempt keeps D95 and maximum before and after; D95 after is what the normalisation then scales to 50 Gy."""
    evaluated = [line["data"] for line in read(finished.trace) if line["event"] == "Evaluated"]
    for attempt, traced in zip(finished.result.attempts, evaluated, strict=True):
        coverage, hottest = attempt.sequencing
        assert (coverage.what, hottest.what) == ("OuterTarget D95%", "hottest point")
        assert coverage.after_gy * (attempt.normalization_percent or 0.0) / 100.0 == pytest.approx(50.0, rel=1e-4)
        assert hottest.after_gy != hottest.before_gy
        assert traced["sequencing"][0]["before_gy"] == coverage.before_gy


def test_progress_is_shown_but_not_traced(finished: Finished) -> None:
    """A listener hears of iterations; the trace stays short."""
    assert finished.progress
    assert not any(line["event"] == "Progressed" for line in read(finished.trace))


@pytest.fixture(scope="module")
def scripted(client: Client, coarse: LoadedProtocol, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Attempt 2 gives up the core; attempt 3 starts from attempt 1 again and pulls it."""
    spoil = Proposal("Worse on purpose.", (Change("Core upper", "priority", 20.0, "test"),))
    pull = Proposal("Back and pull.", (Change("Core upper", "priority", 100.0, "test"),), start_from=1)
    return plan(client, coarse, Scripted([spoil, pull], []), tmp_path_factory.mktemp("scripted"), attempts=9).result


def test_a_worse_attempt_is_not_kept(scripted: RunResult) -> None:
    """Giving up the core is recorded, and not what is left behind."""
    assert not scripted.attempts[1].kept
    assert scripted.best != 2
    assert scripted.stop_reason == "The script is over."


def test_a_proposal_starts_from_the_attempt_it_names(scripted: RunResult) -> None:
    """Started from attempt 1, attempt 3 has its own change and none of attempt 2."""
    priorities = [[objective.spec.priority for objective in attempt.objectives] for attempt in scripted.attempts]
    assert priorities == [[300, 50, 40, 900], [300, 20, 40, 900], [300, 100, 40, 900]]


def test_refused_proposals_are_told_and_end_the_run(client: Client, coarse: LoadedProtocol, tmp_path: Path) -> None:
    """A planner that only proposes nonsense sees why each time, and the first attempt stays."""
    nonsense = Proposal("?", (Change("Core upper", "priority", 1e6, "?"),))
    planner = Scripted([nonsense] * 10, [])
    result = plan(client, coarse, planner, tmp_path).result
    assert len(result.attempts) == 1
    assert "refused 4 times" in result.stop_reason
    assert [len(observation.rejected) > 0 for observation in planner.seen] == [False, True, True, True]


def test_a_budget_of_one_attempt_is_told_as_one(client: Client, coarse: LoadedProtocol, tmp_path: Path) -> None:
    """The planner is not even asked, and the sentence is English."""
    planner = Scripted([], [])
    assert plan(client, coarse, planner, tmp_path, attempts=1).result.stop_reason == (
        "The budget of 1 attempt is spent."
    )
    assert planner.seen == []


def test_a_missing_target_is_refused_with_what_the_patient_has(
    client: Client, coarse: LoadedProtocol, tmp_path: Path
) -> None:
    """Without its target a patient is not planned; the error lists the structures, the trace ends with it."""
    text = COARSE.replace("OuterTarget", "PTV_Lung").replace("aliases: [PTV]", "aliases: []")
    with pytest.raises(PreparationError, match=r"PTV_Lung.*OuterTarget"):
        plan(client, protocols.read(text, "lung.yaml"), Rules(), tmp_path)
    assert read(tmp_path / "trace.jsonl")[-1]["event"] == "Failed"
    assert verify(tmp_path / "trace.jsonl").ok


def test_where_only_settings_come_back_the_plan_is_made_again(coarse: LoadedProtocol, tmp_path: Path) -> None:
    """With CONFIG_ONLY snapshots the best attempt is optimised again, and what then comes out is what is reported."""
    simulator = Limited(tmp_path / "tps", without=(), instead={"snapshot.restore": "CONFIG_ONLY"})
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as connected:
        result = plan(connected, coarse, Scripted([], []), tmp_path).result
    lines = read(tmp_path / "trace.jsonl")
    (restored,) = (line["data"] for line in lines if line["event"] == "Restored")
    assert restored["restoration"]["exact"] is False
    assert result.restoration is not None
    assert result.restoration.tolerance_percent == 2.0
    assert sum(line["event"] == "Optimised" for line in lines) == 2
    assert result.best_attempt.goals[0].value == pytest.approx(50.0, abs=0.005)


REFINED = COARSE.replace(
    "objectives:\n",
    """stages:
  - id: refinement
    title: A colder core, and a hotter target is allowed
    goals:
      - {structure: Core, goal: "D10%[Gy] <= 1", rank: 2}
objectives:
  - {structure: BODY, type: upper, dose_gy: 40, volume_percent: 10, priority: 0, stage: refinement}
""",
).replace('"D10%[Gy] <= 25"', '"D10%[Gy] <= 45"')
"""The first attempt is acceptable; the refinement asks for what cannot be had."""


@pytest.fixture(scope="module")
def refined(client: Client, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, list[Observation]]:
    """A refinement in which one attempt loses coverage-for-core, and one improves."""
    spoil = Proposal("Gives up the core.", (Change("Core upper", "priority", 17.0, "test"),))
    pull = Proposal("Pulls the core.", (Change("Core upper", "priority", 149.0, "test"),))
    done = Proposal("First stage is over.", stop=True)
    planner = Scripted([done, spoil, pull], [])
    protocol = protocols.read(REFINED, "refined.yaml")
    folder = tmp_path_factory.mktemp("refined")
    return plan(client, protocol, planner, folder, attempts=9, options=Options(stages=True)), planner.seen


def test_a_refinement_judges_by_its_own_goals(refined: tuple[Finished, list[Observation]]) -> None:
    """In the later stage its goal has taken the place of the first one, and each attempt says which stage it is of."""
    result = refined[0].result
    assert [attempt.stage for attempt in result.attempts] == ["", "refinement", "refinement"]
    assert "Core D10%[Gy] <= 1" in {describe(goal) for goal in result.attempts[1].goals}


def test_a_refinement_keeps_nothing_worse(refined: tuple[Finished, list[Observation]]) -> None:
    """The attempt that made a goal worse says which and is not kept, whatever else it won; the other one is."""
    _, spoilt, pulled = refined[0].result.attempts
    assert any("Core D10%" in line for line in spoilt.lost)
    assert (spoilt.kept, pulled.kept, pulled.lost) == (False, True, ())
    assert refined[0].result.best == 3


def test_a_refinement_frees_its_own_objectives(refined: tuple[Finished, list[Observation]]) -> None:
    """The objective that belongs to the later stage may be changed there and not before."""
    before, after = (
        next(state for state in seen.shown.objectives if state.name == "BODY upper 1") for seen in refined[1][:2]
    )
    assert (before.may_change, after.may_change) == ((), ("priority", "dose_gy"))


def test_without_stages_a_run_ends_with_the_first(client: Client, tmp_path: Path) -> None:
    """A planner that does not refine is never shown the later goals."""
    result = plan(client, protocols.read(REFINED, "refined.yaml"), Scripted([], []), tmp_path).result
    assert {attempt.stage for attempt in result.attempts} == {""}


@dataclass
class Person:
    """A reviewer that plays a list of answers."""

    answers: list[Callable[[Sheet], Decision]]
    shown: list[tuple[Sheet, tuple[CheckFailure, ...]]] = field(default_factory=list)

    def decide(self, sheet: Sheet, problems: tuple[CheckFailure, ...] = ()) -> Decision:
        self.shown.append((sheet, problems))
        return self.answers.pop(0)(sheet)


PULL = Proposal("Pull the core.", (Change("Core upper", "priority", 100.0, "test"),))


def test_a_rejection_reaches_the_next_question(client: Client, coarse: LoadedProtocol, tmp_path: Path) -> None:
    """The reason a person gives is in what the planner is shown next, and the proposal was not carried out."""
    planner = Scripted([PULL, PULL], [])
    person = Person([lambda s: reject(s, "too strong for the parotid", by="test"), partial(stop, by="test")] * 2)
    result = plan(client, coarse, planner, tmp_path, 5, Options(review="each"), person).result
    assert [remark.reason for remark in planner.seen[1].remarks] == ["too strong for the parotid"]
    assert len(result.attempts) == 1
    assert result.stop_reason.startswith("Stopped by the reviewer")


def test_an_edit_is_checked_and_takes_the_planners_place(
    client: Client, coarse: LoadedProtocol, tmp_path: Path
) -> None:
    """An edit beyond the limits comes back with what is wrong; the next one is what the plan gets."""
    wild = (Change("Core upper", "priority", 990.0, "mine"),)
    mine = (Change("Core upper", "priority", 80.0, "mine"),)
    person = Person([partial(edit, changes=wild, by="test"), partial(edit, changes=mine, by="test"),
                     partial(stop, by="test"), partial(accept, by="test")])  # fmt: skip
    result = plan(client, coarse, Scripted([PULL, PULL], []), tmp_path, 5, Options(review="each"), person).result
    assert [failure.fault for failure in person.shown[1][1]] == [Fault.STEP]
    assert 80.0 in [objective.spec.priority for objective in result.attempts[1].objectives]
    assert result.format_errors == {}, "a person's slip is not the planner's"


def test_the_plan_is_shown_with_the_digest_that_commits_it(
    client: Client, coarse: LoadedProtocol, tmp_path: Path
) -> None:
    """A final review before a commit sees the plan's sheet; what was said is in the result and in the trace."""
    person = Person([partial(accept, by="test")])
    options = Options(review="final", commits=True)
    result = plan(client, coarse, Scripted([], []), tmp_path, 1, options, person).result
    ((sheet, _),) = person.shown
    assert (sheet.kind, bool(sheet.commit_digest)) == ("plan", True)
    assert result.decision is not None
    assert (result.decision.digest, result.commit_digest) == (sheet.digest, sheet.commit_digest)
    assert [line["data"]["what"] for line in read(tmp_path / "trace.jsonl") if line["event"] == "Reviewed"] == ["plan"]


def test_faults_are_counted_by_kind(client: Client, coarse: LoadedProtocol, tmp_path: Path) -> None:
    """Each refused proposal counts under its fault, in the result and in the trace's end."""
    nonsense = Proposal("?", (Change("Core upper", "priority", 1e6, "?"),))
    unreadable = Proposal("", unreadable=(CheckFailure(Fault.NO_JSON, "", "", None, "no JSON", "a JSON object"),))
    result = plan(client, coarse, Scripted([unreadable, nonsense], []), tmp_path).result
    assert result.format_errors == {"no-json": 1, "out-of-range": 1, "step-too-large": 1}
    assert read(tmp_path / "trace.jsonl")[-1]["data"]["format_errors"] == result.format_errors


def test_a_sheet_promises_no_saving_where_nothing_is_saved(
    client: Client, coarse: LoadedProtocol, tmp_path: Path
) -> None:
    """Without a commit to come, the plan's sheet has no digest of pending changes."""
    person = Person([partial(accept, by="test")])
    plan(client, coarse, Scripted([], []), tmp_path, 1, Options(review="final"), person)
    assert person.shown[0][0].commit_digest == ""


def test_a_decision_on_another_sheet_is_asked_for_again(client: Client, coarse: LoadedProtocol, tmp_path: Path) -> None:
    """A late answer to an earlier sheet changes nothing; the present sheet is shown again with what was wrong."""

    def late(sheet: Sheet) -> Decision:
        return replace(accept(sheet, by="test"), digest="another")

    person = Person([late, partial(accept, by="test")])
    result = plan(client, coarse, Scripted([], []), tmp_path, 1, Options(review="final"), person).result
    assert result.decision is not None
    assert result.decision.verdict is Verdict.ACCEPT
    assert [len(problems) for _, problems in person.shown] == [0, 1]


def test_rules_try_something_else_after_a_rejection(client: Client, coarse: LoadedProtocol, tmp_path: Path) -> None:
    """What a person turned down is not proposed again."""
    person = Person([lambda s: reject(s, "no", by="test"), partial(stop, by="test"), partial(accept, by="test")])
    plan(client, coarse, Rules(), tmp_path, 5, Options(review="each"), person)
    first, second = (sheet.objectives for sheet, _ in person.shown[:2])
    assert first != second


class SettingsOnly(Limited):
    """A TPS whose snapshots hold objectives alone: after a restore the dose is still that of the last optimisation."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, without=(), instead={"snapshot.restore": "CONFIG_ONLY"})
        self._kept: dict[str, list[model.ObjectiveSpec]] = {}

    def create_snapshot(self, plan: str, label: str) -> model.Snapshot:
        made = super().create_snapshot(plan, label)
        self._kept[made.name] = [objective.spec for objective in self.objectives(plan)]
        return made

    def restore_snapshot(self, snapshot: str) -> model.Plan:
        plan = snapshot.partition("/snapshots/")[0]
        self.replace_objectives(plan, self._kept[snapshot])
        return self.plan(plan)


def test_where_only_settings_come_back_a_stage_begins_from_the_plan_made_again(tmp_path: Path) -> None:
    """The baseline of a refinement is optimised anew, and not measured on the dose of whatever came last."""
    simulator = SettingsOnly(tmp_path / "tps")
    simulator.tps.add_patient(make_case("tg119"))
    spoil = Proposal("Worse on purpose.", (Change("Core upper", "priority", 17.0, "test"),))
    planner = Scripted([spoil, Proposal("First stage is over.", stop=True)], [])
    text = REFINED.replace('"D10%[Gy] <= 45"', '"D10%[Gy] <= 2", acceptable: 60')
    with testing.serve(simulator) as server, server.client() as connected:
        finished = plan(connected, protocols.read(text, "refined.yaml"), planner, tmp_path, 9, Options(stages=True))
    (began,) = (line["data"] for line in read(finished.trace) if line["event"] == "StageBegan")
    core = [next(g.value for g in attempt.goals if g.structure == "Core") for attempt in finished.result.attempts]
    measured = next(goal["value"] for goal in began["goals"] if goal["structure"] == "Core")
    assert (began["baseline"], finished.result.best) == (1, 1)
    assert measured == pytest.approx(core[0], rel=0.02)
    assert measured != pytest.approx(core[1], rel=0.02)


BACK_TO_SECOND = [
    Proposal("Something else.", (Change("Core upper", "priority", 25.0, "test"),)),
    Proposal("First stage is over.", stop=True),
    Proposal("From the second.", (Change("BODY upper 1", "priority", 5.0, "test"),), start_from=2),
]


def test_a_refinement_starts_from_the_attempt_it_names(client: Client, tmp_path: Path) -> None:
    """Started from attempt 2 while the plan stands at the baseline, the server holds what is recorded of attempt 2."""
    protocol = protocols.read(REFINED, "refined.yaml")
    finished = plan(client, protocol, Scripted([*BACK_TO_SECOND], []), tmp_path, 9, Options(stages=True))
    third = [line["data"] for line in read(finished.trace) if line["event"] == "Evaluated"][2]
    recorded = [state["priority"] for state in third["objectives"]]
    assert recorded == [objective.spec.priority for objective in finished.result.attempts[2].objectives]
    assert 25.0 in recorded


def test_a_run_that_broke_off_is_not_refined(client: Client, tmp_path: Path) -> None:
    """A planner that only proposes nonsense ends the run in its first stage, and the run says how it ended."""
    nonsense = Proposal("?", (Change("Core upper", "priority", 1e6, "?"),))
    protocol = protocols.read(REFINED, "refined.yaml")
    finished = plan(client, protocol, Scripted([nonsense] * 10, []), tmp_path, 9, Options(stages=True))
    assert finished.result.ending is Ending.BROKEN_OFF
    assert not any(line["event"] == "StageBegan" for line in read(finished.trace))


def test_a_refinement_in_vain_is_forgotten(client: Client, tmp_path: Path) -> None:
    """Where the baseline stays the best, the plan is judged by the goals it was made for, and the run says so."""
    protocol = protocols.read(REFINED, "refined.yaml")
    result = plan(client, protocol, Scripted([], []), tmp_path, 9, Options(stages=True)).result
    assert "Core D10%[Gy] <= 45" in {describe(goal) for goal in result.best_attempt.goals}
    assert result.first_stage_goals == ()
    assert result.stop_reason.endswith("The refinement found nothing better.")


def test_a_refined_plan_is_reported_by_both_stages_goals(refined: tuple[Finished, list[Observation]]) -> None:
    """The plan left behind has the first stage's goals beside its own, so that it compares with an unrefined one."""
    result = refined[0].result
    first, last = (
        {describe(goal) for goal in goals} for goals in (result.first_stage_goals, result.best_attempt.goals)
    )
    assert "Core D10%[Gy] <= 45" in first - last
    assert "Core D10%[Gy] <= 1" in last - first


def test_a_later_stage_says_what_is_new(refined: tuple[Finished, list[Observation]]) -> None:
    """The planner is told the stage's own goals in words, and none in the first stage."""
    first, *later = (seen.new_goals for seen in refined[1])
    assert first == ()
    assert set(later) == {("Core D10%[Gy] <= 1",)}
