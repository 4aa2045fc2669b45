"""Lateral pencil-beam kernels, as the dose operator wants them: by their Fourier transforms, split in two ranges.

A kernel has three components K_c(r) in 1/mm², one for each depth term. What lies within a few millimetres of the beam
(``near``) needs a fine image but only round the field; the rest (``far``) is smooth, so a coarse image over the whole
patient is enough. A kernel is isotropic, so its transform depends on the length k of the wave vector alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

NEAR_SIGMA_MM = 8.0
"""Where the two ranges part; a Gaussian this wide is exact on a 5 mm image (its spectrum at Nyquist is below 1e-5)."""

_WAVE_STEP_PER_MM = 0.0025
_WAVE_MAX_PER_MM = 9.0


class LateralKernel(Protocol):
    """Three radial kernels whose sum over both ranges is the whole."""

    @property
    def reach_mm(self) -> float:
        """Radius beyond which the whole kernel is negligible."""
        ...

    @property
    def near_reach_mm(self) -> float:
        """The same for the short-range part."""
        ...

    def near(self, wave_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transform of the short-range part, shape (3, *wave_per_mm.shape)."""
        ...

    def far(self, wave_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transform of the long-range part, shape (3, *wave_per_mm.shape)."""
        ...


@dataclass(frozen=True, eq=False)
class GaussianKernel:
    """K_c(r) = sum over j of weights[c, j] × normalised Gaussian of width sigmas_mm[j]; sigma 0 is a point."""

    weights: NDArray[np.float64]
    """Shape (3, number of Gaussians); each is the integral of its Gaussian over the plane."""
    sigmas_mm: NDArray[np.float64]

    @property
    def reach_mm(self) -> float:
        return 3.5 * float(self.sigmas_mm.max())

    @property
    def near_reach_mm(self) -> float:
        return 4.0 * float(self.sigmas_mm[self._is_near].max(initial=0.0))

    def near(self, wave_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._sum(wave_per_mm, self._is_near)

    def far(self, wave_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._sum(wave_per_mm, ~self._is_near)

    @property
    def _is_near(self) -> NDArray[np.bool_]:
        return self.sigmas_mm < NEAR_SIGMA_MM

    def _sum(self, wave_per_mm: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        gaussians = np.exp(-0.5 * np.multiply.outer(self.sigmas_mm[chosen] ** 2, wave_per_mm**2))
        return np.tensordot(self.weights[:, chosen], gaussians, axes=1)


@dataclass(frozen=True, eq=False)
class TabulatedKernel:
    """Kernels as matRad's machine files hold them: values on a square raster, looked up by radius.

    The first entry belongs to the raster's central pixel alone (nearly all primary dose falls there), so it counts with
    that pixel's area and is never interpolated towards the second.
    """

    radius_mm: NDArray[np.float64]
    """Equidistant radii from 0."""
    values_per_mm2: NDArray[np.float64]
    """Shape (3, number of radii)."""

    @property
    def reach_mm(self) -> float:
        return float(self.radius_mm[-1])

    @property
    def near_reach_mm(self) -> float:
        return 4.0 * NEAR_SIGMA_MM

    def near(self, wave_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._splines[0](wave_per_mm)

    def far(self, wave_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._splines[1](wave_per_mm)

    @cached_property
    def _splines(self) -> tuple[CubicSpline, CubicSpline]:
        """Transforms along one axis of the raster: project the raster on the axis, then sum cosines."""
        step = self.radius_mm[1] - self.radius_mm[0]
        count = self.radius_mm.size - 1
        axis = step * np.arange(-count, count + 1)
        radius = np.hypot(axis[:, None], axis[None, :])
        window = np.exp(-0.5 * (radius / NEAR_SIGMA_MM) ** 2)
        raster = np.stack([np.interp(radius, self.radius_mm, row, right=0.0) for row in self.values_per_mm2])
        wave = np.arange(0.0, _WAVE_MAX_PER_MM, _WAVE_STEP_PER_MM)
        cosines = np.cos(np.multiply.outer(axis, wave))
        near = (raster * window).sum(1) @ cosines * step**2
        far = (raster * (1.0 - window)).sum(1) @ cosines * step**2
        return _tabulated(wave, near), _tabulated(wave, far)


def _tabulated(wave: NDArray[np.float64], values: NDArray[np.float64]) -> _Transform:
    return _Transform(CubicSpline(wave, values, axis=1), float(wave[-1]))


@dataclass(frozen=True, eq=False)
class _Transform:
    """A tabulated transform that refuses to be read beyond its table."""

    spline: CubicSpline
    last_wave_per_mm: float

    def __call__(self, wave_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        if wave_per_mm.max() > self.last_wave_per_mm:
            raise ValueError(
                f"wave number {wave_per_mm.max():.3g}/mm; the table ends at {self.last_wave_per_mm:.3g}/mm."
            )
        return self.spline(wave_per_mm)
