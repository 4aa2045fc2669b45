"""The emulated department's patients: one folder each, with a record and the arrays that its handles name.

The one idea: the record is the truth, and arrays are written before the record that names them. The record takes its
place in one rename, so a save that is killed leaves the old patient; arrays that no record names are removed by the
next save. What was made since a patient was opened and not saved is named nowhere, so it ends with the process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from bridge.backends.emulated_eclipse.arrays import (
    KINDS,
    Thing,
    read_arrays,
    read_thing,
    write_arrays,
    write_file,
    write_thing,
)
from bridge.backends.emulated_eclipse.options import read_options
from bridge.backends.emulated_eclipse.orientation import orientation
from sim_tps.errors import NotFound, Refused
from sim_tps.patient import Patient, Role, Structure
from sim_tps.plan import Dose

RECORD, IMAGE = "record.json", "image.npz"
DOSE_BYTES_HELD = 256 * 1024**2
"""Doses of one patient in memory; a session makes dozens, so the oldest make room and are read again when asked for."""

Record = Mapping[str, Any]
_T = TypeVar("_T", bound=Thing)


class Hospital:
    """All patients of a folder; those asked for stay open."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotFound(f"no folder of emulated patients at {folder}; make one with emulated_eclipse.intake.")
        self.folder = folder
        self.options = read_options(folder)
        self._open: dict[str, Chart] = {}

    def records(self) -> list[Record]:
        """Every patient's saved record."""
        return [_read_record(path.parent) for path in sorted(self.folder.glob(f"*/{RECORD}"))]

    def open(self, patient_id: str) -> Chart:
        """The patient as saved; what was not saved is forgotten."""
        folder = self.folder / folder_name(patient_id)
        if not (folder / RECORD).is_file():
            raise NotFound(f"no patient {patient_id!r} here; there are {[r['id'] for r in self.records()]}.")
        self._open[patient_id] = Chart(folder)
        return self._open[patient_id]

    def chart(self, patient_id: str) -> Chart:
        """The patient as it stands, opened where it is not open yet."""
        return self._open.get(patient_id) or self.open(patient_id)

    def owner(self, handle: str) -> Chart:
        """The open patient that a handle belongs to."""
        for chart in self._open.values():
            if chart.has(handle):
                return chart
        raise NotFound(f"no open patient has {handle!r}; it was not saved, or its patient has not been opened.")


class Chart:
    """One open patient."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.record = _read_record(folder)
        self.lies = orientation(self.record["orientation"])
        self.grid = self.lies.grid(self.record["image"])
        self.hu: NDArray[np.int16] = read_arrays(folder / IMAGE)["hu"]
        self._things: dict[str, Thing] = {}
        self._on_disk = set(_handles(self.record))
        self._structures: dict[tuple[str, str | None, str], Structure] = {}

    @property
    def id(self) -> str:
        return str(self.record["id"])

    def keep(self, thing: Thing) -> str:
        """A handle for something new."""
        kind = next(name for name, made in KINDS.items() if isinstance(thing, made))
        handle = f"{kind}-{uuid4().hex}"
        self._hold(handle, thing)
        return handle

    def has(self, handle: str) -> bool:
        return handle in self._things or handle in self._on_disk

    def thing(self, handle: str, kind: type[_T]) -> _T:
        """What a handle names; it must be of that kind."""
        if not self.has(handle):
            raise NotFound(f"patient {self.id!r} has no {handle!r}; not saved, or the patient was opened anew.")
        if handle not in self._things:
            self._hold(handle, read_thing(self._file(handle), handle, self.grid))
        found = self._things[handle]
        if not isinstance(found, kind):
            raise Refused(f"{handle!r} is a {type(found).__name__.lower()}, expected a {kind.__name__.lower()}.")
        return found

    def structure(self, record: Record) -> Structure:
        """A structure as its record describes it: the same object as long as that stays so."""
        key = (record["id"], record["segment"], record["dicom_type"])
        if key not in self._structures:
            self._structures[key] = self._made(*key)
        return self._structures[key]

    def segment_as(self, name: str, segment: str) -> Structure:
        """A segment under a structure's name."""
        return replace(self.thing(segment, Structure), name=name)

    def patient(self, structures: list[Record]) -> Patient:
        """The simulator's patient with these structures."""
        drawn = {record["id"]: self.structure(record) for record in structures}
        return Patient(self.id, "emulated", self.grid, self.hu, drawn)

    def save(self, record: Record) -> None:
        """Keep a record of this patient and everything it names, or, where that fails, the old one."""
        named = set(_handles(record))
        for handle in sorted(named):
            if not self.has(handle):
                raise NotFound(f"patient {self.id!r}: the record names {handle!r}, which is not here.")
        for handle in sorted(named - self._on_disk):
            self._write(handle)
        _write_record(self._folder, record)
        self.record = record
        for file in self._folder.glob("*-*.npz"):
            if file.stem not in named:
                file.unlink()
        self._on_disk = named

    def _hold(self, handle: str, thing: Thing) -> None:
        """Keep a thing in memory; the oldest doses make room for a new one."""
        self._things[handle] = thing
        doses = [(known, held.gy.nbytes) for known, held in self._things.items() if isinstance(held, Dose)]
        too_many = sum(size for _, size in doses) - DOSE_BYTES_HELD
        for oldest, size in doses[:-1]:
            if too_many <= 0:
                break
            self._write(oldest)
            del self._things[oldest]
            too_many -= size

    def _write(self, handle: str) -> None:
        if handle not in self._on_disk:
            write_thing(self._file(handle), self._things[handle])
            self._on_disk.add(handle)

    def _made(self, name: str, segment: str | None, dicom_type: str) -> Structure:
        role = ROLES.get(dicom_type, Role.OAR)
        if segment is None:
            return Structure.from_array(name, role, np.zeros(self.grid.shape, bool), self.grid)
        return replace(self.thing(segment, Structure), name=name, role=role)

    def _file(self, handle: str) -> Path:
        return self._folder / f"{handle}.npz"


ROLES = {
    "EXTERNAL": Role.EXTERNAL,
    "PTV": Role.TARGET,
    "CTV": Role.TARGET,
    "GTV": Role.TARGET,
    "ORGAN": Role.OAR,
    "SUPPORT": Role.SUPPORT,
    "CONTROL": Role.HELPER,
    "AVOIDANCE": Role.HELPER,
}
"""DICOM type -> what the simulator takes such a structure for."""


def create(folder: Path, record: Record, hu: NDArray[np.int16], things: Mapping[str, Thing]) -> None:
    """Write a new patient into a folder of emulated patients; ``things`` are what the record's handles name."""
    own = folder / folder_name(record["id"])
    if own.exists():
        raise Refused(f"patient {record['id']!r} is already in {folder}; give the new one another id.")
    own.mkdir(parents=True)
    write_arrays(own / IMAGE, {"hu": np.asarray(hu, np.int16)})
    for handle, thing in things.items():
        write_thing(own / f"{handle}.npz", thing)
    _write_record(own, record)


def folder_name(patient_id: str) -> str:
    """A folder's name for any id."""
    return "P" + quote(patient_id, safe="").replace(".", "%2E")


def _read_record(folder: Path) -> Record:
    record: Record = json.loads((folder / RECORD).read_text("utf-8"))
    return record


def _write_record(folder: Path, record: Record) -> None:
    write_file(folder / RECORD, json.dumps(record, ensure_ascii=False, indent=1).encode())


def _handles(part: Any) -> Iterator[str]:
    """Every handle named anywhere in a record."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key in KINDS and isinstance(value, str):
                yield value
            else:
                yield from _handles(value)
    elif isinstance(part, list):
        for item in part:
            yield from _handles(item)
