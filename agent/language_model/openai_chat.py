"""Asks a language model at any OpenAI-compatible address: OpenAI, Azure (v1), vLLM, Ollama, llama.cpp.

The one idea: a request ends in one of three ways. It is answered; or it fails for now (`_Passing`: time-out, lost
connection, 429, server error) and is repeated after a wait; or the server refuses a part of it (`_Refused`), which is
given up for the session and the rest sent again at once. Everything else is a `ModelError` that says what to do. One
deadline holds for a whole request, from sending to the last token, so each runs in an event loop of its own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import openai
import tenacity
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from agent.language_model import ModelError
from agent.language_model.concessions import Concessions
from agent.language_model.endpoint import Endpoint, endpoint
from agent.language_model.gathering import Gathering
from agent.language_model.prices import Prices
from agent.language_model.received import NotUnderstood, Received, model_names, received, writable
from agent.language_model.waits import asked_wait_s
from agent.settings import ModelSettings
from agent.talk import Message, Reply, Tool
from agent.trace import ModelAnswered, ModelAsked, ModelSaid, ModelTroubled, Tell

LONGEST_WAIT_S = 600.0
"""A server that asks for a longer wait ends the run instead."""
_LONGEST_BACK_OFF_S = 60.0
_CONNECT_TIMEOUT_S = 15.0
_QUOTED_CHARACTERS = 500
_NO_SUCH_PATH = (404, 405, 501)
_REFUSALS = (400, 422)
_REQUEST_TIMEOUT = 408
_FIRST_SERVER_ERROR = 500
_UNREADABLE = (NotUnderstood, json.JSONDecodeError, UnicodeDecodeError, RecursionError)
"""What is raised over an answer that is not JSON, or not the JSON that was asked for."""


class _Passing(ModelError):
    """It may go better in a while."""

    def __init__(self, message: str, problem: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, problem)
        self.retry_after_s = retry_after_s


class _Refused(ModelError):
    """The server does not take the request as it is."""

    def __init__(self, message: str, param: str | None) -> None:
        super().__init__(message)
        self.param = param


class OpenAiChat:
    """A conversation partner behind the chat completions API.

    Parameters
    ----------
    settings
        Which model, where, and how it is asked; ``settings.model`` must be named (see `settled`).
    prices
        None: costs are unknown.
    first_wait_s
        The first back-off; later ones double, with jitter, up to a minute.
    """

    def __init__(self, settings: ModelSettings, prices: Prices | None = None, *, first_wait_s: float = 1.0) -> None:
        self._settings = settings
        self._prices = prices
        self._concessions = Concessions(settings)
        self._back_off = tenacity.wait_exponential(first_wait_s, _LONGEST_BACK_OFF_S) + tenacity.wait_random(
            max=first_wait_s
        )

    @property
    def settings(self) -> ModelSettings:
        return self._settings

    def ask(
        self,
        messages: Sequence[Message],
        *,
        attempt: int,
        schema: Mapping[str, Any] | None,
        tools: Sequence[Tool],
        tell: Tell,
    ) -> Reply:
        """As `agent.language_model.Chat.ask`; not to be called from within a running event loop."""
        asked = ModelAsked(attempt, tuple(messages), schema, tuple(tools) if self._settings.tools else ())
        tell(asked)
        try:
            reply = self._persistently(asked, tell)
        except ModelError as error:
            tell(ModelTroubled(attempt, error.problem, str(error), None))
            raise
        tell(ModelAnswered(attempt, reply))
        return reply

    def _persistently(self, asked: ModelAsked, tell: Tell) -> Reply:
        """Repeats what fails for now, as often as the settings allow."""
        if not self._settings.model:
            raise ModelError("no model is named; name one with --model.")

        def tell_wait(state: tenacity.RetryCallState) -> None:
            error, wait = _failure(state), state.next_action
            tell(ModelTroubled(asked.attempt, error.problem, str(error), wait.sleep if wait else 0.0))

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(1 + self._settings.retries),
            wait=self._wait_s,
            retry=tenacity.retry_if_exception_type(_Passing),
            before_sleep=tell_wait,
            reraise=True,
        )
        try:
            return retrying(self._with_less_if_refused, asked, tell)
        except _Passing as error:
            raise ModelError(f"{error} Given up after {1 + self._settings.retries} tries.", error.problem) from None

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        asked_for_s = _failure(state).retry_after_s
        return self._back_off(state) if asked_for_s is None else asked_for_s

    def _with_less_if_refused(self, asked: ModelAsked, tell: Tell) -> Reply:
        def say(text: str, is_reasoning: bool) -> None:
            tell(ModelSaid(text, is_reasoning))

        while True:
            parameters = self._concessions.parameters(asked.messages, asked.schema, asked.tools)
            output = self._concessions.output(asked.schema)
            try:
                return asyncio.run(self._request(parameters, output, say))
            except _Refused as refused:
                given_up = self._concessions.give_up(str(refused), refused.param, parameters)
                if given_up is None:
                    raise ModelError(str(refused)) from None
                tell(ModelTroubled(asked.attempt, refused.problem, f"{refused} Now {given_up}.", None))

    async def _request(self, parameters: Mapping[str, Any], output: str, say: Callable[[str, bool], None]) -> Reply:
        place, timeout_s, began = endpoint(self._settings), self._settings.timeout_s, time.monotonic()
        gathering = Gathering(say)
        async with _client(place, timeout_s) as client:
            try:
                async with asyncio.timeout(timeout_s):
                    request_id = await _gather(client, parameters, gathering)
            except (TimeoutError, openai.APITimeoutError):
                raise _Passing(f"{place.url} did not answer in full within {timeout_s:g} s.", "timeout") from None
            except _UNREADABLE as error:
                raise _not_a("chat completion", client, error) from None
            except openai.NotFoundError as error:
                raise await _not_found(client, self._settings.model, place, error) from None
            except openai.APIError as error:
                raise _explained(error, self._settings, place) from None
        reply = gathering.reply(output=output, seconds=time.monotonic() - began, request_id=request_id)
        cost_usd = self._prices.cost_usd(self._settings.model, reply.usage) if self._prices else None
        return replace(reply, cost_usd=cost_usd)


def settled(settings: ModelSettings) -> ModelSettings:
    """A cheap look at the server before a run: the settings with the model filled in where the server has only one.

    Raises
    ------
    ModelError
        The server is not reached, refuses the key, or no model is named and it has none or several.
    """
    listed = asyncio.run(_listed_at(endpoint(settings), settings))
    if settings.model:
        return settings
    if listed is None:
        raise ModelError("no model is named, and the server does not list what it has; name one with --model.")
    if len(listed) != 1:
        raise ModelError(f"no model is named; name one with --model. The server has {_names(listed)}.")
    return replace(settings, model=listed[0])


async def _listed_at(place: Endpoint, settings: ModelSettings) -> Sequence[str] | None:
    """The models at an address; None where it does not list them."""
    async with _client(place, min(_CONNECT_TIMEOUT_S, settings.timeout_s)) as client:
        try:
            return await _listed(client)
        except openai.APIStatusError as error:
            if error.status_code in _NO_SUCH_PATH:
                return None
            raise _explained(error, settings, place) from None
        except openai.APIError as error:
            raise _explained(error, settings, place) from None


async def _listed(client: openai.AsyncOpenAI) -> Sequence[str]:
    try:
        return model_names(await client.get("/models", cast_to=object))
    except _UNREADABLE as error:
        raise _not_a("list of models", client, error) from None


def _names(models: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in models) or "none"


def _client(place: Endpoint, timeout_s: float) -> openai.AsyncOpenAI:
    """One try is one try: what fails is repeated here, where it is told, and not inside the package."""
    # A proxy or a redirect would lead off this machine.
    http = openai.DefaultAsyncHttpxClient(trust_env=False, follow_redirects=False) if place.is_loopback else None
    timeout = openai.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s))
    return openai.AsyncOpenAI(api_key=place.key, base_url=place.url, timeout=timeout, max_retries=0, http_client=http)


async def _gather(client: openai.AsyncOpenAI, parameters: Mapping[str, Any], gathering: Gathering) -> str:
    """Fill ``gathering`` with one answer; the server's own id of the request is returned."""
    if not parameters.get("stream"):
        completion = await client.chat.completions.create(**parameters)
        gathering.add(_read(completion))
        _check_whole(gathering)
        return completion._request_id or ""
    async with await client.chat.completions.create(**parameters) as stream:
        headers = stream.response.headers
        if headers.get("content-type", "").startswith("text/html"):
            raise NotUnderstood("it is a web page")
        await _gather_stream(stream, gathering)
        _check_whole(gathering)
        return str(headers.get("x-request-id", ""))


async def _gather_stream(stream: openai.AsyncStream[ChatCompletionChunk], gathering: Gathering) -> None:
    async with aclosing(_chunks(stream)) as chunks:
        async for chunk in chunks:
            gathering.add(_read(chunk))
            if gathering.is_endless:
                return


def _read(answer: ChatCompletion | ChatCompletionChunk) -> Received:
    """What the package made of an answer; of one that is no JSON object it makes something else than it promises."""
    return received(answer.model_dump(warnings=False) if isinstance(answer, BaseModel) else answer)


def _check_whole(gathering: Gathering) -> None:
    if not gathering.is_whole and not gathering.is_endless:
        raise _Passing("the answer is incomplete: the connection was lost, or the server broke off.", "connection")


async def _chunks(stream: openai.AsyncStream[ChatCompletionChunk]) -> AsyncGenerator[ChatCompletionChunk]:
    try:
        async for chunk in stream:
            yield chunk
    except openai.APIError:
        raise
    except Exception as error:  # version 2 of the package lets the HTTP library's own errors through here
        raise _Passing(f"the connection was lost within the answer ({type(error).__name__}).", "connection") from None


def _not_a(what: str, client: openai.AsyncOpenAI, why: Exception) -> ModelError:
    return ModelError(f"what came back from {client.base_url} is no {what} ({why}); check the base URL.")


async def _not_found(client: openai.AsyncOpenAI, model: str, place: Endpoint, error: openai.APIError) -> ModelError:
    try:
        listed = await _listed(client)
    except (openai.OpenAIError, ModelError):
        return ModelError(
            f"{place.url} knows no chat completions or no model {model!r} ({_said(error, place)}). Check the base URL "
            "(it mostly ends in /v1) and the model's name."
        )
    return ModelError(f"{place.url} has no model {model!r}; it has {_names(listed)}. Name one of them with --model.")


def _explained(error: openai.APIError, settings: ModelSettings, place: Endpoint) -> ModelError:
    """What the package's error means here."""
    if isinstance(error, openai.APITimeoutError):
        return _Passing(f"{place.url} did not answer in time.", "timeout")
    if isinstance(error, openai.APIConnectionError):
        cause = type(error.__cause__ or error).__name__
        return _Passing(f"no connection to {place.url} ({cause}); is a server running there?", "connection")
    said = _said(error, place)
    if not isinstance(error, openai.APIStatusError):
        return _Passing(f"{place.url} failed within its answer: {said}", "server-error")
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        message = f"{place.url} refuses the key; put a valid one into the environment variable {settings.key_variable}."
        return ModelError(message, "key-refused")
    if error.status_code in _REFUSALS:
        return _Refused(
            f"{place.url} refuses the request: {said}", error.param if isinstance(error.param, str) else None
        )
    if isinstance(error, openai.RateLimitError) and error.code == "insufficient_quota":
        return ModelError(f"the account at {place.url} has no credit left: {said}", "rate-limit")
    if isinstance(error, openai.RateLimitError):
        return _later(f"{place.url} takes no more requests for now: {said}", "rate-limit", error)
    if error.status_code == _REQUEST_TIMEOUT:
        return _later(f"{place.url} gave up waiting: {said}", "timeout", error)
    if error.status_code >= _FIRST_SERVER_ERROR:
        return _later(f"{place.url} failed ({error.status_code}): {said}", "server-error", error)
    return ModelError(f"{place.url} refuses the request ({error.status_code}): {said}")


def _later(message: str, problem: str, error: openai.APIStatusError) -> ModelError:
    wait_s = asked_wait_s(error.response.headers)
    if wait_s is not None and wait_s > LONGEST_WAIT_S:
        wait = f"It asks for a wait of {wait_s:.0f} s, and {LONGEST_WAIT_S:.0f} s is the most here; try again later."
        return ModelError(f"{message} {wait}", problem)
    return _Passing(message, problem, wait_s)


def _said(error: openai.APIError, place: Endpoint) -> str:
    """The server's own words, without the key."""
    body = error.body
    words = body.get("message") if isinstance(body, dict) else None
    text = str(words) if words else json.dumps(body) if isinstance(body, dict) else error.message
    return place.without_key(str(writable(text)))[:_QUOTED_CHARACTERS].rstrip(".") + "."


def _failure(state: tenacity.RetryCallState) -> _Passing:
    """Why the last try failed; only `_Passing` is tried again."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _Passing)
    return error
