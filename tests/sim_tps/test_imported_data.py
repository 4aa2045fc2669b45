"""The shared patients: what the imports make of them, and their DVHs against values computed by others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from sim_tps.dvh import DoseVolume
from sim_tps.importers import import_patient
from sim_tps.importers.dicom_dose import read_dose
from sim_tps.importers.dicom_file import DicomFile
from sim_tps.importers.inspection import derive_external
from sim_tps.patient import Patient, Role, Structure

pytestmark = pytest.mark.data

PERCENTILES = (99, 98, 95, 50, 5, 2, 1)


@pytest.fixture(scope="module")
def prostate(shared_data: Path) -> Patient:
    return import_patient(shared_data / "dicom" / "prostate-proton-raystation")


@pytest.fixture(scope="module")
def phantom(shared_data: Path) -> Patient:
    return import_patient(shared_data / "dicom" / "phantom-oncentra")


def by_original_name(patient: Patient, name: str) -> Structure:
    (found,) = [s for s in patient.structures.values() if patient.provenance.get(f"structure {s.name}") == name]
    return found


def codes(patient: Patient) -> set[str]:
    return {finding.code for finding in patient.findings}


def reference(folder: Path) -> dict:
    return json.loads((folder / "reference_dvh.json").read_text())


def test_prostate_volumes_are_those_of_the_polygons(prostate, shared_data):
    """Every structure of the real DICOM set has its polygons' area times the plane distance, to 0.01 %."""
    for name, values in reference(shared_data / "dicom/prostate-proton-raystation")["structures"].items():
        expected_cc = values["polygon"]["slab_cc"]
        assert by_original_name(prostate, name).volume_cc == pytest.approx(expected_cc, rel=1e-4), name


def test_prostate_dvh_of_its_own_dose(prostate, shared_data):
    """Every dose percentile and mean lies within 0.1 Gy of a second, unrelated supersampled computation."""
    assert prostate.reference_dose is not None
    for name, values in reference(shared_data / "dicom/prostate-proton-raystation")["structures"].items():
        expected = values["supersampled"]
        found = DoseVolume.of(
            by_original_name(prostate, name), prostate.reference_dose.dose_gy, prostate.reference_dose.grid
        )
        assert found.mean == pytest.approx(expected["Dmean"], abs=0.1), name
        for percent in PERCENTILES:
            assert found.dose_at_percent(percent) == pytest.approx(expected[f"D{percent}"], abs=0.1), (name, percent)
        for key in (k for k in expected if k.startswith("V")):
            dose_gy = float(key.removeprefix("V").removesuffix("Gy_pct"))
            percent = 100.0 * found.volume_at(dose_gy) / found.volume_cc
            assert percent == pytest.approx(expected[key], abs=0.3), (name, key)


def test_prostate_set_is_told_as_it_is(prostate):
    """Proton plan, dangling reference, guessed roles, couch, cut bladder and the own prescription are all told."""
    expected = {"radiation-skipped", "dangling-reference", "roles-guessed", "couch-excluded", "own-prescription"}
    assert expected <= codes(prostate)
    assert prostate.prescription_note == "76 Gy in 35 fractions"
    assert {f.structure for f in prostate.findings if f.code == "cut-by-image-edge"} == {"Bladder", "Rectum"}
    assert prostate.external.name == "External"
    assert {s.name for s in prostate.structures.values() if s.role is Role.TARGET} == {"PTV"}


def test_prostate_body_derived_from_the_ct_is_the_drawn_one(prostate):
    """The body found in the CT, couch and all, overlaps the drawn one to 98 % (Dice)."""
    derived, drawn = derive_external(prostate.hu, prostate.grid).mask(), prostate.external.mask()
    assert 2.0 * (derived & drawn).sum() / (derived.sum() + drawn.sum()) > 0.98


def test_phantom_dvh_of_each_beam(phantom, shared_data):
    """On a 75 mm slice spacing each beam's percentiles and means agree to 0.01 Gy with slabs and planar dose."""
    folder = shared_data / "dicom/phantom-oncentra"
    for beam, block in reference(folder).items():
        path = folder / block["dose_file"]
        dose = read_dose(DicomFile(path, pydicom.dcmread(path)))
        for name, values in block["structures"].items():
            structure, expected = by_original_name(phantom, name), values["supersampled"]
            assert structure.volume_cc == pytest.approx(values["polygon"]["slab_cc"], rel=1e-4), name
            found = DoseVolume.of(structure, dose.dose_gy, dose.grid)
            assert found.mean == pytest.approx(expected["Dmean"], abs=0.01), (beam, name)
            for percent in PERCENTILES:
                assert found.dose_at_percent(percent) == pytest.approx(expected[f"D{percent}"], abs=0.01), (beam, name)


def test_phantom_is_told_as_it_is(phantom):
    """Electrons, the empty dose, the summed beams, the zero slice thickness and the small External are told."""
    expected = {"radiation-skipped", "dose-placeholder", "dose-summed", "slice-thickness-differs", "outside-external"}
    assert expected <= codes(phantom)


@pytest.mark.parametrize("number", [4, 22, 66, 95, 99, 100, 112, 225, 236, 251, 274, 288])
def test_openkbp_patient(shared_data, number):
    """Names become TG-263; volumes, means, D95 and maximum are near those that the set's voxels give."""
    path = shared_data / "openkbp" / f"pt_{number}.npz"
    patient = import_patient(path)
    with np.load(path) as arrays:
        metrics = json.loads(str(arrays["meta"]))["metrics"]
    assert patient.external.name == "External"
    assert "PTV_7000" in patient.structures
    assert patient.reference_dose is not None
    assert patient.reference_dose.grid == patient.grid
    for name, expected in metrics.items():
        structure = by_original_name(patient, name)
        found = DoseVolume.of(structure, patient.reference_dose.dose_gy, patient.reference_dose.grid)
        assert structure.volume_cc == pytest.approx(expected["volume_cc"], abs=0.01), name
        assert found.mean == pytest.approx(expected["Dmean"], abs=0.3), name
        assert found.dose_at_percent(95) == pytest.approx(expected["D95"], abs=0.7), name
        assert found.hottest_voxel_gy == pytest.approx(expected["Dmax"], abs=0.01), name


def test_tg119_keeps_its_own_names(shared_data):
    """What TG-263 does not know keeps its name; BODY becomes External; the position of the first voxel is kept."""
    patient = import_patient(shared_data / "tg119" / "tg119.npz")
    assert set(patient.structures) == {"Core", "OuterTarget", "External"}
    assert patient.structure("OuterTarget").role is Role.TARGET
    assert patient.grid.origin_mm == (-250.0, -250.0, -160.0)
