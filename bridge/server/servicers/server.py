"""ServerService: what the server is."""

# ruff: noqa: N802, ARG002 - names and signatures of RPCs are the schema's
from __future__ import annotations

from typing import Any

from bridge import convert
from bridge.server.desk import Desk
from bridge.tps.v1 import server_service_pb2_grpc
from bridge.tps.v1.server_service_pb2 import GetServerInfoRequest, GetServerInfoResponse


class ServerServicer(server_service_pb2_grpc.ServerServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def GetServerInfo(self, request: GetServerInfoRequest, context: Any) -> GetServerInfoResponse:
        return GetServerInfoResponse(info=convert.server_info_to_wire(self._desk.info()))
