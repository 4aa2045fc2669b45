"""The asynchronous client: a connection, and the sessions opened over it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import TracebackType
from typing import Self

from bridge import convert, model
from bridge.client._reads import AsyncReads
from bridge.client._session import AsyncSession
from bridge.client._wire import Retry, Tls, Wire
from bridge.tps.v1.session_service_pb2 import OpenSessionRequest

DEADLINE_S = 30.0
LEASE_S = 60.0


class AsyncClient(AsyncReads):
    """A connection to one server; make it with `connect_async`, close it or use ``async with``."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, session_name=None)

    @asynccontextmanager
    async def session(
        self,
        patient: str,
        mode: model.SessionMode = model.SessionMode.READ_ONLY,
        client_info: model.ClientInfo | None = None,
        lease_s: float = LEASE_S,
        *,
        reason: str = "",
    ) -> AsyncGenerator[AsyncSession, None]:
        """A session for the length of the block; whatever it has not committed by then is discarded.

        It reads, unless ``mode`` asks for writing.
        The lease is renewed in the background. When it is lost all the same, the next call raises `SessionExpired`.
        """
        request = OpenSessionRequest(
            request_id=str(uuid.uuid4()),
            patient=patient,
            mode=convert.session_mode_to_wire(mode),
            client_info=convert.client_info_to_wire(client_info or _this_program()),
            lease_s=lease_s,
            reason=reason,
        )
        answer = await self._call(self._stubs.session.OpenSession, request)
        session = AsyncSession(self._wire, convert.session_from_wire(answer.session))
        renewals = asyncio.create_task(session.keep_alive(lease_s))
        try:
            yield session
        finally:
            renewals.cancel()
            await session.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def connect_async(
    endpoint: str,
    token: str | None = None,
    *,
    tls: Tls | None = None,
    deadline_s: float = DEADLINE_S,
    retry: Retry = Retry(),  # noqa: B008 (frozen)
) -> AsyncClient:
    """A client for code that awaits; see `connect` for the parameters."""
    return AsyncClient(Wire(endpoint, token, tls, deadline_s, retry))


def _this_program() -> model.ClientInfo:
    return model.ClientInfo("beamwright", version("beamwright"))
