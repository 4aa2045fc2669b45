"""A whole plan on a water cube: what an optimisation gives, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls
from water import ball, water_cube

from sim_tps.dose.density import box_grid
from sim_tps.engine import PlanEngine
from sim_tps.errors import BadInput, Cancelled, NotFound
from sim_tps.geometry import Grid
from sim_tps.machine import machines
from sim_tps.optimise.smoothing import USUAL_STRENGTH, Smoothness
from sim_tps.optimise.solver import StopReason
from sim_tps.patient import Patient, Role, Structure
from sim_tps.plan import Beam, Objective, ObjectiveType

ISOCENTRE = (0.0, 0.0, 0.0)
FIVE = tuple(Beam(f"g{angle}", ISOCENTRE, float(angle)) for angle in range(0, 360, 72))
OBJECTIVES = (
    Objective("cover", ObjectiveType.LOWER, "PTV", 200.0, 50.0, volume_percent=99.0),
    Objective("even", ObjectiveType.UPPER, "PTV", 100.0, 53.0, volume_percent=0.0),
    Objective("spare", ObjectiveType.MEAN, "Organ", 50.0, 10.0),
    Objective("hot", ObjectiveType.MAX, "External", 1000.0, 54.0),
)


def _engine(
    patient: Patient | None = None, beams: tuple[Beam, ...] = FIVE, seed: int = 0, **grids: float
) -> PlanEngine:
    patient = patient or water_cube()
    grid = patient.grid
    return PlanEngine(
        patient,
        beams,
        machines()["generic-5mm"],
        ["PTV"],
        dose_grid=grid,
        optimization_grid=grid,
        beamlet_mm=grids.get("beamlet_mm", 5.0),
        smoothing=grids.get("smoothing", USUAL_STRENGTH),
        seed=seed,
    )


@pytest.fixture(scope="module")
def engine() -> PlanEngine:
    return _engine()


def test_target_is_covered_and_organ_spared(engine: PlanEngine) -> None:
    """Five fields give the ball its dose, evenly, and the organ less than a flat field would."""
    solution = engine.optimise(OBJECTIVES)
    dose = engine.dose(solution.fluence, engine.dose_grid)
    target = dose[engine.patient.structure("PTV").mask()]
    assert solution.converged
    assert np.percentile(target, 5) > 49.0
    assert target.max() < 55.0
    flat = engine.dose(np.ones(engine.beamlet_count), engine.dose_grid)
    flat *= target.mean() / flat[engine.patient.structure("PTV").mask()].mean()
    organ = engine.patient.structure("Organ").mask()
    assert dose[organ].mean() < 0.75 * flat[organ].mean()


def test_values_are_those_of_the_fluence(engine: PlanEngine) -> None:
    """The solution's values are what `evaluate` says of its fluence, and add up to the total."""
    solution = engine.optimise(OBJECTIVES)
    total, values = engine.evaluate(OBJECTIVES, solution.fluence)
    assert set(values) == {"cover", "even", "spare", "hot"}
    assert values == pytest.approx(dict(solution.values), rel=1e-3, abs=1e-4)
    assert sum(values.values()) == pytest.approx(total)


def test_dose_is_the_sample_dose(engine: PlanEngine) -> None:
    """A uniform objective evaluated by the engine equals the same number from the dose grid."""
    fluence = np.random.default_rng(1).random(engine.beamlet_count)
    objective = Objective("o", ObjectiveType.UNIFORM, "Organ", 1.0, 2.0)
    dose = engine.dose(fluence, engine.dose_grid)[engine.patient.structure("Organ").mask()]
    assert engine.evaluate([objective], fluence)[0] == pytest.approx(((dose - 2.0) ** 2).mean(), rel=1e-4)


def test_known_optimum() -> None:
    """For a uniform dose alone the optimum is a non-negative least-squares fit, found by another method."""
    engine = _engine(beams=FIVE[:2], beamlet_mm=10.0, smoothing=0.0)
    objective = Objective("o", ObjectiveType.UNIFORM, "PTV", 1000.0, 60.0)
    solution = engine.optimise([objective], max_iterations=2000)
    target = engine.patient.structure("PTV")
    around = box_grid(engine.dose_grid, target.slices)
    inside = target.mask()[target.slices]
    columns = [engine.dose(unit, around)[inside] for unit in np.eye(engine.beamlet_count)]
    matrix = np.stack(columns, axis=1).astype(float)
    _, residual = nnls(matrix, np.full(len(matrix), 60.0))
    best = 1000.0 * residual**2 / len(matrix)
    assert best * (1 - 1e-3) <= solution.total <= best * 1.1


def test_warm_start_goes_on(engine: PlanEngine) -> None:
    """From a converged fluence a slightly changed problem needs fewer iterations than from the start."""
    first = engine.optimise(OBJECTIVES)
    changed = [replace(o, priority=60.0) if o.id == "spare" else o for o in OBJECTIVES]
    cold = engine.optimise(changed)
    warm = engine.optimise(changed, start=first.fluence)
    assert warm.iterations < cold.iterations
    assert warm.total < 1.1 * cold.total + 0.1


def test_same_input_same_plan() -> None:
    """Two engines with one seed give identical fluence."""
    one, two = _engine(seed=4).optimise(OBJECTIVES), _engine(seed=4).optimise(OBJECTIVES)
    assert np.array_equal(one.fluence, two.fluence)
    assert one.iterations == two.iterations


def test_progress_and_cancel(engine: PlanEngine) -> None:
    """Each iteration is reported with its value; a cancel ends the run with what there is."""
    seen: list[tuple[int, float]] = []

    def report(stage: str, percent: float | None, iteration: int | None, value: float | None) -> None:
        if iteration and value is not None:
            seen.append((iteration, value))

    solution = engine.optimise(OBJECTIVES, report=report, cancelled=lambda: len(seen) >= 3)
    assert solution.stop_reason is StopReason.CANCELLED
    assert not solution.converged
    assert [iteration for iteration, _ in seen] == [1, 2, 3]
    assert solution.total <= seen[-1][1] * (1 + 1e-6)


def test_dose_can_be_cancelled(engine: PlanEngine) -> None:
    """A cancelled dose calculation says so."""
    with pytest.raises(Cancelled):
        engine.dose(np.ones(engine.beamlet_count), engine.dose_grid, cancelled=lambda: True)


def test_caps(engine: PlanEngine) -> None:
    """Iterations and seconds are caps, and the reason is given."""
    assert engine.optimise(OBJECTIVES, max_iterations=2).stop_reason is StopReason.MAX_ITERATIONS
    assert engine.optimise(OBJECTIVES, max_seconds=1e-6).stop_reason is StopReason.MAX_SECONDS


def test_a_new_structure_only_draws_new_points(engine: PlanEngine) -> None:
    """A helper made later can be used at once; the beamlets, and a fluence found before, stay valid."""
    fluence = engine.optimise(OBJECTIVES, max_iterations=10).fluence
    ring = ball("Ring", Role.HELPER, engine.patient.grid, (0.0, 0.0, 0.0), 40.0)
    structures = {**engine.patient.structures, "Ring": ring}
    engine.use(replace(engine.patient, structures=structures))
    more = (*OBJECTIVES, Objective("ring", ObjectiveType.MAX, "Ring", 50.0, 45.0))
    solution = engine.optimise(more, start=fluence, max_iterations=10)
    assert solution.values["ring"] >= 0.0
    assert len(solution.fluence) == len(fluence)


def test_a_speck_is_spared() -> None:
    """An organ of one voxel beside the target answers to its objective."""
    without = _engine(beams=FIVE)
    mask = without.patient.structure("Speck").mask()
    limit = Objective("speck", ObjectiveType.MAX, "Speck", 200.0, 1.0)
    loose = without.dose(without.optimise(OBJECTIVES, max_iterations=25).fluence, without.dose_grid)[mask].max()
    tight = without.dose(without.optimise((*OBJECTIVES, limit), max_iterations=25).fluence, without.dose_grid)[
        mask
    ].max()
    assert tight < 0.8 * loose


def test_non_coplanar_fields_meet_at_the_isocentre() -> None:
    """Beams from all couch angles each give the isocentre their dose and pass on their own side."""
    beams = (Beam("a", ISOCENTRE, 60.0, 15.0, 0.0), Beam("b", ISOCENTRE, 300.0, 0.0, 90.0))
    engine = _engine(beams=beams)
    for field in engine.fields:
        weights = np.concatenate([np.full(f.beamlet_count, float(f is field)) for f in engine.fields])
        dose = engine.dose(weights, engine.dose_grid)
        towards = 60.0 * np.array(field.frame.z_axis)
        entrance, exit_ = (_at(engine, dose, sign * towards) for sign in (1.0, -1.0))
        assert entrance > _at(engine, dose, np.zeros(3)) > exit_ > 0.0


def test_dose_on_a_finer_grid(engine: PlanEngine) -> None:
    """Dose asked for on another grid is the same dose: equal at common points within what a voxel's shift makes."""
    fluence = np.ones(engine.beamlet_count)
    coarse = engine.dose(fluence, engine.dose_grid)
    low, step = engine.dose_grid.origin_mm[0] + 8 * 4.0, 4.0 / 3
    fine = engine.dose(fluence, Grid((low, low, low), (step, step, step), (40, 40, 40)))
    assert fine[::3, ::3, ::3] == pytest.approx(coarse[8:22, 8:22, 8:22], rel=1e-4, abs=1e-5)


def test_impossible_goals_end_with_a_finite_plan() -> None:
    """Contradictory objectives give a finite fluence and say what is left."""
    engine = _engine()
    against = (
        Objective("up", ObjectiveType.MIN, "PTV", 100.0, 60.0),
        Objective("down", ObjectiveType.MAX, "PTV", 100.0, 40.0),
    )
    solution = engine.optimise(against)
    assert np.all(np.isfinite(solution.fluence))
    assert min(solution.values.values()) > 1000.0


@pytest.mark.parametrize(
    ("beams", "words"),
    [
        ((), "at least one beam"),
        ((Beam("far", (500.0, 0.0, 0.0), 0.0),), "outside the image"),
    ],
)
def test_beams_that_cannot_be_used(beams: tuple[Beam, ...], words: str) -> None:
    """No beam, and an isocentre outside the image, are refused by name."""
    with pytest.raises(BadInput, match=words):
        _engine(beams=beams)


def test_a_beam_that_misses_the_target() -> None:
    """A field that cannot reach the target from its isocentre says where the target lies."""
    patient = water_cube(side_mm=640.0, voxel_mm=10.0)
    with pytest.raises(BadInput, match="misses the targets"):
        _engine(patient, beams=(Beam("aside", (300.0, 0.0, 0.0), 0.0),), beamlet_mm=10.0)


def test_structures_that_cannot_be_used(engine: PlanEngine) -> None:
    """An unknown structure, an empty target, and no objectives are told apart."""
    with pytest.raises(NotFound, match="Nowhere"):
        engine.optimise([Objective("o", ObjectiveType.MAX, "Nowhere", 1.0, 1.0)])
    with pytest.raises(BadInput, match="no objectives"):
        engine.optimise([])
    patient = water_cube()
    empty = Structure.from_array("PTV", Role.TARGET, np.zeros(patient.grid.shape), patient.grid)
    with pytest.raises(BadInput, match="'PTV' is empty"):
        _engine(replace(patient, structures={**patient.structures, "PTV": empty}))


def test_a_fluence_of_another_geometry_is_refused(engine: PlanEngine) -> None:
    """The number of beamlets, and numbers below 0, are checked before anything is computed."""
    with pytest.raises(BadInput, match="beamlets"):
        engine.dose(np.ones(3), engine.dose_grid)
    with pytest.raises(BadInput, match="negative"):
        engine.dose(-np.ones(engine.beamlet_count), engine.dose_grid)


def _at(engine: PlanEngine, dose: np.ndarray, point_mm: np.ndarray) -> float:
    grid = engine.dose_grid
    x, y, z = np.round((point_mm - np.array(grid.origin_mm)) / np.array(grid.spacing_mm)).astype(int)
    return float(dose[z, y, x])


def test_smoothing_lowers_roughness_and_keeps_the_plan() -> None:
    """With the usual price neighbouring beamlets differ less, and the objectives are met nearly as well."""
    rough, smooth = (_engine(smoothing=price).optimise(OBJECTIVES) for price in (0.0, USUAL_STRENGTH))
    price = Smoothness(_engine().fields, 1.0)
    assert price.evaluate(smooth.fluence.astype(float))[0] < 0.8 * price.evaluate(rough.fluence.astype(float))[0]
    assert smooth.total < 1.2 * rough.total + 0.2


def test_what_was_asked_before_does_not_matter() -> None:
    """An engine that has optimised other objectives gives the same plan as a fresh one."""
    used, few = _engine(), OBJECTIVES[:2]
    used.optimise(OBJECTIVES, max_iterations=5)
    used.optimise(OBJECTIVES, max_iterations=5, fineness=2)
    assert np.array_equal(used.optimise(few).fluence, _engine().optimise(few).fluence)


def test_air_gets_no_dose_from_either_side() -> None:
    """A structure outside the body: the optimiser sees no dose there, as the dose grid shows none."""
    patient = water_cube()
    beside = np.zeros(patient.grid.shape, bool)
    beside[:, :, -3:] = True
    body = Structure.from_array("External", Role.EXTERNAL, ~beside, patient.grid)
    air = Structure.from_array("Air", Role.OAR, beside, patient.grid)
    engine = _engine(patient=replace(patient, structures={**patient.structures, "External": body, "Air": air}))
    wish = Objective("air", ObjectiveType.MIN, "Air", 10.0, 5.0)
    assert engine.optimise([OBJECTIVES[0], wish], max_iterations=20).values["air"] == pytest.approx(250.0)
