"""The same request twice has one effect and one answer.

The one idea: a request id is answered once. A second request with the same id and payload gets the stored answer, also
after a restart; while the first is still at work it waits for that one. The same id with another payload is refused.
Only successes are kept: what was refused changed nothing, so it may be tried again under its id.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from bridge.errors import RequestIdReused
from bridge.server.clock import Clock
from bridge.server.journal import Journal, Reply

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True)
class _Pending:
    payload_sha256: str
    task: asyncio.Task[Message]


class Replay:
    """Request ids and what they were answered with."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._pending: dict[str, _Pending] = {}

    async def once(
        self, request_id: str, request: Message, answer_type: type[Answer], act: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Do ``act``, or give the answer it had; goes on when the caller goes away.

        Raises
        ------
        RequestIdReused
            The id was used for another payload.
        """
        key = request_id.lower()
        payload = payload_sha256(request)
        pending = self._pending.get(key)
        if pending is None:
            stored = self._journal.reply(key)
            if stored is not None:
                _require_same(key, stored.payload_sha256, payload)
                return answer_type.FromString(stored.answer)
            pending = _Pending(payload, asyncio.ensure_future(self._act(key, payload, act)))
            self._pending[key] = pending
        _require_same(key, pending.payload_sha256, payload)
        answer = await asyncio.shield(pending.task)
        return answer_type.FromString(answer.SerializeToString())

    async def _act(self, key: str, payload: str, act: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            answer = await act()
            self._journal.put_reply(key, Reply(payload, answer.SerializeToString()), self._clock())
            return answer
        finally:
            del self._pending[key]


def payload_sha256(request: Message) -> str:
    """Fingerprint of a request: of its type and everything in it."""
    kind = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(kind + b"\0" + request.SerializeToString(deterministic=True)).hexdigest()


def _require_same(key: str, first: str, second: str) -> None:
    if first != second:
        raise RequestIdReused(f"request_id {key!r} was used for another request. Make a new one for every write.")
