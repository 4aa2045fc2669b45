"""A server in the foreground: started, announced, and ended when it is told to.

The one idea: there are three ways to end it, and all are the same: SIGINT (Ctrl-C), SIGTERM, and, for a server that a
program started, the end of its stdin.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bridge.backend import Backend
from bridge.commands import CommandRefused
from bridge.launch import Announcement
from bridge.server import Server


class PortTaken(CommandRefused):
    """The port asked for is in use."""


Ready = Callable[[str, str], None]
"""Called with endpoint and token when the server answers."""


def run(
    backend: Backend, journal_path: Path | None, ready: Ready, *, port: int, read_only: bool, until_stdin_closes: bool
) -> None:
    """Serve ``backend`` on the loopback until told to stop; closes it then.

    Raises
    ------
    PortTaken
        Somebody else listens there.
    """
    require_free(port)
    token = secrets.token_urlsafe(32)
    server = Server(backend, journal_path=journal_path, token=token, read_only=read_only, port=port)

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        _stop_on_signals(loop, stop)
        if until_stdin_closes:
            threading.Thread(target=_after_stdin, args=(loop, stop), daemon=True).start()
        await server.start()
        try:
            ready(server.endpoint, token)
            await stop.wait()
        finally:
            await server.stop()

    asyncio.run(serve())


def announce(endpoint: str, token: str, patient: str | None = None, seed: int | None = None) -> None:
    """Tell the program that started this server where it is, in one line on stdout."""
    announcement = Announcement(endpoint, token, os.getpid(), patient, seed)
    sys.stdout.write(json.dumps(asdict(announcement)) + "\n")
    sys.stdout.flush()


@contextmanager
def token_file(path: Path) -> Iterator[Callable[[str], None]]:
    """A function that writes the token where only its owner can read it; the file goes with the block."""
    path.unlink(missing_ok=True)  # its permissions count only when it is made anew

    def write(token: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token)

    try:
        yield write
    finally:
        path.unlink(missing_ok=True)


def require_free(port: int) -> None:
    """gRPC would share the port with another server of the same user, and calls would go to either."""
    with socket.socket() as probe:
        alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)  # Windows lets others in without the first
        probe.setsockopt(socket.SOL_SOCKET, alone, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(f"cannot listen on port {port}: {error.strerror}. Use another --port, or none.") from error


def _stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(stop.set))


def _after_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    sys.stdin.buffer.read()
    loop.call_soon_threadsafe(stop.set)
