"""The trail of who did what to which object, and how it ended.

The one idea: one entry per call, written when the call ends however it ends. An entry names the method, the object and
the outcome (``OK`` or the reason of the refusal); it holds no request body and no patient data beyond resource names.
The caller's own ``reason`` is kept, for that is what it is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from google.protobuf.message import Message

from bridge import model
from bridge.errors import BridgeError
from bridge.server.clock import Clock
from bridge.server.free_text import visible
from bridge.server.journal import Journal

RESOURCE_FIELDS = ("name", "plan", "structure", "source_plan", "patient", "session")
"""Where a request names its object: the first of these that it has."""


class Audit:
    """Writes the trail to the journal."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    @contextmanager
    def entry(self, method: str, request: Message, principal: str, correlation_id: str) -> Iterator[None]:
        """Record how what happens inside ends."""
        outcome = "INTERNAL"
        try:
            yield
            outcome = "OK"
        except BridgeError as error:
            outcome = error.reason
            raise
        except asyncio.CancelledError:
            outcome = "CALLER_GONE"
            raise
        finally:
            self._journal.put_audit(
                model.AuditEntry(
                    when=self._clock(),
                    principal=principal,
                    method=method,
                    resource=_resource(request),
                    outcome=outcome,
                    correlation_id=correlation_id,
                    details=_details(request),
                )
            )


def _resource(request: Message) -> str:
    fields = request.DESCRIPTOR.fields_by_name
    for name in RESOURCE_FIELDS:
        if name in fields and (value := getattr(request, name)):
            return visible(str(value))[:256]
    return _write_context(request).get("session", "")


def _details(request: Message) -> Mapping[str, str]:
    return {name: text for name, text in _write_context(request).items() if text}


def _write_context(request: Message) -> dict[str, str]:
    holder = getattr(request, "write", request)
    names = ("session", "request_id", "reason")
    return {name: visible(getattr(holder, name))[:500] for name in names if name in holder.DESCRIPTOR.fields_by_name}
