"""Who may write, for how long, and to what.

The one idea: a session is a lease on a patient. While it lives, the plans and structures it made are its own: nobody
else sees them, until a commit saves them, and only it may change them. When the lease runs out, or the session is
closed, everything uncommitted is discarded; an operation that still runs is asked to stop and waited for first. At most
one read-write session holds a patient.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from bridge import SPEC_VERSION, logs, model
from bridge.backend import Backend
from bridge.errors import NotFound, NotWorkingCopy, ReadOnly, SessionConflict, SessionExpired
from bridge.model import ChangeKind
from bridge.server.auth import Caller
from bridge.server.clock import Clock
from bridge.server.journal import Journal
from bridge.server.operations import Operations
from bridge.server.tps_thread import TpsThread

log = structlog.get_logger(__name__)

MADE = frozenset({ChangeKind.PLAN_CREATED, ChangeKind.PLAN_COPIED, ChangeKind.STRUCTURE_CREATED})


@dataclass(eq=False)
class LiveSession:
    """One open session and what it made; `made` and `changes` are touched on the TPS thread only."""

    name: str
    patient: str
    mode: model.SessionMode
    client: model.ClientInfo
    principal: str
    expires: datetime
    made: set[str] = field(default_factory=set)
    """Plans and structures that may be changed: this session's own, committed or not."""
    changes: dict[str, ChangeKind] = field(default_factory=dict)
    """What the next commit would save; hidden from everyone else until then."""
    confirmed_digest: str | None = None
    ending: asyncio.Task[None] | None = None
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever writes in this session, so that what was checked still holds when it is done."""

    def to_model(self) -> model.Session:
        return model.Session(self.name, self.patient, self.mode, self.expires)

    def note_made(self, resource: str, kind: ChangeKind) -> None:
        self.made.add(resource)
        self.changes[resource] = kind

    def note_changed(self, plan: str) -> None:
        self.changes.setdefault(plan, ChangeKind.PLAN_CHANGED)

    def note_deleted(self, resource: str, kind: ChangeKind) -> None:
        self.made.discard(resource)
        was_never_saved = self.changes.pop(resource, kind) in MADE
        if not was_never_saved:
            self.changes[resource] = kind

    def require_own(self, resource: str) -> None:
        """Refuse what this session did not make."""
        if resource not in self.made:
            raise NotWorkingCopy(
                f"{resource!r} was not made in this session, so it cannot be changed here. Copy the plan, or make the "
                "structure, in this session first."
            )

    def provenance(self, source: model.Plan | None, now: datetime) -> model.Provenance:
        """Where a plan that this session makes comes from."""
        return model.Provenance(
            source_plan=source.name if source else None,
            source_etag=source.etag if source else None,
            principal=self.principal,
            client=f"{self.client.product} {self.client.version}",
            model_id=self.client.model_id,
            created=now,
            bridge_version=SPEC_VERSION,
        )


class Sessions:
    """All open sessions of a server."""

    def __init__(
        self,
        backend: Backend,
        tps: TpsThread,
        operations: Operations,
        journal: Journal,
        clock: Clock,
        *,
        read_only: bool,
    ) -> None:
        self._backend = backend
        self._tps = tps
        self._operations = operations
        self._journal = journal
        self._clock = clock
        self._read_only = read_only
        self._live: dict[str, LiveSession] = {}

    def bury_the_dead(self) -> None:
        """After a restart: sessions that had no end lost what they had not committed."""
        for record in self._journal.open_sessions():
            log.warning("a session of the last run was cut off; its uncommitted work is discarded", session=record.name)
            self._journal.end_session(record.name, self._clock(), "SERVER_ENDED")

    async def open(
        self, patient: str, mode: model.SessionMode, client: model.ClientInfo, lease_s: float, caller: Caller
    ) -> LiveSession:
        """Take a lease on a patient.

        Raises
        ------
        ReadOnly
            The server does not write.
        NotAllowed
            The caller may not.
        SessionConflict
            Another read-write session holds the patient; its expiry is in the metadata.
        NotFound
            No such patient.
        """
        writes = mode is model.SessionMode.READ_WRITE
        if writes and self._read_only:
            raise ReadOnly(
                "This server is read-only. Open the session READ_ONLY, or have it started with `serve --writable`."
            )
        if writes:
            caller.require(model.Access.WRITE, "a READ_WRITE session")
        await self.expire()
        if writes:
            self._require_unheld(patient)
        name = f"sessions/{uuid.uuid4().hex}"
        expires = self._clock() + timedelta(seconds=lease_s)
        session = LiveSession(name, patient, mode, client, caller.principal, expires)
        self._live[name] = session  # before the first await, so that no other can take the patient meanwhile
        try:
            await self._tps.call(lambda: self._take(patient, writes))
        except BaseException:
            del self._live[name]
            raise
        self._journal.put_session(name, patient, mode.name, self._clock())
        return session

    def renew(self, name: str, lease_s: float) -> LiveSession:
        """Let the lease run ``lease_s`` from now."""
        session = self.live(name)
        session.expires = self._clock() + timedelta(seconds=lease_s)
        return session

    async def close(self, name: str) -> None:
        """End a session and discard what it did not commit.

        While an operation holds the TPS, this returns at once and the discard follows.
        """
        session = self.live(name)
        is_held_up = self._has_unended(session) or self._tps.busy
        ending = self._begin_end(session, "CLOSED")
        if not is_held_up:
            await asyncio.shield(ending)

    def live(self, name: str) -> LiveSession:
        """The open session of this name.

        Raises
        ------
        SessionExpired
            It was closed, its lease ran out, or the server restarted.
        NotFound
            There never was one.
        """
        session = self._live.get(name)
        if session is None:
            raise self._missing(name)
        if session.ending is None and session.expires <= self._clock():
            self._begin_end(session, "EXPIRED")
        if session.ending is not None:
            raise SessionExpired(
                f"session {name!r} has ended and its uncommitted work is discarded. Open a new session.",
                metadata={"session": name},
            )
        return session

    def writing(self, name: str) -> LiveSession:
        """The open read-write session of this name."""
        session = self.live(name)
        if session.mode is not model.SessionMode.READ_WRITE:
            raise ReadOnly(f"session {name!r} is READ_ONLY. Open one in READ_WRITE mode to change anything.")
        return session

    def hidden_from(self, viewer: str) -> frozenset[str]:
        """Names of plans and structures that ``viewer`` (a session name, or '') may not see."""
        others = [session for session in list(self._live.values()) if session.name != viewer]
        return frozenset().union(*(set(session.changes) for session in others))

    def made(self, viewer: str, resource: str) -> bool:
        """Whether the session ``viewer`` made this plan or structure."""
        session = self._live.get(viewer)
        return session is not None and resource in session.made

    async def expire(self) -> None:
        """End every session whose lease ran out, and wait for those endings that no operation holds up."""
        now = self._clock()
        for session in list(self._live.values()):
            if session.ending is None and session.expires <= now:
                self._begin_end(session, "EXPIRED")
        for session in list(self._live.values()):
            if session.ending is not None and not self._has_unended(session):
                await asyncio.shield(session.ending)

    async def end_all(self) -> None:
        """Discard everything uncommitted, at shutdown."""
        endings = [
            session.ending or self._begin_end(session, "SERVER_STOPPED") for session in list(self._live.values())
        ]
        await asyncio.gather(*endings)

    def _take(self, patient: str, writes: bool) -> None:
        if writes:
            self._backend.begin(patient)
        elif patient not in {known.name for known in self._backend.patients()}:
            raise NotFound(f"there is no patient {patient!r}; ListPatients shows those there are.")

    def _require_unheld(self, patient: str) -> None:
        for session in self._live.values():
            if session.patient == patient and session.mode is model.SessionMode.READ_WRITE:
                raise SessionConflict(
                    f"another read-write session holds patient {patient!r} until {session.expires.isoformat()}. "
                    "Wait for it to end, or open a READ_ONLY session.",
                    metadata={"expires": session.expires.isoformat()},
                )

    def _begin_end(self, session: LiveSession, ending: str) -> asyncio.Task[None]:
        for operation in self._operations.list(session=session.name):
            self._operations.cancel(operation.name)
        session.ending = asyncio.ensure_future(self._end(session, ending))
        return session.ending

    async def _end(self, session: LiveSession, ending: str) -> None:
        try:
            async with session.alone:  # the turn on the TPS thread comes when no operation holds it
                if session.mode is model.SessionMode.READ_WRITE:
                    await self._tps.call(lambda: self._backend.discard(session.patient))
        except Exception:
            # Until the discard succeeds, what is uncommitted stays hidden and the patient held.
            log.error(
                "the TPS could not discard; the next sweep tries again",
                session=session.name,
                stack=logs.traceback_text(),
            )
            session.expires, session.ending = self._clock(), None
            return
        del self._live[session.name]
        self._journal.end_session(session.name, self._clock(), ending)
        log.info("session ended", session=session.name, ending=ending)

    def _has_unended(self, session: LiveSession) -> bool:
        return any(not operation.state.ended for operation in self._operations.list(session=session.name))

    def _missing(self, name: str) -> SessionExpired | NotFound:
        if self._journal.session(name) is None:
            return NotFound(f"there never was a session {name!r}; open one.")
        return SessionExpired(
            f"session {name!r} has ended and its uncommitted work is discarded. Open a new session.",
            metadata={"session": name},
        )
