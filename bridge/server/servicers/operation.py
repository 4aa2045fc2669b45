"""OperationService: following and stopping long work; never waits for the TPS."""

# ruff: noqa: N802, ARG002 - names and signatures of RPCs are the schema's
from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from bridge import convert, model
from bridge.server.desk import Desk
from bridge.server.paging import page
from bridge.tps.v1 import operation_service_pb2_grpc
from bridge.tps.v1.operation_pb2 import Operation
from bridge.tps.v1.operation_service_pb2 import (
    CancelOperationRequest,
    CancelOperationResponse,
    GetOperationRequest,
    GetOperationResponse,
    ListOperationsRequest,
    ListOperationsResponse,
    WaitOperationRequest,
    WaitOperationResponse,
    WatchOperationRequest,
    WatchOperationResponse,
)


class OperationServicer(operation_service_pb2_grpc.OperationServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._operations = desk.operations

    async def GetOperation(self, request: GetOperationRequest, context: Any) -> GetOperationResponse:
        return GetOperationResponse(operation=_to_wire(self._operations.get(request.name)))

    async def ListOperations(self, request: ListOperationsRequest, context: Any) -> ListOperationsResponse:
        operations = self._operations.list(plan=request.plan or None, session=request.session or None)
        items, next_token = page(operations[::-1], request.page_size, request.page_token)
        return ListOperationsResponse(operations=[_to_wire(item) for item in items], next_page_token=next_token)

    async def WaitOperation(self, request: WaitOperationRequest, context: Any) -> WaitOperationResponse:
        operation = await self._operations.wait(request.name, request.timeout_s)
        return WaitOperationResponse(operation=_to_wire(operation))

    async def WatchOperation(
        self, request: WatchOperationRequest, context: Any
    ) -> AsyncIterator[WatchOperationResponse]:
        async for operation in self._operations.watch(request.name, request.after_sequence):
            yield WatchOperationResponse(operation=_to_wire(operation))

    async def CancelOperation(self, request: CancelOperationRequest, context: Any) -> CancelOperationResponse:
        outcome = self._operations.cancel(request.name)
        return CancelOperationResponse(
            outcome=convert.cancel_outcome_to_wire(outcome), operation=_to_wire(self._operations.get(request.name))
        )


def _to_wire(operation: model.Operation) -> Operation:
    return convert.operation_to_wire(operation)
