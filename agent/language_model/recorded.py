"""Answers from a trace in place of a model, and proves that the same was asked.

The one idea: a recorded reply is the answer to the recorded request and to no other. So every request is compared with
the one of its turn, and the first difference ends the replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from agent.language_model import ModelError
from agent.plain import to_plain
from agent.settings import ModelSettings
from agent.talk import Message, Reply, Tool
from agent.trace import ModelAnswered, ModelAsked, ModelTroubled, Tell

_SHOWN_CHARACTERS = 60


@dataclass
class _Exchange:
    """A recorded request, and what came of it."""

    asked: ModelAsked
    told: list[ModelTroubled | ModelAnswered] = field(default_factory=list)


class RecordedChat:
    """Gives the replies of a trace, one after the other, without waiting.

    Parameters
    ----------
    settings
        Those of the recorded run.
    events
        The trace's events in their order; other kinds than the model's are passed over.
    """

    def __init__(self, settings: ModelSettings, events: Iterable[object]) -> None:
        self._settings = settings
        self._exchanges = _exchanges(events)
        self._turn = 0

    @property
    def settings(self) -> ModelSettings:
        return self._settings

    @property
    def is_spent(self) -> bool:
        """Every recorded request was made again."""
        return self._turn == len(self._exchanges)

    def ask(
        self,
        messages: Sequence[Message],
        *,
        attempt: int,
        schema: Mapping[str, Any] | None,
        tools: Sequence[Tool],
        tell: Tell,
    ) -> Reply:
        """As `agent.language_model.Chat.ask`; a request that is not the recorded one is a `ModelError`."""
        asked = ModelAsked(attempt, tuple(messages), schema, tuple(tools) if self._settings.tools else ())
        if self.is_spent:
            raise ModelError(f"the replay asks a request {self._turn + 1}, and the trace holds {self._turn}.")
        exchange = self._exchanges[self._turn]
        self._turn += 1
        if difference := _difference(exchange.asked, asked):
            raise ModelError(f"request {self._turn} is not the recorded one: {difference}.")
        tell(asked)
        for event in exchange.told:
            tell(event)
        return _reply(exchange)


def _exchanges(events: Iterable[object]) -> Sequence[_Exchange]:
    exchanges: list[_Exchange] = []
    for event in events:
        if isinstance(event, ModelAsked):
            exchanges.append(_Exchange(event))
        elif isinstance(event, ModelTroubled | ModelAnswered) and exchanges:
            exchanges[-1].told.append(event)
    return exchanges


def _reply(exchange: _Exchange) -> Reply:
    """The recorded reply; where there was none, the error that the run met."""
    last = exchange.told[-1] if exchange.told else None
    if isinstance(last, ModelAnswered):
        return last.reply
    if isinstance(last, ModelTroubled):
        raise ModelError(last.message, last.problem)
    raise ModelError("the trace was cut off before this request was answered.")


def _difference(recorded: ModelAsked, asked: ModelAsked) -> str:
    """The first thing that is not the same, in words; empty where all is."""
    if len(recorded.messages) != len(asked.messages):
        return f"{len(recorded.messages)} messages recorded, {len(asked.messages)} now"
    for number, (before, now) in enumerate(zip(recorded.messages, asked.messages, strict=True), start=1):
        if difference := _message_difference(before, now):
            return f"message {number} ({before.role}), {difference}"
    for item in fields(ModelAsked):
        before, now = (to_plain(getattr(event, item.name)) for event in (recorded, asked))
        if before != now:
            return f"{item.name}: {_both(before, now)}"
    return ""


def _message_difference(recorded: Message, asked: Message) -> str:
    before, now = recorded.content.splitlines(), asked.content.splitlines()
    for number in range(max(len(before), len(now))):
        lines = [_line(text, number) for text in (before, now)]
        if lines[0] != lines[1]:
            return f"line {number + 1}: {_both(*lines)}"
    for item in fields(Message):
        values = [getattr(message, item.name) for message in (recorded, asked)]
        if values[0] != values[1]:
            return f"{item.name}: {_both(*values)}"
    return ""


def _line(lines: Sequence[str], number: int) -> str | None:
    return lines[number] if number < len(lines) else None


def _both(recorded: object, asked: object) -> str:
    """Two values that differ, each from shortly before the place where they do."""
    texts = ["nothing" if value is None else repr(value) for value in (recorded, asked)]
    pairs = enumerate(zip(*texts, strict=False))
    differs = next((place for place, (before, now) in pairs if before != now), min(map(len, texts)))
    start = max(0, differs - _SHOWN_CHARACTERS // 2)
    shown = ["…" * (start > 0) + text[start:][:_SHOWN_CHARACTERS] for text in texts]
    return f"{shown[0]} recorded, {shown[1]} now"
