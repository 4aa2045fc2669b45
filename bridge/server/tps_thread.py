"""The one thread that may touch the TPS, and the turns in front of it.

The one idea: a TPS is called by one thread at a time (Eclipse insists on always the same one). A *call* waits for its
turn; an *operation* may hold the turn for minutes; a *read* that comes while an operation holds it goes to a small pool
of other threads where the TPS allows that, and is told TPS_BUSY where it does not. Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from bridge.errors import TpsBusy

T = TypeVar("T")

RETRY_AFTER_S = 2.0
READERS = 2


class TpsThread:
    """Runs functions on the TPS thread, one after another.

    Parameters
    ----------
    reads_during_operation : bool
        Whether reads may run on other threads while an operation holds the TPS thread.
    """

    def __init__(self, *, reads_during_operation: bool) -> None:
        self._reads_during_operation = reads_during_operation
        self._worker = _Worker()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="tps-read")
        self._turn = asyncio.Condition()
        self._holder: str | None = None
        self._reads_outside = 0
        self._worker.start()

    @property
    def busy(self) -> bool:
        """Whether an operation holds the turn."""
        return self._holder == "operation"

    async def call(self, function: Callable[[], T]) -> T:
        """Run a short function on the TPS thread when its turn comes."""
        return await _finish(self._hold("call", function))

    async def operate(self, begin: Callable[[], None], function: Callable[[], T]) -> T:
        """Run a long function on the TPS thread when its turn comes; ``begin``, on the event loop, may still refuse."""
        return await _finish(self._hold("operation", function, begin))

    async def read(self, function: Callable[[], T]) -> T:
        """Run a function that changes nothing; beside a running operation where the TPS allows it.

        Raises
        ------
        TpsBusy
            An operation runs and this TPS cannot answer meanwhile.
        """
        return await _finish(self._read(function))

    async def stop(self, last: Callable[[], None], grace_s: float) -> bool:
        """Run ``last`` on the TPS thread and end it; False if the thread is still held after ``grace_s``."""
        try:
            await asyncio.wait_for(self.call(last), grace_s)
        except TimeoutError:
            return False
        finally:
            self._worker.end()
            self._readers.shutdown(wait=False)
        return True

    async def _read(self, function: Callable[[], T]) -> T:
        async with self._turn:
            await self._turn.wait_for(lambda: self._holder != "call")
            beside = self._holder == "operation"
            if beside and not self._reads_during_operation:
                raise TpsBusy(
                    "The TPS is running an operation and cannot answer reads meanwhile. Try again later.",
                    retry_after_s=RETRY_AFTER_S,
                )
            self._holder = self._holder or "call"
            self._reads_outside += beside
        try:
            if beside:
                return await asyncio.wrap_future(self._readers.submit(_in_context(function)))
            return await asyncio.wrap_future(self._worker.submit(_in_context(function)))
        finally:
            async with self._turn:
                self._reads_outside -= beside
                self._holder = self._holder if beside else None
                self._turn.notify_all()

    async def _hold(self, holder: str, function: Callable[[], T], begin: Callable[[], None] | None = None) -> T:
        async with self._turn:
            await self._turn.wait_for(lambda: self._holder is None and self._reads_outside == 0)
            self._holder = holder
            self._turn.notify_all()
        try:
            if begin is not None:
                begin()
            return await asyncio.wrap_future(self._worker.submit(_in_context(function)))
        finally:
            async with self._turn:
                self._holder = None
                self._turn.notify_all()


async def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Let the work end even when the caller goes away: a half-finished turn would never be given back."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_look_at_outcome)
    return await asyncio.shield(task)


def _look_at_outcome(task: asyncio.Future[Any]) -> None:
    """Mark an exception as seen, for the caller may be gone."""
    if not task.cancelled():
        task.exception()


def _in_context(function: Callable[[], T]) -> Callable[[], T]:
    """Carry the caller's correlation id into the thread's log lines."""
    context = contextvars.copy_context()
    return lambda: context.run(function)


class _Worker(threading.Thread):
    """A daemon, so that a TPS call that never returns cannot keep the process alive."""

    def __init__(self) -> None:
        super().__init__(name="tps", daemon=True)
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(job)
        return future

    def end(self) -> None:
        self._jobs.put(None)

    def run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
