"""`beamwright export`: from the folder of a run to DICOM files, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner, Result

from agent.cli import app
from bridge import INTENDED_USE
from bridge.data_folder import ENVIRONMENT_VARIABLE, held
from sim_tps.dvh import DoseVolume
from sim_tps.importers import import_patient
from sim_tps.plan import Beam, Objective, ObjectiveType, PlanSettings, Prescription, TargetDose
from sim_tps.store import Store
from sim_tps.tps import Tps
from tests.phantoms import water_cylinder


def call(*words: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run as `plan` leaves it for a built-in case: the plan saved in the run's own data folder."""
    folder = tmp_path / "run"
    saved_plan(folder / "tps")
    name_plan(folder, "plan-1.2")
    return folder


def saved_plan(data_folder: Path) -> None:
    data_folder.mkdir(parents=True)
    tps = Tps(Store(data_folder))
    tps.add_patient(water_cylinder())
    beams = tuple(Beam(f"beam-{n}", (0.0, 0.0, 0.0), gantry) for n, gantry in enumerate((0.0, 120.0, 240.0), start=1))
    objective = Objective("objective-1", ObjectiveType.UNIFORM, "PTV", 100.0, 50.0)
    target = Prescription(25, (TargetDose("PTV", 50.0),))
    tps.create_plan(PlanSettings("plan-1", "a", "P1", "generic-5mm", beams, target, 4.0, None, 10.0, (objective,)))
    tps.create_plan(PlanSettings("plan-2", "without dose", "P1", "generic-5mm", beams, target, 4.0, None, 10.0))
    tps.optimise(
        "P1", "plan-1", warm=False, max_iterations=3, max_seconds=60.0, seed=0, report=told, cancelled=lambda: False
    )
    tps.commit("P1")
    tps.close()


def told(*_: object) -> None:
    """Progress nobody listens to."""


def name_plan(folder: Path, etag: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"plan": "patients/P1/plans/plan-1", "plan_etag": etag}))


def test_a_run_becomes_dicom_files_with_the_same_dvh(run: Path, tmp_path: Path) -> None:
    """Image, structures and dose of the saved plan come back through the import with the target's mean and D95."""
    result = call("export", run, "--dicom", tmp_path / "dicom")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == INTENDED_USE
    assert {"CT", "RTSTRUCT", "RTPLAN", "RTDOSE"} <= set(result.output.split())
    tps = Tps(Store(run / "tps"))
    before = tps.dose_volume("P1", "plan-1", "PTV")
    tps.close()
    read = import_patient(tmp_path / "dicom")
    assert read.reference_dose is not None
    after = DoseVolume.of(read.structure("PTV"), read.reference_dose.dose_gy, read.reference_dose.grid)
    assert after.mean == pytest.approx(before.mean, rel=0.01)
    assert after.dose_at_percent(95.0) == pytest.approx(before.dose_at_percent(95.0), rel=0.01)


def test_a_saved_plan_of_a_data_folder_is_found_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without data of its own, a run's plan is looked for in the data folder that was named, or the usual one."""
    kept = tmp_path / "data"
    (run / "tps").rename(kept)
    assert call("export", run, "--dicom", tmp_path / "a", "--data-dir", kept).exit_code == 0
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(kept))
    assert call("export", run, "--dicom", tmp_path / "b").exit_code == 0
    uids = {pydicom.dcmread(tmp_path / name / "RD.dcm").SOPInstanceUID for name in "ab"}
    assert len(uids) == 1


def test_what_cannot_be_exported_is_told(run: Path, tmp_path: Path) -> None:
    """No run, no such plan, a plan without dose, a plan that was not saved: a sentence, status 1, no files."""
    (tmp_path / "none").mkdir()
    refused = {
        "has no result.json": call("export", tmp_path / "none", "--dicom", tmp_path / "dicom"),
        "of this patient there are plan-1, plan-2": call("export", run, "--dicom", tmp_path / "dicom", "--plan", "x"),
        "has no dose": call("export", run, "--dicom", tmp_path / "dicom", "--plan", "plan-2"),
        "plan with --commit": call("export", run, "--dicom", tmp_path / "dicom", "--data-dir", tmp_path / "other"),
    }
    for sentence, result in refused.items():
        assert result.exit_code == 1
        assert sentence in result.output
    assert not (tmp_path / "dicom").exists()


def test_a_plan_that_changed_since_is_not_taken_for_the_run_s(run: Path, tmp_path: Path) -> None:
    """The run reports another state of the plan: refused, until the plan is named as it is."""
    name_plan(run, "plan-1.1")
    result = call("export", run, "--dicom", tmp_path / "dicom")
    assert result.exit_code == 1
    assert "was changed after" in result.output
    assert call("export", run, "--dicom", tmp_path / "dicom", "--plan", "plan-1").exit_code == 0


def test_a_data_folder_in_use_is_left_alone(run: Path, tmp_path: Path) -> None:
    """The export takes the folder's lock, as every command that opens it."""
    with held(run / "tps"):
        result = call("export", run, "--dicom", tmp_path / "dicom")
    assert result.exit_code == 1
    assert "is in use by process" in result.output


@pytest.mark.slow
def test_planning_a_built_in_case_leaves_what_export_needs(tmp_path: Path) -> None:
    """`plan` and then `export`, with nothing in between."""
    assert call("plan", "tg119", "--max-attempts", 1, "--out", tmp_path / "run").exit_code == 0
    result = call("export", tmp_path / "run", "--dicom", tmp_path / "dicom")
    assert result.exit_code == 0, result.output
    assert import_patient(tmp_path / "dicom").structure("OuterTarget").volume_cc == pytest.approx(167.8, rel=0.005)
