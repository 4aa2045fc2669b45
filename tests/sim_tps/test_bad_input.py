"""Bad input through the whole system: refused by name before anything is computed or kept, or planned for what it is.

Not repeated here: CT numbers beyond the table (test_raytrace.py), machine files (test_machine.py), single objectives'
numbers (test_objectives.py), constraints without meaning (test_constraints.py), files that cannot be read (test_npz.py,
test_dicom.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from water import ball, water_cube

from sim_tps.engine import PlanEngine, Solution
from sim_tps.errors import BadInput, Cancelled, NotFound
from sim_tps.machine import machines
from sim_tps.memory import available_bytes, check_dose_memory, check_optimisation_memory
from sim_tps.patient import Patient, Role, Structure
from sim_tps.plan import Beam, Dose, Objective, ObjectiveType, Plan, PlanSettings, Prescription, Relation, TargetDose
from sim_tps.store import Store
from sim_tps.tps import Tps

NAN, INFINITE = float("nan"), float("inf")
CENTRE = (0.0, 0.0, 0.0)
THREE = tuple(Beam(f"g{angle}", CENTRE, float(angle)) for angle in (0, 120, 240))
EVEN = Objective("even", ObjectiveType.UNIFORM, "PTV", 100.0, 50.0)
SPARE = Objective("spare", ObjectiveType.MEAN, "Organ", 50.0, 5.0)
SETTINGS = PlanSettings(
    "plan",
    "three fields",
    "water",
    "generic-5mm",
    THREE,
    Prescription(25, (TargetDose("PTV", 50.0),)),
    dose_grid_mm=None,
    optimization_grid_mm=None,
    beamlet_mm=10.0,
    objectives=(EVEN, SPARE),
)
BODY = "External"

Report = Callable[[str, float | None, int | None, float | None], None]


def ignore(stage: str, percent: float | None, iteration: int | None, value: float | None) -> None:
    """Progress nobody looks at."""


def never() -> bool:
    return False


def optimise(
    tps: Tps,
    *,
    report: Report = ignore,
    cancelled: Callable[[], bool] = never,
    max_iterations: int = 30,
    max_seconds: float = 60.0,
) -> tuple[Plan, Solution]:
    return tps.optimise(
        "water",
        "plan",
        warm=False,
        max_iterations=max_iterations,
        max_seconds=max_seconds,
        seed=0,
        report=report,
        cancelled=cancelled,
    )


def dose_of(plan: Plan) -> Dose:
    assert plan.raw_dose is not None
    return plan.raw_dose


def with_structures(*structures: Structure) -> Patient:
    """The water cube with these added to its structures, or in the place of those of the same name."""
    patient = water_cube()
    return replace(patient, structures={**patient.structures, **{s.name: s for s in structures}})


def half_body() -> Structure:
    """An External that ends 2 mm to the right of the middle, x = -2 mm."""
    grid = water_cube().grid
    inside = np.zeros(grid.shape)
    inside[:, :, grid.axes_mm[0] > -3.0] = 1.0
    return Structure.from_array(BODY, Role.EXTERNAL, inside, grid)


def made_in(folder: Path, patient: Patient) -> Tps:
    tps = Tps(Store(folder))
    tps.add_patient(patient)
    return tps


@pytest.fixture
def tps(tmp_path: Path) -> Iterator[Tps]:
    made = made_in(tmp_path, water_cube())
    yield made
    made.close()


# plans that are refused where they are made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beams": ()}, "at least one beam"),
        ({"beams": (Beam("far", (500.0, 0.0, 0.0), 0.0),)}, r"'far'.*\(500.0, 0.0, 0.0\) mm lies outside the image"),
        ({"beams": (Beam("lost", (NAN, 0.0, 0.0), 0.0),)}, "'lost'.*outside the image"),
        ({"beams": (Beam("turn", CENTRE, NAN),)}, "'turn': gantry_deg is nan"),
        ({"beams": (Beam("kick", CENTRE, 0.0, couch_deg=INFINITE),)}, "'kick': couch_deg is inf"),
        ({"beams": (THREE[0], replace(THREE[1], id="g0"))}, "'g0' is there 2 times"),
        ({"prescription": Prescription(25, ())}, "at least one target"),
        ({"prescription": Prescription(0, SETTINGS.prescription.targets)}, "0 fractions .* at least 1"),
        ({"prescription": Prescription(25, (TargetDose("PTV", -50.0),))}, r"'PTV' is prescribed -50.0 Gy"),
        ({"prescription": Prescription(25, (TargetDose("PTV", NAN),))}, "'PTV' is prescribed nan Gy"),
        ({"dose_grid_mm": 0.0}, "a grid of 0.0 mm"),
        ({"dose_grid_mm": NAN}, "a grid of nan mm"),
        ({"optimization_grid_mm": -2.0}, "a grid of -2.0 mm"),
        ({"optimization_grid_mm": 0.0}, "a grid of 0.0 mm"),
        ({"beamlet_mm": 0.0}, "beamlets of 0.0 mm, expected 1 to 50 mm"),
        ({"beamlet_mm": 0.01}, "beamlets of 0.01 mm"),
        ({"beamlet_mm": NAN}, "beamlets of nan mm"),
        ({"objectives": (EVEN, replace(SPARE, id="even"))}, "objective 'even' is there 2 times"),
        ({"objectives": (replace(EVEN, dose_gy=NAN),)}, "'even'.*dose nan Gy"),
    ],
)
def test_a_plan_that_cannot_be_made_is_not_kept(tps: Tps, change: dict[str, object], words: str) -> None:
    """What is wrong is named with its value, and there is no plan afterwards."""
    with pytest.raises(BadInput, match=words):
        tps.create_plan(replace(SETTINGS, **change))
    assert tps.plans("water") == []


def test_an_unknown_structure_lists_those_there_are(tps: Tps) -> None:
    """A target and an objective on nothing are told what the patient has."""
    for change in (
        {"prescription": Prescription(25, (TargetDose("GTV", 50.0),))},
        {"objectives": (replace(EVEN, structure="GTV"),)},
    ):
        with pytest.raises(NotFound, match=r"'GTV'; it has \['External', 'Organ', 'PTV', 'Speck'\]"):
            tps.create_plan(replace(SETTINGS, **change))
    assert tps.plans("water") == []


def test_two_objectives_of_one_id_leave_the_old_ones(tps: Tps) -> None:
    """Their values could not be told apart, so they are refused and nothing changes."""
    before = tps.create_plan(SETTINGS)
    with pytest.raises(BadInput, match="'spare' is there 2 times"):
        tps.set_objectives("water", "plan", (SPARE, replace(SPARE, dose_gy=3.0)))
    assert tps.plan("water", "plan") is before


def test_a_target_outside_the_body_is_refused(tmp_path: Path) -> None:
    """Where there is no tissue there is no dose; the target and the External are named."""
    outside = ball("PTV", Role.TARGET, water_cube().grid, (-40.0, 0.0, 0.0), 12.0)
    tps = made_in(tmp_path, with_structures(outside, half_body()))
    with pytest.raises(BadInput, match="'PTV' lies outside the External 'External'"):
        tps.create_plan(SETTINGS)
    tps.close()


def test_a_beam_that_misses_the_patient(tmp_path: Path) -> None:
    """A beam whose axis passes beside the body is named when the engine is set up, and the plan stays as it was."""
    target = ball("PTV", Role.TARGET, water_cube().grid, (20.0, 0.0, 0.0), 12.0)
    tps = made_in(tmp_path, with_structures(target, half_body()))
    aside = Beam("aside", (-30.0, 0.0, 0.0), 0.0)
    before = tps.create_plan(replace(SETTINGS, beams=(*THREE, aside)))
    with pytest.raises(BadInput, match="'aside' misses the patient: its axis meets no tissue"):
        optimise(tps)
    assert tps.plan("water", "plan") is before
    tps.close()


def test_a_ct_number_beyond_the_table_leaves_the_plan_as_it_was(tmp_path: Path) -> None:
    """Metal of 9000 HU is counted and named; the image is not clipped, and the plan gets no dose."""
    patient = water_cube()
    hu = patient.hu.copy()
    hu[3, 3, 3:5] = 9000
    tps = made_in(tmp_path, replace(patient, hu=hu))
    before = tps.create_plan(SETTINGS)
    with pytest.raises(BadInput, match=r"2 voxels .* 9000 HU"):
        optimise(tps)
    assert tps.plan("water", "plan") is before
    assert tps.patient("water").hu.max() == 9000
    tps.close()


@pytest.mark.parametrize(("iterations", "seconds"), [(0, 60.0), (-1, 60.0), (30, 0.0), (30, NAN)])
def test_limits_that_allow_nothing_are_refused(tps: Tps, iterations: int, seconds: float) -> None:
    """No iteration, or no time: said so, instead of a default in their place."""
    before = tps.create_plan(SETTINGS)
    with pytest.raises(BadInput, match="expected at least 1"):
        optimise(tps, max_iterations=iterations, max_seconds=seconds)
    assert tps.plan("water", "plan") is before


# grids finer than memory allows


@pytest.mark.parametrize("grid", ["dose_grid_mm", "optimization_grid_mm"])
def test_a_grid_finer_than_memory_is_refused_where_the_plan_is_made(tps: Tps, grid: str) -> None:
    """1 µm voxels in a 120 mm cube: their number, the memory they need, the memory free, and what to do are told."""
    voxels = "1,728,000,000,000,000 voxels"
    with pytest.raises(BadInput, match=rf"{voxels} need about [\d,.]+ GB of memory, [\d,.]+ GB are free. Take a grid"):
        tps.create_plan(replace(SETTINGS, **{grid: 1e-3}))
    assert tps.plans("water") == []


def test_a_dose_finer_than_memory_is_refused_before_work(tps: Tps) -> None:
    """Asked for in a dose calculation, the refusal comes before the first stage, and the plan stays as it was."""
    tps.create_plan(SETTINGS)
    before, _ = optimise(tps, max_iterations=2)
    stages: list[str] = []
    with pytest.raises(BadInput, match=r"dose on voxels of 0\.001 × 0\.001 × 0\.001 mm"):
        tps.calculate_dose("water", "plan", 1e-3, lambda stage, *_: stages.append(stage), never)
    assert stages == []
    assert tps.plan("water", "plan") is before


def test_an_engine_checks_memory_too() -> None:
    """An engine used on its own refuses a grid at once, and so does its dose."""
    patient = water_cube()
    fine = patient.grid.resampled((1e-3, 1e-3, 1e-3))
    grids = {"dose_grid": patient.grid, "optimization_grid": patient.grid}
    for grid in grids:
        with pytest.raises(BadInput, match="GB are free"):
            PlanEngine(patient, THREE, machines()["generic-5mm"], ["PTV"], beamlet_mm=10.0, **{**grids, grid: fine})
    engine = PlanEngine(patient, THREE, machines()["generic-5mm"], ["PTV"], beamlet_mm=10.0, **grids)
    with pytest.raises(BadInput, match="GB are free"):
        engine.dose(np.ones(engine.beamlet_count), fine)


def test_the_spacing_offered_instead_fits() -> None:
    """A grid of the spacing that the refusal names is not refused, one of half of it is."""
    box = water_cube().grid
    with pytest.raises(BadInput, match=r"Take a grid of [\d.]+ mm") as refusal:
        check_dose_memory(box.resampled((0.005, 0.005, 0.005)), 9)
    offered = float(str(refusal.value).split("Take a grid of ")[1].split(" mm")[0])
    check_dose_memory(box.resampled((offered,) * 3), 9)
    with pytest.raises(BadInput):
        check_dose_memory(box.resampled((offered / 8,) * 3), 9)


def test_constrained_structures_are_looked_at_whole() -> None:
    """A constraint takes memory for every voxel of its structure and every field; too much of it is refused."""
    patient = water_cube()
    grid, body = patient.grid, patient.external
    check_optimisation_memory(grid, 9, [body])
    with pytest.raises(BadInput, match="27,000 voxels need about"):
        check_optimisation_memory(grid, available_bytes() // grid.size, [body])


# structures and targets that are unusual and can be planned


def test_a_target_cut_by_the_images_edge_is_planned(tmp_path: Path) -> None:
    """Half a ball at the last slice: told as cut, covered as far as it goes."""
    target = ball("PTV", Role.TARGET, water_cube().grid, (0.0, 0.0, 58.0), 16.0)
    tps = made_in(tmp_path, with_structures(target))
    assert tps.patient("water").structure("PTV").cut_by_image_edge
    tps.create_plan(SETTINGS)
    plan, solution = optimise(tps, max_iterations=100)
    inside = dose_of(plan).gy[target.mask()]
    assert solution.values["even"] < 100.0 * 2.0**2
    assert inside.mean() == pytest.approx(50.0, abs=1.0)
    assert np.isfinite(dose_of(plan).gy).all()
    tps.close()


def test_a_target_that_reaches_out_of_the_body_is_covered_inside_it(tmp_path: Path) -> None:
    """The margin of a target often ends in air: its tissue gets its dose, the air none."""
    target = ball("PTV", Role.TARGET, water_cube().grid, (4.0, 0.0, 0.0), 16.0)
    body = half_body()
    tps = made_in(tmp_path, with_structures(target, body))
    tps.create_plan(replace(SETTINGS, beams=tuple(replace(beam, isocentre_mm=(8.0, 0.0, 0.0)) for beam in THREE)))
    plan, _ = optimise(tps, max_iterations=100)
    gy, tissue = dose_of(plan).gy, target.mask()[body.slices]
    assert dose_of(plan).grid.shape == body.occupancy.shape
    assert gy[tissue].mean() == pytest.approx(50.0, abs=2.0)
    assert np.isfinite(gy).all()
    tps.close()


@pytest.mark.parametrize(("spacing_mm", "within_gy"), [(None, 1.0), (10.0, 5.0)])
def test_a_target_of_one_voxel_is_planned(tmp_path: Path, spacing_mm: float | None, within_gy: float) -> None:
    """One voxel of 4 mm gets its dose, also where the dose grid is coarser (and dose between its centres smoother)."""
    one = np.zeros(water_cube().grid.shape)
    one[15, 15, 15] = 1.0
    tps = made_in(tmp_path, with_structures(Structure.from_array("PTV", Role.TARGET, one, water_cube().grid)))
    tps.create_plan(replace(SETTINGS, dose_grid_mm=spacing_mm))
    _, solution = optimise(tps, max_iterations=100)
    assert solution.values["even"] < 100.0 * 0.5**2
    assert tps.dose_volume("water", "plan", "PTV").mean == pytest.approx(50.0, abs=within_gy)
    tps.close()


def test_overlapping_structures_share_their_voxels(tmp_path: Path) -> None:
    """Where an organ lies half in the target, the overlap gets a dose between what both ask for; the values tell."""
    grid = water_cube().grid
    organ = ball("Organ", Role.OAR, grid, (20.0, 0.0, 0.0), 12.0)
    tps = made_in(tmp_path, with_structures(organ))
    tps.create_plan(replace(SETTINGS, objectives=(EVEN, Objective("cap", ObjectiveType.MAX, "Organ", 100.0, 20.0))))
    plan, solution = optimise(tps, max_iterations=100)
    gy, target = dose_of(plan).gy, tps.patient("water").structure("PTV").mask()
    both, only = gy[target & organ.mask()], gy[target & ~organ.mask()]
    assert 20.0 < both.mean() < only.mean() - 5.0
    assert min(solution.values["even"], solution.values["cap"]) > 0.0
    tps.close()


# objectives that contradict each other


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ({"type": ObjectiveType.MIN}, {"type": ObjectiveType.MAX}),
        ({"type": ObjectiveType.MIN}, {"type": ObjectiveType.MAX, "structure": "zTwin"}),
        ({"type": ObjectiveType.EUD_LOWER, "a": -5.0}, {"type": ObjectiveType.MEAN}),
    ],
    ids=["one structure", "two structures of the same voxels", "gEUD and mean"],
)
def test_contradicting_objectives_end_halfway(tps: Tps, up: dict[str, object], down: dict[str, object]) -> None:
    """At least 60 and at most 40 Gy at equal priorities: finite, converged, each 10 Gy off, and its value says so."""
    tps.derive_structure("water", "zTwin", "union", ["PTV"], 0.0, 0.0)
    above = replace(Objective("up", ObjectiveType.MIN, "PTV", 100.0, 60.0), **up)
    below = replace(Objective("down", ObjectiveType.MAX, "PTV", 100.0, 40.0), **down)
    tps.create_plan(replace(SETTINGS, objectives=(above, below)))
    plan, solution = optimise(tps, max_iterations=500)
    off_gy = {name: float(np.sqrt(value / 100.0)) for name, value in solution.values.items()}
    assert solution.converged
    assert np.isfinite(dose_of(plan).gy).all()
    assert off_gy == pytest.approx({"up": 10.0, "down": 10.0}, abs=0.5)


def test_of_two_contradicting_objectives_the_heavier_wins(tps: Tps) -> None:
    """With sixteen times the priority an objective is left with far less, and the values say so."""
    up = Objective("up", ObjectiveType.MIN, "PTV", 160.0, 60.0)
    down = Objective("down", ObjectiveType.MAX, "PTV", 10.0, 40.0)
    tps.create_plan(replace(SETTINGS, objectives=(up, down)))
    _, solution = optimise(tps, max_iterations=500)
    left_gy = {o.id: np.sqrt(solution.values[o.id] / o.priority) for o in (up, down)}
    assert left_gy["down"] > 5.0 * left_gy["up"]


def test_a_constraint_against_an_objective_is_kept(tps: Tps) -> None:
    """The constraint holds, the objective is left with the gap, and nothing is unmet."""
    cap = Objective("cap", ObjectiveType.MAX, "PTV", 0.0, 40.0, relation=Relation.AT_MOST)
    tps.create_plan(replace(SETTINGS, objectives=(Objective("up", ObjectiveType.MIN, "PTV", 100.0, 60.0), cap)))
    _, solution = optimise(tps, max_iterations=500)
    assert solution.unmet == {}
    assert solution.values["cap"] <= 0.04
    assert np.sqrt(solution.values["up"] / 100.0) >= 20.0 - 0.1


# cancelling


class Asked:
    """Counts reports and asks to cancel from the n-th of a stage on."""

    def __init__(self, stage: str, number: int) -> None:
        self._stage, self._left = stage, number
        self.after = 0
        self.stages: list[str] = []

    @property
    def cancelled(self) -> bool:
        return self._left <= 0

    def report(self, stage: str, *_: object) -> None:
        self.stages.append(stage)
        if self.cancelled:
            self.after += 1
        elif stage == self._stage:
            self._left -= 1


SET_UP = ("loading kernels (compiled once per machine)", "density", "beamlets", "tracing rays")
EACH_TIME = ("sampling", "optimising", "dose")


@pytest.mark.parametrize("stage", SET_UP + EACH_TIME)
def test_a_first_optimisation_can_be_cancelled_at_every_stage(tps: Tps, stage: str) -> None:
    """The call ends before the next report, the plan is the very same, and another call works as if none had been."""
    before = tps.create_plan(SETTINGS)
    _cancel_at(tps, stage)
    assert tps.plan("water", "plan") is before
    assert optimise(tps, max_iterations=3)[0].revision == before.revision + 1


@pytest.mark.parametrize("stage", EACH_TIME)
def test_a_second_optimisation_can_be_cancelled_at_every_stage(tps: Tps, stage: str) -> None:
    """A plan that has a fluence and a dose keeps both, and the next optimisation gives what it would have given."""
    tps.create_plan(SETTINGS)
    before, _ = optimise(tps, max_iterations=3)
    _cancel_at(tps, stage)
    assert tps.plan("water", "plan") is before
    assert np.array_equal(dose_of(optimise(tps, max_iterations=3)[0]).gy, dose_of(before).gy)


def _cancel_at(tps: Tps, stage: str) -> None:
    asked = Asked(stage, 1)
    with pytest.raises(Cancelled):
        optimise(tps, report=asked.report, cancelled=lambda: asked.cancelled)
    assert (asked.stages[-1], asked.after) == (stage, 0)


@pytest.mark.parametrize("iteration", [1, 2, 7])
def test_a_cancel_between_iterations_is_heard_by_the_next_evaluation(iteration: int) -> None:
    """The engine ends without another iteration and returns the best fluence it had; `Tps` keeps nothing of it."""
    patient = water_cube()
    grids = {"dose_grid": patient.grid, "optimization_grid": patient.grid}
    engine = PlanEngine(patient, THREE, machines()["generic-5mm"], ["PTV"], beamlet_mm=10.0, **grids)
    asked = Asked("optimising", iteration + 1)
    asks: list[bool] = []

    def cancelled() -> bool:
        asks.append(asked.cancelled)
        return asks[-1]

    solution = engine.optimise([EVEN, SPARE], report=asked.report, cancelled=cancelled)
    assert (solution.iterations, asked.after, sum(asks)) == (iteration, 0, 1)
    assert not solution.converged
    assert solution.total <= engine.optimise([EVEN, SPARE], max_iterations=iteration).total * (1.0 + 1e-6)


@pytest.mark.parametrize("stage", ["sequencing leaves", "dose"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_final_dose_can_be_cancelled_at_every_stage(tps: Tps, stage: str, number: int) -> None:
    """Between fields, between parts of the dose and after the last: the plan keeps the dose it had."""
    tps.create_plan(replace(SETTINGS, dose_grid_mm=1.5))
    before, _ = optimise(tps, max_iterations=3)
    asked = Asked(stage, number)
    with pytest.raises(Cancelled):
        tps.calculate_dose("water", "plan", None, asked.report, lambda: asked.cancelled)
    assert asked.stages[-1] == stage
    assert asked.after == 0
    assert tps.plan("water", "plan") is before
    assert dose_of(tps.plan("water", "plan")).kind == "intermediate"
