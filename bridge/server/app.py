"""The server as a whole: put together, started, and ended in the right order.

The one idea: everything is made in `start` and let go in `stop`, so a `Server` may be made anywhere and lives on the
event loop that starts it. Without TLS it binds to the loopback only.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from bridge import logs, model
from bridge.backend import Backend
from bridge.server.audit import Audit
from bridge.server.auth import Auth
from bridge.server.clock import Clock, system_clock
from bridge.server.commit import settle
from bridge.server.desk import Desk
from bridge.server.gate import Gate
from bridge.server.journal import Journal
from bridge.server.offer import offers
from bridge.server.operations import Operations
from bridge.server.servicers import SERVICES, add_all
from bridge.server.sessions import Sessions
from bridge.server.tps_thread import TpsThread

log = structlog.get_logger(__name__)

SWEEP_S = 1.0
"""How often leases that ran out are looked for; a call that meets one ends it at once."""
MOST_MESSAGE_BYTES = 16 * 1024 * 1024


class Server:
    """Serves one TPS through the contract.

    Parameters
    ----------
    backend : Backend
        The TPS; closed by `stop`.
    journal_path : Path or None
        SQLite file for operations, answers and audit; None keeps them in memory.
    token : str, mapping or None
        What callers must carry: one token that allows everything, or several with what each allows. None lets
        everyone in.
    read_only : bool
        Refuse every write; the safe default.
    host, port : str, int
        Where to listen: the loopback only. Port 0 takes a free one, see `port`.
    clock : function
        Gives the present moment.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        journal_path: Path | None,
        token: str | Mapping[str, Collection[model.Access]] | None,
        read_only: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock = system_clock,
    ) -> None:
        _require_loopback(host)
        self._backend = backend
        self._journal_path = journal_path
        self._auth = Auth({token: frozenset(model.Access)} if isinstance(token, str) else token)
        self._read_only = read_only
        self._host = host
        self._wanted_port = port
        self._clock = clock
        self._running: _Running | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it is started."""
        return self._parts.port

    @property
    def endpoint(self) -> str:
        return f"{self._host}:{self.port}"

    async def start(self) -> None:
        """Begin to serve; what the last run left in the journal is settled before the first call comes in."""
        journal = Journal(self._journal_path)
        info = self._backend.info()
        tps = TpsThread(reads_during_operation=info.capabilities.get("reads.during-operation", "NO") != "NO")
        await tps.call(lambda: settle(self._backend, journal, self._clock()))
        operations = Operations(info.capabilities, tps, journal, self._clock)
        operations.restore()
        read_only = self._read_only or info.read_only
        sessions = Sessions(self._backend, tps, operations, journal, self._clock, read_only=read_only)
        sessions.bury_the_dead()
        desk = Desk(self._backend, tps, sessions, operations, journal, self._clock, read_only=read_only)
        gate = Gate(self._auth, Audit(journal, self._clock), offers(SERVICES, info.profiles), desk.envelope)
        server = grpc.aio.server(interceptors=[gate], options=[("grpc.max_receive_message_length", MOST_MESSAGE_BYTES)])
        add_all(server, desk)
        health_servicer = await _add_health(server)
        if info.mode is not model.ServerMode.CLINICAL:
            reflection.enable_server_reflection(
                [service.full_name for service in SERVICES] + [reflection.SERVICE_NAME], server
            )
        port = server.add_insecure_port(f"{self._host}:{self._wanted_port}")
        await server.start()
        sweeper = asyncio.create_task(_sweep(sessions))
        self._running = _Running(server, health_servicer, desk, journal, sweeper, port)
        log.info("serving", endpoint=self.endpoint, tps=info.tps_name, read_only=read_only)

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._parts.server.wait_for_termination()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Stop serving: refuse what is new, let operations end or mark them lost, discard, close the TPS.

        Parameters
        ----------
        grace_s : float
            How long operations, and calls in progress, may still take.
        """
        if self._running is None:
            return
        parts, self._running = self._running, None
        await parts.health.enter_graceful_shutdown()
        parts.desk.closing = True
        parts.sweeper.cancel()
        all_ended = await parts.desk.operations.stop(grace_s)
        if all_ended:
            await parts.desk.sessions.end_all()
        await parts.server.stop(grace_s)
        if not await parts.desk.tps.stop(self._backend.close, grace_s):
            log.warning("the TPS did not let go; uncommitted work in it is lost")
        parts.journal.close()
        log.info("stopped")

    @property
    def _parts(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the server is not running; await start() first")
        return self._running


class _Running:
    """What exists between `start` and `stop`."""

    def __init__(
        self,
        server: grpc.aio.Server,
        health: Any,
        desk: Desk,
        journal: Journal,
        sweeper: asyncio.Task[None],
        port: int,
    ) -> None:
        self.server = server
        self.health = health
        self.desk = desk
        self.journal = journal
        self.sweeper = sweeper
        self.port = port


async def _add_health(server: grpc.aio.Server) -> Any:
    servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for service in ("", *(descriptor.full_name for descriptor in SERVICES)):
        await servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    return servicer


async def _sweep(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await sessions.expire()
        except Exception:
            log.error("looking for expired sessions failed; the next sweep tries again", stack=logs.traceback_text())


def _require_loopback(host: str) -> None:
    is_loopback = host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
    if not is_loopback:
        raise ValueError(
            f"refusing to listen on {host!r}: without mutual TLS, which this server does not have yet, only the "
            "loopback is allowed. Use 127.0.0.1, and a tunnel to reach it from elsewhere."
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
