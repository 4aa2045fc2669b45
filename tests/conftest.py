"""What every test may ask for: the shared patient data, where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real patients and reference doses; a test that asks for it skips where it is absent."""
    folder = Path(os.environ.get("BEAMWRIGHT_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared patient data at {folder}; set BEAMWRIGHT_SHARED_DATA to its folder")
    return folder
