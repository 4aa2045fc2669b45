"""How a server ends, and what it leaves behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from raw_client import OPERATION, Raw, on_a_loop, serving
from toy_backend import ToyBackend

from bridge.errors import DataDamaged
from bridge.server import Server
from bridge.server.journal import Journal


@on_a_loop
async def test_stop_discards_and_lets_the_tps_go() -> None:
    """After stop, uncommitted plans are gone from the TPS and it is closed; stopping again does nothing."""
    backend = ToyBackend()
    server = Server(backend, journal_path=None, token=None, read_only=False)
    await server.start()
    async with grpc.aio.insecure_channel(server.endpoint) as channel:
        raw = Raw(channel)
        plan = await raw.copy(await raw.open())
        await server.stop()
        await server.stop()
    assert backend.closed
    assert plan.name not in [each.name for each in backend.plans(plan.patient)]


@on_a_loop
async def test_stop_gives_up_what_does_not_end(tmp_path: Path) -> None:
    """An operation that cannot be stopped within the grace is UNKNOWN_OUTCOME in the next server."""
    backend = ToyBackend(capabilities={"operation.cancel.optimize": "NONE"}, hold=True)
    journal = tmp_path / "journal.sqlite"
    server = Server(backend, journal_path=journal, token=None, read_only=False)
    await server.start()
    async with grpc.aio.insecure_channel(server.endpoint) as channel:
        raw = Raw(channel)
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, OPERATION.OPERATION_STATE_RUNNING)
        await server.stop(grace_s=0.05)
    backend.go_on.release(backend.optimize_steps)
    async with serving(journal_path=journal) as raw:
        left = (await raw.call("GetOperation", name=operation.name)).operation
        assert left.state == OPERATION.OPERATION_STATE_UNKNOWN_OUTCOME


@on_a_loop
async def test_wait_returns_when_the_server_has_stopped() -> None:
    """Whoever waits for the server is let go by its end."""
    server = Server(ToyBackend(), journal_path=None, token=None)
    await server.start()
    waiting = asyncio.create_task(server.wait())
    await asyncio.sleep(0)  # let it begin to wait
    await server.stop()
    await asyncio.wait_for(waiting, 5)


def test_damaged_journal_is_not_written_over(tmp_path: Path) -> None:
    """A file that is no journal is DATA_LOSS with its name, and stays as it is."""
    damaged = tmp_path / "journal.sqlite"
    damaged.write_bytes(b"this is not SQLite" * 100)
    with pytest.raises(DataDamaged, match=r"journal\.sqlite"):
        Journal(damaged)
    assert damaged.read_bytes().startswith(b"this is not")
