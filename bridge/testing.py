"""For tests: a server over any backend, on a free port of this machine, for a ``with`` block.

    with serve(backend) as server, server.client() as client:
        assert client.patients()

It is the very server that `beamwright serve` runs, reached over gRPC; only its journal is kept in memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.backend import Backend
from bridge.client import AsyncClient, Client, Retry, connect, connect_async
from bridge.loop_thread import LoopThread
from bridge.server import Server
from bridge.server.clock import Clock, system_clock


class Serving:
    """A running server."""

    def __init__(self, server: Server, token: str) -> None:
        self.endpoint = server.endpoint
        self.token = token

    def client(self, *, deadline_s: float = 30.0, retry: Retry = Retry()) -> Client:  # noqa: B008 (frozen)
        """A client of this server; close it, or use ``with``."""
        return connect(self.endpoint, self.token, deadline_s=deadline_s, retry=retry)

    async def async_client(self) -> AsyncClient:
        """A client for code that awaits."""
        return await connect_async(self.endpoint, self.token)


@contextmanager
def serve(
    backend: Backend,
    *,
    journal_path: Path | None = None,
    read_only: bool = False,
    clock: Clock = system_clock,
    grace_s: float = 5.0,
) -> Iterator[Serving]:
    """Serve ``backend`` for the block, and close it.

    It may be written to unless told otherwise, unlike `beamwright serve`: what a test brings is the test's own.

    Parameters
    ----------
    journal_path : Path, optional
        Where the server keeps what outlives it; absent, nothing does.
    clock : function
        What the server takes for the present moment: one that is set forward lets leases run out.
    grace_s : float
        How long operations may still take when the block ends.
    """
    token = secrets.token_urlsafe(16)
    server = Server(backend, journal_path=journal_path, token=token, read_only=read_only, clock=clock)
    loop = LoopThread("beamwright-server")
    try:
        loop.run(server.start())
        try:
            yield Serving(server, token)
        finally:
            loop.run(server.stop(grace_s))
    finally:
        loop.close()
