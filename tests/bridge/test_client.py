"""The client against a real server: what it asks, what it changes, what it refuses."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bridge import errors, logs, model
from bridge.client import AsyncClient, AsyncSession, Client, Session
from bridge.server.journal import Journal
from bridge.testing import Serving, serve
from tests.bridge.toy_backend import ToyBackend

PATIENT = "patients/P1"
CLINICAL = "patients/P1/plans/clinical"
PTV = "patients/P1/structures/ptv"
OPTIMIZE = model.OptimizeSpec()
WRITE = model.SessionMode.READ_WRITE


@pytest.fixture
def backend() -> ToyBackend:
    return ToyBackend()


@pytest.fixture
def server(backend: ToyBackend) -> Iterator[Serving]:
    with serve(backend) as server:
        yield server


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def session(client: Client) -> Iterator[Session]:
    with client.session(PATIENT, WRITE) as session:
        yield session


@pytest.fixture
def plan(session: Session) -> model.Plan:
    return session.copy_plan(CLINICAL, "Working copy")


# the whole way -------------------------------------------------------------------------------------------------------


def test_a_plan_is_copied_changed_optimised_and_saved(client: Client, session: Session) -> None:
    """One session goes from a clinical plan to a committed better one, and others see it only then."""
    copy = session.copy_plan(CLINICAL, "Better")
    (objective,) = session.objectives(copy.name)
    changed = session.set_priority(objective.name, 250.0, reason="the target needs more")
    optimized = session.optimize(copy.name, OPTIMIZE)
    calculated = session.calculate_dose(copy.name)
    pending = session.pending_changes()

    assert changed.spec.priority == 250.0
    assert optimized.values == {objective.name: 2.5}
    assert calculated.dose.kind is model.DoseKind.APPROXIMATE
    assert [p.name for p in client.plans(PATIENT)] == [CLINICAL]
    assert [change.resource for change in session.commit(pending.digest)] == [copy.name]
    assert {p.name for p in client.plans(PATIENT)} == {CLINICAL, copy.name}


def test_what_is_not_committed_is_gone_when_the_session_ends(client: Client) -> None:
    """Leaving the block without a commit leaves no trace."""
    with client.session(PATIENT, WRITE) as session:
        copy = session.copy_plan(CLINICAL, "For nothing")
    with pytest.raises(errors.NotFound, match=copy.name):
        client.plan(copy.name)


def test_objectives_can_be_made_changed_and_removed(session: Session, plan: model.Plan) -> None:
    """Each write sees the state that the one before left, without the caller handling etags."""
    cord = model.ObjectiveSpec("patients/P1/structures/cord", model.MaxDose(45.0), 80.0)
    session.replace_objectives(plan.name, [cord])
    made = session.create_objective(plan.name, model.ObjectiveSpec(PTV, model.MinDose(60.0), 100.0))
    session.update_objective(made.name, replace(made.spec, function=model.MinDose(61.0)))
    assert [o.spec.function for o in session.objectives(plan.name)] == [model.MaxDose(45.0), model.MinDose(61.0)]
    session.delete_objective(made.name)
    assert [o.spec for o in session.objectives(plan.name)] == [cord]


def test_a_snapshot_brings_a_plan_back(session: Session, plan: model.Plan) -> None:
    """Restoring gives the old objectives under a new etag, which the next write knows."""
    (objective,) = session.objectives(plan.name)
    snapshot = session.create_snapshot(plan.name, "before")
    session.set_priority(objective.name, 900.0)
    restored = session.restore_snapshot(snapshot.name)
    session.set_priority(objective.name, 150.0)
    assert session.snapshots(plan.name) == (snapshot,)
    assert restored.etag != snapshot.plan_etag


def test_a_plan_and_a_helper_structure_are_made_and_deleted(session: Session) -> None:
    """What AUTHOR servers can do, the client can ask for."""
    ring = model.Derivation(model.DerivationKind.RING, (PTV,), inner_mm=2.0, outer_mm=10.0)
    helper = session.create_structure("zRing", ring)
    prescription = model.Prescription(30, (model.TargetPrescription(PTV, 60.0),))
    beams = (model.BeamSpec(0.0, isocentre_structure=PTV),)
    made = session.create_plan(model.PlanSpec("New", prescription, beams))
    normalized = session.set_normalization(made.name, model.PercentNormalization(98.0))
    assert normalized.normalization == model.PercentNormalization(98.0)
    assert helper.name in {s.name for s in session.structures(PATIENT)}
    session.delete_plan(made.name)
    session.delete_structure(helper.name)
    assert not session.pending_changes().changes


def test_doses_come_as_numbers_curves_and_voxels(session: Session, plan: model.Plan) -> None:
    """Metrics, DVH and voxels tell of the same dose."""
    session.calculate_dose(plan.name)
    query = model.MetricQuery(model.MetricKind.MEAN_DOSE, PTV)
    (metric,) = session.evaluate(plan.name, [query])
    dose, mask = session.dose(plan.name), session.mask(PTV)
    assert metric.query == query
    assert metric.value == pytest.approx(dose.values[mask.values > 0.5].mean())
    assert session.dvh(plan.name, PTV).mean_gy == pytest.approx(metric.value)
    assert dose.dose == session.dose_info(plan.name)


def test_voxels_arrive_as_they_were_sent(backend: ToyBackend, client: Client) -> None:
    """An image is the same on both sides, place and values."""
    image = client.image(PATIENT)
    assert image.grid == backend.image(PATIENT).grid
    np.testing.assert_array_equal(image.values, backend.image(PATIENT).values)


def test_long_lists_come_whole(backend: ToyBackend) -> None:
    """Pages are put together."""
    names = [f"P{number}" for number in range(250)]
    with serve(ToyBackend(names)) as server, server.client() as client:
        assert [patient.name for patient in client.patients()] == [f"patients/{name}" for name in names]


def test_the_asynchronous_client_goes_the_same_way(server: Serving) -> None:
    """Code that awaits has the same calls, progress and results."""

    async def journey() -> tuple[model.OptimizationResult, list[model.Progress]]:
        seen: list[model.Progress] = []
        async with await server.async_client() as client, client.session(PATIENT, WRITE) as session:
            copy = await session.copy_plan(CLINICAL, "Async")
            return await session.optimize(copy.name, OPTIMIZE, on_progress=seen.append), seen

    result, seen = asyncio.run(journey())
    assert result.converged
    assert [progress.iteration for progress in seen][-1] == result.iterations


@pytest.mark.parametrize(("awaited", "waited"), [(AsyncClient, Client), (AsyncSession, Session)])
def test_the_blocking_client_has_every_method_of_the_asynchronous_one(awaited: type, waited: type) -> None:
    """Same names, same parameters, same documentation; only the life of a session is the session's own affair."""
    own_affairs = {"keep_alive"} if awaited is AsyncSession else {"close"}
    for name, method in inspect.getmembers(awaited, inspect.isfunction):
        if not name.startswith("_") and name not in own_affairs | {"close"}:
            twin = getattr(waited, name)
            assert inspect.signature(twin) == inspect.signature(method), name
            assert twin.__doc__ == method.__doc__, name


# long work -----------------------------------------------------------------------------------------------------------


def test_progress_is_told_in_order_and_in_the_callers_thread(session: Session, plan: model.Plan) -> None:
    """A callback may draw on a screen without locking anything."""
    seen: list[tuple[int | None, threading.Thread]] = []
    session.optimize(plan.name, OPTIMIZE, lambda p: seen.append((p.iteration, threading.current_thread())))
    iterations = [iteration for iteration, _ in seen]
    assert iterations == sorted(iterations, key=lambda i: i or 0)
    assert iterations[-1] == 3
    assert {thread for _, thread in seen} == {threading.current_thread()}


def test_an_operation_can_be_started_watched_and_cancelled() -> None:
    """Who does not want to wait gets the operation itself."""
    backend = ToyBackend(hold=True)
    with serve(backend) as server, server.client() as client, client.session(PATIENT, WRITE) as session:
        copy = session.copy_plan(CLINICAL, "Watched")
        started = session.start_optimize(copy.name, OPTIMIZE)
        outcome = session.cancel(started.name)
        backend.go_on.release(5)
        states = list(session.watch(started.name))
    assert outcome in {model.CancelOutcome.CANCELLING, model.CancelOutcome.CANCELLED}
    assert states[-1].state is model.OperationState.CANCELLED
    assert all(not state.state.ended for state in states[:-1])


def test_ctrl_c_cancels_the_optimisation() -> None:
    """A person who interrupts the wait stops the work, and still gets the interruption."""
    backend = ToyBackend(hold=True, optimize_steps=100)

    def interrupt(_: model.Progress) -> None:
        main = threading.main_thread().ident
        assert main is not None
        threading.Thread(target=signal.pthread_kill, args=(main, signal.SIGINT)).start()

    with serve(backend) as server, server.client() as client, client.session(PATIENT, WRITE) as session:
        copy = session.copy_plan(CLINICAL, "Interrupted")
        backend.go_on.release()
        with pytest.raises(KeyboardInterrupt):
            session.optimize(copy.name, OPTIMIZE, interrupt)
        backend.go_on.release(100)
        (operation,) = client.operations(copy.name)
        last = list(client.watch(operation.name))[-1]
    assert last.state is model.OperationState.CANCELLED


def test_a_callback_that_fails_cancels_the_optimisation() -> None:
    """An exception in the caller's own code ends the wait and the work."""
    backend = ToyBackend(hold=True, optimize_steps=100)
    with serve(backend) as server, server.client() as client, client.session(PATIENT, WRITE) as session:
        copy = session.copy_plan(CLINICAL, "Broken callback")
        backend.go_on.release()
        with pytest.raises(ZeroDivisionError):
            session.optimize(copy.name, OPTIMIZE, lambda _: 1 // 0)
        backend.go_on.release(100)
        (operation,) = client.operations(copy.name)
        last = list(client.watch(operation.name))[-1]
    assert last.state is model.OperationState.CANCELLED


def test_a_failed_operation_raises_the_error_it_ended_with(
    backend: ToyBackend, session: Session, plan: model.Plan
) -> None:
    """What the TPS refused during the work comes out of the call that waited for it."""
    backend.fail_next = errors.TpsRefused("the beam does not fit")
    with pytest.raises(errors.TpsRefused, match="the beam does not fit"):
        session.optimize(plan.name, OPTIMIZE)


# refusals ------------------------------------------------------------------------------------------------------------


def test_a_change_behind_the_callers_back_is_not_overwritten(
    backend: ToyBackend, session: Session, plan: model.Plan
) -> None:
    """A stale etag is refused; after reading again the same write goes through."""
    (objective,) = session.objectives(plan.name)
    backend.someone_changes(plan.name)
    with pytest.raises(errors.EtagMismatch):
        session.set_priority(objective.name, 300.0)
    session.plan(plan.name)
    assert session.set_priority(objective.name, 300.0).spec.priority == 300.0


def test_an_etag_given_by_the_caller_is_the_one_that_is_sent(session: Session, plan: model.Plan) -> None:
    """``etag=`` overrides what the session remembers."""
    with pytest.raises(errors.EtagMismatch):
        session.set_normalization(plan.name, None, etag="of-yesterday")


def test_a_reused_request_id_is_refused(session: Session, plan: model.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should two writes ever share an id, the second is refused instead of answered like the first."""
    same = uuid.UUID(int=7)
    monkeypatch.setattr("uuid.uuid4", lambda: same)
    session.create_snapshot(plan.name, "first")
    with pytest.raises(errors.RequestIdReused):
        session.create_snapshot(plan.name, "second")


def test_a_lost_lease_shows_at_the_next_call() -> None:
    """Reads and writes of a session whose lease ran out raise SessionExpired, and leaving the block stays quiet."""
    late = timedelta()
    with (
        serve(ToyBackend(), clock=lambda: datetime.now(UTC) + late) as server,
        server.client() as client,
        client.session(PATIENT, WRITE, lease_s=600.0) as session,
    ):
        late = timedelta(hours=1)
        with pytest.raises(errors.SessionExpired):
            session.plans(PATIENT)
        with pytest.raises(errors.SessionExpired):
            session.copy_plan(CLINICAL, "Too late")


def test_the_lease_is_renewed_in_the_background(client: Client) -> None:
    """A session in use outlives its lease several times over."""
    lease = timedelta(seconds=0.3)
    with client.session(PATIENT, WRITE, lease_s=lease.total_seconds()) as session:
        until = datetime.now(UTC) + 3 * lease
        while datetime.now(UTC) < until:
            session.plans(PATIENT)


def test_a_session_reads_unless_it_asks_for_writing(client: Client) -> None:
    """Nobody changes anything by leaving the mode out."""
    with client.session(PATIENT) as session, pytest.raises(errors.ReadOnly):
        session.copy_plan(CLINICAL, "not asked for")


@pytest.mark.parametrize("change", ["set_priority", "update_objective", "delete_objective"])
def test_an_objective_that_is_not_there_is_not_found(session: Session, plan: model.Plan, change: str) -> None:
    """Each change of it says which one is missing."""
    missing = f"{plan.name}/objectives/none"
    changes = {
        "set_priority": lambda: session.set_priority(missing, 10.0),
        "update_objective": lambda: session.update_objective(
            missing, model.ObjectiveSpec(PTV, model.MaxDose(66.0), 1.0)
        ),
        "delete_objective": lambda: session.delete_objective(missing),
    }
    with pytest.raises(errors.NotFound, match="objectives/none"):
        changes[change]()


def test_a_patient_has_one_writing_session(client: Client, session: Session) -> None:
    """The second one is told so, and reading is still open to it."""
    with pytest.raises(errors.SessionConflict), client.session(PATIENT, WRITE):
        pass
    with client.session(PATIENT) as reader:
        assert reader.plans(PATIENT)


def test_fields_that_cannot_be_used_are_named(session: Session, plan: model.Plan) -> None:
    """The violations of a refused request travel to the caller."""
    with pytest.raises(errors.InvalidField) as refusal:
        session.optimize(plan.name, model.OptimizeSpec(max_iterations=0))
    assert [violation.field for violation in refusal.value.violations] == ["spec.max_iterations"]


def test_a_missing_capability_is_named() -> None:
    """A server without AUTHOR refuses to make plans."""
    reader = frozenset({model.Profile.READER, model.Profile.PLANNER})
    with (
        serve(ToyBackend(profiles=reader)) as server,
        server.client() as client,
        pytest.raises(errors.CapabilityMissing),
    ):
        client.machines()


def test_a_read_only_server_opens_no_writing_session() -> None:
    """The operator's word counts more than the token's."""
    with (
        serve(ToyBackend(), read_only=True) as server,
        server.client() as client,
        pytest.raises(errors.ReadOnly),
        client.session(PATIENT, WRITE),
    ):
        pass


def test_one_correlation_id_goes_from_the_caller_to_the_audit(tmp_path: Path) -> None:
    """What the caller's logs say and what the server's audit says can be laid side by side."""
    journal = tmp_path / "journal.sqlite"
    with serve(ToyBackend(), journal_path=journal) as server, server.client() as client, logs.correlated("work-42"):
        client.plans(PATIENT)
    entries = Journal(journal).audit()
    assert ("PlanService/ListPlans", "work-42") in {(entry.method, entry.correlation_id) for entry in entries}
