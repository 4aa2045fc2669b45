"""The cases both engines plan: image, structures, beams and objectives, written to one file for the peer to read.

Objectives are pyRadPlan's: priority × mean squared violation over a structure's voxels on the dose grid. A voxel counts
for one structure only: the first in the case's order that holds it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim_tps.cases import make_case
from sim_tps.geometry import Grid, Vector
from sim_tps.patient import Role, Structure
from sim_tps.plan import Objective, ObjectiveType

SHARED_DATA = Path(os.environ.get("BEAMWRIGHT_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
NINE = tuple(float(angle) for angle in range(0, 360, 40))
OPENKBP_PATIENT = "pt_66"
"""Three dose levels, and the voxels (4.69 × 4.69 × 3 mm) most of that set has."""

Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Case:
    """One planning problem."""

    name: str
    source: str
    """Where the patient comes from, in words."""
    grid: Grid
    hu: NDArray[np.int16]
    masks: Masks
    """On the image; first targets, then organs, the body last."""
    targets: tuple[str, ...]
    objectives: tuple[Objective, ...]
    gantry_deg: tuple[float, ...]
    dose_spacing_mm: Vector
    changed_objectives: tuple[Objective, ...] = ()
    """The same after one changed priority, where re-optimising is measured."""
    beamlet_mm: float = 5.0
    peer_iterations: int = 500
    """Cap of the peer's optimisation; 500 is its own default."""

    @property
    def body(self) -> str:
        return list(self.masks)[-1]

    @property
    def isocentre_mm(self) -> Vector:
        inside = np.logical_or.reduce([self.masks[name] for name in self.targets])
        return Structure.from_array("targets", Role.TARGET, inside, self.grid).centre_mm()


def tg119() -> Case:
    """TG-119's C shape, matRad's own example objectives; a re-optimisation protects the core more."""
    file = SHARED_DATA / "tg119" / "tg119.npz"
    target, core, body = names = ("OuterTarget", "Core", "BODY")
    if file.is_file():
        grid, hu, found = _read(file)
        source = "CORT's TG-119 phantom as matRad ships it"
    else:
        patient = make_case("tg119")
        grid, hu, found = patient.grid, patient.hu, {name: s.mask() for name, s in patient.structures.items()}
        source = f"built-in TG-119 (no {file})"
    objectives = (
        *_wanted(target, 50.0),
        _upper(core, 25.0, 300.0),
        _upper(body, 30.0, 100.0),
    )
    changed = tuple(replace(o, priority=1000.0) if o.structure == core else o for o in objectives)
    masks = {name: found[name] for name in names}
    return Case("tg119", source, grid, hu, masks, (target,), objectives, NINE, (3.0, 3.0, 3.0), changed)


def openkbp() -> Case:
    """A head and neck patient with three dose levels, on the image's own voxels."""
    grid, hu, found = _read(SHARED_DATA / "openkbp" / f"{OPENKBP_PATIENT}.npz")
    levels = {"PTV70": 70.0, "PTV63": 63.0, "PTV56": 56.0}
    limits = {
        "SpinalCord": (40.0, 300.0),
        "Brainstem": (45.0, 300.0),
        "RightParotid": (20.0, 100.0),
        "LeftParotid": (20.0, 100.0),
        "Larynx": (40.0, 50.0),
        "Mandible": (65.0, 100.0),
        "External_derived": (45.0, 300.0),
    }
    objectives = [objective for name, dose_gy in levels.items() for objective in _wanted(name, dose_gy)]
    objectives += [_upper(name, dose_gy, priority) for name, (dose_gy, priority) in limits.items()]
    masks = {name: found[name] for name in (*levels, *limits)}
    source = f"OpenKBP {OPENKBP_PATIENT}"
    return Case("openkbp", source, grid, hu, masks, tuple(levels), tuple(objectives), NINE, grid.spacing_mm)


def many_beams(count: int = 180) -> Case:
    """A prostate in an elliptic cylinder of water, 360 mm × 240 mm, with beams from all round."""
    grid = Grid((-197.5, -137.5, -120.0), (5.0, 5.0, 5.0), (49, 56, 80))
    z, y, x = np.meshgrid(*reversed(grid.axes_mm), indexing="ij", sparse=True)
    masks = {
        "PTV": (x / 30) ** 2 + (y / 25) ** 2 + (z / 30) ** 2 <= 1,
        "Rectum": (x / 15) ** 2 + ((y - 42) / 15) ** 2 + (z / 50) ** 2 <= 1,
        "Bladder": (x / 40) ** 2 + ((y + 35) / 30) ** 2 + ((z - 40) / 25) ** 2 <= 1,
        "Body": np.broadcast_to((x / 180) ** 2 + (y / 120) ** 2 <= 1, grid.shape),
    }
    objectives = (
        *_wanted("PTV", 78.0),
        _upper("Rectum", 50.0, 300.0),
        _upper("Bladder", 50.0, 300.0),
        _upper("Body", 40.0, 100.0),
    )
    hu = np.where(masks["Body"], 0, -1000).astype(np.int16)
    gantry = tuple(360.0 * n / count for n in range(count))
    source = f"prostate in water, {count} beams"
    return Case(
        f"prostate-{count}", source, grid, hu, masks, ("PTV",), objectives, gantry, (5.0, 5.0, 5.0), peer_iterations=50
    )


CASES: Mapping[str, Callable[[], Case]] = {"tg119": tg119, "openkbp": openkbp, "prostate-180": many_beams}


def write(case: Case, path: Path) -> None:
    """The case as the peer reads it."""
    request = {
        "origin_mm": case.grid.origin_mm,
        "spacing_mm": case.grid.spacing_mm,
        "structures": [
            {"name": name, "type": _type(case, name), "overlap_priority": n} for n, name in enumerate(case.masks)
        ],
        "gantry_deg": case.gantry_deg,
        "isocentre_mm": case.isocentre_mm,
        "bixel_mm": case.beamlet_mm,
        "dose_spacing_mm": case.dose_spacing_mm,
        "prescribed_gy": max(o.dose_gy for o in case.objectives),
        "max_iterations": case.peer_iterations,
        "objectives": [_plain(o) for o in case.objectives],
    }
    if case.changed_objectives:
        request["changed_objectives"] = [_plain(o) for o in case.changed_objectives]
    packed = {f"mask_{n}": np.packbits(mask) for n, mask in enumerate(case.masks.values())}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, hu=case.hu, request=json.dumps(request), **packed)


def _read(path: Path) -> tuple[Grid, NDArray[np.int16], Masks]:
    with np.load(path) as file:
        hu = file["ct_hu"]
        z, y, x = (float(size) for size in file["voxel_size_mm"])
        z0, y0, x0 = (float(o) for o in file["origin_mm"]) if "origin_mm" in file.files else (0.0, 0.0, 0.0)
        rows = zip(file["structure_names"], file["structure_masks"], strict=True)
        masks = {str(name): np.unpackbits(row, count=hu.size).reshape(hu.shape).astype(bool) for name, row in rows}
    return Grid((x0, y0, z0), (x, y, z), hu.shape), hu, masks


def _wanted(structure: str, dose_gy: float) -> tuple[Objective, Objective]:
    """The dose a target should have, neither less nor more."""
    return (
        Objective(f"{structure}-min", ObjectiveType.MIN, structure, 1000.0, dose_gy),
        Objective(f"{structure}-max", ObjectiveType.MAX, structure, 1000.0, dose_gy),
    )


def _upper(structure: str, dose_gy: float, priority: float) -> Objective:
    return Objective(f"{structure}-max", ObjectiveType.MAX, structure, priority, dose_gy)


def _type(case: Case, name: str) -> str:
    if name in case.targets:
        return "TARGET"
    return "EXTERNAL" if name == case.body else "OAR"


def _plain(objective: Objective) -> dict[str, str | float]:
    return {
        "structure": objective.structure,
        "form": objective.type.value,
        "dose_gy": objective.dose_gy,
        "priority": objective.priority,
    }
