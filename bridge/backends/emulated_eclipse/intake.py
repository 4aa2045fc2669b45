"""New emulated patients: the simulator's, or a phantom that cannot be mistaken for its mirror image.

The one idea: what is written is the record that the emulation reads, built from plain data and changed by whoever wants
an unusual one: `add_plan` takes any key of a plan's record, so approved, treated or unprescribed plans need no function
of their own. Write while no process serves the folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from bridge.backends.emulated_eclipse import hospital
from bridge.backends.emulated_eclipse.arrays import Thing
from bridge.backends.emulated_eclipse.hospital import Hospital
from bridge.backends.emulated_eclipse.options import FILE, Options
from bridge.backends.emulated_eclipse.orientation import orientation as lies
from bridge.backends.emulated_eclipse.plans import DOSE_CALCULATION, TARGET_TYPES
from sim_tps.cases import make_case
from sim_tps.errors import NotFound, Refused
from sim_tps.geometry import Grid, Vector
from sim_tps.patient import Patient, Role, Structure

COURSE = "C1"
STRUCTURE_SET = IMAGE = "CT"
MODELS = {
    DOSE_CALCULATION: "AAA_18.0.1",
    "PhotonIMRTOptimization": "PO_18.0.1",
    "PhotonLeafMotions": "SMARTLMC_18.0.1",
}
"""Calculation models of a new plan: those an emulated 18.0 site has."""
ASYMMETRIC = Grid((-58.0, -47.0, -36.0), (4.0, 3.0, 5.0), (18, 35, 29))
"""No two of its sides, voxel sizes or voxel counts are equal, nor is its middle at 0."""

Record = dict[str, Any]

_TYPES = {Role.EXTERNAL: "EXTERNAL", Role.SUPPORT: "SUPPORT", Role.HELPER: "CONTROL", Role.OAR: "ORGAN"}


def write_options(folder: Path, options: Options) -> None:
    """Say how the folder's department calculates."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(asdict(options), indent=1), "utf-8")


def make_patient(
    folder: Path,
    case: str | Patient,
    patient_id: str,
    *,
    seed: int | None = None,
    first_name: str = "Emulated",
    last_name: str = "Patient",
    sex: str = "Other",
    orientation: str = "HeadFirstSupine",
    dicom_types: Mapping[str, str] | None = None,
) -> Record:
    """Write a new emulated patient, with one course and no plans; returns the record.

    Parameters
    ----------
    case
        A built-in case's name, with its ``seed``, or any patient of the simulator.
    orientation
        How the patient lies. The anatomy keeps its DICOM coordinates; the image's own voxel order follows.
    dicom_types
        Structure -> DICOM type, where it is not what the simulator's role says.
    """
    patient = make_case(case, seed) if isinstance(case, str) else case
    drawn = {f"segment-{uuid4().hex}": s for s in patient.structures.values() if not s.is_empty}
    handles: dict[str, str] = {structure.name: handle for handle, structure in drawn.items()}
    types = {**{s.name: _dicom_type(s) for s in patient.structures.values()}, **(dicom_types or {})}
    structures = [structure_record(s, types[s.name], handles.get(s.name)) for s in patient.structures.values()]
    record: Record = {
        "id": patient_id,
        "first_name": first_name,
        "last_name": last_name,
        "sex": sex,
        "orientation": orientation,
        "image": {"id": IMAGE, **lies(orientation).geometry(patient.grid)},
        "structure_sets": [{"id": STRUCTURE_SET, "image": IMAGE, "structures": structures}],
        "courses": [{"id": COURSE, "plans": []}],
    }
    things: dict[str, Thing] = dict(drawn)
    hospital.create(folder, record, patient.hu, things)
    return record


def make_asymmetric_patient(folder: Path, patient_id: str, orientation: str = "HeadFirstSupine") -> Record:
    """Write the phantom of `asymmetric_phantom` as an emulated patient."""
    return make_patient(folder, asymmetric_phantom(), patient_id, orientation=orientation)


def asymmetric_phantom() -> Patient:
    """A water block with a dense marker left-anterior-superior, a target, and organs named for the side they are on."""
    grid = ASYMMETRIC
    z, y, x = np.meshgrid(*(grid.axes_mm[axis] for axis in (2, 1, 0)), indexing="ij")
    body = (np.abs(x + 2.0) <= 48.0) & (np.abs(y - 4.0) <= 42.0) & (np.abs(z - 6.5) <= 36.0)
    marker = ((x - 28.0) / 12.0) ** 2 + ((y + 20.0) / 9.0) ** 2 + ((z - 29.0) / 10.0) ** 2 <= 1.0
    drawn = {
        "External": (Role.EXTERNAL, body),
        "PTV": (Role.TARGET, x**2 + y**2 + z**2 <= 14.0**2),
        "Left": (Role.OAR, (x - 30.0) ** 2 + (y - 4.0) ** 2 + (z - 4.0) ** 2 <= 11.0**2),
        "Anterior": (Role.OAR, x**2 + (y + 26.0) ** 2 + (z - 4.0) ** 2 <= 10.0**2),
        "Superior": (Role.OAR, x**2 + (y - 4.0) ** 2 + (z - 30.0) ** 2 <= 11.0**2),
        "Marker": (Role.OAR, marker),
        "Empty": (Role.OAR, np.zeros(grid.shape, bool)),
    }
    structures = {name: Structure.from_array(name, role, inside, grid) for name, (role, inside) in drawn.items()}
    hu = np.where(marker, 1200, np.where(body, 0, -1000)).astype(np.int16)
    return Patient("asymmetric", "asymmetric water phantom", grid, hu, structures)


def add_plan(
    folder: Path,
    patient_id: str,
    plan_id: str,
    *,
    course: str = COURSE,
    target: str,
    gantry_deg: Sequence[float] = (0.0, 120.0, 240.0),
    isocentre_mm: Vector | None = None,
    fractions: int | None = 25,
    dose_per_fraction_gy: float | None = 2.0,
    dose_grid_mm: float | None = None,
    models: Mapping[str, str] = MODELS,
    **changes: Any,
) -> Record:
    """Write a plan of static beams into an emulated patient; returns its record.

    Parameters
    ----------
    course
        Made where the patient has none of that id.
    isocentre_mm
        The target's centre where absent.
    dose_grid_mm
        The image's voxels where absent.
    changes
        Any keys of the plan's record with other values, e.g. ``approval="TreatmentApproved"``, ``beams=[]``.
    """
    chart = Hospital(folder).open(patient_id)
    record: Record = json.loads(json.dumps(chart.record))
    centre = isocentre_mm or _centre(record, target)
    plan = {
        **plan_record(plan_id, target=target, fractions=fractions, dose_per_fraction_gy=dose_per_fraction_gy),
        "orientation": record["orientation"],
        "models": dict(models),
        "options": _grid_options(models, dose_grid_mm, Hospital(folder).options),
        "beams": [beam_record(number, angle, centre) for number, angle in enumerate(gantry_deg, start=1)],
    }
    unknown = sorted(set(changes) - set(plan))
    if unknown:
        raise NotFound(f"a plan's record has no {unknown[0]!r}; it has {', '.join(plan)}.")
    plan.update(changes)
    _course(record, course)["plans"].append(plan)
    chart.save(record)
    return plan


def add_structure(folder: Path, patient_id: str, structure_id: str, dicom_type: str = "CONTROL") -> Record:
    """Write a structure without a segment into an emulated patient's structure set."""
    chart = Hospital(folder).open(patient_id)
    record: Record = json.loads(json.dumps(chart.record))
    empty = Structure.from_array(structure_id, Role.HELPER, np.zeros(chart.grid.shape, bool), chart.grid)
    structure = structure_record(empty, dicom_type, None)
    record["structure_sets"][0]["structures"].append(structure)
    chart.save(record)
    return structure


def structure_record(structure: Structure, dicom_type: str, segment: str | None) -> Record:
    return {
        "id": structure.name,
        "dicom_type": dicom_type,
        "segment": segment,
        "volume_cc": structure.volume_cc,
        "centre": None if structure.is_empty else list(structure.centre_mm()),
        "high_resolution": False,
        "approved": False,
    }


def plan_record(plan_id: str, *, target: str, fractions: int | None, dose_per_fraction_gy: float | None) -> Record:
    """A plan without beams, objectives and dose."""
    return {
        "id": plan_id,
        "uid": f"2.25.{uuid4().int}",
        "name": "",
        "comment": "",
        "structure_set": STRUCTURE_SET,
        "approval": "UnApproved",
        "treated": False,
        "fractions": fractions,
        "dose_per_fraction_gy": dose_per_fraction_gy,
        "treatment_ratio": 1.0,
        "target": target,
        "normalization": 100.0,
        "orientation": "HeadFirstSupine",
        "models": {},
        "options": {},
        "beams": [],
        "objectives": [],
        "jaw_tracking": False,
        "fluence": None,
        "dose": None,
        "dose_valid": False,
        "dose_kind": "",
        "created": datetime.now(UTC).isoformat(),
    }


def beam_record(number: int, gantry_deg: float, isocentre_mm: Sequence[float], **changes: Any) -> Record:
    """A static open field."""
    return {
        "id": f"Field {number}",
        "number": number,
        "machine": "TrueBeam1",
        "energy": "6X",
        "dose_rate": 600,
        "technique": "STATIC",
        "gantry_deg": gantry_deg,
        "gantry_stop_deg": None,
        "collimator_deg": 0.0,
        "couch_deg": 0.0,
        "isocentre": list(isocentre_mm),
        "jaws": [-100.0, -100.0, 100.0, 100.0],
        "weight": 1.0,
        "mlc": "MLC120",
        "mu": None,
        "setup": False,
        "control_points": 2,
        "logs": [],
        **changes,
    }


def objective_record(kind: str, structure: str, operator: str = "Upper", **numbers: Any) -> Record:
    """An objective; ``numbers`` are dose_gy, volume_percent, a, priority, nto."""
    blank = {"dose_gy": None, "volume_percent": None, "a": None, "priority": 100.0, "nto": None}
    return {"kind": kind, "structure": structure, "operator": operator, **blank, **numbers}


def _dicom_type(structure: Structure) -> str:
    if structure.role is not Role.TARGET:
        return _TYPES[structure.role]
    return next((kind for kind in TARGET_TYPES if structure.name.upper().startswith(kind)), "PTV")


def _centre(record: Record, target: str) -> Vector:
    structures = {s["id"]: s for s in record["structure_sets"][0]["structures"]}
    if target not in structures:
        raise NotFound(f"patient {record['id']!r} has no structure {target!r}; it has {sorted(structures)}.")
    centre = structures[target]["centre"]
    if centre is None:
        raise Refused(f"target {target!r} has no contours; give isocentre_mm.")
    x, y, z = centre
    return x, y, z


def _course(record: Record, course_id: str) -> Record:
    for course in record["courses"]:
        if course["id"] == course_id:
            found: Record = course
            return found
    made: Record = {"id": course_id, "plans": []}
    record["courses"].append(made)
    return made


def _grid_options(models: Mapping[str, str], dose_grid_mm: float | None, options: Options) -> dict[str, dict[str, str]]:
    if dose_grid_mm is None or DOSE_CALCULATION not in models:
        return {}
    return {models[DOSE_CALCULATION]: {options.grid_option: f"{dose_grid_mm / 10.0:g}"}}
