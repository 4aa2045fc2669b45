"""Whatever a model or its server gets wrong, the loop counts it, bounds the repairs, and leaves the best plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import protocols
from agent.goals import score
from agent.language_model.openai_chat import OpenAiChat
from agent.loop import MAX_REPAIRS, Budget, Options, run
from agent.planners.catalogue import PlannerOptions, make_planner
from agent.records import RunResult
from agent.settings import ModelSettings
from agent.trace import Trace, read, verify
from bridge import model, testing
from bridge.backends.simulator import Simulator
from bridge.client import Client
from sim_tps.cases import make_case
from tests.agent.model_server import ModelServer, serve_model
from tests.planners.faults import EVERY, LIGHT_PROTOCOL, SERVERS, Faulty

ATTEMPTS = 3
RETRIES = 1


@dataclass(frozen=True)
class Survived:
    """A run whose model failed once, answered once, and then failed for ever."""

    faulty: Faulty
    result: RunResult
    trace: Path
    server: ModelServer

    def events(self, name: str) -> list[dict[str, object]]:
        return [line["data"] for line in read(self.trace) if line["event"] == name]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a simulated TPS that has the TG-119 phantom."""
    simulator = Simulator(tmp_path_factory.mktemp("tps"))
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as connected:
        yield connected


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(faulty, id=faulty.name, marks=[pytest.mark.slow] if faulty.is_rare else []) for faulty in EVERY
    ],
)
def survived(request: pytest.FixtureRequest, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Survived:
    """One run against each faulty model."""
    faulty: Faulty = request.param
    path = tmp_path_factory.mktemp("run") / "trace.jsonl"
    case = client.patients()[0].name
    with serve_model(faulty.script()) as server:
        settings = ModelSettings(model="scripted", base_url=server.base_url, timeout_s=2.0, retries=RETRIES)
        planner = make_planner("sage", PlannerOptions(tools=True), OpenAiChat(settings, first_wait_s=0.01))
        with Trace(path) as trace, client.session(case, model.SessionMode.READ_WRITE) as session:
            result = run(
                client,
                session,
                case,
                protocols.read(LIGHT_PROTOCOL, "light.yaml"),
                planner,
                trace=trace,
                options=Options(Budget(attempts=ATTEMPTS)),
            )
    return Survived(faulty, result, path, server)


def test_the_best_attempt_comes_back_as_it_was(survived: Survived) -> None:
    """The plan left behind is the attempt with the smallest score, measured again and found equal."""
    scores = {attempt.number: score(attempt.goals) for attempt in survived.result.attempts}
    assert scores[survived.result.best] == min(scores.values())
    assert survived.result.restoration is not None
    assert (survived.result.restoration.exact, survived.result.restoration.within) == (True, True)
    assert verify(survived.trace).ok


def test_errors_of_form_are_counted_by_kind(survived: Survived) -> None:
    """Each refusal is counted once for every rule it breaks, and nothing else is counted."""
    assert survived.result.format_errors == survived.faulty.format_errors


def test_a_fault_is_repaired_and_the_next_one_ends_the_run(survived: Survived) -> None:
    """The good answer after the first fault becomes attempt 2; faults without end stop the run with their reason."""
    if survived.faulty.is_accepted:
        assert len(survived.result.attempts) == ATTEMPTS
        return
    assert len(survived.result.attempts) == survived.faulty.attempts
    ends = "refused 4 times" if survived.faulty.counted else "The model could not be asked"
    assert ends in survived.result.stop_reason


def test_nothing_of_a_refused_answer_reaches_the_plan(survived: Survived) -> None:
    """Every proposal that was carried out passed the checks just before."""
    passed = [checked["attempt"] for checked in survived.events("Checked") if not checked["failures"]]
    applied = [event["attempt"] for event in survived.events("Applied")]
    assert set(applied) <= set(passed)


def test_repairs_are_bounded_and_told_why(survived: Survived) -> None:
    """A refused answer is asked for again at most three times, and each repair hears of the rule that was broken."""
    if not survived.faulty.counted:
        return
    asked = [event["attempt"] for event in survived.events("ModelAsked")]
    assert {attempt: asked.count(attempt) for attempt in set(asked)} == {
        2: 2,
        3: survived.faulty.rounds_answered + 1 + MAX_REPAIRS,
    }
    corrections = [request["messages"][-1]["content"] for request in survived.server.requests[-MAX_REPAIRS:]]
    told = (survived.faulty.counted[0].value, "arguments", "give your answer")
    assert all(any(words in correction for words in told) for correction in corrections)


def test_trouble_with_the_server_is_traced_and_repeated_where_it_may_pass(survived: Survived) -> None:
    """Time-outs, lost connections, 429 and 500 are tried again, a refused key is not; the trace says which."""
    problems = {event["problem"] for event in survived.events("ModelTroubled")}
    assert problems == ({survived.faulty.trouble} if survived.faulty in SERVERS else set())
    if survived.faulty in SERVERS:
        retries = 1 + RETRIES if survived.faulty.is_passing else 0
        assert survived.result.model_costs.retries == retries
