"""What becomes of the agent's plans when a person, another program or a restart comes in between.

The one idea: whatever somebody else did, nothing of theirs is lost, and nothing of the agent's is left that nobody is
told of.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge import model
from bridge.client import Client
from tests.eclipse.conftest import find
from tests.eclipse.emulated import FULL, PHANTOM, PLAN, REPOSITORY, Eclipse, Profile
from tests.eclipse.working import by_label, copied, dosed, plan_named, usual, writing

IN_ECLIPSE = Profile("in-eclipse", "18.0", "Gy")
PROBE_LIMIT_S = 100
OPTIMISING_S = 3
Found = dict[str, Any]


# ------------------------------------------------------------------------------------------ a person in Eclipse


@pytest.fixture(scope="module")
def seen(esapi: None, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A session in Eclipse beside a person who renames, copies, uses and normalises: what either of them saw."""
    folder = tmp_path_factory.mktemp("sessions")
    site = Eclipse(IN_ECLIPSE, folder)
    site.set(optimise_seconds=OPTIMISING_S)
    site.configure()
    child = subprocess.run(
        [sys.executable, "-m", "tests.eclipse.sessions_probe", str(site.ini_file)],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "BEAMWRIGHT_EMULATION": str(site.settings_file),
            "BEAMWRIGHT_DATA_DIR": str(folder / "data"),
            "MONO_THREADS_SUSPEND": "preemptive",
            "GRPC_ENABLE_FORK_SUPPORT": "0",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROBE_LIMIT_S,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    found: Found = json.loads(child.stdout.splitlines()[-1])
    return found


def test_a_copy_that_a_person_renamed_is_taken_back_all_the_same(seen: Found) -> None:
    """It is known by its UID, and nothing of the session stays in Eclipse."""
    assert seen["a_person_renames_the_copy"]["plans"] == [f"C1/{PLAN}"]


def test_a_persons_plan_under_the_agents_name_is_not_the_agents(seen: Found) -> None:
    """It is not offered, cannot be written to, and stays when the agent's own, renamed, is taken back."""
    case = seen["a_persons_plan_has_the_agents_name"]
    assert "copy" not in case["working_copies"]
    assert case["refusal"] == "NotFound"
    assert case["plans"] == ["BW_AGENT/copy", f"C1/{PLAN}"]


def test_what_cannot_be_taken_back_stops_nothing_and_is_named(seen: Found) -> None:
    """A helper that the person uses stays; the rest goes, the patient is free, and the window names what stays."""
    case = seen["a_helper_is_used_by_the_person"]
    assert case["helpers"] == ["zUsed"]
    assert case["plans"] == [f"C1/{PLAN}"]
    assert case["told"].startswith("Could not be taken back: structure zUsed.")
    assert any(line == "could not be taken back, and stays in Eclipse: structure zUsed" for line in seen["window"])


def test_a_metric_during_work_is_never_of_before_a_persons_change(seen: Found) -> None:
    """A plan that the person normalised: its old metric is not handed out while Eclipse works on another plan."""
    case = seen["a_metric_is_not_of_before"]
    assert case["meanwhile"] == "TpsBusy"
    assert case["shown"] == pytest.approx(case["after"], rel=1e-6)
    assert case["after"] == pytest.approx(case["before"] * 100.0 / 80.0, rel=1e-4)


def test_a_plan_committed_in_eclipse_is_the_persons(seen: Found) -> None:
    """It is LOCKED and says why, every change to it is refused, a copy can be changed, and it is never deleted."""
    case = seen["a_committed_plan_is_the_persons"]
    assert case["state"] == "LOCKED"
    assert "left to the person to save" in case["vendor_state"]
    assert case["refusals"] == ["PlanNotEditable"] * 4
    assert case["copy"] == "EDITABLE"
    assert case["plans"] == ["BW_AGENT/copy", f"C1/{PLAN}"]
    assert case["objectives"] == 3


# ------------------------------------------------------------------------------------------ another program saves


def test_what_others_save_is_seen_and_not_written_over(own_eclipse: Callable[..., Eclipse]) -> None:
    """A reader sees it once the patient was opened too long ago, a session at once, and a commit keeps it."""
    used = own_eclipse(FULL, reread_s="1")
    with used.client() as client:
        patient = find(client, PHANTOM)
        before = plan_named(client, patient)
        _saved_elsewhere(used, normalization=90.0)
        _until(lambda: plan_named(client, patient).etag != before.etag)
        _saved_elsewhere(used, comment="of a person")
        with writing(client, patient) as session:
            copied(session, patient)
            session.commit(session.pending_changes().digest)
    (clinic,) = (plan for plan in _plans(used.saved(PHANTOM)) if plan["id"] == PLAN)
    assert (clinic["comment"], clinic["normalization"]) == ("of a person", 90.0)


# ------------------------------------------------------------------------------------------ a restart


def test_a_restart_loses_nothing_that_was_committed(own_eclipse: Callable[..., Eclipse]) -> None:
    """Etag, provenance, kind of dose, normalisation and the names of objectives are as before, on a site of factors."""
    switches = {"switches": {"normalization": "factor"}}
    first = own_eclipse(FULL, settings=switches, normalization="factor")
    with first.client() as client, writing(client, find(client, PHANTOM)) as session:
        patient = find(client, PHANTOM)
        plan = dosed(session, patient, "kept")
        session.set_normalization(plan.name, model.PercentNormalization(90.0))
        session.create_snapshot(plan.name, "before")
        session.delete_objective(session.objectives(plan.name)[0].name)
        session.optimize(plan.name, model.OptimizeSpec(max_iterations=5))
        session.commit(session.pending_changes().digest)
        before, objectives = session.plan(plan.name), session.objectives(plan.name)
    first.kill()
    pages = list((first.folder / "data" / "eclipse-plans").iterdir())
    assert [page.suffix for page in pages] == [".json"]
    assert PHANTOM not in pages[0].read_text("utf-8")
    again = own_eclipse(FULL, folder=first.folder, settings=switches, normalization="factor")
    with again.client() as client:
        after = plan_named(client, find(client, PHANTOM), "kept")
        assert after.etag == before.etag
        assert after.provenance == before.provenance
        assert after.normalization == model.PercentNormalization(90.0)
        assert after.dose.kind is before.dose.kind
        assert client.objectives(after.name) == objectives


def test_a_page_that_is_spoilt_is_not_used(own_eclipse: Callable[..., Eclipse]) -> None:
    """What is kept beside Eclipse may be lost: the plan is then one like any other, and a warning names the file."""
    first = own_eclipse(FULL)
    with first.client() as client, writing(client, find(client, PHANTOM)) as session:
        copied(session, find(client, PHANTOM))
        session.commit(session.pending_changes().digest)
    first.kill()
    (page,) = (first.folder / "data" / "eclipse-plans").iterdir()
    page.write_text('{"patient": 1')
    again = own_eclipse(FULL, folder=first.folder)
    with again.client() as client:
        assert plan_named(client, find(client, PHANTOM), "copy").provenance is None
    assert page.name in again.log


def test_a_change_after_a_commit_that_is_discarded_is_forgotten(client: Client, stand_alone: Eclipse) -> None:
    """What is kept beside Eclipse goes back with the plan: dose, etag and objectives are those of the commit."""
    patient = find(client, PHANTOM)
    with writing(client, patient) as session:
        plan = dosed(session, patient, "back")
        session.commit(session.pending_changes().digest)
        before, objectives = session.plan(plan.name), session.objectives(plan.name)
        session.replace_objectives(plan.name, usual(by_label(session, patient))[:1])
        session.optimize(plan.name, model.OptimizeSpec(max_iterations=5))
    after = client.plan(plan.name)
    assert (after.etag, after.dose.kind) == (before.etag, before.dose.kind)
    assert client.objectives(plan.name) == objectives
    stand_alone.kill()
    _drop(stand_alone, "back")


# ------------------------------------------------------------------------------------------ normalisation


@pytest.mark.slow
def test_a_site_that_names_the_wrong_reading_is_told(own_eclipse: Callable[..., Eclipse]) -> None:
    """What a dose shows is used from then on, for every patient, and a warning names the key."""
    used = own_eclipse(FULL, settings={"switches": {"normalization": "factor"}})
    with used.client() as client, writing(client, find(client, PHANTOM)) as session:
        plan = dosed(session, find(client, PHANTOM))
        shown = session.set_normalization(plan.name, model.PercentNormalization(90.0))
        assert shown.normalization == model.PercentNormalization(90.0)
        assert shown.dose.max_gy == pytest.approx(0.9 * plan.dose.max_gy, rel=1e-3)
    assert "normalisation value acts otherwise than configured" in used.log
    assert "normalization" in used.log


# ------------------------------------------------------------------------------------------ helpers


def _record(used: Eclipse) -> Path:
    for path in used.hospital.glob("*/record.json"):
        if json.loads(path.read_text("utf-8"))["id"] == PHANTOM:
            return path
    raise LookupError(PHANTOM)


def _plans(record: Any) -> list[dict[str, Any]]:
    return [plan for course in record["courses"] for plan in course["plans"]]


def _saved_elsewhere(used: Eclipse, **changes: Any) -> None:
    """Somebody changes the ordinary plan at another station, and saves."""
    path = _record(used)
    record = json.loads(path.read_text("utf-8"))
    for plan in _plans(record):
        if plan["id"] == PLAN:
            plan.update(changes)
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(record), "utf-8")
    aside.replace(path)


def _drop(used: Eclipse, label: str) -> None:
    """Take a committed plan out of the database again, for the tests that share it."""
    path = _record(used)
    record = json.loads(path.read_text("utf-8"))
    for course in record["courses"]:
        course["plans"] = [plan for plan in course["plans"] if plan["id"] != label]
    record["courses"] = [course for course in record["courses"] if course["plans"]]
    path.write_text(json.dumps(record), "utf-8")


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15.0
    while not true():
        assert time.monotonic() < deadline, "it did not become true in 15 s"
        time.sleep(0.2)
