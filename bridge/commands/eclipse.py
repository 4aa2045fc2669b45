"""Eclipse stand-alone: a server in front of an Eclipse of our own, and a look at what an installation offers.

The one idea: .NET and ESAPI live on a thread of their own in this process and must be let go before Python ends; an
Eclipse that does not let go in time is left to the operating system, so that a command always ends.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bridge.backends.esapi import checkup
from bridge.backends.esapi.backend import Eclipse
from bridge.backends.esapi.chart import names
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.hosts import StandAlone
from bridge.backends.esapi.reach.site import SiteSettings, read_site
from bridge.backends.esapi.reach.thread import EsapiThread, OwnThread
from bridge.commands import CommandRefused
from bridge.data_folder import default_folder
from sim_tps.naming import tg263_name

KEY_FILE = "eclipse-patient-names.key"
TOKEN_FILE = "eclipse-token"
JOURNAL_FILE = "eclipse-journal.sqlite"
MEMORY_FOLDER = "eclipse-plans"
GRACE_S = 3.0


def site_for(config: Path, patients: Sequence[str], *, writable: bool) -> SiteSettings:
    """The configuration, with what the command line adds to it."""
    site = read_site(config)
    if site.dll_folder is None:
        raise CommandRefused(
            f"{str(config)!r} names no dll_folder in section [esapi]; set it to Eclipse's folder esapi\\API."
        )
    added = {"patients": tuple(patients)} if patients else {}
    return site.model_copy(update={**added, "writable": site.writable or writable})


def data_folder() -> Path:
    """Where this user's key, token and journal lie."""
    folder = default_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def patient_key(site: SiteSettings, folder: Path) -> bytes:
    """What hides patient ids in names: the configured text, or a random one that is kept in ``folder``."""
    if site.patient_key:
        return site.patient_key.encode()
    path = folder / KEY_FILE
    if not path.exists():
        _make_key(path)
    key = path.read_text().strip()
    if re.fullmatch(r"[0-9a-f]{64}", key) is None:
        raise CommandRefused(
            f"{str(path)!r}, which turns patient ids into names, holds no key of 64 hexadecimal digits; restore it "
            "from a copy, or delete it, and patients get other names."
        )
    return key.encode()


def _make_key(path: Path) -> None:
    """Write a key aside and put it in place at once, unless another process was first."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    try:
        with suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()


def backend(thread: EsapiThread, make_host: Any, site: SiteSettings, key: bytes, folder: Path | None = None) -> Eclipse:
    """Eclipse with this project's reading of structure names; ``folder`` keeps what Eclipse cannot."""
    return Eclipse(thread, make_host, site, key, tg263_name, None if folder is None else folder / MEMORY_FOLDER)


@contextmanager
def stand_alone(site: SiteSettings) -> Iterator[EsapiThread]:
    """.NET, ESAPI and their thread, for the length of the block; ends the process if Eclipse does not let go."""
    access.load(site.dll_folder)
    thread = OwnThread()
    try:
        yield thread
    finally:
        has_ended = thread.close(GRACE_S)
    if not has_ended:
        _leave()


def host(site: SiteSettings) -> StandAlone:
    """Makes the application; on the ESAPI thread."""
    return StandAlone(lambda: access.api().Application.CreateApplication(), site)


def check(site: SiteSettings) -> list[checkup.Line]:
    """Connect, look, and let go."""
    with stand_alone(site) as thread:

        def look() -> list[checkup.Line]:
            eclipse = host(site)
            try:
                return checkup.look(eclipse, site)
            finally:
                eclipse.close()

        return thread.call(look)


def names_of(site: SiteSettings, key: bytes) -> list[tuple[str, str]]:
    """Id and resource name of each patient that is configured, for the person who configured them."""
    return [(each, names.patient_name(key, each)) for each in site.patients]


def _leave() -> None:
    """Go without .NET's consent: its exit handler would wait for a call that may never return."""
    sys.stdout.flush()
    sys.stderr.write("Eclipse did not let go in time; uncommitted work in it is lost.\n")
    sys.stderr.flush()
    os._exit(1)
