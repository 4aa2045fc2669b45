"""The door to .NET and the thread behind it, against two small assemblies of ESAPI's names; each probe a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
HARD_LIMIT_S = 60.0

TYPES = """
namespace VMS.TPS.Common.Model.Types {
  public struct DoseValue {
    public enum DoseUnit { Unknown, Gy, cGy, Percent }
    private readonly double dose; private readonly DoseUnit unit;
    public DoseValue(double dose, DoseUnit unit) { this.dose = dose; this.unit = unit; }
    public double Dose { get { return dose; } }
    public DoseUnit Unit { get { return unit; } }
  }
  public struct VVector {
    public double x { get; set; } public double y { get; set; } public double z { get; set; }
    public VVector(double x, double y, double z) : this() { this.x = x; this.y = y; this.z = z; }
  }
}
"""
API = """
using System; using System.Collections.Generic; using System.Diagnostics; using System.Threading;
using VMS.TPS.Common.Model.Types;
namespace VMS.TPS.Common.Model.API {
  public class PlanSetup {
    public PlanSetup() { Id = "plan"; }
    public string Id { get; set; }
    public int? Fractions { get { return null; } }
    public DoseValue InGy { get { return new DoseValue(2.0, DoseValue.DoseUnit.Gy); } }
    public DoseValue InCGy { get { return new DoseValue(200.0, DoseValue.DoseUnit.cGy); } }
    public DoseValue Undefined { get { return new DoseValue(double.NaN, DoseValue.DoseUnit.Unknown); } }
    public string Slow { get { Thread.Sleep(400); return "slow"; } }
    public string Bad { get { throw new ApplicationException("no\\nway"); } }
  }
  public class ExternalPlanSetup : PlanSetup {
    public IEnumerable<PlanSetup> Plans { get { yield return new ExternalPlanSetup(); yield return new PlanSetup(); } }
    public IEnumerable<PlanSetup> SlowPlans { get { Thread.Sleep(400); yield return new ExternalPlanSetup(); } }
    public IEnumerable<PlanSetup> Nothing { get { return null; } }
    public IEnumerable<double> Numbers { get { yield return 1.5; yield return 2.0; } }
    public IEnumerable<string> Texts { get { yield return "\\u00dc"; } }
    public void Sleep(int ms) { Thread.Sleep(ms); }
    public void Optimize(int lines, int ms) {
      for (int i = 0; i < lines; i++) { Trace.WriteLine("iteration " + i); Thread.Sleep(ms); }
    }
    public void GetVoxels(int plane, int[,] buffer) {
      for (int x = 0; x < buffer.GetLength(0); x++)
        for (int y = 0; y < buffer.GetLength(1); y++) buffer[x, y] = 10 * x + y;
    }
  }
}
"""


@pytest.fixture(scope="module")
def assemblies(esapi: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assemblies")
    _compile(folder, "VMS.TPS.Common.Model.Types", TYPES)
    _compile(folder, "VMS.TPS.Common.Model.API", API, "VMS.TPS.Common.Model.Types.dll", "System.dll")
    return folder


def _compile(folder: Path, name: str, source: str, *references: str) -> None:
    (folder / f"{name}.cs").write_text(source)
    options = ["-nologo", "-target:library", "-platform:x64", "-d:TRACE", f"-out:{name}.dll"]
    subprocess.run(
        ["mcs", *options, *(f"-r:{each}" for each in references), f"{name}.cs"],
        cwd=folder,
        check=True,
        timeout=HARD_LIMIT_S,
    )


def _probe(name: str, assemblies: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.eclipse.access_probe", name, str(assemblies)],
        cwd=REPOSITORY,
        env={**os.environ, "MONO_THREADS_SUSPEND": "preemptive"},
        capture_output=True,
        text=True,
        timeout=HARD_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_reading_lets_the_rest_of_python_run(assemblies: Path) -> None:
    worst = _probe("released", assemblies)
    assert worst["get"] < 200.0, worst
    assert worst["items"] < 200.0, worst


def test_values_cross_the_border(assemblies: Path) -> None:
    assert _probe("values", assemblies) == {
        "id": "Ü 1",
        "missing_number": None,
        "gy": [2.0, 2.0, None],
        "derived": ["ExternalPlanSetup", "PlanSetup"],
        "numbers": [1.5, 2.0],
        "texts": ["Ü"],
        "nothing": [],
        "voxels": [[0, 1, 2], [10, 11, 12]],
        "points": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        "no_points": [0, 3],
        "enum": "cGy",
        "has": [True, True, False],
        "settable": [True, False],
    }


def test_a_misspelt_property_is_not_set_in_silence(assemblies: Path) -> None:
    assert "set_Idd" in _probe("misspelt", assemblies)


def test_no_other_thread_gets_hold_of_esapi(assemblies: Path) -> None:
    told = _probe("wrong_thread", assemblies)
    assert set(told) == {"object", "in a list", "in a mapping", "an enum", "get", "put", "items", "still there"}
    assert told["still there"] == "plan"
    assert "MainThread" in told["get"]


def test_what_waits_when_the_thread_ends_is_refused(assemblies: Path) -> None:
    found = _probe("pending_at_close", assemblies)
    assert found["ended"]
    assert found["outcomes"] == ["TPS_UNAVAILABLE"] * 4 + ["done"]


def test_long_work_does_not_make_reads_wait(assemblies: Path) -> None:
    found = _probe("held", assemblies)
    assert found["answers"] == ["TPS_BUSY", "TPS_BUSY"]
    assert found["held"]
    assert found["waited_ms"] < 200.0
    assert found["after"] == "ran"


def test_what_net_throws_becomes_a_sentence(assemblies: Path) -> None:
    found = _probe("thrown", assemblies)
    assert found == {"message": "Eclipse refused to read the plan: no way", "carries_net": False}


def test_trace_lines_are_heard_while_it_runs(assemblies: Path) -> None:
    heard_s = _probe("traced", assemblies)
    assert len(heard_s) == 3
    assert heard_s[2] - heard_s[0] > 0.15


def test_a_lent_thread_serves_until_it_is_taken_back(assemblies: Path) -> None:
    assert _probe("lent", assemblies) == {"found": ["plan", True, "TPS_UNAVAILABLE"], "turns": True}
