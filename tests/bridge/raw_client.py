"""A server on a free port and the generated stubs, without any client code of ours in between."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from toy_backend import ToyBackend

from bridge.server import Server
from bridge.tps.v1 import (
    common_pb2,
    dose_service_pb2,
    dose_service_pb2_grpc,
    objective_service_pb2,
    objective_service_pb2_grpc,
    operation_pb2,
    operation_service_pb2,
    operation_service_pb2_grpc,
    optimization_service_pb2,
    optimization_service_pb2_grpc,
    plan_pb2,
    plan_service_pb2,
    plan_service_pb2_grpc,
    server_service_pb2,
    server_service_pb2_grpc,
    session_pb2,
    session_service_pb2,
    session_service_pb2_grpc,
    structure_service_pb2,
    structure_service_pb2_grpc,
)

PATIENT = "patients/P1"
CLINICAL = f"{PATIENT}/plans/clinical"
PTV = f"{PATIENT}/structures/ptv"
READ_WRITE = session_pb2.SESSION_MODE_READ_WRITE
READ_ONLY = session_pb2.SESSION_MODE_READ_ONLY
OPERATION = operation_pb2.OperationState
MESSAGES = (
    dose_service_pb2,
    objective_service_pb2,
    operation_service_pb2,
    optimization_service_pb2,
    plan_service_pb2,
    server_service_pb2,
    session_service_pb2,
    structure_service_pb2,
)
STUBS = (
    dose_service_pb2_grpc.DoseServiceStub,
    objective_service_pb2_grpc.ObjectiveServiceStub,
    operation_service_pb2_grpc.OperationServiceStub,
    optimization_service_pb2_grpc.OptimizationServiceStub,
    plan_service_pb2_grpc.PlanServiceStub,
    server_service_pb2_grpc.ServerServiceStub,
    session_service_pb2_grpc.SessionServiceStub,
    structure_service_pb2_grpc.StructureServiceStub,
)


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test on an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 30))

    return run


class FakeClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Refusal:
    """An error as it came over the wire."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    retry_after_s: float | None = None
    size_bytes: int = 0


class Raw:
    """Every RPC of the contract by its name, and the few calls that most tests begin with."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._calls = {name: call for stub in STUBS for name, call in vars(stub(channel)).items()}

    def call(self, method: str, metadata: tuple[tuple[str, str], ...] = (), **fields: Any) -> Any:
        """Call an RPC with a request made from ``fields``."""
        return self._calls[method](request(method, **fields), metadata=metadata)

    async def open(self, mode: Any = READ_WRITE, lease_s: float = 60.0, patient: str = PATIENT) -> str:
        """A new session's name."""
        answer = await self.call("OpenSession", **opening(mode, lease_s, patient))
        return str(answer.session.name)

    async def copy(self, session: str, label: str = "try") -> plan_pb2.Plan:
        """A working copy of the clinical plan."""
        answer = await self.call("CopyPlan", write=write(session), source_plan=CLINICAL, label=label)
        return answer.plan  # type: ignore[no-any-return]

    async def optimize(self, session: str, plan: plan_pb2.Plan) -> operation_pb2.Operation:
        answer = await self.call("Optimize", write=write(session), plan=plan.name, etag=plan.etag, spec=COLD)
        return answer.operation  # type: ignore[no-any-return]

    async def until(self, operation: str, state: int) -> operation_pb2.Operation:
        """The operation when a watcher first sees it in this state."""
        async for part in self.call("WatchOperation", name=operation):
            if part.operation.state == state:
                return part.operation  # type: ignore[no-any-return]
        raise AssertionError(f"{operation} ended without being {OPERATION.Name(state)}")

    async def digest(self, session: str) -> str:
        return str((await self.call("GetPendingChanges", session=session)).pending.digest)

    async def commit(self, session: str) -> Any:
        return await self.call("CommitSession", write=write(session), digest=await self.digest(session))

    async def plans(self, session: str = "") -> list[str]:
        """Names of the plans that a session, or somebody without one, sees."""
        seen = {"session": session} if session else {}
        return [plan.name for plan in (await self.call("ListPlans", patient=PATIENT, **seen)).plans]


COLD = {"problem": "OPTIMIZATION_PROBLEM_QUADRATIC_PENALTY", "start": "START_POINT_COLD"}


def new_id() -> str:
    return str(uuid.uuid4())


def write(session: str, request_id: str = "", **more: Any) -> common_pb2.WriteContext:
    return common_pb2.WriteContext(session=session, request_id=request_id or new_id(), **more)


def opening(mode: Any = READ_WRITE, lease_s: float = 60.0, patient: str = PATIENT) -> dict[str, Any]:
    """Fields of an OpenSession request."""
    client = {"product": "test", "version": "1"}
    return {"request_id": new_id(), "patient": patient, "mode": mode, "client_info": client, "lease_s": lease_s}


def request(method: str, **fields: Any) -> Any:
    return next(getattr(module, f"{method}Request") for module in MESSAGES if hasattr(module, f"{method}Request"))(
        **fields
    )


@asynccontextmanager
async def serving(backend: ToyBackend | None = None, **options: Any) -> AsyncIterator[Raw]:
    """A server that lives as long as the block."""
    server = Server(backend or ToyBackend(), **({"journal_path": None, "token": None, "read_only": False} | options))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.endpoint) as channel:
            yield Raw(channel)
    finally:
        await server.stop(grace_s=5.0)


async def refused(call: Awaitable[Any]) -> Refusal:
    """How the server refused the call; fails when it did not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return _refusal(error)
    raise AssertionError("the call was not refused")


async def refused_stream(call: Any) -> Refusal:
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return _refusal(error)
    raise AssertionError("the stream was not refused")


def _refusal(error: grpc.aio.AioRpcError) -> Refusal:
    refusal = Refusal(error.code(), error.details() or "")
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    refusal.size_bytes = len(packed)
    for detail in status_pb2.Status.FromString(packed).details:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            assert info.domain == "bridge.tps.v1"
            refusal.reason, refusal.metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            refusal.fields = [violation.field for violation in bad.field_violations]
        elif detail.Unpack(retry):
            refusal.retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    return refusal
