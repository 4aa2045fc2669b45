"""Spread and convolve: from beamlet weights to lateral maps, and exactly back.

For each field and each of the three kernel components, the map is fluence ⊗ source ⊗ kernel on the isocentre plane,
sampled without error on an image that covers the patient. A kernel is a sum of products of profiles
(`sim_tps.dose.kernels`), so an image is made by summing the raster's columns, then its rows. The profiles are stored as
cubic B-spline coefficients, so the image interpolates those samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter1d

from sim_tps.dose import _images
from sim_tps.dose._threads import compute_turn
from sim_tps.dose.fields import Field, beamlet_count, project
from sim_tps.dose.kernels import LateralKernel, Profiles
from sim_tps.machine import Machine

IMAGE_STEP_MM = 5.0 / 3.0
"""Largest pixel; at least two to a beamlet. Cubic interpolation of a 5 mm beamlet after a 2.1 mm source blur is then
good to 0.15 % of its peak, and to 0.01 mm where it falls."""

COARSE_STEP_MM = 5.0
"""Largest pixel of the broad profiles, whose standard deviation is about twice as much or more
(`sim_tps.dose.kernels.Profiles.part`)."""

_BORDER = 3
"""Pixels that an interpolation needs beyond the outermost point, and one for rounding."""

_Level = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


class LateralMaps:
    """The lateral maps of all fields in one flat buffer: ``images`` and its adjoint ``weights``.

    Parameters
    ----------
    fields
        What the beams are; one image is made for each.
    kernels
        One per field (they may depend on the skin distance).
    corners_mm
        Shape (8, 3): corners of a box that holds every point whose dose will be asked for.
    image_step_mm
        Largest pixel on the isocentre plane; half a beamlet and at most `IMAGE_STEP_MM` when None.
    """

    def __init__(
        self,
        machine: Machine,
        fields: Sequence[Field],
        kernels: Sequence[LateralKernel],
        corners_mm: NDArray[np.float64],
        *,
        image_step_mm: float | None = None,
    ) -> None:
        self.fields = tuple(fields)
        self.sad_mm = machine.sad_mm
        steps = [field.beamlet_mm / _pixels_per_beamlet(field.beamlet_mm, image_step_mm) for field in self.fields]
        extents = [_extent(f, step, self.sad_mm, corners_mm) for f, step in zip(self.fields, steps, strict=True)]
        self.places = _placed([(e.rows, e.columns) for e in extents], 3)
        self.buffer_size = int(3 * (self.places[:, 1] * self.places[:, 2]).sum())
        self.origins = np.array(
            [(*e.origin_mm, 1.0 / step) for e, step in zip(extents, steps, strict=True)], np.float32
        )
        tables = [
            (kernel, field.beamlet_mm, step) for kernel, field, step in zip(kernels, self.fields, steps, strict=True)
        ]
        distinct = list(dict.fromkeys(tables))
        self._rasters = np.column_stack(
            [
                _placed([field.is_open.shape for field in self.fields], 1),
                [
                    (round(f.beamlet_mm / step), e.row, e.column)
                    for f, step, e in zip(self.fields, steps, extents, strict=True)
                ],
                [distinct.index(table) for table in tables],
            ]
        ).astype(np.int64)
        self._is_open = np.concatenate([field.is_open.ravel() for field in self.fields])
        made = [kernel.profiles(machine.source_sigma_mm, mm, step) for kernel, mm, step in distinct]
        zoom = max(1, int(COARSE_STEP_MM / max(steps)))
        self._narrow = _level([p.part(narrow=True, zoom=zoom) for p in made], 1)
        self._broad = _level([p.part(narrow=False, zoom=zoom) for p in made], zoom)

    @property
    def beamlet_count(self) -> int:
        return beamlet_count(self.fields)

    def images(self, weights: NDArray[np.floating]) -> NDArray[np.float32]:
        """Spline coefficients of all maps, shape (buffer_size,)."""
        rasters = np.zeros(len(self._is_open), np.float32)
        rasters[self._is_open] = weights
        images = np.empty(self.buffer_size, np.float32)
        with compute_turn:
            _images.spread(rasters, self._rasters, self._narrow, self._broad, self.places, images)
        return images

    def weights(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Adjoint of `images`, shape (beamlet_count,)."""
        rasters = np.zeros(len(self._is_open), np.float32)
        with compute_turn:
            _images.collect(images, self.places, self._rasters, self._is_open, self._narrow, self._broad, rasters)
        return rasters[self._is_open]


def _pixels_per_beamlet(beamlet_mm: float, image_step_mm: float | None) -> int:
    if image_step_mm is not None:
        return max(1, int(np.ceil(beamlet_mm / image_step_mm - 1e-9)))
    return max(2, int(np.ceil(beamlet_mm / IMAGE_STEP_MM - 1e-9)))


@dataclass(frozen=True)
class _Extent:
    """One image: how large, and which of its pixels is raster element [0, 0]."""

    rows: int
    columns: int
    row: int
    column: int
    origin_mm: tuple[float, float]
    """Isocentre-plane position (x, y) of pixel [0, 0]."""


def _extent(field: Field, step_mm: float, sad_mm: float, corners_mm: NDArray[np.float64]) -> _Extent:
    """An image over the projections of the corners and over the field."""
    u, v = project(field.frame, sad_mm, corners_mm)
    x, y = field.first_centre_mm
    rows, columns = field.is_open.shape
    row, column = _pixels(y - v.min(), step_mm), _pixels(x - u.min(), step_mm)
    below = _pixels(max(v.max() - y, (rows - 1) * field.beamlet_mm), step_mm)
    right = _pixels(max(u.max() - x, (columns - 1) * field.beamlet_mm), step_mm)
    origin = (x - column * step_mm, y - row * step_mm)
    return _Extent(row + below + 1, column + right + 1, row, column, origin)


def _pixels(length_mm: float, step_mm: float) -> int:
    return max(0, int(np.ceil(length_mm / step_mm))) + _BORDER


def _placed(shapes: Sequence[tuple[int, ...]], per_pixel: int) -> NDArray[np.int64]:
    """Arrays one after the other in a flat buffer: first element, rows and columns of each."""
    shape = np.array(shapes, np.int64)
    ends = np.cumsum(shape[:, 0] * shape[:, 1] * per_pixel)
    return np.column_stack([np.concatenate([[0], ends[:-1]]), shape])


def _level(profiles: Sequence[Profiles], zoom: int) -> _Level:
    """Profiles of all tables as spline coefficients on pixels ``zoom`` times larger, one set for each phase.

    Phase p holds the profile as the large pixels see it when the beamlet stands p small pixels past one of them. Tables
    are padded to equal numbers and lengths; reach -1 means that there is no profile.
    """
    count = max(p.mix.shape[1] for p in profiles)
    half = max(p.values.shape[1] // 2 for p in profiles) // zoom + 1
    values = np.zeros((len(profiles), count, zoom, 2 * half + 1), np.float32)
    mix = np.zeros((len(profiles), 3, count), np.float32)
    reach = np.full((len(profiles), count), -1, np.int64)
    for t, p in enumerate(profiles):
        own = p.mix.shape[1]
        if own == 0:
            continue
        centre = p.values.shape[1] // 2
        for phase in range(zoom):
            offset = np.arange(-half, half + 1) * zoom - phase
            known = np.abs(offset) <= centre
            sampled = np.zeros((own, 2 * half + 1))
            sampled[:, known] = p.values[:, centre + offset[known]]
            values[t, :own, phase] = spline_filter1d(sampled, 3, axis=1, mode="mirror")
        mix[t, :, :own] = p.mix
        reach[t, :own] = np.minimum(p.reach // zoom + 1, half)
    return values, mix, reach
