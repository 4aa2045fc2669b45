"""A lateral kernel that ends at a radius, as the peer's beamlets do.

The peer keeps a beamlet's dose within 50 mm of its ray and drops the rest. The same here, on the map of a beamlet: the
Gaussians that reach so far are added up on a raster, cut there by a disc, and parted again into products of profiles
(the eigenvectors of a symmetric matrix). The disc's edge is softened over one pixel of the raster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from sim_tps.dose.kernels import LateralKernel, Profiles
from sim_tps.dose.lateral import COARSE_STEP_MM

_SMALLEST = 1e-3
"""Products that add less than this share of the kernel's peak and of its integral are left out."""


@dataclass(frozen=True, eq=False)
class CutKernel:
    """``whole`` up to ``radius_mm`` on the isocentre plane."""

    whole: LateralKernel
    radius_mm: float

    def profiles(self, source_sigma_mm: float, beamlet_mm: float, step_mm: float) -> Profiles:
        whole = self.whole.profiles(source_sigma_mm, beamlet_mm, step_mm)
        zoom = int(COARSE_STEP_MM / step_mm)
        near, far = whole.part(narrow=True, zoom=zoom), whole.part(narrow=False, zoom=zoom)
        values, mix = _cut(far, self.radius_mm / step_mm, COARSE_STEP_MM / 2 / step_mm)
        reach = np.full(len(values), values.shape[1] // 2, np.int64)
        return Profiles(
            np.concatenate([_cropped(near.values, values.shape[1] // 2), values]),
            np.concatenate([near.mix, mix], axis=1),
            np.concatenate([np.minimum(near.reach, values.shape[1] // 2), reach]),
            np.concatenate([near.sigma, np.full(len(values), far.sigma.min())]),
        )


def _cut(far: Profiles, radius: float, softness: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Profiles and mix of what is left within ``radius`` pixels."""
    half = int(np.ceil(radius + 3 * softness))
    x = np.arange(half + 1)
    disc = 0.5 * erfc((np.hypot(x[:, None], x[None, :]) - radius) / (np.sqrt(2.0) * softness))
    right = _cropped(far.values, half)[:, half:]
    planes = np.einsum("cj,jy,jx->cyx", far.mix, right, right) * disc
    root = np.sqrt(np.where(x > 0, 2.0, 1.0))
    peak, integral = np.abs(planes).max(), np.abs(planes.sum((1, 2))).max() * 4
    values, mix = [], []
    for c, plane in enumerate(planes):
        weights, vectors = np.linalg.eigh(plane * root[:, None] * root[None, :])
        profiles = vectors.T / root
        shares = np.abs(weights) * np.maximum(profiles[:, 0] ** 2 / peak, (profiles @ root**2) ** 2 / integral)
        for n in np.flatnonzero(shares > _SMALLEST):
            values.append(np.concatenate([profiles[n, :0:-1], profiles[n]]))
            mix.append(np.eye(3)[c] * weights[n])
    return np.array(values), np.array(mix).T


def _cropped(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    centre = values.shape[1] // 2
    return values[:, centre - half : centre + half + 1]
