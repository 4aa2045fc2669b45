"""What every test may ask for and count on: the shared patient data, where it is present, and a working Ctrl-C."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Keep language models on this machine, and let Ctrl-C work where a run was started in the background too.

    Shells make such a run ignore it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["BEAMWRIGHT_MODELS"] = "loopback"  # no test, and no command a test starts, can reach a real provider


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real patients and reference doses; a test that asks for it skips where it is absent."""
    folder = Path(os.environ.get("BEAMWRIGHT_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared patient data at {folder}; set BEAMWRIGHT_SHARED_DATA to its folder")
    return folder
