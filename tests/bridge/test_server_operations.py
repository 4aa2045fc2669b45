"""Long work: started, watched, waited for, cancelled, outlived."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from pathlib import Path

import grpc
import pytest
from raw_client import CLINICAL, OPERATION, PTV, FakeClock, on_a_loop, refused, refused_stream, serving, write
from toy_backend import ToyBackend

from bridge import model
from bridge.errors import TpsRefused
from bridge.server.operations import MOVES, Event
from bridge.tps.v1 import operation_pb2

RUNNING, SUCCEEDED = OPERATION.OPERATION_STATE_RUNNING, OPERATION.OPERATION_STATE_SUCCEEDED
FAILED, CANCELLED = OPERATION.OPERATION_STATE_FAILED, OPERATION.OPERATION_STATE_CANCELLED
QUEUED, CANCELLING = OPERATION.OPERATION_STATE_QUEUED, OPERATION.OPERATION_STATE_CANCELLING
UNKNOWN_OUTCOME = OPERATION.OPERATION_STATE_UNKNOWN_OUTCOME


@pytest.mark.parametrize(("state", "event"), list(itertools.product(model.OperationState, Event)))
def test_moves_never_leave_an_ended_state(state: model.OperationState, event: Event) -> None:
    """Every cell of the table: ended states have no way out, the others all have one for LOSE, none goes back."""
    after = MOVES.get((state, event))
    if state.ended:
        assert after is None
    elif event is Event.LOSE:
        assert after is model.OperationState.UNKNOWN_OUTCOME
    else:
        assert after is None or after.value > state.value


@on_a_loop
async def test_watch_ends_with_the_result() -> None:
    """A watcher sees growing sequence numbers and last the result, whose etag is the plan's."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        operation = await raw.optimize(session, plan)
        seen = [part.operation async for part in raw.call("WatchOperation", name=operation.name)]
        sequences = [each.sequence for each in seen]
        assert sequences == sorted(set(sequences))
        assert seen[-1].state == SUCCEEDED
        assert seen[-1].progress.iteration == 3
        now = (await raw.call("GetPlan", name=plan.name, session=session)).plan
        assert seen[-1].optimization.plan_etag == now.etag != plan.etag


@on_a_loop
async def test_watch_resumes_after_what_was_seen() -> None:
    """A second watcher that names the last sequence it saw is told later states only."""
    backend = ToyBackend(hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        running = await raw.until(operation.name, RUNNING)
        backend.go_on.release(backend.optimize_steps)
        later = raw.call("WatchOperation", name=operation.name, after_sequence=running.sequence)
        assert all([part.operation.sequence > running.sequence async for part in later])


@on_a_loop
async def test_watching_what_has_ended_tells_its_end() -> None:
    """A watcher that comes late learns how the operation ended, and nothing more."""
    async with serving() as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, SUCCEEDED)
        again = raw.call("WatchOperation", name=operation.name, after_sequence=1)
        assert [part.operation.state async for part in again] == [SUCCEEDED]


@on_a_loop
async def test_wait_that_runs_out_is_not_an_error() -> None:
    """WaitOperation tells where the operation stands when its time is over."""
    backend = ToyBackend(hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, RUNNING)
        waited = await raw.call("WaitOperation", name=operation.name, timeout_s=0.01)
        assert waited.operation.state == RUNNING
        backend.go_on.release(backend.optimize_steps)
        assert (await raw.call("WaitOperation", name=operation.name, timeout_s=10)).operation.state == SUCCEEDED


@on_a_loop
async def test_running_optimisation_is_cancelled_at_its_checkpoint() -> None:
    """Where the TPS has checkpoints: CANCELLING, then CANCELLED, then ALREADY_ENDED."""
    backend = ToyBackend(hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, RUNNING)
        answer = await raw.call("CancelOperation", name=operation.name)
        assert (answer.outcome, answer.operation.state) == (operation_pb2.CANCEL_OUTCOME_CANCELLING, CANCELLING)
        backend.go_on.release()
        await raw.until(operation.name, CANCELLED)
        again = await raw.call("CancelOperation", name=operation.name)
        assert again.outcome == operation_pb2.CANCEL_OUTCOME_ALREADY_ENDED


@on_a_loop
async def test_what_cannot_be_cancelled_runs_to_its_end() -> None:
    """Where the TPS cannot stop: NOT_CANCELLABLE, and it succeeds."""
    backend = ToyBackend(capabilities={"operation.cancel.optimize": "NONE"}, hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, RUNNING)
        answer = await raw.call("CancelOperation", name=operation.name)
        assert answer.outcome == operation_pb2.CANCEL_OUTCOME_NOT_CANCELLABLE
        backend.go_on.release(backend.optimize_steps)
        await raw.until(operation.name, SUCCEEDED)


@on_a_loop
async def test_queued_operation_is_cancelled_at_once() -> None:
    """What has not begun never begins, whatever the TPS can stop."""
    backend = ToyBackend(capabilities={"operation.cancel.optimize": "NONE"}, hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        plans = [await raw.copy(session, label) for label in ("a", "b")]
        first, second = [await raw.optimize(session, plan) for plan in plans]
        await raw.until(first.name, RUNNING)
        answer = await raw.call("CancelOperation", name=second.name)
        assert (answer.outcome, answer.operation.state) == (operation_pb2.CANCEL_OUTCOME_CANCELLED, CANCELLED)
        backend.go_on.release(backend.optimize_steps)
        await raw.until(first.name, SUCCEEDED)
        untouched = (await raw.call("GetPlan", name=plans[1].name, session=session)).plan
        assert untouched.etag == plans[1].etag


@on_a_loop
async def test_plan_is_left_alone_while_it_is_optimised() -> None:
    """A second operation, a write and a commit on the plan are OPERATION_IN_PROGRESS and name the operation."""
    backend = ToyBackend(hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        digest = await raw.digest(session)
        operation = await raw.optimize(session, plan)
        await raw.until(operation.name, RUNNING)
        calls = (
            raw.optimize(session, plan),
            raw.call("DeletePlan", write=write(session), name=plan.name, etag=plan.etag),
            raw.call("CommitSession", write=write(session), digest=digest),
        )
        refusals = [await refused(call) for call in calls]
        assert {refusal.reason for refusal in refusals} == {"OPERATION_IN_PROGRESS"}
        assert {refusal.metadata["operation"] for refusal in refusals} == {operation.name}
        backend.go_on.release(backend.optimize_steps)
        await raw.until(operation.name, SUCCEEDED)


@on_a_loop
async def test_of_an_operation_and_a_write_at_once_one_is_refused() -> None:
    """Whichever of the two comes first, the other is refused at once; no operation fails for it later."""
    async with serving() as raw:
        session = await raw.open()
        for label in map(str, range(10)):
            plan = await raw.copy(session, label)
            change = {"plan": plan.name, "etag": plan.etag, "normalization": {"percent": {"percent": 105}}}
            outcomes = await asyncio.gather(
                raw.optimize(session, plan),
                raw.call("SetNormalization", write=write(session), **change),
                return_exceptions=True,
            )
            assert sum(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes) == 1
        for operation in (await raw.call("ListOperations")).operations:
            await raw.until(operation.name, SUCCEEDED)


@on_a_loop
async def test_reads_are_answered_beside_an_operation_where_the_tps_allows_it() -> None:
    """With reads.during-operation YES, a DVH's plan is read while the optimiser runs, and the server says BUSY."""
    backend = ToyBackend(hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, RUNNING)
        assert await raw.plans() == [CLINICAL]
        assert (await raw.call("GetServerInfo")).info.state == model.ServerState.BUSY.value
        backend.go_on.release(backend.optimize_steps)
        await raw.until(operation.name, SUCCEEDED)


@on_a_loop
async def test_reads_are_put_off_where_the_tps_does_not() -> None:
    """With NO they are TPS_BUSY with a time to try again, while the operation itself can still be looked at."""
    backend = ToyBackend(capabilities={"reads.during-operation": "NO"}, hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, RUNNING)
        refusal = await refused(raw.plans())
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "TPS_BUSY")
        assert refusal.retry_after_s and refusal.retry_after_s > 0
        assert (await raw.call("GetOperation", name=operation.name)).operation.state == RUNNING
        backend.go_on.release(backend.optimize_steps)
        await raw.until(operation.name, SUCCEEDED)
        assert await raw.plans() == [CLINICAL]


@on_a_loop
async def test_operation_that_could_not_be_checked_at_once_is_checked_at_its_turn() -> None:
    """On a TPS without reads meanwhile, a second Optimize is QUEUED, and a stale etag then fails it."""
    backend = ToyBackend(capabilities={"reads.during-operation": "NO"}, hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        plans = [await raw.copy(session, label) for label in ("a", "b")]
        first = await raw.optimize(session, plans[0])
        await raw.until(first.name, RUNNING)
        plans[1].etag = "old"
        second = await raw.optimize(session, plans[1])
        assert second.state == QUEUED
        backend.go_on.release(backend.optimize_steps)
        assert (await raw.until(second.name, FAILED)).error_reason == "ETAG_MISMATCH"


@on_a_loop
async def test_refusal_of_the_tps_is_told() -> None:
    """An operation that the TPS refuses is FAILED with the TPS's reason."""
    backend = ToyBackend()
    backend.fail_next = TpsRefused("the optimiser found no beams.")
    async with serving(backend) as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        ended = await raw.until(operation.name, FAILED)
        assert (ended.error_reason, ended.error_message) == ("TPS_ERROR", "the optimiser found no beams.")


@on_a_loop
async def test_bug_in_the_tps_is_not_told() -> None:
    """An unexpected exception is FAILED with a correlation id and without its text."""
    backend = ToyBackend()
    backend.fail_next = RuntimeError("patient Erika Mustermann")
    async with serving(backend) as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        ended = await raw.until(operation.name, FAILED)
        assert ended.error_reason == "INTERNAL"
        assert "Mustermann" not in str(ended)


@on_a_loop
async def test_plan_without_objectives_is_not_optimised() -> None:
    """Optimize on a plan without objectives is NO_OBJECTIVES and starts nothing."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        emptied = await raw.call("ReplaceObjectives", write=write(session), plan=plan.name, etag=plan.etag)
        plan.etag = emptied.plan_etag
        assert (await refused(raw.optimize(session, plan))).reason == "NO_OBJECTIVES"
        assert not (await raw.call("ListOperations")).operations


@on_a_loop
async def test_operation_outlives_its_client_and_not_its_session() -> None:
    """It goes on while the lease lasts; then it is asked to stop, and what is uncommitted goes when it has."""
    backend, clock = ToyBackend(hold=True), FakeClock()
    async with serving(backend, clock=clock) as raw:
        session = await raw.open(lease_s=60)
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, RUNNING)
        clock.go_on(61)
        assert (await refused(raw.open())).reason == "SESSION_CONFLICT"
        assert (await raw.call("GetOperation", name=operation.name)).operation.state == CANCELLING
        backend.go_on.release()
        await raw.until(operation.name, CANCELLED)
        assert await raw.plans(await raw.open()) == [CLINICAL]


@on_a_loop
async def test_operation_that_cannot_stop_is_waited_for_before_the_discard() -> None:
    """Where the TPS cannot stop, the patient stays held until the operation of the dead session has ended."""
    backend, clock = ToyBackend(capabilities={"operation.cancel.optimize": "NONE"}, hold=True), FakeClock()
    async with serving(backend, clock=clock) as raw:
        session = await raw.open(lease_s=60)
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, RUNNING)
        clock.go_on(61)
        assert (await refused(raw.open())).reason == "SESSION_CONFLICT"
        backend.go_on.release(backend.optimize_steps)
        await raw.until(operation.name, SUCCEEDED)
        assert await raw.plans(await raw.open()) == [CLINICAL]


@on_a_loop
async def test_closing_a_session_stops_its_work() -> None:
    """CloseSession cancels the session's operation and the discard follows it."""
    backend = ToyBackend(hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        operation = await raw.optimize(session, await raw.copy(session))
        await raw.until(operation.name, RUNNING)
        await raw.call("CloseSession", write=write(session))
        backend.go_on.release()
        await raw.until(operation.name, CANCELLED)
        assert await raw.plans(await raw.open()) == [CLINICAL]


@on_a_loop
async def test_server_that_died_during_an_optimisation_says_that_it_does_not_know(tmp_path: Path) -> None:
    """What was queued or running in the journal of a killed server is UNKNOWN_OUTCOME in the next."""
    backend, left = ToyBackend(hold=True), tmp_path / "left.sqlite"
    async with serving(backend, journal_path=tmp_path / "journal.sqlite") as raw:
        session = await raw.open()
        plans = [await raw.copy(session, label) for label in ("a", "b")]
        operations = [await raw.optimize(session, plan) for plan in plans]
        await raw.until(operations[0].name, RUNNING)
        _copy_as_killed(tmp_path / "journal.sqlite", left)
        backend.go_on.release(2 * backend.optimize_steps)
        await raw.until(operations[1].name, SUCCEEDED)
    async with serving(journal_path=left) as raw:
        states = [each.state for each in (await raw.call("ListOperations")).operations]
        assert states == [UNKNOWN_OUTCOME, UNKNOWN_OUTCOME]
        again = (await raw.call("GetOperation", name=operations[0].name)).operation
        late = raw.call("WatchOperation", name=again.name, after_sequence=3)  # as if more progress had been seen
        assert [part.operation.state async for part in late] == [UNKNOWN_OUTCOME]
        assert again.error_reason == "UNKNOWN_OUTCOME"
        assert (await refused(raw.copy(session))).reason == "SESSION_EXPIRED"
        assert await raw.plans() == [CLINICAL]


@on_a_loop
async def test_operations_are_listed_newest_first_in_pages() -> None:
    """Pages follow each other without gap or repetition; a made-up token is refused."""
    async with serving() as raw:
        session = await raw.open()
        started = []
        for label in "abc":
            operation = await raw.optimize(session, await raw.copy(session, label))
            await raw.until(operation.name, SUCCEEDED)
            started.append(operation.name)
        first = await raw.call("ListOperations", page_size=2)
        second = await raw.call("ListOperations", page_size=2, page_token=first.next_page_token)
        assert [each.name for page in (first, second) for each in page.operations] == started[::-1]
        assert not second.next_page_token
        assert (await refused(raw.call("ListOperations", page_token="x"))).reason == "FIELD_INVALID"


@on_a_loop
async def test_dose_calculation_ends_with_what_the_dose_is() -> None:
    """CalculateDose's result carries the kind of dose, and metrics answer on it."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        started = await raw.call("CalculateDose", write=write(session), plan=plan.name, etag=plan.etag)
        ended = await raw.until(started.operation.name, SUCCEEDED)
        assert ended.dose.dose.kind == model.DoseKind.APPROXIMATE.value
        mean = {"mean_dose": {"structure": PTV}}
        answer = await raw.call("EvaluateMetrics", plan=plan.name, session=session, queries=[mean])
        assert answer.results[0].value == pytest.approx(60.0)
        assert answer.dose.plan_etag == ended.dose.plan_etag


@on_a_loop
async def test_unknown_operation_is_not_found() -> None:
    """Looking at, watching and cancelling what never was are RESOURCE_NOT_FOUND."""
    async with serving() as raw:
        name = "operations/none"
        refusals = [
            await refused(raw.call("GetOperation", name=name)),
            await refused(raw.call("CancelOperation", name=name)),
            await refused_stream(raw.call("WatchOperation", name=name)),
        ]
        assert {refusal.reason for refusal in refusals} == {"RESOURCE_NOT_FOUND"}


def _copy_as_killed(journal: Path, copy: Path) -> None:
    """The journal as a kill at this moment would leave it."""
    source, target = sqlite3.connect(journal), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
