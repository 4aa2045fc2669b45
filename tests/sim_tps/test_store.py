"""What survives a restart of the simulated TPS, and what does not."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim_tps.errors import DamagedData, NotFound
from sim_tps.geometry import Grid
from sim_tps.patient import Finding, Patient, ReferenceDose, Role, Structure
from sim_tps.plan import (
    Beam,
    Dose,
    Objective,
    ObjectiveType,
    Plan,
    PlanSettings,
    Prescription,
    TargetCoverage,
    TargetDose,
)
from sim_tps.store import DATABASE, Store

GRID = Grid((0.0, 0.0, 0.0), (2.0, 2.0, 3.0), (6, 8, 10))


def small_patient(patient_id: str = "P1") -> Patient:
    inside = np.zeros(GRID.shape, np.float32)
    inside[1:5, 2:6, 2:8] = 1.0
    structures = {
        "External": Structure.from_array("External", Role.EXTERNAL, np.ones(GRID.shape, bool), GRID),
        "PTV": Structure.from_array("PTV", Role.TARGET, inside, GRID),
    }
    reference = ReferenceDose("delivered", np.full(GRID.shape, 2.5, np.float32), GRID)
    hu = np.arange(GRID.size, dtype=np.int16).reshape(GRID.shape)
    return Patient(patient_id, "phantom", GRID, hu, structures, (Finding("couch-excluded", "one"),), reference, "60 Gy")


def a_plan(plan_id: str = "plan-1") -> Plan:
    settings = PlanSettings(
        id=plan_id,
        label="nine beams",
        patient="P1",
        machine="generic-5mm",
        beams=(Beam("beam-1", (1.0, 2.0, 3.0), 40.0, 5.0, 10.0),),
        prescription=Prescription(20, (TargetDose("PTV", 60.0),)),
        dose_grid_mm=None,
        optimization_grid_mm=4.0,
        beamlet_mm=5.0,
        objectives=(Objective("objective-1", ObjectiveType.LOWER, "PTV", 100.0, 60.0, volume_percent=99.0),),
        normalization=TargetCoverage("PTV", 95.0, 60.0),
        made_by=(("client", "test"),),
    )
    dose = Dose(
        np.linspace(0, 60, GRID.size, dtype=np.float32).reshape(GRID.shape), GRID, "intermediate", "pencil beam"
    )
    return Plan(settings, 4, np.array([0.5, 1.5]), dose, 3, 1.02, (("objective-1", 0.25),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_patient_comes_back_as_it_was(folder: Path) -> None:
    """Image, structures, findings, reference dose and prescription note survive closing and opening the store."""
    store = Store(folder)
    store.save_patient(small_patient())
    store.close()
    back = Store(folder).load_patient("P1")
    original = small_patient()
    assert np.array_equal(back.hu, original.hu)
    assert back.structures["PTV"].volume_cc == original.structures["PTV"].volume_cc
    assert back.structures["PTV"].first_voxel == original.structures["PTV"].first_voxel
    assert (back.findings, back.prescription_note, back.grid) == (original.findings, "60 Gy", GRID)
    assert back.reference_dose is not None
    assert float(back.reference_dose.dose_gy.max()) == 2.5


def test_a_committed_plan_comes_back_as_it_was(folder: Path) -> None:
    """Settings, fluence, dose, scale and objective values survive a restart."""
    store = Store(folder)
    store.save_patient(small_patient())
    store.commit("P1", [a_plan()], [])
    store.close()
    (back,) = Store(folder).load_plans("P1")
    original = a_plan()
    assert back.settings == original.settings
    assert (back.revision, back.dose_revision, back.scale, back.values) == (4, 3, 1.02, original.values)
    assert back.fluence is not None and np.array_equal(back.fluence, [0.5, 1.5])
    assert back.raw_dose is not None and original.raw_dose is not None
    assert np.array_equal(back.raw_dose.gy, original.raw_dose.gy)


def test_a_commit_that_fails_leaves_the_old_plans(folder: Path) -> None:
    """Two plans with one id cannot be saved, and the failed attempt does not touch what was there."""
    store = Store(folder)
    store.save_patient(small_patient())
    store.commit("P1", [a_plan()], [])
    with pytest.raises(sqlite3.IntegrityError):
        store.commit("P1", [a_plan("plan-2"), a_plan("plan-2")], [])
    assert [p.settings.id for p in store.load_plans("P1")] == ["plan-1"]


def test_a_damaged_array_is_noticed(folder: Path) -> None:
    """A changed byte in an array file is an error that names the file, not a wrong dose."""
    store = Store(folder)
    store.save_patient(small_patient())
    (file,) = (folder / "arrays").glob("*.npz")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedData, match=file.name):
        store.load_patient("P1")


def test_a_missing_array_is_noticed(folder: Path) -> None:
    """An array file that is gone is an error that says so."""
    store = Store(folder)
    store.save_patient(small_patient())
    next((folder / "arrays").glob("*.npz")).unlink()
    with pytest.raises(DamagedData, match="missing"):
        store.load_patient("P1")


def test_array_files_nothing_points_at_are_removed(folder: Path) -> None:
    """What a crash left behind between writing an array and its row is cleaned up at the next start."""
    store = Store(folder)
    store.save_patient(small_patient())
    stray = folder / "arrays" / "stray.partial"
    stray.write_bytes(b"half an array")
    store.close()
    Store(folder).close()
    assert not stray.exists()
    assert len(list((folder / "arrays").iterdir())) == 1


def test_an_unknown_patient_is_named_with_those_there_are(folder: Path) -> None:
    """The error for a patient that is not there lists the ones that are."""
    store = Store(folder)
    store.save_patient(small_patient())
    with pytest.raises(NotFound, match=r"P2.*P1"):
        store.load_patient("P2")


def test_helpers_live_apart_from_the_contours(folder: Path) -> None:
    """Committing without a helper structure removes it, and never an imported one."""
    store = Store(folder)
    patient = small_patient()
    store.save_patient(patient)
    helper = replace(patient.structures["PTV"], name="zRing", role=Role.HELPER)
    store.commit("P1", [], [helper])
    assert [s.name for s in store.load_helpers("P1", GRID)] == ["zRing"]
    store.commit("P1", [], [])
    assert store.load_helpers("P1", GRID) == []
    assert set(store.load_patient("P1").structures) == {"External", "PTV"}


def test_everything_is_in_one_database(folder: Path) -> None:
    """State is one SQLite file with arrays beside it."""
    Store(folder).close()
    assert (folder / DATABASE).is_file()
    assert {path.name for path in folder.iterdir()} <= {DATABASE, DATABASE + "-wal", DATABASE + "-shm", "arrays"}
