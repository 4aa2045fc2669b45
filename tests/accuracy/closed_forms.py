"""DVHs of shapes whose curve is known exactly, in a dose that rises evenly through them.

Trilinear interpolation reproduces such a dose on every grid, so what errors are left are the voxelised shape's and the
sampling's. Seven curves: in two directions through a sphere and a cylinder, in three through a cone; u runs from -1
where the shape begins to 1 where it ends, along the gradient.

References
----------
Nelms et al., Med. Phys. 42 (2015) 4435: the shapes, the dose levels and the questions. The formulas are derived here
from the area of the cross-section, without end caps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from sim_tps.dvh import DoseVolume
from sim_tps.geometry import Vector
from tests.accuracy.checks import Check
from tests.sim_tps.shapes import Inside, cube_grid, linear_dose, shape

_Reals = NDArray[np.float64]

R_MM, H_MM = 12.0, 24.0
CENTRE_GY, GY_PER_MM = 16.0, 1.0
SPACINGS_MM = (1.0, 2.0, 3.0)
STATISTICS = ("D99", "D95", "D50", "D5", "D1")

_AXIAL, _ACROSS = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)
_HOT_CC = 0.03
_VOLUME_LIMIT_PERCENT, _CURVE_LIMIT_PERCENT = 1.0, 1.0
_LIMITS_GY = {"Dmean": 0.05, "D99": 0.25, "D95": 0.15, "D50": 0.15, "D5": 0.15, "D1": 0.25, "D0.03cc": 0.25}
"""At 1 mm; in proportion to the voxel at other sizes, except for the volume."""


def _sphere(x: _Reals, y: _Reals, z: _Reals) -> NDArray[np.bool_]:
    return x**2 + y**2 + z**2 <= R_MM**2


def _cylinder(x: _Reals, y: _Reals, z: _Reals) -> NDArray[np.bool_]:
    return (x**2 + y**2 <= R_MM**2) & (np.abs(z) <= H_MM / 2)


def _cone(x: _Reals, y: _Reals, z: _Reals) -> NDArray[np.bool_]:
    """Apex at the top, base at the bottom."""
    return (x**2 + y**2 <= (R_MM * (0.5 - z / H_MM)) ** 2) & (np.abs(z) <= H_MM / 2)


def _across_a_cone(u: float) -> float:
    """Share of a cone beyond u; symmetric about its axis."""
    if u <= 0.0:
        return 0.5 if u == 0.0 else 1.0 - _across_a_cone(-u)
    root = math.sqrt(1.0 - u * u)
    return (math.acos(u) - 2.0 * u * root + u**3 * math.log((1.0 + root) / u)) / math.pi


@dataclass(frozen=True)
class ClosedForm:
    """One shape in one dose; R = 12 mm, H = 24 mm, so u times 12 mm is the way along the gradient in all of them."""

    name: str
    inside: Inside
    direction: Vector
    volume_cc: float
    share_beyond: Callable[[float], float]
    """u -> share of the volume that lies beyond."""
    mean_gy: float

    def dose_at_percent(self, percent: float) -> float:
        """Exact D_x, by solving the closed form for u."""
        return CENTRE_GY + GY_PER_MM * R_MM * brentq(lambda u: self.share_beyond(u) - percent / 100.0, -1.0, 1.0)

    def percent_at(self, dose_gy: _Reals) -> _Reals:
        u = np.clip((dose_gy - CENTRE_GY) / (GY_PER_MM * R_MM), -1.0, 1.0)
        return 100.0 * np.array([self.share_beyond(float(each)) for each in u])

    def exact(self) -> dict[str, float]:
        """The statistics that are judged: volume in cc, doses in Gy."""
        doses = {name: self.dose_at_percent(float(name.removeprefix("D"))) for name in STATISTICS}
        hot_gy = self.dose_at_percent(100.0 * _HOT_CC / self.volume_cc)
        return {"V": self.volume_cc, "Dmean": self.mean_gy, **doses, "D0.03cc": hot_gy}


_BALL_CC = 4.0 / 3.0 * math.pi * R_MM**3 / 1000.0
_CYLINDER_CC = math.pi * R_MM**2 * H_MM / 1000.0

FORMS = (
    ClosedForm("sphere", _sphere, _ACROSS, _BALL_CC, lambda u: (2.0 - 3.0 * u + u**3) / 4.0, 16.0),
    ClosedForm("sphere, head-foot", _sphere, _AXIAL, _BALL_CC, lambda u: (2.0 - 3.0 * u + u**3) / 4.0, 16.0),
    ClosedForm("cylinder, along", _cylinder, _AXIAL, _CYLINDER_CC, lambda u: (1.0 - u) / 2.0, 16.0),
    ClosedForm(
        "cylinder, across",
        _cylinder,
        _ACROSS,
        _CYLINDER_CC,
        lambda u: (math.acos(u) - u * math.sqrt(1.0 - u * u)) / math.pi,
        16.0,
    ),
    ClosedForm(
        "cone, to the base", _cone, (0.0, 0.0, -1.0), _CYLINDER_CC / 3, lambda u: 1.0 - ((1.0 + u) / 2.0) ** 3, 22.0
    ),
    ClosedForm("cone, to the apex", _cone, _AXIAL, _CYLINDER_CC / 3, lambda u: ((1.0 - u) / 2.0) ** 3, 10.0),
    ClosedForm("cone, across", _cone, _ACROSS, _CYLINDER_CC / 3, _across_a_cone, 16.0),
)


@dataclass(frozen=True, eq=False)
class FormResult:
    """One shape on one voxel size: exact values and errors."""

    form: ClosedForm
    spacing_mm: float
    errors: dict[str, float]
    """Found minus exact; V in percent, doses in Gy, "curve" the largest distance in percent of volume."""

    @property
    def limits(self) -> dict[str, float]:
        doses = {name: limit * self.spacing_mm for name, limit in _LIMITS_GY.items()}
        return {"V": _VOLUME_LIMIT_PERCENT, **doses, "curve": _CURVE_LIMIT_PERCENT * self.spacing_mm}

    @property
    def statistics_checks(self) -> tuple[Check, ...]:
        """Volume and doses against their limits."""
        return tuple(
            Check(f"{self._where}: {name}", abs(error), self.limits[name], "%" if name == "V" else "Gy")
            for name, error in self.errors.items()
            if name != "curve"
        )

    @property
    def curve_check(self) -> Check:
        """The whole curve against its limit."""
        return Check(f"{self._where}: whole curve", self.errors["curve"], self.limits["curve"], "% of volume")

    @property
    def _where(self) -> str:
        return f"{self.form.name} on {self.spacing_mm:g} mm"


def compare_form(form: ClosedForm, spacing_mm: float) -> FormResult:
    """One shape on image and dose voxels of one size; the two grids are offset by 0.3 voxels."""
    image, dose_grid = cube_grid(spacing_mm), cube_grid(spacing_mm, 35.0, shift=0.3)
    dose = linear_dose(dose_grid, form.direction, CENTRE_GY, GY_PER_MM)
    found = DoseVolume.of(shape(form.name, form.inside, image), dose, dose_grid)
    exact = form.exact()
    errors = {
        "V": 100.0 * (found.volume_cc / exact["V"] - 1.0),
        "Dmean": found.mean - exact["Dmean"],
        **{name: found.dose_at_percent(float(name.removeprefix("D"))) - exact[name] for name in STATISTICS},
        "D0.03cc": found.dose_at_cc(_HOT_CC) - exact["D0.03cc"],
    }
    doses, percent = found.curve(0.1)
    errors["curve"] = float(np.abs(percent - form.percent_at(doses)).max())
    return FormResult(form, spacing_mm, errors)
