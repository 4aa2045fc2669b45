"""PlanService: patients, plans, beams, machines, snapshots."""

# ruff: noqa: N802, ARG002 - names and signatures of RPCs are the schema's
from __future__ import annotations

from typing import Any

from bridge import convert, model
from bridge.server.desk import Desk, plan_of, require_etag, require_patient
from bridge.server.paging import page
from bridge.server.sessions import LiveSession
from bridge.tps.v1 import plan_pb2, plan_service_pb2_grpc
from bridge.tps.v1.plan_service_pb2 import (
    CopyPlanRequest,
    CopyPlanResponse,
    CreatePlanRequest,
    CreatePlanResponse,
    CreateSnapshotRequest,
    CreateSnapshotResponse,
    DeletePlanRequest,
    DeletePlanResponse,
    GetPlanRequest,
    GetPlanResponse,
    ListBeamsRequest,
    ListBeamsResponse,
    ListMachinesRequest,
    ListMachinesResponse,
    ListPatientsRequest,
    ListPatientsResponse,
    ListPlansRequest,
    ListPlansResponse,
    ListSnapshotsRequest,
    ListSnapshotsResponse,
    RestoreSnapshotRequest,
    RestoreSnapshotResponse,
    SetNormalizationRequest,
    SetNormalizationResponse,
)


class PlanServicer(plan_service_pb2_grpc.PlanServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tps = desk.backend

    # reading ----------------------------------------------------------------------------------------------------
    async def ListPatients(self, request: ListPatientsRequest, context: Any) -> ListPatientsResponse:
        patients = await self._desk.read(self._tps.patients)
        items, next_token = page(patients, request.page_size, request.page_token)
        return ListPatientsResponse(
            patients=[convert.patient_to_wire(patient) for patient in items], next_page_token=next_token
        )

    async def ListPlans(self, request: ListPlansRequest, context: Any) -> ListPlansResponse:
        plans = await self._desk.read(
            lambda: self._desk.plans(request.patient, request.session), viewer=request.session
        )
        items, next_token = page(plans, request.page_size, request.page_token)
        return ListPlansResponse(plans=[convert.plan_to_wire(plan) for plan in items], next_page_token=next_token)

    async def GetPlan(self, request: GetPlanRequest, context: Any) -> GetPlanResponse:
        plan = await self._desk.read(lambda: self._tps.plan(request.name), viewer=request.session, of=(request.name,))
        return GetPlanResponse(plan=self._to_wire(plan, request.session))

    async def ListBeams(self, request: ListBeamsRequest, context: Any) -> ListBeamsResponse:
        beams = await self._desk.read(lambda: self._tps.beams(request.plan), viewer=request.session, of=(request.plan,))
        return ListBeamsResponse(beams=[convert.beam_to_wire(beam) for beam in beams])

    async def ListSnapshots(self, request: ListSnapshotsRequest, context: Any) -> ListSnapshotsResponse:
        snapshots = await self._desk.read(
            lambda: self._tps.snapshots(request.plan), viewer=request.session, of=(request.plan,)
        )
        return ListSnapshotsResponse(snapshots=[convert.snapshot_to_wire(snapshot) for snapshot in snapshots])

    async def ListMachines(self, request: ListMachinesRequest, context: Any) -> ListMachinesResponse:
        machines = await self._desk.read(self._tps.machines)
        return ListMachinesResponse(machines=[convert.machine_to_wire(machine) for machine in machines])

    # making and deleting plans ----------------------------------------------------------------------------------
    async def CreatePlan(self, request: CreatePlanRequest, context: Any) -> CreatePlanResponse:
        spec = convert.plan_spec_from_wire(request.spec, "spec")
        self._desk.envelope.plan(spec)

        def check(session: LiveSession) -> model.Provenance:
            require_patient(session, request.patient)
            return session.provenance(None, self._desk.now())

        def make(session: LiveSession, provenance: model.Provenance) -> CreatePlanResponse:
            plan = self._tps.create_plan(request.patient, spec, provenance)
            session.note_made(plan.name, model.ChangeKind.PLAN_CREATED)
            return CreatePlanResponse(plan=self._to_wire(plan, session.name))

        return await self._desk.make(request, CreatePlanResponse, check, make)

    async def CopyPlan(self, request: CopyPlanRequest, context: Any) -> CopyPlanResponse:
        self._desk.envelope.plan_label(request.label)

        def check(session: LiveSession) -> model.Plan:
            source = self._desk.visible_plan(request.source_plan, session.name)
            require_patient(session, source.patient)
            if request.HasField("etag"):
                require_etag(source, request.etag)
            return source

        def make(session: LiveSession, source: model.Plan) -> CopyPlanResponse:
            provenance = session.provenance(source, self._desk.now())
            plan = self._tps.copy_plan(source.name, request.label, provenance)
            session.note_made(plan.name, model.ChangeKind.PLAN_COPIED)
            return CopyPlanResponse(plan=self._to_wire(plan, session.name))

        return await self._desk.make(request, CopyPlanResponse, check, make)

    async def DeletePlan(self, request: DeletePlanRequest, context: Any) -> DeletePlanResponse:
        def change(session: LiveSession, plan: model.Plan) -> DeletePlanResponse:
            self._tps.delete_plan(plan.name)
            session.note_deleted(plan.name, model.ChangeKind.PLAN_DELETED)
            return DeletePlanResponse()

        return await self._desk.change_plan(request, request.name, DeletePlanResponse, change)

    # changing plans ---------------------------------------------------------------------------------------------
    async def SetNormalization(self, request: SetNormalizationRequest, context: Any) -> SetNormalizationResponse:
        normalization = convert.normalization_from_wire(request.normalization, "normalization")
        self._desk.envelope.normalization(normalization)

        def change(session: LiveSession, plan: model.Plan) -> SetNormalizationResponse:
            changed = self._tps.set_normalization(plan.name, normalization)
            return SetNormalizationResponse(plan=self._to_wire(changed, session.name))

        return await self._desk.change_plan(request, request.plan, SetNormalizationResponse, change)

    async def CreateSnapshot(self, request: CreateSnapshotRequest, context: Any) -> CreateSnapshotResponse:
        def change(_session: LiveSession, plan: model.Plan) -> CreateSnapshotResponse:
            snapshot = self._tps.create_snapshot(plan.name, request.label)
            return CreateSnapshotResponse(snapshot=convert.snapshot_to_wire(snapshot))

        return await self._desk.change_plan(request, request.plan, CreateSnapshotResponse, change)

    async def RestoreSnapshot(self, request: RestoreSnapshotRequest, context: Any) -> RestoreSnapshotResponse:
        def change(session: LiveSession, _plan: model.Plan) -> RestoreSnapshotResponse:
            restored = self._tps.restore_snapshot(request.name)
            return RestoreSnapshotResponse(plan=self._to_wire(restored, session.name))

        return await self._desk.change_plan(request, plan_of(request.name), RestoreSnapshotResponse, change)

    def _to_wire(self, plan: model.Plan, viewer: str) -> plan_pb2.Plan:
        return convert.plan_to_wire(self._desk.as_seen(plan, viewer))
