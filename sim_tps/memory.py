"""Whether this machine has the memory that a grid asks for.

The one idea: what a grid takes follows from its number of voxels, so a grid that is too fine is refused before any work
starts, with the numbers and the spacing that would do. Counted is what is certainly needed at the same time; other
structures and programs take some more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import ceil
from pathlib import Path

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.patient import Structure

DOSE_BYTES = 16
"""Per voxel of a grid that dose is computed on: dose, share of the External, which voxels are inside.

Measured as the highest memory traced, less the kept depths, per voxel: 14 to 18 on 1.7 and 5.1 million voxels.
"""
OPTIMISATION_BYTES = 74
"""Per voxel of a grid that objectives are judged on, most of it for distances from the targets; measured likewise."""
DEPTHS_KEPT_BYTES = 512 * 1024**2
"""Depths on the grids dose was asked for are kept for the next time, while they fit in this."""
VIEW_BYTES = 24
"""Per point that is looked at in every iteration, for each field: how the field sees it (20) and its depth (4)."""

_MEMINFO = Path("/proc/meminfo")


def check_dose_memory(grid: Grid, field_count: int) -> None:
    """Refuse a grid on which dose of so many fields cannot be computed here.

    Raises
    ------
    BadInput
        With the number of voxels, the memory needed and free, and the spacing that would fit.
    """
    depths = min(4 * field_count * grid.size, DEPTHS_KEPT_BYTES)
    _check(grid, DOSE_BYTES * grid.size + depths, "dose")


def check_optimisation_memory(grid: Grid, field_count: int, whole: Sequence[Structure]) -> None:
    """Refuse a grid on which objectives cannot be judged here, likewise; every voxel of ``whole`` is looked at."""
    voxels = sum(structure.volume_cc for structure in whole) / grid.voxel_cc
    _check(grid, OPTIMISATION_BYTES * grid.size + int(VIEW_BYTES * field_count * voxels), "optimisation")


def available_bytes() -> int:
    """Memory that can still be taken without swapping; all of it where the system (macOS) does not say what is free."""
    if _MEMINFO.is_file():
        fields = dict(line.split(":", 1) for line in _MEMINFO.read_text("ascii").splitlines())
        return 1024 * int(fields["MemAvailable"].split()[0])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _check(grid: Grid, needed_bytes: int, purpose: str) -> None:
    free = available_bytes()
    if needed_bytes <= free:
        return
    fits_mm = ceil(10.0 * max(grid.spacing_mm) * (needed_bytes / free) ** (1 / 3)) / 10.0
    spacing = " × ".join(f"{mm:g}" for mm in grid.spacing_mm)
    raise BadInput(
        f"{purpose} on voxels of {spacing} mm: {grid.size:,} voxels need about {needed_bytes / 1e9:,.1f} GB of memory, "
        f"{free / 1e9:,.1f} GB are free. Take a grid of {fits_mm:g} mm or coarser."
    )
