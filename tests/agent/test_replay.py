"""A run is made again from its trace alone, and whatever is not the same is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from coarse import COARSE

from agent import protocols
from agent.actions import ACTIONS
from agent.analysis.story import Story
from agent.command.exit_status import ExitStatus
from agent.command.tracing import replay_run
from agent.language_model.openai_chat import OpenAiChat
from agent.loop import Budget, Options, run
from agent.observation import Observation
from agent.planners import Planner
from agent.planners.catalogue import PlannerOptions, make_planner
from agent.planners.model_planner import ModelPlanner
from agent.planners.recipes import RECIPES
from agent.planners.rules import Rules
from agent.proposal import Change, CheckFailure, Decision, Proposal, Verdict
from agent.replay import Replay, ReplayError, replay
from agent.review import Reviewer, Sheet, accept, edit, reject
from agent.run_folder import INTERRUPTED
from agent.settings import ModelSettings
from agent.talk import ToolCall
from agent.trace import (
    Decided,
    Evaluated,
    Event,
    Failed,
    ModelAsked,
    Proposed,
    Reviewed,
    RunStarted,
    Tell,
    Trace,
    verify,
)
from bridge import model, testing
from bridge.backends.simulator import Simulator
from bridge.client import Client
from sim_tps.cases import make_case
from tests.agent.model_server import Fail, Say, in_turn, serve_model

THREE_ATTEMPTS = Options(Budget(attempts=3))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a simulated TPS that has the TG-119 phantom."""
    simulator = Simulator(tmp_path_factory.mktemp("tps"))
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as connected:
        yield connected


def recorded(
    client: Client,
    folder: Path,
    planner: Planner,
    options: Options = THREE_ATTEMPTS,
    reviewer: Reviewer | None = None,
) -> Path:
    """The trace of a run on the coarse protocol."""
    case, path = client.patients()[0].name, folder / "trace.jsonl"
    protocol = protocols.read(COARSE, "coarse.yaml")
    with Trace(path) as trace, client.session(case, model.SessionMode.READ_WRITE) as session:
        run(client, session, case, protocol, planner, trace=trace, options=options, reviewer=reviewer)
    return path


def replayed(client: Client, path: Path, folder: Path) -> Replay:
    case = client.patients()[0].name
    folder.mkdir()
    with Trace(folder / "trace.jsonl") as trace, client.session(case, model.SessionMode.READ_WRITE) as session:
        return replay(client, session, case, path, trace=trace)


def resealed(path: Path, out: Path, changed: Callable[[Event], Event]) -> Path:
    """The trace with its events changed, sealed as if the run had written it so."""
    with Trace(out) as trace:
        for told in Story.read(path).told:
            trace.write(changed(told.event))
    return out


@pytest.fixture(scope="module")
def by_rules(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three attempts of the rules planner."""
    return recorded(client, tmp_path_factory.mktemp("run"), make_planner("rules", PlannerOptions()))


@pytest.fixture(scope="module")
def repeated(client: Client, by_rules: Path, tmp_path_factory: pytest.TempPathFactory) -> Replay:
    return replayed(client, by_rules, tmp_path_factory.mktemp("again") / "replay")


def test_the_same_is_proposed_and_measured(repeated: Replay) -> None:
    """Every proposal of the replay is the recorded one, and no goal of any attempt has another value."""
    assert repeated.differences == ()
    assert (repeated.attempts, repeated.proposals, repeated.same_proposals) == (3, 2, 2)
    assert repeated.largest_difference_percent <= repeated.tolerance_percent
    assert repeated.ok


def test_the_replay_leaves_a_trace_of_its_own(client: Client, by_rules: Path, tmp_path: Path) -> None:
    """A replay can itself be replayed, with nothing different."""
    first, second = tmp_path / "first", tmp_path / "second"
    replayed(client, by_rules, first)
    assert verify(first / "trace.jsonl").ok
    assert replayed(client, first / "trace.jsonl", second).ok


def test_an_edited_trace_is_refused(client: Client, by_rules: Path, tmp_path: Path) -> None:
    """One changed digit of a recorded value, and nothing is run."""
    touched = tmp_path / "touched.jsonl"
    content = by_rules.read_bytes()
    place = content.index(b'"normalization_percent":') + len(b'"normalization_percent":')
    digit = b"2" if content[place : place + 1] != b"2" else b"3"
    touched.write_bytes(content[:place] + digit + content[place + 1 :])
    with pytest.raises(ReplayError, match=r"not intact in line \d+: the line was edited"):
        replayed(client, touched, tmp_path / "replay")
    assert (tmp_path / "replay" / "trace.jsonl").read_bytes() == b""


def test_another_recorded_proposal_is_named(client: Client, by_rules: Path, tmp_path: Path) -> None:
    """A trace sealed anew around a changed priority is intact; the replay names attempt, change and both values."""
    (before,) = Story.read(by_rules).chapter(2).askings
    wanted = before.proposal.changes[0].value

    def changed(event: Event) -> Event:
        if not isinstance(event, Proposed) or event.attempt != 2:
            return event
        first, *others = event.proposal.changes
        return replace(event, proposal=replace(event.proposal, changes=(replace(first, value=wanted + 1), *others)))

    found = replayed(client, resealed(by_rules, tmp_path / "other.jsonl", changed), tmp_path / "replay")
    assert not found.ok
    assert found.differences == (f"attempt 2, proposal 1, changes 1, value {wanted + 1!r} recorded, {wanted!r} now",)
    assert (found.proposals, found.same_proposals) == (2, 1)


def test_another_recorded_value_is_named(client: Client, by_rules: Path, tmp_path: Path) -> None:
    """A goal's value that was not measured so is a difference, with its size."""

    def changed(event: Event) -> Event:
        if not isinstance(event, Evaluated) or event.attempt != 3:
            return event
        goals = [replace(goal, value=100.0) if goal.metric.startswith("D10%") else goal for goal in event.goals]
        return replace(event, goals=tuple(goals))

    found = replayed(client, resealed(by_rules, tmp_path / "other.jsonl", changed), tmp_path / "replay")
    (difference,) = found.differences
    assert difference.startswith("attempt 3, Core D10%[Gy] <= ")
    assert "100.0 recorded" in difference
    assert found.largest_difference_percent > 10.0


def test_a_run_that_was_cut_off_is_replayed_so_far(client: Client, by_rules: Path, tmp_path: Path) -> None:
    """Without its last lines a trace is replayed up to there, and that is said."""
    told = Story.read(by_rules).told
    second = next(each.line for each in told if isinstance(each.event, Decided) and each.event.attempt == 2)
    whole = by_rules.read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join(whole[:second]) + whole[second][:40])
    found = replayed(client, cut, tmp_path / "replay")
    assert (found.ok, found.attempts, found.proposals) == (True, 2, 1)
    assert found.notes[0].startswith(f"The trace ends after line {second}")


def test_a_failed_run_is_replayed_up_to_its_failure(client: Client, by_rules: Path, tmp_path: Path) -> None:
    """The failure is told; that the replay does not fail there is no difference."""

    told = Story.read(by_rules).told
    second = next(each.line for each in told if isinstance(each.event, Decided) and each.event.attempt == 2)
    failed = tmp_path / "failed.jsonl"
    with Trace(failed) as trace:
        for each in told[:second]:
            trace.write(each.event)
        trace.write(Failed("TpsUnavailable", "The server went away."))
    found = replayed(client, failed, tmp_path / "replay")
    assert (found.ok, found.attempts) == (True, 2)
    assert "failed after 2 attempts with TpsUnavailable: The server went away." in found.notes[0]


def test_a_stop_by_the_clock_is_repeated_where_it_was(client: Client, tmp_path: Path) -> None:
    """A run out of TPS calls after one attempt is replayed with one attempt, though calls are not counted."""
    options = Options(Budget(attempts=3, tps_calls=1))
    path = recorded(client, tmp_path, make_planner("rules", PlannerOptions()), options)
    found = replayed(client, path, tmp_path / "replay")
    assert (found.ok, found.attempts, found.proposals) == (True, 1, 0)
    assert len(Story.read(tmp_path / "replay" / "trace.jsonl").evaluated) == 1


class _Interrupted(Rules):
    """The routine, with a person at the terminal who has pressed Ctrl-C."""

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        return Proposal(f"{INTERRUPTED} by the person at the terminal", stop=True)


def test_a_stop_by_hand_is_repeated_where_it_was(client: Client, tmp_path: Path) -> None:
    """Nobody presses Ctrl-C in the replay, and it ends after the same attempt all the same."""
    path = recorded(client, tmp_path, _Interrupted())
    found = replayed(client, path, tmp_path / "replay")
    assert (found.differences, found.attempts, found.same_proposals) == ((), 1, 1)


def test_planners_that_draw_numbers_draw_the_same(client: Client, tmp_path: Path) -> None:
    """The seed comes from the recorded arm."""
    path = recorded(client, tmp_path, make_planner("random", PlannerOptions(seed=5)))
    found = replayed(client, path, tmp_path / "replay")
    assert (found.ok, found.proposals, found.same_proposals) == (True, 2, 2)


def _asking(base_url: str) -> Planner:
    """The zero-shot planner, without its strategy, asking a model at an address."""
    settings = ModelSettings(model="scripted", base_url=base_url)
    recipe = RECIPES["zero-shot"]
    recipe = replace(recipe, blocks=replace(recipe.blocks, strategy=False))
    return ModelPlanner(recipe, ACTIONS[recipe.action], OpenAiChat(settings, None, first_wait_s=0.01))


def _answer(core_gy: float, *, stop: bool = False) -> str:
    doses_gy = {"OuterTarget lower": 50.5, "Core upper": core_gy, "zRing upper": 46, "BODY upper": 54}
    return json.dumps({"rationale": f"Core: {core_gy} Gy.", "start_from": None, "stop": stop, "doses_gy": doses_gy})


@pytest.fixture(scope="module")
def talked(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model answers prose, then numbers; calls a tool and tries something; then stops."""
    script = in_turn(
        Say("Raise the core, I would think."),
        Say(_answer(19.0), reasoning="The core is too hot."),
        Say(tool_calls=(ToolCall("1", "deviations", "{}"),)),
        Say(tool_calls=(ToolCall("2", "what_if", _answer(18.0)),)),
        Say(_answer(18.0, stop=True)),
    )
    with serve_model(script) as server:
        return recorded(
            client, tmp_path_factory.mktemp("talked"), _asking(server.base_url), Options(Budget(attempts=5))
        )


class _Person:
    """Turns the first proposal down, sets a priority in the next, and accepts everything else."""

    def __init__(self) -> None:
        self._asked = 0

    def decide(self, sheet: Sheet, problems: tuple[CheckFailure, ...] = ()) -> Decision:
        self._asked += 1
        if self._asked == 1:
            return reject(sheet, "Leave the core as it is.", by="test")
        if self._asked == 2:
            return edit(sheet, (Change("Core upper", "priority", 60.0, "Set in review."),), by="test")
        return accept(sheet, by="test")


def test_a_persons_decisions_are_taken_from_the_trace(client: Client, tmp_path: Path) -> None:
    """Rejected, edited and accepted proposals lead to the same attempts, with nobody asked."""
    options = Options(Budget(attempts=3), review="each")
    path = recorded(client, tmp_path, make_planner("rules", PlannerOptions()), options, _Person())
    verdicts = [told.event.decision.verdict for told in Story.read(path).told if isinstance(told.event, Reviewed)]
    assert verdicts[:2] == [Verdict.REJECT, Verdict.EDIT]
    found = replayed(client, path, tmp_path / "replay")
    assert found.differences == ()
    assert found.attempts == 3


def test_a_model_is_answered_from_the_trace(client: Client, talked: Path, tmp_path: Path) -> None:
    """Prose, a tool call, a trial and an answer are gone through again, with no server to ask."""
    story = Story.read(talked)
    assert [len(chapter.exchanges) for chapter in story.chapters] == [0, 2, 2, 1]
    assert [chapter.proposal.is_trial for chapter in story.chapters if chapter.proposal] == [False, True, False]
    found = replayed(client, talked, tmp_path / "replay")
    assert found.differences == ()
    assert (found.attempts, found.proposals, found.same_proposals) == (3, 4, 4)
    again = Story.read(tmp_path / "replay" / "trace.jsonl")
    assert [chapter.exchanges for chapter in again.chapters] == [chapter.exchanges for chapter in story.chapters]


def test_another_prompt_is_named(client: Client, talked: Path, tmp_path: Path) -> None:
    """A recorded reply is given to the recorded request alone; the line that differs is in the difference."""

    def changed(event: Event) -> Event:
        if not isinstance(event, ModelAsked) or event.attempt != 3:
            return event
        first, *others = event.messages
        return replace(event, messages=(replace(first, content=f"Something else.\n{first.content}"), *others))

    found = replayed(client, resealed(talked, tmp_path / "other.jsonl", changed), tmp_path / "replay")
    assert not found.ok
    assert "attempt 3, proposal 1, rationale" in found.differences[0]
    assert "message 1 (system), line 1: 'Something else.' recorded" in found.differences[0]
    assert "attempt 3 was not reached again" in found.differences


def test_a_model_that_could_not_be_asked_cannot_now(client: Client, tmp_path: Path) -> None:
    """The recorded refusal ends the replay where it ended the run."""
    with serve_model(in_turn(Fail(401, "no such key"))) as server:
        path = recorded(client, tmp_path, _asking(server.base_url))
    found = replayed(client, path, tmp_path / "replay")
    assert (found.differences, found.attempts, found.same_proposals) == ((), 1, 1)


def test_an_arm_that_does_not_tell_enough_is_refused(client: Client, by_rules: Path, tmp_path: Path) -> None:
    """A trace without the start of its run is not replayed with a start of our choice."""

    def changed(event: Event) -> Event:
        if not isinstance(event, RunStarted):
            return event
        return replace(event, arm={key: value for key, value in event.arm.items() if key != "start"})

    path = resealed(by_rules, tmp_path / "other.jsonl", changed)
    with pytest.raises(ReplayError, match="arm has no 'start'"):
        replayed(client, path, tmp_path / "replay")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves behind: its trace, and the data folder of its TPS."""
    folder = tmp_path_factory.mktemp("run")
    simulator = Simulator(folder / "tps")
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as connected:
        recorded(connected, folder, make_planner("rules", PlannerOptions()), Options(Budget(attempts=2)))
    return folder


def test_a_run_folder_is_replayed_on_a_copy_of_its_data(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command starts a TPS of its own, tells that all is the same, and leaves the run as it was."""
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    assert replay_run(run_folder) is ExitStatus.OK
    assert "is reproduced: the same proposals, and the same plans." in " ".join(capsys.readouterr().out.split())
    assert {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()} == before


def test_a_run_on_another_server_needs_that_server(by_rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the data folder of its TPS a run cannot be replayed alone, and the message says what to give."""
    assert replay_run(by_rules.parent) is ExitStatus.USAGE
    assert "give --endpoint" in capsys.readouterr().err
