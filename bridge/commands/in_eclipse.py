"""What the plug-in and the launcher of ``esapi_scripts`` call: a server on a thread that Eclipse lent.

The one idea: two threads. The lent one does nothing but run what ESAPI is asked, and give Eclipse's window turns in
between; the server, its start and its end live on the other. So the end is orderly: uncommitted work is taken back
through ESAPI while the lent thread still serves it, and only then is the thread given back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from bridge import data_folder, logs
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.hosts import Host, InEclipse, StandAlone
from bridge.backends.esapi.reach.site import SiteRefused, SiteSettings, read_site
from bridge.backends.esapi.reach.thread import LentThread
from bridge.commands import CommandRefused, eclipse
from bridge.commands.serving import PortTaken, require_free, token_file
from bridge.commands.session_window import IDLE, Ledger, SessionWindow, Told, told
from bridge.errors import BridgeError
from bridge.server import Server

log = structlog.get_logger(__name__)

LOOK_S = 0.1
"""How often the window is asked whether it was closed."""
NOTHING_DONE = "The session has ended. It read only, and changed nothing."
NOTHING_LEFT = (
    "The session has ended. Nothing that it made is left in Eclipse. Eclipse may ask whether to save all the same; "
    "nothing of this session needs it."
)


def serve(context: Any, ini_path: str, window: Any) -> str:
    """Serve what is open in Eclipse until the window is closed; called on the thread of ``Execute``.

    Parameters
    ----------
    context : ScriptContext
        What Eclipse handed to the plug-in.
    ini_path : str
        The configuration file.
    window : ISessionWindow
        The session's window.

    Returns
    -------
    str
        A sentence about what is left in Eclipse, for the person who saves.

    Raises
    ------
    CommandRefused
        Something a person can mend; the message says what.
    """
    shown = SessionWindow(window)
    patient, plan = context.get_Patient(), context.get_ExternalPlanSetup()
    shown.show("patient", patient.get_Id())
    shown.show("plan", f"{plan.get_Course().get_Id()} / {plan.get_Id()}")
    return _left_in_eclipse(_run(lambda site: InEclipse(context, site), ini_path, shown))


def serve_stand_alone(application: Any, ini_path: str, window: Any) -> str:
    """Serve the patients of an application that the launcher made, on its thread; as `serve` otherwise."""
    _run(lambda site: StandAlone(lambda: application, site), ini_path, SessionWindow(window))
    return "The server has ended. What was committed is saved in Eclipse's database; nothing else was."


def _run(make_host: Callable[[SiteSettings], Host], ini_path: str, window: SessionWindow) -> Ledger:
    with _refusals():
        access.load(None)
        site = read_site(Path(ini_path))
        _require_port(site.port, ini_path)
        folder = _session_folder()
        with _log_into(folder / "bridge.log", window):
            thread = LentThread()
            session = _Session(site, lambda: make_host(site), thread, folder, window)
            session.start()
            thread.pump(session.is_over, window.breathe)
            session.join()
        if session.failure is not None:
            raise session.failure
        return session.ledger


class _Session(threading.Thread):
    """The server from its start to its end, beside the lent thread; a daemon, so that Eclipse can always end."""

    def __init__(
        self,
        site: SiteSettings,
        make_host: Callable[[], Host],
        thread: LentThread,
        folder: Path,
        window: SessionWindow,
    ) -> None:
        super().__init__(name="beamwright session", daemon=True)
        self.ledger = Ledger()
        self.failure: BaseException | None = None
        self._site = site
        self._make_host = make_host
        self._esapi = thread
        self._folder = folder
        self._window = window
        self._over = threading.Event()

    def is_over(self) -> bool:
        return self._over.is_set()

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.failure = error
        finally:
            self._over.set()

    async def _serve(self) -> None:
        self._window.show("state", "looking at what is open")
        folder = data_folder.default_folder()
        key = eclipse.patient_key(self._site, folder)
        attached = eclipse.backend(self._esapi, self._make_host, self._site, key, folder)
        backend, telling = told(attached, self._window, self.ledger)
        token = secrets.token_urlsafe(32)
        server = Server(
            backend,
            journal_path=self._folder / "journal.sqlite",
            token=token,
            read_only=not self._site.writable,
            port=self._site.port,
        )
        await server.start()
        try:
            with token_file(self._folder / "token") as write_token:
                write_token(token)
                self._announce(backend.patients()[0].name, server.endpoint)
                await self._until_closed()
        finally:
            await self._end(server, telling)

    def _announce(self, patient: str, endpoint: str) -> None:
        writable = self._site.writable
        self._window.show(
            "access",
            "writable: the agent works on copies of its own" if writable else "read only: the agent can change nothing",
        )
        self._window.show("patient name", patient)
        self._window.show("token file", str(self._folder / "token"))
        self._window.show("endpoint", endpoint)
        self._window.show("state", IDLE)
        self._window.say(f"serving at {endpoint}")

    async def _until_closed(self) -> None:
        while not self._window.closed:
            await asyncio.sleep(LOOK_S)

    async def _end(self, server: Server, telling: Told) -> None:
        """Begin nothing new, wait for what runs in Eclipse (it cannot be interrupted), take back, stop."""
        telling.end()
        while telling.busy:
            await asyncio.sleep(LOOK_S)
        self._window.show("state", "taking back what was not committed")
        await server.stop()


def _left_in_eclipse(ledger: Ledger) -> str:
    kept, stuck = ledger.left()
    sentences = []
    if kept:
        sentences.append(
            f"Left in Eclipse, in memory only: {', '.join(kept)}. Review it; save the patient in Eclipse to keep it, "
            "or close the patient without saving."
        )
    if stuck and ledger.blind:
        sentences.append(
            f"The patient was closed in Eclipse during the session. If it was saved then, {', '.join(stuck)} went with "
            "it, not committed and perhaps half done: open the patient, look, and delete it there."
        )
    elif stuck:
        sentences.append(f"Could not be taken back: {', '.join(stuck)}. Look for it in Eclipse and delete it there.")
    return " ".join(sentences) or (NOTHING_LEFT if ledger.begun else NOTHING_DONE)


def _require_port(port: int, ini_path: str) -> None:
    try:
        require_free(port)
    except PortTaken as taken:
        raise CommandRefused(
            f"{ini_path!r}, section [server]: port {port} is in use by another program, or another Eclipse; choose "
            "another, or 0 for a free one each time."
        ) from taken


def _session_folder() -> Path:
    """A folder for this session's journal, log and token, in the user's own data folder."""
    folder = data_folder.default_folder() / "eclipse" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextmanager
def _log_into(path: Path, window: SessionWindow) -> Iterator[None]:
    """Send the log to a file: Eclipse has no console."""
    logs.configure("info")
    handler = logging.FileHandler(path, encoding="utf-8")
    root = logging.getLogger()
    handler.setFormatter(root.handlers[0].formatter)
    root.addHandler(handler)
    window.say(f"the log of this session is {path}")
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def _refusals() -> Iterator[None]:
    """What a person can mend becomes `CommandRefused`, the one error whose message the C# side shows as it is."""
    try:
        yield
    except (BridgeError, SiteRefused) as refusal:
        raise CommandRefused(str(refusal)) from refusal
    except OSError as error:
        raise CommandRefused(f"beamwright cannot use {error.filename!r}: {error.strerror}.") from error
