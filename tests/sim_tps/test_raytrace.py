"""Radiological depth: closed forms in boxes, oblique rays, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from water import water_cube

from sim_tps.dose.density import HU_TABLE, DensityMap, density_map
from sim_tps.dose.raytrace import radiological_depths, surface_distance
from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.patient import Role, Structure

GRID = Grid((-19.0, -39.0, -58.5), (2.0, 2.0, 3.0), (40, 40, 20))
"""A box from (-20, -40, -60) to (20, 40, 60) mm."""


def test_box_1985() -> None:
    """Straight through a unit-density box, depth is the distance from the face it entered by."""
    density = DensityMap(np.ones(GRID.shape, np.float32), GRID)
    points = np.array([[0.0, -39.9, 0.0], [0.0, 0.0, 0.0], [0.0, 40.0, 0.0], [0.0, 300.0, 0.0]])
    depth = _depth(density, (0.0, -1000.0, 0.0), points)
    assert depth == pytest.approx([0.1, 40.0, 80.0, 80.0], abs=1e-4)


def test_layers_count_with_their_density() -> None:
    """Slabs of different density add up to the sum of thickness × density, from either side."""
    values = np.ones(GRID.shape, np.float32)
    values[:, :10] = 0.25
    values[:, 10:20] = 1.8
    density = DensityMap(values, GRID)
    below = _depth(density, (0.5, -1000.0, 0.7), np.array([[0.5, 40.0, 0.7]]))
    above = _depth(density, (0.5, 1000.0, 0.7), np.array([[0.5, -40.0, 0.7]]))
    assert below == pytest.approx([20 * 0.25 + 20 * 1.8 + 40.0], rel=1e-6)
    assert above == pytest.approx(below, rel=1e-6)


def test_oblique_rays_see_the_chord() -> None:
    """In a uniform box the depth is the geometric length inside it, whatever the direction."""
    density = DensityMap(np.full(GRID.shape, 0.7, np.float32), GRID)
    rng = np.random.default_rng(1)
    for _ in range(20):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        source = 900.0 * direction
        points = rng.uniform([-20, -40, -60], [20, 40, 60], size=(50, 3))
        depth = _depth(density, tuple(source), points)
        assert depth == pytest.approx(0.7 * _length_in_box(points, source), abs=2e-4)


def test_random_density_agrees_with_small_steps() -> None:
    """Through a random box the exact crossing equals a sum of tiny steps."""
    rng = np.random.default_rng(2)
    density = DensityMap(rng.random(GRID.shape).astype(np.float32), GRID)
    source, point = np.array([300.0, -800.0, 500.0]), np.array([3.3, 11.7, -20.1])
    share = (np.arange(1_000_000) + 0.5) / 1_000_000
    index = (point + share[:, None] * (source - point) - GRID.origin_mm) / GRID.spacing_mm
    x, y, z = np.floor(index + 0.5).astype(int).T
    inside = (z >= 0) & (z < 40) & (y >= 0) & (y < 40) & (x >= 0) & (x < 20)
    stepped = density.values[z[inside], y[inside], x[inside]].sum() * np.linalg.norm(source - point) / len(share)
    depth = _depth(density, tuple(source), point[None])
    assert depth == pytest.approx([stepped], rel=1e-4)


def test_a_ray_along_voxel_faces() -> None:
    """A ray exactly on a face belongs to one side of it, not to none and not to both."""
    density = DensityMap(np.ones(GRID.shape, np.float32), GRID)
    depth = _depth(density, (2.0, -1000.0, 3.0), np.array([[2.0, 10.0, 3.0], [2.0, -10.0, 3.0]]))
    assert depth == pytest.approx([50.0, 30.0], abs=1e-4)


def test_a_ray_that_misses_has_no_depth() -> None:
    """Outside the box, beside it and before it, the depth is 0."""
    density = DensityMap(np.ones(GRID.shape, np.float32), GRID)
    points = np.array([[0.0, -50.0, 0.0], [100.0, 0.0, 0.0]])
    assert _depth(density, (0.0, -1000.0, 0.0), points) == pytest.approx([0.0, 0.0])


def test_skin_distance() -> None:
    """The first tissue on the axis; none where the axis passes by."""
    density = DensityMap(np.ones(GRID.shape, np.float32), GRID)
    assert surface_distance(density, (0.0, -1000.0, 0.0), (0.0, 0.0, 0.0)) == pytest.approx(960.0, abs=0.5)
    assert surface_distance(density, (500.0, -1000.0, 0.0), (500.0, 0.0, 0.0)) is None


def test_nothing_outside_the_external() -> None:
    """A couch that the External leaves out attenuates nothing."""
    patient = water_cube()
    body = np.ones(patient.grid.shape)
    body[:, 20:] = 0.0
    structures = dict(patient.structures)
    structures["External"] = Structure.from_array("External", Role.EXTERNAL, body, patient.grid)
    density = density_map(replace(patient, structures=structures))
    through_couch = _depth(density, (0.0, 1000.0, 0.0), np.array([[0.0, -10.0, 0.0]]))
    assert through_couch == pytest.approx([20.0 - -10.0], abs=1e-3)


@pytest.mark.parametrize("hu", [-1025, 3096])
def test_numbers_beyond_the_table_are_refused(hu: int) -> None:
    """A CT number inside the External that the table does not know is named, not clipped."""
    patient = water_cube()
    image = patient.hu.copy()
    image[5, 5, 5] = hu
    with pytest.raises(BadInput, match=rf"1 voxels .* {hu}"):
        density_map(replace(patient, hu=image))


def test_table_is_monotone_and_passes_through_water() -> None:
    """More HU is never less dense, water is 1, and the 12-bit ceiling is inside the table."""
    hu = np.arange(-1024, 3096)
    density = HU_TABLE.density(hu)
    assert np.all(np.diff(density) >= 0.0)
    assert density[hu == 0] == pytest.approx([1.0])
    assert density[-1] == pytest.approx(2.5518, abs=1e-3)


def _depth(density: DensityMap, source: tuple[float, float, float], points: np.ndarray) -> np.ndarray:
    return radiological_depths(density, [source], points)[0]


def _length_in_box(points: np.ndarray, source: np.ndarray) -> np.ndarray:
    low, high = np.array([-20.0, -40.0, -60.0]), np.array([20.0, 40.0, 60.0])
    run = source - points
    leave = np.where(run > 0, (high - points) / run, (low - points) / run).min(axis=1)
    return np.linalg.norm(run, axis=1) * np.minimum(leave, 1.0)
