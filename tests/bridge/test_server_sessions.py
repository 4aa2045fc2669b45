"""Who may write to what, for how long, and what is saved."""

from __future__ import annotations

import grpc
from raw_client import CLINICAL, PATIENT, READ_ONLY, FakeClock, new_id, on_a_loop, opening, refused, serving, write
from toy_backend import ToyBackend


@on_a_loop
async def test_second_writer_is_told_when_the_first_one_ends() -> None:
    """At most one read-write session holds a patient, and the other learns its expiry."""
    clock = FakeClock()
    async with serving(clock=clock) as raw:
        await raw.open(lease_s=60)
        refusal = await refused(raw.open())
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_CONFLICT")
        assert refusal.metadata["expires"] == "2030-01-01T00:01:00+00:00"


@on_a_loop
async def test_readers_and_other_patients_are_not_in_the_way() -> None:
    """A read-only session, and one on another patient, open beside a writer."""
    async with serving() as raw:
        await raw.open()
        assert await raw.open(mode=READ_ONLY)
        assert await raw.open(patient="patients/P2")


@on_a_loop
async def test_lease_that_ran_out_discards_and_frees_the_patient() -> None:
    """After the lease, the plan is gone, the session is expired, and the next writer gets the patient."""
    clock = FakeClock()
    async with serving(clock=clock) as raw:
        session = await raw.open(lease_s=60)
        plan = await raw.copy(session)
        clock.go_on(61)
        refusal = await refused(raw.call("GetPlan", name=plan.name, session=session))
        assert refusal.reason == "SESSION_EXPIRED"
        successor = await raw.open()
        assert await raw.plans(successor) == [CLINICAL]


@on_a_loop
async def test_renewed_lease_holds() -> None:
    """A session renewed in time outlives its first lease."""
    clock = FakeClock()
    async with serving(clock=clock) as raw:
        session = await raw.open(lease_s=60)
        clock.go_on(50)
        await raw.call("RenewSession", name=session, lease_s=60)
        clock.go_on(50)
        assert await raw.copy(session)


@on_a_loop
async def test_uncommitted_plan_is_seen_by_its_session_only() -> None:
    """Others neither list, read nor copy what is not committed; after the commit they see it."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        assert plan.name in await raw.plans(session)
        assert await raw.plans() == [CLINICAL]
        assert (await refused(raw.call("GetPlan", name=plan.name))).reason == "RESOURCE_NOT_FOUND"
        assert (await refused(raw.call("ListObjectives", plan=plan.name))).reason == "RESOURCE_NOT_FOUND"
        await raw.commit(session)
        assert plan.name in await raw.plans()


@on_a_loop
async def test_committed_plan_changed_again_is_hidden_until_the_next_commit() -> None:
    """Readers see committed data only: a saved working copy with new changes is its session's alone."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        await raw.commit(session)
        await raw.call(
            "SetNormalization",
            write=write(session),
            plan=plan.name,
            etag=plan.etag,
            normalization={"percent": {"percent": 105}},
        )
        assert await raw.plans() == [CLINICAL]
        pending = (await raw.call("GetPendingChanges", session=session)).pending
        assert [(change.resource, change.kind) for change in pending.changes] == [(plan.name, 3)]


@on_a_loop
async def test_only_plans_made_in_the_session_can_be_changed() -> None:
    """The clinical plan, and a bridge-made plan of an earlier session, are NOT_WORKING_COPY."""
    async with serving() as raw:
        first = await raw.open()
        saved = await raw.copy(first)
        await raw.commit(first)
        await raw.call("CloseSession", write=write(first))
        session = await raw.open()
        for name, etag in ((CLINICAL, "etag-approved"), (saved.name, saved.etag)):
            call = raw.call("DeletePlan", write=write(session), name=name, etag=etag)
            assert (await refused(call)).reason == "NOT_WORKING_COPY"


@on_a_loop
async def test_working_copy_is_said_only_to_the_session_that_may_write() -> None:
    """`working_copy` is true for the maker's session and false for everyone else, also after the commit."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        await raw.commit(session)
        assert plan.working_copy
        assert not (await raw.call("GetPlan", name=plan.name)).plan.working_copy


@on_a_loop
async def test_provenance_tells_the_source_and_the_client() -> None:
    """A copy says which plan and etag it was made from, and by whom."""
    async with serving() as raw:
        plan = await raw.copy(await raw.open())
        assert plan.provenance.source_plan == CLINICAL
        assert plan.provenance.source_etag == "etag-approved"
        assert plan.provenance.client == "test 1"


@on_a_loop
async def test_read_only_session_cannot_write() -> None:
    """A write in a read-only session is READ_ONLY."""
    async with serving() as raw:
        session = await raw.open(mode=READ_ONLY)
        assert (await refused(raw.copy(session))).reason == "READ_ONLY"


@on_a_loop
async def test_read_only_server_opens_no_writer() -> None:
    """A read-only server refuses read-write sessions, lets readers in, and says so in its info."""
    async with serving(read_only=True) as raw:
        assert (await refused(raw.open())).reason == "READ_ONLY"
        session = await raw.open(mode=READ_ONLY)
        assert (await refused(raw.copy(session))).reason == "READ_ONLY"
        assert (await raw.call("GetServerInfo")).info.read_only


@on_a_loop
async def test_close_discards_and_closing_again_does_nothing() -> None:
    """What was not committed is gone after CloseSession, which may be repeated."""
    async with serving() as raw:
        session = await raw.open()
        await raw.copy(session)
        await raw.call("CloseSession", write=write(session))
        await raw.call("CloseSession", write=write(session))
        assert await raw.plans(await raw.open()) == [CLINICAL]


@on_a_loop
async def test_unknown_session_is_not_an_expired_one() -> None:
    """A name that never was a session is RESOURCE_NOT_FOUND."""
    async with serving() as raw:
        assert (await refused(raw.copy("sessions/none"))).reason == "RESOURCE_NOT_FOUND"


@on_a_loop
async def test_second_of_two_writes_with_one_etag_is_refused() -> None:
    """Of two writers that saw the same plan, the second gets ETAG_MISMATCH with the current etag: no lost update."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        objective = (await raw.call("ListObjectives", plan=plan.name, session=session)).objectives[0]
        fields = {"name": objective.name, "etag": plan.etag}
        first = await raw.call("SetObjectivePriority", write=write(session), priority=200.0, **fields)
        refusal = await refused(raw.call("SetObjectivePriority", write=write(session), priority=300.0, **fields))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert refusal.metadata["etag"] == first.plan_etag
        stored = (await raw.call("ListObjectives", plan=plan.name, session=session)).objectives[0]
        assert stored.spec.priority == 200.0


@on_a_loop
async def test_commit_of_another_state_saves_nothing() -> None:
    """When the plan changed in the TPS's own window after the look, the commit is ABORTED and nothing is saved."""
    backend = ToyBackend()
    async with serving(backend) as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        seen = await raw.digest(session)
        backend.someone_changes(plan.name)
        refusal = await refused(raw.call("CommitSession", write=write(session), digest=seen))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert refusal.metadata["digest"] != seen
        assert await raw.plans() == [CLINICAL]


@on_a_loop
async def test_plan_that_a_person_removed_does_not_hold_up_the_others() -> None:
    """What is gone from the TPS is shown as gone, and the rest of the session can still be saved."""
    backend = ToyBackend()
    async with serving(backend) as raw:
        session = await raw.open()
        gone, kept = await raw.copy(session), await raw.copy(session)
        backend.someone_removes(gone.name)
        pending = (await raw.call("GetPendingChanges", session=session)).pending
        assert {change.resource: "gone" in change.summary for change in pending.changes} == {
            gone.name: True,
            kept.name: False,
        }
        await raw.call("CommitSession", write=write(session), digest=pending.digest)
        assert kept.name in await raw.plans()


@on_a_loop
async def test_commit_waits_for_a_person_where_one_is_required() -> None:
    """With commit.confirmation REQUIRED, a commit needs ConfirmChanges of exactly its digest."""
    backend = ToyBackend(capabilities={"commit.confirmation": "REQUIRED"})
    async with serving(backend) as raw:
        session = await raw.open()
        await raw.copy(session)
        refusal = await refused(raw.commit(session))
        digest = await raw.digest(session)
        assert (refusal.reason, refusal.metadata["digest"]) == ("CONFIRMATION_REQUIRED", digest)
        await raw.call("ConfirmChanges", write=write(session), digest=digest)
        assert (await raw.commit(session)).changes


@on_a_loop
async def test_change_after_the_confirmation_takes_it_back() -> None:
    """A confirmed digest does not cover what changed later."""
    backend = ToyBackend(capabilities={"commit.confirmation": "REQUIRED"})
    async with serving(backend) as raw:
        session = await raw.open()
        await raw.copy(session)
        await raw.call("ConfirmChanges", write=write(session), digest=await raw.digest(session))
        await raw.copy(session, label="another")
        assert (await refused(raw.commit(session))).reason == "CONFIRMATION_REQUIRED"


@on_a_loop
async def test_validate_only_checks_everything_and_changes_nothing() -> None:
    """A dry run meets the refusals of the real one, answers empty, and leaves no trace."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        dry = {"plan": plan.name, "normalization": {"percent": {"percent": 105}}}
        stale = raw.call("SetNormalization", write=write(session, validate_only=True), etag="old", **dry)
        assert (await refused(stale)).reason == "ETAG_MISMATCH"
        answer = await raw.call("SetNormalization", write=write(session, validate_only=True), etag=plan.etag, **dry)
        assert not answer.HasField("plan")
        assert (await raw.call("GetPlan", name=plan.name, session=session)).plan.etag == plan.etag


@on_a_loop
async def test_session_writes_to_its_own_patient_only() -> None:
    """Copying another patient's plan is NOT_ALLOWED."""
    async with serving() as raw:
        session = await raw.open()
        call = raw.call("CopyPlan", write=write(session), source_plan="patients/P2/plans/clinical", label="x")
        assert (await refused(call)).reason == "NOT_ALLOWED"


@on_a_loop
async def test_helper_is_made_listed_and_deleted() -> None:
    """A derived structure is a pending change of its session, and a structure of the patient's own is not deletable."""
    async with serving() as raw:
        session = await raw.open()
        ring = {"kind": "DERIVATION_KIND_RING", "sources": [f"{PATIENT}/structures/ptv"], "outer_mm": 10}
        made = await raw.call(
            "CreateDerivedStructure", write=write(session), patient=PATIENT, label="zRing", derivation=ring
        )
        changes = (await raw.call("GetPendingChanges", session=session)).pending.changes
        assert [change.resource for change in changes] == [made.structure.name]
        own = raw.call("DeleteStructure", write=write(session), name=f"{PATIENT}/structures/cord")
        assert (await refused(own)).reason == "NOT_WORKING_COPY"
        await raw.call("DeleteStructure", write=write(session), name=made.structure.name)
        assert not (await raw.call("GetPendingChanges", session=session)).pending.changes


@on_a_loop
async def test_patient_that_cannot_be_opened_is_not_held() -> None:
    """A refused OpenSession leaves no lease behind, so the same id may be tried again."""
    async with serving() as raw:
        fields = opening(patient="patients/nobody") | {"request_id": new_id()}
        assert (await refused(raw.call("OpenSession", **fields))).reason == "RESOURCE_NOT_FOUND"
        assert (await refused(raw.call("OpenSession", **fields))).reason == "RESOURCE_NOT_FOUND"


@on_a_loop
async def test_snapshot_of_a_saved_plan_is_no_change() -> None:
    """CreateSnapshot leaves the etag, and a committed plan stays visible and has nothing pending."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        await raw.commit(session)
        await raw.call("CreateSnapshot", write=write(session), plan=plan.name, etag=plan.etag, label="first")
        assert not (await raw.call("GetPendingChanges", session=session)).pending.changes
        assert plan.name in await raw.plans()


@on_a_loop
async def test_snapshot_takes_a_plan_back() -> None:
    """Restoring a snapshot brings the normalisation back under a new etag."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        snapshot = (
            await raw.call("CreateSnapshot", write=write(session), plan=plan.name, etag=plan.etag, label="first")
        ).snapshot
        changed = await raw.call(
            "SetNormalization",
            write=write(session),
            plan=plan.name,
            etag=plan.etag,
            normalization={"percent": {"percent": 105}},
        )
        back = await raw.call("RestoreSnapshot", write=write(session), name=snapshot.name, etag=changed.plan.etag)
        assert back.plan.normalization.HasField("none")
        assert back.plan.etag not in (plan.etag, changed.plan.etag)
