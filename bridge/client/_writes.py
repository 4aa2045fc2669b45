"""Changes to plans, structures and objectives.

The one idea: a write names the state of the plan that its author last saw. The etag of every plan that is seen is
remembered and sent along, so a change that somebody else made in between is refused instead of overwritten; ``etag``
overrides, and a plan that was never seen is read first. Every write has a request id of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from bridge import convert, model
from bridge.client._reads import AsyncReads
from bridge.client._wire import Wire
from bridge.tps.v1.common_pb2 import WriteContext
from bridge.tps.v1.objective_service_pb2 import (
    CreateObjectiveRequest,
    DeleteObjectiveRequest,
    ReplaceObjectivesRequest,
    SetObjectivePriorityRequest,
    UpdateObjectiveRequest,
)
from bridge.tps.v1.plan_service_pb2 import (
    CopyPlanRequest,
    CreatePlanRequest,
    CreateSnapshotRequest,
    DeletePlanRequest,
    ListSnapshotsRequest,
    RestoreSnapshotRequest,
    SetNormalizationRequest,
)
from bridge.tps.v1.structure_service_pb2 import CreateDerivedStructureRequest, DeleteStructureRequest


class AsyncWrites(AsyncReads):
    """Writes of one session; every one takes a ``reason``, in the caller's words, for the audit trail."""

    def __init__(self, wire: Wire, opened: model.Session) -> None:
        super().__init__(wire, opened.name)
        self.name = opened.name
        self.patient = opened.patient
        self._etags: dict[str, str] = {}

    # plans --------------------------------------------------------------------------------------------------------

    async def create_plan(self, spec: model.PlanSpec, *, reason: str = "") -> model.Plan:
        """Make a plan with beams, without objectives or dose."""
        request = CreatePlanRequest(
            write=self._write(reason), patient=self.patient, spec=convert.plan_spec_to_wire(spec)
        )
        answer = await self._call(self._stubs.plan.CreatePlan, request)
        return self._saw(convert.plan_from_wire(answer.plan))

    async def copy_plan(self, plan: str, label: str, *, etag: str | None = None, reason: str = "") -> model.Plan:
        """Copy a plan, with its objectives, into a working copy."""
        request = CopyPlanRequest(
            write=self._write(reason), source_plan=plan, label=label, etag=etag or self._etags.get(plan)
        )
        answer = await self._call(self._stubs.plan.CopyPlan, request)
        return self._saw(convert.plan_from_wire(answer.plan))

    async def delete_plan(self, plan: str, *, etag: str | None = None, reason: str = "") -> None:
        """Delete a working copy, with its snapshots."""
        request = DeletePlanRequest(write=self._write(reason), name=plan, etag=etag or await self._etag(plan))
        await self._call(self._stubs.plan.DeletePlan, request)
        self._etags.pop(plan, None)

    async def set_normalization(
        self, plan: str, normalization: model.Normalization, *, etag: str | None = None, reason: str = ""
    ) -> model.Plan:
        """Scale the dose of a working copy; it stays valid and keeps its kind."""
        request = SetNormalizationRequest(
            write=self._write(reason),
            plan=plan,
            etag=etag or await self._etag(plan),
            normalization=convert.normalization_to_wire(normalization),
        )
        answer = await self._call(self._stubs.plan.SetNormalization, request)
        return self._saw(convert.plan_from_wire(answer.plan))

    async def create_snapshot(
        self, plan: str, label: str, *, etag: str | None = None, reason: str = ""
    ) -> model.Snapshot:
        """Keep a working copy as it stands, to be gone back to."""
        request = CreateSnapshotRequest(
            write=self._write(reason), plan=plan, etag=etag or await self._etag(plan), label=label
        )
        answer = await self._call(self._stubs.plan.CreateSnapshot, request)
        return convert.snapshot_from_wire(answer.snapshot)

    async def snapshots(self, plan: str) -> tuple[model.Snapshot, ...]:
        """The snapshots of a working copy, the oldest first."""
        request = ListSnapshotsRequest(plan=plan, session=self.name)
        answer = await self._call(self._stubs.plan.ListSnapshots, request)
        return tuple(map(convert.snapshot_from_wire, answer.snapshots))

    async def restore_snapshot(self, snapshot: str, *, etag: str | None = None, reason: str = "") -> model.Plan:
        """Take the working copy back to a snapshot; it gets a new etag."""
        request = RestoreSnapshotRequest(
            write=self._write(reason), name=snapshot, etag=etag or await self._etag(_plan_of(snapshot))
        )
        answer = await self._call(self._stubs.plan.RestoreSnapshot, request)
        return self._saw(convert.plan_from_wire(answer.plan))

    # structures ---------------------------------------------------------------------------------------------------

    async def create_structure(self, label: str, derivation: model.Derivation, *, reason: str = "") -> model.Structure:
        """Make a helper structure from others; its label begins with ``z``."""
        request = CreateDerivedStructureRequest(
            write=self._write(reason),
            patient=self.patient,
            label=label,
            derivation=convert.derivation_to_wire(derivation),
        )
        answer = await self._call(self._stubs.structure.CreateDerivedStructure, request)
        return convert.structure_from_wire(answer.structure)

    async def delete_structure(self, structure: str, *, reason: str = "") -> None:
        """Delete a helper structure that nothing uses."""
        request = DeleteStructureRequest(write=self._write(reason), name=structure)
        await self._call(self._stubs.structure.DeleteStructure, request)

    # objectives ---------------------------------------------------------------------------------------------------

    async def replace_objectives(
        self, plan: str, specs: Sequence[model.ObjectiveSpec], *, etag: str | None = None, reason: str = ""
    ) -> tuple[model.Objective, ...]:
        """Put these in the place of all objectives of the plan, or change nothing."""
        request = ReplaceObjectivesRequest(
            write=self._write(reason),
            plan=plan,
            etag=etag or await self._etag(plan),
            specs=map(convert.objective_spec_to_wire, specs),
        )
        answer = await self._call(self._stubs.objective.ReplaceObjectives, request)
        self._saw_etag(plan, answer.plan_etag)
        return tuple(map(convert.objective_from_wire, answer.objectives))

    async def create_objective(
        self, plan: str, spec: model.ObjectiveSpec, *, etag: str | None = None, reason: str = ""
    ) -> model.Objective:
        """Add an objective to the plan."""
        request = CreateObjectiveRequest(
            write=self._write(reason),
            plan=plan,
            etag=etag or await self._etag(plan),
            spec=convert.objective_spec_to_wire(spec),
        )
        answer = await self._call(self._stubs.objective.CreateObjective, request)
        self._saw_etag(plan, answer.plan_etag)
        return convert.objective_from_wire(answer.objective)

    async def update_objective(
        self, objective: str, spec: model.ObjectiveSpec, *, etag: str | None = None, reason: str = ""
    ) -> model.Objective:
        """Give an objective new values in all its fields; it keeps its name."""
        plan = _plan_of(objective)
        request = UpdateObjectiveRequest(
            write=self._write(reason),
            name=objective,
            etag=etag or await self._etag(plan),
            spec=convert.objective_spec_to_wire(spec),
        )
        answer = await self._call(self._stubs.objective.UpdateObjective, request)
        self._saw_etag(plan, answer.plan_etag)
        return convert.objective_from_wire(answer.objective)

    async def set_priority(
        self, objective: str, priority: float, *, etag: str | None = None, reason: str = ""
    ) -> model.Objective:
        """Change the priority of an objective, on the TPS's own scale, and nothing else."""
        plan = _plan_of(objective)
        request = SetObjectivePriorityRequest(
            write=self._write(reason), name=objective, etag=etag or await self._etag(plan), priority=priority
        )
        answer = await self._call(self._stubs.objective.SetObjectivePriority, request)
        self._saw_etag(plan, answer.plan_etag)
        return convert.objective_from_wire(answer.objective)

    async def delete_objective(self, objective: str, *, etag: str | None = None, reason: str = "") -> None:
        """Remove an objective from its plan."""
        plan = _plan_of(objective)
        request = DeleteObjectiveRequest(write=self._write(reason), name=objective, etag=etag or await self._etag(plan))
        answer = await self._call(self._stubs.objective.DeleteObjective, request)
        self._saw_etag(plan, answer.plan_etag)

    # ----------------------------------------------------------------------------------------------------------------

    def _write(self, reason: str) -> WriteContext:
        return WriteContext(session=self.name, request_id=str(uuid.uuid4()), reason=reason)

    async def _etag(self, plan: str) -> str:
        return self._etags.get(plan) or (await self.plan(plan)).etag

    def _saw_etag(self, plan: str, etag: str) -> None:
        self._etags[plan] = etag


def _plan_of(resource: str) -> str:
    """``patients/P1/plans/plan-1`` of an objective or snapshot, whose name is that and two segments more."""
    return resource.rsplit("/", 2)[0]
