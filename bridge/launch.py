"""Start a simulated TPS as a child process, for a program that wants one of its own to talk to.

The one idea: the child lives exactly as long as the pipe to its stdin. It ends when this process lets go of it, in
whatever way this process ends, and a Ctrl-C at the terminal reaches only this process, which can then finish politely.

The child prints one JSON line: when it is ready (`Announcement`), or when it refuses, and then why. The one-time token
in it is never on a command line or on disk.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

LOG_TAIL_LINES = 20
REFUSED = "refused"


class LaunchFailed(Exception):
    """The child did not come up: the sentence with which it refused, or else the end of its log."""


@dataclass(frozen=True)
class Announcement:
    """What a server started with ``--announce`` prints as one JSON line when it is ready."""

    endpoint: str
    """``host:port``, on this machine."""
    token: str
    pid: int
    patient: str | None = None
    """Name of the patient of ``--case``."""
    seed: int | None = None
    """Seed of a built-in case, also where it was left to the case."""

    @classmethod
    def read(cls, line: str) -> Announcement:
        """From the JSON line; fields that a newer server adds are left out.

        Raises
        ------
        LaunchFailed
            The line tells of a refusal.
        """
        content = json.loads(line)
        if REFUSED in content:
            raise LaunchFailed(content[REFUSED])
        return cls(**{field.name: content[field.name] for field in fields(cls) if field.name in content})


def refusal_line(message: str) -> str:
    """What a server started with ``--announce`` prints instead, when it cannot do what it was asked."""
    return json.dumps({REFUSED: message})


@contextmanager
def launch(
    patient_file: Path | None = None,
    *,
    case: str | None = None,
    seed: int | None = None,
    series: str | None = None,
    data_dir: Path | None = None,
    keep_nothing: bool = False,
    read_only: bool = False,
    log: Path | None = None,
    timeout_s: float = 120.0,
) -> Iterator[Announcement]:
    """A simulated TPS for the length of a ``with`` block.

    Parameters
    ----------
    patient_file : Path, optional
        A DICOM folder or an npz file to import first.
    case : str, optional
        A built-in case to make first, with ``seed``; instead of ``patient_file``.
    series : str, optional
        Which CT series of a DICOM folder to take, by its UID.
    data_dir : Path, optional
        Where patients and plans are kept; absent, the user's own data folder.
    keep_nothing : bool
        Keep everything in a folder that goes with the server, instead of ``data_dir``.
    read_only : bool
        Refuse every write. Otherwise plans can be made: the server is the caller's own, and goes with the block.
    log : Path, optional
        File that gets the server's log; absent, it is kept only to explain a failed start.
    timeout_s : float
        How long the server may take to come up, the import included.

    Raises
    ------
    LaunchFailed
        The child refused, ended or stayed silent.
    """
    if patient_file is not None and case is not None:
        raise ValueError(f"give a patient file ({patient_file}) or a built-in case ({case!r}), not both.")
    command = [sys.executable, "-m", "bridge.cli", "serve", "--announce", "--port", "0"]
    chosen = str(patient_file) if patient_file is not None else case
    command += ["--case", chosen] if chosen is not None else []
    command += ["--seed", str(seed)] if seed is not None else []
    command += ["--series", series] if series is not None else []
    command += ["--data-dir", str(data_dir)] if data_dir is not None else []
    command += ["--keep-nothing"] if keep_nothing else []
    command += [] if read_only else ["--writable"]
    with ExitStack() as stack:
        log_file = stack.enter_context(_log_file(log))
        child = stack.enter_context(_running(command, log_file))
        yield _announced(child, log_file, timeout_s)


@contextmanager
def _running(command: list[str], log_file: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log_file,
        text=True,
        start_new_session=True,  # Ctrl-C goes to the whole foreground group; the child is not to be in it
    )
    try:
        yield child
    finally:
        _end(child)


def _log_file(log: Path | None) -> IO[bytes]:
    return log.open("ab+") if log is not None else tempfile.TemporaryFile()


def _announced(child: subprocess.Popen[str], log_file: IO[bytes], timeout_s: float) -> Announcement:
    assert child.stdout is not None
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda out: lines.put(out.readline()), args=(child.stdout,), daemon=True).start()
    try:
        line = lines.get(timeout=timeout_s)
    except queue.Empty:
        raise LaunchFailed(f"the server was not ready after {timeout_s:g} s.{_tail(log_file)}") from None
    if not line:
        status = child.wait()
        raise LaunchFailed(f"the server ended with status {status} before it was ready.{_tail(log_file)}")
    return Announcement.read(line)


def _end(child: subprocess.Popen[str], grace_s: float = 10.0) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()


def _tail(log_file: IO[bytes]) -> str:
    log_file.seek(0)
    lines = log_file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(["\nIts log ends with:", *lines]) if lines else " Its log is empty."
