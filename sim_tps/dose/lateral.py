"""Spread and convolve: from beamlet weights to lateral maps, and exactly back.

For each field and each of the three kernel components, the map is fluence ⊗ source ⊗ kernel on the isocentre plane.
Everything is known in Fourier space (square beamlet, Gaussian source, kernel), so a map's samples carry no sampling
error; dividing by the cubic B-spline's own transform makes them the coefficients that interpolate those samples.

Two layers share the work. The near one is fine and covers the field; the far one holds what is left of the kernel,
which is smooth, and covers the patient. Their FFTs are an order of magnitude smaller than one fine image over all.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from os import cpu_count

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from sim_tps.dose.fields import Field, beamlet_count, project
from sim_tps.dose.kernels import LateralKernel
from sim_tps.machine import Machine

IMAGE_STEP_MM = 1.25
"""Largest pixel of the near layer: cubic interpolation of a 2.1 mm source blur is then good to about 1e-3."""

_FAR_STEP_MM = 5.0
_SPLINE_BORDER = 3
_SOURCE_REACH = 4.5
"""Standard deviations after which the source blur is forgotten (below 1e-5)."""


class LateralMaps:
    """The lateral maps of all fields in one flat buffer: ``images`` and its adjoint ``weights``.

    Parameters
    ----------
    fields
        What the beams are; one near and one far layer is made for each.
    kernels
        One per field (they may depend on the skin distance).
    corners_mm
        Shape (8, 3): corners of a box that holds every point whose dose will be asked for.
    """

    def __init__(
        self,
        machine: Machine,
        fields: Sequence[Field],
        kernels: Sequence[LateralKernel],
        corners_mm: NDArray[np.float64],
        *,
        image_step_mm: float = IMAGE_STEP_MM,
    ) -> None:
        self.fields = tuple(fields)
        self.sad_mm = machine.sad_mm
        self._plans: dict[tuple[object, ...], NDArray[np.float32]] = {}
        self._layers = [
            (
                self._near_layer(field, kernel, machine.source_sigma_mm, image_step_mm),
                self._far_layer(field, kernel, machine.source_sigma_mm, corners_mm),
            )
            for field, kernel in zip(self.fields, kernels, strict=True)
        ]
        sizes = [layer.rows * layer.columns * 3 for pair in self._layers for layer in pair]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        flat = [layer for pair in self._layers for layer in pair]
        self.buffer_size = int(starts[-1])
        self.places = np.array(
            [(start, layer.rows, layer.columns) for start, layer in zip(starts[:-1], flat, strict=True)], np.int64
        ).reshape(len(self.fields), 2, 3)
        self.origins = np.array([(*layer.origin_mm, 1.0 / layer.step_mm) for layer in flat], np.float32).reshape(
            len(self.fields), 2, 3
        )
        counts = np.cumsum([0, *(field.beamlet_count for field in self.fields)])
        self._spans = [slice(a, b) for a, b in pairwise(counts)]
        self._pool = ThreadPoolExecutor(cpu_count() or 1, thread_name_prefix="lateral")

    @property
    def beamlet_count(self) -> int:
        return beamlet_count(self.fields)

    def images(self, weights: NDArray[np.floating]) -> NDArray[np.float32]:
        """Spline coefficients of all maps, shape (buffer_size,)."""
        buffer = np.empty(self.buffer_size, np.float32)
        list(self._pool.map(partial(self._fill, weights, buffer), range(len(self.fields))))
        return buffer

    def weights(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Adjoint of `images`, shape (beamlet_count,)."""
        result = np.empty(self.beamlet_count, np.float32)
        list(self._pool.map(partial(self._collect, images, result), range(len(self.fields))))
        return result

    def _fill(self, weights: NDArray[np.floating], buffer: NDArray[np.float32], b: int) -> None:
        raster = self.fields[b].raster(weights[self._spans[b]])
        for layer, (start, rows, columns) in zip(self._layers[b], self.places[b], strict=True):
            out = buffer[start : start + rows * columns * 3].reshape(rows, columns, 3)
            layer.convolve(raster, out)

    def _collect(self, images: NDArray[np.float32], result: NDArray[np.float32], b: int) -> None:
        field = self.fields[b]
        total = np.zeros(field.is_open.shape, np.float32)
        for layer, (start, rows, columns) in zip(self._layers[b], self.places[b], strict=True):
            image = images[start : start + rows * columns * 3].reshape(rows, columns, 3)
            total += layer.correlate(image, field.is_open.shape)
        result[self._spans[b]] = total[field.is_open]

    def _near_layer(self, field: Field, kernel: LateralKernel, sigma_mm: float, step_mm: float) -> _Layer:
        stride = int(np.ceil(field.beamlet_mm / step_mm - 1e-9))
        step = field.beamlet_mm / stride
        reach = kernel.near_reach_mm + _SOURCE_REACH * sigma_mm + field.beamlet_mm / 2
        rows, columns = field.is_open.shape
        border = int(np.ceil(reach / step)) + _SPLINE_BORDER
        shape = ((rows - 1) * stride + 1 + 2 * border, (columns - 1) * stride + 1 + 2 * border)
        period = (fft.next_fast_len(shape[0], real=True), fft.next_fast_len(shape[1], real=True))
        return self._layer(field, stride, (border, border), shape, period, kernel, "near", sigma_mm)

    def _far_layer(
        self, field: Field, kernel: LateralKernel, sigma_mm: float, corners_mm: NDArray[np.float64]
    ) -> _Layer:
        stride = int(np.ceil(field.beamlet_mm / _FAR_STEP_MM - 1e-9))
        step = field.beamlet_mm / stride
        u, v = project(field.frame, self.sad_mm, corners_mm)
        x, y = field.first_centre_mm
        rows, columns = field.is_open.shape
        before = (_pixels(y - v.min(), step), _pixels(x - u.min(), step))
        after = (
            _pixels(v.max() - y - (rows - 1) * field.beamlet_mm, step),
            _pixels(u.max() - x - (columns - 1) * field.beamlet_mm, step),
        )
        used = ((rows - 1) * stride + 1, (columns - 1) * stride + 1)
        shape = (before[0] + used[0] + after[0], before[1] + used[1] + after[1])
        reach = _pixels(kernel.reach_mm, step)
        period = tuple(
            fft.next_fast_len(max(max(b, a) + n + min(reach, max(b, a) + n), s), real=True)
            for b, a, n, s in zip(before, after, used, shape, strict=True)
        )
        return self._layer(field, stride, before, shape, (period[0], period[1]), kernel, "far", sigma_mm)

    def _layer(
        self,
        field: Field,
        stride: int,
        offset: tuple[int, int],
        shape: tuple[int, int],
        period: tuple[int, int],
        kernel: LateralKernel,
        kind: str,
        sigma_mm: float,
    ) -> _Layer:
        step = field.beamlet_mm / stride
        key = (id(kernel), kind, period, stride)
        if key not in self._plans:
            self._plans[key] = _transfer(kernel, kind, period, step, field.beamlet_mm, sigma_mm)
        origin = (field.first_centre_mm[0] - offset[1] * step, field.first_centre_mm[1] - offset[0] * step)
        return _Layer(step, origin, shape[0], shape[1], period, offset, stride, self._plans[key])


@dataclass(frozen=True, eq=False)
class _Layer:
    """One image of one field, and the convolution that fills it."""

    step_mm: float
    origin_mm: tuple[float, float]
    """Isocentre-plane position (x, y) of pixel [0, 0]."""
    rows: int
    columns: int
    period: tuple[int, int]
    offset: tuple[int, int]
    """Pixel [y, x] of raster element [0, 0]."""
    stride: int
    """Pixels per beamlet."""
    transfer: NDArray[np.float32]
    """Shape (3, *half spectrum); real, because everything is symmetric: so the convolution is its own adjoint."""

    def convolve(self, raster: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        image = np.zeros(self.period, np.float32)
        image[self._beamlets(raster.shape)] = raster
        spectrum = fft.rfft2(image)
        for c in range(3):
            out[..., c] = fft.irfft2(spectrum * self.transfer[c], s=self.period)[: self.rows, : self.columns]

    def correlate(self, image: NDArray[np.float32], raster_shape: tuple[int, int]) -> NDArray[np.float32]:
        """Adjoint of `convolve`."""
        total = np.zeros((self.period[0], self.period[1] // 2 + 1), np.complex64)
        padded = np.zeros(self.period, np.float32)
        for c in range(3):
            padded[: self.rows, : self.columns] = image[..., c]
            total += fft.rfft2(padded) * self.transfer[c]
        return fft.irfft2(total, s=self.period)[self._beamlets(raster_shape)]

    def _beamlets(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        y, x = (
            slice(first, first + (count - 1) * self.stride + 1, self.stride)
            for first, count in zip(self.offset, shape, strict=True)
        )
        return y, x


def _transfer(
    kernel: LateralKernel, kind: str, period: tuple[int, int], step_mm: float, beamlet_mm: float, sigma_mm: float
) -> NDArray[np.float32]:
    """Beamlet square × source × kernel / (spline × pixel area), on the FFT's wave numbers."""
    ky = 2 * np.pi * fft.fftfreq(period[0], step_mm)[:, None]
    kx = 2 * np.pi * fft.rfftfreq(period[1], step_mm)[None, :]
    wave = np.hypot(ky, kx)
    square = beamlet_mm**2 * np.sinc(ky * beamlet_mm / (2 * np.pi)) * np.sinc(kx * beamlet_mm / (2 * np.pi))
    spline = (2 + np.cos(ky * step_mm)) / 3 * (2 + np.cos(kx * step_mm)) / 3
    response = kernel.near(wave) if kind == "near" else kernel.far(wave)
    return (response * (square * np.exp(-0.5 * (sigma_mm * wave) ** 2) / spline / step_mm**2)).astype(np.float32)


def _pixels(length_mm: float, step_mm: float) -> int:
    return max(0, int(np.ceil(length_mm / step_mm))) + _SPLINE_BORDER
