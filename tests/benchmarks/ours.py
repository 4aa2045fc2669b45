"""Our engine on a case, on exactly the peer's beamlets, measured in a process of its own.

    python -m tests.benchmarks.ours NAME

What is timed is the product's own code: `PlanEngine` with the peer's machine file. For the comparison it gets the
peer's beamlets (its own are placed too, and dropped), beamlets that end at the peer's 50 mm, and structures without
overlap, which saves no work; and it pays no price on rough fluence, which the peer does not know.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim_tps.dose.fields import Field, field_for_target
from sim_tps.engine import PlanEngine, Solution
from sim_tps.geometry import BeamFrame, beam_frame
from sim_tps.machine import Machine, matrad_machine
from sim_tps.patient import Patient, Role, Structure
from sim_tps.plan import Beam, Objective
from tests.benchmarks.cases import CASES, Case
from tests.benchmarks.cut_kernel import CutKernel
from tests.benchmarks.measuring import best_of, memory_mib, reset_peak_memory
from tests.benchmarks.peer import CUT_OFF_MM, FOLDER, WITHIN, Peer

REPEATS = 3
MOST_ITERATIONS = 500
PHOTONS = FOLDER / "photons_Generic.mat"
"""The machine file the peer computed with; its runs leave it there."""


def on_given_beamlets(case: Case, machine: Machine, peer: Peer) -> PlanEngine:
    """The engine, with the beamlets of another one in place of its own; like it, without a price on rough fluence."""
    isocentre_mm = case.isocentre_mm
    beams = [Beam(f"{angle:g}", isocentre_mm, angle) for angle in case.gantry_deg]
    given = peer.rasters(case.beamlet_mm)
    fields = [
        Field(beam.id, _frame(beam, machine), case.beamlet_mm, first_centre_mm, is_open)
        for beam, (first_centre_mm, is_open) in zip(beams, given, strict=True)
    ]
    return PlanEngine(
        patient(case),
        beams,
        machine,
        case.targets,
        dose_grid=peer.grid,
        optimization_grid=peer.grid,
        beamlet_mm=case.beamlet_mm,
        fields=fields,
        smoothing=0.0,
    )


def _frame(beam: Beam, machine: Machine) -> BeamFrame:
    return beam_frame(beam.isocentre_mm, beam.gantry_deg, beam.collimator_deg, beam.couch_deg, machine.sad_mm)


def patient(case: Case) -> Patient:
    """The case's patient, each voxel in one structure only; the outline round all is called External."""
    structures, taken = {}, np.zeros(case.grid.shape, bool)
    for name, mask in case.masks.items():
        role = Role.TARGET if name in case.targets else Role.OAR
        structures[name] = Structure.from_array(name, role, mask & ~taken, case.grid)
        taken |= mask
    external = Structure.from_array("External", Role.EXTERNAL, taken, case.grid)
    return Patient(case.name, case.source, case.grid, case.hu, {**structures, external.name: external})


def cut_machine() -> Machine:
    """The peer's machine, its beamlets' maps ending where the peer's end."""
    whole = matrad_machine(PHOTONS)
    return replace(whole, kernels=tuple(CutKernel(kernel, CUT_OFF_MM) for kernel in whole.kernels))


def measure(case: Case) -> dict[str, float | None]:
    """All of our figures on a case: first a run for memory, which also warms up, then times.

    Each is the best of three, but that to our own convergence, which is of one run.
    """
    before_mib = reset_peak_memory()
    peer = Peer.load(case)
    engine, plan = _planned(case, peer)
    figures: dict[str, float | None] = {"peak_mib": memory_mib("VmHWM") - before_mib}
    engine.dose(plan.fluence, peer.grid)
    figures["peak_with_dose_mib"] = memory_mib("VmHWM") - before_mib
    peer.check(case)
    figures["set_up_s"] = best_of(REPEATS, lambda: _set_up(case, peer))
    figures["dose_s"] = best_of(REPEATS, lambda: engine.dose(plan.fluence, peer.grid))
    figures |= _optimised(engine, peer, case.objectives, "objectives", None)
    if case.changed_objectives:
        figures |= _optimised(engine, peer, case.changed_objectives, "changed_objectives", plan.fluence)
    return figures


def _planned(case: Case, peer: Peer) -> tuple[PlanEngine, Solution]:
    engine = _set_up(case, peer)
    return engine, engine.optimise(case.objectives)


def _set_up(case: Case, peer: Peer) -> PlanEngine:
    """From the image and the machine file to the first value of the objectives."""
    machine = cut_machine()
    _place_beamlets(case, machine)
    engine = on_given_beamlets(case, machine, peer)
    engine.prepare(case.objectives)
    return engine


def _place_beamlets(case: Case, machine: Machine) -> None:
    """What the engine is spared by being given beamlets; the peer's time holds it, so ours does."""
    inside = np.logical_or.reduce([case.masks[name] for name in case.targets])
    points, isocentre_mm = case.grid.centres_mm(np.flatnonzero(inside)), case.isocentre_mm
    for angle in case.gantry_deg:
        field_for_target(Beam(f"{angle:g}", isocentre_mm, angle), machine, case.beamlet_mm, points)


def _optimised(
    engine: PlanEngine,
    peer: Peer,
    objectives: Sequence[Objective],
    name: str,
    start: NDArray[np.float32] | None,
) -> dict[str, float | None]:
    """Time and iterations until the peer would call our plan as good as its own, and until we stop by ourselves."""

    def judged(solution: Solution) -> float:
        return peer.objective(objectives, peer.weights(solution.fluence))

    def run(iterations: int = MOST_ITERATIONS) -> Solution:
        return engine.optimise(objectives, start=start, max_iterations=iterations)

    converged = run()
    limit = WITHIN * peer.final(name)
    figures: dict[str, float | None] = {
        f"{name}_converged_s": converged.seconds,
        f"{name}_converged_iterations": converged.iterations,
        f"{name}_converged": judged(converged),
        f"{name}_s": None,
        f"{name}_iterations": None,
    }
    if judged(converged) <= limit:
        enough = _smallest(converged.iterations, lambda count: judged(run(count)) <= limit)
        figures[f"{name}_iterations"] = enough
        figures[f"{name}_s"] = best_of(REPEATS, lambda: run(enough))
    return figures


def _smallest(known: int, is_enough: Callable[[int], bool]) -> int:
    """The smallest count that is enough, ``known`` being so; runs repeat exactly, so doubling and bisection find it."""
    high = 1
    while high < known and not is_enough(high):
        high *= 2
    low = high // 2 + 1
    return bisect_left(range(low, min(high, known)), True, key=is_enough) + low


if __name__ == "__main__":
    print(json.dumps(measure(CASES[sys.argv[1]]())))
