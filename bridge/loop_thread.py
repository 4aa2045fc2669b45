"""An event loop on a thread of its own, so that code which does not await can use code which does.

The one idea: a blocking call runs a coroutine over there and waits here, and behaves like an ordinary call. Callbacks
that the coroutine makes with `tell` run in the caller's thread, and whatever ends the caller's wait (Ctrl-C, a callback
that raises) cancels the coroutine and waits for it to tidy up before the exception goes on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

R = TypeVar("R")
T = TypeVar("T")


class LoopThread:
    """A running event loop; `close` ends it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run ``coroutine`` on the loop, wait for it, and return or raise what it does."""
        inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        task = self._start(coroutine, inbox)
        try:
            while (callback := inbox.get()) is not None:
                callback()
        except BaseException:
            self._loop.call_soon_threadsafe(task.cancel)
            while inbox.get() is not None:
                pass
            _ = task.cancelled() or task.exception()
            raise
        return task.result()

    def close(self) -> None:
        """End what still runs on the loop, then the loop and its thread."""
        self.run(_cancel_the_others())
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _start(
        self, coroutine: Coroutine[Any, Any, R], inbox: SimpleQueue[Callable[[], None] | None]
    ) -> asyncio.Task[R]:
        started: Future[asyncio.Task[R]] = Future()

        def start() -> None:
            task = self._loop.create_task(coroutine)
            task.add_done_callback(lambda _: inbox.put(None))
            started.set_result(task)

        before = _in_callers_thread.set(inbox.put)
        try:
            self._loop.call_soon_threadsafe(start)  # takes this context along: `tell`, and the correlation id
        finally:
            _in_callers_thread.reset(before)
        return started.result()


def tell(callback: Callable[[T], None], value: T) -> None:
    """Call ``callback(value)`` in the thread that waits for this coroutine; directly when nobody does."""
    _in_callers_thread.get()(partial(callback, value))


def _directly(call: Callable[[], None]) -> None:
    call()


_in_callers_thread: ContextVar[Callable[[Callable[[], None]], None]] = ContextVar(
    "in_callers_thread", default=_directly
)


async def _cancel_the_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
