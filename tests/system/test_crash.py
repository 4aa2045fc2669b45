"""What is left when the server dies without a word: committed work, honest operations, nothing half-written."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from bridge import errors, model
from bridge.client import Client, Session, connect
from bridge.launch import Announcement, launch
from sim_tps.store import DATABASE, Store
from tests.phantoms import water_cylinder

PATIENT = "patients/P1"
PTV = f"{PATIENT}/structures/PTV"
SPEC = model.PlanSpec(
    label="nine beams",
    prescription=model.Prescription(30, (model.TargetPrescription(PTV, 60.0),)),
    beams=tuple(model.BeamSpec(gantry_deg=float(g), isocentre_structure=PTV) for g in range(0, 360, 40)),
    dose_grid_mm=2.0,
)
OBJECTIVES = (
    model.ObjectiveSpec(PTV, model.DoseVolumePoint(model.Bound.LOWER, 60.5, 99.0), 300.0),
    model.ObjectiveSpec(f"{PATIENT}/structures/External", model.MaxDose(50.0), 1000.0),
)
WRITE = model.SessionMode.READ_WRITE
TESTER = model.ClientInfo("pytest", "1")
KILLS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with one small patient."""
    store = Store(tmp_path / "data")
    store.save_patient(water_cylinder())
    store.close()
    return tmp_path / "data"


@contextmanager
def running(folder: Path) -> Iterator[tuple[Announcement, Client]]:
    """A server on the folder, and a client of it."""
    with launch(data_dir=folder) as server, connect(server.endpoint, server.token) as client:
        yield server, client


def plan_names(client: Client) -> list[str]:
    return [plan.name for plan in client.plans(PATIENT)]


def test_killed_during_optimisation(folder: Path) -> None:
    """After kill -9 in mid-optimisation the operation says UNKNOWN_OUTCOME and the uncommitted plan is gone."""
    with suppress(errors.BridgeError), running(folder) as (server, client), ExitStack() as stack:
        session = stack.enter_context(client.session(PATIENT, mode=WRITE, client_info=TESTER))
        plan = session.create_plan(SPEC).name
        session.replace_objectives(plan, OBJECTIVES)
        operation = session.start_optimize(plan, model.OptimizeSpec(max_iterations=1000))
        next(seen for seen in session.watch(operation.name) if seen.state is model.OperationState.RUNNING)
        os.kill(server.pid, signal.SIGKILL)
    with running(folder) as (_, client):
        found = client.operation(operation.name)
        assert found.state is model.OperationState.UNKNOWN_OUTCOME
        assert plan_names(client) == []


def test_committed_work_survives_a_kill(folder: Path) -> None:
    """A plan whose commit was answered is there after kill -9, with its dose and metrics."""
    with suppress(errors.BridgeError), running(folder) as (server, client), ExitStack() as stack:
        session = stack.enter_context(client.session(PATIENT, mode=WRITE, client_info=TESTER))
        plan = planned(session)
        dvh = session.dvh(plan, PTV)
        session.commit(session.pending_changes().digest)
        os.kill(server.pid, signal.SIGKILL)
    with running(folder) as (_, client):
        assert plan_names(client) == [plan]
        assert client.dvh(plan, PTV).mean_gy == pytest.approx(dvh.mean_gy)


@pytest.mark.slow
def test_killed_at_any_moment_of_a_commit(folder: Path) -> None:
    """Kills spread over twice the time that a commit takes: each time the plan is there whole, or not at all."""
    longest_s, draws, outcomes = 2 * commit_time_s(folder), random.Random(20), set()
    for part in range(KILLS):
        with suppress(errors.BridgeError), running(folder) as (server, client), ExitStack() as stack:
            before = plan_names(client)
            session = stack.enter_context(client.session(PATIENT, mode=WRITE, client_info=TESTER))
            plan = planned(session)
            digest = session.pending_changes().digest
            moment_s = longest_s * (part + draws.random()) / KILLS
            kill = threading.Timer(moment_s, os.kill, (server.pid, signal.SIGKILL))
            kill.start()
            try:
                session.commit(digest)
                answered = True
            except errors.BridgeError:
                answered = False
            kill.join()
        outcomes.add(there_or_not(folder, before, plan, answered))
    assert outcomes == {"there", "gone"}


def commit_time_s(folder: Path) -> float:
    """How long this machine takes for one commit, as the client sees it."""
    with running(folder) as (_, client), client.session(PATIENT, mode=WRITE, client_info=TESTER) as session:
        planned(session)
        digest = session.pending_changes().digest
        begun = time.perf_counter()
        session.commit(digest)
        return time.perf_counter() - begun


def planned(session: Session) -> str:
    """A plan with a dose, made in a few iterations."""
    plan = session.create_plan(SPEC).name
    session.replace_objectives(plan, OBJECTIVES)
    session.optimize(plan, model.OptimizeSpec(max_iterations=3))
    session.calculate_dose(plan)
    return plan


def there_or_not(folder: Path, before: list[str], plan: str, answered: bool) -> str:
    """Open the folder again; fail on anything between all and nothing."""
    with sqlite3.connect(folder / DATABASE) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with running(folder) as (_, client):
        after = plan_names(client)
        assert set(after) - {plan} == set(before) - {plan}
        if plan not in after:
            assert not answered, "an answered commit was lost"
            return "gone"
        assert client.dose(plan).values.max() > 0
        return "there"
