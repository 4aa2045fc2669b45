"""One class per service of the contract: convert in, call the desk, convert out.

The one idea: nothing is decided here. What a call may do is decided in `bridge.server.desk`, `sessions`, `operations`
and `limits`; what a request may look like, before it comes here, in `bridge.server.validation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from bridge.server.desk import Desk
from bridge.server.servicers.dose import DoseServicer
from bridge.server.servicers.objective import ObjectiveServicer
from bridge.server.servicers.operation import OperationServicer
from bridge.server.servicers.optimization import OptimizationServicer
from bridge.server.servicers.plan import PlanServicer
from bridge.server.servicers.server import ServerServicer
from bridge.server.servicers.session import SessionServicer
from bridge.server.servicers.structure import StructureServicer
from bridge.tps.v1 import (
    dose_service_pb2,
    dose_service_pb2_grpc,
    objective_service_pb2,
    objective_service_pb2_grpc,
    operation_service_pb2,
    operation_service_pb2_grpc,
    optimization_service_pb2,
    optimization_service_pb2_grpc,
    plan_service_pb2,
    plan_service_pb2_grpc,
    server_service_pb2,
    server_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    structure_service_pb2,
    structure_service_pb2_grpc,
)

__all__ = ["SERVICES", "add_all"]

_MODULES = (
    dose_service_pb2,
    objective_service_pb2,
    operation_service_pb2,
    optimization_service_pb2,
    plan_service_pb2,
    server_service_pb2,
    session_service_pb2,
    structure_service_pb2,
)

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service for module in _MODULES for service in module.DESCRIPTOR.services_by_name.values()
)

_ADD: tuple[tuple[Callable[..., None], Callable[[Desk], Any]], ...] = (
    (server_service_pb2_grpc.add_ServerServiceServicer_to_server, ServerServicer),
    (session_service_pb2_grpc.add_SessionServiceServicer_to_server, SessionServicer),
    (plan_service_pb2_grpc.add_PlanServiceServicer_to_server, PlanServicer),
    (structure_service_pb2_grpc.add_StructureServiceServicer_to_server, StructureServicer),
    (objective_service_pb2_grpc.add_ObjectiveServiceServicer_to_server, ObjectiveServicer),
    (optimization_service_pb2_grpc.add_OptimizationServiceServicer_to_server, OptimizationServicer),
    (dose_service_pb2_grpc.add_DoseServiceServicer_to_server, DoseServicer),
    (operation_service_pb2_grpc.add_OperationServiceServicer_to_server, OperationServicer),
)


def add_all(server: Any, desk: Desk) -> None:
    """Put every service of the contract on a gRPC server."""
    for add, servicer in _ADD:
        add(servicer(desk), server)
