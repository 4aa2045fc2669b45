"""DICOM import: what a sound set becomes, and what each spoilt one is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim_tps.errors import BadInput
from sim_tps.importers import import_patient
from sim_tps.patient import Patient, Role
from tests.sim_tps import dicom_sets as sets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def sound(folder: Path) -> Path:
    sets.write_ct(folder)
    sets.write_structures(folder)
    return folder


def codes(patient: Patient) -> set[str]:
    return {finding.code for finding in patient.findings}


def test_a_sound_set_becomes_a_patient(folder):
    """Geometry comes from positions, HU from the rescale, structures from contours, names from TG-263."""
    patient = import_patient(sound(folder), id="P1")
    assert patient.id == "P1"
    assert patient.grid.origin_mm == sets.FIRST_MM
    assert patient.grid.spacing_mm == (2.0, 2.0, 3.0)
    assert patient.grid.shape == (sets.SLICES, sets.ROWS, sets.COLUMNS)
    assert patient.hu[0, sets.ROWS // 2, sets.COLUMNS // 2] == 0
    assert patient.hu.min() == -1000
    target = patient.structure("PTV_5000")
    assert target.role is Role.TARGET
    assert target.volume_cc == pytest.approx(np.pi * 10.0**2 * 6 * 3.0 / 1000.0, rel=0.001)
    assert target.centre_mm() == pytest.approx((0.0, 0.0, 0.0), abs=0.01)
    assert patient.external.name == "External"
    assert patient.provenance["structure External"] == "BODY"


def test_no_personal_data_is_kept(folder):
    """Neither the patient's name nor the patient's own id is anywhere in what was read."""
    patient = import_patient(sound(folder), id="P1")
    told = repr((patient.id, patient.label, patient.findings, dict(patient.provenance), patient.prescription_note))
    assert "Nobody" not in told
    assert "T0" not in told


def test_rows_and_columns_are_not_swapped(folder):
    """A target to the patient's left and front stays there on an image with unlike rows and columns."""
    sets.write_ct(folder)
    ring = [sets.circle(5.0, z, centre=(20.0, -10.0)) for z in sets.heights(2, 10)]
    sets.write_structures(folder, {"BODY": ("EXTERNAL", sets.body()), "PTV": ("PTV", ring)})
    assert import_patient(folder).structure("PTV").centre_mm() == pytest.approx((20.0, -10.0, 0.0), abs=0.02)


def test_holes_by_inner_ring_and_by_keyhole(folder):
    """A ring inside a ring is a hole, and so is an inner circle reached through a channel of no width."""
    sets.write_ct(folder)
    rings = [ring for z in sets.heights(2, 6) for ring in (sets.circle(20.0, z), sets.circle(10.0, z))]
    keyholes = []
    for z in sets.heights(2, 6):
        outer, inner = sets.circle(20.0, z), sets.circle(10.0, z)[::-1]
        keyholes.append(np.concatenate([outer, outer[:1], inner[-1:], inner]))
    sets.write_structures(folder, {"BODY": ("EXTERNAL", sets.body()), "A": ("", rings), "B": ("", keyholes)})
    patient = import_patient(folder)
    expected_cc = np.pi * (20.0**2 - 10.0**2) * 4 * 3.0 / 1000.0
    assert patient.structure("A").volume_cc == pytest.approx(expected_cc, rel=0.002)
    assert patient.structure("B").volume_cc == pytest.approx(expected_cc, rel=0.002)


def test_contours_on_every_second_slice_leave_no_gaps(folder):
    """Each plane stands for the distance to the structure's usual next plane, not for one slice."""
    sets.write_ct(folder)
    every_second = [sets.circle(10.0, z) for z in sets.heights(2, 10)[::2]]
    sets.write_structures(folder, {"BODY": ("EXTERNAL", sets.body()), "PTV": ("PTV", every_second)})
    patient = import_patient(folder)
    assert patient.structure("PTV").volume_cc == pytest.approx(np.pi * 100.0 * 4 * 6.0 / 1000.0, rel=0.002)
    assert "contour-gap" not in codes(patient)


def test_a_missing_external_is_derived(folder):
    """Without an External the body is found in the CT, and a finding says so with its volume."""
    sets.write_ct(folder)
    sets.write_structures(folder, {"PTV": ("PTV", sets.target())})
    patient = import_patient(folder)
    assert "external-derived" in codes(patient)
    assert patient.external.volume_cc == pytest.approx(np.pi * 30.0**2 * 36.0 / 1000.0, rel=0.03)


def test_plan_dose_and_prescription_come_along(folder):
    """The plan's dose becomes the reference dose in Gy, the prescription a note; the plan is not taken over."""
    sound(folder)
    sets.write_plan(folder)
    sets.write_dose(folder, 50.0)
    patient = import_patient(folder)
    assert patient.reference_dose is not None
    assert patient.reference_dose.dose_gy.max() == pytest.approx(50.0)
    assert patient.reference_dose.grid.spacing_mm == (5.0, 5.0, 5.0)
    assert patient.prescription_note == "50 Gy to PTV_50 in 25 fractions"
    assert "plan-skipped" in codes(patient)


def test_beam_doses_are_added_and_placeholders_told(folder):
    """Without a plan dose the beams' doses are summed; one that is 0 everywhere is left out, and both are told."""
    sound(folder)
    for number, gy in enumerate((12.0, 8.0, 0.0)):
        sets.write_dose(folder, gy, kind="BEAM", name=f"RD{number}.dcm")
    patient = import_patient(folder)
    assert patient.reference_dose is not None
    assert patient.reference_dose.dose_gy.max() == pytest.approx(20.0)
    assert {"dose-summed", "dose-placeholder"} <= codes(patient)


def test_a_plan_dose_goes_before_beam_doses(folder):
    """Where both are there the plan's dose is shown."""
    sound(folder)
    sets.write_dose(folder, 10.0, kind="BEAM", name="RD1.dcm")
    sets.write_dose(folder, 50.0, kind="PLAN", name="RD2.dcm")
    patient = import_patient(folder)
    assert patient.reference_dose is not None
    assert patient.reference_dose.dose_gy.max() == pytest.approx(50.0)


def dose_upside_down(ds):
    ds.GridFrameOffsetVector = [-5.0 * i for i in range(ds.NumberOfFrames)]
    pixels = np.zeros((ds.NumberOfFrames, ds.Rows, ds.Columns), np.uint16)
    pixels[0] = 1000
    ds.ImagePositionPatient = [-50.0, -40.0, 20.0]
    ds.PixelData = pixels.tobytes()


def test_dose_planes_from_top_to_bottom(folder):
    """Dose planes listed from superior to inferior are put the right way up."""
    sound(folder)
    sets.write_dose(folder, 1.0, change=dose_upside_down)
    reference = import_patient(folder).reference_dose
    assert reference is not None
    assert reference.grid.origin_mm[2] == -20.0
    assert reference.dose_gy[-1].max() == pytest.approx(1.0)
    assert reference.dose_gy[0].max() == 0.0


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (lambda f: sets.write_plan(f, radiation="ELECTRON"), "radiation-skipped"),
        (lambda f: sets.write_plan(f, radiation="PROTON"), "radiation-skipped"),
        (lambda f: sets.write_plan(f, structure_set="9.9.9"), "dangling-reference"),
        (lambda f: sets.write_ct(f, change=lambda ds: setattr(ds, "SliceThickness", 0)), "slice-thickness-differs"),
        (lambda f: sets.write_ct(f, change=lambda ds: delattr(ds, "PatientPosition")), "position-missing"),
        (lambda f: (f / "notes.txt").write_text("hello"), "files-ignored"),
        (
            lambda f: sets.write_structures(f, {"BODY": ("EXTERNAL", sets.target()), "PTV": ("PTV", sets.body())}),
            "outside-external",
        ),
        (
            lambda f: sets.write_structures(f, {"BODY": ("OTHER", sets.body()), "PTV": ("", sets.target())}),
            "roles-guessed",
        ),
        (
            lambda f: sets.write_structures(f, {"BODY": ("EXTERNAL", sets.body()), "Rectum": ("", sets.body()[4:])}),
            "cut-by-image-edge",
        ),
        (
            lambda f: sets.write_structures(f, {"BODY": ("EXTERNAL", sets.body()), "PTV": ("PTV", sets.target() * 2)}),
            "contours-ignored",
        ),
        (
            lambda f: sets.write_structures(
                f, {"BODY": ("EXTERNAL", sets.body()), "PTV": ("PTV", sets.target()[:2] + sets.target()[4:])}
            ),
            "contour-gap",
        ),
        (
            lambda f: sets.write_structures(f, {"BODY": ("EXTERNAL", sets.body()), "PTV": ("PTV", [])}),
            "empty-structure",
        ),
    ],
)
def test_unusual_but_legal_things_are_told(folder, write, code):
    """Each oddity that does not stop the import becomes a finding with its own word."""
    sound(folder)
    write(folder)
    assert code in codes(import_patient(folder))


def test_a_ring_given_twice_is_no_hole(folder):
    """A contour that is in the file twice counts once."""
    sets.write_ct(folder)
    sets.write_structures(folder, {"BODY": ("EXTERNAL", sets.body()), "PTV": ("PTV", sets.target() * 2)})
    expected_cc = np.pi * 10.0**2 * 6 * 3.0 / 1000.0
    assert import_patient(folder).structure("PTV").volume_cc == pytest.approx(expected_cc, rel=0.002)


def test_air_in_a_target_is_told_in_cc(folder):
    """The part of a target that is air is named with its volume."""
    sets.write_ct(folder)
    rings = [sets.circle(4.0, z, centre=(30.0, 0.0)) for z in sets.heights(3, 9)]
    sets.write_structures(folder, {"BODY": ("EXTERNAL", sets.body()), "PTV": ("PTV", rings)})
    (finding,) = [f for f in import_patient(folder).findings if f.code == "air-in-target"]
    assert finding.structure == "PTV"
    assert "cc" in finding.message


# ------------------------------------------------------------------------------------------ refusals


def shifted(axis: int, by_mm: float):
    rings = sets.target()
    for ring in rings:
        ring[:, axis] += by_mm
    return {"BODY": ("EXTERNAL", sets.body()), "PTV": ("PTV", rings)}


def orientation(*cosines: float):
    return lambda ds: setattr(ds, "ImageOrientationPatient", list(cosines))


def spoilt_structures(ds):
    ds.ROIContourSequence[1].ContourSequence[0].ContourData = [1.0, 2.0]


SPOILT = {
    "an empty folder": (lambda f: f, "no DICOM file"),
    "no RTSTRUCT": (sets.write_ct, "no RTSTRUCT"),
    "no CT": (sets.write_structures, "no CT image"),
    "two CT series": (
        lambda f: (sound(f), sets.write_ct(f, series="1.2.3.209")),
        r"2 CT series.*1\.2\.3\.200 \(12 slices\).*1\.2\.3\.209 \(12 slices\).*series_uid",
    ),
    "a missing slice": (
        lambda f: (sets.write_ct(f, skip=[5]), sets.write_structures(f)),
        r"3 mm apart, but not between z = -4\.5 and 1\.5 mm \(6 mm\)",
    ),
    "two RTSTRUCT files": (lambda f: (sound(f), sets.write_structures(f, name="RS_other.dcm")), "2 RTSTRUCT files"),
    "contours outside the image": (
        lambda f: (sets.write_ct(f), sets.write_structures(f, shifted(0, 60.0))),
        r"RS\.dcm: a contour of 'PTV' at z = -7\.5 mm lies outside the image: x from 50 to 70 mm",
    ),
    "contours above the image": (
        lambda f: (sets.write_ct(f), sets.write_structures(f, shifted(2, 300.0))),
        "lies on no slice of the CT",
    ),
    "contours between slices": (
        lambda f: (sets.write_ct(f), sets.write_structures(f, shifted(2, 1.5))),
        "lies on no slice of the CT",
    ),
    "a contour without z": (
        lambda f: (sets.write_ct(f), sets.write_structures(f, change=spoilt_structures)),
        "has 2 numbers",
    ),
    "another frame of reference": (
        lambda f: (
            sets.write_ct(f, change=lambda ds: setattr(ds, "FrameOfReferenceUID", "9.9")),
            sets.write_structures(f),
        ),
        "frame of reference 1.2.3.100, but the CT .* is in 9.9",
    ),
    "feet first": (
        lambda f: (sets.write_ct(f, change=lambda ds: setattr(ds, "PatientPosition", "FFS")), sets.write_structures(f)),
        "PatientPosition is 'FFS', expected HFS",
    ),
    "prone": (
        lambda f: (sets.write_ct(f, change=orientation(-1, 0, 0, 0, -1, 0)), sets.write_structures(f)),
        "ImageOrientationPatient is .* head first supine",
    ),
    "a tilted gantry": (
        lambda f: (sets.write_ct(f, change=orientation(1, 0, 0, 0, 0.985, -0.174)), sets.write_structures(f)),
        "no tilt",
    ),
    "not in HU": (
        lambda f: (sets.write_ct(f, change=lambda ds: setattr(ds, "RescaleType", "US")), sets.write_structures(f)),
        "RescaleType is 'US', expected HU",
    ),
    "no rescale": (
        lambda f: (sets.write_ct(f, change=lambda ds: delattr(ds, "RescaleSlope")), sets.write_structures(f)),
        "RescaleSlope is None",
    ),
    "a relative dose": (
        lambda f: (sound(f), sets.write_dose(f, 1.0, change=lambda ds: setattr(ds, "DoseUnits", "RELATIVE"))),
        r"RD\.dcm: DoseUnits is 'RELATIVE', expected GY",
    ),
    "text named .dcm": (
        lambda f: (sound(f), (f / "readme.dcm").write_text("hello")),
        r"readme\.dcm: named like a DICOM",
    ),
    "an Enhanced CT": (
        lambda f: (
            sets.write_ct(f, change=lambda ds: setattr(ds, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2.1")),
            sets.write_structures(f),
        ),
        "Enhanced",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_set_is_refused_by_name(folder, what):
    """Each set that cannot be planned on is refused, and the message names the file or value at fault."""
    write, message = SPOILT[what]
    write(folder)
    with pytest.raises(BadInput, match=message):
        import_patient(folder)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("name", ["CT0_95.dcm", "RS.dcm"])
def test_a_truncated_file_is_refused_by_name(folder, name, share):
    """A file cut short anywhere is refused; nothing is made of what is left of it."""
    whole = (sound(folder) / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadInput, match=name.replace(".", r"\.")):
        import_patient(folder)


def test_one_of_two_series_can_be_named(folder):
    """Naming the planning CT's series takes it, and an unknown one is refused with those there are."""
    sound(folder)
    sets.write_ct(folder, series="1.2.3.209", change=lambda ds: setattr(ds, "RescaleIntercept", 0))
    assert import_patient(folder, series_uid=sets.SERIES).hu.min() == -1000
    with pytest.raises(BadInput, match=r"no CT series 1\.2; there are 1\.2\.3\.200"):
        import_patient(folder, series_uid="1.2")


def test_a_path_that_is_not_there_is_refused(tmp_path):
    """A missing path, and a lone DICOM file, are refused with what was expected."""
    with pytest.raises(BadInput, match="no such file or folder"):
        import_patient(tmp_path / "nowhere")
    sets.write_structures(tmp_path)
    with pytest.raises(BadInput, match="give the whole folder"):
        import_patient(tmp_path / "RS.dcm")
