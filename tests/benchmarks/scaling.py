"""How cost grows with beams and voxels: our engine as a user gets it.

    python -m tests.benchmarks.scaling BEAMS GRID_MM

Each point of the table is a process of its own, on the built-in TG-119 case with the default machine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np

from sim_tps.cases import make_case
from sim_tps.engine import PlanEngine
from sim_tps.machine import machines
from sim_tps.optimise.sampling import share_on
from sim_tps.plan import Beam, Objective, ObjectiveType
from sim_tps.tps import dose_grid
from tests.benchmarks.measuring import best_of, child, memory_mib, reset_peak_memory, seconds

MACHINE = "generic-5mm"
BEAMS = (9, 18, 45, 90, 180)
GRIDS_MM = (5.0, 3.0, 2.0)
FEW_BEAMS, USUAL_GRID_MM = BEAMS[0], 3.0
ITERATIONS = 20
REPEATS = 3
COSTS = {"set_up_s": "set-up", "iteration_ms": "iteration", "dose_s": "dose", "peak_mib": "memory"}

OBJECTIVES = (
    Objective("under", ObjectiveType.MIN, "OuterTarget", 1000.0, 50.0),
    Objective("over", ObjectiveType.MAX, "OuterTarget", 1000.0, 50.0),
    Objective("core", ObjectiveType.MAX, "Core", 300.0, 25.0),
    Objective("body", ObjectiveType.MAX, "BODY", 100.0, 30.0),
)

Point = Mapping[str, float]


def table(say: Callable[[str], None]) -> list[Point]:
    """One point per number of beams at the usual grid, and one per grid with few beams."""
    wanted = [(beams, USUAL_GRID_MM) for beams in BEAMS]
    wanted += [(FEW_BEAMS, grid_mm) for grid_mm in GRIDS_MM if grid_mm != USUAL_GRID_MM]
    points = []
    for beams, grid_mm in wanted:
        say(f"scaling: {beams} beams, {grid_mm:g} mm")
        points.append(json.loads(child("tests.benchmarks.scaling", str(beams), str(grid_mm))))
    return points


def exponents(points: Sequence[Point]) -> dict[str, float]:
    """Slopes of log cost against log beams and log voxels."""
    by_beams = [p for p in points if p["grid_mm"] == USUAL_GRID_MM]
    by_voxels = [p for p in points if p["beams"] == FEW_BEAMS]
    slopes = {f"{what} against beams": _slope(by_beams, "beams", cost) for cost, what in COSTS.items()}
    return slopes | {f"{what} against voxels": _slope(by_voxels, "voxels", cost) for cost, what in COSTS.items()}


def measure(beams: int, grid_mm: float) -> dict[str, float]:
    """Set-up, one iteration, and the dose on the whole grid with its ray tracing; compiled code loaded beforehand."""
    _ready(2, 10.0)
    before_mib = reset_peak_memory()
    engine = _ready(beams, grid_mm)
    fluence = np.ones(engine.beamlet_count)
    dose_s = seconds(lambda: engine.dose(fluence, engine.dose_grid))
    peak_mib = memory_mib("VmHWM") - before_mib
    return {
        "beams": beams,
        "grid_mm": grid_mm,
        "voxels": int(np.count_nonzero(share_on(engine.patient.external, engine.dose_grid))),
        "beamlets": engine.beamlet_count,
        "set_up_s": best_of(REPEATS, lambda: _ready(beams, grid_mm)),
        "iteration_ms": 1000 * best_of(REPEATS, lambda: _descend(engine)) / ITERATIONS,
        "dose_s": dose_s,
        "peak_mib": peak_mib,
    }


_patient = cache(partial(make_case, "tg119"))


def _engine(beams: int, grid_mm: float) -> PlanEngine:
    patient = _patient()
    isocentre = patient.structure("OuterTarget").centre_mm()
    grid = dose_grid(patient, grid_mm)
    directions = [Beam(f"{n}", isocentre, 360.0 * n / beams) for n in range(beams)]
    return PlanEngine(
        patient,
        directions,
        machines()[MACHINE],
        ["OuterTarget"],
        dose_grid=grid,
        optimization_grid=grid,
        beamlet_mm=5.0,
    )


def _ready(beams: int, grid_mm: float) -> PlanEngine:
    """An engine ready for its first iteration."""
    engine = _engine(beams, grid_mm)
    engine.prepare(OBJECTIVES)
    return engine


def _descend(engine: PlanEngine) -> None:
    engine.optimise(OBJECTIVES, max_iterations=ITERATIONS)


def _slope(points: Sequence[Point], size: str, cost: str) -> float:
    sizes, costs = (np.log([point[key] for point in points]) for key in (size, cost))
    return float(np.polyfit(sizes, costs, 1)[0])


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), float(sys.argv[2]))))
