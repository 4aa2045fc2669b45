"""A repeated request has one effect and one answer, also after a restart."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import grpc
from raw_client import CLINICAL, COLD, OPERATION, new_id, on_a_loop, opening, refused, serving, write
from toy_backend import ToyBackend


@on_a_loop
async def test_lost_reply_is_given_again() -> None:
    """The same id and payload get the same answer, and there is one effect."""
    async with serving() as raw:
        session = await raw.open()
        context = write(session)
        answers = [await raw.call("CopyPlan", write=context, source_plan=CLINICAL, label="x") for _ in range(2)]
        assert answers[0] == answers[1]
        assert len(await raw.plans(session)) == 2


@on_a_loop
async def test_id_is_not_for_two_requests() -> None:
    """The same id with another payload, or for another RPC, is ALREADY_EXISTS."""
    async with serving() as raw:
        session = await raw.open()
        context = write(session)
        plan = (await raw.call("CopyPlan", write=context, source_plan=CLINICAL, label="x")).plan
        other_payload = await refused(raw.call("CopyPlan", write=context, source_plan=CLINICAL, label="y"))
        other_rpc = await refused(raw.call("DeletePlan", write=context, name=plan.name, etag=plan.etag))
        assert other_payload.code is grpc.StatusCode.ALREADY_EXISTS
        assert other_payload.reason == other_rpc.reason == "REQUEST_ID_REUSED"


@on_a_loop
async def test_twins_at_the_same_time_have_one_effect() -> None:
    """A duplicate that comes while the first is at work waits for its answer."""
    async with serving() as raw:
        session = await raw.open()
        context = write(session)
        calls = [raw.call("CopyPlan", write=context, source_plan=CLINICAL, label="x") for _ in range(5)]
        answers = await asyncio.gather(*calls)
        assert len({answer.plan.name for answer in answers}) == 1
        assert len(await raw.plans(session)) == 2


@on_a_loop
async def test_refused_request_may_be_tried_again_under_its_id() -> None:
    """A refusal changed nothing, so the id is still free."""
    async with serving() as raw:
        first = await raw.open()
        fields = opening()
        assert (await refused(raw.call("OpenSession", **fields))).reason == "SESSION_CONFLICT"
        await raw.call("CloseSession", write=write(first))
        assert (await raw.call("OpenSession", **fields)).session.name


@on_a_loop
async def test_caller_that_left_gets_its_answer_later() -> None:
    """A write whose caller went away is still done once, and its retry gets the answer."""
    backend = ToyBackend(hold=True)
    async with serving(backend) as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        operation = await raw.optimize(session, plan)
        await raw.until(operation.name, OPERATION.OPERATION_STATE_RUNNING)
        context = write(session)
        impatient = raw.call("CopyPlan", write=context, source_plan=CLINICAL, label="later")
        retry = raw.call("CopyPlan", write=context, source_plan=CLINICAL, label="later")
        await raw.call("GetOperation", name=operation.name)  # both are at the server before this one answers
        impatient.cancel()
        backend.go_on.release(backend.optimize_steps)
        assert (await retry).plan.label == "later"
        assert len(await raw.plans(session)) == 3


@on_a_loop
async def test_answers_of_open_and_commit_survive_a_restart(tmp_path: Path) -> None:
    """After a restart both replays answer as before, and any other id of the dead session is SESSION_EXPIRED."""
    journal = tmp_path / "journal.sqlite"
    fields = opening()
    async with serving(journal_path=journal) as raw:
        opened = await raw.call("OpenSession", **fields)
        session = opened.session.name
        await raw.copy(session)
        commit = {"write": write(session), "digest": await raw.digest(session)}
        committed = await raw.call("CommitSession", **commit)
    async with serving(journal_path=journal) as raw:
        assert await raw.call("OpenSession", **fields) == opened
        assert await raw.call("CommitSession", **commit) == committed
        assert (await refused(raw.copy(session))).reason == "SESSION_EXPIRED"


@on_a_loop
async def test_commit_that_was_done_but_not_answered_is_answered_after_the_restart(tmp_path: Path) -> None:
    """Killed between the TPS's save and the answer: the next server finds the plans saved and keeps the answer."""
    journal, backend = tmp_path / "journal.sqlite", ToyBackend()
    async with serving(backend, journal_path=journal) as raw:
        session = await raw.open()
        await raw.copy(session)
        commit = {"write": write(session), "digest": await raw.digest(session)}
        committed = await raw.call("CommitSession", **commit)
    _forget_the_answer(journal, commit["write"].request_id, session, committed)
    async with serving(backend, journal_path=journal) as raw:
        assert await raw.call("CommitSession", **commit) == committed


@on_a_loop
async def test_commit_that_was_begun_and_not_done_is_not_answered_after_the_restart(tmp_path: Path) -> None:
    """Killed before the TPS saved: the plans are not there, and the replay says that the session is gone."""
    journal = tmp_path / "journal.sqlite"
    async with serving(journal_path=journal) as raw:
        session = await raw.open()
        await raw.copy(session)
        commit = {"write": write(session), "digest": await raw.digest(session)}
        committed = await raw.call("CommitSession", **commit)
    _forget_the_answer(journal, commit["write"].request_id, session, committed)
    async with serving(ToyBackend(), journal_path=journal) as raw:
        assert (await refused(raw.call("CommitSession", **commit))).reason == "SESSION_EXPIRED"


@on_a_loop
async def test_optimisation_is_started_once() -> None:
    """A repeated Optimize names the operation that the first one started."""
    async with serving() as raw:
        session = await raw.open()
        plan = await raw.copy(session)
        fields = {"write": write(session, new_id()), "plan": plan.name, "etag": plan.etag, "spec": COLD}
        names = {(await raw.call("Optimize", **fields)).operation.name for _ in range(2)}
        assert len(names) == 1
        assert len((await raw.call("ListOperations")).operations) == 1


def _forget_the_answer(journal: Path, request_id: str, session: str, committed: object) -> None:
    """Put the journal back to the moment between begin_commit and put_reply."""
    with sqlite3.connect(journal) as database:
        row = database.execute("SELECT payload_sha256, answer FROM bridge_replies WHERE request_id = ?", [request_id])
        payload, answer = row.fetchone()
        database.execute("DELETE FROM bridge_replies WHERE request_id = ?", [request_id])
        etags = '{"patients/P1/plans/copy-1": "etag-2"}'
        database.execute(
            "INSERT INTO bridge_commits VALUES (?, ?, ?, ?, ?, '2030-01-01')",
            [request_id, payload, session, etags, answer],
        )
    database.close()
