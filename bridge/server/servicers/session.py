"""SessionService: leases, and what is saved."""

# ruff: noqa: N802, ARG002 - names and signatures of RPCs are the schema's
from __future__ import annotations

from contextlib import suppress
from typing import Any

from bridge import convert
from bridge.errors import SessionExpired
from bridge.server.auth import CALLER
from bridge.server.commit import commit, confirm, look
from bridge.server.desk import Desk
from bridge.server.sessions import LiveSession
from bridge.tps.v1 import session_service_pb2_grpc
from bridge.tps.v1.session_pb2 import Session
from bridge.tps.v1.session_service_pb2 import (
    CloseSessionRequest,
    CloseSessionResponse,
    CommitSessionRequest,
    CommitSessionResponse,
    ConfirmChangesRequest,
    ConfirmChangesResponse,
    GetPendingChangesRequest,
    GetPendingChangesResponse,
    OpenSessionRequest,
    OpenSessionResponse,
    RenewSessionRequest,
    RenewSessionResponse,
)


class SessionServicer(session_service_pb2_grpc.SessionServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def OpenSession(self, request: OpenSessionRequest, context: Any) -> OpenSessionResponse:
        mode = convert.session_mode_from_wire(request.mode, "mode")
        client = convert.client_info_from_wire(request.client_info, "client_info")
        self._desk.envelope.lease(request.lease_s)

        async def open_session() -> OpenSessionResponse:
            self._desk.require_open()
            session = await self._desk.sessions.open(request.patient, mode, client, request.lease_s, CALLER.get())
            return OpenSessionResponse(session=_to_wire(session))

        return await self._desk.replay.once(request.request_id, request, OpenSessionResponse, open_session)

    async def RenewSession(self, request: RenewSessionRequest, context: Any) -> RenewSessionResponse:
        self._desk.envelope.lease(request.lease_s)
        return RenewSessionResponse(session=_to_wire(self._desk.sessions.renew(request.name, request.lease_s)))

    async def CloseSession(self, request: CloseSessionRequest, context: Any) -> CloseSessionResponse:
        async def close() -> CloseSessionResponse:
            with suppress(SessionExpired):  # closing a closed session does nothing
                await self._desk.sessions.close(request.write.session)
            return CloseSessionResponse()

        if request.write.validate_only:
            self._desk.sessions.live(request.write.session)
            return CloseSessionResponse()
        return await self._desk.replay.once(request.write.request_id, request, CloseSessionResponse, close)

    async def GetPendingChanges(self, request: GetPendingChangesRequest, context: Any) -> GetPendingChangesResponse:
        session = self._desk.sessions.live(request.session)
        pending = await self._desk.read(lambda: look(self._desk, session))
        return GetPendingChangesResponse(pending=convert.pending_changes_to_wire(pending))

    async def ConfirmChanges(self, request: ConfirmChangesRequest, context: Any) -> ConfirmChangesResponse:
        return await self._desk.write(
            request, ConfirmChangesResponse, lambda session: confirm(self._desk, session, request)
        )

    async def CommitSession(self, request: CommitSessionRequest, context: Any) -> CommitSessionResponse:
        return await self._desk.write(
            request, CommitSessionResponse, lambda session: commit(self._desk, session, request)
        )


def _to_wire(session: LiveSession) -> Session:
    return convert.session_to_wire(session.to_model())
