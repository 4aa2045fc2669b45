"""Everything a model and its server can get wrong, as scripts, each with what it must be counted as.

The one idea: a fault is what a sensible answer turns into, so that nothing else about the answer is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.loop import MAX_REPAIRS
from agent.planners.model_planner import MAX_CALLS, MAX_TOOL_ROUNDS
from agent.proposal import Fault
from agent.talk import ToolCall
from tests.agent.coarse import COARSE
from tests.agent.model_server import Answer, Drop, Fail, Hang, Raw, Request, Say, SayForever, Script
from tests.planners.sensible import sensible

Good = dict[str, Any]
"""A sensible answer in the form of priorities."""
LIGHT_PROTOCOL = COARSE.replace("[0, 120, 240]", "[0]").replace("beamlet_mm: 15", "beamlet_mm: 20")
"""One field of few beamlets: what the plan looks like is not the question here."""
OUT_OF_RANGE_PRIORITY = 1_000_000
FAR_BELOW_GY = 1.0
EXTRA_KEYS = 3000
TOOL_CALLS = 200


@dataclass(frozen=True)
class Faulty:
    """One thing that goes wrong."""

    name: str
    spoilt: Answer | Callable[[Good], Answer]
    """What is answered, always the same or made of the sensible answer."""
    counted: tuple[Fault, ...] = ()
    """How it is counted as a format error each time; empty where it is none."""
    trouble: str = ""
    """Of the server: the word that the trace has for it."""
    is_passing: bool = True
    """Of the server: worth repeating."""
    good_turn: int = 2
    """Which request gets the sensible answer."""
    times_each: int = 1
    """How often it is counted in one answer."""
    rounds_answered: int = 0
    """How often it is answered for an attempt before it is a fault at all."""
    is_rare: bool = False
    """Another one goes the same way through the loop; shown by `python -m tests.planners`, tested where time allows."""

    def script(self) -> Script:
        """The fault, one sensible answer in between, then the fault for ever: a repair, and an end."""
        asked = 0

        def answer(request: Request) -> Answer:
            nonlocal asked
            asked += 1
            good = sensible()(request)
            assert isinstance(good, Say)
            if asked == self.good_turn:
                return good
            return self.spoilt(json.loads(good.text)) if callable(self.spoilt) else self.spoilt

        return answer

    @property
    def is_accepted(self) -> bool:
        """An unusual form of a good answer, and no fault."""
        return not self.counted and not self.trouble

    @property
    def format_errors(self) -> dict[str, int]:
        """What `script` comes to: the first answer, and all that may be repaired of the last."""
        refusals = (0 if self.rounds_answered else 1) + 1 + MAX_REPAIRS
        return {fault.value: refusals * self.times_each for fault in self.counted}

    @property
    def attempts(self) -> int:
        """How many are made before the fault ends the run; the first needs no model."""
        return 1 + (self.is_passing or self.good_turn == 1)


def _said(answer: Good) -> str:
    return json.dumps(answer, ensure_ascii=False)


def _first(good: Good, changes: Mapping[str, Any]) -> Say:
    """The answer with its first objective's entry changed."""
    first, *others = good["objectives"]
    return Say(_said({**good, "objectives": [{**first, **changes}, *others]}))


def _without_first(good: Good) -> Say:
    return Say(_said({**good, "objectives": good["objectives"][1:]}))


def _with_one_more(good: Good) -> Say:
    extra = {**good["objectives"][0], "name": "Kidney_L upper", "structure": "Kidney_L"}
    return Say(_said({**good, "objectives": [*good["objectives"], extra]}))


def _cut_off(good: Good) -> Say:
    text = _said(good)
    return Say(text[: len(text) // 2], finish="length")


def _half_a_character(good: Good) -> Say:
    """Once as JSON writes it, once as it is."""
    return Say(json.dumps({**good, "rationale": "The \ud800 core is hot."}), reasoning="Hot \udfff.")


def _in_parts(good: Good) -> Raw:
    """The content as a list, as some servers send it."""
    text = _said(good)
    parts = [{"type": "text", "text": part} for part in (text[:9], text[9:])]
    said = {"role": "assistant", "content": parts}
    choice = {"index": 0, "message": said, "delta": said, "finish_reason": "stop"}
    return Raw(json.dumps({"id": "c", "model": "scripted", "choices": [choice]}))


def _many_calls(_good: Good) -> Say:
    asked = json.dumps({"structure": "Core", "metric": "Mean[Gy]"})
    return Say(tool_calls=tuple(ToolCall(f"call-{n}", "query_metric", asked) for n in range(TOOL_CALLS)))


ANSWERS: tuple[Faulty, ...] = (
    Faulty("prose", Say("I would pull the core a little harder and leave the rest."), (Fault.NO_JSON,)),
    Faulty("fenced JSON", lambda good: Say(f"Here it is:\n```json\n{_said(good)}\n```"), is_rare=True),
    Faulty("JSON after <think>", lambda good: Say(f"<think>Which one pulls?</think>{_said(good)}")),
    Faulty("truncated JSON", _cut_off, (Fault.BROKEN_JSON,), is_rare=True),
    Faulty("missing objective", _without_first, (Fault.MISSING_ENTRY,), is_rare=True),
    Faulty("extra objective", _with_one_more, (Fault.EXTRA_ENTRY,), is_rare=True),
    Faulty("field too many", lambda good: Say(_said({**good, "confidence": 1})), (Fault.SCHEMA,)),
    Faulty("float", lambda good: _first(good, {"priority": 80.5}), (Fault.NOT_AN_INTEGER,), is_rare=True),
    Faulty("string", lambda good: _first(good, {"priority": "80"}), (Fault.NOT_A_NUMBER,), is_rare=True),
    Faulty(
        "out of range",
        lambda good: _first(good, {"priority": OUT_OF_RANGE_PRIORITY}),
        (Fault.OUT_OF_RANGE, Fault.STEP),
    ),
    Faulty(
        "changed dose", lambda good: _first(good, {"dose_gy": FAR_BELOW_GY}), (Fault.FORBIDDEN_CHANGE,), is_rare=True
    ),
    Faulty(
        "no such attempt", lambda good: Say(_said({**good, "start_from": 99})), (Fault.UNKNOWN_ATTEMPT,), is_rare=True
    ),
    Faulty("empty answer", Say(""), (Fault.EMPTY,)),
    Faulty("<think> never closed", Say("<think>The core is hot, so"), (Fault.UNCLOSED_REASONING,), is_rare=True),
    Faulty("refusal", Say(refusal="I cannot help with medical decisions."), (Fault.REFUSAL,), is_rare=True),
    Faulty("refusal in prose", Say("I'm sorry, but I can't help with that."), (Fault.NO_JSON,), is_rare=True),
    Faulty("endless repetition", SayForever("the core is too hot and "), (Fault.REPETITION,)),
    Faulty(
        "tool call with bad arguments",
        Say(tool_calls=(ToolCall("call-1", "query_metric", '{"structure": "Cor'),)),
        (Fault.BAD_TOOL_CALL,),
    ),
    Faulty("half a character in the rationale", _half_a_character),
    Faulty(
        "control characters", lambda good: Say(_said({**good, "rationale": "\x1b[2J\x1b]0;t\x07\u202e\x00 is hot."}))
    ),
    Faulty(
        f"{EXTRA_KEYS} keys too many",
        lambda good: Say(_said({**good, **{f"key {n}": n for n in range(EXTRA_KEYS)}})),
        (Fault.SCHEMA,),
    ),
    Faulty("content in parts", _in_parts),
    Faulty(
        f"{TOOL_CALLS} tool calls in one turn",
        _many_calls,
        (Fault.BAD_TOOL_CALL,),
        times_each=MAX_CALLS,
        rounds_answered=MAX_TOOL_ROUNDS,
    ),
)
"""What a model can answer; needs a planner that is offered tools."""

SERVERS: tuple[Faulty, ...] = (
    Faulty("times out", Hang(), trouble="timeout"),
    Faulty("drops mid-stream", lambda good: Drop(_said(good)[:40]), trouble="connection"),
    Faulty("429 with Retry-After", Fail(429, "slow down", {"Retry-After": "0.05"}), trouble="rate-limit"),
    Faulty("500", Fail(500, "out of memory"), trouble="server-error", is_rare=True),
    Faulty("401", Fail(401, "no such key"), trouble="key-refused", is_passing=False, is_rare=True),
    Faulty("401 after a good answer", Fail(401, "key expired"), trouble="key-refused", is_passing=False, good_turn=1),
)
"""What a model's server can do instead of answering."""

EVERY = (*ANSWERS, *SERVERS)
