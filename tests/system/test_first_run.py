"""The first run on a machine, which compiles the loops, gives what every later one gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def planned(folder: Path, cache: Path) -> object:
    """Goal values of one attempt by the real command, with its own place for compiled code."""
    command = [sys.executable, "-m", "agent.cli", "plan", "tg119", "--max-attempts", "1", "--out", str(folder)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    subprocess.run(command, env=environment, check=False, capture_output=True)
    return [goal["value"] for goal in json.loads((folder / "result.json").read_text())["goals"]]


@pytest.mark.slow
def test_the_first_run_is_repeated_by_the_second(tmp_path: Path) -> None:
    """With nothing compiled yet, and with all of it there, every goal has the same value to the last digit."""
    assert planned(tmp_path / "first", tmp_path / "cache") == planned(tmp_path / "second", tmp_path / "cache")
