"""The one thread that touches Eclipse, and the queue in front of it.

The one idea: whoever wants something of ESAPI hands over a function and gets its result. Functions run one after
another on the thread that ESAPI belongs to: a thread of our own (`OwnThread`, stand-alone) or one lent to us
(`LentThread`, the thread on which Eclipse entered a plug-in). Results are looked at on the way out: a .NET object
among them is a bug and is refused, so no other thread ever holds one.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from bridge.backends.esapi.reach import access, faults
from bridge.errors import TpsBusy, TpsUnavailable

T = TypeVar("T")

RETRY_AFTER_S = 2.0
IDLE_S = 0.02
"""How long a lent thread waits for a job before it looks after its owner's window."""


class Escaped(RuntimeError):
    """A bug: a function was about to hand a .NET object to another thread."""


class Held(TpsBusy):
    """Long work has the ESAPI thread."""


class EsapiThread:
    """The queue; subclasses say whose thread serves it."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._is_held = False
        self._is_closed = False

    @property
    def held(self) -> bool:
        """Whether long work has the thread, or is next."""
        return self._is_held

    @property
    def closed(self) -> bool:
        return self._is_closed

    def call(self, function: Callable[[], T]) -> T:
        """Run a short function there, and wait for it."""
        if threading.get_ident() == self._owner:
            return function()
        return self._submit(function).result()

    def call_if_free(self, function: Callable[[], T]) -> T:
        """The same, for whoever must not wait for long work.

        Raises
        ------
        Held
            Long work has the thread.
        """
        if threading.get_ident() == self._owner:
            return function()
        with self._lock:
            if self._is_held:
                raise Held("Eclipse is at work. Try again when the operation has ended.", retry_after_s=RETRY_AFTER_S)
            job = self._put(function)
        return job.result()

    def work(self, function: Callable[[], T]) -> T:
        """Run a function there that may take minutes; `held` meanwhile."""
        with self._lock:
            if self._is_held:
                raise Held("Eclipse is at work already. Try again later.", retry_after_s=RETRY_AFTER_S)
            job = self._put(function)
            self._is_held = True
        try:
            return job.result()
        finally:
            self._is_held = False

    def close(self, grace_s: float = 5.0) -> bool:
        """Take no more jobs and refuse those that wait; False if a job still runs after ``grace_s``."""
        raise NotImplementedError

    def _submit(self, function: Callable[[], T]) -> Future[T]:
        with self._lock:
            return self._put(function)

    def _put(self, function: Callable[[], T]) -> Future[T]:
        if self._is_closed:
            raise _gone()
        job = _Job(function)
        self._jobs.put(job)
        return job.future

    def _shut(self) -> None:
        with self._lock:
            self._is_closed = True
            self._jobs.put(None)

    def _own(self) -> None:
        self._owner = threading.get_ident()
        access.owned()

    def _disown(self) -> None:
        self._owner = None
        access.disowned()

    def _do(self, job: _Job | None) -> None:
        if job is None:
            return
        if self._is_closed:
            job.refuse()
        else:
            job.run()

    def _refuse_pending(self) -> None:
        while True:
            try:
                self._do(self._jobs.get_nowait())
            except queue.Empty:
                return


class OwnThread(EsapiThread):
    """A thread of our own, in a single-threaded apartment; `access.load` comes first."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = access.sta_thread(self._serve)

    def close(self, grace_s: float = 5.0) -> bool:
        self._shut()
        return bool(self._thread.Join(int(grace_s * 1000)))

    def _serve(self) -> None:
        self._own()
        try:
            while not self._is_closed:
                self._do(self._jobs.get())
            self._refuse_pending()
        finally:
            self._disown()


class LentThread(EsapiThread):
    """A thread that somebody else owns and lends by calling `pump`."""

    def __init__(self) -> None:
        super().__init__()
        self._is_pumped = threading.Event()
        self._is_pumped.set()

    def pump(self, stop: Callable[[], bool], idle: Callable[[], None]) -> None:
        """Run jobs on the calling thread until ``stop`` says so; ``idle`` is called while there are none."""
        self._is_pumped.clear()
        self._own()
        try:
            while not stop():
                with contextlib.suppress(queue.Empty):
                    self._do(self._jobs.get(timeout=IDLE_S))
                idle()
        finally:
            self._shut()
            self._refuse_pending()
            self._disown()
            self._is_pumped.set()

    def close(self, grace_s: float = 5.0) -> bool:  # noqa: ARG002 - the lender takes the thread back when it likes
        self._shut()
        return True


class _Job:
    def __init__(self, function: Callable[[], Any]) -> None:
        self.future: Future[Any] = Future()
        self._function = function
        self._context = contextvars.copy_context()  # the caller's correlation id, for log lines

    def run(self) -> None:
        try:
            result = self._context.run(self._function)
            _require_plain(result)
        except BaseException as error:
            self.future.set_exception(_without_net(error))
        else:
            self.future.set_result(result)

    def refuse(self) -> None:
        self.future.set_exception(_gone())


def _gone() -> TpsUnavailable:
    return TpsUnavailable("Eclipse is not attached any more; start the server again.")


def _without_net(error: BaseException) -> BaseException:
    """The error, without .NET exceptions: they are objects of .NET like others."""
    if access.is_net(error):
        return faults.as_bridge_error("do what was asked", error)
    if error.__context__ is not None and access.is_net(error.__context__):
        error.__context__ = None
    return error


def _require_plain(value: object) -> None:
    """Refuse a result that is, or holds, a .NET object."""
    if access.is_net(value):
        raise Escaped(f"a {type(value).__name__} of .NET must not leave the ESAPI thread; return what was read of it.")
    if isinstance(value, Mapping):
        _require_all_plain(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        _require_all_plain(value)
    elif is_dataclass(value) and not isinstance(value, type):
        _require_all_plain(getattr(value, field.name) for field in fields(value))


def _require_all_plain(values: Any) -> None:
    for each in values:
        _require_plain(each)
