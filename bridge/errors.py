"""What can go wrong, as exceptions that know their place on the wire.

    BridgeError                 reason                    gRPC status
    ├── InvalidField            FIELD_INVALID             INVALID_ARGUMENT
    ├── LimitExceeded           LIMIT_EXCEEDED            OUT_OF_RANGE
    ├── NotFound                RESOURCE_NOT_FOUND        NOT_FOUND
    ├── RequestIdReused         REQUEST_ID_REUSED         ALREADY_EXISTS
    ├── EtagMismatch            ETAG_MISMATCH             ABORTED
    ├── OperationInProgress     OPERATION_IN_PROGRESS     ABORTED
    ├── SessionConflict         SESSION_CONFLICT          FAILED_PRECONDITION
    ├── SessionExpired          SESSION_EXPIRED           FAILED_PRECONDITION
    ├── ReadOnly                READ_ONLY                 FAILED_PRECONDITION
    ├── PlanNotEditable         PLAN_NOT_EDITABLE         FAILED_PRECONDITION
    ├── NotWorkingCopy          NOT_WORKING_COPY          FAILED_PRECONDITION
    ├── NoDose                  NO_DOSE                   FAILED_PRECONDITION
    ├── DoseStale               DOSE_STALE                FAILED_PRECONDITION
    ├── NoObjectives            NO_OBJECTIVES             FAILED_PRECONDITION
    ├── NotDeliverable          NOT_DELIVERABLE           FAILED_PRECONDITION
    ├── ConfirmationRequired    CONFIRMATION_REQUIRED     FAILED_PRECONDITION
    ├── CapabilityMissing       CAPABILITY_MISSING        UNIMPLEMENTED
    ├── TokenInvalid            TOKEN_INVALID             UNAUTHENTICATED
    ├── NotAllowed              NOT_ALLOWED               PERMISSION_DENIED
    ├── QuotaExceeded           QUOTA_EXCEEDED            RESOURCE_EXHAUSTED
    ├── TpsBusy                 TPS_BUSY                  UNAVAILABLE
    ├── TpsUnavailable          TPS_UNAVAILABLE           UNAVAILABLE
    ├── TpsRefused              TPS_ERROR                 FAILED_PRECONDITION
    ├── OperationCancelled      OPERATION_CANCELLED       CANCELLED
    ├── DeadlineExceeded        DEADLINE_EXCEEDED         DEADLINE_EXCEEDED
    ├── DataDamaged             INTEGRITY                 DATA_LOSS
    └── ServerFault             INTERNAL                  INTERNAL

Backends raise them, the server turns them into ``google.rpc`` status details, and the client raises them again. A
message says what happened, to which object, what was expected and what to do next; it never holds patient data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that cannot be used."""

    field: str
    description: str


class BridgeError(Exception):
    """Base of everything the contract can answer; carries what travels in the status details."""

    reason = "INTERNAL"
    status = "INTERNAL"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = violations
        self.retry_after_s = retry_after_s


class InvalidField(BridgeError):
    reason, status = "FIELD_INVALID", "INVALID_ARGUMENT"


class LimitExceeded(BridgeError):
    reason, status = "LIMIT_EXCEEDED", "OUT_OF_RANGE"


class NotFound(BridgeError):
    reason, status = "RESOURCE_NOT_FOUND", "NOT_FOUND"


class RequestIdReused(BridgeError):
    reason, status = "REQUEST_ID_REUSED", "ALREADY_EXISTS"


class EtagMismatch(BridgeError):
    reason, status = "ETAG_MISMATCH", "ABORTED"


class OperationInProgress(BridgeError):
    reason, status = "OPERATION_IN_PROGRESS", "ABORTED"


class SessionConflict(BridgeError):
    reason, status = "SESSION_CONFLICT", "FAILED_PRECONDITION"


class SessionExpired(BridgeError):
    reason, status = "SESSION_EXPIRED", "FAILED_PRECONDITION"


class ReadOnly(BridgeError):
    reason, status = "READ_ONLY", "FAILED_PRECONDITION"


class PlanNotEditable(BridgeError):
    reason, status = "PLAN_NOT_EDITABLE", "FAILED_PRECONDITION"


class NotWorkingCopy(BridgeError):
    reason, status = "NOT_WORKING_COPY", "FAILED_PRECONDITION"


class NoDose(BridgeError):
    reason, status = "NO_DOSE", "FAILED_PRECONDITION"


class DoseStale(BridgeError):
    reason, status = "DOSE_STALE", "FAILED_PRECONDITION"


class NoObjectives(BridgeError):
    reason, status = "NO_OBJECTIVES", "FAILED_PRECONDITION"


class NotDeliverable(BridgeError):
    reason, status = "NOT_DELIVERABLE", "FAILED_PRECONDITION"


class ConfirmationRequired(BridgeError):
    reason, status = "CONFIRMATION_REQUIRED", "FAILED_PRECONDITION"


class CapabilityMissing(BridgeError):
    reason, status = "CAPABILITY_MISSING", "UNIMPLEMENTED"


class TokenInvalid(BridgeError):
    reason, status = "TOKEN_INVALID", "UNAUTHENTICATED"


class NotAllowed(BridgeError):
    reason, status = "NOT_ALLOWED", "PERMISSION_DENIED"


class QuotaExceeded(BridgeError):
    reason, status, retryable = "QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED", True


class TpsBusy(BridgeError):
    reason, status, retryable = "TPS_BUSY", "UNAVAILABLE", True


class TpsUnavailable(BridgeError):
    reason, status, retryable = "TPS_UNAVAILABLE", "UNAVAILABLE", True


class TpsRefused(BridgeError):
    reason, status = "TPS_ERROR", "FAILED_PRECONDITION"


class OperationCancelled(BridgeError):
    reason, status = "OPERATION_CANCELLED", "CANCELLED"


class DeadlineExceeded(BridgeError):
    reason, status = "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"


class DataDamaged(BridgeError):
    reason, status = "INTEGRITY", "DATA_LOSS"


class ServerFault(BridgeError):
    reason, status = "INTERNAL", "INTERNAL"


def _tree(root: type[BridgeError]) -> Iterator[type[BridgeError]]:
    for child in root.__subclasses__():
        yield child
        yield from _tree(child)


BY_REASON: Mapping[str, type[BridgeError]] = {error.reason: error for error in _tree(BridgeError)}
"""Reason on the wire -> exception class, for the client."""
