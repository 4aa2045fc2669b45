"""A small OpenAI-compatible server on loopback, whose model is a script: for tests and demonstrations without a model.

The one idea: a script is a function from the request's JSON body to an answer, and the answers name all that can go
wrong: `Say`, `SayForever`, `Raw`, `Drop`, `Hang`, `Fail`. Sockets, HTTP and server-sent events are real.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.talk import ToolCall

Request = dict[str, Any]
FINGERPRINT = "fp_scripted"
_FOREVER_BYTES = 2_000_000


@dataclass(frozen=True)
class Say:
    """A whole answer, streamed in pieces or sent at once, as the request asks."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str | None = None
    """None: ``tool_calls`` where there are any, otherwise ``stop``."""
    refusal: str = ""
    usage: tuple[int, int, int] | None = (100, 20, 0)
    """Tokens of prompt, of answer, of the reasoning therein; None: the server does not count."""
    piece: int = 12
    """Characters in a streamed piece."""
    reasoning_field: str = "reasoning_content"
    numbers_calls: bool = True
    """False: every streamed tool call has the index 0, as some servers send them."""

    @property
    def finish_reason(self) -> str:
        return self.finish or ("tool_calls" if self.tool_calls else "stop")


@dataclass(frozen=True)
class SayForever:
    """The same text again and again, until the client hangs up."""

    text: str


@dataclass(frozen=True)
class Raw:
    """Any text in place of a completion, or as the one event of a stream."""

    text: str


@dataclass(frozen=True)
class Drop:
    """Part of an answer, then the connection is lost."""

    text: str = ""
    quietly: bool = False
    """It ends in good order, as if that were all."""


@dataclass(frozen=True)
class Hang:
    """Part of an answer, then nothing, until the server closes."""

    text: str = ""


@dataclass(frozen=True)
class Fail:
    """An HTTP error."""

    status: int
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    param: str | None = None
    code: str | None = None


Answer = Say | SayForever | Raw | Drop | Hang | Fail
Script = Callable[[Request], Answer]


def in_turn(*answers: Answer) -> Script:
    """The answers in order, and the last one again and again."""
    coming = itertools.chain(answers, itertools.repeat(answers[-1]))
    return lambda _: next(coming)


def last_said(request: Request, role: str) -> str:
    """Text of the last message of that role; empty where there is none."""
    said = [message["content"] or "" for message in request["messages"] if message["role"] == role]
    return said[-1] if said else ""


class ModelServer(ThreadingHTTPServer):
    """What `serve_model` gives: where the server is, and what it was asked."""

    daemon_threads = True

    def __init__(self, script: Script, models: tuple[object, ...], lists_models: bool, key: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models = models
        self.lists_models = lists_models
        self.key = key
        self.requests: list[Request] = []
        self.authorizations: list[str] = []
        self.script_errors: list[Exception] = []
        self.closing = threading.Event()
        self._script = script
        self._one_at_a_time = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def answer(self, request: Request) -> Answer:
        """What the script says; a script that raises is a server error now, and is raised when the server closes."""
        with self._one_at_a_time:
            self.requests.append(request)
            try:
                return self._script(request)
            except Exception as error:
                self.script_errors.append(error)
                return Fail(500, f"the script failed: {error!r}")


@contextmanager
def serve_model(
    script: Script, *, models: tuple[object, ...] = ("scripted",), lists_models: bool = True, key: str | None = None
) -> Iterator[ModelServer]:
    """A running server; ``key`` is the one that it lets in, None lets everybody in.

    Raises
    ------
    Exception
        When the block ends: whatever the script raised first.
    """
    server = ModelServer(script, models, lists_models, key)
    with running(server):
        try:
            yield server
        finally:
            server.closing.set()
    if server.script_errors:
        raise server.script_errors[0]


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    """Any HTTP server, running until the block ends; its base URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_GET(self) -> None:
        if not self._is_let_in():
            return
        if self.path == "/v1/models" and self.server.lists_models:
            self._send(200, {"object": "list", "data": [_model(name) for name in self.server.models]})
        else:
            self._fail(Fail(404, f"no such path: {self.path}"))

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._is_let_in():
            return
        if self.path != "/v1/chat/completions":
            self._fail(Fail(404, f"no such path: {self.path}"))
            return
        self.server.authorizations.append(self.headers.get("Authorization", ""))
        answer = self.server.answer(request)
        try:
            self._answer(answer, request)
        except ConnectionError:
            self.close_connection = True  # the client has hung up

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what was asked is in `ModelServer.requests`."""

    def _answer(self, answer: Answer, request: Request) -> None:
        streams = bool(request.get("stream"))
        if isinstance(answer, Fail):
            self._fail(answer)
        elif isinstance(answer, Say) and streams:
            self._begin_stream()
            for event in _events(answer, request):
                self._event(event)
            self._end_stream()
        elif isinstance(answer, Say):
            self._send(200, _completion(answer, request))
        elif isinstance(answer, Raw):
            self._send_raw(answer.text, streams)
        elif isinstance(answer, SayForever):
            self._say_forever(answer.text, request, streams)
        elif isinstance(answer, Drop):
            self._drop(answer, request, streams)
        else:
            self._begin(answer.text, request, streams)
            self.server.closing.wait()

    def _send_raw(self, text: str, streams: bool) -> None:
        if streams:
            self._begin_stream()
            self._event(text)
            self._end_stream()
        else:
            self._send_text(200, text)

    def _say_forever(self, text: str, request: Request, streams: bool) -> None:
        repeated = itertools.repeat(text, _FOREVER_BYTES // len(text))
        if not streams:
            self._send(200, _completion(Say("".join(repeated), finish="length"), request))
            return
        self._begin_stream()
        for piece in repeated:
            self._event(_chunk({"content": piece}, request))
        self._event(_chunk({}, request, finish="length"))
        self._end_stream()

    def _drop(self, answer: Drop, request: Request, streams: bool) -> None:
        self._begin(answer.text, request, streams)
        if answer.quietly and streams:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _begin(self, text: str, request: Request, streams: bool) -> None:
        """The answer's beginning: of a stream, or of a body that was announced longer."""
        if streams:
            self._begin_stream()
            if text:
                self._event(_chunk({"content": text}, request))
        else:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(text.encode())
        self.wfile.flush()

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("x-request-id", self._request_id)
        self.end_headers()

    def _event(self, data: object) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        content = f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def _end_stream(self) -> None:
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _is_let_in(self) -> bool:
        if self.server.key is None or self.headers.get("Authorization") == f"Bearer {self.server.key}":
            return True
        self._fail(Fail(401, f"Incorrect API key provided: {self.headers.get('Authorization')}"))
        return False

    def _fail(self, failure: Fail) -> None:
        error = {"message": failure.message, "type": "error", "param": failure.param, "code": failure.code}
        self._send(failure.status, {"error": error}, failure.headers)

    def _send(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        self._send_text(status, json.dumps(body), headers)

    def _send_text(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-request-id", self._request_id)
        self.end_headers()
        self.wfile.write(content)

    @property
    def _request_id(self) -> str:
        return f"request-{len(self.server.requests)}"


def _model(name: object) -> Mapping[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tests"}


def _events(answer: Say, request: Request) -> Iterator[object]:
    for piece in _pieces(answer.reasoning, answer.piece):
        yield _chunk({answer.reasoning_field: piece}, request)
    for piece in _pieces(answer.text, answer.piece):
        yield _chunk({"content": piece}, request)
    if answer.refusal:
        yield _chunk({"refusal": answer.refusal}, request)
    for number, call in enumerate(answer.tool_calls):
        index = number if answer.numbers_calls else 0
        begun = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield _chunk({"tool_calls": [begun]}, request)
        for piece in _pieces(call.arguments, answer.piece):
            yield _chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, request)
    yield _chunk({}, request, finish=answer.finish_reason)
    if answer.usage and request.get("stream_options", {}).get("include_usage"):
        yield {**_chunk({}, request), "choices": [], "usage": _usage(answer.usage)}


def _pieces(text: str, length: int) -> Iterator[str]:
    return (text[start : start + length] for start in range(0, len(text), length))


def _chunk(delta: Mapping[str, Any], request: Request, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**_frame(request), "object": "chat.completion.chunk", "choices": [choice]}


def _completion(answer: Say, request: Request) -> dict[str, Any]:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]
    message = {
        "role": "assistant",
        "content": answer.text or None,
        answer.reasoning_field: answer.reasoning or None,
        "refusal": answer.refusal or None,
        "tool_calls": calls or None,
    }
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    usage = {"usage": _usage(answer.usage)} if answer.usage else {}
    return {**_frame(request), "object": "chat.completion", "choices": [choice], **usage}


def _frame(request: Request) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "created": 0, "model": request["model"], "system_fingerprint": FINGERPRINT}


def _usage(tokens: tuple[int, int, int]) -> Mapping[str, Any]:
    prompt, answer, reasoning = tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
