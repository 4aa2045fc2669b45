"""How much of a structure gets how much dose: D, V, mean and the cumulative curve.

The one idea: a structure is taken apart into *samples*, small pieces of known volume and dose, and the samples are
sorted. There are no bins, so no answer depends on a bin width. How small the pieces are follows from what they answer:

- A structure of up to `DENSE_VOXELS` voxels is cut into pieces of about a hundred thousandth of its volume. In
  a voxel on its rim the pieces that count are those deepest inside (by interpolated occupancy), as many as the
  voxel's occupancy says, so the volume is kept exactly.
- A structure that is known by whole voxels only is not taken to fill them to their faces: see `_spread`.
- A larger one, in practice the External, is sampled at voxel centres, weighted by occupancy, but its hottest part
  (the isodose volumes and D0.03cc live there) is cut finer too.

Dose between grid points is trilinear. Outside the dose grid no dose is known: those pieces count as 0 Gy and are
reported by ``coverage_percent``. Within half a voxel of the outermost grid points the dose there is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.patient import Structure

DENSE_VOXELS = 300_000
"""Up to this many voxels a structure is sampled below the voxel throughout."""
SAMPLES = 100_000
"""About how many pieces a small structure is cut into."""
MOST_PIECES, RIM_PIECES = 1000, 16
"""A voxel is not cut into more pieces than the first; one that is only partly inside not into fewer than the second."""
HOT_VOXELS, HOT_PIECES = 40_000, 24
"""How many of a large structure's hottest voxels are cut finer, and into how many pieces."""
THICKEST_MM = 10.0
"""A voxel longer than this is not cut along that axis: between planes so far apart a trilinear dose is a guess, so the
plane's own dose stands for its slab."""

_Reals = NDArray[np.float32]
_Flags = NDArray[np.bool_]
_Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class DoseVolume:
    """The dose in one structure, as samples sorted from cold to hot."""

    name: str
    dose_gy: _Reals
    """Dose of each sample, ascending."""
    sample_cc: _Reals
    """Volume of each sample."""
    coverage_percent: float
    """Percent of the structure inside the dose grid; the rest counts as 0 Gy."""
    hottest_voxel_gy: float
    """Highest dose at the centre of a voxel that is at least half inside (0 where there is none)."""

    @classmethod
    def of(cls, structure: Structure, dose_gy: NDArray[np.floating], dose_grid: Grid) -> DoseVolume:
        """Sample a dose ([z, y, x] on ``dose_grid``, Gy) in a structure."""
        if dose_gy.shape != dose_grid.shape:
            raise BadInput(f"dose array of shape {dose_gy.shape}, expected the dose grid's {dose_grid.shape}.")
        if structure.is_empty:
            nothing = np.zeros(0, np.float32)
            return cls(structure.name, nothing, nothing, 0.0, 0.0)
        pieces, hottest_voxel_gy = _sample(structure, _DoseField(np.asarray(dose_gy, np.float32), dose_grid))
        dose = np.concatenate([piece.dose for piece in pieces])
        volume = np.concatenate([piece.volume_cc for piece in pieces])
        covered_cc = sum(float(piece.volume_cc[piece.covered].sum(dtype=np.float64)) for piece in pieces)
        order = np.argsort(dose)
        coverage_percent = 100.0 * covered_cc / float(volume.sum(dtype=np.float64))
        return cls(structure.name, dose[order], volume[order], coverage_percent, hottest_voxel_gy)

    def scaled(self, factor: float) -> DoseVolume:
        """The same structure under a dose ``factor`` times as high."""
        dose_gy = self.dose_gy * np.float32(factor)
        return replace(self, dose_gy=dose_gy, hottest_voxel_gy=self.hottest_voxel_gy * factor)

    @cached_property
    def volume_cc(self) -> float:
        return float(self.sample_cc.sum(dtype=np.float64))

    @property
    def max(self) -> float:
        return float(self._filled[-1])

    @property
    def min(self) -> float:
        return float(self._filled[0])

    @cached_property
    def mean(self) -> float:
        return float(np.einsum("i,i", self._filled, self.sample_cc, dtype=np.float64)) / self.volume_cc

    @property
    def median(self) -> float:
        return self.dose_at_percent(50.0)

    def dose_at_percent(self, volume_percent: float) -> float:
        """Dose in Gy that the hottest ``volume_percent`` (0..100) of the structure gets at least."""
        if not 0.0 <= volume_percent <= 100.0:
            raise BadInput(f"structure {self.name!r}: D{volume_percent:g}% asked for, expected 0 to 100 %.")
        return self._dose_at(volume_percent / 100.0 * self.volume_cc)

    def dose_at_cc(self, volume_cc: float) -> float:
        """Dose in Gy that the hottest ``volume_cc`` of the structure gets at least."""
        if not 0.0 <= volume_cc <= self.volume_cc * (1.0 + 1e-6):
            raise BadInput(
                f"structure {self.name!r}: D{volume_cc:g}cc asked for, expected 0 to its volume, "
                f"{self.volume_cc:.4g} cc."
            )
        return self._dose_at(volume_cc)

    def volume_at(self, dose_gy: float) -> float:
        """Volume in cc that gets at least ``dose_gy``."""
        if not np.isfinite(dose_gy) or dose_gy < 0.0:
            raise BadInput(
                f"structure {self.name!r}: volume at {dose_gy:g} Gy asked for, expected a dose of 0 or more."
            )
        return float(self._volumes_at(np.array([dose_gy]))[0])

    def curve(self, bin_gy: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The cumulative curve: doses from 0 to just above the maximum in steps of ``bin_gy``, and the percent of the
        structure that gets at least each."""
        if not np.isfinite(bin_gy) or bin_gy <= 0.0:
            raise BadInput(f"structure {self.name!r}: DVH step of {bin_gy:g} Gy, expected more than 0.")
        doses = bin_gy * np.arange(int(np.floor(self.max / bin_gy)) + 2)
        return doses, 100.0 * self._volumes_at(doses) / self.volume_cc

    def _volumes_at(self, doses: NDArray[np.float64]) -> NDArray[np.float64]:
        colder = np.searchsorted(self._filled, doses.astype(np.float32), side="left")
        return self._from_cold_cc[-1] - self._from_cold_cc[colder]

    def _dose_at(self, hot_cc: float) -> float:
        # A sample's dose belongs to the middle of its own volume: for a smooth dose that is right to second order.
        middle = 0.5 * (self._from_cold_cc[1:] + self._from_cold_cc[:-1])
        return float(np.interp(self._from_cold_cc[-1] - hot_cc, middle, self._filled))

    @cached_property
    def _from_cold_cc(self) -> NDArray[np.float64]:
        """Volume of the 0, 1, 2 ... coldest samples."""
        return np.concatenate([[0.0], np.cumsum(self.sample_cc, dtype=np.float64)])

    @property
    def _filled(self) -> _Reals:
        if self.dose_gy.size == 0:
            raise BadInput(f"structure {self.name!r} is empty: it has no dose.")
        return self.dose_gy


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Parts of a structure: their dose (0 outside the grid), volume, and whether the dose grid covers them."""

    dose: _Reals
    volume_cc: _Reals
    covered: _Flags


class _DoseField:
    """A dose that can be asked for anywhere in an image."""

    def __init__(self, dose_gy: _Reals, grid: Grid) -> None:
        self._dose, self._grid = dose_gy, grid

    def on_box(self, structure: Structure) -> tuple[_Reals, _Flags]:
        """Dose at the voxel centres of the structure's box, and what the dose grid covers; one axis after another."""
        dose = self._dose
        covered = np.ones((1, 1, 1), bool)
        for axis, box in enumerate(structure.slices):
            where = self._where(structure.image_grid, axis, np.arange(box.start, box.stop))
            covered = covered & np.expand_dims(self._is_covered(axis, where), [a for a in range(3) if a != axis])
            dose = _interpolated(dose, axis, where)
        return np.where(covered, dose, np.float32(0.0)), np.broadcast_to(covered, dose.shape)

    def at(self, image: Grid, voxels: NDArray[np.float64]) -> tuple[_Reals, _Flags]:
        """Dose at places in the image ((3, n) in voxels: z, y, x), and what the dose grid covers."""
        where = [self._where(image, axis, voxels[axis]) for axis in range(3)]
        covered = np.logical_and.reduce([self._is_covered(axis, w) for axis, w in enumerate(where)])
        dose = ndimage.map_coordinates(self._dose, where, order=1, mode="nearest", output=np.float32)
        dose[~covered] = 0.0
        return dose, covered

    def _where(self, image: Grid, axis: int, voxel: NDArray[np.number]) -> NDArray[np.float64]:
        """Image voxel -> place in the dose array, along one array axis."""
        origin, dose_origin = image.origin_mm[2 - axis], self._grid.origin_mm[2 - axis]
        return (origin - dose_origin + voxel * image.spacing_mm[2 - axis]) / self._grid.spacing_mm[2 - axis]

    def _is_covered(self, axis: int, where: NDArray[np.float64]) -> _Flags:
        edge = 0.5 + 1e-6
        return (where >= -edge) & (where <= self._dose.shape[axis] - 1 + edge)


def _interpolated(values: _Reals, axis: int, where: NDArray[np.float64]) -> _Reals:
    """Linear interpolation along one axis, held constant beyond the ends."""
    within = np.clip(where, 0.0, values.shape[axis] - 1)
    below = np.floor(within + 1e-9).astype(np.intp)
    share = np.expand_dims((within - below).astype(np.float32), [a for a in range(3) if a != axis])
    lower = np.take(values, below, axis)
    if np.abs(share).max() < 1e-6:
        return lower
    upper = np.take(values, np.minimum(below + 1, values.shape[axis] - 1), axis)
    return lower + share * (upper - lower)


def _sample(structure: Structure, field: _DoseField) -> tuple[list[_Pieces], float]:
    """The structure in pieces, and the dose of its hottest voxel."""
    on_box, box_covered = field.on_box(structure)
    inside = structure.occupancy > 0.0
    share, at_centre, covered = structure.occupancy[inside], on_box[inside], box_covered[inside]
    mostly_inside = at_centre[share >= 0.5]
    hottest_voxel_gy = float(mostly_inside.max()) if mostly_inside.size else 0.0
    voxel_cc = structure.image_grid.voxel_cc
    if share.size <= DENSE_VOXELS:
        count = int(np.clip(np.ceil(SAMPLES * voxel_cc / structure.volume_cc), 1, MOST_PIECES))
        return _cut(structure, field, np.flatnonzero(inside), count), hottest_voxel_gy
    hot = np.zeros(share.size, bool)
    hot[np.argpartition(at_centre, -HOT_VOXELS)[-HOT_VOXELS:]] = True
    coarse = _Pieces(at_centre[~hot], share[~hot] * np.float32(voxel_cc), covered[~hot])
    return [coarse, *_cut(structure, field, np.flatnonzero(inside)[hot], HOT_PIECES)], hottest_voxel_gy


def _cut(structure: Structure, field: _DoseField, flat: _Indices, count: int) -> list[_Pieces]:
    """Cut voxels into pieces: whole ones into all their ``count``, rim ones into the pieces deepest inside.

    Neighbouring whole voxels are cut at the same places with the axes exchanged, so that their pieces share no planes.
    """
    image = structure.image_grid
    voxels = np.stack(np.unravel_index(flat, structure.occupancy.shape))
    whole = structure.occupancy.ravel()[flat] >= 1.0
    spread = _spread(structure.occupancy, voxels[:, whole])
    first = np.array(structure.first_voxel, np.float64)[:, None]
    pieces = []
    turn = voxels[:, whole].sum(axis=0) % 3
    thin = _is_thin(image)[:, None]
    for offset in _places(count):
        turned = np.stack([np.roll(offset, n) for n in range(3)], axis=1)[:, turn]
        dose, covered = field.at(image, voxels[:, whole] + first + turned * thin * spread)
        pieces.append(_Pieces(dose, np.full(dose.size, image.voxel_cc / count, np.float32), covered))
    rim, rim_count = voxels[:, ~whole], max(count, RIM_PIECES)
    offsets = _places(rim_count) * _is_thin(image)
    for offset, fraction in zip(offsets, _inside_fractions(structure.occupancy, rim, offsets), strict=True):
        kept = fraction > 0.0
        dose, covered = field.at(image, rim[:, kept] + first + offset[:, None])
        pieces.append(_Pieces(dose, fraction[kept] * np.float32(image.voxel_cc / rim_count), covered))
    return pieces


def _spread(occupancy: _Reals, voxels: _Indices) -> NDArray[np.float64]:
    """1 along the axes on which a voxel's pieces are spread over it, 0 where they stay at its centre, (3, n).

    A structure made of whole voxels says only which centres lie inside; where between the last one inside and the first
    outside it ends is not known. Its pieces are spread only along axes with a neighbour inside on both sides.
    """
    spread = np.ones(voxels.shape)
    if not ((occupancy == 0.0) | (occupancy == 1.0)).all():
        return spread
    padded = np.pad(occupancy, 1)
    for axis in range(3):
        step = np.zeros((3, 1), np.intp)
        step[axis] = 1
        spread[axis] = padded[tuple(voxels + 1 - step)] * padded[tuple(voxels + 1 + step)]
    return spread


def _inside_fractions(occupancy: _Reals, rim: _Indices, offsets: NDArray[np.float64]) -> _Reals:
    """Share 0..1 of each piece ((n_pieces, n_rim)) that lies inside: the deepest first, until the voxel has its due."""
    padded = np.pad(occupancy, 1)
    depth = np.stack(
        [ndimage.map_coordinates(padded, rim + 1 + offset[:, None], order=1, output=np.float32) for offset in offsets]
    )
    rank = np.empty(depth.shape, np.float32)
    np.put_along_axis(rank, np.argsort(-depth, axis=0), np.arange(len(offsets), dtype=np.float32)[:, None], axis=0)
    share = occupancy[tuple(rim)]
    return np.clip(share * len(offsets) - rank, 0.0, 1.0)


def _is_thin(image: Grid) -> NDArray[np.bool_]:
    """Axes z, y, x along which voxels are cut."""
    return np.array(image.spacing_mm[::-1]) <= THICKEST_MM


def _places(count: int) -> NDArray[np.float64]:
    """Where a voxel's pieces are relative to its centre, in voxels, (count, 3) ordered z, y, x.

    A low-discrepancy sequence rather than a lattice: on a lattice whole planes of pieces share one dose when the
    gradient runs along an axis, and the curve gets steps. Each place has its mirror image, so a linear dose keeps its
    mean.

    References
    ----------
    Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018): the R3 sequence.
    """
    generator = 1.2207440846057596  # the real root of x^4 = x + 1
    steps = np.arange(1, count // 2 + 1)[:, None] / generator ** np.arange(1, 4)
    half = (0.5 + steps) % 1.0 - 0.5
    return np.concatenate([half, -half, np.zeros((count % 2, 3))])
