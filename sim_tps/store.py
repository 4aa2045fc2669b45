"""Where patients and committed plans live: one SQLite file, arrays beside it.

An array file is named for the SHA-256 of its content and is complete before any row points at it; rows change in one
transaction. So a crash at any moment leaves either the old state or the new one, and a damaged array is noticed when
it is read. Array files nothing points at are removed when the store is opened.
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from sim_tps.errors import DamagedData, NotFound
from sim_tps.geometry import Grid
from sim_tps.patient import Finding, Patient, ReferenceDose, Role, Structure
from sim_tps.plan import Dose, Plan, PlanSettings

DATABASE = "beamwright.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS patients (id TEXT PRIMARY KEY, record TEXT NOT NULL, arrays TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS helpers (
    patient TEXT NOT NULL REFERENCES patients(id), name TEXT NOT NULL, record TEXT NOT NULL, arrays TEXT NOT NULL,
    PRIMARY KEY (patient, name));
CREATE TABLE IF NOT EXISTS plans (
    patient TEXT NOT NULL REFERENCES patients(id), id TEXT NOT NULL, record TEXT NOT NULL, arrays TEXT NOT NULL,
    PRIMARY KEY (patient, id));
"""


@dataclass(frozen=True)
class _StructureRecord:
    name: str
    role: Role
    first_voxel: tuple[int, int, int]
    cut_by_image_edge: bool


@dataclass(frozen=True)
class _PatientRecord:
    id: str
    label: str
    grid: Grid
    structures: tuple[_StructureRecord, ...]
    findings: tuple[Finding, ...]
    prescription_note: str | None
    provenance: dict[str, str]
    reference_label: str | None
    reference_grid: Grid | None


@dataclass(frozen=True)
class _PlanRecord:
    settings: PlanSettings
    revision: int
    dose_revision: int | None
    scale: float
    values: tuple[tuple[str, float], ...]
    dose_grid: Grid | None
    dose_kind: str
    dose_algorithm: str
    raw_beam_mu: tuple[float, ...] = ()
    findings: tuple[str, ...] = ()


_PATIENT = TypeAdapter(_PatientRecord)
_PLAN = TypeAdapter(_PlanRecord)
_STRUCTURE = TypeAdapter(_StructureRecord)


class Store:
    """Patients and committed plans in a folder."""

    def __init__(self, folder: Path) -> None:
        self._arrays = folder / "arrays"
        self._arrays.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / DATABASE, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.executescript(_SCHEMA)
        self._remove_orphans()

    def close(self) -> None:
        self._db.close()

    # patients ---------------------------------------------------------------------------------------------------

    def patient_ids(self) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT id FROM patients ORDER BY id")]

    def save_patient(self, patient: Patient) -> None:
        """Add a patient, or replace one that has no plans."""
        arrays = {"hu": patient.hu} | {f"s/{name}": s.occupancy for name, s in patient.structures.items()}
        reference = patient.reference_dose
        if reference is not None:
            arrays["reference"] = reference.dose_gy
        record = _PatientRecord(
            patient.id,
            patient.label,
            patient.grid,
            tuple(_structure_record(s) for s in patient.structures.values()),
            patient.findings,
            patient.prescription_note,
            dict(patient.provenance),
            reference.label if reference else None,
            reference.grid if reference else None,
        )
        row = (patient.id, _PATIENT.dump_json(record), self._write(arrays))
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO patients VALUES (?, ?, ?)", row)

    def load_patient(self, patient_id: str) -> Patient:
        """The patient as imported."""
        row = self._db.execute("SELECT record, arrays FROM patients WHERE id = ?", (patient_id,)).fetchone()
        if row is None:
            raise NotFound(f"no patient {patient_id!r} here; there are {self.patient_ids()}.")
        record, arrays = _PATIENT.validate_json(row[0]), self._read(row[1])
        structures = {r.name: _structure(r, arrays[f"s/{r.name}"], record.grid) for r in record.structures}
        reference = None
        if record.reference_label is not None and record.reference_grid is not None:
            reference = ReferenceDose(record.reference_label, arrays["reference"], record.reference_grid)
        return Patient(
            record.id,
            record.label,
            record.grid,
            arrays["hu"],
            structures,
            record.findings,
            reference,
            record.prescription_note,
            record.provenance,
        )

    # plans and helper structures --------------------------------------------------------------------------------

    def load_helpers(self, patient_id: str, grid: Grid) -> list[Structure]:
        rows = self._db.execute("SELECT record, arrays FROM helpers WHERE patient = ? ORDER BY name", (patient_id,))
        return [
            _structure(_STRUCTURE.validate_json(record), self._read(arrays)["occupancy"], grid)
            for record, arrays in rows
        ]

    def load_plans(self, patient_id: str) -> list[Plan]:
        rows = self._db.execute("SELECT record, arrays FROM plans WHERE patient = ? ORDER BY id", (patient_id,))
        return [_plan(_PLAN.validate_json(record), self._read(arrays)) for record, arrays in rows]

    def commit(self, patient_id: str, plans: Sequence[Plan], helpers: Sequence[Structure]) -> None:
        """Make these the patient's plans and helper structures, all or nothing."""
        plan_rows = [
            (patient_id, p.settings.id, _PLAN.dump_json(_plan_record(p)), self._write(_plan_arrays(p))) for p in plans
        ]
        helper_rows = [
            (patient_id, s.name, _STRUCTURE.dump_json(_structure_record(s)), self._write({"occupancy": s.occupancy}))
            for s in helpers
        ]
        with self._transaction():
            self._db.execute("DELETE FROM plans WHERE patient = ?", (patient_id,))
            self._db.execute("DELETE FROM helpers WHERE patient = ?", (patient_id,))
            self._db.executemany("INSERT INTO plans VALUES (?, ?, ?, ?)", plan_rows)
            self._db.executemany("INSERT INTO helpers VALUES (?, ?, ?, ?)", helper_rows)

    # arrays -----------------------------------------------------------------------------------------------------

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)

    def _write(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
        """Put arrays into a file named for their content; returns the name."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{key.replace("/", "|"): value for key, value in arrays.items()})  # type: ignore[arg-type]
        content = buffer.getvalue()
        name = hashlib.sha256(content).hexdigest() + ".npz"
        target = self._arrays / name
        if not target.exists():
            partial = target.with_suffix(".partial")
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(target)
            _sync_folder(self._arrays)
        return name

    def _read(self, name: str) -> dict[str, Any]:
        try:
            content = (self._arrays / name).read_bytes()
        except FileNotFoundError:
            raise DamagedData(
                f"the array file {name} is missing from the data folder; restore it from a backup."
            ) from None
        if hashlib.sha256(content).hexdigest() + ".npz" != name:
            raise DamagedData(f"the array file {name} is damaged (its content changed); restore a backup.")
        with np.load(io.BytesIO(content)) as archive:
            return {key.replace("|", "/"): archive[key] for key in archive.files}

    def _remove_orphans(self) -> None:
        used = {
            row[0]
            for row in self._db.execute(
                "SELECT arrays FROM patients UNION SELECT arrays FROM plans UNION SELECT arrays FROM helpers"
            )
        }
        for file in self._arrays.iterdir():
            if file.name not in used:
                file.unlink()


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK when the block fails."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, failed: object, *_: object) -> None:
        self._db.execute("ROLLBACK" if failed else "COMMIT")


def _sync_folder(folder: Path) -> None:
    """Make a renamed file's new name outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _structure_record(structure: Structure) -> _StructureRecord:
    return _StructureRecord(structure.name, structure.role, structure.first_voxel, structure.cut_by_image_edge)


def _structure(record: _StructureRecord, occupancy: Any, grid: Grid) -> Structure:
    return Structure(record.name, record.role, occupancy, record.first_voxel, grid, record.cut_by_image_edge)


def _plan_record(plan: Plan) -> _PlanRecord:
    dose = plan.raw_dose
    return _PlanRecord(
        plan.settings,
        plan.revision,
        plan.dose_revision,
        plan.scale,
        plan.values,
        dose.grid if dose else None,
        dose.kind if dose else "",
        dose.algorithm if dose else "",
        plan.raw_beam_mu,
        plan.findings,
    )


def _plan_arrays(plan: Plan) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    if plan.fluence is not None:
        arrays["fluence"] = plan.fluence
    if plan.raw_dose is not None:
        arrays["dose"] = plan.raw_dose.gy
    return arrays


def _plan(record: _PlanRecord, arrays: Mapping[str, Any]) -> Plan:
    dose = None
    if record.dose_grid is not None:
        dose = Dose(arrays["dose"], record.dose_grid, record.dose_kind, record.dose_algorithm)
    return Plan(
        record.settings,
        record.revision,
        arrays.get("fluence"),
        dose,
        record.dose_revision,
        record.scale,
        record.values,
        record.raw_beam_mu,
        record.findings,
    )
