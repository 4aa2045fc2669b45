"""DoseService: reading, computing and streaming doses."""

# ruff: noqa: N802, ARG002 - names and signatures of RPCs are the schema's
from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from bridge import convert, model
from bridge.server.desk import Desk
from bridge.server.streams import parts_of
from bridge.tps.v1 import dose_service_pb2_grpc, volume_pb2
from bridge.tps.v1.dose_service_pb2 import (
    CalculateDoseRequest,
    CalculateDoseResponse,
    EvaluateMetricsRequest,
    EvaluateMetricsResponse,
    GetDoseRequest,
    GetDoseResponse,
    GetDvhRequest,
    GetDvhResponse,
    StreamDoseRequest,
    StreamDoseResponse,
    StreamImageRequest,
    StreamImageResponse,
)


class DoseServicer(dose_service_pb2_grpc.DoseServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tps = desk.backend

    async def GetDose(self, request: GetDoseRequest, context: Any) -> GetDoseResponse:
        plan = await self._desk.read(lambda: self._tps.plan(request.plan), viewer=request.session, of=(request.plan,))
        return GetDoseResponse(dose=convert.dose_info_to_wire(plan.dose))

    async def GetDvh(self, request: GetDvhRequest, context: Any) -> GetDvhResponse:
        dvh = await self._desk.read(
            lambda: self._tps.dvh(request.plan, request.structure, request.bin_gy),
            viewer=request.session,
            of=(request.plan, request.structure),
        )
        return GetDvhResponse(dvh=convert.dvh_to_wire(dvh))

    async def EvaluateMetrics(self, request: EvaluateMetricsRequest, context: Any) -> EvaluateMetricsResponse:
        queries = [
            convert.metric_query_from_wire(query, f"queries[{index}]") for index, query in enumerate(request.queries)
        ]
        structures = {name for query in queries for name in (query.structure, query.body) if name is not None}
        results, plan = await self._desk.read(
            lambda: (self._tps.evaluate(request.plan, queries), self._tps.plan(request.plan)),
            viewer=request.session,
            of=(request.plan, *structures),
        )
        return EvaluateMetricsResponse(
            results=[convert.metric_result_to_wire(result) for result in results],
            dose=convert.dose_info_to_wire(plan.dose),
        )

    async def CalculateDose(self, request: CalculateDoseRequest, context: Any) -> CalculateDoseResponse:
        grid_mm = request.grid_mm if request.HasField("grid_mm") else None
        self._desk.envelope.dose_grid(grid_mm)
        return await self._desk.start(
            request,
            CalculateDoseResponse,
            model.OperationKind.CALCULATE_DOSE,
            work=lambda monitor: self._tps.calculate_dose(request.plan, grid_mm, monitor),
            answer=lambda operation: CalculateDoseResponse(operation=convert.operation_to_wire(operation)),
        )

    async def StreamDose(self, request: StreamDoseRequest, context: Any) -> AsyncIterator[StreamDoseResponse]:
        dose = await self._desk.read(lambda: self._tps.dose(request.plan), viewer=request.session, of=(request.plan,))
        async for part in parts_of(dose, volume_pb2.VOXEL_UNIT_GY, request.volume, StreamDoseResponse):
            yield part

    async def StreamImage(self, request: StreamImageRequest, context: Any) -> AsyncIterator[StreamImageResponse]:
        image = await self._desk.read(lambda: self._tps.image(request.patient))
        async for part in parts_of(image, volume_pb2.VOXEL_UNIT_HU, request.volume, StreamImageResponse):
            yield part
