"""ObjectiveService: what a plan strives for."""

# ruff: noqa: N802, ARG002 - names and signatures of RPCs are the schema's
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bridge import convert, model
from bridge.errors import FieldViolation, InvalidField, NotFound
from bridge.server.contradictions import require_consistent
from bridge.server.desk import Desk, plan_of
from bridge.server.sessions import LiveSession
from bridge.tps.v1 import objective_pb2, objective_service_pb2_grpc
from bridge.tps.v1.objective_service_pb2 import (
    CreateObjectiveRequest,
    CreateObjectiveResponse,
    DeleteObjectiveRequest,
    DeleteObjectiveResponse,
    ListObjectivesRequest,
    ListObjectivesResponse,
    ReplaceObjectivesRequest,
    ReplaceObjectivesResponse,
    SetObjectivePriorityRequest,
    SetObjectivePriorityResponse,
    UpdateObjectiveRequest,
    UpdateObjectiveResponse,
)

PATHS = frozenset({"structure", "function", "priority", "role", "relation"})
"""What a mask of UpdateObjective may name."""


class ObjectiveServicer(objective_service_pb2_grpc.ObjectiveServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tps = desk.backend

    async def ListObjectives(self, request: ListObjectivesRequest, context: Any) -> ListObjectivesResponse:
        objectives, etag = await self._desk.read(
            lambda: (self._tps.objectives(request.plan), self._etag(request.plan)),
            viewer=request.session,
            of=(request.plan,),
        )
        return ListObjectivesResponse(objectives=_to_wire(objectives), plan_etag=etag)

    async def SetObjectivePriority(
        self, request: SetObjectivePriorityRequest, context: Any
    ) -> SetObjectivePriorityResponse:
        self._desk.envelope.priority(request.priority, "priority")

        def change(_session: LiveSession, plan: model.Plan) -> SetObjectivePriorityResponse:
            spec = replace(self._spec(plan.name, request.name), priority=request.priority)
            require_consistent((spec, "objective"))
            stored = self._tps.update_objective(request.name, spec)
            return SetObjectivePriorityResponse(objective=_one(stored), plan_etag=self._etag(plan.name))

        return await self._desk.change_plan(request, plan_of(request.name), SetObjectivePriorityResponse, change)

    async def UpdateObjective(self, request: UpdateObjectiveRequest, context: Any) -> UpdateObjectiveResponse:
        wanted = convert.objective_spec_from_wire(request.spec, "spec")
        paths = _paths(request)

        def change(_session: LiveSession, plan: model.Plan) -> UpdateObjectiveResponse:
            current = self._spec(plan.name, request.name)
            spec = replace(current, **{path: getattr(wanted, path) for path in paths})
            require_consistent((spec, "spec"))
            self._desk.envelope.objective(spec)
            stored = self._tps.update_objective(request.name, spec)
            return UpdateObjectiveResponse(objective=_one(stored), plan_etag=self._etag(plan.name))

        return await self._desk.change_plan(request, plan_of(request.name), UpdateObjectiveResponse, change)

    async def CreateObjective(self, request: CreateObjectiveRequest, context: Any) -> CreateObjectiveResponse:
        spec = convert.objective_spec_from_wire(request.spec, "spec")
        require_consistent((spec, "spec"))
        self._desk.envelope.objective(spec)

        def change(_session: LiveSession, plan: model.Plan) -> CreateObjectiveResponse:
            self._desk.envelope.objective_count(len(self._tps.objectives(plan.name)) + 1)
            stored = self._tps.create_objective(plan.name, spec)
            return CreateObjectiveResponse(objective=_one(stored), plan_etag=self._etag(plan.name))

        return await self._desk.change_plan(request, request.plan, CreateObjectiveResponse, change)

    async def DeleteObjective(self, request: DeleteObjectiveRequest, context: Any) -> DeleteObjectiveResponse:
        def change(_session: LiveSession, plan: model.Plan) -> DeleteObjectiveResponse:
            self._tps.delete_objective(request.name)
            return DeleteObjectiveResponse(plan_etag=self._etag(plan.name))

        return await self._desk.change_plan(request, plan_of(request.name), DeleteObjectiveResponse, change)

    async def ReplaceObjectives(self, request: ReplaceObjectivesRequest, context: Any) -> ReplaceObjectivesResponse:
        paths = [f"specs[{index}]" for index in range(len(request.specs))]
        specs = [convert.objective_spec_from_wire(spec, path) for spec, path in zip(request.specs, paths, strict=True)]
        require_consistent(*zip(specs, paths, strict=True))
        self._desk.envelope.objectives(specs)

        def change(_session: LiveSession, plan: model.Plan) -> ReplaceObjectivesResponse:
            stored = self._tps.replace_objectives(plan.name, specs)
            return ReplaceObjectivesResponse(objectives=_to_wire(stored), plan_etag=self._etag(plan.name))

        return await self._desk.change_plan(request, request.plan, ReplaceObjectivesResponse, change)

    def _spec(self, plan: str, name: str) -> model.ObjectiveSpec:
        for objective in self._tps.objectives(plan):
            if objective.name == name:
                return objective.spec
        raise NotFound(f"plan {plan!r} has no objective {name!r}; ListObjectives shows those it has.")

    def _etag(self, plan: str) -> str:
        return self._tps.plan(plan).etag


def _paths(request: UpdateObjectiveRequest) -> frozenset[str]:
    paths = frozenset(request.update_mask.paths) or PATHS
    if not paths <= PATHS:
        rule = f"may name {', '.join(sorted(PATHS))}"
        raise InvalidField(f"update_mask {rule}.", violations=(FieldViolation("update_mask", rule),))
    return paths


def _one(objective: model.Objective) -> objective_pb2.Objective:
    return convert.objective_to_wire(objective)


def _to_wire(objectives: Sequence[model.Objective]) -> list[objective_pb2.Objective]:
    return [_one(objective) for objective in objectives]
