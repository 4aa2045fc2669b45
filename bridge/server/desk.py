"""One way to read and one way to write, which every servicer uses.

The one idea: a write is checked and done in a single turn on the TPS thread, while the session is held, so nothing can
come between the check of the etag and the change. In order: the answer this request id already had; the server writes
at all; the session lives and may write; no operation runs on the plan; the plan is this session's own, editable, and as
the caller last saw it. A read sees committed work, and the uncommitted work of the session it names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

from google.protobuf.message import Message

from bridge import model
from bridge.backend import Backend, Monitor
from bridge.errors import (
    EtagMismatch,
    NoObjectives,
    NotAllowed,
    NotFound,
    NotWorkingCopy,
    PlanNotEditable,
    ReadOnly,
    TpsBusy,
    TpsUnavailable,
)
from bridge.server.clock import Clock
from bridge.server.journal import Journal
from bridge.server.limits import Envelope
from bridge.server.operations import Operations, Result, Work
from bridge.server.replay import Replay
from bridge.server.sessions import LiveSession, Sessions
from bridge.server.tps_thread import TpsThread
from bridge.tps.v1.common_pb2 import WriteContext

T = TypeVar("T")
Answer = TypeVar("Answer", bound=Message)


class Desk:
    """What servicers lean on."""

    def __init__(
        self,
        backend: Backend,
        tps: TpsThread,
        sessions: Sessions,
        operations: Operations,
        journal: Journal,
        clock: Clock,
        *,
        read_only: bool,
    ) -> None:
        declared = backend.info()
        self.backend = backend
        self.tps = tps
        self.sessions = sessions
        self.operations = operations
        self.journal = journal
        self.now = clock
        self.read_only = read_only
        self.replay = Replay(journal, clock)
        self.envelope = Envelope(declared)
        self.confirmation_required = declared.capabilities.get("commit.confirmation") == "REQUIRED"
        self.closing = False

    def info(self) -> model.ServerInfo:
        """What the backend says of itself, and how busy it is."""
        info = self.backend.info()
        busy = self.tps.busy and info.state is model.ServerState.READY
        return replace(
            info,
            state=model.ServerState.BUSY if busy else info.state,
            read_only=self.read_only or info.read_only,
        )

    # reading ----------------------------------------------------------------------------------------------------
    async def read(self, function: Callable[[], T], *, viewer: str = "", of: tuple[str, ...] = ()) -> T:
        """What ``function`` finds in the TPS, if the session ``viewer`` may see the resources it is ``of``."""
        if viewer:
            self.sessions.live(viewer)

        def look() -> T:
            self._require_visible(viewer, of)
            return function()

        return await self.tps.read(look)

    def plans(self, patient: str, viewer: str) -> list[model.Plan]:
        """The plans that ``viewer`` may see; for the TPS thread."""
        hidden = self.sessions.hidden_from(viewer)
        return [self.as_seen(plan, viewer) for plan in self.backend.plans(patient) if plan.name not in hidden]

    def structures(self, patient: str, viewer: str) -> list[model.Structure]:
        """The structures that ``viewer`` may see; for the TPS thread."""
        hidden = self.sessions.hidden_from(viewer)
        return [structure for structure in self.backend.structures(patient) if structure.name not in hidden]

    def visible_plan(self, name: str, viewer: str) -> model.Plan:
        """A plan that ``viewer`` may see; for the TPS thread."""
        self._require_visible(viewer, (name,))
        return self.backend.plan(name)

    # writing ----------------------------------------------------------------------------------------------------
    async def write(
        self,
        request: Any,
        answer_type: type[Answer],
        act: Callable[[LiveSession], Awaitable[Answer]],
    ) -> Answer:
        """Do ``act`` once for this request id, with its session held. ``act`` itself honours ``validate_only``."""
        context: WriteContext = request.write

        async def with_session() -> Answer:
            self.require_open()
            if self.read_only:
                raise ReadOnly("This server is configured read-only; nothing can be changed through it.")
            async with self._held(context.session) as session:
                return await act(session)

        if context.validate_only:
            return await with_session()
        return await self.replay.once(context.request_id, request, answer_type, with_session)

    async def change_plan(
        self, request: Any, plan: str, answer_type: type[Answer], change: Callable[[LiveSession, model.Plan], Answer]
    ) -> Answer:
        """Change an own plan; ``change`` runs on the TPS thread, with the plan as the caller last saw it."""

        async def act(session: LiveSession) -> Answer:
            self.operations.require_idle(plan)

            def turn() -> Answer:
                current = self._own_plan(session, plan, request.etag)
                if request.write.validate_only:
                    return answer_type()
                answer = change(session, current)
                if plan in session.made and self.backend.plan(plan).etag != current.etag:
                    session.note_changed(plan)
                return answer

            return await self.tps.call(turn)

        return await self.write(request, answer_type, act)

    async def make(
        self,
        request: Any,
        answer_type: type[Answer],
        check: Callable[[LiveSession], T],
        make: Callable[[LiveSession, T], Answer],
    ) -> Answer:
        """Make or delete something of the session's patient; both functions run on the TPS thread.

        ``check`` refuses or hands on what ``make`` needs; ``make`` is left out for ``validate_only``.
        """

        async def act(session: LiveSession) -> Answer:
            def turn() -> Answer:
                needed = check(session)
                return answer_type() if request.write.validate_only else make(session, needed)

            return await self.tps.call(turn)

        return await self.write(request, answer_type, act)

    async def start(
        self,
        request: Any,
        answer_type: type[Answer],
        kind: model.OperationKind,
        work: Work,
        answer: Callable[[model.Operation], Answer],
        check: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Start an operation on an own plan; ``check`` may still refuse, on the TPS thread.

        Everything is checked before the answer, unless another operation keeps the TPS from answering, and again when
        the operation's turn comes.
        """

        async def act(session: LiveSession) -> Answer:
            def require() -> None:
                self._own_plan(session, request.plan, request.etag)
                check()

            def checked_work(monitor: Monitor) -> Result:
                require()
                session.note_changed(request.plan)
                return work(monitor)

            self.operations.require_idle(request.plan)
            if request.write.validate_only:
                await self.tps.read(require)
                return answer_type()
            with suppress(TpsBusy):
                await self.tps.read(require)
            return answer(self.operations.start(kind, request.plan, session.name, checked_work))

        return await self.write(request, answer_type, act)

    def require_objectives(self, plan: str) -> None:
        """Refuse to optimise for nothing; for the TPS thread."""
        if not self.backend.objectives(plan):
            raise NoObjectives(f"plan {plan!r} has no objectives. Create some first.")

    def require_open(self) -> None:
        if self.closing:
            raise TpsUnavailable("The server is shutting down and begins nothing new.", retry_after_s=5.0)

    def as_seen(self, plan: model.Plan, viewer: str) -> model.Plan:
        """The plan, a working copy only for the session that made it."""
        return replace(plan, working_copy=plan.working_copy and self.sessions.made(viewer, plan.name))

    def _require_visible(self, viewer: str, resources: tuple[str, ...]) -> None:
        for resource in resources:
            if resource in self.sessions.hidden_from(viewer):
                raise NotFound(f"there is no {resource!r}, or it is not committed yet.")

    @asynccontextmanager
    async def _held(self, name: str) -> AsyncIterator[LiveSession]:
        session = self.sessions.writing(name)
        async with session.alone:
            yield self.sessions.writing(name)  # again: it may have ended while this call waited

    def _own_plan(self, session: LiveSession, name: str, etag: str) -> model.Plan:
        plan = self.visible_plan(name, session.name)
        session.require_own(name)
        if plan.provenance is None or not plan.working_copy:
            raise NotWorkingCopy(f"plan {name!r} was not made by the bridge. Copy it, and change the copy.")
        if plan.state is not model.PlanState.EDITABLE:
            raise PlanNotEditable(f"plan {name!r} is {plan.state.name}; only an EDITABLE plan can be changed. Copy it.")
        require_etag(plan, etag)
        return plan


def require_etag(plan: model.Plan, etag: str) -> None:
    """Refuse when the plan is not as the caller last saw it."""
    if plan.etag != etag:
        raise EtagMismatch(
            f"plan {plan.name!r} is not as you last saw it. Read it again, and decide again.",
            metadata={"etag": plan.etag},
        )


def require_patient(session: LiveSession, patient: str) -> None:
    """Refuse what belongs to another patient than the session does."""
    if patient != session.patient:
        raise NotAllowed(f"this session is on patient {session.patient!r}. Open one on {patient!r} to write there.")


def plan_of(resource: str) -> str:
    """The plan that an objective or a snapshot belongs to: its name without the last two segments."""
    parent, _, _ = resource.rpartition("/")
    plan, _, _ = parent.rpartition("/")
    if not plan:
        raise NotFound(f"there is no {resource!r}; names are as the server gave them.")
    return plan
