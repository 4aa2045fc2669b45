"""Code that does not await uses code that does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from bridge.loop_thread import LoopThread, tell

WORD: ContextVar[str] = ContextVar("word")


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread("test-loop")
    yield loop
    loop.close()


def test_a_call_returns_what_the_coroutine_returns_and_raises_what_it_raises(loop: LoopThread) -> None:
    """Results and exceptions cross over unchanged."""

    async def halve(number: int) -> int:
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number // 2

    assert loop.run(halve(6)) == 3
    with pytest.raises(ValueError, match="7 is odd"):
        loop.run(halve(7))


def test_callbacks_run_in_the_thread_that_waits(loop: LoopThread) -> None:
    """`tell` comes home to the caller's thread, in order, before the call returns."""
    heard: list[tuple[int, threading.Thread]] = []

    async def count() -> None:
        for number in range(3):
            tell(lambda n: heard.append((n, threading.current_thread())), number)

    loop.run(count())
    assert heard == [(n, threading.current_thread()) for n in range(3)]


def test_a_callback_may_call_again(loop: LoopThread) -> None:
    """A callback can use the same loop without a deadlock, since it runs in the caller's thread."""
    answers: list[int] = []

    async def double(number: int) -> int:
        return 2 * number

    async def ask() -> None:
        tell(lambda number: answers.append(loop.run(double(number))), 21)
        await asyncio.sleep(0)

    loop.run(ask())
    assert answers == [42]


def test_whatever_ends_the_wait_cancels_the_coroutine_and_lets_it_tidy_up(loop: LoopThread) -> None:
    """Ctrl-C in the caller reaches the coroutine as a cancellation, and its clean-up ends before the caller goes on."""
    tidied: list[str] = []

    def interrupt(_: None) -> None:
        raise KeyboardInterrupt

    async def work() -> None:
        try:
            tell(interrupt, None)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.append("yes")

    with pytest.raises(KeyboardInterrupt):
        loop.run(work())
    assert tidied == ["yes"]


def test_context_variables_of_the_caller_are_seen(loop: LoopThread) -> None:
    """So a correlation id set by the caller travels with the call."""

    async def read() -> str:
        return WORD.get()

    WORD.set("hello")
    assert loop.run(read()) == "hello"


def test_closing_cancels_what_still_runs() -> None:
    """A background task does not outlive its loop."""
    loop = LoopThread("closing")
    ended = threading.Event()

    async def start() -> asyncio.Task[None]:
        async def for_ever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        task = asyncio.create_task(for_ever())
        await asyncio.sleep(0)
        return task

    assert loop.run(start())
    loop.close()
    assert ended.is_set()
