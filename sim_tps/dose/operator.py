"""Dose as a linear operator on fluence, without a matrix.

    dose = Gather · Convolve · Spread · weights          weights = Spreadᵀ · Convolveᵀ · Scatter · dose

    D(r) = Σ_beams (SAD/|r−s|)² · Σ_{c=1..3} β_c/(β_c−m) · (e^{−m·d} − e^{−β_c·d}) · [F ⊗ G ⊗ K_c](u(r), v(r))

F is the fluence on the isocentre plane, G the source blur, K_c the lateral kernels; s is the source, d the radiological
depth of r, (u, v) the projection of r from s onto the isocentre plane. Work and memory grow with points × beams only,
and no dose is cut off.

References
----------
Bortfeld, Schlegel, Rhein, Med. Phys. 20 (1993) 311-318, https://doi.org/10.1118/1.597070
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from sim_tps.dose import _images, _points, _rays
from sim_tps.dose._threads import compute_turn
from sim_tps.dose.density import DensityMap
from sim_tps.dose.fields import Field
from sim_tps.dose.lateral import LateralMaps
from sim_tps.dose.raytrace import radiological_depths
from sim_tps.machine import Machine

_TERMS_PER_MM = 10.0
"""Depth terms are tabulated every 0.1 mm: linear interpolation is then good to 1.5e-4 of the build-up's slope."""

_COMPILES = "SIM_TPS_COMPILES_KERNELS"
"""Set in the process that compiles."""
_SMALLEST_BLOCK = 1024
"""Points that a thread takes at a time, at least; two blocks for each thread where there are enough points."""


class DoseOperator:
    """Beamlet weights → dose in Gy at points, and its exact adjoint.

    Parameters
    ----------
    maps
        Lateral maps of the fields; may be shared between operators on different points.
    points_mm
        Shape (points, 3), patient coordinates, inside the box the maps were made for.
    depths_mm
        Shape (fields, points): radiological depths; dose is 0 where the depth is 0.
    """

    def __init__(
        self,
        machine: Machine,
        maps: LateralMaps,
        points_mm: NDArray[np.floating],
        depths_mm: NDArray[np.float32],
    ) -> None:
        self._maps = maps
        self._views = _views(machine, maps, points_mm, depths_mm)

    @property
    def shape(self) -> tuple[int, int]:
        """(points, beamlets)."""
        return self._views.shape[1], self._maps.beamlet_count

    def forward(self, weights: NDArray[np.floating]) -> NDArray[np.float32]:
        """Dose at the points, Gy."""
        return self.gather(self._maps.images(weights))

    def adjoint(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """For one number per point (a derivative with respect to dose), one number per beamlet."""
        images = np.zeros(self._maps.buffer_size, np.float32)
        with compute_turn:
            _points.scatter(self._views, self._maps.places, np.ascontiguousarray(values, np.float32), images)
        return self._maps.weights(images)

    def gather(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Dose at the points from ready-made lateral maps."""
        count = self._views.shape[1]
        dose = np.empty(count, np.float32)
        block = max(_SMALLEST_BLOCK, count // (2 * get_num_threads()) + 1)
        with compute_turn:
            _points.gather(self._views, self._maps.places, images, block, dose)
        return dose

    def as_matrix(self) -> NDArray[np.float32]:
        """The whole matrix, column by column; for small problems and tests."""
        return np.stack([self.forward(unit) for unit in np.eye(self.shape[1], dtype=np.float32)], axis=1)


def field_depths(density: DensityMap, fields: Sequence[Field], points_mm: NDArray[np.floating]) -> NDArray[np.float32]:
    """Radiological depths of points for each field, shape (fields, points)."""
    return radiological_depths(density, [field.frame.source_mm for field in fields], points_mm)


def load_kernels() -> None:
    """Load the loops; where this machine has not compiled them yet, another process does so first.

    What a process has just compiled and what it loads from disk agree to a few units in the last place only (sums are
    vectorised differently), and an optimiser makes hundredths of a percent of that. So every process loads.
    """
    if _COMPILES not in os.environ and not _are_compiled():
        command = [sys.executable, "-c", f"from {__name__} import load_kernels; load_kernels()"]
        environment = {**os.environ, _COMPILES: "1"}
        subprocess.run(command, env=environment, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _use_kernels()


def _are_compiled() -> bool:
    """Whether every loop lies on disk, newer than its source."""
    return all(map(_is_compiled, (_rays, _points, _images), ("trace_depths", "scatter", "collect")))


def _is_compiled(module: ModuleType, last: str) -> bool:
    """By the last of the module's loops to be compiled."""
    folder, source = Path(getattr(module, last).stats.cache_path), Path(str(module.__file__))
    found = folder.glob(f"{source.stem}.{last}-*.nbi")
    return any(index.stat().st_mtime > source.stat().st_mtime for index in found)


def _use_kernels() -> None:
    """Call every loop once, on nothing."""
    none, vector, box = np.zeros((0, 3)), np.zeros(3), np.zeros((1, 1, 1), np.float32)
    points, frames = np.zeros((0, 3), np.float32), np.zeros((0, 12), np.float32)
    depths, terms, views = np.zeros((0, 0), np.float32), np.zeros((2, 3), np.float32), np.zeros((0, 0, 5), np.float32)
    origins, places, rasters = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64), np.zeros((0, 7), np.int64)
    level = np.zeros((0, 0, 1, 1), np.float32), np.zeros((0, 3, 0), np.float32), np.zeros((0, 0), np.int64)
    one, nothing, closed = np.float32(1.0), np.zeros(0, np.float32), np.zeros(0, np.bool_)
    with compute_turn:
        _rays.first_hit(box, vector, vector + 1.0, vector - 9.0, vector + 9.0, 0.5)
        _rays.trace_depths(box, vector, vector + 1.0, none, none, depths)
        _points.view(points, frames, one, depths, terms, one, origins, places, views)
        _points.gather(views, places, nothing, 1, nothing)
        _points.scatter(views, places, nothing, nothing)
        _images.spread(nothing, rasters, level, level, places, nothing)
        _images.collect(nothing, places, rasters, closed, level, level, nothing)


def _views(
    machine: Machine, maps: LateralMaps, points_mm: NDArray[np.floating], depths_mm: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Where each field sees each point, and how strongly; shape (fields, points, 5)."""
    frames = np.array([_row(field) for field in maps.fields], np.float32)
    rows = int(np.ceil(float(depths_mm.max(initial=0.0)) * _TERMS_PER_MM)) + 2
    terms = machine.depth_terms(np.arange(rows) / _TERMS_PER_MM).astype(np.float32)
    points = np.ascontiguousarray(points_mm, np.float32)
    views = np.empty((*depths_mm.shape, 5), np.float32)
    sad, per_mm = np.float32(machine.sad_mm), np.float32(_TERMS_PER_MM)
    with compute_turn:
        lost = _points.view(points, frames, sad, depths_mm, terms, per_mm, maps.origins, maps.places, views)
    if lost:
        raise ValueError(f"{lost} points lie outside the box that the lateral maps were made for.")
    return views


def _row(field: Field) -> list[float]:
    frame = field.frame
    return [*frame.source_mm, *frame.x_axis, *frame.y_axis, *frame.z_axis]
