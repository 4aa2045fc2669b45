"""Plan indices against concentric and displaced spheres, where every volume is known."""

from __future__ import annotations

import math

import pytest

from sim_tps.dvh import DoseVolume
from sim_tps.errors import BadInput
from sim_tps.indices import (
    conformity_paddick,
    conformity_rtog,
    gradient_paddick,
    homogeneity_icru83,
    homogeneity_rtog,
    r50,
)
from sim_tps.structures import derive
from tests.sim_tps.shapes import ball, ball_cc, cube_grid, everything, linear_dose, radial_dose

GRID = cube_grid(1.0, 30.0)
FALLING = radial_dose(GRID, lambda r: 40.0 - r)
"""Prescription 30 Gy at 10 mm, half of it at 25 mm."""


def dose_volume(structure, dose=FALLING):
    return DoseVolume.of(structure, dose, GRID)


@pytest.mark.parametrize("target_mm", [8.0, 10.0, 12.0])
def test_concentric_spheres(target_mm):
    """Around a target of radius R, with the reference isodose at rP: (min/max)³, (rP/R)³, (r50/rP)³ and (r50/R)³."""
    target, body = dose_volume(ball("PTV", target_mm, GRID)), dose_volume(everything(GRID))
    assert conformity_paddick(target, body, 30.0) == pytest.approx(
        (min(target_mm, 10) / max(target_mm, 10)) ** 3, rel=0.02
    )
    assert conformity_rtog(target, body, 30.0) == pytest.approx((10.0 / target_mm) ** 3, rel=0.02)
    assert gradient_paddick(body, 30.0) == pytest.approx(2.5**3, rel=0.02)
    assert r50(target, body, 30.0) == pytest.approx((25.0 / target_mm) ** 3, rel=0.02)


def test_a_dose_beside_its_target():
    """With the isodose sphere displaced by e the overlap is a lens, and Paddick's index lens² over both volumes."""
    shift, radius = 6.0, 10.0
    target, body = dose_volume(ball("PTV", radius, GRID, (shift, 0.0, 0.0))), dose_volume(everything(GRID))
    lens_cc = math.pi * (2 * radius - shift) ** 2 * (shift**2 + 4 * shift * radius) / (12 * shift) / 1000.0
    assert conformity_paddick(target, body, 30.0) == pytest.approx((lens_cc / ball_cc(radius)) ** 2, rel=0.03)


def test_several_targets_count_their_own_isodose():
    """Another target's isodose spoils the index in the External, and not in a region around the target itself."""
    left, right = (-14.0, 0.0, 0.0), (14.0, 0.0, 0.0)
    x, y, z = GRID.axes_mm
    first = (x[None, None, :] - left[0]) ** 2 + y[None, :, None] ** 2 + z[:, None, None] ** 2
    second = (x[None, None, :] - right[0]) ** 2 + y[None, :, None] ** 2 + z[:, None, None] ** 2
    dose = 40.0 - (first.clip(max=second.max()) ** 0.5).clip(max=second**0.5)
    external = everything(GRID)
    target = ball("PTV_1", 10.0, GRID, left)
    near = derive("zNear", "margin", [target], outer_mm=3.0, external=external)
    alone, body = DoseVolume.of(target, dose, GRID), DoseVolume.of(external, dose, GRID)
    assert conformity_paddick(alone, DoseVolume.of(near, dose, GRID), 30.0) == pytest.approx(1.0, abs=0.03)
    assert conformity_paddick(alone, body, 30.0) == pytest.approx(0.5, abs=0.03)


def test_a_missed_target_has_no_conformity():
    """Where nothing gets the reference dose Paddick's index is 0, and a gradient index is refused."""
    target, body = dose_volume(ball("PTV", 10.0, GRID)), dose_volume(everything(GRID))
    assert conformity_paddick(target, body, 50.0) == 0.0
    with pytest.raises(BadInput, match="no volume gets the reference dose of 50 Gy"):
        gradient_paddick(body, 50.0)


def test_homogeneity_of_a_linear_dose():
    """In a sphere of 12 mm with 16 ± 12 Gy HI is the closed form's (D2 - D98)/16, and 28 Gy over 20 Gy is 1.4."""
    target = dose_volume(ball("PTV", 12.0, GRID), linear_dose(GRID, (1.0, 0.0, 0.0)))
    u = 2.0 * math.cos(math.acos(2 * 0.02 - 1) / 3 + 4 * math.pi / 3)
    assert homogeneity_icru83(target) == pytest.approx(2 * 12.0 * u / 16.0, rel=0.01)
    assert homogeneity_rtog(target, 20.0) == pytest.approx(1.4, abs=0.02)


def test_a_reference_dose_of_zero_is_refused():
    """An index relative to 0 Gy has no meaning and says so."""
    with pytest.raises(BadInput, match="reference dose 0 Gy"):
        homogeneity_rtog(dose_volume(ball("PTV", 5.0, GRID)), 0.0)
