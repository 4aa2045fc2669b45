"""Where the simulated TPS keeps its patients and plans on this machine, and who may write there.

The one idea: one process holds a data folder at a time. The lock is the kernel's, so it goes with the process however
that ends; the lock file only tells the next one who holds it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

ENVIRONMENT_VARIABLE = "BEAMWRIGHT_DATA_DIR"
LOCK_FILE = "beamwright.lock"


class FolderInUse(Exception):
    """Another process holds the data folder."""

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(
            f"data folder {str(folder)!r} is in use by process {holder}. "
            "Stop that process, talk to it with --endpoint, or choose another folder with --data-dir."
        )
        self.folder = folder
        self.holder = holder
        """Process id, as that process wrote it."""


class NeedsPosix(Exception):
    """This operating system lacks what the simulated TPS needs."""


def require_posix() -> None:
    """Raise `NeedsPosix` where there are no file locks and signals of the POSIX kind."""
    if os.name != "posix":
        raise NeedsPosix(
            "the simulated TPS runs on Linux and macOS only. On Windows start it in WSL, or plan on a server elsewhere "
            "with --endpoint."
        )


def default_folder() -> Path:
    """The folder named by BEAMWRIGHT_DATA_DIR, otherwise the user's own data directory."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(named) if named else platformdirs.user_data_path("beamwright", appauthor=False)


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """Make the folder if need be and hold it until the block ends, or raise `FolderInUse` or `NeedsPosix`."""
    require_posix()
    import fcntl  # nowhere else than on POSIX

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # patients' data: nobody else's business
    with (folder / LOCK_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise FolderInUse(folder, lock.read().strip()) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield folder
