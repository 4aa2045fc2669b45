"""Sampling and solver: exact volumes, the same points for the same seed, known optima, stopping."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls
from water import ball, water_cube

from sim_tps.dose.fields import Field, open_field
from sim_tps.errors import BadInput
from sim_tps.geometry import Grid, beam_frame
from sim_tps.optimise.sampling import Samples, sample, share_on, target_distance
from sim_tps.optimise.smoothing import Smoothness
from sim_tps.optimise.solver import Limits, StopReason, descend
from sim_tps.patient import Role, Structure

LIMITS = Limits(max_iterations=2000, max_seconds=30.0, smallest_gain=0.0, relative_gain=1e-12)


def _samples(voxel_mm: float = 4.0, seed: int = 0) -> Samples:
    patient = water_cube(voxel_mm=voxel_mm)
    structures = [patient.structure(name) for name in ("External", "PTV", "Organ", "Speck")]
    return sample(structures, [patient.structure("PTV")], patient.grid, seed)


def test_weights_are_shares_of_volume() -> None:
    """Every structure's weights are positive and sum to 1."""
    for region in _samples().regions.values():
        assert region.weight.sum() == pytest.approx(1.0)
        assert region.weight.min() > 0.0


def test_targets_and_organs_keep_every_voxel() -> None:
    """PTV and organ are judged on all their voxels, the External on a thinned set."""
    samples, patient = _samples(voxel_mm=2.5), water_cube(voxel_mm=2.5)
    for name in ("PTV", "Organ"):
        assert len(samples.regions[name].index) == np.count_nonzero(patient.structure(name).occupancy)
    assert len(samples.regions["External"].index) < 0.3 * patient.grid.size


def test_thinning_keeps_means() -> None:
    """A smooth dose has the same mean over the External from the thinned points as from all voxels, to 1 %."""
    samples, patient = _samples(voxel_mm=2.5), water_cube(voxel_mm=2.5)
    region = samples.regions["External"]

    def dose(points: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * (np.linalg.norm(points, axis=1) / 40.0) ** 2)

    whole = dose(patient.grid.centres_mm(np.arange(patient.grid.size)))
    for power in (1, 2):
        thinned = region.weight @ dose(samples.points_mm[region.index]) ** power
        assert thinned == pytest.approx((whole**power).mean(), rel=0.01)


def test_a_speck_is_seen() -> None:
    """A structure of one voxel gets many points of its own, all inside it."""
    samples = _samples()
    region = samples.regions["Speck"]
    points = samples.points_mm[region.index]
    assert len(points) >= 100
    assert np.ptp(points, axis=0).max() < 4.0


def test_same_seed_same_points() -> None:
    """Sampling is a function of its seed."""
    first, again, other = _samples(2.5, seed=3), _samples(2.5, seed=3), _samples(2.5, seed=4)
    assert np.array_equal(first.points_mm, again.points_mm)
    assert not np.array_equal(first.points_mm, other.points_mm)


def test_shares_keep_volume_on_any_grid() -> None:
    """Occupancy moved to a coarser, finer or shifted grid keeps its volume exactly."""
    structure = water_cube().structure("PTV")
    for spacing, shift in (((3.0, 3.0, 3.0), 0.0), ((5.0, 2.0, 7.0), 1.3), ((1.5, 1.5, 1.5), 0.4)):
        counts = [int(np.ceil(80.0 / s)) for s in reversed(spacing)]
        grid = Grid((-40.0 + shift, -40.0 + shift, -40.0 + shift), spacing, tuple(counts))
        share = share_on(structure, grid)
        assert share.max() <= 1.0 + 1e-6
        assert share.sum(dtype=float) * grid.voxel_cc == pytest.approx(structure.volume_cc, rel=1e-5)


def test_target_distance() -> None:
    """Nought inside, and the distance from a ball's surface outside it, to a voxel."""
    grid = water_cube(voxel_mm=2.0).grid
    distance = target_distance([ball("B", Role.TARGET, grid, (0.0, 0.0, 0.0), 20.0)], grid)
    z, y, x = (
        int(np.argmin(np.abs(axis - at))) for axis, at in zip(reversed(grid.axes_mm), (0.0, 0.0, 51.0), strict=True)
    )
    assert distance[z, y, x] == pytest.approx(31.0, abs=2.0)
    assert distance[z, y, z] == 0.0


def test_an_empty_structure_is_refused() -> None:
    """An objective on nothing is an error that names the structure."""
    patient = water_cube()
    nothing = Structure.from_array("Nothing", Role.HELPER, np.zeros(patient.grid.shape), patient.grid)
    with pytest.raises(BadInput, match="'Nothing' is empty"):
        sample([nothing], [patient.structure("PTV")], patient.grid, 0)


@pytest.mark.parametrize("seed", range(4))
def test_non_negative_least_squares(seed: int) -> None:
    """On ‖Ax − b‖² over x ≥ 0 the solver finds the optimum that Lawson and Hanson's method finds."""
    rng = np.random.default_rng(seed)
    matrix, wanted = rng.random((60, 25)), 5 * rng.random(60) - 1
    best, residual = nnls(matrix, wanted)
    found = descend(_least_squares(matrix, wanted), np.ones(25), LIMITS)
    assert found.value == pytest.approx(residual**2, rel=1e-6)
    assert found.x == pytest.approx(best, abs=1e-3)
    assert found.x.min() >= 0.0


def test_scaling_does_not_move_the_optimum() -> None:
    """Scaled variables lead to the same fluence."""
    rng = np.random.default_rng(9)
    matrix, wanted = rng.random((40, 10)), rng.random(40)
    plain = descend(_least_squares(matrix, wanted), np.ones(10), LIMITS)
    scaled = descend(_least_squares(matrix, wanted), np.ones(10), LIMITS, scale=rng.uniform(0.1, 10.0, 10))
    assert scaled.value == pytest.approx(plain.value, rel=1e-8)


def test_stop_reasons() -> None:
    """Too few iterations, too little time, a cancel, and convergence are told apart."""
    rng = np.random.default_rng(5)
    problem = _least_squares(rng.random((50, 30)), rng.random(50))
    few = Limits(max_iterations=2, max_seconds=30.0, smallest_gain=0.0)
    late = Limits(max_iterations=100, max_seconds=-1.0, smallest_gain=0.0)
    assert descend(problem, np.ones(30), few).stop_reason is StopReason.MAX_ITERATIONS
    assert descend(problem, np.ones(30), late).stop_reason is StopReason.MAX_SECONDS
    assert descend(problem, np.ones(30), LIMITS, cancelled=lambda: True).stop_reason is StopReason.CANCELLED
    assert descend(problem, np.ones(30), LIMITS).stop_reason is StopReason.CONVERGED


def test_cancelled_keeps_the_best_so_far() -> None:
    """A cancel after some iterations returns a better point than the start, and reports each iteration."""
    rng = np.random.default_rng(6)
    problem = _least_squares(rng.random((50, 30)), rng.random(50))
    seen: list[int] = []
    found = descend(
        problem,
        np.ones(30),
        LIMITS,
        progress=lambda iteration, _: seen.append(iteration),
        cancelled=lambda: len(seen) >= 4,
    )
    assert found.stop_reason is StopReason.CANCELLED
    assert seen == [1, 2, 3, 4]
    assert found.value == problem(found.x)[0] < problem(np.ones(30))[0]


def _least_squares(matrix: np.ndarray, wanted: np.ndarray):
    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        difference = matrix @ x - wanted
        return float(difference @ difference), 2.0 * matrix.T @ difference

    return evaluate


def test_smoothness_is_the_sum_over_neighbours() -> None:
    """Two fields of 2 × 2 and 1 × 3 beamlets have 4 and 2 neighbours; the price and its slope follow by hand."""
    frame = beam_frame((0.0, 0.0, 0.0), 0.0, 0.0, 0.0, 1000.0)
    fields = [open_field(frame, 5.0, (0.0, 0.0), shape) for shape in ((2, 2), (1, 3))]
    price, slope = Smoothness(fields, strength=7.0).evaluate(np.array([1.0, 3.0, 1.0, 1.0, 0.0, 2.0, 2.0]))
    assert price == pytest.approx(4 + 4 + 4)
    assert slope == pytest.approx([-4, 8, 0, -4, -4, 4, 0])


def test_closed_beamlets_have_no_neighbours() -> None:
    """A beamlet beside a hole in the raster is compared with what exists only."""
    frame = beam_frame((0.0, 0.0, 0.0), 0.0, 0.0, 0.0, 1000.0)
    field = Field("holed", frame, 5.0, (0.0, 0.0), np.array([[True, False, True]]))
    price, slope = Smoothness([field], strength=1.0).evaluate(np.array([1.0, 9.0]))
    assert price == 0.0
    assert not slope.any()
