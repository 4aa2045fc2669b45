"""The DVH against exact values, in dose fields that trilinear interpolation reproduces.

`test_accuracy` holds it against the standard set of shapes and against Eclipse's curves.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim_tps.dvh import DoseVolume
from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.patient import Role, Structure
from tests.sim_tps.shapes import ball, ball_cc, cube_grid, everything, linear_dose, radial_dose

R_MM = 12.0
AXIAL = (0.0, 0.0, 1.0)


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.3, -0.8, 0.5)])
def test_whole_curve_of_a_sphere_in_any_direction(direction):
    """Every point of a sphere's curve lies within 1 % of volume of (2 - 3u + u³)/4, however the gradient runs."""
    grid = cube_grid(1.0)
    found = DoseVolume.of(ball("ball", R_MM, grid), linear_dose(grid, direction), grid)
    doses, percent = found.curve(0.1)
    u = np.clip((doses - 16.0) / R_MM, -1.0, 1.0)
    assert np.abs(percent - 25.0 * (2.0 - 3.0 * u + u**3)).max() < 1.0


def test_mean_is_the_area_under_the_curve():
    """The curve's integral over dose is the mean dose, and the curve never rises."""
    grid = cube_grid(2.0)
    found = DoseVolume.of(ball("ball", 9.0, grid), linear_dose(grid, (1.0, 2.0, 3.0)), grid)
    doses, percent = found.curve(0.01)
    assert (np.diff(percent) <= 0.0).all()
    assert percent[0] == pytest.approx(100.0)
    assert percent[-1] == 0.0
    assert np.trapezoid(percent / 100.0, doses) == pytest.approx(found.mean, abs=0.01)


@pytest.mark.parametrize("step_mm", [0.4, 1.1])
def test_moving_up_the_gradient_adds_the_same_dose_everywhere(step_mm):
    """A sphere moved by s mm along 1 Gy/mm has every dose statistic higher by s Gy, wherever the voxels lie."""
    grid = cube_grid(2.0)
    dose = linear_dose(grid, (1.0, 0.0, 0.0))
    here = DoseVolume.of(ball("here", 8.0, grid), dose, grid)
    there = DoseVolume.of(ball("there", 8.0, grid, (step_mm, 0.0, 0.0)), dose, grid)
    for ask in (lambda d: d.mean, lambda d: d.dose_at_percent(95), lambda d: d.dose_at_percent(5), lambda d: d.median):
        assert ask(there) - ask(here) == pytest.approx(step_mm, abs=0.1)


def test_volume_and_dose_questions_are_inverse():
    """The volume at the dose that x % gets is x %."""
    grid = cube_grid(1.5)
    found = DoseVolume.of(ball("ball", 10.0, grid), linear_dose(grid, (0.0, 1.0, 1.0)), grid)
    for percent in (2.0, 35.0, 98.0):
        volume_cc = found.volume_at(found.dose_at_percent(percent))
        assert 100.0 * volume_cc / found.volume_cc == pytest.approx(percent, abs=0.05)


def test_small_spheres_keep_volume_and_fall_off():
    """A 7 mm sphere off the voxel centres, dose falling 1 Gy per mm from its centre: exact volume, D50 and mean."""
    grid, dose_grid = cube_grid(1.0, 10.0, shift=0.37), cube_grid(0.5, 12.0)
    dose = radial_dose(dose_grid, lambda r: 20.0 - r)
    found = DoseVolume.of(ball("ball", 3.5, grid), dose, dose_grid)
    assert found.volume_cc == pytest.approx(ball_cc(3.5), rel=0.01)
    assert found.dose_at_percent(50) == pytest.approx(20.0 - 3.5 * 0.5 ** (1 / 3), abs=0.05)
    assert found.mean == pytest.approx(20.0 - 0.75 * 3.5, abs=0.05)


def test_d003cc_below_the_voxel():
    """On voxels of 0.064 cc D0.03cc is the sub-voxel dose, and the hottest voxel stands beside it."""
    grid, dose_grid = cube_grid(4.0, 32.0), cube_grid(1.0, 36.0)
    found = DoseVolume.of(ball("ball", 20.0, grid), radial_dose(dose_grid, lambda r: 70.0 - r), dose_grid)
    radius_mm = (0.75 * 30.0 / math.pi) ** (1 / 3)
    assert found.dose_at_cc(0.03) == pytest.approx(70.0 - radius_mm, abs=0.1)
    assert found.hottest_voxel_gy == pytest.approx(70.0, abs=1e-3)


def test_hot_spot_of_a_large_structure_is_cut_finer():
    """A body of half a million voxels answers D0.03cc and small isodose volumes as finely as a small structure."""
    grid, dose_grid = cube_grid(2.0, 80.0), cube_grid(0.5, 20.0)
    dose = radial_dose(dose_grid, lambda r: 60.0 * np.exp(-((r / 10.0) ** 2) / 2.0))
    found = DoseVolume.of(everything(grid), dose, dose_grid)
    for level_gy in (54.0, 30.0):
        radius_mm = 10.0 * math.sqrt(2.0 * math.log(60.0 / level_gy))
        assert found.volume_at(level_gy) == pytest.approx(ball_cc(radius_mm), rel=0.01)


def test_what_lies_outside_the_dose_grid_is_reported():
    """A structure half outside the dose grid has 50 % coverage, and the rest counts as 0 Gy."""
    image = cube_grid(1.0, 20.0)
    dose_grid = Grid((0.5, -30.0, -30.0), (1.0, 1.0, 1.0), (61, 61, 30))
    found = DoseVolume.of(ball("ball", 10.0, image), np.full(dose_grid.shape, 50.0, np.float32), dose_grid)
    assert found.coverage_percent == pytest.approx(50.0, abs=0.5)
    assert found.min == 0.0
    assert found.dose_at_percent(40) == pytest.approx(50.0)
    assert found.mean == pytest.approx(25.0, abs=0.3)


def test_a_uniform_dose_is_the_same_everywhere():
    """In a uniform dose all of the structure gets exactly that dose and none of it more."""
    grid = cube_grid(2.5, 20.0)
    found = DoseVolume.of(ball("ball", 10.0, grid), np.full(grid.shape, 18.0, np.float32), grid)
    assert (found.min, found.median, found.max) == (18.0, 18.0, 18.0)
    assert found.volume_at(18.0) == pytest.approx(found.volume_cc)
    assert found.volume_at(18.001) == 0.0


def test_disjoint_parts_add_up():
    """The volume at a dose in two separate parts is the sum of the parts' own."""
    grid = cube_grid(1.0)
    dose = linear_dose(grid, (1.0, 1.0, 0.0))
    left, right = ball("left", 6.0, grid, (-12.0, 0.0, 0.0)), ball("right", 6.0, grid, (12.0, 0.0, 0.0))
    both = Structure.from_array("both", Role.OAR, left.on_image() + right.on_image(), grid)
    parts = [DoseVolume.of(part, dose, grid).volume_at(18.0) for part in (left, right)]
    assert DoseVolume.of(both, dose, grid).volume_at(18.0) == pytest.approx(sum(parts), rel=0.01)


def test_thick_slices_are_not_interpolated_across():
    """Between slices 75 mm apart each plane's own dose stands for its slab."""
    grid = Grid((0.0, 0.0, 0.0), (1.0, 1.0, 75.0), (2, 20, 20))
    dose = np.zeros(grid.shape, np.float32)
    dose[1] = 10.0
    found = DoseVolume.of(everything(grid), dose, grid)
    assert found.volume_at(5.0) == pytest.approx(found.volume_cc / 2)
    assert found.volume_at(9.999) == pytest.approx(found.volume_cc / 2)


def test_an_empty_structure_has_no_dose():
    """An empty structure has volume 0, and asking for its dose is refused by name."""
    grid = cube_grid(2.0, 10.0)
    empty = Structure.from_array("Cochlea_L", Role.OAR, np.zeros(grid.shape), grid)
    found = DoseVolume.of(empty, linear_dose(grid, AXIAL), grid)
    assert found.volume_cc == 0.0
    with pytest.raises(BadInput, match="'Cochlea_L' is empty"):
        _ = found.max


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda d: d.dose_at_percent(100.5), "D100.5%"),
        (lambda d: d.dose_at_percent(float("nan")), "Dnan%"),
        (lambda d: d.dose_at_cc(100.0), "D100cc"),
        (lambda d: d.volume_at(-1.0), "-1 Gy"),
        (lambda d: d.curve(0.0), "step of 0 Gy"),
    ],
)
def test_questions_that_make_no_sense_are_refused(question, message):
    """A percentage over 100, more cc than there are, a negative dose and a zero step are refused with the value."""
    grid = cube_grid(2.0, 12.0)
    found = DoseVolume.of(ball("ball", 5.0, grid), linear_dose(grid, AXIAL), grid)
    with pytest.raises(BadInput, match=message):
        question(found)


def test_whole_voxels_are_not_filled_to_their_faces():
    """A structure known by whole voxels gets the doses of the centres inside it, not those halfway to the next."""
    grid = cube_grid(4.0, 32.0)
    blocks = Structure.from_array("PTV", Role.TARGET, ball("ball", 14.0, grid).mask(), grid)
    dose = radial_dose(grid, lambda r: 70.0 - r)
    centres = dose[blocks.mask()]
    found = DoseVolume.of(blocks, dose, grid)
    assert found.min == pytest.approx(centres.min(), abs=1e-3)
    assert found.dose_at_percent(95) == pytest.approx(np.percentile(centres, 5), abs=0.2)
