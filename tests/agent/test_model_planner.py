"""The model planner against a scripted model behind a real server: conversations, repairs, tools and trials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.actions import ACTIONS
from agent.checks import check
from agent.language_model.openai_chat import OpenAiChat
from agent.observation import Observation, Step
from agent.planners.model_planner import (
    LONGEST_KEPT_CHARACTERS,
    MAX_CALLS,
    MAX_TOOL_ROUNDS,
    ModelPlanner,
    offered_tools,
    shown_prompt,
)
from agent.planners.recipes import RECIPES, Recipe, with_overrides
from agent.proposal import Change, Ending, Fault, Proposal
from agent.settings import ModelSettings
from agent.talk import ToolCall
from agent.trace import ModelAsked, ModelSaid, Proposed, ToolUsed, Trace
from tests.agent import prompt_observations as furnished
from tests.agent.model_server import (
    Fail,
    ModelServer,
    Request,
    Say,
    SayForever,
    Script,
    in_turn,
    last_said,
    serve_model,
)

ZERO_SHOT = RECIPES["zero-shot"]


@dataclass
class Asked:
    """A planner whose model is a script, and all that was told."""

    planner: ModelPlanner
    server: ModelServer
    told: list[Any]

    def propose(self, observation: Observation) -> Proposal:
        return self.planner.propose(observation, self.told.append)

    @property
    def used(self) -> list[ToolUsed]:
        return [event for event in self.told if isinstance(event, ToolUsed)]


@contextmanager
def asked(script: Script, recipe: Recipe = ZERO_SHOT, **settings: Any) -> Iterator[Asked]:
    with serve_model(script) as server:
        chat = OpenAiChat(
            ModelSettings(model="scripted", base_url=server.base_url, **settings), prices=None, first_wait_s=0.01
        )
        yield Asked(ModelPlanner(recipe, ACTIONS[recipe.action], chat), server, [])


def answer(parotid_gy: float = 15.0, **more: Any) -> str:
    """A whole answer of the doses action space for the head-and-neck observation."""
    present = ACTIONS["doses"].present(furnished.head_and_neck())["doses_gy"]
    doses = {**present, "Parotid_L upper": parotid_gy}
    body = {"rationale": "Parotid_L D50% is 18.50 Gy.", "start_from": None, "stop": False, "doses_gy": doses}
    return json.dumps({**body, **more})


def call(name: str, number: int = 1, **arguments: Any) -> ToolCall:
    return ToolCall(f"call-{number}", name, json.dumps(arguments))


def roles(request: Request) -> list[str]:
    return [message["role"] for message in request["messages"]]


def after_trial(observation: Observation, parotid_gy: float = 15.0, *, stage: str = "") -> Observation:
    """One attempt later, as a trial of this dose."""
    change = Change("Parotid_L upper", "dose_gy", parotid_gy, "")
    trial = replace(observation.last, number=observation.last.number + 1, is_trial=True, changes=(change,))
    return replace(
        observation, history=(*observation.history, trial), attempts_left=observation.attempts_left - 1, stage=stage
    )


def test_an_answer_becomes_changes() -> None:
    """What differs from the objectives shown is what is proposed, with the model's own reason."""
    with asked(in_turn(Say(answer(15.0)))) as model:
        proposal = model.propose(furnished.head_and_neck())
    assert [(change.objective, change.value) for change in proposal.changes] == [("Parotid_L upper", 15.0)]
    assert proposal.rationale == "Parotid_L D50% is 18.50 Gy." and not proposal.unreadable


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_what_is_shown_is_what_is_sent(recipe: Recipe) -> None:
    """`shown_prompt` and `offered_tools` are the request to the letter, and the trace holds the same."""
    furnish = {"sage": furnished.brain, "zero-shot": furnished.head_and_neck, "m2m": furnished.prostate}
    observation, action = furnish[recipe.name](), ACTIONS[recipe.action]
    with asked(in_turn(Say("{}")), recipe) as model:
        model.propose(observation)
        request = model.server.requests[0]
    shown = shown_prompt(recipe, action, observation)
    assert [(m["role"], m["content"]) for m in request["messages"]] == [(m.role.value, m.content) for m in shown]
    names = [tool["function"]["name"] for tool in request.get("tools", [])]
    assert names == [tool.name for tool in offered_tools(recipe, action, observation)]
    assert next(event for event in model.told if isinstance(event, ModelAsked)).messages == shown


def test_a_model_that_plans_from_the_prompt_alone() -> None:
    """A script that reads only the JSON in the prompt makes a proposal that passes every check."""

    def plan(request: Request) -> Say:
        blocks = [json.loads(part.split("\n```")[0]) for part in last_said(request, "user").split("```json\n")[1:]]
        goals, present = blocks[0], blocks[1]
        worst = next(goal for goal in goals if goal["status"] != "met" and goal["structure"] == "Parotid_L")
        name = f"{worst['structure']} upper"
        low, _ = present["allowed"][name]
        doses = {**present["doses_gy"], name: low}
        return Say(json.dumps({"rationale": "lower", "start_from": None, "stop": False, "doses_gy": doses}))

    observation = furnished.head_and_neck()
    with asked(plan) as model:
        proposal = model.propose(observation)
    assert proposal.changes and check(proposal, observation) == ()


def test_every_attempt_has_a_conversation_of_its_own() -> None:
    """A new attempt begins with the two messages again, whatever was said before."""
    observation = furnished.head_and_neck()
    with asked(in_turn(Say(answer()))) as model:
        model.propose(observation)
        model.propose(replace(observation, history=(*observation.history, _next(observation.last))))
        assert [roles(request) for request in model.server.requests] == [["system", "user"]] * 2
    assert "# Attempt 5" in last_said(model.server.requests[1], "user")


def _next(step: Step) -> Step:
    return replace(step, number=step.number + 1, changes=())


def test_a_refused_proposal_is_repaired_in_the_same_conversation() -> None:
    """What the checks refuse goes back, after the model's own answer, as JSON with the rule and what is allowed."""
    observation = furnished.head_and_neck()
    with asked(in_turn(Say(answer(8.0)), Say(answer(15.0)))) as model:
        failures = check(model.propose(observation), observation)
        repaired = model.propose(replace(observation, rejected=failures))
        request = model.server.requests[1]
    assert {failure.fault for failure in failures} == {Fault.STEP}
    assert roles(request) == ["system", "user", "assistant", "user"]
    assert request["messages"][2]["content"] == answer(8.0)
    assert '"kind": "step-too-large"' in last_said(request, "user")
    assert check(repaired, observation) == ()


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (Say("I would lower the parotid a little."), Fault.NO_JSON),
        (Say('{"rationale": "cut', finish="length"), Fault.BROKEN_JSON),
        (Say(""), Fault.EMPTY),
        (Say("<think>on and on"), Fault.UNCLOSED_REASONING),
        (Say(refusal="I cannot help with that."), Fault.REFUSAL),
    ],
)
def test_unreadable_answers_are_failures_to_repair(said: Say, fault: Fault) -> None:
    """Whatever is not an answer is a failure of its kind, and the next request is one that a server accepts."""
    observation = furnished.head_and_neck()
    with asked(in_turn(said, Say(answer()))) as model:
        proposal = model.propose(observation)
        repaired = model.propose(replace(observation, rejected=proposal.unreadable))
        assert all(message["content"] for message in model.server.requests[1]["messages"])
    assert [failure.fault for failure in proposal.unreadable] == [fault]
    assert repaired.changes


def test_endless_repetition_is_not_sent_back_whole() -> None:
    """Of an answer that repeats itself, the repair request holds a beginning, so that it stays short."""
    observation = furnished.head_and_neck()
    with asked(in_turn(SayForever("lower the parotid, "), Say(answer()))) as model:
        proposal = model.propose(observation)
        repaired = model.propose(replace(observation, rejected=proposal.unreadable))
        kept = model.server.requests[1]["messages"][2]["content"]
    assert [failure.fault for failure in proposal.unreadable] == [Fault.REPETITION]
    assert len(kept) < 600 and kept.endswith("(cut here)") and repaired.changes


def test_a_model_that_cannot_be_asked_stops_the_run() -> None:
    """A refused key ends the run with the reason, not with an exception."""
    with asked(in_turn(Fail(401, "bad key"))) as model:
        proposal = model.propose(furnished.head_and_neck())
    assert proposal.stop and proposal.rationale.startswith("The model could not be asked: ")
    assert proposal.ending is Ending.BROKEN_OFF


def test_tools_are_answered_and_told() -> None:
    """Each tool's answer goes back under its call's id, and each use is told."""
    calls = (
        call("deviations", 1),
        call("trends", 2, structure="Parotid_L"),
        call("query_metric", 3, structure="Parotid_L", metric="D50%[Gy]"),
        call("query_metric", 4, structure="PTV_7000", metric="CI RTOG"),
    )
    with asked(in_turn(Say(tool_calls=calls), Say(answer()))) as model:
        proposal = model.propose(furnished.head_and_neck())
        request = model.server.requests[1]
    assert proposal.changes and [use.name for use in model.used] == [each.name for each in calls]
    assert all(use.ok and use.attempt == 4 for use in model.used)
    answers = [json.loads(message["content"]) for message in request["messages"] if message["role"] == "tool"]
    assert [m["tool_call_id"] for m in request["messages"] if m["role"] == "tool"] == [each.id for each in calls]
    hot = next(goal for goal in answers[0]["goals"] if goal["goal"].startswith("External"))
    assert hot == {"goal": "External D0.03cc[Gy] <= 77", "value": 77.9, "outside_by": 0.9, "unit": "Gy"}
    assert [line["values"] for line in answers[1]["trends"]] == [[22.9, 18.7, 18.5], [3.0, 4.9, 7.4]]
    assert answers[2] == {"structure": "Parotid_L", "metric": "D50%[Gy]", "value": 35.5, "unit": "Gy"}
    assert answers[3]["value"] is None and "in space" in answers[3]["cannot_be_asked"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (ToolCall("c", "query_metric", '{"structure": "Parotid_L"'), "Invalid JSON"),
        (call("query_metric", structure="Parotid_L"), "query_metric(structure: 'str', metric: 'str')"),
        (call("query_metric", structure="Larynx", metric="Mean[Gy]"), "there are PTV_7000, Parotid_L"),
        (call("query_metric", structure="Parotid_L", metric="D0.03"), "D0.03cc[Gy]"),
        (call("trends", structure="Larynx"), "there are: PTV_7000 D95%[Gy]"),
        (call("deviations", of="PTV_7000"), "Unexpected keyword argument"),
        (call("prescribe", dose_gy=80), "there are deviations, trends, query_metric, what_if"),
        (ToolCall("c", "what_if", "lower it"), "holds no JSON"),
        (ToolCall("c", "what_if", '{"stop": false'), "does not end"),
        (ToolCall("c", "what_if", "[1]"), "not an object"),
        (call("what_if", rationale="enough", start_from=None, stop=True), "answer with stop: true"),
    ],
)
def test_bad_tool_calls_are_counted_and_explained(wrong: ToolCall, says: str) -> None:
    """A call that cannot be answered is a format error, and the model reads how to call."""
    observation = furnished.head_and_neck()
    with asked(in_turn(Say(tool_calls=(wrong,)), Say(answer()))) as model:
        proposal = model.propose(observation)
        repaired = model.propose(replace(observation, rejected=proposal.unreadable))
        request = model.server.requests[1]
    assert [failure.fault for failure in proposal.unreadable] == [Fault.BAD_TOOL_CALL]
    assert roles(request) == ["system", "user", "assistant", "tool"]
    assert says in last_said(request, "tool") and [use.ok for use in model.used] == [False]
    assert repaired.changes


def test_tool_rounds_are_bounded() -> None:
    """A model that only calls tools is asked once without any, and then counted."""
    with asked(in_turn(Say(tool_calls=(call("deviations"),)))) as model:
        proposal = model.propose(furnished.head_and_neck())
        requests = model.server.requests
    assert len(requests) == MAX_TOOL_ROUNDS + 1
    assert "tools" in requests[-2] and "tools" not in requests[-1]
    assert [failure.fault for failure in proposal.unreadable] == [Fault.BAD_TOOL_CALL]


def test_tool_rounds_are_counted_for_the_attempt() -> None:
    """A repair is no new supply of calls; the result of a trial, which begins another attempt, is."""
    observation = furnished.head_and_neck()
    trial = ToolCall("try", "what_if", answer(15.0))
    looks = [Say(tool_calls=(call("deviations"),))] * (MAX_TOOL_ROUNDS - 1)
    with asked(in_turn(*looks, Say("{}"), Say(tool_calls=(trial,)), Say(answer()))) as model:
        refused = model.propose(observation)
        assert model.propose(replace(observation, rejected=refused.unreadable)).is_trial
        model.propose(after_trial(observation))
        assert ["tools" in request for request in model.server.requests] == [True] * (MAX_TOOL_ROUNDS + 2)
    with asked(in_turn(*looks, looks[0], Say("{}"), Say(answer()))) as model:
        refused = model.propose(observation)
        model.propose(replace(observation, rejected=refused.unreadable))
        assert ["tools" in request for request in model.server.requests[-2:]] == [False, False]


def test_calls_of_one_turn_are_bounded() -> None:
    """Of a thousand calls the first few are answered, the next says so, and the others are not kept."""
    calls = tuple(call("deviations", number) for number in range(1000))
    with asked(in_turn(Say(tool_calls=calls), Say(answer()))) as model:
        proposal = model.propose(furnished.head_and_neck())
        messages = model.server.requests[1]["messages"]
    answers = [message["content"] for message in messages if message["role"] == "tool"]
    assert len(messages[2]["tool_calls"]) == len(answers) == MAX_CALLS + 1
    assert answers[-1].startswith("Not answered, nor any call after it") and '"goals"' in answers[-2]
    assert [use.ok for use in model.used] == [True] * MAX_CALLS + [False]
    assert proposal.changes


def test_a_long_failed_answer_is_kept_in_part() -> None:
    """The repair request holds the beginning of what was wrong, with a mark, and not all of it."""
    observation = furnished.head_and_neck()
    doses = {f"Heart {number}": number for number in range(5000)}
    with asked(in_turn(Say(answer(doses_gy=doses)), Say(answer()))) as model:
        proposal = model.propose(observation)
        assert model.propose(replace(observation, rejected=proposal.unreadable)).changes
        _, _, kept, told = (message["content"] for message in model.server.requests[1]["messages"])
    assert kept.endswith(" (cut here)") and len(kept) < LONGEST_KEPT_CHARACTERS + 20
    assert "Heart 0, Heart 1, Heart 2 and 4997 more" in told and len(told) < 3000


LONG = "".join(map(str, range(2000)))


def test_long_arguments_of_a_call_are_answered_and_kept_in_part() -> None:
    """A call with endless arguments is read as it came; the conversation keeps JSON that a server can take back."""
    rationale = " ".join(f"D{percent}% counts." for percent in range(2000))
    observation = furnished.head_and_neck()
    wrong = (
        ToolCall("b", "trends", json.dumps({f"x{number}": 1 for number in range(5000)})),
        ToolCall("c", f"x{LONG}", json.dumps({f"y{LONG}": 1})),
        call("query_metric", 4, structure="Parotid_L", metric=f"D{LONG}"),
        call("query_metric", 8, structure="Parotid_L", metric=f"D{LONG}cc[Gy]"),
        call("query_metric", 5, structure=f"P{LONG}", metric="Max[Gy]"),
        call("trends", 6, structure=f"P{LONG}"),
        call("trends", 7, **{f"P{LONG}": 1}),
    )
    with asked(in_turn(Say(tool_calls=(ToolCall("a", "what_if", answer(rationale=rationale)),)), Say("{}"))) as model:
        assert model.propose(observation).is_trial
        model.propose(after_trial(observation))
        kept = model.server.requests[1]["messages"][2]["tool_calls"][0]["function"]["arguments"]
    assert len(kept) < LONGEST_KEPT_CHARACTERS * 1.2 and list(json.loads(kept)) == ["cut here"]
    with asked(in_turn(Say(tool_calls=wrong), Say("{}"))) as model:
        refused = model.propose(observation)
        model.propose(replace(observation, rejected=refused.unreadable))
        told = [message for message in model.server.requests[1]["messages"] if message["role"] == "tool"]
    assert len(told) == len(refused.unreadable) == len(wrong)
    assert max(len(message["content"]) for message in told) < 600
    assert max(len(str(failure)) for failure in refused.unreadable) < 800


def test_half_a_character_reaches_neither_plan_nor_trace(tmp_path: Path) -> None:
    """What a model says with a lone surrogate in it, escaped or not, can be written down and sent back."""
    said = answer(rationale="Parotid \ud800 hot.").replace("Parotid_L upper", "Parotid_L \udc00")
    with asked(in_turn(Say(said), Say(answer()))) as model:
        refused = model.propose(furnished.head_and_neck())
        model.propose(replace(furnished.head_and_neck(), rejected=refused.unreadable))
    assert "\ufffd" in str(refused.unreadable)
    with Trace(tmp_path / "trace.jsonl") as trace:
        for event in model.told:
            if not isinstance(event, ModelSaid):
                trace.write(event)
        trace.write(Proposed(4, refused))


def test_what_if_is_a_trial_whose_result_answers_the_call() -> None:
    """A trial ends the turn as a proposal; one attempt later its outcome is the tool's answer, with the new state."""
    observation = furnished.head_and_neck()
    trial = ToolCall("try", "what_if", answer(15.0))
    with asked(in_turn(Say(tool_calls=(call("deviations"), trial)), Say(answer(14.5)))) as model:
        tried = model.propose(observation)
        settled = model.propose(after_trial(observation))
        request = model.server.requests[1]
    assert tried.is_trial and [change.value for change in tried.changes] == [15.0]
    assert roles(request) == ["system", "user", "assistant", "tool", "tool"]
    assert request["messages"][-1]["tool_call_id"] == "try"
    assert "This was attempt 4; the best is still attempt 2." in last_said(request, "tool")
    assert "8 attempts are left" in last_said(request, "tool")
    assert not settled.is_trial and settled.changes


def test_a_trial_that_breaks_a_rule_is_refused_under_its_call() -> None:
    """A what-if is checked like any proposal, and its refusal is the tool's answer."""
    observation = furnished.head_and_neck()
    trial = ToolCall("try", "what_if", answer(5.0))
    with asked(in_turn(Say(tool_calls=(trial,)), Say(answer(15.0)))) as model:
        failures = check(model.propose(observation), observation)
        repaired = model.propose(replace(observation, rejected=failures))
        request = model.server.requests[1]
    assert failures and roles(request)[-1] == "tool" and request["messages"][-1]["tool_call_id"] == "try"
    assert '"kind": "step-too-large"' in last_said(request, "tool") and not repaired.is_trial


def test_a_trial_that_a_person_changed_is_told_as_such() -> None:
    """The result of other values than were asked for says that a person set them, and which; else nobody is named."""
    observation = furnished.head_and_neck()
    trial = ToolCall("try", "what_if", answer(15.0))
    for made_gy, is_told in ((16.0, True), (15.0, False)):
        with asked(in_turn(Say(tool_calls=(trial,)), Say(answer(14.5)))) as model:
            model.propose(observation)
            model.propose(after_trial(observation, made_gy))
            told = last_said(model.server.requests[1], "tool")
        assert ("A person changed the values" in told) is is_told
        assert ("Tried instead: Parotid_L upper dose 14 → 16." in told) is is_told


def test_only_one_trial_at_a_time() -> None:
    """The second what-if of one message is answered at once, untried."""
    trials = tuple(ToolCall(f"try-{number}", "what_if", answer(15.0)) for number in (1, 2))
    with asked(in_turn(Say(tool_calls=trials), Say(answer()))) as model:
        assert model.propose(furnished.head_and_neck()).is_trial
        model.propose(after_trial(furnished.head_and_neck()))
        told = {m["tool_call_id"]: m["content"] for m in model.server.requests[1]["messages"] if m["role"] == "tool"}
    assert told["try-2"].startswith("Not tried") and "This was attempt 4" in told["try-1"]


def test_a_bad_call_beside_a_trial_stops_the_trial() -> None:
    """Nothing is optimised in a turn with a wrong call, and every call has its answer."""
    calls = (ToolCall("try", "what_if", answer(15.0)), call("prescribe"))
    observation = furnished.head_and_neck()
    with asked(in_turn(Say(tool_calls=calls), Say(answer()))) as model:
        proposal = model.propose(observation)
        model.propose(replace(observation, rejected=proposal.unreadable))
        answered = {m.get("tool_call_id") for m in model.server.requests[1]["messages"] if m["role"] == "tool"}
    assert proposal.unreadable and not proposal.is_trial
    assert answered == {each.id for each in calls}


def test_a_trial_that_a_person_turned_down_starts_anew() -> None:
    """Where the trial never became an attempt, the next conversation begins with what the person said."""
    observation = furnished.head_and_neck()
    remarked = replace(
        observation, remarks=furnished.brain().remarks, labels={**furnished.BRAIN_LABELS, **observation.labels}
    )
    trial = ToolCall("try", "what_if", answer(15.0))
    with asked(in_turn(Say(tool_calls=(trial,)), Say(answer()))) as model:
        model.propose(observation)
        model.propose(remarked)
        request = model.server.requests[1]
    assert roles(request) == ["system", "user"] and "far too high for this site" in last_said(request, "user")


def test_a_new_stage_starts_anew() -> None:
    """The outcome of a trial that began a stage is not told under the old stage's prompt."""
    observation = furnished.head_and_neck()
    trial = ToolCall("try", "what_if", answer(15.0))
    with asked(in_turn(Say(tool_calls=(trial,)), Say(answer()))) as model:
        model.propose(observation)
        model.propose(after_trial(observation, stage="refinement"))
        assert roles(model.server.requests[1]) == ["system", "user"]


@pytest.mark.parametrize(("recipe", "offers"), [(ZERO_SHOT, False), (with_overrides(ZERO_SHOT, tools=False), True)])
def test_tools_can_be_switched_off(recipe: Recipe, offers: bool) -> None:
    """Neither without the block nor with a model that has none are tools offered or written of."""
    with asked(in_turn(Say(answer())), recipe, tools=offers) as model:
        model.propose(furnished.head_and_neck())
        request = model.server.requests[0]
    assert "tools" not in request and "Functions you may call" not in last_said(request, "user")


def test_the_refinement_has_its_own_words() -> None:
    """SAGE's later stage asks with its own template."""
    with asked(in_turn(Say("{}")), RECIPES["sage"]) as model:
        model.propose(furnished.brain_refinement())
        assert "medical physicist" in last_said(model.server.requests[0], "system")


def test_nothing_private_reaches_the_server() -> None:
    """Over a whole turn with tools, a refusal and a repair, no request holds a patient's label, date or note."""
    observation, recipe = furnished.brain(), with_overrides(RECIPES["sage"], tools=True)
    calls = (
        call("deviations", 1),
        call("trends", 2),
        call("query_metric", 3, structure="PTV_1", metric="Max[Gy]"),
    )
    present = ACTIONS["priorities"].present(observation)["objectives"]
    too_much = [
        {**entry, "priority": 400 if entry["name"] == "PTV_1 upper" else entry["priority"]} for entry in present
    ]
    broken = json.dumps({"rationale": "hotter", "start_from": None, "stop": False, "objectives": too_much})
    with asked(in_turn(Say(tool_calls=calls), Say(broken), Say("{}")), recipe) as model:
        failures = check(model.propose(observation), observation)
        model.propose(replace(observation, rejected=failures))
        sent = json.dumps(model.server.requests, ensure_ascii=False)
    assert {failure.fault for failure in failures} == {Fault.STEP, Fault.RATIO}
    assert "'PTV_1 lower'" in sent and not [canary for canary in furnished.CANARIES if canary in sent]


def test_the_arm_is_plain_data() -> None:
    """What a run records of the planner is JSON: recipe, action space, every block, model and settings, no key."""
    recipe = with_overrides(ZERO_SHOT, action="priorities", priors=False, history=2)
    with asked(in_turn(Say("{}")), recipe, seed=7) as model:
        arm = json.loads(json.dumps(model.planner.arm))
    assert model.planner.name == arm["recipe"] == "zero-shot" and arm["action"] == "priorities"
    assert arm["blocks"] == {
        "history": 2, "losses": True, "deviations": True, "trends": True, "strategy": True, "priors": False,
        "hints": False, "knowledge": False, "dvh_samples": 0, "tools": True,
    }  # fmt: skip
    assert arm["model"]["model"] == "scripted" and arm["model"]["seed"] == 7
