"""Small patients for tests: a water cylinder with a target and an organ, quick to plan."""

from __future__ import annotations

import numpy as np

from sim_tps.geometry import Grid
from sim_tps.patient import Patient, ReferenceDose, Role, Structure

GRID = Grid((-60.0, -60.0, -30.0), (4.0, 4.0, 4.0), (16, 31, 31))


def water_cylinder(patient_id: str = "P1", *, with_reference: bool = False, organ: str = "Rectum") -> Patient:
    """A 110 mm water cylinder along z with a 30 mm target in the middle and a 16 mm organ behind it."""
    z, y, x = np.meshgrid(*(GRID.axes_mm[axis] for axis in (2, 1, 0)), indexing="ij")
    body = x**2 + y**2 <= 55.0**2
    target = x**2 + y**2 + z**2 <= 15.0**2
    behind = x**2 + (y - 28.0) ** 2 + z**2 <= 8.0**2
    structures = {
        "External": Structure.from_array("External", Role.EXTERNAL, body, GRID),
        "PTV": Structure.from_array("PTV", Role.TARGET, target, GRID),
        organ: Structure.from_array(organ, Role.OAR, behind, GRID),
        "Empty": Structure.from_array("Empty", Role.OAR, np.zeros(GRID.shape, bool), GRID),
    }
    hu = np.where(body, 0, -1000).astype(np.int16)
    reference = ReferenceDose("delivered", np.where(target, 60.0, 5.0).astype(np.float32), GRID)
    return Patient(
        patient_id, "water cylinder", GRID, hu, structures, reference_dose=reference if with_reference else None
    )
