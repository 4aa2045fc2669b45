"""Operations as the journal keeps them: in the contract's own message, which later versions can still read."""

from __future__ import annotations

from bridge import convert, model
from bridge.tps.v1.operation_pb2 import Operation


def operation_to_bytes(operation: model.Operation) -> bytes:
    return convert.operation_to_wire(operation).SerializeToString()


def operation_from_bytes(record: bytes) -> model.Operation:
    return convert.operation_from_wire(Operation.FromString(record))
