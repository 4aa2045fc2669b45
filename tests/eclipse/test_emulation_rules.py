"""The emulation enforces Eclipse's rules, in each version, whoever asks: broken straight through .NET, one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.eclipse import emulated
from tests.eclipse.emulated import REPOSITORY, Eclipse, Profile
from tests.eclipse.rules_probe import RULES

LIMIT_S = 240.0


@pytest.fixture(scope="module")
def enforced(esapi: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """``enforced(version)``: by rule what was wrong, empty where nothing was."""

    @cache
    def told(version: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("rules") / version
        folder.mkdir()
        site = Eclipse(Profile("stand-alone", version, "Gy"), folder)
        child = subprocess.run(
            [sys.executable, "-m", "tests.eclipse.rules_probe", str(Path(emulated.BUILD) / version), version],
            cwd=REPOSITORY,
            env={
                **os.environ, "BEAMWRIGHT_EMULATION": str(site.settings_file), "MONO_THREADS_SUSPEND": "preemptive",
            },
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )  # fmt: skip
        assert child.returncode == 0, child.stderr[-3000:]
        found: dict[str, str] = json.loads(child.stdout.splitlines()[-1])
        return found

    return told


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    "version", ["18.0", pytest.param("16.1", marks=pytest.mark.slow), pytest.param("15.6", marks=pytest.mark.slow)]
)
def test_a_rule_is_enforced(version: str, name: str, enforced: Callable[[str], dict[str, str]]) -> None:
    assert enforced(version)[name] == ""
