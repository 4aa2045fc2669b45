"""The model client against a real server: every way to answer, to fail and to refuse, and what is told meanwhile."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.language_model import ModelError
from agent.language_model.answers import read_answer
from agent.language_model.openai_chat import OpenAiChat, settled
from agent.language_model.prices import Prices, PricesError, default_path, load_prices
from agent.language_model.recorded import RecordedChat
from agent.language_model.repetition import LONGEST_CHARACTERS, RepetitionWatch
from agent.language_model.thinking import ThinkingSplitter
from agent.language_model.waits import asked_wait_s
from agent.plain import from_plain
from agent.proposal import CheckFailure, Fault
from agent.settings import ModelSettings
from agent.talk import Message, Reply, Role, Tool, ToolCall, Usage
from agent.trace import ModelAnswered, ModelAsked, ModelSaid, ModelTroubled, Trace, read
from tests.agent.model_server import (
    FINGERPRINT,
    Answer,
    Drop,
    Fail,
    Hang,
    ModelServer,
    Raw,
    Request,
    Say,
    SayForever,
    Script,
    in_turn,
    last_said,
    running,
    serve_model,
)

MESSAGES = (Message(Role.SYSTEM, "You plan."), Message(Role.USER, "Which priority?"))
SCHEMA = {
    "type": "object",
    "properties": {"priority": {"type": "integer"}},
    "required": ["priority"],
    "additionalProperties": False,
}
TOOL = Tool("trends", "How the goals moved.", {"type": "object", "properties": {}})
KEY = "sk-test-0123456789-very-secret"
ANSWER = '{"priority": 80}'


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key in the environment, and no address outside this machine."""
    monkeypatch.setenv("BEAMWRIGHT_MODELS", "loopback")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


class Talk:
    """A client in conversation with a scripted server, and all that it told."""

    def __init__(self, server: ModelServer, prices: Prices | None = None, **settings: Any) -> None:
        known = ModelSettings(model="scripted", base_url=server.base_url, retries=2, timeout_s=20.0)
        self.chat = OpenAiChat(replace(known, **settings), prices, first_wait_s=0.01)
        self.server = server
        self.told: list[object] = []

    def ask(self, *, schema: dict[str, Any] | None = None, tools: tuple[Tool, ...] = ()) -> Reply:
        return self.chat.ask(MESSAGES, attempt=3, schema=schema, tools=tools, tell=self.told.append)

    def fails(self, **asked: Any) -> str:
        with pytest.raises(ModelError) as caught:
            self.ask(**asked)
        last = self.told[-1]
        assert isinstance(last, ModelTroubled)
        assert (last.message, last.problem, last.waits_s) == (str(caught.value), caught.value.problem, None)
        return str(caught.value)

    @property
    def troubles(self) -> list[ModelTroubled]:
        return [event for event in self.told if isinstance(event, ModelTroubled)]

    def said(self, *, reasoning: bool) -> str:
        pieces = [event for event in self.told if isinstance(event, ModelSaid)]
        return "".join(piece.text for piece in pieces if piece.is_reasoning is reasoning)


@contextmanager
def talk(script: Script | Answer, prices: Prices | None = None, **settings: Any) -> Iterator[Talk]:
    with serve_model(script if callable(script) else in_turn(script)) as server:
        yield Talk(server, prices, **settings)


both_ways = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "at once"])


# Asking and answering


@both_ways
def test_a_reply_is_complete(stream: bool) -> None:
    """Answer, reasoning, usage, cost, model, fingerprint and request id arrive, and every event is told in order."""
    table = Prices.model_validate(
        {"models": {"scripted": {"usd_per_million_input_tokens": 2.0, "usd_per_million_output_tokens": 10.0}}}
    )
    say = Say(ANSWER, reasoning="The target is cold.", usage=(1000, 500, 400))
    with talk(say, table, stream=stream) as talking:
        reply = talking.ask(schema=SCHEMA)
    assert reply == Reply(
        answer=ANSWER,
        reasoning="The target is cold.",
        output="json_schema",
        usage=Usage(1000, 500, 400),
        cost_usd=pytest.approx(0.007),
        seconds=reply.seconds,
        model="scripted",
        fingerprint=FINGERPRINT,
        request_id="request-1",
    )
    assert reply.seconds > 0
    assert talking.told[0] == ModelAsked(3, MESSAGES, SCHEMA, ())
    assert talking.told[-1] == ModelAnswered(3, reply)
    assert not talking.troubles
    assert (talking.said(reasoning=True), talking.said(reasoning=False)) == ("The target is cold.", ANSWER)


def test_the_request_holds_what_the_settings_say() -> None:
    """Temperature, seed, top-k, the longest answer and the schema go out; what is None does not."""
    with talk(Say(ANSWER), temperature=0.2, seed=7, top_k=40, max_answer_tokens=900) as talking:
        talking.ask(schema=SCHEMA, tools=(TOOL,))
        sent = talking.server.requests[0]
    assert (sent["temperature"], sent["seed"], sent["top_k"], sent["max_tokens"]) == (0.2, 7, 40, 900)
    assert sent["response_format"]["json_schema"]["schema"] == SCHEMA
    assert sent["tools"][0]["function"]["name"] == "trends"
    assert sent["messages"] == [
        {"role": "system", "content": "You plan."},
        {"role": "user", "content": "Which priority?"},
    ]
    with talk(Say(ANSWER), temperature=None, seed=None, tools=False, stream=False) as talking:
        talking.ask(tools=(TOOL,))
        assert talking.server.requests[0].keys() == {"model", "messages"}
        assert talking.told[0] == ModelAsked(3, MESSAGES, None, ())


@both_ways
def test_tool_calls_arrive_whole(stream: bool) -> None:
    """Two calls with arguments in many pieces, broken ones verbatim; their answers go back in the API's form."""
    calls = (ToolCall("a", "trends", '{"attempts": [1, 2, 3]}'), ToolCall("b", "metric", '{"name": "PTV D9'))
    with talk(in_turn(Say(tool_calls=calls), Say(ANSWER)), stream=stream) as talking:
        reply = talking.ask(tools=(TOOL,))
        assert (reply.tool_calls, reply.finish, reply.answer) == (calls, "tool_calls", "")
        history = (
            *MESSAGES,
            Message(Role.ASSISTANT, "", tool_calls=calls),
            Message(Role.TOOL, "falling", tool_call_id="a"),
        )
        talking.chat.ask(history, attempt=3, schema=None, tools=(TOOL,), tell=talking.told.append)
        sent = talking.server.requests[1]["messages"]
    assert sent[2]["content"] is None
    assert sent[2]["tool_calls"][1] == {
        "id": "b",
        "type": "function",
        "function": {"name": "metric", "arguments": '{"name": "PTV D9'},
    }
    assert sent[3] == {"role": "tool", "content": "falling", "tool_call_id": "a"}


def test_tool_calls_under_one_index_are_told_apart_by_their_ids() -> None:
    """Some servers number every call 0."""
    calls = (ToolCall("a", "trends", '{"attempts": [1, 2, 3]}'), ToolCall("b", "metric", '{"name": "PTV D95"}'))
    with talk(Say(tool_calls=calls, numbers_calls=False)) as talking:
        assert talking.ask(tools=(TOOL,)).tool_calls == calls


@both_ways
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_of_either_field_is_read(stream: bool, field: str) -> None:
    """Servers name the field differently."""
    with talk(Say(ANSWER, reasoning="Cold.", reasoning_field=field), stream=stream) as talking:
        assert talking.ask().reasoning == "Cold."


@both_ways
@pytest.mark.parametrize("piece", [1, 2, 5, 1000])
def test_reasoning_within_the_answer_is_told_apart(stream: bool, piece: int) -> None:
    """A think block is no part of the answer, however its tags are cut into pieces."""
    say = Say(f"<think>2 < 3, so raise it.</think>\n{ANSWER}", piece=piece)
    with talk(say, stream=stream) as talking:
        reply = talking.ask()
    assert (reply.reasoning, reply.answer, reply.reasoning_closed) == ("2 < 3, so raise it.", ANSWER, True)
    assert talking.said(reasoning=True) == "2 < 3, so raise it."
    assert talking.said(reasoning=False).strip() == ANSWER


def test_a_think_block_that_never_ends_is_no_answer() -> None:
    """All that came is reasoning, and it is said that it was left open."""
    with talk(Say(f"<think>Perhaps {ANSWER} or", finish="length")) as talking:
        reply = talking.ask()
    assert (reply.answer, reply.reasoning_closed, reply.finish) == ("", False, "length")
    found = read_answer(reply)
    assert isinstance(found, CheckFailure)
    assert found.fault is Fault.UNCLOSED_REASONING


def test_a_closing_tag_alone_ends_the_reasoning() -> None:
    """Some servers keep the opening tag in the prompt."""
    with talk(Say(f"It is cold.</think>{ANSWER}")) as talking:
        reply = talking.ask()
    assert (reply.reasoning, reply.answer) == ("It is cold.", ANSWER)


@pytest.mark.parametrize("answer", ["The dose is <", "a </thin", "1 < 2 <think"])
def test_what_only_begins_like_a_tag_is_kept(answer: str) -> None:
    """It is held back while more may come, and then told."""
    with talk(Say(answer)) as talking:
        assert talking.ask().answer == answer
    assert talking.said(reasoning=False) == answer


@given(text=st.text(alphabet="<>/think a", max_size=60), cuts=st.lists(st.integers(0, 60), max_size=10))
def test_pieces_do_not_matter(text: str, cuts: list[int]) -> None:
    """However a text is cut, the same reasoning and answer come out, and no character is lost."""
    whole, cut = ThinkingSplitter(), ThinkingSplitter()
    whole.feed(text)
    whole.close()
    places = [0, *sorted(min(place, len(text)) for place in cuts), len(text)]
    pieces = [piece for start, end in itertools.pairwise(places) for piece in cut.feed(text[start:end])]
    pieces += cut.close()
    assert (cut.reasoning, cut.answer, cut.is_open) == (whole.reasoning, whole.answer, whole.is_open)
    assert "".join(said for said, _ in pieces) == text.replace("<think>", "").replace("</think>", "")


@both_ways
def test_a_refusal_in_its_field_is_kept(stream: bool) -> None:
    """The model's own words are in the reply."""
    with talk(Say(refusal="I cannot help with this."), stream=stream) as talking:
        assert talking.ask().refusal == "I cannot help with this."


@both_ways
def test_an_answer_that_was_cut_off_says_so(stream: bool) -> None:
    """The reason why the answer ended is kept."""
    with talk(Say('{"priority": 8', finish="length"), stream=stream) as talking:
        assert talking.ask().finish == "length"


@both_ways
def test_a_server_that_does_not_count_leaves_usage_and_cost_unknown(stream: bool) -> None:
    """No number is made up."""
    with talk(Say(ANSWER, usage=None), Prices(models={}), stream=stream) as talking:
        reply = talking.ask()
    assert (reply.usage, reply.cost_usd) == (None, None)


# What no model may break


@both_ways
def test_half_a_character_is_replaced_wherever_a_model_speaks(stream: bool, tmp_path: Path) -> None:
    """Lone surrogates in answer, reasoning, refusal, calls and ids become U+FFFD, so that a trace can hold them."""
    half, whole = "\ud800", "\ufffd"
    call = ToolCall(f"id{half}", f"name{half}", f'{{"of": "{half}"}}')
    say = Say(f"cold{half}", reasoning=f"why{half}", refusal=f"no{half}", tool_calls=(call,))
    with talk(say, stream=stream) as talking:
        reply = talking.ask(tools=(TOOL,))
    assert (reply.answer, reply.reasoning, reply.refusal) == (f"cold{whole}", f"why{whole}", f"no{whole}")
    assert reply.tool_calls == (ToolCall(f"id{whole}", f"name{whole}", f'{{"of": "{whole}"}}'),)
    with Trace(tmp_path / "trace.jsonl") as trace:
        trace.write(talking.told[-1])  # type: ignore[arg-type]


def test_half_a_character_in_a_servers_words_is_replaced() -> None:
    """An error's text and the list of models go to terminals and traces too."""
    with talk(Fail(418, "no \ud800 key")) as talking:
        assert talking.fails().encode()
    with serve_model(in_turn(Say(ANSWER)), models=("q\udc00",)) as server:
        assert settled(ModelSettings(base_url=server.base_url)).model == "q\ufffd"


PARTS = [{"type": "text", "text": '{"priority"'}, {"type": "text", "text": ": 80}"}]


def completion(message: object, **more: object) -> Raw:
    """One that is whole at once and as an event, so far as its message goes."""
    choice = {"index": 0, "message": message, "delta": message, "finish_reason": "stop"}
    return Raw(json.dumps({"id": "c", "model": "scripted", "choices": [choice], **more}))


@both_ways
def test_an_answer_in_parts_is_joined(stream: bool) -> None:
    """Some servers send content as a list of texts."""
    with talk(completion({"content": PARTS, "reasoning_content": PARTS[1:]}), stream=stream) as talking:
        reply = talking.ask()
    assert (reply.answer, reply.reasoning) == (ANSWER, ": 80}")


NO_COMPLETIONS = [
    pytest.param(completion({"content": 80}), "content", id="a number"),
    pytest.param(completion({"content": {"priority": 80}}), "content", id="an object"),
    pytest.param(completion({"content": [{"type": "image_url"}]}), "content", id="an image"),
    pytest.param(completion({"content": [{"type": "text", "text": 3}]}), "content", id="a part without text"),
    pytest.param(completion("80"), "choices.0", id="no message"),
    pytest.param(completion({"content": ANSWER, "reasoning": ["x"]}), "reasoning", id="reasoning"),
    pytest.param(completion({"content": ANSWER, "refusal": True}), "refusal", id="refusal"),
    pytest.param(completion({"tool_calls": "trends"}), "tool_calls", id="calls"),
    pytest.param(completion({"tool_calls": [{"id": 7, "function": {"name": "trends"}}]}), "id", id="a call's id"),
    pytest.param(completion({"tool_calls": [{"index": [], "id": "a"}]}), "index", id="a call's index"),
    pytest.param(completion({"tool_calls": [{"function": {"name": 7}}]}), "name", id="a call's name"),
    pytest.param(completion({"content": ANSWER}, usage={"prompt_tokens": "many"}), "prompt_tokens", id="usage"),
    pytest.param(completion({"content": ANSWER}, usage=[1]), "usage", id="usage as a list"),
    pytest.param(completion({"content": ANSWER}, id=12), "id", id="id"),
    pytest.param(completion({"content": ANSWER}, model=["a"]), "model", id="model"),
    pytest.param(completion({"content": ANSWER}, choices="80"), "choices", id="choices"),
    pytest.param(completion({"content": ANSWER}, choices=[80]), "choices", id="a choice"),
    pytest.param(Raw("[1]"), "the whole", id="a list"),
    pytest.param(Raw('"80"'), "the whole", id="a string"),
    pytest.param(Raw("null"), "the whole", id="null"),
]


@both_ways
@pytest.mark.parametrize(("answer", "named"), NO_COMPLETIONS)
def test_what_is_no_completion_is_told_as_such(stream: bool, answer: Raw, named: str) -> None:
    """Whatever types a server mixes up, the run ends with the field that is wrong and never with a crash."""
    with talk(answer, stream=stream) as talking:
        message = talking.fails()
    assert "is no chat completion" in message
    assert named in message


@pytest.mark.parametrize("text", ["<html>", '{"choices": ', "[" * 100_000])
def test_what_is_no_json_is_no_completion(text: str) -> None:
    """Sent at once it is told so; within a stream it is a lost connection, which is tried again."""
    with talk(Raw(text), stream=False) as talking:
        assert "is no chat completion" in talking.fails()
    with talk(in_turn(Raw(text), Say(ANSWER))) as talking:
        assert talking.ask().answer == ANSWER
    assert [trouble.problem for trouble in talking.troubles] == ["connection"]


@pytest.mark.parametrize("models", [(7,), ({"name": "a"},), (None,)])
def test_a_list_of_no_names_is_no_list_of_models(models: tuple[object, ...]) -> None:
    """The look before a run says what came back."""
    with (
        serve_model(in_turn(Say(ANSWER)), models=models) as server,
        pytest.raises(ModelError, match=r"no list of models \(data\.0\.id"),
    ):
        settled(ModelSettings(base_url=server.base_url))


def test_a_parameter_that_is_no_name_is_not_looked_up() -> None:
    """A refusal whose parameter is a list is read by its words."""
    script = in_turn(Fail(400, "Unsupported: seed", param=["seed"]), Say(ANSWER))  # type: ignore[arg-type]
    with talk(script) as talking:
        assert talking.ask().answer == ANSWER
        assert "seed" not in talking.server.requests[-1]


# Repetition


@pytest.mark.parametrize("text", ["no ", "I will check the hot spot once more, and the ring.\n", "x" * 1500, "\n"])
def test_endless_repetition_is_cut(text: str) -> None:
    """The client hangs up long before the server would end, and says why."""
    with talk(SayForever(text)) as talking:
        reply = talking.ask()
    assert reply.finish == "repetition"
    assert len(talking.said(reasoning=False)) < 20_000


def test_repetition_that_came_at_once_is_told_too() -> None:
    """Without streaming it cannot be cut, but it is known for what it is."""
    with talk(SayForever("again "), stream=False) as talking:
        assert talking.ask().finish == "repetition"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("".join(f"Attempt {n}: D95 is {n / 7:.2f} Gy.\n" for n in range(3000)), id="long prose"),
        pytest.param("".join(f"{n}, " for n in range(400)) * 2, id="a page said twice"),
        pytest.param("-" * 1000, id="a line of dashes"),
        pytest.param('{"objective": "Ring", "priority": 20}, ' * 30, id="equal rows"),
    ],
)
def test_what_is_long_or_regular_is_not_endless(text: str) -> None:
    """Only the same, again and again, is."""
    watch = RepetitionWatch()
    watch.feed(text)
    assert not watch.is_endless


def test_beyond_all_measure_everything_is_endless() -> None:
    """A model that never repeats itself and never ends is cut too."""
    watch = RepetitionWatch()
    watch.feed("".join(f"{number} " for number in range(LONGEST_CHARACTERS // 4)))
    assert watch.is_endless


# What a server refuses is given up


def refusing(*names: str, status: int = 400, by_param: bool = True) -> Script:
    """A server that refuses requests with any of these parameters."""

    def script(request: Request) -> Answer:
        for name in names:
            if name in request:
                if by_param:
                    return Fail(status, "This model does not support it.", param=name)
                return Fail(status, f"Unsupported parameter: '{name}' is not supported with this model.")
        return Say(ANSWER)

    return script


@pytest.mark.parametrize("by_param", [True, False])
@pytest.mark.parametrize("status", [400, 422])
def test_what_a_server_refuses_by_name_is_left_out_from_then_on(status: int, by_param: bool) -> None:
    """Each parameter is given up once, told, and never sent again; the rest stays."""
    refused = ("temperature", "seed", "top_k", "tools", "stream_options")
    with talk(refusing(*refused, status=status, by_param=by_param), top_k=40) as talking:
        reply = talking.ask(schema=SCHEMA, tools=(TOOL,))
        assert (reply.answer, reply.output) == (ANSWER, "json_schema")
        assert len(talking.server.requests) == 1 + len(refused)
        talking.ask(schema=SCHEMA, tools=(TOOL,))
        sent = talking.server.requests[-1]
        assert len(talking.server.requests) == 2 + len(refused)
    assert sent.keys() == {"model", "messages", "response_format", "stream"}
    assert [(trouble.problem, trouble.waits_s) for trouble in talking.troubles] == [("not-understood", None)] * 5
    for name in refused:
        assert any(f"going on without {name}" in trouble.message for trouble in talking.troubles)


def test_the_longest_answer_is_asked_for_under_its_other_name() -> None:
    """Reasoning models take max_completion_tokens only."""
    with talk(refusing("max_tokens"), max_answer_tokens=900) as talking:
        talking.ask()
        sent = talking.server.requests[-1]
    assert sent["max_completion_tokens"] == 900
    assert "max_tokens" not in sent


def test_a_server_that_cannot_stream_is_asked_for_the_whole() -> None:
    """Streaming is given up, the answer comes all the same."""
    with talk(refusing("stream_options", "stream")) as talking:
        assert talking.ask().answer == ANSWER


def output_up_to(best: str, message: str) -> Script:
    """A server that knows no more structure than this."""
    known = ["text", "json_object", "json_schema"]

    def script(request: Request) -> Answer:
        asked = request.get("response_format", {"type": "text"})["type"]
        return Say(ANSWER) if known.index(asked) <= known.index(best) else Fail(400, message)

    return script


@pytest.mark.parametrize("best", ["json_object", "text"])
@pytest.mark.parametrize("message", ["response_format is not supported", "this failed for some reason"])
def test_structure_steps_down_to_what_the_server_knows(best: str, message: str) -> None:
    """JSON schema, JSON, text: once found, the step is kept for the session."""
    with talk(output_up_to(best, message)) as talking:
        assert talking.ask(schema=SCHEMA).output == best
        steps = len(talking.server.requests)
        assert talking.ask(schema=SCHEMA).output == best
        assert len(talking.server.requests) == steps + 1
    assert len(talking.troubles) == steps - 1
    assert all(trouble.waits_s is None for trouble in talking.troubles)


def test_structure_that_was_asked_for_is_not_given_up() -> None:
    """A person who chose json_schema gets it or an error."""
    with talk(output_up_to("text", "response_format is not supported"), output="json_schema") as talking:
        assert "response_format is not supported" in talking.fails(schema=SCHEMA)
        assert len(talking.server.requests) == 1


def test_a_request_that_stays_refused_is_an_error_in_the_servers_words() -> None:
    """When nothing is left to give up, the reason is shown."""
    with talk(Fail(400, "The prompt has 9000 tokens; 8192 is the most.")) as talking:
        assert "8192 is the most" in talking.fails(schema=SCHEMA)
        assert len(talking.server.requests) == 3


# What fails for now is repeated


@both_ways
@pytest.mark.parametrize(
    ("failure", "problem"),
    [
        pytest.param(Fail(429, "slow down", {"Retry-After": "0.02"}), "rate-limit", id="429"),
        pytest.param(Fail(500, "oops"), "server-error", id="500"),
        pytest.param(Fail(503, "loading the model"), "server-error", id="503"),
        pytest.param(Fail(408, "too slow"), "timeout", id="408"),
        pytest.param(Drop(), "connection", id="dropped before the first word"),
        pytest.param(Drop('{"prio'), "connection", id="dropped within the answer"),
    ],
)
def test_a_passing_failure_is_told_and_repeated(stream: bool, failure: Answer, problem: str) -> None:
    """Two failures, then the answer: whole, and nothing of the broken one in it."""
    with talk(in_turn(failure, failure, Say(ANSWER)), stream=stream) as talking:
        assert talking.ask().answer == ANSWER
        assert len(talking.server.requests) == 3
    assert [trouble.problem for trouble in talking.troubles] == [problem] * 2
    assert all(trouble.waits_s is not None for trouble in talking.troubles)


def test_a_stream_that_ends_early_in_good_order_is_lost_too() -> None:
    """Half an answer is never taken for a whole one."""
    with talk(in_turn(Drop('{"priority": 8', quietly=True), Say(ANSWER))) as talking:
        assert talking.ask().answer == ANSWER
    assert [trouble.problem for trouble in talking.troubles] == ["connection"]


@both_ways
@pytest.mark.parametrize("text", ["", '{"prio'])
def test_a_server_that_hangs_is_left_at_the_deadline(stream: bool, text: str) -> None:
    """Before the first word or after it."""
    with talk(in_turn(Hang(text), Say(ANSWER)), stream=stream, timeout_s=0.5) as talking:
        assert talking.ask().answer == ANSWER
    assert [trouble.problem for trouble in talking.troubles] == ["timeout"]


def test_the_deadline_holds_for_the_whole_answer() -> None:
    """A server that keeps talking, slowly, is left too: no pause is long, the whole is."""
    with slow_drip() as base_url:
        talking_to = ModelSettings(model="scripted", base_url=base_url, retries=0, timeout_s=0.5)
        with pytest.raises(ModelError, match=r"did not answer in full within 0\.5 s") as caught:
            OpenAiChat(talking_to).ask(MESSAGES, attempt=1, schema=None, tools=(), tell=lambda _: None)
    assert caught.value.problem == "timeout"


@contextmanager
def slow_drip() -> Iterator[str]:
    """A server that sends a word every 50 ms and never ends."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for number in itertools.count():
                chunk = {"choices": [{"index": 0, "delta": {"content": f"{number} "}}]}
                try:
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                except ConnectionError:
                    return
                if closing.wait(0.05):
                    return

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as base_url:
        try:
            yield base_url
        finally:
            closing.set()


def test_retries_come_to_an_end() -> None:
    """After as many as the settings allow, the error says how often it was tried."""
    with talk(Fail(500, "oops"), retries=2) as talking:
        assert "Given up after 3 tries" in talking.fails()
        assert len(talking.server.requests) == 3
    assert [trouble.waits_s is None for trouble in talking.troubles] == [False, False, True]


def test_the_wait_that_a_server_asks_for_is_kept() -> None:
    """Seconds and milliseconds are taken as they are; without them waits grow."""
    failures = (Fail(429, "", {"Retry-After": "0.04"}), Fail(503, "", {"retry-after-ms": "20"}))
    with talk(in_turn(*failures, Say(ANSWER))) as talking:
        talking.ask()
    assert [trouble.waits_s for trouble in talking.troubles] == [0.04, 0.02]
    with talk(in_turn(*[Fail(500)] * 4, Say(ANSWER)), retries=4) as talking:
        talking.ask()
    waits_s = [trouble.waits_s or 0.0 for trouble in talking.troubles]
    assert all(0.01 * 2**number <= wait_s <= 0.01 * (2**number + 1) for number, wait_s in enumerate(waits_s))


def test_a_wait_may_be_a_date() -> None:
    """Retry-After as an HTTP date is the time until then, and none when it has passed; nonsense is no wait."""
    coming = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < (asked_wait_s({"retry-after": coming}) or 0) <= 90
    assert asked_wait_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert asked_wait_s({"retry-after": "soon"}) is None
    assert asked_wait_s({}) is None


def test_a_wait_of_hours_is_not_waited_for() -> None:
    """The run ends with the reason instead of standing still."""
    with talk(Fail(429, "daily limit reached", {"Retry-After": "7200"})) as talking:
        message = talking.fails()
    assert "7200 s" in message
    assert "daily limit reached" in message


def test_an_empty_account_is_not_asked_again() -> None:
    """No wait helps against a lack of credit."""
    with talk(Fail(429, "You exceeded your quota.", code="insufficient_quota")) as talking:
        assert "no credit" in talking.fails()
        assert len(talking.server.requests) == 1


def test_a_server_that_is_not_there_is_a_lost_connection() -> None:
    """The error names the address."""
    with serve_model(in_turn(Say(ANSWER))) as server:
        talking = Talk(server, retries=1)
    message = talking.fails()
    assert server.base_url in message
    assert [trouble.problem for trouble in talking.troubles] == ["connection", "connection"]


# Keys, models, addresses


def test_the_key_comes_from_the_environment_and_is_told_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent, and stands in no event, setting or error, even where the server repeats it."""
    monkeypatch.setenv("MY_KEY", KEY)
    answers = in_turn(Say(ANSWER), Fail(500, f"bad key {KEY}"), Fail(400, f"What is {KEY}?"))
    with talk(answers, key_variable="MY_KEY", output="text") as talking:
        talking.ask()
        message = talking.fails()
        assert talking.server.authorizations == [f"Bearer {KEY}"] * 3
    assert "[key]" in message
    assert KEY not in message + repr(talking.told) + repr(vars(talking.chat))


@both_ways
def test_a_refused_key_names_the_variable(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """At once, and without the key."""
    monkeypatch.setenv("MY_KEY", KEY)
    with serve_model(in_turn(Say(ANSWER)), key="another") as server:
        talking = Talk(server, key_variable="MY_KEY", stream=stream)
        message = talking.fails()
        with pytest.raises(ModelError, match="MY_KEY"):
            settled(talking.chat.settings)
    assert "MY_KEY" in message
    assert [trouble.problem for trouble in talking.troubles] == ["key-refused"]
    assert KEY not in message


def test_an_unknown_model_is_named_with_those_there_are() -> None:
    """So that the next command can be right."""
    with serve_model(in_turn(Fail(404, "no such model")), models=("qwen", "llama")) as server:
        message = Talk(server, model="gwen").fails()
    assert "'gwen'" in message
    assert "'llama', 'qwen'" in message


def test_a_wrong_path_is_told_as_such() -> None:
    """An address without /v1 is the usual mistake."""
    with serve_model(in_turn(Say(ANSWER))) as server:
        message = Talk(server, base_url=server.base_url.removesuffix("/v1")).fails()
    assert "/v1" in message


@pytest.mark.parametrize("base_url", ["https://api.example.com/v1", "http://192.0.2.7:8000/v1", None])
def test_the_switch_forbids_every_other_machine(base_url: str | None) -> None:
    """Nothing is sent: the error comes before any connection."""
    with serve_model(in_turn(Say(ANSWER))) as server:
        talking = Talk(server, base_url=base_url)
    assert "BEAMWRIGHT_MODELS=loopback" in talking.fails()
    with pytest.raises(ModelError, match="BEAMWRIGHT_MODELS=loopback"):
        settled(talking.chat.settings)


def test_a_proxy_does_not_stand_before_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local server is asked directly, whatever proxy the environment names."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.7:3128")
    with talk(Say(ANSWER)) as talking:
        assert talking.ask().answer == ANSWER


def test_a_redirect_off_this_machine_is_not_followed() -> None:
    """A local server cannot pass a request on to another."""
    with talk(Fail(307, "over there", {"Location": "http://192.0.2.7/v1/chat/completions"})) as talking:
        assert "307" in talking.fails()


def test_a_switch_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing mistake must not open the door."""
    monkeypatch.setenv("BEAMWRIGHT_MODELS", "loopbak")
    with talk(Say(ANSWER)) as talking:
        assert "loopbak" in talking.fails()
        assert not talking.server.requests


def test_a_provider_without_a_key_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing variable is named."""
    monkeypatch.delenv("BEAMWRIGHT_MODELS")
    with pytest.raises(ModelError, match="SOME_KEY is not set"):
        settled(ModelSettings(model="any", key_variable="SOME_KEY"))


@pytest.mark.parametrize(
    "base_url",
    [
        "localhost:8000/v1",
        "http://",
        "http://user:secret@127.0.0.1/v1",
        "http://127.0.0.1/v1?api-key=secret",
        "http://127.0.0.1/v1#secret",
        "127.0.0.1/v1?api-key=secret",
    ],
)
def test_an_address_must_be_one(base_url: str) -> None:
    """The error does not repeat a password or a key."""
    with pytest.raises(ModelError, match="base URL") as caught:
        settled(ModelSettings(model="any", base_url=base_url))
    assert "secret" not in str(caught.value)


def test_the_only_model_is_filled_in() -> None:
    """Where a server has one model, none need be named."""
    with serve_model(in_turn(Say(ANSWER)), models=("qwen",)) as server:
        assert settled(ModelSettings(base_url=server.base_url)).model == "qwen"
        assert settled(ModelSettings(model="mine", base_url=server.base_url)).model == "mine"
        with pytest.raises(ModelError, match="no model is named"):
            Talk(server, model="").ask()


@pytest.mark.parametrize(("models", "named"), [(("qwen", "llama"), "'llama', 'qwen'"), ((), "has none")])
def test_several_models_or_none_are_a_question(models: tuple[str, ...], named: str) -> None:
    """They are listed."""
    with (
        serve_model(in_turn(Say(ANSWER)), models=models) as server,
        pytest.raises(ModelError, match=named),
    ):
        settled(ModelSettings(base_url=server.base_url))


def test_a_server_without_a_list_is_accepted_when_a_model_is_named() -> None:
    """Not every server lists its models."""
    with serve_model(in_turn(Say(ANSWER)), lists_models=False) as server:
        assert settled(ModelSettings(model="mine", base_url=server.base_url)).model == "mine"
        with pytest.raises(ModelError, match="does not list"):
            settled(ModelSettings(base_url=server.base_url))


def test_a_server_that_is_not_there_is_found_before_the_run() -> None:
    """The look beforehand names the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ModelError, match=f"no connection to http://127.0.0.1:{port}/v1"):
        settled(ModelSettings(model="any", base_url=f"http://127.0.0.1:{port}/v1"))


@both_ways
def test_a_web_page_is_no_model(stream: bool) -> None:
    """An address that leads to a page of another program is told as such, and not asked again."""
    with web_page() as base_url:
        asked = ModelSettings(model="any", base_url=base_url, stream=stream, retries=3)
        with pytest.raises(ModelError, match="no chat completion"):
            OpenAiChat(asked).ask(MESSAGES, attempt=1, schema=None, tools=(), tell=lambda _: None)
        with pytest.raises(ModelError, match="no list of models"):
            settled(asked)


@contextmanager
def web_page() -> Iterator[str]:
    """A server that answers everything with a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")

        do_POST = do_GET  # noqa: N815 (the standard library's name)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as base_url:
        yield base_url


# Prices


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


TABLE = """
models:
  some-model:
    usd_per_million_input_tokens: 1.25
    usd_per_million_output_tokens: 10
"""


def test_a_price_table_gives_costs(tmp_path: Path) -> None:
    """Tokens times price; unknown for another model and without a count."""
    prices = load_prices(written(tmp_path / "prices.yaml", TABLE))
    assert prices is not None
    assert prices.cost_usd("some-model", Usage(1_000_000, 200_000)) == pytest.approx(3.25)
    assert prices.cost_usd("another", Usage(1, 1)) is None
    assert prices.cost_usd("some-model", None) is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("usd_per_million_input_tokens: 1.25", "usd_per_million_input_tokens: -1", "-1"),
        ("usd_per_million_input_tokens: 1.25", "usd_per_million_input_tokens: '1.25'", "'1.25'"),
        ("usd_per_million_input_tokens: 1.25", "usd_per_million_input_tokens: .nan", "nan"),
        ("usd_per_million_input_tokens: 1.25", "usd_per_million_imput_tokens: 1.25", "not known here"),
        ("    usd_per_million_input_tokens: 1.25\n", "", "this key is missing"),
        ("usd_per_million_input_tokens", "usd_per_million_output_tokens", "stands twice"),
        ("models:", "model:", "model: this key is not known"),
        ("models:", "models: [", "not YAML"),
        (TABLE, "", "file"),
    ],
)
def test_a_wrong_price_table_names_file_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Nothing is guessed from a table with a mistake."""
    path = written(tmp_path / "prices.yaml", TABLE.replace(old, new))
    with pytest.raises(PricesError) as caught:
        load_prices(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_the_users_own_table_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies in the user's configuration folder; without one prices are unknown, but a named file must be there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_prices() is None
    default_path().parent.mkdir(parents=True)
    written(default_path(), TABLE)
    prices = load_prices()
    assert prices is not None
    assert "some-model" in prices.models
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        load_prices(tmp_path / "nowhere.yaml")


# Replay


def traced(talking: Talk, path: Path) -> list[object]:
    """What was told, written to a trace and read again."""
    kinds = {kind.__name__: kind for kind in (ModelAsked, ModelAnswered, ModelTroubled)}
    with Trace(path) as trace:
        for event in talking.told:
            if isinstance(event, ModelAsked | ModelAnswered | ModelTroubled):
                trace.write(event)
    return [from_plain(kinds[line["event"]], {"type": line["event"], **line["data"]}) for line in read(path)]


def test_a_recorded_conversation_is_told_again_as_it_was(tmp_path: Path) -> None:
    """Replies, troubles, seconds and failures come from the trace, without any server."""
    answers = in_turn(Fail(500, "oops"), Say(ANSWER, reasoning="Cold."), Fail(403))
    with talk(answers) as talking:
        reply = talking.ask(schema=SCHEMA, tools=(TOOL,))
        message = talking.fails(schema=SCHEMA, tools=(TOOL,))
    recorded = [event for event in talking.told if not isinstance(event, ModelSaid)]
    chat = RecordedChat(talking.chat.settings, traced(talking, tmp_path / "trace.jsonl"))
    told: list[object] = []
    assert chat.ask(MESSAGES, attempt=3, schema=SCHEMA, tools=(TOOL,), tell=told.append) == reply
    assert not chat.is_spent
    with pytest.raises(ModelError) as caught:
        chat.ask(MESSAGES, attempt=3, schema=SCHEMA, tools=(TOOL,), tell=told.append)
    assert str(caught.value) == message
    assert told == recorded
    assert chat.is_spent
    with pytest.raises(ModelError, match="the trace holds 2"):
        chat.ask(MESSAGES, attempt=3, schema=SCHEMA, tools=(TOOL,), tell=told.append)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"messages": MESSAGES[:1]}, "2 messages recorded, 1 now"),
        ({"messages": (MESSAGES[0], Message(Role.USER, "Which dose?"))}, "message 2 (user), line 1: 'Which priority?'"),
        ({"messages": (MESSAGES[0], Message(Role.USER, "Which priority?\nNow."))}, "line 2: nothing recorded, 'Now.'"),
        ({"messages": (MESSAGES[0], Message(Role.TOOL, "Which priority?"))}, "message 2 (user), role"),
        ({"attempt": 4}, "attempt: 3 recorded, 4 now"),
        ({"schema": None}, "schema"),
        ({"tools": (TOOL,)}, "tools"),
    ],
)
def test_another_request_than_the_recorded_one_ends_the_replay(changed: dict[str, Any], told: str) -> None:
    """The first difference is named, so that a replay proves that the same was asked."""
    events = (ModelAsked(3, MESSAGES, SCHEMA, ()), ModelAnswered(3, Reply(ANSWER)))
    asked: dict[str, Any] = {"messages": MESSAGES, "attempt": 3, "schema": SCHEMA, "tools": ()}
    assert RecordedChat(ModelSettings(), events).ask(**asked, tell=lambda _: None).answer == ANSWER
    with pytest.raises(ModelError) as caught:
        RecordedChat(ModelSettings(), events).ask(**{**asked, **changed}, tell=lambda _: None)
    assert told in str(caught.value)


# The server itself


def test_a_script_sees_the_request_and_its_mistakes_come_out() -> None:
    """A script answers from the prompt; one that fails is a server error, and fails the test."""
    with talk(lambda request: Say(last_said(request, "user").upper())) as talking:
        assert talking.ask().answer == "WHICH PRIORITY?"

    def broken(request: Request) -> Answer:
        raise ZeroDivisionError("in the script")

    with pytest.raises(ZeroDivisionError, match="in the script"), talk(broken, retries=0) as talking:
        talking.fails()
