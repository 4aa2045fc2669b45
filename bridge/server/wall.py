"""Every failure leaves the server in one form: a status code and ``google.rpc`` details, under 4 KiB.

The one idea: a `BridgeError` says what it is; anything else is a bug, goes to the log with its traceback, and leaves as
INTERNAL with the correlation id and not a word of its text (gRPC would send the text of an exception to the client).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from bridge import logs
from bridge.errors import BridgeError, FieldViolation, ServerFault
from bridge.server.free_text import visible

log = structlog.get_logger(__name__)

DOMAIN = "bridge.tps.v1"
DETAILS_KEY = "grpc-status-details-bin"
MOST_BYTES = 3800  # gRPC drops the whole error somewhere above 8 KiB of trailers; the contract promises 4 KiB
LONGEST_MESSAGE = 1000

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


@asynccontextmanager
async def exception_wall(context: Context, correlation_id: str) -> AsyncIterator[None]:
    """Turn what goes wrong inside into an answer."""
    try:
        yield
    except BridgeError as error:
        await refuse(context, error, correlation_id)
    except grpc.aio.AbortError:
        raise
    except Exception:
        log.error("unexpected failure", stack=logs.traceback_text())
        await refuse(context, _unexpected(correlation_id), correlation_id)


async def refuse(context: Context, error: BridgeError, correlation_id: str) -> None:
    """End the call with this error."""
    status = status_of(error, correlation_id)
    trailer = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(grpc.StatusCode[error.status], status.message, trailing_metadata=trailer)


def status_of(error: BridgeError, correlation_id: str) -> status_pb2.Status:
    """The error with its details; as many of its violations as fit."""
    violations = error.violations
    status = _status(error, correlation_id, violations)
    while violations and status.ByteSize() > MOST_BYTES:
        violations = violations[: len(violations) // 2]
        status = _status(error, correlation_id, violations)
    return status


def _status(error: BridgeError, correlation_id: str, violations: tuple[FieldViolation, ...]) -> status_pb2.Status:
    code = grpc.StatusCode[error.status].value[0]
    status = status_pb2.Status(code=code, message=visible(error.message)[:LONGEST_MESSAGE])
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    info.metadata["correlation_id"] = correlation_id
    status.details.append(_packed(info))
    if violations:
        bad = error_details_pb2.BadRequest()
        for violation in violations:
            bad.field_violations.add(field=violation.field, description=violation.description)
        status.details.append(_packed(bad))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status


def _packed(detail: object) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)  # type: ignore[arg-type]
    return packed


def _unexpected(correlation_id: str) -> ServerFault:
    return ServerFault(f"The server failed in a way it did not expect; its log has it under {correlation_id}.")
