"""Blocking twins of asynchronous methods, made from the methods themselves.

The one idea: the asynchronous class is the only implementation. ``plans = blocking(AsyncReads.plans)`` gives the
blocking class a method with the same parameters and documentation, known to type checkers and editors, that runs the
original on the client's event loop and waits for it.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from bridge.loop_thread import LoopThread

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
F = TypeVar("F", bound="Facade[Any]")


class Facade(Generic[A]):
    """A blocking face in front of an asynchronous object."""

    def __init__(self, behind: A, loop: LoopThread) -> None:
        self._behind = behind
        self._loop = loop


def blocking(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Any, P], R]:
    """A method that waits for the coroutine."""

    @functools.wraps(method)
    def call(facade: Facade[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return facade._loop.run(method(facade._behind, *args, **kwargs))

    return call


def blocking_iterator(
    method: Callable[Concatenate[Any, P], AsyncGenerator[R, None]],
) -> Callable[Concatenate[Any, P], Generator[R, None, None]]:
    """A method that yields what the asynchronous generator yields, waiting for each item."""

    @functools.wraps(method)
    def iterate(facade: Facade[Any], /, *args: P.args, **kwargs: P.kwargs) -> Generator[R, None, None]:
        items = method(facade._behind, *args, **kwargs)
        try:
            while True:
                try:
                    item = facade._loop.run(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            facade._loop.run(items.aclose())

    return iterate


def blocking_context(
    method: Callable[Concatenate[Any, P], AbstractAsyncContextManager[A]], face: Callable[[A, LoopThread], F]
) -> Callable[Concatenate[Any, P], AbstractContextManager[F]]:
    """A method whose ``with`` block holds a blocking ``face`` of what the asynchronous block holds."""

    @functools.wraps(method)
    @contextmanager
    def hold(facade: Facade[Any], /, *args: P.args, **kwargs: P.kwargs) -> Generator[F, None, None]:
        manager = method(facade._behind, *args, **kwargs)
        held = facade._loop.run(_enter(manager))
        try:
            yield face(held, facade._loop)
        except BaseException as error:
            if not facade._loop.run(_leave(manager, error)):
                raise
        else:
            facade._loop.run(_leave(manager, None))

    return hold


async def _next(items: AsyncGenerator[R, None]) -> R:
    return await anext(items)


async def _enter(manager: AbstractAsyncContextManager[A]) -> A:
    return await manager.__aenter__()


async def _leave(manager: AbstractAsyncContextManager[Any], error: BaseException | None) -> bool | None:
    return await manager.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)
