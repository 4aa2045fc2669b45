"""Long work as a thing with a name: start, look, wait, watch, cancel.

The one idea: an operation is a record that only moves along the table `MOVES`, and every move raises its sequence
number, wakes its watchers and is written to the journal. The work itself runs on the TPS thread and reaches the record
through an `_Ear`; looking, watching and cancelling never touch that thread. What was running when a server died is
UNKNOWN_OUTCOME when the next one starts.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

import structlog

from bridge import logs, model
from bridge.backend import Monitor
from bridge.errors import BridgeError, NotFound, OperationCancelled, OperationInProgress, QuotaExceeded
from bridge.model import OperationState as State
from bridge.server import records
from bridge.server.clock import Clock
from bridge.server.journal import Journal
from bridge.server.tps_thread import TpsThread

log = structlog.get_logger(__name__)

Result = model.OptimizationResult | model.DoseResult
Work = Callable[[Monitor], Result]

MAX_WAITING = 32
LONGEST_WAIT_S = 60.0
RESTART_GAP = 1 << 32
"""Added to the sequence of what a dead server left: its last reports of progress were not written down."""

CANCEL_CAPABILITY = {
    model.OperationKind.OPTIMIZE: "operation.cancel.optimize",
    model.OperationKind.CALCULATE_DOSE: "operation.cancel.calculate-dose",
}


class Event(Enum):
    """What can happen to an operation."""

    START = auto()
    CANCEL = auto()
    SUCCEED = auto()
    FAIL = auto()
    STOP = auto()
    """The work stopped because it was asked to."""
    LOSE = auto()
    """The server ended while the work ran."""


MOVES: Mapping[tuple[State, Event], State] = {
    (State.QUEUED, Event.START): State.RUNNING,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.LOSE): State.UNKNOWN_OUTCOME,
    (State.RUNNING, Event.CANCEL): State.CANCELLING,
    (State.RUNNING, Event.SUCCEED): State.SUCCEEDED,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.STOP): State.CANCELLED,
    (State.RUNNING, Event.LOSE): State.UNKNOWN_OUTCOME,
    (State.CANCELLING, Event.SUCCEED): State.SUCCEEDED,
    (State.CANCELLING, Event.FAIL): State.FAILED,
    (State.CANCELLING, Event.STOP): State.CANCELLED,
    (State.CANCELLING, Event.LOSE): State.UNKNOWN_OUTCOME,
}
"""A pair that is absent cannot happen; ended states have no way out."""


class Operations:
    """All operations of a server, past and present."""

    def __init__(self, capabilities: Mapping[str, str], tps: TpsThread, journal: Journal, clock: Clock) -> None:
        self._capabilities = capabilities
        self._tps = tps
        self._journal = journal
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def restore(self) -> None:
        """Take up the journal's operations; those that had not ended are of unknown outcome now."""
        for record in self._journal.operations():
            operation = records.operation_from_bytes(record)
            entry = self._entries[operation.name] = _Entry(operation)
            if not operation.state.ended:
                entry.replace(sequence=operation.sequence + RESTART_GAP)
                self._lose(operation.name)

    def start(self, kind: model.OperationKind, plan: str, session: str, work: Work) -> model.Operation:
        """Queue work on a plan; returns at once.

        Raises
        ------
        OperationInProgress
            Another operation has not ended on this plan.
        QuotaExceeded
            Too many operations wait already.
        """
        self.require_idle(plan)
        if sum(not entry.operation.state.ended for entry in self._entries.values()) >= MAX_WAITING:
            raise QuotaExceeded(f"{MAX_WAITING} operations are waiting already; try again later.", retry_after_s=10.0)
        name = f"operations/{uuid.uuid4().hex}"
        entry = _Entry(model.Operation(name, kind, plan, session, State.QUEUED, 1, None, self._clock()))
        self._entries[name] = entry
        self._save(entry)
        self._spawn(self._run(entry, work))
        return entry.operation

    def get(self, name: str) -> model.Operation:
        return self._entry(name).operation

    def list(self, *, session: str | None = None, plan: str | None = None) -> list[model.Operation]:
        """Oldest first."""
        operations = [entry.operation for entry in self._entries.values()]
        return [
            operation
            for operation in operations
            if session in (None, operation.session) and plan in (None, operation.plan)
        ]

    def require_idle(self, plan: str) -> None:
        """Refuse while an operation on the plan has not ended."""
        for operation in self.list(plan=plan):
            if not operation.state.ended:
                raise OperationInProgress(
                    f"{operation.name!r} is {operation.state.name} on plan {plan!r}. Wait for it, or cancel it.",
                    metadata={"operation": operation.name},
                )

    async def wait(self, name: str, timeout_s: float) -> model.Operation:
        """The operation when it ended, or as it stands after ``timeout_s`` (at most 60)."""
        entry = self._entry(name)
        try:
            async with asyncio.timeout(min(timeout_s, LONGEST_WAIT_S)):
                await entry.end()
        except TimeoutError:
            pass
        return entry.operation

    async def watch(self, name: str, after_sequence: int) -> AsyncIterator[model.Operation]:
        """The operation whenever it changed after ``after_sequence``, until it has ended."""
        entry = self._entry(name)
        while not entry.operation.state.ended:
            changed = entry.changed
            if entry.operation.sequence > after_sequence:
                after_sequence = entry.operation.sequence
                yield entry.operation
            else:
                await changed.wait()
        if entry.operation.sequence != after_sequence:
            yield entry.operation

    def cancel(self, name: str) -> model.CancelOutcome:
        """Ask an operation to stop; whether it can is the TPS's capability."""
        entry = self._entry(name)
        operation = entry.operation
        if operation.state.ended:
            return model.CancelOutcome.ALREADY_ENDED
        if operation.state is State.CANCELLING:
            return model.CancelOutcome.CANCELLING
        if operation.state is State.RUNNING and not self._cancellable(operation.kind):
            return model.CancelOutcome.NOT_CANCELLABLE
        entry.stop_wanted.set()
        self._move(entry, Event.CANCEL)
        if entry.operation.state is State.CANCELLED:
            return model.CancelOutcome.CANCELLED
        return model.CancelOutcome.CANCELLING

    async def stop(self, grace_s: float) -> bool:
        """Cancel what can be cancelled, wait for the rest; what still runs then is lost. True if nothing was lost."""
        unended = [entry for entry in self._entries.values() if not entry.operation.state.ended]
        for entry in unended:
            self.cancel(entry.operation.name)
        try:
            async with asyncio.timeout(grace_s):
                for entry in unended:
                    await entry.end()
        except TimeoutError:
            for entry in unended:
                if not entry.operation.state.ended:
                    self._lose(entry.operation.name)
            return False
        return True

    async def _run(self, entry: _Entry, work: Work) -> None:
        loop = asyncio.get_running_loop()
        ear = _Ear(loop, entry.stop_wanted, lambda progress: self._hear(entry, progress))

        def begin() -> None:
            if entry.stop_wanted.is_set():
                raise OperationCancelled("cancelled before it began")
            self._move(entry, Event.START)

        with structlog.contextvars.bound_contextvars(operation=entry.operation.name):
            try:
                result = await self._tps.operate(begin, lambda: work(ear))
            except OperationCancelled:
                self._move(entry, Event.STOP)
            except BridgeError as error:
                self._move(entry, Event.FAIL, error_reason=error.reason, error_message=error.message)
            except Exception:
                log.error("operation failed unexpectedly", stack=logs.traceback_text())
                self._move(entry, Event.FAIL, error_reason="INTERNAL", error_message=_unexpected())
            else:
                self._move(entry, Event.STOP if _was_stopped(result) else Event.SUCCEED, result=result)

    def _hear(self, entry: _Entry, progress: model.Progress) -> None:
        if not entry.operation.state.ended:
            entry.replace(progress=progress)

    def _move(
        self,
        entry: _Entry,
        event: Event,
        *,
        result: Result | None = None,
        error_reason: str | None = None,
        error_message: str | None = None,
    ) -> None:
        before = entry.operation.state
        if before.ended:
            return  # cancelled in the queue, or given up at shutdown, before the work noticed
        after = MOVES[before, event]
        entry.replace(
            state=after,
            ended=self._clock() if after.ended else None,
            result=result,
            error_reason=error_reason,
            error_message=error_message,
        )
        self._save(entry)
        log.info("operation moved", operation=entry.operation.name, state=after.name)

    def _lose(self, name: str) -> None:
        self._move(
            self._entry(name),
            Event.LOSE,
            error_reason="UNKNOWN_OUTCOME",
            error_message="The server ended while this operation was unfinished; uncommitted work is discarded. "
            "Open a session and start again.",
        )

    def _save(self, entry: _Entry) -> None:
        operation = entry.operation
        self._journal.put_operation(operation.name, operation.created, records.operation_to_bytes(operation))

    def _cancellable(self, kind: model.OperationKind) -> bool:
        return self._capabilities.get(CANCEL_CAPABILITY[kind], "NONE") != "NONE"

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise NotFound(f"there is no operation {name!r}; ListOperations shows those there are.")
        return self._entries[name]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(eq=False)
class _Entry:
    """An operation as it stands, and the means to hear of its next change."""

    operation: model.Operation
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    stop_wanted: threading.Event = field(default_factory=threading.Event)

    def replace(self, **changes: object) -> None:
        self.operation = replace(self.operation, **{"sequence": self.operation.sequence + 1} | changes)  # type: ignore[arg-type]
        self.changed.set()
        self.changed = asyncio.Event()

    async def end(self) -> None:
        while not self.operation.state.ended:
            await self.changed.wait()


class _Ear:
    """The `Monitor` of one operation: carries reports from the TPS thread to the event loop.

    Reports that come faster than the loop takes them are merged, so a talkative optimiser cannot flood it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stop_wanted: threading.Event,
        heard: Callable[[model.Progress], None],
    ) -> None:
        self._loop = loop
        self._stop_wanted = stop_wanted
        self._heard = heard
        self._latest: model.Progress | None = None

    def report(self, progress: model.Progress) -> None:
        delivery_is_due = self._latest is not None
        self._latest = progress
        if not delivery_is_due:
            self._loop.call_soon_threadsafe(self._deliver)

    @property
    def cancelled(self) -> bool:
        return self._stop_wanted.is_set()

    def _deliver(self) -> None:
        latest, self._latest = self._latest, None
        if latest is not None:
            self._heard(latest)


def _was_stopped(result: Result) -> bool:
    return isinstance(result, model.OptimizationResult) and result.stop_reason is model.StopReason.CANCELLED


def _unexpected() -> str:
    correlation_id = structlog.contextvars.get_contextvars().get("correlation_id", "")
    return f"The TPS failed in an unexpected way; the server's log has it under {correlation_id}."
