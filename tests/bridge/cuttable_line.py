"""A TCP line to a server that a test can cut: what an unreliable network does, on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bridge.loop_thread import LoopThread


class CuttableLine:
    """Passes bytes between its own port and a server's, until it is cut."""

    def __init__(self, endpoint: str) -> None:
        self._host, port = endpoint.rsplit(":", 1)
        self._port = int(port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut_after: int | None = None
        self.cuts = 0
        self.sent_bytes = 0
        """What the server has sent that arrived."""
        self.endpoint = ""

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self._server.close()
        self._hang_up()
        await self._server.wait_closed()

    def cut_after(self, size_bytes: int) -> None:
        """Cut once, when the server has sent this much more."""
        self._cut_after = size_bytes

    def _hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, server_writer}
        await asyncio.gather(self._pass(reader, server_writer, False), self._pass(server_reader, writer, True))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, from_server: bool) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                if from_server and self._is_due(len(data)):
                    self._hang_up()
                    return
                self.sent_bytes += len(data) if from_server else 0
                sink.write(data)
                await sink.drain()
        sink.close()

    def _is_due(self, size_bytes: int) -> bool:
        if self._cut_after is None:
            return False
        self._cut_after -= size_bytes
        if self._cut_after > 0:
            return False
        self._cut_after = None
        self.cuts += 1
        return True


@contextmanager
def cuttable_line(endpoint: str) -> Iterator[CuttableLine]:
    """A line to ``endpoint``, for a ``with`` block."""
    loop = LoopThread("cuttable-line")
    line = CuttableLine(endpoint)
    loop.run(line.open())
    try:
        yield line
    finally:
        loop.run(line.close())
        loop.close()
