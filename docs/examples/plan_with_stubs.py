"""A whole planning session with nothing but grpc and the generated stubs of the contract.

    beamwright serve --writable --case tg119 --token-file token
    python docs/examples/plan_with_stubs.py 127.0.0.1:PORT token patients/tg119-0

Any language that gRPC knows can do the same: generate stubs from the .proto files and follow these steps. The script
copies a plan that has objectives; where the patient has none, it first makes one.
"""

# ruff: noqa: T201 (a script talks to its terminal)
from __future__ import annotations

import sys
import uuid
from pathlib import Path

import grpc

from bridge.tps.v1.common_pb2 import WriteContext
from bridge.tps.v1.dose_service_pb2 import CalculateDoseRequest, GetDvhRequest
from bridge.tps.v1.dose_service_pb2_grpc import DoseServiceStub
from bridge.tps.v1.objective_pb2 import (
    BOUND_LOWER,
    OBJECTIVE_ROLE_OBJECTIVE,
    DoseVolumePoint,
    MaxDose,
    ObjectiveFunction,
    ObjectiveSpec,
)
from bridge.tps.v1.objective_service_pb2 import (
    ListObjectivesRequest,
    ReplaceObjectivesRequest,
    SetObjectivePriorityRequest,
)
from bridge.tps.v1.objective_service_pb2_grpc import ObjectiveServiceStub
from bridge.tps.v1.operation_pb2 import OPERATION_STATE_SUCCEEDED, Operation, OperationState
from bridge.tps.v1.operation_service_pb2 import WatchOperationRequest
from bridge.tps.v1.operation_service_pb2_grpc import OperationServiceStub
from bridge.tps.v1.optimization_pb2 import OPTIMIZATION_PROBLEM_QUADRATIC_PENALTY, START_POINT_COLD, OptimizeSpec
from bridge.tps.v1.optimization_service_pb2 import OptimizeRequest
from bridge.tps.v1.optimization_service_pb2_grpc import OptimizationServiceStub
from bridge.tps.v1.plan_pb2 import BeamSpec, Plan, PlanSpec, Prescription, TargetPrescription
from bridge.tps.v1.plan_service_pb2 import CopyPlanRequest, CreatePlanRequest, GetPlanRequest, ListPlansRequest
from bridge.tps.v1.plan_service_pb2_grpc import PlanServiceStub
from bridge.tps.v1.session_pb2 import SESSION_MODE_READ_WRITE, ClientInfo
from bridge.tps.v1.session_service_pb2 import (
    CloseSessionRequest,
    CommitSessionRequest,
    GetPendingChangesRequest,
    OpenSessionRequest,
)
from bridge.tps.v1.session_service_pb2_grpc import SessionServiceStub
from bridge.tps.v1.structure_pb2 import STRUCTURE_ROLE_EXTERNAL, STRUCTURE_ROLE_TARGET, Structure
from bridge.tps.v1.structure_service_pb2 import ListStructuresRequest
from bridge.tps.v1.structure_service_pb2_grpc import StructureServiceStub

TOTAL_GY = 50.0
FRACTIONS = 25
GANTRY_DEG = (0.0, 51.0, 103.0, 154.0, 206.0, 257.0, 309.0)


class Planner:
    """One session on one patient."""

    def __init__(self, channel: grpc.Channel, patient: str) -> None:
        self.patient = patient
        self.sessions = SessionServiceStub(channel)
        self.plans = PlanServiceStub(channel)
        self.structures = StructureServiceStub(channel)
        self.objectives = ObjectiveServiceStub(channel)
        self.optimization = OptimizationServiceStub(channel)
        self.dose = DoseServiceStub(channel)
        self.operations = OperationServiceStub(channel)
        opened = self.sessions.OpenSession(
            OpenSessionRequest(
                request_id=str(uuid.uuid4()),
                patient=patient,
                mode=SESSION_MODE_READ_WRITE,
                client_info=ClientInfo(product="plan_with_stubs", version="1"),
                lease_s=600.0,
            )
        )
        self.session = opened.session.name

    def run(self) -> None:
        """Copy, change, optimise, calculate, read, save."""
        target, external = self.target_and_external()
        source = self.plan_to_copy(target, external)
        copy = self.plans.CopyPlan(
            CopyPlanRequest(write=self.write(), source_plan=source.name, etag=source.etag, label="With stubs")
        ).plan
        print(f"copied {source.name} to {copy.name}")

        first = self.objectives.ListObjectives(ListObjectivesRequest(plan=copy.name, session=self.session)).objectives[
            0
        ]
        changed = self.objectives.SetObjectivePriority(
            SetObjectivePriorityRequest(write=self.write(), name=first.name, etag=copy.etag, priority=200.0)
        )
        print(f"priority of {first.name}: {first.spec.priority:g} -> {changed.objective.spec.priority:g}")

        spec = OptimizeSpec(
            problem=OPTIMIZATION_PROBLEM_QUADRATIC_PENALTY, start=START_POINT_COLD, max_iterations=30, seed=1
        )
        optimized = self.finished(
            self.optimization.Optimize(
                OptimizeRequest(write=self.write(), plan=copy.name, etag=changed.plan_etag, spec=spec)
            ).operation
        )
        self.finished(
            self.dose.CalculateDose(
                CalculateDoseRequest(write=self.write(), plan=copy.name, etag=optimized.optimization.plan_etag)
            ).operation
        )
        dvh = self.dose.GetDvh(
            GetDvhRequest(plan=copy.name, session=self.session, structure=target.name, bin_gy=0.1)
        ).dvh
        print(f"{target.label}: mean {dvh.mean_gy:.1f} Gy, {dvh.min_gy:.1f} to {dvh.max_gy:.1f} Gy")

        pending = self.sessions.GetPendingChanges(GetPendingChangesRequest(session=self.session)).pending
        saved = self.sessions.CommitSession(CommitSessionRequest(write=self.write(), digest=pending.digest))
        self.sessions.CloseSession(CloseSessionRequest(write=self.write()))
        print(f"committed {', '.join(change.resource for change in saved.changes)}")

    def target_and_external(self) -> tuple[Structure, Structure]:
        """The largest target, and the body."""
        found = self.structures.ListStructures(ListStructuresRequest(patient=self.patient)).structures
        targets = [structure for structure in found if structure.role == STRUCTURE_ROLE_TARGET]
        external = next(structure for structure in found if structure.role == STRUCTURE_ROLE_EXTERNAL)
        return max(targets, key=lambda structure: structure.volume_cc), external

    def plan_to_copy(self, target: Structure, external: Structure) -> Plan:
        """A plan with objectives: one that is there, or a new one."""
        for plan in self.plans.ListPlans(ListPlansRequest(patient=self.patient)).plans:
            if self.objectives.ListObjectives(ListObjectivesRequest(plan=plan.name)).objectives:
                return plan
        beams = [BeamSpec(gantry_deg=gantry, isocentre_structure=target.name) for gantry in GANTRY_DEG]
        prescription = Prescription(
            fraction_count=FRACTIONS, targets=[TargetPrescription(structure=target.name, total_gy=TOTAL_GY)]
        )
        made = self.plans.CreatePlan(
            CreatePlanRequest(
                write=self.write(),
                patient=self.patient,
                spec=PlanSpec(label="Seven fields", prescription=prescription, beams=beams),
            )
        ).plan
        covered = DoseVolumePoint(bound=BOUND_LOWER, dose_gy=TOTAL_GY, volume_percent=98.0)
        capped = MaxDose(dose_gy=1.07 * TOTAL_GY)
        self.objectives.ReplaceObjectives(
            ReplaceObjectivesRequest(
                write=self.write(),
                plan=made.name,
                etag=made.etag,
                specs=[
                    self.objective(target, ObjectiveFunction(dose_volume_point=covered)),
                    self.objective(external, ObjectiveFunction(max_dose=capped)),
                ],
            )
        )
        return self.plans.GetPlan(GetPlanRequest(name=made.name, session=self.session)).plan

    def objective(self, structure: Structure, function: ObjectiveFunction) -> ObjectiveSpec:
        return ObjectiveSpec(structure=structure.name, function=function, priority=100.0, role=OBJECTIVE_ROLE_OBJECTIVE)

    def finished(self, operation: Operation) -> Operation:
        """Follow the operation to its end, saying how far it is."""
        for message in self.operations.WatchOperation(WatchOperationRequest(name=operation.name)):
            operation = message.operation
            progress = operation.progress
            percent = f" {progress.percent:.0f} %" if progress.HasField("percent") else ""
            iteration = f" iteration {progress.iteration}" if progress.HasField("iteration") else ""
            print(f"  {OperationState.Name(operation.state)} {progress.stage}{percent}{iteration}")
        if operation.state != OPERATION_STATE_SUCCEEDED:
            raise SystemExit(f"{operation.name} ended with {operation.error.reason}: {operation.error.message}")
        return operation

    def write(self) -> WriteContext:
        """Every write says for whom it is, under an id of its own."""
        return WriteContext(session=self.session, request_id=str(uuid.uuid4()), reason="example")


class Token(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends the token with every call."""

    def __init__(self, token: str) -> None:
        self.header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation, details, request):  # type: ignore[no-untyped-def]
        return continuation(details._replace(metadata=[self.header]), request)

    intercept_unary_stream = intercept_unary_unary


def main() -> None:
    endpoint, token_file, patient = sys.argv[1:]
    token = Path(token_file).read_text(encoding="utf-8").strip()
    with grpc.insecure_channel(endpoint) as channel:
        Planner(grpc.intercept_channel(channel, Token(token)), patient).run()


if __name__ == "__main__":
    main()
