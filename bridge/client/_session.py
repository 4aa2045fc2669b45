"""Work on one patient, uncommitted until `commit`, and gone when the session ends without one.

The one idea: long work goes on at the server whatever happens here. A wait for it survives broken connections; a wait
that is given up cancels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import structlog

from bridge import convert, errors, model
from bridge.client._wire import Wire
from bridge.client._writes import AsyncWrites
from bridge.loop_thread import tell
from bridge.tps.v1.dose_service_pb2 import CalculateDoseRequest
from bridge.tps.v1.optimization_service_pb2 import EvaluateObjectivesRequest, OptimizeRequest
from bridge.tps.v1.session_service_pb2 import (
    CloseSessionRequest,
    CommitSessionRequest,
    ConfirmChangesRequest,
    GetPendingChangesRequest,
    RenewSessionRequest,
)

RENEWALS_PER_LEASE = 3
"""So that one lost renewal does not lose the session."""

log = structlog.get_logger(__name__)

OnProgress = Callable[[model.Progress], None]


class AsyncSession(AsyncWrites):
    """An open session; made by `AsyncClient.session`."""

    def __init__(self, wire: Wire, opened: model.Session) -> None:
        super().__init__(wire, opened)
        self._running: set[str] = set()

    # long work ----------------------------------------------------------------------------------------------------

    async def optimize(
        self,
        plan: str,
        spec: model.OptimizeSpec,
        on_progress: OnProgress | None = None,
        *,
        etag: str | None = None,
        reason: str = "",
    ) -> model.OptimizationResult:
        """Optimise and wait for the result.

        When the wait is given up (Ctrl-C, a cancelled task, a callback that raises) the optimisation is cancelled.
        """
        started = await self.start_optimize(plan, spec, etag=etag, reason=reason)
        result = await self._ended(started, on_progress)
        assert isinstance(result, model.OptimizationResult)
        return result

    async def start_optimize(
        self, plan: str, spec: model.OptimizeSpec, *, etag: str | None = None, reason: str = ""
    ) -> model.Operation:
        """Start an optimisation, to be followed with `watch`."""
        request = OptimizeRequest(
            write=self._write(reason),
            plan=plan,
            etag=etag or await self._etag(plan),
            spec=convert.optimize_spec_to_wire(spec),
        )
        answer = await self._call(self._stubs.optimization.Optimize, request)
        return self._started(convert.operation_from_wire(answer.operation))

    async def calculate_dose(
        self,
        plan: str,
        grid_mm: float | None = None,
        on_progress: OnProgress | None = None,
        *,
        etag: str | None = None,
        reason: str = "",
    ) -> model.DoseResult:
        """Calculate the dose and wait for it; given up like `optimize`."""
        started = await self.start_calculate_dose(plan, grid_mm, etag=etag, reason=reason)
        result = await self._ended(started, on_progress)
        assert isinstance(result, model.DoseResult)
        return result

    async def start_calculate_dose(
        self, plan: str, grid_mm: float | None = None, *, etag: str | None = None, reason: str = ""
    ) -> model.Operation:
        """Start a dose calculation, to be followed with `watch`."""
        request = CalculateDoseRequest(
            write=self._write(reason), plan=plan, etag=etag or await self._etag(plan), grid_mm=grid_mm
        )
        answer = await self._call(self._stubs.dose.CalculateDose, request)
        return self._started(convert.operation_from_wire(answer.operation))

    async def evaluate_objectives(self, plan: str) -> model.OptimizationResult:
        """Value the objectives as they are now on the fluence that the plan has."""
        request = EvaluateObjectivesRequest(plan=plan, session=self.name)
        answer = await self._call(self._stubs.optimization.EvaluateObjectives, request)
        return convert.optimization_result_from_wire(answer.result)

    # committing ---------------------------------------------------------------------------------------------------

    async def pending_changes(self) -> model.PendingChanges:
        """What a commit would save, and the digest that stands for it."""
        request = GetPendingChangesRequest(session=self.name)
        answer = await self._call(self._stubs.session.GetPendingChanges, request)
        return convert.pending_changes_from_wire(answer.pending)

    async def confirm(self, digest: str, *, reason: str = "") -> model.PendingChanges:
        """Say yes, as a person, to exactly these changes."""
        request = ConfirmChangesRequest(write=self._write(reason), digest=digest)
        answer = await self._call(self._stubs.session.ConfirmChanges, request)
        return convert.pending_changes_from_wire(answer.pending)

    async def commit(self, digest: str, *, reason: str = "") -> tuple[model.Change, ...]:
        """Save the changes of this digest, all or nothing; the session stays open."""
        request = CommitSessionRequest(write=self._write(reason), digest=digest)
        answer = await self._call(self._stubs.session.CommitSession, request)
        return tuple(map(convert.change_from_wire, answer.changes))

    # ----------------------------------------------------------------------------------------------------------------

    def _started(self, operation: model.Operation) -> model.Operation:
        self._running.add(operation.name)
        return operation

    def _saw_operation(self, operation: model.Operation) -> None:
        if operation.name not in self._running or not operation.state.ended:
            return
        self._running.remove(operation.name)
        if operation.result is not None:
            self._etags[operation.plan] = operation.result.plan_etag
        else:
            self._etags.pop(operation.plan, None)  # it may have changed the plan: read it again before writing

    async def _ended(
        self, started: model.Operation, on_progress: OnProgress | None
    ) -> model.OptimizationResult | model.DoseResult:
        state, told = started, None
        try:
            async with aclosing(self.watch(started.name)) as states:
                async for state in states:
                    if on_progress is not None and state.progress is not None and state.progress != told:
                        told = state.progress
                        tell(on_progress, told)
        except errors.BridgeError:
            raise  # the operation goes on, and may be watched again
        except BaseException:
            await self._give_up(started.name)
            raise
        return _result(state)

    async def _give_up(self, operation: str) -> None:
        try:
            await self.cancel(operation)
        except errors.BridgeError as error:
            log.warning("operation could not be cancelled", operation=operation, reason=error.reason)

    async def keep_alive(self, lease_s: float) -> None:
        """Renew the lease until cancelled; a session found dead is left so, and its next call says it."""
        request = RenewSessionRequest(name=self.name, lease_s=lease_s)
        while True:
            await asyncio.sleep(lease_s / RENEWALS_PER_LEASE)
            try:
                await self._call(self._stubs.session.RenewSession, request)
            except errors.BridgeError as error:
                log.warning("session could not be renewed", session=self.name, reason=error.reason)
                if not error.retryable:
                    return

    async def close(self) -> None:
        """Give up what is uncommitted; where the server cannot be told, the lease does it."""
        try:
            await self._call(self._stubs.session.CloseSession, CloseSessionRequest(write=self._write("")))
        except errors.BridgeError as error:
            log.warning("session could not be closed", session=self.name, reason=error.reason)


def _result(operation: model.Operation) -> model.OptimizationResult | model.DoseResult:
    """What a succeeded operation made; otherwise the error that it ended with."""
    if operation.state is model.OperationState.SUCCEEDED and operation.result is not None:
        return operation.result
    if operation.state is model.OperationState.CANCELLED:
        raise errors.OperationCancelled(f"operation {operation.name!r} was cancelled; its plan has to be read again.")
    kind = errors.BY_REASON.get(operation.error_reason or "", errors.ServerFault)
    message = operation.error_message or "the server does not say why"
    raise kind(f"operation {operation.name!r} ended as {operation.state.name}: {message}")
