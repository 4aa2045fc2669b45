"""From what a server sends, at once or piece by piece, to one reply.

The one idea: a whole answer is a stream of one piece. Both are read as plain dictionaries, because compatible servers
add fields of their own (``reasoning_content``, ``reasoning``) and leave others out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.language_model.repetition import RepetitionWatch
from agent.language_model.thinking import Piece, ThinkingSplitter
from agent.talk import Reply, ToolCall, Usage

_REASONING_FIELDS = ("reasoning_content", "reasoning")


@dataclass
class _Call:
    """A tool call that is still coming in."""

    id: str
    name: str = ""
    arguments: str = ""


class Gathering:
    """Takes one answer piece by piece; ``say`` hears every piece of text at once."""

    def __init__(self, say: Callable[[str, bool], None]) -> None:
        self._say = say
        self._watch = RepetitionWatch()
        self._content = ThinkingSplitter()
        self._reasoning = ""
        self._refusal = ""
        self._calls: list[_Call] = []
        self._open_calls: dict[int, _Call] = {}
        self._finish = ""
        self._usage: Usage | None = None
        self._frame: dict[str, str] = {}

    @property
    def is_whole(self) -> bool:
        """The server has said why the answer ended."""
        return bool(self._finish)

    @property
    def is_endless(self) -> bool:
        """The model repeats itself, or speaks beyond all measure."""
        return self._watch.is_endless

    def add(self, received: Mapping[str, Any]) -> None:
        """A chunk of a stream, or a whole completion."""
        for field in ("id", "model", "system_fingerprint"):
            if received.get(field):
                self._frame[field] = received[field]
        if received.get("usage"):
            self._usage = _usage(received["usage"])
        for choice in received.get("choices") or ():
            self._add_choice(choice)

    def reply(self, *, output: str, seconds: float, request_id: str) -> Reply:
        """All that came, as one reply; cut off by us where it was endless."""
        self._tell(self._content.close())
        return Reply(
            answer=self._content.answer.strip(),
            reasoning=(self._reasoning + self._content.reasoning).strip(),
            reasoning_closed=not self._content.is_open,
            tool_calls=tuple(ToolCall(call.id, call.name, call.arguments) for call in self._calls),
            refusal=self._refusal,
            finish="repetition" if self.is_endless else self._finish,
            output=output,
            usage=self._usage,
            seconds=seconds,
            model=self._frame.get("model", ""),
            fingerprint=self._frame.get("system_fingerprint", ""),
            request_id=request_id or self._frame.get("id", ""),
        )

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        said = choice.get("delta") or choice.get("message") or {}
        reasoning = next((said[field] for field in _REASONING_FIELDS if said.get(field)), "")
        content = said.get("content") or ""
        self._watch.feed(reasoning + content)
        self._reasoning += reasoning
        self._tell([(reasoning, True)] if reasoning else [])
        self._tell(self._content.feed(content))
        self._refusal += said.get("refusal") or ""
        self._add_calls(said.get("tool_calls") or ())
        self._finish = choice.get("finish_reason") or self._finish

    def _add_calls(self, pieces: Iterable[Mapping[str, Any]]) -> None:
        for position, piece in enumerate(pieces):
            call = self._call(piece.get("index", position), piece.get("id") or "")
            function = piece.get("function") or {}
            arguments = _arguments_text(function.get("arguments"))
            call.name = call.name or function.get("name") or ""
            call.arguments += arguments
            self._watch.feed(arguments)

    def _call(self, index: int, id_: str) -> _Call:
        """The call that a piece belongs to; some servers give every call the same index."""
        known = self._open_calls.get(index)
        if known is None or (id_ and id_ != known.id):
            known = _Call(id_ or f"call_{len(self._calls) + 1}")
            self._calls.append(known)
            self._open_calls[index] = known
        return known

    def _tell(self, pieces: Iterable[Piece]) -> None:
        for text, is_reasoning in pieces:
            self._say(text, is_reasoning)


def _arguments_text(arguments: str | Mapping[str, Any] | None) -> str:
    """As text; some servers send the arguments parsed."""
    return json.dumps(arguments) if isinstance(arguments, Mapping) else arguments or ""


def _usage(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("completion_tokens_details") or {}
    return Usage(
        prompt_tokens=usage.get("prompt_tokens") or 0,
        answer_tokens=usage.get("completion_tokens") or 0,
        reasoning_tokens=details.get("reasoning_tokens") or 0,
    )
