"""Looking at, confirming and saving what a session changed.

The one idea: look, compare with the digest the caller looked at, save: in one turn on the TPS thread. What is about to
be saved is written to the journal first, so that after a crash in between the next server can tell whether it was.
"""

from __future__ import annotations

from datetime import datetime

from bridge import convert, model
from bridge.backend import Backend
from bridge.errors import ConfirmationRequired, EtagMismatch
from bridge.server.changes import Pending, pending
from bridge.server.desk import Desk
from bridge.server.journal import CommitIntent, Journal, Reply
from bridge.server.replay import payload_sha256
from bridge.server.sessions import LiveSession
from bridge.tps.v1.session_service_pb2 import (
    CommitSessionRequest,
    CommitSessionResponse,
    ConfirmChangesRequest,
    ConfirmChangesResponse,
)


def look(desk: Desk, session: LiveSession) -> model.PendingChanges:
    """What a commit would save now; for the TPS thread."""
    found = pending(desk.backend, session.patient, session.changes)
    return model.PendingChanges(found.changes, found.digest, _is_confirmed(desk, session, found))


async def confirm(desk: Desk, session: LiveSession, request: ConfirmChangesRequest) -> ConfirmChangesResponse:
    """Note that a person said yes to exactly these changes."""

    def turn() -> ConfirmChangesResponse:
        found = pending(desk.backend, session.patient, session.changes)
        _require_digest(found, request.digest)
        if request.write.validate_only:
            return ConfirmChangesResponse()
        session.confirmed_digest = found.digest
        return ConfirmChangesResponse(pending=convert.pending_changes_to_wire(look(desk, session)))

    return await desk.tps.call(turn)


async def commit(desk: Desk, session: LiveSession, request: CommitSessionRequest) -> CommitSessionResponse:
    """Save all changes, or none."""
    for resource in session.changes:
        desk.operations.require_idle(resource)

    def turn() -> CommitSessionResponse:
        found = pending(desk.backend, session.patient, session.changes)
        _require_digest(found, request.digest)
        if not _is_confirmed(desk, session, found):
            raise ConfirmationRequired(
                "A person must confirm these changes before they are saved. Show them GetPendingChanges, then let them "
                "call ConfirmChanges.",
                metadata={"digest": found.digest},
            )
        if request.write.validate_only:
            return CommitSessionResponse()
        answer = CommitSessionResponse(changes=[convert.change_to_wire(change) for change in found.changes])
        key = request.write.request_id.lower()
        desk.journal.begin_commit(
            CommitIntent(key, payload_sha256(request), session.name, found.etags, answer.SerializeToString()),
            desk.now(),
        )
        try:
            desk.backend.commit(session.patient)
        except Exception:
            desk.journal.drop_commit(key)
            raise
        session.changes.clear()
        session.confirmed_digest = None
        desk.backend.begin(session.patient)  # the session goes on
        return answer

    return await desk.tps.call(turn)


def settle(backend: Backend, journal: Journal, now: datetime) -> None:
    """After a restart: find out which commits that were begun were done, and keep the answers of those."""
    for intent in journal.begun_commits():
        if _was_done(backend, journal, intent):
            journal.put_reply(intent.request_id, Reply(intent.payload_sha256, intent.answer), now)
        else:
            journal.drop_commit(intent.request_id)


def _was_done(backend: Backend, journal: Journal, intent: CommitIntent) -> bool:
    session = journal.session(intent.session)
    if session is None or not intent.etags:
        return False
    there = {structure.name: "" for structure in backend.structures(session.patient)}
    there |= {plan.name: plan.etag for plan in backend.plans(session.patient)}
    return all(there.get(resource) == etag for resource, etag in intent.etags.items())


def _is_confirmed(desk: Desk, session: LiveSession, found: Pending) -> bool:
    return not desk.confirmation_required or session.confirmed_digest == found.digest


def _require_digest(found: Pending, digest: str) -> None:
    if found.digest != digest:
        raise EtagMismatch(
            "The changes are not those that this digest stands for. Look at GetPendingChanges again, and decide again.",
            metadata={"digest": found.digest},
        )
