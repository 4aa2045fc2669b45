"""What is sent with a request, less what this server was found to refuse.

The one idea: compatible servers differ in what they take. What one refuses by name is given up once, for the whole
session; a refusal that names nothing is answered by asking for less structure: JSON schema, JSON, plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.settings import ModelSettings
from agent.talk import Message, Tool

_LADDER = ("json_schema", "json_object", "text")

_NAMES: Mapping[str, str] = {
    "response_format": r"response_format|json_schema|json_object|guided\w*|grammar|structured outputs?",
    "stream_options": "stream_options|include_usage",
    "tools": r"tools?|tool_choice|function calling",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "seed": "seed",
    "top_k": "top_k",
    "stream": "stream|streaming",
}
"""Parameter -> the words by which servers name it, most telling first."""


class Concessions:
    """The parameters of requests to one server, as far as it takes them."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._output: str = "json_schema" if settings.output == "auto" else settings.output
        self._refused: set[str] = set()

    @property
    def streams(self) -> bool:
        return self._settings.stream and "stream" not in self._refused

    def output(self, schema: Mapping[str, Any] | None) -> str:
        """What the server is asked to keep to: ``json_schema``, ``json_object`` or ``text``."""
        return self._output if schema is not None else "text"

    def parameters(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None, tools: Sequence[Tool]
    ) -> dict[str, Any]:
        """The arguments of a chat completion."""
        settings = self._settings
        wanted: dict[str, Any] = {
            "temperature": settings.temperature,
            "seed": settings.seed,
            "max_tokens": settings.max_answer_tokens,
            "extra_body": None if settings.top_k is None else {"top_k": settings.top_k},
            "response_format": _response_format(self.output(schema), schema),
            "tools": [_tool(tool) for tool in tools] or None,
            "stream": True if settings.stream else None,
            "stream_options": {"include_usage": True} if self.streams else None,
        }
        sent = {name: value for name, value in wanted.items() if value is not None and name not in self._refused}
        if "top_k" in self._refused:
            del sent["extra_body"]
        if "max_tokens" in self._refused:
            sent["max_completion_tokens"] = settings.max_answer_tokens
        return {"model": settings.model, "messages": [_message(message) for message in messages], **sent}

    def give_up(self, message: str, param: str | None, sent: Mapping[str, Any]) -> str | None:
        """Answer a refusal by sending less from now on; says what is done, None where nothing can be given up.

        Parameters
        ----------
        message, param
            What the server said, and the parameter it names in the field made for that.
        sent
            The refused arguments.
        """
        named = self._named(message, param, sent)
        if named == "max_tokens":
            self._refused.add(named)
            return "sending max_completion_tokens instead of max_tokens"
        if named not in (None, "response_format"):
            self._refused.add(named)
            return f"going on without {named}"
        if self._settings.output == "auto" and "response_format" in sent:
            self._output = _LADDER[_LADDER.index(self._output) + 1]
            return f"asking for {self._output} from now on"
        return None

    def _named(self, message: str, param: str | None, sent: Mapping[str, Any]) -> str | None:
        given = {*sent, *sent.get("extra_body", {})}
        top = re.split(r"[.\[]", param or "")[0]
        if top in _NAMES and top in given:
            return top
        for name, words in _NAMES.items():
            if name in given and re.search(rf"\b({words})\b", message, re.IGNORECASE):
                return name
        return None


def _response_format(output: str, schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if output == "json_schema":
        return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    return {"type": "json_object"} if output == "json_object" else None


def _tool(tool: Tool) -> Mapping[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _message(message: Message) -> Mapping[str, Any]:
    plain: dict[str, Any] = {"role": message.role.value, "content": message.content}
    if message.tool_calls:
        plain["content"] = message.content or None
        plain["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    return plain
