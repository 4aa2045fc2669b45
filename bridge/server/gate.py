"""What every call passes before and after its servicer, in this order.

    correlation   one id from here to the operation that the call may start
    wall          whatever fails inside leaves as a status with details
    auth          who calls
    audit         that they called, and how it ended
    access        their token allows the RPC
    offer         the server claims the RPC's profile and capability
    validation    the request keeps to the schema
    servicer
    free text     nothing hidden leaves

The one idea: `Gate._passage` is this list as code; unary and streaming calls go through the same one.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import grpc
import structlog
from google.protobuf.message import Message

from bridge import logs
from bridge.errors import CapabilityMissing
from bridge.server.audit import Audit
from bridge.server.auth import CALLER, Auth
from bridge.server.free_text import clean
from bridge.server.limits import Envelope
from bridge.server.offer import Offer
from bridge.server.validation import require_valid
from bridge.server.wall import exception_wall

log = structlog.get_logger(__name__)

SOUND_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    Interceptor = grpc.aio.ServerInterceptor


class Gate(Interceptor):
    """Stands before every RPC of the contract; health and reflection pass by it."""

    def __init__(self, auth: Auth, audit: Audit, offers: Mapping[str, Offer], envelope: Envelope) -> None:
        self._auth = auth
        self._audit = audit
        self._offers = offers
        self._envelope = envelope

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = await continuation(handler_call_details)
        offer = self._offers.get(handler_call_details.method)
        if handler is None or offer is None:
            return handler
        return self._streaming(handler, offer) if handler.response_streaming else self._unary(handler, offer)

    def _unary(self, handler: Handler, offer: Offer) -> Handler:
        serve = cast("Callable[[Message, Context], Awaitable[Message]]", handler.unary_unary)

        async def behave(request: Message, context: Context) -> Message | None:
            async with self._passage(offer, request, context):
                response = await serve(request, context)
                clean(response)
                return response
            return None  # never reached: a failure ends the call inside the passage

        return grpc.unary_unary_rpc_method_handler(behave, handler.request_deserializer, handler.response_serializer)

    def _streaming(self, handler: Handler, offer: Offer) -> Handler:
        serve = cast("Callable[[Message, Context], AsyncGenerator[Message, None]]", handler.unary_stream)

        async def behave(request: Message, context: Context) -> None:
            async with self._passage(offer, request, context), aclosing(serve(request, context)) as parts:
                async for response in parts:
                    clean(response)
                    await context.write(response)

        return grpc.unary_stream_rpc_method_handler(behave, handler.request_deserializer, handler.response_serializer)

    @asynccontextmanager
    async def _passage(self, offer: Offer, request: Message, context: Context) -> AsyncIterator[None]:
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        correlation_id = _correlation_id(metadata)
        with logs.correlated(correlation_id), structlog.contextvars.bound_contextvars(method=offer.method):
            async with exception_wall(context, correlation_id):
                caller = self._auth.caller(metadata)
                CALLER.set(caller)
                with self._audit.entry(offer.method, request, caller.principal, correlation_id):
                    caller.require(offer.access, offer.method)
                    self._require_offered(offer)
                    require_valid(request)
                    yield

    def _require_offered(self, offer: Offer) -> None:
        if not offer.claimed:
            raise CapabilityMissing(
                f"this server does not claim the profile {offer.profile.name}; GetServerInfo lists those it does."
                if offer.profile
                else f"this server does not implement {offer.method}.",
                metadata={"profile": offer.profile.name} if offer.profile else {},
            )
        if offer.capability:
            self._envelope.require_capability(offer.capability)


def _correlation_id(metadata: Mapping[str, Any]) -> str:
    """The caller's id, unless it is missing or not fit to be shown in a log."""
    given = metadata.get(logs.CORRELATION_HEADER, "")
    return given if isinstance(given, str) and SOUND_CORRELATION_ID.match(given) else uuid.uuid4().hex
