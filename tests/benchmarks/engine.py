"""Time and memory of the engine on the built-in cases: ``make bench``.

Each case runs in a process of its own, kernels compiled beforehand. Memory is the highest resident memory while the
engine works, above what the process held with the patient loaded (Linux: the high-water mark can be reset).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from sim_tps.cases import make_case
from sim_tps.engine import PlanEngine
from sim_tps.machine import machines
from sim_tps.patient import Role
from sim_tps.plan import Beam, Objective, ObjectiveType
from sim_tps.tps import dose_grid

NINE = tuple(range(0, 360, 40))
CASES: Mapping[str, tuple[str, float | None, float, tuple[int, ...]]] = {
    # case: machine, grid mm, beamlet mm, gantry angles
    "tg119": ("generic-5mm", 3.0, 5.0, NINE),
    "head-and-neck": ("generic-5mm", 3.0, 5.0, NINE),
    "prostate": ("generic-5mm", 3.0, 5.0, (0, 32, 64, 96, 264, 296, 328)),
    "brain-srs": ("generic-2.5mm", 1.25, 2.5, NINE),
}
ITERATIONS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", choices=sorted(CASES), help="measure one case here and print it as JSON")
    chosen = parser.parse_args().one
    if chosen:
        print(json.dumps(measure(chosen)))
        return
    measure("tg119")
    figures = {case: json.loads(_child(case)) for case in CASES}
    out = Path("build/bench.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(figures, indent=2))
    _show(figures)


def measure(case: str) -> dict[str, float]:
    """Set-up, optimisation and dose of one case, in seconds, and peak memory above the imports, in MB."""
    machine, grid_mm, beamlet_mm, gantry = CASES[case]
    patient = make_case(case)
    before_mb = _memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    targets = [
        s.name for s in patient.structures.values() if s.role is Role.TARGET and s.name.startswith(("PTV", "Outer"))
    ]
    target = targets[0]
    isocentre = patient.structure(target).centre_mm()
    grid = dose_grid(patient, grid_mm)
    start = perf_counter()
    engine = PlanEngine(
        patient,
        [Beam(f"beam-{n}", isocentre, float(g)) for n, g in enumerate(gantry)],
        machines()[machine],
        targets,
        dose_grid=grid,
        optimization_grid=grid,
        beamlet_mm=beamlet_mm,
    )
    objectives = [
        Objective("cover", ObjectiveType.LOWER, target, 200, 60, volume_percent=99),
        Objective("top", ObjectiveType.MAX, target, 100, 63),
        Objective("body", ObjectiveType.MAX, patient.external.name, 800, 60),
        *(
            Objective(f"organ-{n}", ObjectiveType.MEAN, s.name, 20, 10)
            for n, s in enumerate(patient.structures.values())
            if s.role is Role.OAR and not s.is_empty
        ),
    ]
    engine.optimise(objectives, max_iterations=1)
    ready = perf_counter()
    solution = engine.optimise(objectives, max_iterations=ITERATIONS)
    optimised = perf_counter()
    engine.dose(solution.fluence, grid)
    done = perf_counter()
    return {
        "beamlets": engine.beamlet_count,
        "million_voxels": grid.size / 1e6,
        "set_up_s": ready - start,
        "optimise_s": optimised - ready,
        "iterations": solution.iterations,
        "iteration_ms": 1000 * (optimised - ready) / max(1, solution.iterations),
        "dose_s": done - optimised,
        "memory_mb": _memory_mb("VmHWM") - before_mb,
    }


def _child(case: str) -> str:
    command = [sys.executable, "-m", "tests.benchmarks.engine", "--one", case]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _memory_mb(field: str) -> float:
    """A field of this process's memory account: VmRSS now, VmHWM its highest since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024.0


def _show(figures: Mapping[str, Mapping[str, float]]) -> None:
    table = Table(title="Engine on the built-in cases (also in build/bench.json)")
    table.add_column("case", no_wrap=True)
    names = list(next(iter(figures.values())))
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for case, row in figures.items():
        table.add_row(case, *(f"{row[name]:.3g}" if row[name] < 1000 else f"{row[name]:,.0f}" for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()
