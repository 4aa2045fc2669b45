"""Lateral pencil-beam kernels, as the dose operator wants them: as sums of products of one-dimensional profiles.

The map of one beamlet is square ⊗ source ⊗ kernel, one for each of three depth terms. A kernel is a sum of Gaussians,
and a Gaussian is a product f(x)·f(y). So a whole field is convolved by short sums along rows and columns: no Fourier
transform, no wrap-around, any reach. Kernels that come as tables are fitted by Gaussians.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from sim_tps.errors import BadInput

_REACH_SIGMAS = 4.5
"""Standard deviations after which a Gaussian is forgotten (below 5e-5 of its peak)."""
_PIXELS_PER_SIGMA = 1.9
"""A cubic spline on pixels of that many to the standard deviation describes a Gaussian to 1e-3 of its peak."""
_FITTED_SIGMAS_MM = (0.0, 2.0, 4.0, 7.0, 11.0, 17.0, 27.0, 43.0, 68.0, 108.0)
_FITTED_WAVES_PER_MM = np.concatenate([[0.0], np.geomspace(1e-3, 2.2, 400)])
"""Equally spaced in the logarithm, so that a broad field counts as much as a single beamlet."""
_LARGEST_MISFIT = 0.02
"""At any wave length, as a share of the largest depth term's integral. matRad's generic machine comes to 0.011; the
doses of fields agree to 0.1 %."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """One beamlet's three maps: map_c(x, y) = sum over j of mix[c, j] · f_j(x) · f_j(y)."""

    values: NDArray[np.float64]
    """f_j at whole pixels from the beamlet's centre, shape (profiles, 2 · n + 1); entry n is the centre."""
    mix: NDArray[np.float64]
    """Shape (3, profiles)."""
    reach: NDArray[np.int64]
    """Pixels from the centre beyond which f_j is 0."""
    sigma: NDArray[np.float64]
    """How broad f_j is, in pixels: the standard deviation of the narrowest Gaussian in it."""

    def part(self, *, narrow: bool, zoom: int) -> Profiles:
        """Those that need pixels this small, or those that pixels ``zoom`` times larger describe just as well."""
        chosen = (self.sigma < _PIXELS_PER_SIGMA * zoom) == narrow
        return Profiles(self.values[chosen], self.mix[:, chosen], self.reach[chosen], self.sigma[chosen])


class LateralKernel(Protocol):
    """What one beamlet of fluence 1 lays on the isocentre plane."""

    def profiles(self, source_sigma_mm: float, beamlet_mm: float, step_mm: float) -> Profiles:
        """Profiles of a square beamlet after the source blur, on pixels of ``step_mm``."""
        ...


@dataclass(frozen=True, eq=False)
class GaussianKernel:
    """K_c(r) = sum over j of weights[c, j] × normalised Gaussian of width sigmas_mm[j]; sigma 0 is a point."""

    weights: NDArray[np.float64]
    """Shape (3, number of Gaussians); each is the integral of its Gaussian over the plane."""
    sigmas_mm: NDArray[np.float64]

    def profiles(self, source_sigma_mm: float, beamlet_mm: float, step_mm: float) -> Profiles:
        sigma = np.hypot(self.sigmas_mm, source_sigma_mm)
        reach = np.ceil((_REACH_SIGMAS * sigma + beamlet_mm / 2) / step_mm).astype(np.int64)
        x = np.arange(-reach.max(), reach.max() + 1) * step_mm
        slope = 1.0 / (np.sqrt(2.0) * sigma[:, None])
        values = 0.5 * (erf((x + beamlet_mm / 2) * slope) - erf((x - beamlet_mm / 2) * slope))
        return Profiles(values, self.weights, reach, sigma / step_mm)


@dataclass(frozen=True, eq=False)
class TabulatedKernel:
    """A kernel as matRad's machine files hold it: values on a square raster, looked up by radius.

    The first entry belongs to the raster's central pixel alone (nearly all primary dose falls there), so it counts with
    that pixel's area and is never interpolated towards the second.
    """

    radius_mm: NDArray[np.float64]
    """Equidistant radii from 0."""
    values_per_mm2: NDArray[np.float64]
    """Shape (3, number of radii)."""

    def profiles(self, source_sigma_mm: float, beamlet_mm: float, step_mm: float) -> Profiles:
        return self.fitted(source_sigma_mm).profiles(source_sigma_mm, beamlet_mm, step_mm)

    def fitted(self, source_sigma_mm: float) -> GaussianKernel:
        """The Gaussians that come nearest after the source blur; tables they cannot describe are refused."""
        wave = _FITTED_WAVES_PER_MM
        blur = np.exp(-0.5 * (source_sigma_mm * wave) ** 2)
        wanted = _transforms(self.radius_mm, self.values_per_mm2) * blur
        sigmas = np.array(_FITTED_SIGMAS_MM)
        gaussians = np.exp(-0.5 * np.multiply.outer(wave**2, sigmas**2)) * blur[:, None]
        weights = np.linalg.lstsq(gaussians, wanted.T, rcond=1e-9)[0].T
        worst = np.abs(weights @ gaussians.T - wanted).max() / np.abs(wanted[:, 0]).max()
        if worst > _LARGEST_MISFIT:
            raise BadInput(
                f"tabulated kernel: the nearest sum of Gaussians is {100 * worst:.1f} % off its integral, at most "
                f"{100 * _LARGEST_MISFIT:g} % is allowed; is the table smooth, and does it fall off within "
                f"{self.radius_mm[-1]:g} mm?"
            )
        return GaussianKernel(weights, sigmas)


def _transforms(radius_mm: NDArray[np.float64], values_per_mm2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fourier transforms along one axis, shape (3, waves): project the raster on the axis, then sum cosines."""
    step = radius_mm[1] - radius_mm[0]
    radius = np.hypot(radius_mm[:, None], radius_mm[None, :])
    both_sides = np.where(radius_mm > 0.0, 2.0, 1.0) * step
    projected = np.stack([np.interp(radius, radius_mm, row, right=0.0) @ both_sides for row in values_per_mm2])
    return (projected * both_sides) @ _cosines(radius_mm.tobytes())


@cache
def _cosines(radius_mm: bytes) -> NDArray[np.float64]:
    """cos(radius × wave): the same for all kernels of a machine."""
    return np.cos(np.multiply.outer(np.frombuffer(radius_mm), _FITTED_WAVES_PER_MM))
