"""A language model as the agent uses it: messages go out, one reply comes back, with its cost.

`openai_chat` asks a real server, `recorded` answers from a trace, `answers` finds the JSON in what came back, `prices`
turns tokens into money. Behind `openai_chat`: `endpoint` (where, and with which key), `concessions` (what the server
refuses and so is no longer sent), `received` (what a server may send), `gathering` (from streamed pieces to a reply),
`thinking` and `repetition`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.settings import ModelSettings
from agent.talk import Message, Reply, Tool
from agent.trace import Tell


class ModelError(Exception):
    """The model gave no reply, after all that could be tried; the message says why and what to do."""

    def __init__(self, message: str, problem: str = "not-understood") -> None:
        super().__init__(message)
        self.problem = problem
        """One of the words of `agent.trace.ModelTroubled.problem`."""


class Chat(Protocol):
    """Whatever answers messages."""

    @property
    def settings(self) -> ModelSettings: ...

    def ask(
        self,
        messages: Sequence[Message],
        *,
        attempt: int,
        schema: Mapping[str, Any] | None,
        tools: Sequence[Tool],
        tell: Tell,
    ) -> Reply:
        """One request; ``tell`` hears of the request, of every trouble, of streamed text, and of the reply.

        Raises
        ------
        ModelError
            No reply could be had.
        """
        ...
