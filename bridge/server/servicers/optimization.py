"""OptimizationService: letting the TPS optimise."""

# ruff: noqa: N802, ARG002 - names and signatures of RPCs are the schema's
from __future__ import annotations

from typing import Any

from bridge import convert, model
from bridge.server.desk import Desk
from bridge.tps.v1 import optimization_service_pb2_grpc
from bridge.tps.v1.optimization_service_pb2 import (
    EvaluateObjectivesRequest,
    EvaluateObjectivesResponse,
    OptimizeRequest,
    OptimizeResponse,
)


class OptimizationServicer(optimization_service_pb2_grpc.OptimizationServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tps = desk.backend

    async def Optimize(self, request: OptimizeRequest, context: Any) -> OptimizeResponse:
        spec = convert.optimize_spec_from_wire(request.spec, "spec")
        self._desk.envelope.optimization(spec)
        return await self._desk.start(
            request,
            OptimizeResponse,
            model.OperationKind.OPTIMIZE,
            work=lambda monitor: self._tps.optimize(request.plan, spec, monitor),
            check=lambda: self._desk.require_objectives(request.plan),
            answer=lambda operation: OptimizeResponse(operation=convert.operation_to_wire(operation)),
        )

    async def EvaluateObjectives(self, request: EvaluateObjectivesRequest, context: Any) -> EvaluateObjectivesResponse:
        def evaluate() -> model.OptimizationResult:
            self._desk.require_objectives(request.plan)
            return self._tps.evaluate_objectives(request.plan)

        result = await self._desk.read(evaluate, viewer=request.session, of=(request.plan,))
        return EvaluateObjectivesResponse(result=convert.optimization_result_to_wire(result))
