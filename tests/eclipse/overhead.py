"""What the adapter costs on top of ESAPI: microseconds per property, milliseconds per DVH, seconds per large dose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bridge.backends.emulated_eclipse import intake
from bridge.backends.emulated_eclipse.options import Options
from sim_tps.geometry import Grid
from sim_tps.patient import Patient, Role, Structure
from tests.eclipse.emulated import FULL, REPOSITORY, Eclipse, models

SIZE = (200, 256, 256)
"""Planes, rows and columns of the dose."""
SPACING_MM = (1.6, 1.6, 1.6)
LIMIT_S = 900.0


def measure(folder: Path) -> dict[str, Any]:
    """Figures of one run in a process of its own."""
    _furnish(folder / "hospital")
    site = Eclipse(FULL, folder)
    site.configure(chunk_iterations="0")
    environment = {**os.environ, "BEAMWRIGHT_EMULATION": str(site.settings_file)}
    child = subprocess.run(
        [sys.executable, "-m", "tests.eclipse.overhead_probe", str(site.ini_file)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if child.returncode:
        raise RuntimeError(f"the probe ended with status {child.returncode}:\n{child.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return figures


def _furnish(hospital: Path) -> None:
    """One patient: a block of water that fills the image, so that the dose is as large."""
    hospital.mkdir(parents=True)
    intake.write_options(hospital, Options(beamlet_mm=15.0, optimization_grid_mm=8.0, iterations=5))
    intake.make_patient(hospital, _large_block(), "LARGE")
    intake.add_plan(
        hospital, "LARGE", "Clinic", target="PTV", gantry_deg=(0,), models=models(FULL.version), dose_grid_mm=None
    )


def _large_block() -> Patient:
    planes, rows, columns = SIZE
    origin = tuple(-0.5 * (count - 1) * step for count, step in zip((columns, rows, planes), SPACING_MM, strict=True))
    grid = Grid(origin, SPACING_MM, SIZE)  # type: ignore[arg-type]
    x, y, z = grid.axes_mm
    body = np.ones(SIZE, bool)
    target = x**2 + y[:, None] ** 2 + z[:, None, None] ** 2 <= 25.0**2
    drawn = {"External": (Role.EXTERNAL, body), "PTV": (Role.TARGET, target)}
    structures = {name: Structure.from_array(name, role, inside, grid) for name, (role, inside) in drawn.items()}
    return Patient("large", "large block of water", grid, np.zeros(SIZE, np.int16), structures)
