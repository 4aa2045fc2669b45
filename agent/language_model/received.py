"""What a server sends, as typed data: the one place that knows the wire's fields, and takes no other types in them.

The one idea: compatible servers add fields of their own and leave others out, so only what is used is looked at; but
that must be what it is said to be. Text is made writable here, where it enters: a lone half of a UTF-16 pair, which
JSON can hold and no file or terminal can, becomes U+FFFD.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class NotUnderstood(ValueError):
    """What came is not what was asked for; the message names the first field that is wrong."""


def writable(value: Any) -> Any:
    """A JSON value in which every text, keys too, can be written as UTF-8."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {writable(key): writable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [writable(item) for item in value]
    return value


def _joined(content: Any) -> Any:
    """The text of a list of text parts, as some servers send it; anything else as it is."""
    if not isinstance(content, list):
        return content
    parts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts) if len(texts) == len(content) else content


def _as_json(arguments: Any) -> Any:
    """As text; some servers send the arguments parsed."""
    return json.dumps(arguments) if isinstance(arguments, Mapping) else arguments


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Function(_Wire):
    name: str | None = None
    arguments: Annotated[str | None, BeforeValidator(_as_json)] = None


class CallPiece(_Wire):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class Said(_Wire):
    """A message, or what a piece of a stream adds to it."""

    content: Annotated[str | None, BeforeValidator(_joined)] = None
    reasoning_content: Annotated[str | None, BeforeValidator(_joined)] = None
    reasoning: Annotated[str | None, BeforeValidator(_joined)] = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None


class Choice(_Wire):
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None


class _UsageDetails(_Wire):
    reasoning_tokens: int | None = None


class ReceivedUsage(_Wire):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    completion_tokens_details: _UsageDetails | None = None


class Received(_Wire):
    """A chunk of a stream, or a whole completion."""

    id: str | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    usage: ReceivedUsage | None = None
    choices: list[Choice] | None = None


class _ListedModel(_Wire):
    id: str


class _Listed(_Wire):
    data: list[_ListedModel] | None


def received(plain: object) -> Received:
    """A chunk or a completion from its JSON value.

    Raises
    ------
    NotUnderstood
        It is neither.
    """
    try:
        return Received.model_validate(writable(plain))
    except ValidationError as error:
        raise NotUnderstood(_first_problem(error)) from None


def model_names(plain: object) -> Sequence[str]:
    """The names in a list of models, sorted.

    Raises
    ------
    NotUnderstood
        It is no list of models.
    """
    try:
        listed = _Listed.model_validate(writable(plain))
    except ValidationError as error:
        raise NotUnderstood(_first_problem(error)) from None
    return sorted(model.id for model in listed.data or ())


def _first_problem(error: ValidationError) -> str:
    """``choices.0.message.content: Input should be a valid string``."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
