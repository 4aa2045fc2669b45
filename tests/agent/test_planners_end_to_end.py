"""The three planners from the first attempt to the last, against a scripted model that plans from the prompt alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent import protocols
from agent.analysis.faithfulness import check_story
from agent.analysis.story import Story
from agent.goals import lost, score
from agent.language_model.openai_chat import OpenAiChat
from agent.loop import Budget, Options, run
from agent.planners.catalogue import PlannerOptions, make_planner
from agent.records import RunResult
from agent.settings import ModelSettings
from agent.trace import Trace, verify
from bridge import model, testing
from bridge.backends.simulator import Simulator
from bridge.client import Client
from sim_tps.cases import make_case
from tests.agent.coarse import COARSE
from tests.agent.model_server import Request, Script, serve_model
from tests.planners.seen import read as read_prompt
from tests.planners.sensible import sensible

REFINED = COARSE.replace(
    "helpers:\n", "helpers:\n  zShell: {ring: targets, from_mm: 2, to_mm: 7}\n"
).replace(
    "objectives:\n",
    """agent:
  ratios:
    - {objective: zShell upper, at_most: 1.0, of: OuterTarget lower}
stages:
  - id: refinement
    title: Less dose around the target
    goals:
      - {structure: zShell, goal: "V50Gy[%] <= 1", rank: 2}
objectives:
  - {structure: zShell, type: upper, dose_gy: 46, volume_percent: 0, priority: 0, stage: refinement}
""",
).replace('"D10%[Gy] <= 25"', '"D10%[Gy] <= 45"').replace('"D10%[Gy] <= 5"', '"D10%[Gy] <= 50"')  # fmt: skip
"""The first attempt meets every goal; the shell of the refinement leaves something to gain."""

ONE_CORE_GOAL = COARSE.replace('  - {structure: Core, goal: "D10%[Gy] <= 5", rank: 3}\n', "")
"""The core's objective stands at 20 Gy and its goal at 25 Gy."""

HOT = """\
id: coarse-hot
title: TG-119 as a hot-fraction problem on coarse grids
site: phantom
intended_use: for tests
study: true
prescription: {fractions: 25, targets_gy: {OuterTarget: 50}}
normalise: {structure: OuterTarget, volume_percent: 95, dose_gy: 50}
plan:
  problem: hot-fraction
  judged_on: optimised
  beamlet_mm: 15
  dose_grid_mm: 8
  optimization_grid_mm: 10
  beams: [{gantry_deg: [0, 120, 240]}]
structures:
  OuterTarget: {required: true, kind: target, aliases: [PTV]}
  BODY: {required: true, kind: external, aliases: [External]}
  Core: {}
goals:
  - {structure: OuterTarget, goal: "D0.03cc[Gy] <= 56", ramp: [55, 56], rank: 1}
  - {structure: Core, goal: "Mean[Gy] <= 12", ramp: [12, 20], rank: 1}
objectives:
  - {structure: OuterTarget, type: hold, dose_gy: 50, volume_percent: 95}
  - {structure: OuterTarget, type: hot, dose_gy: 50, volume_percent: 10, priority: 1, dose_bounds_gy: [50, 60],
     volume_bounds_percent: [1, 30], priority_bounds: [0.01, 1000]}
  - {structure: Core, type: hot, dose_gy: 50, volume_percent: 100, priority: 1, dose_bounds_gy: [5, 50],
     volume_bounds_percent: [1, 100], priority_bounds: [0.01, 1000]}
knowledge: prostate-drl
agent:
  may_change: [priority, dose_gy, volume_percent]
  priority_factor_per_step: 1000
  dose_step_percent: 100
  volume_step_percent: 100
"""


@dataclass(frozen=True)
class Planned:
    """A finished run, and what the model was sent."""

    result: RunResult
    trace: Path
    requests: list[Request]

    @property
    def answers(self) -> list[dict[str, Any]]:
        """What the model answered to each request, worked out again."""
        return [json.loads(sensible()(request).text) for request in self.requests]  # type: ignore[union-attr]

    @property
    def prompt(self) -> str:
        return "\n".join(message["content"] for message in self.requests[0]["messages"])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a simulated TPS that has the TG-119 phantom."""
    simulator = Simulator(tmp_path_factory.mktemp("tps"))
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as connected:
        yield connected


def planned(
    client: Client, folder: Path, name: str, text: str, script: Script, attempts: int = 3, **options: Any
) -> Planned:
    path, case = folder / "trace.jsonl", client.patients()[0].name
    with serve_model(script) as server:
        chat = OpenAiChat(ModelSettings(model="scripted", base_url=server.base_url))
        planner = make_planner(name, PlannerOptions(**options), chat)
        with Trace(path) as trace, client.session(case, model.SessionMode.READ_WRITE) as session:
            result = run(
                client,
                session,
                case,
                protocols.read(text, "coarse.yaml"),
                planner,
                trace=trace,
                options=Options(Budget(attempts=attempts), stages=name == "sage"),
            )
    return Planned(result, path, server.requests)


@pytest.fixture(scope="module")
def by_sage(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """Both stages, by a model that thinks in a block before it answers."""
    return planned(client, tmp_path_factory.mktemp("sage"), "sage", REFINED, sensible("think"), attempts=4)


@pytest.fixture(scope="module")
def zero_shot(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Mapping[bool, Planned]:
    """With priors and without."""
    return {
        priors: planned(
            client, tmp_path_factory.mktemp("doses"), "zero-shot", ONE_CORE_GOAL, sensible("field"), priors=priors
        )
        for priors in (True, False)
    }


@pytest.fixture(scope="module")
def m2m(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Mapping[bool, Planned]:
    """With knowledge and without."""
    return {
        knows: planned(client, tmp_path_factory.mktemp("parameters"), "m2m", HOT, sensible(), knowledge=knows)
        for knows in (True, False)
    }


@pytest.fixture(scope="module")
def every(by_sage: Planned, zero_shot: Mapping[bool, Planned], m2m: Mapping[bool, Planned]) -> list[Planned]:
    return [by_sage, *zero_shot.values(), *m2m.values()]


def test_a_sensible_answer_is_never_refused(every: list[Planned]) -> None:
    """What a careful reader makes of the prompt passes every check, so the prompt tells all the rules."""
    assert [planned.result.format_errors for planned in every] == [{}] * len(every)


def test_the_prompt_is_enough_to_plan_from(every: list[Planned]) -> None:
    """Every run goes beyond its first attempt, and never ends with a worse plan than it began with."""
    for planned in every:
        first, best = planned.result.attempts[0], planned.result.best_attempt
        assert len(planned.result.attempts) > 1
        if not Story.read(planned.trace).stages:
            assert score(best.goals) <= score(first.goals)
        assert verify(planned.trace).ok
        assert planned.result.restoration is not None
        assert planned.result.restoration.within


def test_sage_refines_and_loses_nothing(by_sage: Planned) -> None:
    """The second stage begins and turns the shell, and what is kept is nowhere worse than its baseline."""
    began = Story.read(by_sage.trace).stages[0]
    refined = [attempt for attempt in by_sage.result.attempts if attempt.stage == "refinement"]
    assert refined
    assert lost(began.goals, by_sage.result.best_attempt.goals, ["OuterTarget"]) == ()
    for attempt in refined:
        weights = {objective.spec.priority for objective in attempt.objectives}
        assert all(weight == round(weight or 0.0) for weight in weights)
    assert any("zShell" in change for attempt in refined for change in attempt.changes)


def test_sage_is_shown_three_attempts_at_most(by_sage: Planned) -> None:
    """The history in every prompt is that of the publication."""
    shown = [request["messages"][1]["content"].count("- **Attempt ") for request in by_sage.requests]
    assert max(shown) <= 3


def test_reasoning_is_kept_apart_from_the_answer(by_sage: Planned) -> None:
    """What stood in the <think> block is in the trace as reasoning, and no rationale holds it."""
    story = Story.read(by_sage.trace)
    replies = [exchange.reply for chapter in story.chapters for exchange in chapter.exchanges]
    assert all(
        reply and "goals are met" in reply.reasoning and "goals are met" not in reply.answer for reply in replies
    )


def test_priors_decide_where_an_objective_is_put(zero_shot: Mapping[bool, Planned]) -> None:
    """Without priors the core's objective goes up towards its goal; with them it goes down, where it can pull."""
    seen = read_prompt(zero_shot[False].requests[0])
    core = "Core upper", "dose_gy"
    first = {priors: planned.answers[0]["doses_gy"]["Core upper"] for priors, planned in zero_shot.items()}
    assert first[False] == min(25.0, seen.allowed[core][1])
    assert first[True] < seen.values[core] < first[False]


def test_the_arm_says_what_was_shown(every: list[Planned], zero_shot: Mapping[bool, Planned]) -> None:
    """Action space and blocks are in the record, and taking the priors away takes the hints too."""
    assert [planned.result.arm["action"] for planned in every] == [
        "priorities", "doses", "doses", "parameters", "parameters"
    ]  # fmt: skip
    blocks = {priors: planned.result.arm["blocks"] for priors, planned in zero_shot.items()}
    assert {priors: (each["priors"], each["hints"]) for priors, each in blocks.items()} == {
        True: (True, True),
        False: (False, False),
    }
    assert "How the optimiser answers" in zero_shot[True].prompt
    assert "How the optimiser answers" not in zero_shot[False].prompt
    assert "says of its optimiser" not in zero_shot[False].prompt


def test_knowledge_moves_every_parameter_first(m2m: Mapping[bool, Planned]) -> None:
    """With the table the first answer has its medians and ratios; without it one or two values move."""
    told, untold = m2m[True], m2m[False]
    seen = read_prompt(told.requests[0])
    answer = told.answers[0]["parameters"]
    assert answer["Core"]["tau"] == pytest.approx(seen.medians["Core", "tau"], rel=1e-3)
    ratio = answer["OuterTarget"]["lambda"] / answer["Core"]["lambda"]
    assert ratio == pytest.approx(seen.medians["Core", "ratio"], rel=1e-2)
    before = read_prompt(untold.requests[0])
    after = untold.answers[0]["parameters"]
    moved = [key for key, value in before.values.items() if after[key[0]][key[1]] != value]
    assert 1 <= len(moved) <= 2
    assert not before.medians


def test_wrong_numbers_are_found_and_true_ones_too(
    client: Client, zero_shot: Mapping[bool, Planned], tmp_path: Path
) -> None:
    """A model that states true values has hits and no misses; one that tells other values has misses."""
    liar = planned(client, tmp_path, "sage", COARSE, sensible(tells_truth=False), attempts=2)
    outcomes = {
        name: [said.statement.outcome.value for said in check_story(Story.read(path))]
        for name, path in {"true": zero_shot[True].trace, "wrong": liar.trace}.items()
    }
    assert "hit" in outcomes["true"]
    assert "miss" not in outcomes["true"]
    assert "miss" in outcomes["wrong"]
