"""`beamwright plan` as it is, on an emulated Eclipse: each planner, stand-alone and on the plan that is open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.protocols import load
from agent.trace import verify
from bridge.backends.emulated_eclipse import intake
from tests.agent.coarse import COARSE
from tests.agent.model_server import serve_model
from tests.eclipse import emulated
from tests.eclipse.emulated import FULL, HOSTS, PHANTOM, PLAN, Eclipse, Host, Profile
from tests.planners.sensible import sensible

LIMIT_S = 200
COMMAND = Path(sys.executable).with_name("beamwright")
POINTS = "prostate-m2m-7-points"
PROSTATE = "PROSTATE"


def planned(
    eclipse: Eclipse, folder: Path, *options: str, case: str = PHANTOM, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    token = folder / "token"
    token.write_text(eclipse.token)
    server = ["--endpoint", eclipse.endpoint, "--token-file", str(token), "--out", str(folder / "run")]
    environment = {**os.environ, "BEAMWRIGHT_MODELS": "loopback", "COLUMNS": "200"}
    return subprocess.run(
        [COMMAND, "plan", case, *server, *options],
        env=environment, input=answer, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip


def result(folder: Path) -> Any:
    assert verify(folder / "run" / "trace.jsonl").ok
    return json.loads((folder / "run" / "result.json").read_text())


@pytest.fixture
def protocol(tmp_path: Path) -> str:
    path = tmp_path / "coarse.yaml"
    path.write_text(COARSE)
    return str(path)


@pytest.mark.parametrize("host", HOSTS)
def test_rules_plan_and_commit(host: Host, protocol: str, tmp_path: Path, own_eclipse: Callable[..., Eclipse]) -> None:
    """The target is covered, the best attempt comes back, and what the person said yes to is there for good."""
    eclipse = own_eclipse(Profile(host, "18.0", "Gy"), after="save")
    done = planned(
        eclipse, tmp_path, "--protocol", protocol, "--planner", "rules", "--max-attempts", "3", "--commit", answer="y\n"
    )
    assert done.returncode in (0, 3), done.stderr + done.stdout
    found = result(tmp_path)
    coverage = next(goal for goal in found["goals"] if goal["metric"] == "D95%[Gy]")
    assert coverage["value"] == pytest.approx(50.0, abs=0.05)
    assert found["restoration"]["largest_difference_percent"] < 2.0
    if eclipse.in_eclipse:
        assert "Save the patient there yourself" in done.stdout
        eclipse.close_window()
        eclipse.event("saved")
    else:
        assert "Saved on the server." in done.stdout
    plans = {plan["id"]: plan for course in eclipse.saved(PHANTOM)["courses"] for plan in course["plans"]}
    assert set(plans) == {PLAN, "beamwright"}
    assert plans["beamwright"]["dose_valid"]
    assert plans["beamwright"]["approval"] == "UnApproved"


@pytest.mark.slow
@pytest.mark.parametrize("planner", ["sage", "zero-shot"])
@pytest.mark.parametrize("host", HOSTS)
def test_a_model_plans(
    host: Host, planner: str, protocol: str, tmp_path: Path, own_eclipse: Callable[..., Eclipse]
) -> None:
    """Its answers are read, its attempts made, and nothing that Eclipse lacks is asked for."""
    eclipse = own_eclipse(Profile(host, "18.0", "Gy"))
    with serve_model(sensible()) as server:
        done = planned(
            eclipse, tmp_path, "--protocol", protocol, "--planner", planner, "--max-attempts", "3",
            "--base-url", server.base_url,
        )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr + done.stdout
    found = result(tmp_path)
    assert found["attempts"] >= 2
    assert found["format_errors"] == {}


def test_the_published_m2m_is_refused_with_its_variant(own_eclipse: Callable[..., Eclipse], tmp_path: Path) -> None:
    """Eclipse has neither the problem nor hard constraints: CAPABILITY_MISSING, and the protocol that runs there."""
    done = planned(own_eclipse(FULL), tmp_path, "--protocol", "prostate-m2m-7", "--planner", "rules")
    assert done.returncode == 1
    said = done.stderr + done.stdout
    assert "CAPABILITY_MISSING: optimize.problem.hot-fraction" in said
    assert POINTS in said


def test_the_variant_of_m2m_runs(own_eclipse: Callable[..., Eclipse], tmp_path: Path) -> None:
    """From the nominal start, lambda and tau as upper points; no attempt is worse than the first."""
    eclipse = own_eclipse(FULL, started=False)
    intake.make_patient(eclipse.hospital, "prostate", PROSTATE)
    intake.add_plan(
        eclipse.hospital, PROSTATE, PLAN, target="PTV", fractions=44, dose_per_fraction_gy=1.8,
        models=emulated.models("18.0"),
    )  # fmt: skip
    eclipse.start()
    with serve_model(sensible()) as server:
        done = planned(
            eclipse, tmp_path, "--protocol", POINTS, "--planner", "m2m", "--max-attempts", "4",
            "--base-url", server.base_url, case=PROSTATE,
        )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr + done.stdout
    found = result(tmp_path)
    assert found["attempts"] >= 2
    assert found["format_errors"] == {}
    assert any("upper points" in note for note in load(POINTS).protocol.notes)
    missed = [goal for goal in found["goals"] if goal["status"] == "missed"]
    first = [goal for goal in found["goals"] if goal["first_status"] == "missed"]
    assert len(missed) < len(first) or not first
