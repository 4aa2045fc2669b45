"""The simulated TPS behind the backend protocol: what it stores, refuses, keeps and forgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from bridge import errors, model
from bridge.backend import Backend
from bridge.backends.simulator import Simulator
from bridge.testing import serve
from tests.phantoms import water_cylinder

PATIENT = "patients/P1"
PTV = f"{PATIENT}/structures/PTV"
RECTUM = f"{PATIENT}/structures/Rectum"
EXTERNAL = f"{PATIENT}/structures/External"
WRITE = model.SessionMode.READ_WRITE
ORIGIN = model.Provenance(None, None, "tester", "pytest 1", None, datetime(2026, 1, 2, tzinfo=UTC), "0.1.0")
SPEC = model.PlanSpec(
    label="three beams",
    prescription=model.Prescription(30, (model.TargetPrescription(PTV, 60.0),)),
    beams=tuple(model.BeamSpec(gantry_deg=g, isocentre_structure=PTV) for g in (0.0, 120.0, 240.0)),
)
OBJECTIVES = (
    model.ObjectiveSpec(PTV, model.DoseVolumePoint(model.Bound.LOWER, 60.5, 99.0), 300.0),
    model.ObjectiveSpec(PTV, model.MaxDose(63.0), 100.0),
    model.ObjectiveSpec(RECTUM, model.MeanDose(20.0), 20.0),
)
CONSTRAINT = model.ObjectiveRole.CONSTRAINT
D95_PRESCRIBED = model.ObjectiveSpec(
    PTV, model.DoseVolumePoint(model.Bound.LOWER, 60.0, 95.0), None, CONSTRAINT, model.Relation.EQUAL
)
HOT_FRACTIONS = (
    model.ObjectiveSpec(PTV, model.HotFraction(60.0, 10.0), 55.0),
    model.ObjectiveSpec(RECTUM, model.HotFraction(36.0, 100.0), 1.0),
)
COVERAGE = model.CoverageNormalization(PTV, 95.0, 60.0)
D95 = model.MetricQuery(model.MetricKind.DOSE_AT_VOLUME, PTV, volume=95.0, volume_unit=model.VolumeUnit.PERCENT)


class Listener:
    """A monitor that keeps what it hears and can be told to stop the work after some reports."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.heard: list[model.Progress] = []
        self._stop_after = stop_after

    def report(self, progress: model.Progress) -> None:
        self.heard.append(progress)

    @property
    def cancelled(self) -> bool:
        return self._stop_after is not None and len(self.heard) >= self._stop_after


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    backend = Simulator(tmp_path)
    backend.tps.add_patient(water_cylinder(with_reference=True))
    yield backend
    backend.close()


@pytest.fixture
def planned(simulator: Simulator) -> tuple[Simulator, str]:
    """A plan with objectives, optimised, with dose and normalisation."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    simulator.replace_objectives(plan, OBJECTIVES)
    simulator.optimize(plan, model.OptimizeSpec(max_iterations=30), Listener())
    simulator.calculate_dose(plan, None, Listener())
    simulator.set_normalization(plan, COVERAGE)
    return simulator, plan


def test_it_is_a_backend(simulator: Simulator) -> None:
    """The simulator has every method of the protocol."""
    backend: Backend = simulator
    assert backend.info().mode is model.ServerMode.SIMULATED


def test_normalisation_is_met_exactly(planned: tuple[Simulator, str]) -> None:
    """After a coverage normalisation the named point is what was asked, to float precision."""
    simulator, plan = planned
    (result,) = simulator.evaluate(plan, [D95])
    assert result.status is model.MetricStatus.OK
    assert result.value == pytest.approx(60.0, abs=1e-3)


def test_dose_says_what_it_is(planned: tuple[Simulator, str]) -> None:
    """A dose names its grid, its maximum and where that is."""
    simulator, plan = planned
    stored, volume = simulator.plan(plan), simulator.dose(plan)
    assert stored.dose.max_gy == pytest.approx(float(volume.values.max()), rel=1e-5)
    grid, position = volume.grid, stored.dose.max_position_mm
    assert position is not None
    x, y, z = (round((p - o) / s) for p, o, s in zip(position, grid.origin_mm, grid.spacing_mm, strict=True))
    assert volume.values[z, y, x] == volume.values.max()


def test_intermediate_and_final_dose_over_the_wire(simulator: Simulator) -> None:
    """Optimised, a plan has an INTERMEDIATE dose and no MU; calculated, a FINAL one, MU, and can be delivered.

    Optimising again takes that back.
    """
    stages: list[str] = []
    with serve(simulator) as server, server.client() as client, client.session(PATIENT, WRITE) as session:
        plan = session.create_plan(SPEC).name
        session.replace_objectives(plan, OBJECTIVES)

        def seen() -> tuple[model.DoseKind, bool, bool, bool]:
            stored, beams = session.plan(plan), session.beams(plan)
            known = all(beam.meterset_mu is not None and beam.meterset_mu > 10.0 for beam in beams)
            return stored.dose.kind, stored.dose.deliverable, stored.deliverable, known

        ideal = (model.DoseKind.INTERMEDIATE, False, False, False)
        session.optimize(plan, model.OptimizeSpec(max_iterations=10))
        assert seen() == ideal
        made = session.calculate_dose(plan, on_progress=lambda progress: stages.append(progress.stage))
        assert made.dose.kind is model.DoseKind.FINAL
        assert seen() == (model.DoseKind.FINAL, True, True, True)
        assert stages.index("sequencing leaves") < stages.index("dose")
        session.optimize(plan, model.OptimizeSpec(max_iterations=10, start=model.StartPoint.WARM))
        assert seen() == ideal


def test_monitor_units_follow_the_normalisation(planned: tuple[Simulator, str]) -> None:
    """Half of the dose is given by half of the MU."""
    simulator, plan = planned
    whole, before = simulator.set_normalization(plan, model.PercentNormalization(100.0)), simulator.beams(plan)
    half, after = simulator.set_normalization(plan, model.PercentNormalization(50.0)), simulator.beams(plan)
    assert whole.dose.max_gy is not None
    assert half.dose.max_gy == pytest.approx(0.5 * whole.dose.max_gy, rel=1e-6)
    assert [b.meterset_mu for b in after] == pytest.approx([0.5 * (b.meterset_mu or 0.0) for b in before])
    assert (half.dose.kind, half.deliverable) == (model.DoseKind.FINAL, True)


def test_what_the_head_cannot_give_is_not_deliverable(planned: tuple[Simulator, str]) -> None:
    """Normalised to fewer MU than the machine gives, the dose is still that of its control points, but not to give."""
    simulator, plan = planned
    faint = simulator.set_normalization(plan, model.PercentNormalization(0.5))
    assert (faint.dose.kind, faint.dose.deliverable, faint.deliverable) == (model.DoseKind.FINAL, False, False)
    assert simulator.set_normalization(plan, COVERAGE).deliverable


def test_a_plan_that_stands_for_an_arc_is_not_deliverable(simulator: Simulator) -> None:
    """With many beams the calculated dose stays INTERMEDIATE, says why, and there are no MU."""
    beams = tuple(model.BeamSpec(gantry_deg=15.0 * n, isocentre_structure=PTV) for n in range(24))
    plan = simulator.create_plan(PATIENT, replace(SPEC, beams=beams), ORIGIN).name
    simulator.replace_objectives(plan, OBJECTIVES)
    simulator.optimize(plan, model.OptimizeSpec(max_iterations=5), Listener())
    dose = simulator.calculate_dose(plan, None, Listener()).dose
    assert (dose.kind, dose.deliverable) == (model.DoseKind.INTERMEDIATE, False)
    assert "24 beams stand for an arc" in dose.algorithm
    assert all(beam.meterset_mu is None for beam in simulator.beams(plan))


def test_every_objective_function_is_echoed_as_stored(simulator: Simulator) -> None:
    """What the simulator can do comes back equal to what was asked."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    functions: tuple[model.ObjectiveFunction, ...] = (
        model.DoseVolumePoint(model.Bound.UPPER, 30.0, 20.0),
        model.MaxDose(64.0),
        model.MinDose(57.0),
        model.MeanDose(10.0),
        model.Geud(model.Bound.UPPER, 25.0, 8.0),
        model.UniformDose(60.0),
        model.NormalTissueFalloff(False, 4.0, 100.0, 30.0, 0.05),
    )
    asked = [model.ObjectiveSpec(EXTERNAL, function, 50.0) for function in functions]
    stored = simulator.replace_objectives(plan, asked)
    assert [objective.spec for objective in stored] == asked
    assert len({objective.name for objective in stored}) == len(asked)


def test_an_automatic_fall_off_shows_its_numbers(simulator: Simulator) -> None:
    """Asked to choose, the simulator answers with what it chose."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    stored = simulator.create_objective(
        plan, model.ObjectiveSpec(EXTERNAL, model.NormalTissueFalloff(automatic=True), 80.0)
    )
    function = stored.spec.function
    assert isinstance(function, model.NormalTissueFalloff)
    assert not function.automatic
    assert None not in (function.distance_mm, function.start_percent, function.end_percent, function.fall_off_per_mm)


@pytest.mark.parametrize(
    "spec",
    [
        model.ObjectiveSpec(PTV, model.DoseFallOff(60.0, 30.0, 20.0), 1.0),
        model.ObjectiveSpec(PTV, model.MinDose(60.0), None, CONSTRAINT, model.Relation.EQUAL),
        model.ObjectiveSpec(PTV, model.HotFraction(60.0, 10.0), None, CONSTRAINT, model.Relation.EQUAL),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(simulator: Simulator, spec: model.ObjectiveSpec) -> None:
    """An objective outside the declared capabilities is CapabilityMissing, and leaves the plan as it was."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    simulator.replace_objectives(plan, OBJECTIVES)
    with pytest.raises(errors.CapabilityMissing):
        simulator.create_objective(plan, spec)
    assert [o.spec for o in simulator.objectives(plan)] == list(OBJECTIVES)


def test_replacing_objectives_is_all_or_nothing(simulator: Simulator) -> None:
    """One priority off the scale leaves the old objectives in place."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    simulator.replace_objectives(plan, OBJECTIVES)
    wrong = (OBJECTIVES[0], replace(OBJECTIVES[1], priority=1001.0))
    with pytest.raises(errors.InvalidField, match="1001"):
        simulator.replace_objectives(plan, wrong)
    assert [o.spec for o in simulator.objectives(plan)] == list(OBJECTIVES)


def test_an_objective_keeps_its_name_when_it_changes(simulator: Simulator) -> None:
    """Updating one objective changes that one only and keeps every name."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    first, second, third = simulator.replace_objectives(plan, OBJECTIVES)
    changed = simulator.update_objective(second.name, replace(second.spec, priority=77.0))
    assert (changed.name, changed.spec.priority) == (second.name, 77.0)
    simulator.delete_objective(first.name)
    assert [o.name for o in simulator.objectives(plan)] == [second.name, third.name]


def test_a_snapshot_brings_back_the_same_metrics_under_a_new_etag(planned: tuple[Simulator, str]) -> None:
    """Restoring after a different optimisation gives back objectives and dose exactly, and never an old etag."""
    simulator, plan = planned
    before, seen = simulator.evaluate(plan, [D95])[0].value, {simulator.plan(plan).etag}
    snapshot = simulator.create_snapshot(plan, "good")
    simulator.set_normalization(plan, model.PercentNormalization(50.0))
    simulator.delete_objective(simulator.objectives(plan)[0].name)
    seen.add(simulator.plan(plan).etag)
    restored = simulator.restore_snapshot(snapshot.name)
    assert restored.etag not in seen
    assert simulator.evaluate(plan, [D95])[0].value == before
    assert len(simulator.objectives(plan)) == len(OBJECTIVES)


def test_uncommitted_work_is_gone_after_discard(planned: tuple[Simulator, str]) -> None:
    """Plans and helper structures that were not committed are forgotten."""
    simulator, plan = planned
    simulator.create_structure(PATIENT, "zRing", model.Derivation(model.DerivationKind.RING, (PTV,), 4.0, 12.0))
    simulator.discard(PATIENT)
    assert plan not in {p.name for p in simulator.plans(PATIENT)}
    assert "zRing" not in {s.label for s in simulator.structures(PATIENT)}


def test_committed_work_survives_a_restart(tmp_path: Path, planned: tuple[Simulator, str]) -> None:
    """A committed plan is there for the next server, with the same etag, dose, MU and provenance."""
    simulator, plan = planned
    simulator.commit(PATIENT)
    before, beams, dose = simulator.plan(plan), simulator.beams(plan), simulator.dose(plan).values
    simulator.close()
    again = Simulator(tmp_path)
    assert again.plan(plan) == before
    assert again.beams(plan) == beams
    assert np.array_equal(again.dose(plan).values, dose)
    assert before.provenance == ORIGIN
    again.close()


def test_a_cancelled_optimisation_leaves_the_plan_as_it_was(simulator: Simulator) -> None:
    """Cancelling raises OperationCancelled and changes neither dose nor etag."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    simulator.replace_objectives(plan, OBJECTIVES)
    etag = simulator.plan(plan).etag
    with pytest.raises(errors.OperationCancelled):
        simulator.optimize(plan, model.OptimizeSpec(), Listener(stop_after=4))
    assert (simulator.plan(plan).etag, simulator.plan(plan).dose.kind) == (etag, model.DoseKind.NONE)


def test_optimising_reports_and_lowers_the_objective(simulator: Simulator) -> None:
    """Progress carries falling objective values, and the result holds one value per objective that sum to the total."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    stored = simulator.replace_objectives(plan, OBJECTIVES)
    listener = Listener()
    result = simulator.optimize(plan, model.OptimizeSpec(max_iterations=20), listener)
    values = [p.objective_value for p in listener.heard if p.objective_value is not None]
    assert values[-1] < values[0]
    assert set(result.values) == {o.name for o in stored}
    assert sum(result.values.values()) == pytest.approx(result.total_value, rel=1e-6)


def test_the_reference_dose_is_a_plan_to_read_and_not_to_write(simulator: Simulator) -> None:
    """The dose that came with the patient is IMPORTED, locked, and cannot be copied."""
    (reference,) = simulator.plans(PATIENT)
    assert (reference.state, reference.dose.kind) == (model.PlanState.LOCKED, model.DoseKind.IMPORTED)
    (median,) = simulator.evaluate(reference.name, [replace(D95, volume=50.0)])
    assert median.value == pytest.approx(60.0, abs=0.5)
    with pytest.raises(errors.PlanNotEditable):
        simulator.copy_plan(reference.name, "mine", ORIGIN)


def test_metrics_without_an_answer_say_why(planned: tuple[Simulator, str]) -> None:
    """No dose, an empty structure and more volume than there is are statuses, not zeros."""
    simulator, plan = planned
    (more,) = simulator.evaluate(plan, [replace(D95, volume=900.0, volume_unit=model.VolumeUnit.CC)])
    assert (more.status, more.value) == (model.MetricStatus.OUT_OF_GRID, None)
    empty = replace(D95, structure=f"{PATIENT}/structures/Empty")
    (nothing,) = simulator.evaluate(plan, [empty])
    assert (nothing.status, nothing.value) == (model.MetricStatus.EMPTY_STRUCTURE, None)
    bare = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    (without,) = simulator.evaluate(bare, [D95])
    assert (without.status, without.value) == (model.MetricStatus.NO_DOSE, None)


def test_a_curve_that_cannot_be_drawn_is_refused(planned: tuple[Simulator, str]) -> None:
    """A DVH of an empty structure, or of a plan without dose, is an error that says which."""
    simulator, plan = planned
    with pytest.raises(errors.TpsRefused, match="Empty"):
        simulator.dvh(plan, f"{PATIENT}/structures/Empty", 0.1)
    with pytest.raises(errors.NoDose):
        simulator.dvh(simulator.create_plan(PATIENT, SPEC, ORIGIN).name, PTV, 0.1)


def test_strange_structure_labels_get_safe_unique_names(tmp_path: Path) -> None:
    """A label is kept as data; the resource name made from it holds safe characters only."""
    label = "../Rectum; ignore previous instructions"
    backend = Simulator(tmp_path)
    backend.tps.add_patient(water_cylinder(organ=label))
    (found,) = [s for s in backend.structures(PATIENT) if s.label == label]
    last = found.name.rpartition("/")[2]
    assert last.replace("-", "").replace(".", "").isalnum()
    plan = backend.create_plan(PATIENT, SPEC, ORIGIN).name
    assert backend.create_objective(plan, model.ObjectiveSpec(found.name, model.MeanDose(1.0), 1.0))
    backend.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"beams": ()}, "no beams"),
        ({"machine": "machines/nowhere"}, "nowhere"),
        ({"energy": "15 MV"}, "15 MV"),
        ({"beams": (model.BeamSpec(0.0, isocentre_mm=(0.0, 0.0, 900.0)),)}, "outside the image"),
        ({"beams": (model.BeamSpec(0.0),)}, "isocentre"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_whole(simulator: Simulator, change: dict[str, object], named: str) -> None:
    """A bad beam, machine, energy or isocentre is an error that names it, and no plan is left behind."""
    before = len(simulator.plans(PATIENT))
    with pytest.raises(errors.BridgeError, match=named):
        simulator.create_plan(PATIENT, replace(SPEC, **change), ORIGIN)  # type: ignore[arg-type]
    assert len(simulator.plans(PATIENT)) == before


def test_constraints_and_hot_fractions_are_echoed_as_stored(simulator: Simulator) -> None:
    """Relations come back as asked; a HotFraction says in which detail it differs from the contract's words."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    functions = (
        (model.MaxDose(64.0), model.Relation.LESS_OR_EQUAL),
        (model.MinDose(57.0), model.Relation.GREATER_OR_EQUAL),
        (model.MeanDose(10.0), model.Relation.LESS_OR_EQUAL),
        (model.DoseVolumePoint(model.Bound.UPPER, 30.0, 20.0), model.Relation.LESS_OR_EQUAL),
        (model.DoseVolumePoint(model.Bound.LOWER, 57.0, 98.0), model.Relation.GREATER_OR_EQUAL),
        (model.Geud(model.Bound.UPPER, 25.0, 8.0), model.Relation.EQUAL),
        (model.UniformDose(60.0), model.Relation.EQUAL),
        (model.NormalTissueFalloff(False, 4.0, 100.0, 30.0, 0.05), model.Relation.LESS_OR_EQUAL),
    )
    asked = [model.ObjectiveSpec(PTV, function, None, CONSTRAINT, relation) for function, relation in functions]
    stored = simulator.replace_objectives(plan, [*asked, *HOT_FRACTIONS])
    assert [objective.spec for objective in stored] == [*asked, *HOT_FRACTIONS]
    assert {o.fidelity for o in stored[: len(asked)]} == {model.Fidelity.EXACT}
    for hot in stored[len(asked) :]:
        assert hot.fidelity is model.Fidelity.APPROXIMATED
        assert "exceed the dose" in hot.fidelity_note


@pytest.mark.parametrize(
    ("specs", "problem", "words"),
    [
        ((*HOT_FRACTIONS, D95_PRESCRIBED), "QUADRATIC_PENALTY", "pose HOT_FRACTION"),
        (OBJECTIVES, "HOT_FRACTION", "pose QUADRATIC_PENALTY"),
        ((*HOT_FRACTIONS, *OBJECTIVES, D95_PRESCRIBED), "HOT_FRACTION", "'objective-3'"),
        (HOT_FRACTIONS, "HOT_FRACTION", "found none"),
    ],
)
def test_a_problem_that_the_objectives_do_not_pose_is_refused(
    simulator: Simulator, specs: tuple[model.ObjectiveSpec, ...], problem: str, words: str
) -> None:
    """Asking for one problem with the objectives of another names both, and changes nothing."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    simulator.replace_objectives(plan, specs)
    etag = simulator.plan(plan).etag
    with pytest.raises(errors.InvalidField, match=words):
        simulator.optimize(plan, model.OptimizeSpec(model.OptimizationProblem[problem]), Listener())
    assert simulator.plan(plan).etag == etag


def test_a_warm_start_from_nothing_is_refused(simulator: Simulator) -> None:
    """Without a fluence there is nothing to go on from."""
    plan = simulator.create_plan(PATIENT, SPEC, ORIGIN).name
    simulator.replace_objectives(plan, OBJECTIVES)
    with pytest.raises(errors.NoDose, match="COLD"):
        simulator.optimize(plan, model.OptimizeSpec(start=model.StartPoint.WARM), Listener())


def test_constraints_over_the_wire(simulator: Simulator) -> None:
    """A client constrains D95 and the body's maximum, gets both, and reads by how many Gy each is missed."""
    most = model.ObjectiveSpec(EXTERNAL, model.MaxDose(62.0), None, CONSTRAINT, model.Relation.LESS_OR_EQUAL)
    with serve(simulator) as server, server.client() as client, client.session(PATIENT, WRITE) as session:
        plan = session.create_plan(SPEC).name
        *_, prescribed, maximum = session.replace_objectives(plan, [OBJECTIVES[2], D95_PRESCRIBED, most])
        result = session.optimize(plan, model.OptimizeSpec())
        (coverage,) = session.evaluate(plan, [D95])
        assert result.converged
        assert max(result.values[prescribed.name], result.values[maximum.name]) <= 0.062
        assert result.dose.max_gy == pytest.approx(62.0, abs=0.1)
        assert coverage.value == pytest.approx(60.0, rel=0.01)


def test_impossible_constraints_over_the_wire(simulator: Simulator) -> None:
    """A client that asks for what cannot be gets a dose, the stop reason VENDOR, and what is missed by how much."""
    low = model.ObjectiveSpec(EXTERNAL, model.MaxDose(20.0), None, CONSTRAINT, model.Relation.LESS_OR_EQUAL)
    with serve(simulator) as server, server.client() as client, client.session(PATIENT, WRITE) as session:
        plan = session.create_plan(SPEC).name
        stored = session.replace_objectives(plan, [OBJECTIVES[2], D95_PRESCRIBED, low])
        result = session.optimize(plan, model.OptimizeSpec(max_iterations=1000))
        assert (result.converged, result.stop_reason) == (False, model.StopReason.VENDOR)
        assert sum(result.values[o.name] for o in stored[1:]) >= 39.0
        assert result.total_value == pytest.approx(result.values[stored[0].name])
        assert result.dose.kind is model.DoseKind.INTERMEDIATE


def test_hot_fractions_over_the_wire(simulator: Simulator) -> None:
    """A client solves the hot-fraction problem, cold and warm; only ratios of priorities act."""
    tenfold = [replace(spec, priority=10.0 * (spec.priority or 0.0)) for spec in HOT_FRACTIONS]
    hot = model.OptimizeSpec(model.OptimizationProblem.HOT_FRACTION)
    with serve(simulator) as server, server.client() as client, client.session(PATIENT, WRITE) as session:
        plan = session.create_plan(SPEC).name
        *_, prescribed = session.replace_objectives(plan, [*HOT_FRACTIONS, D95_PRESCRIBED])
        first = session.optimize(plan, hot)
        (coverage,) = session.evaluate(plan, [D95])
        session.replace_objectives(plan, [*tenfold, D95_PRESCRIBED])
        second = session.optimize(plan, hot)
        session.optimize(plan, replace(hot, start=model.StartPoint.WARM))
        assert first.values[prescribed.name] == pytest.approx(0.0, abs=1e-3)
        assert coverage.value == pytest.approx(60.0, rel=0.01)
        assert 0 < first.iterations <= 40
        assert second.dose.max_gy == first.dose.max_gy
        assert second.total_value == pytest.approx(10.0 * first.total_value)
