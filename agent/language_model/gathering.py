"""From what a server sends, at once or piece by piece, to one reply.

The one idea: a whole answer is a stream of one piece. What a piece may hold, `received` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.language_model.received import CallPiece, Choice, Received, ReceivedUsage, Said
from agent.language_model.repetition import RepetitionWatch
from agent.language_model.thinking import Piece, ThinkingSplitter
from agent.talk import Reply, ToolCall, Usage


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
        self._id = ""
        self._model = ""
        self._fingerprint = ""

    @property
    def is_whole(self) -> bool:
        """The server has said why the answer ended."""
        return bool(self._finish)

    @property
    def is_endless(self) -> bool:
        """The model repeats itself, or speaks beyond all measure."""
        return self._watch.is_endless

    def add(self, received: Received) -> None:
        """A chunk of a stream, or a whole completion."""
        self._id = received.id or self._id
        self._model = received.model or self._model
        self._fingerprint = received.system_fingerprint or self._fingerprint
        if received.usage:
            self._usage = _usage(received.usage)
        for choice in received.choices or ():
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
            model=self._model,
            fingerprint=self._fingerprint,
            request_id=request_id or self._id,
        )

    def _add_choice(self, choice: Choice) -> None:
        said = choice.delta or choice.message or Said()
        reasoning = said.reasoning_content or said.reasoning or ""
        content = said.content or ""
        self._watch.feed(reasoning + content)
        self._reasoning += reasoning
        self._tell([(reasoning, True)] if reasoning else [])
        self._tell(self._content.feed(content))
        self._refusal += said.refusal or ""
        self._add_calls(said.tool_calls or ())
        self._finish = choice.finish_reason or self._finish

    def _add_calls(self, pieces: Iterable[CallPiece]) -> None:
        for position, piece in enumerate(pieces):
            call = self._call(position if piece.index is None else piece.index, piece.id or "")
            if piece.function:
                call.name = call.name or piece.function.name or ""
                call.arguments += piece.function.arguments or ""
                self._watch.feed(piece.function.arguments or "")

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


def _usage(usage: ReceivedUsage) -> Usage:
    details = usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens or 0,
        answer_tokens=usage.completion_tokens or 0,
        reasoning_tokens=(details.reasoning_tokens if details else None) or 0,
    )
