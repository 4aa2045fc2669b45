"""What a client writes in an emulated Eclipse: on copies only, whole or not at all, and kept only where it is saved."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge import errors, model
from bridge.client import Client
from tests.eclipse.conftest import find
from tests.eclipse.emulated import FULL, ODD, PHANTOM, PLAN, Eclipse, Profile
from tests.eclipse.working import LOWER, UPPER, by_label, copied, dose_at, dosed, plan_named, usual, value, writing

IN_ECLIPSE = Profile("in-eclipse", "18.0", "Gy")


def test_a_copy_is_marked_as_made_by_us(client: Client, patient: str, clinic: model.Plan) -> None:
    """It has the source's prescription and beams, says where it comes from, and the source is as it was."""
    with writing(client, patient) as session:
        copy = session.copy_plan(clinic.name, "copy")
        beams, of_source = session.beams(copy.name), session.beams(clinic.name)
        source = session.plan(clinic.name)
    assert (copy.label, copy.working_copy, copy.state) == ("copy", True, model.PlanState.EDITABLE)
    assert copy.prescription == clinic.prescription
    assert copy.provenance is not None
    assert copy.provenance.source_plan == clinic.name
    assert [beam.gantry_deg for beam in beams] == [beam.gantry_deg for beam in of_source]
    assert source.etag == clinic.etag


def test_only_copies_are_written_to(client: Client, patient: str, clinic: model.Plan) -> None:
    """The clinic's own plan is refused, by whichever write."""
    with writing(client, patient) as session:
        objectives = usual(by_label(session, patient))
        with pytest.raises(errors.NotWorkingCopy):
            session.replace_objectives(clinic.name, objectives)
        with pytest.raises(errors.NotWorkingCopy):
            session.set_normalization(clinic.name, model.PercentNormalization(110.0))
        with pytest.raises(errors.NotWorkingCopy):
            session.delete_plan(clinic.name)


def test_a_label_longer_than_an_id_is_refused(client: Client, patient: str, clinic: model.Plan) -> None:
    """13 characters for a plan, 16 for a structure, and nothing is cut."""
    limits = client.server_info().limits
    assert (limits.max_plan_label_length, limits.max_structure_label_length) == (13, 16)
    with writing(client, patient) as session:
        with pytest.raises(errors.LimitExceeded):
            session.copy_plan(clinic.name, "fourteen chars")
        assert [plan.label for plan in session.plans(patient)] == [PLAN]


def test_objectives_are_stored_as_asked(client: Client, patient: str) -> None:
    """Dose, volume, priority and function come back in Gy and percent, in the order in which they were set."""
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), copied(session, patient)
        asked = [*usual(structures), model.ObjectiveSpec(structures["Core"].name, model.MeanDose(18.0), 40.0)]
        stored = session.replace_objectives(plan.name, asked)
        again = session.objectives(plan.name)
    assert [objective.spec.priority for objective in stored] == [300.0, 50.0, 900.0, 40.0]
    assert [objective.spec.structure for objective in stored] == [spec.structure for spec in asked]
    for objective, spec in zip(stored, asked, strict=True):
        assert objective.spec.function.dose_gy == pytest.approx(spec.function.dose_gy)  # type: ignore[union-attr]
    assert stored[0].spec.function == asked[0].function
    assert [objective.name for objective in again] == [objective.name for objective in stored]


def test_an_edit_keeps_name_and_place(client: Client, patient: str) -> None:
    """ESAPI's objectives cannot be changed, only removed and added; a client never notices."""
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), copied(session, patient)
        first, second, third = session.replace_objectives(plan.name, usual(structures))
        edited = session.update_objective(
            second.name,
            model.ObjectiveSpec(structures["Core"].name, model.DoseVolumePoint(UPPER, 17.5, 5.0), 60.0),
        )
        raised = session.set_priority(first.name, 400.0)
        names = {objective.name: objective.spec for objective in session.objectives(plan.name)}
    assert edited.name == second.name
    assert raised.name == first.name
    assert set(names) == {first.name, second.name, third.name}
    assert names[second.name].function == model.DoseVolumePoint(UPPER, 17.5, 5.0)
    assert (names[first.name].priority, names[second.name].priority) == (400.0, 60.0)
    assert names[first.name].function == first.spec.function
    assert names[third.name] == third.spec


def test_an_edit_that_fails_halfway_is_put_back(stand_alone: Eclipse, client: Client, patient: str) -> None:
    """Eclipse refuses one of the objectives that are added: the one that was to be edited is there as before."""
    stand_alone.set(faults={"add_objective_after": 4})
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), copied(session, patient)
        stored = session.replace_objectives(plan.name, usual(structures))
        with pytest.raises(errors.BridgeError):
            session.update_objective(
                stored[1].name,
                model.ObjectiveSpec(structures["Core"].name, model.DoseVolumePoint(UPPER, 10.0, 5.0), 60.0),
            )
        after = session.objectives(plan.name)
    assert [(o.name, o.spec) for o in after] == [(o.name, o.spec) for o in stored]


def test_what_eclipse_has_no_function_for_is_refused_and_changes_nothing(client: Client, patient: str) -> None:
    """Hot fractions, uniform doses and hard constraints are CAPABILITY_MISSING; the objectives stay."""
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), copied(session, patient)
        before = session.replace_objectives(plan.name, usual(structures))
        target = structures["OuterTarget"].name
        for spec in (
            model.ObjectiveSpec(target, model.HotFraction(50.0, 10.0), 1.0),
            model.ObjectiveSpec(target, model.UniformDose(50.0), 1.0),
            model.ObjectiveSpec(
                target, model.DoseVolumePoint(LOWER, 50.0, 95.0), None, model.ObjectiveRole.CONSTRAINT,
                model.Relation.EQUAL,
            ),
        ):  # fmt: skip
            with pytest.raises(errors.CapabilityMissing):
                session.create_objective(plan.name, spec)
        with pytest.raises(errors.CapabilityMissing):
            session.optimize(plan.name, model.OptimizeSpec(model.OptimizationProblem.HOT_FRACTION))
        after = session.objectives(plan.name)
    assert [o.name for o in after] == [o.name for o in before]


def test_an_optimisation_leaves_no_dose_and_a_calculation_the_final_one(client: Client, patient: str) -> None:
    """Leaf motions and dose are a step of their own; values come by structure."""
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), copied(session, patient)
        session.replace_objectives(plan.name, usual(structures))
        result = session.optimize(plan.name, model.OptimizeSpec())
        assert result.dose.kind is model.DoseKind.NONE
        assert result.granularity is model.ValueGranularity.PER_STRUCTURE
        assert set(result.values) <= {structure.name for structure in structures.values()}
        assert result.total_value > 0.0
        session.calculate_dose(plan.name)
        done = session.plan(plan.name)
        metersets = [beam.meterset_mu for beam in session.beams(plan.name)]
    assert (done.dose.kind, done.dose.stale, done.dose.deliverable) == (model.DoseKind.FINAL, False, True)
    assert all(mu is not None and mu > 0.0 for mu in metersets)


@pytest.mark.parametrize("normalization", ["isodose", "factor"])
def test_a_coverage_is_met_exactly_whatever_eclipses_number_means(
    normalization: str, eclipse: Eclipse, own_eclipse: Callable[..., Eclipse]
) -> None:
    """The number is the isodose that becomes 100 %, or a factor; both readings end at the dose that was asked for."""
    used = own_eclipse(eclipse.profile, settings={"switches": {"normalization": normalization}})
    with used.client() as own, writing(own, find(own, PHANTOM)) as session:
        here = find(own, PHANTOM)
        structures, plan = by_label(session, here), dosed(session, here)
        target = structures["OuterTarget"]
        raw = value(session, plan.name, dose_at(target, 95.0))
        scaled = session.set_normalization(plan.name, model.CoverageNormalization(target.name, 95.0, 50.0))
        covered = value(session, plan.name, dose_at(target, 95.0))
        assert covered == pytest.approx(50.0, abs=0.02)
        core = value(session, plan.name, dose_at(structures["Core"], 50.0))
        session.set_normalization(plan.name, model.PercentNormalization(110.0))
        assert value(session, plan.name, dose_at(target, 95.0)) == pytest.approx(1.1 * raw, rel=2e-3)
        session.set_normalization(plan.name, None)
        assert value(session, plan.name, dose_at(target, 95.0)) == pytest.approx(raw, rel=1e-3)
        assert value(session, plan.name, dose_at(structures["Core"], 50.0)) == pytest.approx(
            core * raw / 50.0, rel=0.01
        )
    assert scaled.normalization == model.CoverageNormalization(target.name, 95.0, 50.0)


def test_a_snapshot_brings_objectives_and_normalisation_back(client: Client, patient: str) -> None:
    """CONFIG_ONLY: the dose is that of later and stale, until the plan is optimised and dosed again."""
    assert client.server_info().capabilities["snapshot.restore"] == "CONFIG_ONLY"
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), dosed(session, patient)
        session.set_normalization(plan.name, model.PercentNormalization(105.0))
        before = session.objectives(plan.name)
        kept = session.create_snapshot(plan.name, "first")
        session.set_priority(before[0].name, 20.0)
        session.set_normalization(plan.name, None)
        session.restore_snapshot(kept.name)
        restored, after = session.plan(plan.name), session.objectives(plan.name)
        assert [each.name for each in session.snapshots(plan.name)] == [kept.name]
    assert [objective.spec for objective in after] == [objective.spec for objective in before]
    assert restored.normalization == model.PercentNormalization(105.0)
    assert restored.dose.stale or restored.dose.kind is model.DoseKind.NONE
    assert structures


def test_helpers_are_made_and_taken_away(client: Client, patient: str) -> None:
    """A ring lies around the target and inside the body; a label that is taken is refused; what is deleted is gone."""
    with writing(client, patient) as session:
        structures = by_label(session, patient)
        target = structures["OuterTarget"]
        ring = session.create_structure(
            "zRing", model.Derivation(model.DerivationKind.RING, (target.name,), inner_mm=3.0, outer_mm=12.0)
        )
        common = session.create_structure(
            "zBoth", model.Derivation(model.DerivationKind.INTERSECTION, (ring.name, target.name))
        )
        with pytest.raises(errors.InvalidField):
            session.create_structure("zRing", model.Derivation(model.DerivationKind.UNION, (target.name,)))
        with pytest.raises(errors.InvalidField):
            session.create_structure("ZRING", model.Derivation(model.DerivationKind.UNION, (target.name,)))
        session.delete_structure(common.name)
        left = by_label(session, patient)
    assert ring.role is model.StructureRole.HELPER
    assert ring.volume_cc > target.volume_cc
    assert common.volume_cc == pytest.approx(0.0, abs=0.5)
    assert set(left) == {*structures, "zRing"}


def test_what_is_not_committed_is_gone(client: Client, patient: str) -> None:
    """The session's end takes plans and structures back, and the clinic's own are untouched."""
    with writing(client, patient) as session:
        target = by_label(session, patient)["OuterTarget"]
        dosed(session, patient)
        session.create_structure("zGone", model.Derivation(model.DerivationKind.MARGIN, (target.name,), outer_mm=5.0))
        assert len(session.plans(patient)) == 2
    assert [plan.label for plan in client.plans(patient)] == [PLAN]
    assert "zGone" not in by_label(client, patient)


def test_a_plan_of_its_own_is_made(eclipse: Eclipse, client: Client, patient: str) -> None:
    """Stand-alone a plan is made with the beams that were asked for; in Eclipse that is not declared, and refused."""
    with writing(client, patient) as session:
        target = by_label(session, patient)["OuterTarget"]
        spec = model.PlanSpec(
            "made",
            model.Prescription(25, (model.TargetPrescription(target.name, 50.0),)),
            tuple(model.BeamSpec(gantry, 10.0, 350.0, isocentre_structure=target.name) for gantry in (30.0, 200.0)),
            dose_grid_mm=8.0,
        )
        if eclipse.in_eclipse:
            with pytest.raises(errors.CapabilityMissing):
                session.create_plan(spec)
            return
        made = session.create_plan(spec)
        beams = session.beams(made.name)
        session.replace_objectives(made.name, usual(by_label(session, patient)))
        session.optimize(made.name, model.OptimizeSpec())
        session.calculate_dose(made.name)
        finished = session.plan(made.name)
    assert made.prescription == spec.prescription
    assert [(b.gantry_deg, b.collimator_deg, b.couch_deg) for b in beams] == [
        (pytest.approx(30.0), pytest.approx(10.0), pytest.approx(350.0)),
        (pytest.approx(200.0), pytest.approx(10.0), pytest.approx(350.0)),
    ]
    assert finished.dose.grid is not None
    assert finished.dose.grid.spacing_mm == pytest.approx((8.0, 8.0, 8.0))


def test_a_treated_plan_cannot_be_written_to_but_copied(stand_alone: Eclipse, client: Client) -> None:
    """The copy is editable, the plan is not."""
    patient = find(client, ODD)
    treated = plan_named(client, patient, "Treated")
    with writing(client, patient) as session:
        with pytest.raises((errors.NotWorkingCopy, errors.PlanNotEditable)):
            session.set_normalization(treated.name, model.PercentNormalization(90.0))
        copy = session.copy_plan(treated.name, "copy")
    assert copy.state is model.PlanState.EDITABLE


def test_a_commit_stays_when_the_server_has_gone(own_eclipse: Callable[..., Eclipse]) -> None:
    """Stand-alone it is saved: a new server over the same database has the plan, its objectives and its dose."""
    first = own_eclipse(FULL)
    with first.client() as client, writing(client, find(client, PHANTOM)) as session:
        patient = find(client, PHANTOM)
        plan = dosed(session, patient, "kept")
        pending = session.pending_changes()
        assert any(change.kind is model.ChangeKind.PLAN_COPIED for change in pending.changes)
        session.commit(pending.digest)
        target = by_label(session, patient)["OuterTarget"]
        before = value(session, plan.name, dose_at(target, 95.0))
        specs = [objective.spec for objective in session.objectives(plan.name)]
    first.kill()
    again = own_eclipse(FULL, folder=first.folder)
    with again.client() as client:
        kept = plan_named(client, find(client, PHANTOM), "kept")
        assert kept.state is model.PlanState.EDITABLE
        assert value(client, kept.name, dose_at(target, 95.0)) == pytest.approx(before, rel=1e-4)
        assert [objective.spec for objective in client.objectives(kept.name)] == specs


def test_in_eclipse_a_commit_waits_for_the_person(own_eclipse: Callable[..., Eclipse]) -> None:
    """Nothing is in the database after the commit; it is there once the person has saved."""
    used = own_eclipse(IN_ECLIPSE, after="save")
    assert _saved_plans(used) == {PLAN}
    with used.client() as client:
        assert client.server_info().capabilities["commit.by-person"] == "YES"
        with writing(client, find(client, PHANTOM)) as session:
            dosed(session, find(client, PHANTOM), "kept")
            session.commit(session.pending_changes().digest)
        assert _saved_plans(used) == {PLAN}
    used.close_window()
    unsaved = used.event("unsaved")
    assert unsaved["has_unsaved"]
    assert [plan.partition("/")[2] for plan in unsaved["new_plans"]] == ["kept"]
    used.event("saved")
    assert _saved_plans(used) == {PLAN, "kept"}
    assert any("save the patient in Eclipse" in line for line in used.said)


def test_in_eclipse_nothing_stays_of_a_session_that_commits_nothing(own_eclipse: Callable[..., Eclipse]) -> None:
    """The person finds no plan and no structure that they did not make."""
    used = own_eclipse(IN_ECLIPSE)
    with used.client() as client, writing(client, find(client, PHANTOM)) as session:
        target = by_label(session, find(client, PHANTOM))["OuterTarget"]
        dosed(session, find(client, PHANTOM), "gone")
        session.create_structure("zGone", model.Derivation(model.DerivationKind.MARGIN, (target.name,), outer_mm=5.0))
    used.close_window()
    unsaved = used.event("unsaved")
    assert (unsaved["new_plans"], unsaved["new_structures"]) == ([], [])


def _saved_plans(eclipse: Eclipse) -> set[str]:
    return {plan["id"] for course in eclipse.saved(PHANTOM)["courses"] for plan in course["plans"]}
