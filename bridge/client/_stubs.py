"""The generated stubs of all services on one channel, with their asynchronous types."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from grpc.aio import Channel

from bridge.tps.v1 import (
    dose_service_pb2_grpc,
    objective_service_pb2_grpc,
    operation_service_pb2_grpc,
    optimization_service_pb2_grpc,
    plan_service_pb2_grpc,
    server_service_pb2_grpc,
    session_service_pb2_grpc,
    structure_service_pb2_grpc,
)

if TYPE_CHECKING:
    # These names exist for type checkers only: at run time one stub class serves both kinds of channel.
    from bridge.tps.v1.dose_service_pb2_grpc import DoseServiceAsyncStub
    from bridge.tps.v1.objective_service_pb2_grpc import ObjectiveServiceAsyncStub
    from bridge.tps.v1.operation_service_pb2_grpc import OperationServiceAsyncStub
    from bridge.tps.v1.optimization_service_pb2_grpc import OptimizationServiceAsyncStub
    from bridge.tps.v1.plan_service_pb2_grpc import PlanServiceAsyncStub
    from bridge.tps.v1.server_service_pb2_grpc import ServerServiceAsyncStub
    from bridge.tps.v1.session_service_pb2_grpc import SessionServiceAsyncStub
    from bridge.tps.v1.structure_service_pb2_grpc import StructureServiceAsyncStub


class Stubs:
    """One stub per service."""

    def __init__(self, channel: Channel) -> None:
        self.server = cast("ServerServiceAsyncStub", server_service_pb2_grpc.ServerServiceStub(channel))
        self.session = cast("SessionServiceAsyncStub", session_service_pb2_grpc.SessionServiceStub(channel))
        self.plan = cast("PlanServiceAsyncStub", plan_service_pb2_grpc.PlanServiceStub(channel))
        self.structure = cast("StructureServiceAsyncStub", structure_service_pb2_grpc.StructureServiceStub(channel))
        self.objective = cast("ObjectiveServiceAsyncStub", objective_service_pb2_grpc.ObjectiveServiceStub(channel))
        self.optimization = cast(
            "OptimizationServiceAsyncStub", optimization_service_pb2_grpc.OptimizationServiceStub(channel)
        )
        self.dose = cast("DoseServiceAsyncStub", dose_service_pb2_grpc.DoseServiceStub(channel))
        self.operation = cast("OperationServiceAsyncStub", operation_service_pb2_grpc.OperationServiceStub(channel))
