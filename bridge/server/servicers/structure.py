"""StructureService: structures, helpers, masks."""

# ruff: noqa: N802, ARG002 - names and signatures of RPCs are the schema's
from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from bridge import convert, model
from bridge.errors import FieldViolation, InvalidField
from bridge.server.contradictions import require_consistent
from bridge.server.desk import Desk, require_patient
from bridge.server.sessions import LiveSession
from bridge.server.streams import parts_of
from bridge.tps.v1 import structure_service_pb2_grpc, volume_pb2
from bridge.tps.v1.structure_service_pb2 import (
    CreateDerivedStructureRequest,
    CreateDerivedStructureResponse,
    DeleteStructureRequest,
    DeleteStructureResponse,
    ListStructuresRequest,
    ListStructuresResponse,
    StreamStructureMaskRequest,
    StreamStructureMaskResponse,
)


class StructureServicer(structure_service_pb2_grpc.StructureServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tps = desk.backend

    async def ListStructures(self, request: ListStructuresRequest, context: Any) -> ListStructuresResponse:
        structures = await self._desk.read(
            lambda: self._desk.structures(request.patient, request.session), viewer=request.session
        )
        return ListStructuresResponse(structures=[convert.structure_to_wire(structure) for structure in structures])

    async def CreateDerivedStructure(
        self, request: CreateDerivedStructureRequest, context: Any
    ) -> CreateDerivedStructureResponse:
        derivation = convert.derivation_from_wire(request.derivation, "derivation")
        require_consistent((derivation, "derivation"))
        self._desk.envelope.structure_label(request.label)

        def check(session: LiveSession) -> None:
            require_patient(session, request.patient)
            if request.label in {structure.label for structure in self._tps.structures(request.patient)}:
                rule = "is the label of another structure already"
                raise InvalidField(f"label {rule}.", violations=(FieldViolation("label", rule),))

        def make(session: LiveSession, _: None) -> CreateDerivedStructureResponse:
            structure = self._tps.create_structure(request.patient, request.label, derivation)
            session.note_made(structure.name, model.ChangeKind.STRUCTURE_CREATED)
            return CreateDerivedStructureResponse(structure=convert.structure_to_wire(structure))

        return await self._desk.make(request, CreateDerivedStructureResponse, check, make)

    async def DeleteStructure(self, request: DeleteStructureRequest, context: Any) -> DeleteStructureResponse:
        def check(session: LiveSession) -> None:
            session.require_own(request.name)

        def make(session: LiveSession, _: None) -> DeleteStructureResponse:
            self._tps.delete_structure(request.name)
            session.note_deleted(request.name, model.ChangeKind.STRUCTURE_DELETED)
            return DeleteStructureResponse()

        return await self._desk.make(request, DeleteStructureResponse, check, make)

    async def StreamStructureMask(
        self, request: StreamStructureMaskRequest, context: Any
    ) -> AsyncIterator[StreamStructureMaskResponse]:
        mask = await self._desk.read(
            lambda: self._tps.mask(request.structure), viewer=request.session, of=(request.structure,)
        )
        async for part in parts_of(mask, volume_pb2.VOXEL_UNIT_OCCUPANCY, request.volume, StreamStructureMaskResponse):
            yield part
