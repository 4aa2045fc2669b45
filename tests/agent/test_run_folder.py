"""The folder of a run: what it holds, and that only a whole one is ever read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_builder import make_run, sequenced

from agent import run_folder
from agent.records import ModelCosts
from agent.run_folder import RunFolderError
from agent.trace import Ended, Trace
from bridge import INTENDED_USE


def test_a_run_comes_back_whole(tmp_path: Path) -> None:
    """Records are equal, and curves and voxels are the same to their stored precision."""
    run = make_run()
    run_folder.write(run, tmp_path)
    again = run_folder.read(tmp_path)
    assert replace(again.result, attempts=()) == replace(run.result, attempts=())
    before, after = run.result.best_attempt, again.result.best_attempt
    assert replace(after, dvhs={}) == replace(before, dvhs={})
    assert np.array_equal(after.dvhs["PTV"].volume_percent, before.dvhs["PTV"].volume_percent)
    assert run.volumes is not None
    assert again.volumes is not None
    assert np.array_equal(again.volumes.dose.values, run.volumes.dose.values)
    assert np.array_equal(again.volumes.masks["PTV"].values, run.volumes.masks["PTV"].values)
    assert again.volumes.masks["PTV"].grid == run.volumes.masks["PTV"].grid


def test_result_json_says_what_a_program_needs(tmp_path: Path) -> None:
    """Case, protocol, dose kind, goals with value, limit, unit, rank and status, counts, versions and intended use."""
    summary = json.loads(run_folder.write(make_run(), tmp_path).read_text())
    assert summary["schema"] == "beamwright.result/1"
    assert (summary["case"], summary["protocol"], summary["planner"], summary["seed"]) == (
        "synthetic",
        "test-60",
        "rules",
        7,
    )
    assert (summary["dose_kind"], summary["deliverable"]) == ("INTERMEDIATE", False)
    assert (summary["attempts"], summary["best_attempt"], summary["tps_calls"]) == (2, 2, 61)
    assert summary["intended_use"] == INTENDED_USE
    cord = next(goal for goal in summary["goals"] if goal["structure"] == "SpinalCord")
    assert cord == {
        "structure": "SpinalCord",
        "metric": "D0.03cc[Gy]",
        "comparator": "<=",
        "limit": 45.0,
        "acceptable": None,
        "unit": "Gy",
        "rank": 1,
        "status": "met",
        "value": 41.3,
        "first_value": 48.2,
        "first_status": "missed",
        "note": "",
        "source": "QUANTEC",
    }


def test_result_json_says_what_sequencing_did(tmp_path: Path) -> None:
    """MU and what became of D95 and the maximum; null and empty where the TPS does not sequence."""
    summary = json.loads(run_folder.write(sequenced(make_run()), tmp_path).read_text())
    assert summary["mu_per_fraction"] == pytest.approx(3 * 123.4)
    coverage, hottest = summary["sequencing"]
    assert (coverage["what"], coverage["before_gy"], coverage["after_gy"]) == ("PTV D95%", 59.84, 59.24)
    assert coverage["change_percent"] == pytest.approx(-1.0, abs=0.01)
    assert hottest["change_percent"] == pytest.approx(1.43, abs=0.01)
    assert run_folder.read(tmp_path).result.best_attempt.sequencing[0].after_gy == 59.24
    plain = run_folder.summarise(make_run().result)
    assert (plain["mu_per_fraction"], plain["sequencing"]) == (None, [])


def test_a_goal_is_either_evaluated_or_listed_apart(tmp_path: Path) -> None:
    """A goal without a value stands in not_evaluable only, with the reason."""
    summary = json.loads(run_folder.write(make_run(), tmp_path).read_text())
    assert [(g["structure"], g["note"]) for g in summary["not_evaluable"]] == [("Brainstem", "not in this patient")]
    assert "Brainstem" not in {goal["structure"] for goal in summary["goals"]}


@pytest.mark.parametrize(("missed", "outcome"), [(False, "goals-met"), (True, "goal-missed")])
def test_the_outcome_follows_the_rank_1_goals(tmp_path: Path, missed: bool, outcome: str) -> None:
    """A goal that is only acceptable, or cannot be evaluated, does not make the run a failure; a missed one does."""
    assert json.loads(run_folder.write(make_run(missed=missed), tmp_path).read_text())["outcome"] == outcome


@pytest.mark.parametrize(("reason", "interrupted"), [("Interrupted by a person", True), ("Every goal is met.", False)])
def test_an_interrupted_run_says_so(reason: str, interrupted: bool) -> None:
    """A run that a person stopped is marked as such, whatever its goals."""
    result = replace(make_run().result, stop_reason=reason)
    assert run_folder.summarise(result)["interrupted"] is interrupted


def test_an_interrupted_write_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing stops half way, the folder is refused, no partial file stays, and an old result is gone."""
    run_folder.write(make_run(), tmp_path)
    monkeypatch.setattr(run_folder, "save_volumes", _disk_full)
    with pytest.raises(OSError, match="No space left"):
        run_folder.write(make_run(missed=True), tmp_path)
    with pytest.raises(RunFolderError, match=r"no result\.json"):
        run_folder.read(tmp_path)
    assert not list(tmp_path.rglob("*.partial"))


def _disk_full(volumes: object, path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError("No space left on device")


@pytest.mark.parametrize("part", ["plan/plan.json", "plan/dvh.json", "plan/volumes.npz"])
def test_a_changed_part_is_found(tmp_path: Path, part: str) -> None:
    """One byte more in any part of the record, and the folder is refused with the part's name."""
    run_folder.write(make_run(), tmp_path)
    with (tmp_path / part).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(RunFolderError, match=f"{part} was changed"):
        run_folder.read(tmp_path)


def test_a_trace_rewritten_whole_is_found(tmp_path: Path) -> None:
    """A consistent trace that is not the recorded one is told, and the plan is read all the same."""
    _write_trace(tmp_path, "Every goal is met.")
    run_folder.write(make_run(), tmp_path)
    assert run_folder.read(tmp_path).trace_problem == ""
    (tmp_path / "trace.jsonl").unlink()
    _write_trace(tmp_path, "The budget is spent.")
    assert "was rewritten after the run" in run_folder.read(tmp_path).trace_problem


def _write_trace(folder: Path, stop_reason: str) -> None:
    with Trace(folder / "trace.jsonl") as trace:
        trace.write(Ended(2, stop_reason, 12.5, 61, {}, ModelCosts()))


def test_a_missing_part_is_found(tmp_path: Path) -> None:
    """A folder without its curves is refused with the part's name."""
    run_folder.write(make_run(), tmp_path)
    (tmp_path / "plan/dvh.json").unlink()
    with pytest.raises(RunFolderError, match=r"plan/dvh.json is missing"):
        run_folder.read(tmp_path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A result.json of a later schema is not guessed at."""
    path = run_folder.write(make_run(), tmp_path)
    path.write_text(path.read_text().replace("beamwright.result/1", "beamwright.result/2"))
    with pytest.raises(RunFolderError, match="this version reads"):
        run_folder.read(tmp_path)


def test_what_is_no_run_folder_is_told_apart(tmp_path: Path) -> None:
    """Nothing there, an ordinary folder, and a run that was cut off each get their own sentence."""
    with pytest.raises(RunFolderError, match="is not a folder"):
        run_folder.read(tmp_path / "absent")
    with pytest.raises(RunFolderError, match="not a run folder"):
        run_folder.read(tmp_path)
    (tmp_path / "trace.jsonl").write_text("{}\n")
    with pytest.raises(RunFolderError, match="interrupted before it ended"):
        run_folder.read(tmp_path)


def test_no_run_is_written_over(tmp_path: Path) -> None:
    """A folder with anything in it cannot be claimed for a new run; an empty or new one can."""
    assert run_folder.claim(tmp_path / "new" / "run").is_dir()
    run_folder.write(make_run(), tmp_path / "old")
    with pytest.raises(RunFolderError, match="is not empty"):
        run_folder.claim(tmp_path / "old")


def test_a_server_without_volumes_leaves_a_run_all_the_same(tmp_path: Path) -> None:
    """Without volumes there is no volumes.npz, and the run is read back without."""
    run_folder.write(make_run(volumes=False), tmp_path)
    assert not (tmp_path / "plan/volumes.npz").exists()
    assert run_folder.read(tmp_path).volumes is None
