"""What a client reads of an emulated Eclipse is what lies in its database, and its dose, in the contract's units."""

from __future__ import annotations

import numpy as np
import pytest

from bridge import errors, model
from bridge.client import Client
from sim_tps.cases import make_case
from tests.eclipse.conftest import find
from tests.eclipse.emulated import LYING, ODD, ODD_PLANS, PHANTOM, PLAN, PRONE, Eclipse
from tests.eclipse.working import dose_at, dosed, plan_named, value, writing


def test_patients_are_those_of_the_department(eclipse: Eclipse, client: Client) -> None:
    """Stand-alone all of them, in Eclipse the one that is open; no id is in a resource name."""
    patients = client.patients()
    expected = {PHANTOM} if eclipse.in_eclipse else {PHANTOM, LYING, PRONE, ODD}
    assert {patient.label for patient in patients} == expected
    assert not any(patient.label in patient.name for patient in patients)


def test_a_plan_has_the_clinics_prescription(client: Client, patient: str, clinic: model.Plan) -> None:
    """25 fractions of 2 Gy are 50 Gy to the target, whatever unit the site speaks; it is not ours to write to."""
    structures = {s.name: s.label for s in client.structures(patient)}
    assert clinic.prescription is not None
    assert clinic.prescription.fraction_count == 25
    (target,) = clinic.prescription.targets
    assert (structures[target.structure], target.total_gy) == ("OuterTarget", pytest.approx(50.0))
    assert (clinic.state, clinic.working_copy) == (model.PlanState.EDITABLE, False)
    assert clinic.dose.kind is model.DoseKind.NONE


def test_structures_have_the_volumes_that_were_drawn(structures: dict[str, model.Structure]) -> None:
    """Labels, roles, volumes and centres are those of the simulator's own phantom."""
    phantom = make_case("tg119")
    assert set(structures) >= {structure.name for structure in phantom.structures.values()}
    for drawn in phantom.structures.values():
        read = structures[drawn.name]
        assert read.volume_cc == pytest.approx(drawn.volume_cc, rel=0.02)
        assert read.centre_mm == pytest.approx(drawn.centre_mm(), abs=1.0)
    assert structures["OuterTarget"].role is model.StructureRole.TARGET
    assert structures["BODY"].role is model.StructureRole.EXTERNAL
    assert structures["Core"].role is model.StructureRole.OAR


def test_beams_are_told_in_iec_61217(
    client: Client, clinic: model.Plan, structures: dict[str, model.Structure]
) -> None:
    """Three static beams on the target's centre."""
    beams = client.beams(clinic.name)
    assert [beam.gantry_deg for beam in beams] == pytest.approx([0.0, 120.0, 240.0])
    assert {beam.gantry_stop_deg for beam in beams} == {None}
    assert [(beam.collimator_deg, beam.couch_deg) for beam in beams] == [(0.0, 0.0)] * 3
    assert beams[0].isocentre_mm == pytest.approx(structures["OuterTarget"].centre_mm, abs=0.01)
    assert {beam.energy for beam in beams} == {"6X"}


def test_a_plan_without_dose_answers_so(
    client: Client, clinic: model.Plan, structures: dict[str, model.Structure]
) -> None:
    """A metric has a status, a DVH is refused; neither is a zero."""
    (answer,) = client.evaluate(clinic.name, [dose_at(structures["Core"], 50.0)])
    assert (answer.status, answer.value) == (model.MetricStatus.NO_DOSE, None)
    with pytest.raises(errors.NoDose):
        client.dvh(clinic.name, structures["Core"].name)


def test_curves_metrics_and_voxels_tell_of_one_dose(
    client: Client, patient: str, structures: dict[str, model.Structure]
) -> None:
    """D50 read off the curve, D50 asked for, the mean over the streamed voxels, and the hottest point agree."""
    with writing(client, patient) as session:
        plan = dosed(session, patient)
        curve = session.dvh(plan.name, structures["OuterTarget"].name)
        dose, mask = session.dose(plan.name), session.mask(structures["OuterTarget"].name)
        d50 = value(session, plan.name, dose_at(structures["OuterTarget"], 50.0))
        mean = value(session, plan.name, model.MetricQuery(model.MetricKind.MEAN_DOSE, structures["OuterTarget"].name))
        hottest = value(session, plan.name, model.MetricQuery(model.MetricKind.PLAN_MAX_DOSE))
    assert plan.dose.kind is model.DoseKind.FINAL
    assert curve.volume_percent[0] == pytest.approx(100.0)
    assert np.interp(-50.0, -curve.volume_percent, curve.dose_gy) == pytest.approx(d50, abs=0.3)
    assert curve.mean_gy == pytest.approx(mean, rel=0.005)
    assert 40.0 < mean < 60.0
    assert plan.dose.max_gy == pytest.approx(hottest, rel=1e-4)
    assert dose.values.max() == pytest.approx(hottest, rel=0.01)
    assert mean == pytest.approx(_mean_inside(dose, mask), rel=0.05)


def test_the_image_is_the_phantom(client: Client, patient: str) -> None:
    """Grid and Hounsfield units are those that were scanned, voxel by voxel."""
    image, phantom = client.image(patient), make_case("tg119")
    assert image.grid.size == tuple(reversed(phantom.grid.shape))
    assert image.grid.origin_mm == pytest.approx(phantom.grid.origin_mm)
    assert np.array_equal(image.values, phantom.hu.astype(np.float32))


def test_a_mask_has_the_structures_volume(client: Client, structures: dict[str, model.Structure]) -> None:
    """The rasterised contours hold what Eclipse says that the structure holds."""
    for label in ("OuterTarget", "Core"):
        mask = client.mask(structures[label].name)
        voxel_cc = float(np.prod(mask.grid.spacing_mm)) / 1000.0
        assert mask.values.sum() * voxel_cc == pytest.approx(structures[label].volume_cc, rel=0.03), label


def test_unusual_plans_are_read_as_what_they_are(stand_alone: Eclipse, client: Client) -> None:
    """Treated, without beams, without a model, without fractions: each is listed, and says what it lacks."""
    patient = find(client, ODD)
    plans = {plan.label: plan for plan in client.plans(patient)}
    assert set(plans) == {PLAN, *ODD_PLANS}
    assert plans["Treated"].state is model.PlanState.TREATED
    assert plans["Treated"].vendor_state.startswith("TreatmentApproved")
    assert list(client.beams(plans["NoBeams"].name)) == []
    assert plans["NoFractions"].prescription is None
    assert {s.label for s in client.structures(patient) if s.empty} == {"Empty"}


def test_a_name_that_is_unknown_is_told_so(
    client: Client, patient: str, structures: dict[str, model.Structure]
) -> None:
    """Of a patient, a plan, a structure: never a guess."""
    with pytest.raises(errors.NotFound):
        client.structures("patients/nobody")
    with pytest.raises(errors.NotFound):
        client.plan(f"{patient}/plans/C1.nothing")
    with pytest.raises(errors.NotFound):
        client.mask(f"{patient}/structures/nothing")


def test_a_quick_look_at_every_profile(smoke: Eclipse) -> None:
    """Version, unit and host change nothing that a client sees: a copy is planned, dosed, normalised and given up."""
    with smoke.client() as client:
        patient = find(client, PHANTOM)
        assert ("plan.create" in client.server_info().capabilities) is not smoke.in_eclipse
        with writing(client, patient) as session:
            plan = dosed(session, patient)
            target = next(s for s in session.structures(patient) if s.label == "OuterTarget")
            session.set_normalization(plan.name, model.CoverageNormalization(target.name, 95.0, 50.0))
            assert value(session, plan.name, dose_at(target, 95.0)) == pytest.approx(50.0, abs=0.05)
        assert [plan.label for plan in client.plans(patient)] == [PLAN]
        assert plan_named(client, patient).prescription is not None


def _mean_inside(dose: model.Volume, mask: model.Volume) -> float:
    """Mean over the mask's voxels of the dose at the nearest voxel of its own grid."""
    where = np.argwhere(mask.values > 0.5)
    doses = []
    for z, y, x in where[:: max(1, len(where) // 4000)]:
        point = [o + s * i for o, s, i in zip(mask.grid.origin_mm, mask.grid.spacing_mm, (x, y, z), strict=True)]
        index = [round((p - o) / s) for p, o, s in zip(point, dose.grid.origin_mm, dose.grid.spacing_mm, strict=True)]
        doses.append(dose.values[index[2], index[1], index[0]])
    return float(np.mean(doses))
