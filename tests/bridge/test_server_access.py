"""Who is let in, and what their token lets them do."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from raw_client import CLINICAL, MESSAGES, READ_ONLY, on_a_loop, opening, refused, serving, write
from toy_backend import ToyBackend

from bridge.model import Access
from bridge.server import Server
from bridge.tps.v1 import options_pb2

METHODS = [
    method
    for module in MESSAGES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
ALLOWED = {
    Access.READ: {Access.READ},
    Access.PRIORITY: {Access.PRIORITY},
    Access.WRITE: {Access.READ, Access.PRIORITY, Access.WRITE},
    Access.CONFIRM: {Access.CONFIRM},
}
"""Access of a token -> what it may call."""


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def is_denied(call: Any, streaming: bool) -> bool:
    """Whether the token was not good enough; an answer, and a refusal for another reason, mean that it was."""
    try:
        if streaming:
            await anext(aiter(call))
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.PERMISSION_DENIED
    return False


@on_a_loop
async def test_token_opens_the_door() -> None:
    """Without the token, and with another one, a call is UNAUTHENTICATED; with it, it is answered."""
    async with serving(token="secret") as raw:
        for headers in ((), (("authorization", "Bearer other"),), (("authorization", "secret"),)):
            refusal = await refused(raw.call("GetServerInfo", metadata=headers))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
        assert await raw.call("GetServerInfo", metadata=(("authorization", "Bearer secret"),))


@on_a_loop
async def test_health_needs_no_token() -> None:
    """A supervisor may ask for health without being let in."""
    async with serving(token="secret") as raw:
        answer = await health_pb2_grpc.HealthStub(raw.channel).Check(
            health_pb2.HealthCheckRequest(service="bridge.tps.v1.PlanService")
        )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("given", Access, ids=lambda access: access.name)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@on_a_loop
async def test_a_token_calls_what_it_allows_and_nothing_else(method: MethodDescriptor, given: Access) -> None:
    """Every RPC against every access: NOT_ALLOWED exactly where the method option asks for more than the token has."""
    needed = Access(method.GetOptions().Extensions[options_pb2.access])
    async with serving(token={"secret": {given}, "other": set(Access)}) as raw:
        call = raw.call(method.name, metadata=bearer("secret"))
        assert await is_denied(call, method.server_streaming) == (needed not in ALLOWED[given])


@on_a_loop
async def test_a_reading_token_opens_no_writing_session() -> None:
    """It may look through a session, but not take the patient."""
    async with serving(token={"reader": {Access.READ}}) as raw:
        refusal = await refused(raw.call("OpenSession", metadata=bearer("reader"), **opening()))
        assert (refusal.reason, refusal.metadata["access"]) == ("NOT_ALLOWED", "WRITE")
        assert await raw.call("OpenSession", metadata=bearer("reader"), **opening(READ_ONLY))


@on_a_loop
async def test_who_plans_does_not_confirm() -> None:
    """The planner's token is refused; a person's own, in the planner's session, is not."""
    async with serving(token={"planner": {Access.WRITE}, "person": {Access.READ, Access.CONFIRM}}) as raw:
        planner, person = bearer("planner"), bearer("person")
        session = (await raw.call("OpenSession", metadata=planner, **opening())).session.name
        await raw.call("CopyPlan", metadata=planner, write=write(session), source_plan=CLINICAL, label="try")
        digest = (await raw.call("GetPendingChanges", metadata=person, session=session)).pending.digest
        refusal = await refused(raw.call("ConfirmChanges", metadata=planner, write=write(session), digest=digest))
        assert (refusal.reason, refusal.metadata["access"]) == ("NOT_ALLOWED", "CONFIRM")
        assert await raw.call("ConfirmChanges", metadata=person, write=write(session), digest=digest)


def test_an_empty_token_is_no_lock() -> None:
    """A server is not started with a token that every call without one would match."""
    with pytest.raises(ValueError, match="empty token"):
        Server(ToyBackend(), journal_path=None, token="")
