"""DVHs of two Eclipse plans against the curves Eclipse itself exported.

Its dose and contours are taken as they are; a structure is its contours as slabs 2.5 mm thick. Eclipse reads end slices
and small contours in another way, so small structures differ by what that costs, and each limit is near what another
slab calculator reaches for that structure.

References
----------
Pinter et al., Med. Phys. 39 (2012) 6332: SlicerRT, whose test data these are.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim_tps.dvh import DoseVolume
from sim_tps.geometry import Grid
from sim_tps.importers.contours import occupancy
from sim_tps.patient import Role, Structure
from tests.accuracy.checks import Check

LIMITS_PERCENT: Mapping[tuple[str, str], float] = {
    ("Prostate", "PTV"): 0.3,
    ("Prostate", "Rectum"): 0.9,
    ("Prostate", "Bladder"): 0.9,
    ("Prostate", "Femoral Head Lt"): 0.3,
    ("Prostate", "Femoral Head RT"): 0.5,
    ("Prostate", "BODY"): 0.9,
    ("Ent", "PTV1"): 1.6,
    ("Ent", "CTV"): 0.5,
    ("Ent", "GTV"): 3.5,
    ("Ent", "BRSTEM"): 1.5,
    ("Ent", "Optic Chiasm"): 2.5,
    ("Ent", "Optic Nerve-Lt"): 3.0,
    ("Ent", "Optic Nerve - Rt"): 2.5,
    ("Ent", "Orbit - left"): 2.5,
    ("Ent", "Orbit - right"): 2.5,
    ("Ent", "BRAIN"): 0.5,
    ("Ent", "optBRAIN"): 0.5,
    ("Ent", "optOptic"): 4.0,
    ("Ent", "BODY"): 0.9,
}
"""(plan, structure) -> largest vertical distance allowed, percent of volume; structures below 0.2 cc have none."""

_PLANE_DISTANCE_MM, _PIXEL_MM, _BORDER_MM = 2.5, 1.0, 5.0


@dataclass(frozen=True, eq=False)
class EclipseResult:
    """One structure's two curves."""

    plan: str
    structure: str
    dose_gy: NDArray[np.float64]
    eclipse_percent: NDArray[np.float64]
    ours_percent: NDArray[np.float64]
    eclipse_cc: float
    ours_cc: float
    other_percent: float
    """Largest vertical distance of another slab calculator's curve, at every tenth dose (README of the data)."""

    @property
    def limit_percent(self) -> float | None:
        """None where the structure is shown and not judged."""
        return LIMITS_PERCENT.get((self.plan, self.structure))

    @property
    def worst_percent(self) -> float:
        """Largest vertical distance between the curves, percent of volume."""
        return float(np.abs(self.ours_percent - self.eclipse_percent).max())

    @property
    def checks(self) -> tuple[Check, ...]:
        if self.limit_percent is None:
            return ()
        what = f"{self.plan}, {self.structure}: distance of the curves"
        return (Check(what, self.worst_percent, self.limit_percent, "% of volume"),)


def structures_of(shared_data: Path, plan: str) -> list[str]:
    """Everything contoured in a plan ("Prostate" or "Ent")."""
    with np.load(_arrays(shared_data, plan)) as data:
        return data["structure_names"].tolist()


def compare_structure(shared_data: Path, plan: str, structure: str) -> EclipseResult:
    """One structure of one plan, at every dose of Eclipse's table."""
    with np.load(_arrays(shared_data, plan)) as data:
        origin, spacing = data["dose_origin_mm"][::-1], data["dose_spacing_mm"][::-1]
        dose_grid = Grid(tuple(origin), tuple(spacing), data["dose_gy"].shape)
        found = DoseVolume.of(_structure(data, structure), data["dose_gy"], dose_grid)
    folder = shared_data / "slicerrt-eclipse"
    doses, eclipse_percent, eclipse_cc = _curve(folder / f"Eclipse{plan}_DvhTable_Eclipse.csv", structure)
    ours_percent = np.array([100.0 * found.volume_at(dose) / found.volume_cc for dose in doses])
    other = json.loads((folder / f"eclipse_{plan.lower()}_reference_dvh.json").read_text())["structures"][structure]
    return EclipseResult(
        plan,
        structure,
        doses,
        eclipse_percent,
        ours_percent,
        eclipse_cc,
        found.volume_cc,
        other["max_abs_curve_difference_pct"],
    )


def _arrays(shared_data: Path, plan: str) -> Path:
    return shared_data / "slicerrt-eclipse" / f"eclipse_{plan.lower()}.npz"


def _structure(data: Mapping[str, NDArray], name: str) -> Structure:
    """A structure's contours on an image of 1 mm pixels and one slice per plane."""
    points, offsets = data["contour_points_lps_mm"], data["contour_offsets"]
    own = np.flatnonzero(data["contour_structure"] == data["structure_names"].tolist().index(name))
    planes: dict[float, list] = {}
    for ring in own:
        corners = points[offsets[ring] : offsets[ring + 1]].astype(float)
        planes.setdefault(round(float(corners[0, 2]), 3), []).append(corners[:, :2])
    low, high = points.min(axis=0) - _BORDER_MM, points.max(axis=0) + _BORDER_MM
    heights = sorted(planes)
    slices = round((heights[-1] - heights[0]) / _PLANE_DISTANCE_MM) + 1
    shape = (slices, int((high[1] - low[1]) / _PIXEL_MM) + 1, int((high[0] - low[0]) / _PIXEL_MM) + 1)
    spacing = (_PIXEL_MM, _PIXEL_MM, _PLANE_DISTANCE_MM)
    grid = Grid((float(low[0]), float(low[1]), heights[0]), spacing, shape)
    return Structure.from_array(name, Role.OAR, occupancy(planes, grid)[0], grid)


def _curve(path: Path, structure: str) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Doses, percent of volume and the volume; rows whose dose does not rise are misprints in the export, left out."""
    wanted = "".join(c for c in structure if c.isalnum()).lower()
    with path.open() as opened:
        head, *rows = list(csv.reader(opened))
    column = next(i for i, title in enumerate(head) if title.split("_DvhArray Dose")[0].lower() == wanted)
    values = np.array([[float(row[column]), float(row[column + 1])] for row in rows if row[column]])
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(values[:, 0])) > 0.0])
    (volume_cc,) = re.findall(r"% of ([\d.]+) cc", head[column + 1])
    return values[rising, 0], values[rising, 1], float(volume_cc)
