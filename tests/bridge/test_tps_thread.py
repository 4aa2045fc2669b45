"""One thread, one turn at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from raw_client import on_a_loop

from bridge.errors import TpsBusy
from bridge.server.tps_thread import TpsThread


def _nothing() -> None:
    pass


async def _let_others_run() -> None:
    """Give every task that could go on the chance to, here and on the TPS thread."""
    for _ in range(10):
        await asyncio.sleep(0)
        await asyncio.to_thread(_nothing)


@on_a_loop
async def test_calls_come_one_after_another_on_one_thread() -> None:
    """Every call and operation runs on the same thread, in the order asked."""
    tps, order = TpsThread(reads_during_operation=True), []

    def note(number: int) -> Callable[[], int]:
        def turn() -> int:
            order.append(number)
            return threading.get_ident()

        return turn

    threads = await asyncio.gather(
        *(tps.operate(_nothing, note(n)) if n % 3 == 0 else tps.call(note(n)) for n in range(9))
    )
    assert order == list(range(9))
    assert len(set(threads)) == 1 and threads[0] != threading.get_ident()
    assert await tps.stop(_nothing, 5)


@on_a_loop
async def test_turn_is_kept_until_the_work_is_done() -> None:
    """A caller that goes away does not give the turn to the next one while its work still runs."""
    tps, begun, go_on, events = TpsThread(reads_during_operation=True), threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        go_on.wait(10)
        events.append("slow")

    gone = asyncio.create_task(tps.call(slow))
    await asyncio.to_thread(begun.wait)
    gone.cancel()
    following = asyncio.create_task(tps.operate(lambda: events.append("begins"), lambda: events.append("works")))
    await _let_others_run()
    assert events == []
    go_on.set()
    await following
    assert events == ["slow", "begins", "works"]
    await tps.stop(_nothing, 5)


@pytest.mark.parametrize("allowed", [True, False])
@on_a_loop
async def test_read_beside_an_operation(allowed: bool) -> None:
    """It runs on another thread where that is allowed, and is refused where it is not; the next call waits for it."""
    tps, go_on, started = TpsThread(reads_during_operation=allowed), threading.Event(), asyncio.Event()
    operation = asyncio.create_task(tps.operate(started.set, lambda: go_on.wait(10)))
    await started.wait()
    if allowed:
        assert await tps.read(threading.get_ident) != threading.get_ident()
    else:
        with pytest.raises(TpsBusy):
            await tps.read(threading.get_ident)
    go_on.set()
    await operation
    assert await tps.read(lambda: "idle") == "idle"
    await tps.stop(_nothing, 5)


@on_a_loop
async def test_write_waits_for_a_read_that_outlasts_the_operation() -> None:
    """A read that began beside an operation is not joined by a write when the operation has ended."""
    tps, read_on, events = TpsThread(reads_during_operation=True), threading.Event(), []
    operate_on, started, reading = threading.Event(), asyncio.Event(), threading.Event()

    def read() -> None:
        reading.set()
        read_on.wait(10)
        events.append("read")

    operation = asyncio.create_task(tps.operate(started.set, lambda: operate_on.wait(10)))
    await started.wait()
    reader = asyncio.create_task(tps.read(read))
    await asyncio.to_thread(reading.wait)
    operate_on.set()
    await operation
    writer = asyncio.create_task(tps.call(lambda: events.append("write")))
    await _let_others_run()
    read_on.set()
    await asyncio.gather(reader, writer)
    assert events == ["read", "write"]
    await tps.stop(_nothing, 5)


@on_a_loop
async def test_operation_refused_at_its_turn_gives_it_back() -> None:
    """When `begin` refuses, the work is not done and the next call has its turn."""
    tps = TpsThread(reads_during_operation=True)

    def refuse() -> None:
        raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed"):
        await tps.operate(refuse, _nothing)
    assert await tps.call(lambda: "next") == "next"
    await tps.stop(_nothing, 5)


@on_a_loop
async def test_thread_that_does_not_come_back_is_given_up() -> None:
    """Stop says so when the TPS does not return within the grace."""
    tps, go_on, started = TpsThread(reads_during_operation=True), threading.Event(), asyncio.Event()
    stuck = asyncio.create_task(tps.operate(started.set, lambda: go_on.wait(10)))
    await started.wait()
    assert not await tps.stop(_nothing, 0.01)
    go_on.set()
    await stuck
