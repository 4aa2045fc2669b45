"""Where things lie and what numbers mean, across the border: each test fails if the thing is swapped.

The one idea: the phantom has no symmetry, the settings come in pairs, and what is expected comes from the phantom, from
IEC 61217, or from the database behind Eclipse, never from the adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

from bridge import model
from bridge.backends.emulated_eclipse import intake
from bridge.client import Client, Session
from tests.eclipse import asymmetric, emulated
from tests.eclipse.asymmetric import SIDES, Aimed, Beam, at, centre_mm, entered, points_of, source_side
from tests.eclipse.conftest import find
from tests.eclipse.emulated import LYING, PHANTOM, PRONE, Eclipse
from tests.eclipse.otherwise import otherwise
from tests.eclipse.working import LOWER, UPPER, by_label, copied, dose_at, dosed, plan_named, usual, value, writing

POSITIONS = pytest.mark.parametrize("patient", [LYING, PRONE])
CENTRES_MM = {
    "Left": (30.0, 4.0, 4.0),
    "Anterior": (0.0, -26.0, 4.0),
    "Superior": (0.0, 4.0, 30.0),
    "Marker": (28.0, -20.0, 29.0),
    "PTV": (0.0, 0.0, 0.0),
}
"""Where the phantom's organs were drawn, in DICOM coordinates."""
MARKER_HU, MARKER_VOXELS = 1000.0, 50
SIDEWAYS = (Beam(90.0), Beam(20.0, 40.0))
"""Beams whose dose no mirror brings onto itself."""

Opened = Callable[[str], AbstractContextManager[Client]]


@pytest.fixture
def opened(eclipse: Eclipse, own_eclipse: Callable[..., Eclipse]) -> Opened:
    """``opened(patient)``: a client of an Eclipse that offers the patient."""
    return lambda patient: otherwise(eclipse, own_eclipse, patient)


@pytest.fixture
def aimed(eclipse: Eclipse, own_eclipse: Callable[..., Eclipse]) -> Aimed:
    return lambda patient, beams: asymmetric.aimed(eclipse, own_eclipse, patient, beams)


# where things lie ------------------------------------------------------------------------------------------------


@POSITIONS
def test_the_image_lies_as_the_patient_does(patient: str, opened: Opened) -> None:
    """Every voxel is where it was scanned, in LPS, however the scanner's own rows run; the marker is on the left."""
    scanned = intake.asymmetric_phantom()
    with opened(patient) as client:
        image = client.image(find(client, patient))
    assert image.grid.size == tuple(reversed(scanned.grid.shape))
    assert image.grid.origin_mm == pytest.approx(scanned.grid.origin_mm)
    assert image.grid.spacing_mm == pytest.approx(scanned.grid.spacing_mm)
    assert np.array_equal(image.values, scanned.hu.astype(np.float32))
    marker = (image.values > MARKER_HU).astype(np.float32)
    assert marker.sum() > MARKER_VOXELS
    assert centre_mm(image, marker) == pytest.approx(CENTRES_MM["Marker"], abs=1.5)


@POSITIONS
def test_masks_lie_on_the_image_where_the_organs_are(patient: str, opened: Opened) -> None:
    """The marker's mask covers the marker's voxels, and each organ is on the side that its name says."""
    with opened(patient) as client:
        here = find(client, patient)
        structures = by_label(client, here)
        image = client.image(here)
        masks = {label: client.mask(structures[label].name) for label in CENTRES_MM}
    for label, mask in masks.items():
        assert mask.grid == image.grid
        assert centre_mm(mask, mask.values) == pytest.approx(CENTRES_MM[label], abs=1.5), label
        assert structures[label].centre_mm == pytest.approx(CENTRES_MM[label], abs=1.5), label
    dense, inside = image.values > MARKER_HU, masks["Marker"].values
    assert inside[dense].mean() > 0.9
    assert inside[~dense].sum() < 0.15 * inside.sum()


@POSITIONS
def test_a_beam_enters_where_iec_61217_says(patient: str, eclipse: Eclipse, aimed: Aimed) -> None:
    """From above, from the room's sides, and along the patient with the couch turned: the streamed dose shows it."""
    beams = [Beam(0.0), Beam(90.0), Beam(270.0), Beam(90.0, 90.0), Beam(270.0, 90.0)]
    for beam in beams[1:2] if eclipse.in_eclipse else beams:
        with aimed(patient, [beam]) as (session, plan):
            side = entered(session.dose(plan))
        assert SIDES[side] == pytest.approx(source_side(beam, patient), abs=1e-6), f"{beam} enters {side}"


def test_the_sides_are_those_of_the_textbook() -> None:
    """Gantry 0 from the ceiling, 90 from a supine patient's left, 270 with the couch at 90 from above the head."""
    expected = {
        (LYING, Beam(0.0)): "anterior",
        (LYING, Beam(90.0)): "left",
        (LYING, Beam(270.0)): "right",
        (LYING, Beam(270.0, 90.0)): "superior",
        (PRONE, Beam(0.0)): "posterior",
        (PRONE, Beam(90.0)): "right",
        (PRONE, Beam(270.0)): "left",
        (PRONE, Beam(270.0, 90.0)): "superior",
    }
    for (patient, beam), side in expected.items():
        assert source_side(beam, patient) == pytest.approx(SIDES[side], abs=1e-9)


@POSITIONS
def test_a_dvh_is_that_of_the_streamed_dose_in_the_streamed_mask(patient: str, aimed: Aimed) -> None:
    """Dose, mask and Eclipse's own curve agree for organs on every side; no flip along any axis would."""
    with aimed(patient, SIDEWAYS) as (session, plan):
        structures = by_label(session, session.patient)
        dose = session.dose(plan)
        for label in ("Left", "Anterior", "Superior", "PTV"):
            curve, mask = session.dvh(plan, structures[label].name), session.mask(structures[label].name)
            weights = mask.values.ravel().astype(np.float64)
            received = at(dose, points_of(mask))
            assert np.average(received, weights=weights) == pytest.approx(curve.mean_gy, abs=0.4), label
            levels = np.linspace(5.0, 50.0, 10)
            found = [100.0 * weights[received >= level].sum() / weights.sum() for level in levels]
            told = np.interp(levels, curve.dose_gy, curve.volume_percent, right=0.0)
            assert np.abs(np.array(found) - told).mean() < 3.0, label


def test_the_hottest_place_is_where_the_array_has_it(aimed: Aimed) -> None:
    """Eclipse tells a place in the patient; the array has its highest dose there."""
    with aimed(PRONE, SIDEWAYS) as (session, plan):
        info, dose = session.dose_info(plan), session.dose(plan)
    assert info.max_position_mm is not None
    hottest = points_of(dose)[int(dose.values.argmax())]
    assert info.max_position_mm == pytest.approx(hottest, abs=0.6 * asymmetric.DOSE_GRID_MM)
    assert info.grid == dose.grid


# angles ----------------------------------------------------------------------------------------------------------

TURNED = Beam(gantry_deg=30.0, couch_deg=350.0, collimator_deg=20.0)


@pytest.fixture
def made_by_hand(eclipse: Eclipse, own_eclipse: Callable[..., Eclipse]) -> Callable[[str, str], Eclipse]:
    """``made_by_hand(site, spoken)``: an Eclipse with a turned beam in its database, the scales of site and Eclipse."""

    def start(site: str, spoken: str) -> Eclipse:
        used = own_eclipse(
            eclipse.profile, started=False, patient=LYING, plan="Turned", angles=site,
            settings={"switches": {"angles": spoken}},
        )  # fmt: skip
        models = emulated.models(used.profile.version)
        beams = asymmetric.records_of([TURNED])
        intake.add_plan(used.hospital, LYING, "Turned", target="PTV", beams=beams, models=models)
        used.start()
        return used

    return start


@pytest.mark.parametrize("scale", ["IEC61217", "VarianIEC", "VarianStandard"])
def test_angles_are_iec_61217_whatever_eclipse_speaks(scale: str, made_by_hand: Callable[[str, str], Eclipse]) -> None:
    """A beam of the database is read, and new ones land in the database, at the angles of IEC 61217."""
    used = made_by_hand(scale, scale)
    with used.client() as client, writing(client, find(client, LYING)) as session:
        here = find(client, LYING)
        assert _angles(session, here, "Turned") == [(30.0, 20.0, 350.0)]
        if used.in_eclipse:
            return
        asked = [Beam(90.0, 10.0, 75.0), Beam(215.0, 330.0, 300.0)]
        made = session.create_plan(asymmetric.plan_of(session, here, asked))
        assert _angles(session, here, made.label) == [(90.0, 75.0, 10.0), (215.0, 300.0, 330.0)]
        session.commit(session.pending_changes().digest)
    assert [(b["gantry_deg"], b["collimator_deg"], b["couch_deg"]) for b in _stored(used, "aimed", LYING)["beams"]] == [
        pytest.approx((90.0, 75.0, 10.0)),
        pytest.approx((215.0, 300.0, 330.0)),
    ]


@pytest.mark.parametrize(
    ("site", "spoken", "seen"),
    [
        ("VarianIEC", "IEC61217", (30.0, 20.0, 10.0)),
        ("IEC61217", "VarianIEC", (30.0, 20.0, 10.0)),
        ("VarianStandard", "IEC61217", (150.0, 160.0, 190.0)),
        ("IEC61217", "VarianStandard", (150.0, 160.0, 190.0)),
    ],
)
@pytest.mark.slow
def test_a_site_that_names_the_wrong_scale_is_seen(
    site: str, spoken: str, seen: tuple[float, ...], made_by_hand: Callable[[str, str], Eclipse]
) -> None:
    """ESAPI gives angles without a scale, so this cannot be refused; the clinic's own beam shows other angles."""
    used = made_by_hand(site, spoken)
    with used.client() as client:
        assert _angles(client, find(client, LYING), "Turned") == [seen]


def test_jaws_turn_with_the_collimator(stand_alone: Eclipse, own_eclipse: Callable[..., Eclipse]) -> None:
    """With the gantry up, a target on the patient's left lies towards +x, and the collimator turns above it."""
    widest = {0.0: "x2", 90.0: "y1", 180.0: "x1", 270.0: "y2"}
    used = own_eclipse(stand_alone.profile)
    with used.client() as client, writing(client, find(client, LYING)) as session:
        left = by_label(session, find(client, LYING))["Left"].name
        prescription = model.Prescription(25, (model.TargetPrescription(left, 50.0),))
        beams = tuple(model.BeamSpec(0.0, turned_deg, isocentre_mm=(0.0, 4.0, 4.0)) for turned_deg in widest)
        session.create_plan(model.PlanSpec("jaws", prescription, beams))
        session.commit(session.pending_changes().digest)
    for beam in _stored(used, "jaws", LYING)["beams"]:
        opening = dict(zip(("x1", "y1", "x2", "y2"), map(abs, beam["jaws"]), strict=True))
        side = widest[beam["collimator_deg"]]
        assert max(opening, key=lambda name: opening[name]) == side, beam
        assert opening[side] == pytest.approx(41.0 + 10.0, abs=4.0)


def _angles(session: Client | Session, patient: str, label: str) -> list[tuple[float, ...]]:
    beams = session.beams(plan_named(session, patient, label).name)
    return [tuple(round(a, 6) for a in (b.gantry_deg, b.collimator_deg, b.couch_deg)) for b in beams]


# percent and ratio -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", ["percent", "ratio"])
def test_a_point_objectives_volume_is_percent_in_the_database(
    reading: str, eclipse: Eclipse, own_eclipse: Callable[..., Eclipse]
) -> None:
    """Whether ESAPI wants percent or a ratio: 30 % and 0.5 % asked for are stored, and read again, as that."""
    used = own_eclipse(eclipse.profile, after="save", settings={"switches": {"point_volume": reading}})
    asked = (30.0, 0.5, 100.0)
    with used.client() as client, writing(client, find(client, PHANTOM)) as session:
        here = find(client, PHANTOM)
        structures, plan = by_label(session, here), copied(session, here, "kept")
        target, core = structures["OuterTarget"].name, structures["Core"].name
        specs = [
            model.ObjectiveSpec(core, model.DoseVolumePoint(UPPER, 20.0, asked[0]), 50.0),
            model.ObjectiveSpec(core, model.DoseVolumePoint(UPPER, 45.0, asked[1]), 50.0),
            model.ObjectiveSpec(target, model.MinDose(49.0), 80.0),
        ]
        session.replace_objectives(plan.name, specs)
        assert [objective.spec for objective in session.objectives(plan.name)] == specs
        session.commit(session.pending_changes().digest)
    assert [each["volume_percent"] for each in _stored(used, "kept")["objectives"]] == pytest.approx(asked)


def test_volumes_at_a_dose_are_percent_or_cc_as_asked(client: Client, patient: str) -> None:
    """All of it gets 0 Gy: 100 %, and its volume in cc; in between the curve, and cc, say the same."""
    with writing(client, patient) as session:
        plan = dosed(session, patient)
        core = by_label(session, patient)["Core"]
        curve = session.dvh(plan.name, core.name)

        def volume(dose_gy: float, unit: model.VolumeUnit) -> float:
            query = model.MetricQuery(model.MetricKind.VOLUME_AT_DOSE, core.name, volume_unit=unit, dose_gy=dose_gy)
            return value(session, plan.name, query)

        percent, cc = model.VolumeUnit.PERCENT, model.VolumeUnit.CC
        middle_gy = curve.median_gy
        assert middle_gy is not None
        assert (volume(0.0, percent), volume(0.0, cc)) == pytest.approx((100.0, core.volume_cc), rel=1e-3)
        assert volume(middle_gy, percent) == pytest.approx(50.0, abs=2.0)
        assert volume(middle_gy, cc) == pytest.approx(0.5 * core.volume_cc, rel=0.05)
        assert value(session, plan.name, dose_at(core, 50.0)) == pytest.approx(middle_gy, rel=0.02)
        assert value(session, plan.name, dose_at(core, 2.0)) > 1.05 * middle_gy
    assert curve.coverage_percent == pytest.approx(100.0)
    assert curve.volume_percent[0] == pytest.approx(100.0)
    assert curve.volume_cc == pytest.approx(core.volume_cc)


# Gy and cGy ------------------------------------------------------------------------------------------------------


def test_a_site_in_cgy_answers_as_one_in_gy(eclipse: Eclipse, own_eclipse: Callable[..., Eclipse]) -> None:
    """Prescription, objectives, normalisation, metrics, curve and voxels are the same numbers, and they are Gy."""
    told = {}
    for unit in ("Gy", "cGy"):
        with otherwise(eclipse, own_eclipse, PHANTOM, dose_unit=unit) as client:
            told[unit] = _all_doses(client)
    for what, amount in told["Gy"].items():
        assert told["cGy"][what] == pytest.approx(amount, rel=1e-5, abs=1e-5), what
    assert told["cGy"]["prescription"] == pytest.approx([50.0])
    assert told["cGy"]["objectives"] == pytest.approx([50.5, 20.0, 54.0, 18.0, 12.0])
    assert told["cGy"]["normalised to"] == pytest.approx([50.0], abs=0.05)
    assert 49.0 < told["cGy"]["metrics"][0] < 51.0


def test_objectives_of_the_other_unit_are_stored_in_gy(eclipse: Eclipse, own_eclipse: Callable[..., Eclipse]) -> None:
    """What a clinic finds in its database is the dose that was asked for, and a gEUD's exponent is its exponent."""
    unit = "Gy" if eclipse.profile.unit == "cGy" else "cGy"
    used = own_eclipse(eclipse.profile, after="save", settings={"dose_unit": unit})
    with used.client() as client, writing(client, find(client, PHANTOM)) as session:
        here = find(client, PHANTOM)
        plan = copied(session, here, "kept")
        structures = by_label(session, here)
        geud = model.ObjectiveSpec(structures["Core"].name, model.Geud(UPPER, 12.0, 3.0), 40.0)
        session.replace_objectives(plan.name, [*usual(structures), geud])
        session.commit(session.pending_changes().digest)
    stored = _stored(used, "kept")["objectives"]
    assert [each["dose_gy"] for each in stored] == pytest.approx([50.5, 20.0, 54.0, 12.0])
    assert (stored[-1]["a"], stored[-1]["priority"]) == (pytest.approx(3.0), pytest.approx(40.0))


def _all_doses(client: Client) -> dict[str, Sequence[float]]:
    """Every kind of dose that crosses the border, by where it stands."""
    patient = find(client, PHANTOM)
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), dosed(session, patient)
        target, core = structures["OuterTarget"], structures["Core"]
        session.set_normalization(plan.name, model.CoverageNormalization(target.name, 95.0, 50.0))
        core_v = model.MetricQuery(
            model.MetricKind.VOLUME_AT_DOSE, core.name, volume_unit=model.VolumeUnit.PERCENT, dose_gy=15.0
        )
        queries = [
            dose_at(target, 95.0), core_v, model.MetricQuery(model.MetricKind.MEAN_DOSE, core.name),
            model.MetricQuery(model.MetricKind.PLAN_MAX_DOSE),
        ]  # fmt: skip
        curve, dose, info = (
            session.dvh(plan.name, core.name, 0.1),
            session.dose(plan.name),
            session.dose_info(plan.name),
        )
        metrics = [value(session, plan.name, query) for query in queries]
        further = [
            model.ObjectiveSpec(core.name, model.MeanDose(18.0), 40.0),
            model.ObjectiveSpec(core.name, model.Geud(UPPER, 12.0, 3.0), 40.0),
        ]
        stored = session.replace_objectives(plan.name, [*usual(structures), *further])
        prescription = session.plan(plan.name).prescription
    assert prescription is not None
    return {
        "prescription": [each.total_gy for each in prescription.targets],
        "objectives": [each.spec.function.dose_gy for each in stored],  # type: ignore[union-attr]
        "normalised to": metrics[:1],
        "metrics": metrics,
        "curve": [*curve.dose_gy, *curve.volume_percent],
        "statistics": [each or -1.0 for each in (curve.min_gy, curve.max_gy, curve.mean_gy, curve.median_gy)],
        "highest": [info.max_gy or -1.0],
        "voxels": dose.values.ravel()[::97].tolist(),
    }


# total and per fraction ------------------------------------------------------------------------------------------


def test_a_prescription_is_a_total_and_the_database_has_it_per_fraction(
    stand_alone: Eclipse, own_eclipse: Callable[..., Eclipse]
) -> None:
    """60 Gy in 20 fractions are made as 3 Gy a fraction and told as 60 Gy."""
    used = own_eclipse(stand_alone.profile)
    with used.client() as client, writing(client, find(client, LYING)) as session:
        here = find(client, LYING)
        target = by_label(session, here)["PTV"].name
        asked = model.Prescription(20, (model.TargetPrescription(target, 60.0),))
        made = session.create_plan(model.PlanSpec("total", asked, (model.BeamSpec(0.0, isocentre_structure=target),)))
        assert made.prescription == asked
        session.commit(session.pending_changes().digest)
    stored = _stored(used, "total", LYING)
    assert (stored["fractions"], stored["dose_per_fraction_gy"]) == (20, pytest.approx(3.0))
    assert stored["treatment_ratio"] == pytest.approx(1.0)


def test_doses_are_of_the_whole_treatment(client: Client, patient: str) -> None:
    """The optimiser aims at 50.5 Gy in 25 fractions: voxels, curve, metrics and highest dose are of that size."""
    with writing(client, patient) as session:
        plan = dosed(session, patient)
        target = by_label(session, patient)["OuterTarget"]
        dose, mask = session.dose(plan.name), session.mask(target.name)
        curve = session.dvh(plan.name, target.name)
        d95 = value(session, plan.name, dose_at(target, 95.0))
    assert plan.prescription is not None
    (prescribed,) = plan.prescription.targets
    inside = at(dose, points_of(mask)[mask.values.ravel() > 0.99]).mean()
    for found in (inside, curve.mean_gy, d95):
        assert found == pytest.approx(prescribed.total_gy, rel=0.25)
    assert plan.dose.max_gy is not None
    assert 1.0 < plan.dose.max_gy / prescribed.total_gy < 2.0


# gEUD ------------------------------------------------------------------------------------------------------------


def test_a_geud_with_a_of_one_is_the_mean(client: Client, patient: str) -> None:
    """Two plans, one held by the mean and one by the gEUD with a = 1, become the same; with a = 10 another."""
    with writing(client, patient) as session:
        structures = by_label(session, patient)
        core = structures["Core"]
        means = {}
        functions: dict[str, model.ObjectiveFunction] = {
            "mean": model.MeanDose(10.0),
            "geud-1": model.Geud(UPPER, 10.0, 1.0),
            "geud-10": model.Geud(UPPER, 10.0, 10.0),
        }
        for label, function in functions.items():
            plan = copied(session, patient, label)
            session.replace_objectives(
                plan.name,
                [
                    model.ObjectiveSpec(
                        structures["OuterTarget"].name, model.DoseVolumePoint(LOWER, 50.0, 95.0), 300.0
                    ),
                    model.ObjectiveSpec(core.name, function, 70.0),
                ],
            )
            session.optimize(plan.name, model.OptimizeSpec())
            session.calculate_dose(plan.name)
            means[label] = value(session, plan.name, model.MetricQuery(model.MetricKind.MEAN_DOSE, core.name))
    assert means["geud-1"] == pytest.approx(means["mean"], rel=1e-3)
    assert abs(means["geud-10"] - means["mean"]) > 0.1


def _stored(used: Eclipse, label: str, patient: str = PHANTOM) -> Any:
    """A committed plan in the database, once a person saved it where that is needed."""
    if used.in_eclipse:
        used.close_window()
        used.event("saved")
    return next(plan for course in used.saved(patient)["courses"] for plan in course["plans"] if plan["id"] == label)
