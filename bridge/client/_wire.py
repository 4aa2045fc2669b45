"""One call over the wire: metadata, deadline, retries, and errors made typed again.

The one idea: a call is retried only where its error says that retrying helps, always as the very same message. A write
therefore keeps its request id, and the server answers a second copy as it answered the first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Channel

from bridge import errors, logs

Request_contra = TypeVar("Request_contra", contravariant=True)
Reply_co = TypeVar("Reply_co", covariant=True)
Request = TypeVar("Request")
Reply = TypeVar("Reply")
Metadata = tuple[tuple[str, str], ...]

STATUS_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class Tls:
    """Certificates for an encrypted connection, as PEM files."""

    authority: Path | None = None
    """Certificate of the authority that signed the server's; absent, the machine's own list of authorities."""
    certificate: Path | None = None
    """This client's own certificate, where the server asks for one; together with ``key``."""
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(*(_content(f) for f in (self.authority, self.key, self.certificate)))


@dataclass(frozen=True)
class Retry:
    """How often a call is tried, and how long is waited between; the waits double."""

    attempts: int = 4
    first_wait_s: float = 0.1

    def wait_s(self, attempt: int, asked_s: float | None) -> float:
        """Before the attempt after ``attempt`` (1, 2, ...); at least what the server asked for."""
        return max(self.first_wait_s * 2.0 ** (attempt - 1), asked_s or 0.0)


class Call(Protocol[Request_contra, Reply_co]):
    """A unary method of a generated stub."""

    def __call__(
        self, request: Request_contra, /, *, timeout: float | None = None, metadata: Any = None
    ) -> Awaitable[Reply_co]: ...


class Replies(AsyncIterable[Reply_co], Protocol[Reply_co]):
    """What a stream answers, message by message."""

    def cancel(self) -> bool: ...


class Stream(Protocol[Request_contra, Reply_co]):
    """A method of a generated stub that answers with a stream."""

    def __call__(
        self, request: Request_contra, /, *, timeout: float | None = None, metadata: Any = None
    ) -> Replies[Reply_co]: ...


class Wire:
    """A channel to one server with everything that each call needs."""

    def __init__(self, endpoint: str, token: str | None, tls: Tls | None, deadline_s: float, retry: Retry) -> None:
        self.endpoint = endpoint
        self.channel = _channel(endpoint, tls)
        self._token = token
        self._tls = tls
        self._deadline_s = deadline_s
        self._retry = retry

    async def call(self, method: Call[Request, Reply], request: Request) -> Reply:
        """Call once, or again while that helps and the deadline allows it."""
        metadata = self._metadata()
        until = time.monotonic() + self._deadline_s
        attempt = 1
        while True:
            try:
                return await method(request, timeout=max(until - time.monotonic(), 0.0), metadata=metadata)
            except AioRpcError as problem:
                error = self.typed(problem)
                wait_s = self._retry.wait_s(attempt, error.retry_after_s)
                if not error.retryable or attempt == self._retry.attempts or time.monotonic() + wait_s > until:
                    raise error from problem
            await asyncio.sleep(wait_s)
            attempt += 1

    async def resumed(
        self, method: Stream[Request, Reply], request: Callable[[], Request], *, deadline_s: float
    ) -> AsyncGenerator[Reply, None]:
        """Every message of a stream, which is opened again when it breaks or its deadline passes.

        Parameters
        ----------
        request : function
            Asks for what has not come yet; called for each opening.
        deadline_s : float
            For each opening.
        """
        metadata = self._metadata()
        attempt = 1
        while True:
            replies = method(request(), timeout=deadline_s, metadata=metadata)
            try:
                async for message in replies:
                    attempt = 1
                    yield message
                return
            except AioRpcError as problem:
                error = self.typed(problem)
                resumable = error.retryable or isinstance(error, errors.DeadlineExceeded)
                if not resumable or attempt == self._retry.attempts:
                    raise error from problem
            finally:
                replies.cancel()
            await asyncio.sleep(self._retry.wait_s(attempt, error.retry_after_s))
            attempt += 1

    def typed(self, problem: AioRpcError) -> errors.BridgeError:
        """The exception of `bridge.errors` that the server meant."""
        status = _status(problem)
        info = _detail(status, error_details_pb2.ErrorInfo)
        kind = errors.BY_REASON.get(info.reason) if info else None
        if info is None or kind is None:
            return self._without_details(problem)
        bad_request = _detail(status, error_details_pb2.BadRequest)
        retry = _detail(status, error_details_pb2.RetryInfo)
        violations = bad_request.field_violations if bad_request else ()
        return kind(
            status.message,
            metadata=info.metadata,
            violations=tuple(errors.FieldViolation(v.field, v.description) for v in violations),
            retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        )

    async def close(self) -> None:
        await self.channel.close(grace=None)

    def _without_details(self, problem: AioRpcError) -> errors.BridgeError:
        code, text = problem.code(), problem.details() or "no more is known"
        if code is grpc.StatusCode.UNAVAILABLE:
            hint = f" The connection uses TLS: check the certificates too ({self._tls})." if self._tls else ""
            return errors.TpsUnavailable(f"no answer from {self.endpoint!r} ({text}). Is the server running?{hint}")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded(
                f"{self.endpoint!r} did not answer within {self._deadline_s:g} s; what was asked may still happen. "
                "Read the plan again before deciding."
            )
        kind = _BY_CODE.get(code, errors.ServerFault)
        return kind(f"{self.endpoint!r} answered {code.name}: {text}")

    def _metadata(self) -> Metadata:
        correlation = (logs.CORRELATION_HEADER, logs.correlation_id())
        return (correlation, ("authorization", f"Bearer {self._token}")) if self._token else (correlation,)


_BY_CODE = {
    grpc.StatusCode.UNAUTHENTICATED: errors.TokenInvalid,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotAllowed,
    grpc.StatusCode.UNIMPLEMENTED: errors.CapabilityMissing,
    grpc.StatusCode.CANCELLED: errors.OperationCancelled,
}
"""For answers without details, as something between client and server may give them."""


def _channel(endpoint: str, tls: Tls | None) -> Channel:
    options = [
        ("grpc.enable_retries", 0),  # retried here, where the request id and the server's wish are known
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if tls is None:
        return grpc.aio.insecure_channel(endpoint, options=options)
    return grpc.aio.secure_channel(endpoint, tls.credentials(), options=options)


def _status(problem: AioRpcError) -> Any:
    """The ``google.rpc.Status`` that came with the error; an empty one when none did."""
    trailing: Any = problem.trailing_metadata()  # typed wrongly in the stubs; yields (key, value)
    packed = next((value for key, value in trailing or () if key == STATUS_DETAILS_KEY), b"")
    return status_pb2.Status.FromString(packed)


def _detail(status: Any, kind: Any) -> Any:
    """The detail of that kind, or None."""
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None


def _content(file: Path | None) -> bytes | None:
    return file.read_bytes() if file is not None else None
