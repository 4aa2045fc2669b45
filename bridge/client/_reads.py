"""What can be asked of a server, on a client and on a session alike.

The one idea: a session asks the same questions under its own name, and therefore also sees what it has not committed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar

from bridge import convert, model
from bridge.client._stubs import Stubs
from bridge.client._volumes import read_volume
from bridge.client._wire import Call, Wire
from bridge.tps.v1.dose_service_pb2 import (
    EvaluateMetricsRequest,
    GetDoseRequest,
    GetDvhRequest,
    StreamDoseRequest,
    StreamImageRequest,
)
from bridge.tps.v1.objective_service_pb2 import ListObjectivesRequest
from bridge.tps.v1.operation_service_pb2 import (
    CancelOperationRequest,
    GetOperationRequest,
    ListOperationsRequest,
    WatchOperationRequest,
)
from bridge.tps.v1.plan_service_pb2 import (
    GetPlanRequest,
    ListBeamsRequest,
    ListMachinesRequest,
    ListPatientsRequest,
    ListPlansRequest,
)
from bridge.tps.v1.server_service_pb2 import GetServerInfoRequest
from bridge.tps.v1.structure_service_pb2 import ListStructuresRequest, StreamStructureMaskRequest

WATCH_DEADLINE_S = 60.0
"""For each opening of a watch; it is opened again until the operation has ended."""


class PageRequest(Protocol):
    page_token: str


class Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


PageRequestT = TypeVar("PageRequestT", bound=PageRequest)
PageT = TypeVar("PageT", bound=Page)


class AsyncReads:
    """Questions; nothing here changes anything, but for `cancel`."""

    def __init__(self, wire: Wire, session_name: str | None) -> None:
        self._wire = wire
        self._call = wire.call
        self._stubs = Stubs(wire.channel)
        self._session_name = session_name

    # the server ---------------------------------------------------------------------------------------------------

    async def server_info(self) -> model.ServerInfo:
        """Who the server is, what it can do, and its limits."""
        answer = await self._call(self._stubs.server.GetServerInfo, GetServerInfoRequest())
        return convert.server_info_from_wire(answer.info)

    async def machines(self) -> tuple[model.Machine, ...]:
        """The machines that plans can be made for."""
        answer = await self._call(self._stubs.plan.ListMachines, ListMachinesRequest())
        return tuple(map(convert.machine_from_wire, answer.machines))

    # patients and plans -------------------------------------------------------------------------------------------

    async def patients(self) -> tuple[model.Patient, ...]:
        """The patients that the token may see."""
        pages = self._pages(self._stubs.plan.ListPatients, ListPatientsRequest())
        return tuple([convert.patient_from_wire(p) async for page in pages for p in page.patients])

    async def plans(self, patient: str) -> tuple[model.Plan, ...]:
        """The plans of a patient."""
        request = ListPlansRequest(patient=patient, session=self._session_name)
        pages = self._pages(self._stubs.plan.ListPlans, request)
        return tuple([self._saw(convert.plan_from_wire(p)) async for page in pages for p in page.plans])

    async def plan(self, plan: str) -> model.Plan:
        """One plan as it stands."""
        request = GetPlanRequest(name=plan, session=self._session_name)
        answer = await self._call(self._stubs.plan.GetPlan, request)
        return self._saw(convert.plan_from_wire(answer.plan))

    async def beams(self, plan: str) -> tuple[model.Beam, ...]:
        """The treatment beams of a plan."""
        request = ListBeamsRequest(plan=plan, session=self._session_name)
        answer = await self._call(self._stubs.plan.ListBeams, request)
        return tuple(map(convert.beam_from_wire, answer.beams))

    async def structures(self, patient: str) -> tuple[model.Structure, ...]:
        """The structures of a patient."""
        request = ListStructuresRequest(patient=patient, session=self._session_name)
        answer = await self._call(self._stubs.structure.ListStructures, request)
        return tuple(map(convert.structure_from_wire, answer.structures))

    async def objectives(self, plan: str) -> tuple[model.Objective, ...]:
        """The objectives of a plan, in the TPS's order."""
        request = ListObjectivesRequest(plan=plan, session=self._session_name)
        answer = await self._call(self._stubs.objective.ListObjectives, request)
        self._saw_etag(plan, answer.plan_etag)
        return tuple(map(convert.objective_from_wire, answer.objectives))

    # the dose -----------------------------------------------------------------------------------------------------

    async def dose_info(self, plan: str) -> model.DoseInfo:
        """What the dose of a plan is; kind NONE when there is none."""
        request = GetDoseRequest(plan=plan, session=self._session_name)
        answer = await self._call(self._stubs.dose.GetDose, request)
        return convert.dose_info_from_wire(answer.dose)

    async def dvh(self, plan: str, structure: str, bin_gy: float = 0.05) -> model.Dvh:
        """The cumulative DVH of one structure."""
        request = GetDvhRequest(plan=plan, session=self._session_name, structure=structure, bin_gy=bin_gy)
        answer = await self._call(self._stubs.dose.GetDvh, request)
        return convert.dvh_from_wire(answer.dvh)

    async def evaluate(self, plan: str, queries: Sequence[model.MetricQuery]) -> tuple[model.MetricResult, ...]:
        """Answers to questions about the dose, in their order, all on the same dose."""
        wire_queries = map(convert.metric_query_to_wire, queries)
        request = EvaluateMetricsRequest(plan=plan, session=self._session_name, queries=wire_queries)
        answer = await self._call(self._stubs.dose.EvaluateMetrics, request)
        return tuple(map(convert.metric_result_from_wire, answer.results))

    # voxels -------------------------------------------------------------------------------------------------------

    async def image(self, patient: str) -> model.Volume:
        """The planning image, in HU."""
        return await read_volume(
            self._wire,
            self._stubs.dose.StreamImage,
            lambda volume: StreamImageRequest(patient=patient, volume=volume),
        )

    async def dose(self, plan: str) -> model.Volume:
        """The dose of a plan, in Gy."""
        return await read_volume(
            self._wire,
            self._stubs.dose.StreamDose,
            lambda volume: StreamDoseRequest(plan=plan, session=self._session_name, volume=volume),
        )

    async def mask(self, structure: str) -> model.Volume:
        """A structure as the part of each image voxel inside it, 0 to 1."""
        return await read_volume(
            self._wire,
            self._stubs.structure.StreamStructureMask,
            lambda volume: StreamStructureMaskRequest(structure=structure, session=self._session_name, volume=volume),
        )

    # operations ---------------------------------------------------------------------------------------------------

    async def operation(self, operation: str) -> model.Operation:
        """Where an operation stands."""
        request = GetOperationRequest(name=operation)
        answer = await self._call(self._stubs.operation.GetOperation, request)
        state = convert.operation_from_wire(answer.operation)
        self._saw_operation(state)
        return state

    async def operations(self, plan: str | None = None) -> tuple[model.Operation, ...]:
        """Operations, the newest first; of one plan where it is given, of one session on a session."""
        request = ListOperationsRequest(plan=plan, session=self._session_name)
        pages = self._pages(self._stubs.operation.ListOperations, request)
        return tuple([convert.operation_from_wire(o) async for page in pages for o in page.operations])

    async def watch(self, operation: str) -> AsyncGenerator[model.Operation, None]:
        """An operation as it stands, and after each change until it has ended; survives broken connections."""
        last_sequence = 0
        # A watch opened again asks for the last state once more: its coming shows that the server is alive, however
        # long the operation stays silent.
        messages = self._wire.resumed(
            self._stubs.operation.WatchOperation,
            lambda: WatchOperationRequest(name=operation, after_sequence=max(last_sequence - 1, 0)),
            deadline_s=WATCH_DEADLINE_S,
        )
        async with aclosing(messages):
            async for message in messages:
                state = convert.operation_from_wire(message.operation)
                if state.sequence > last_sequence:
                    last_sequence = state.sequence
                    self._saw_operation(state)
                    yield state

    async def cancel(self, operation: str) -> model.CancelOutcome:
        """Ask an operation to stop; asking again is harmless."""
        request = CancelOperationRequest(name=operation)
        answer = await self._call(self._stubs.operation.CancelOperation, request)
        return convert.cancel_outcome_from_wire(answer.outcome)

    # ----------------------------------------------------------------------------------------------------------------

    async def _pages(self, method: Call[PageRequestT, PageT], request: PageRequestT) -> AsyncIterator[PageT]:
        while True:
            page = await self._call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _saw(self, plan: model.Plan) -> model.Plan:
        self._saw_etag(plan.name, plan.etag)
        return plan

    def _saw_etag(self, plan: str, etag: str) -> None:
        """For a session, which sends it with its next write."""

    def _saw_operation(self, operation: model.Operation) -> None:
        """For a session, whose plan may have become another one when the operation has ended."""
