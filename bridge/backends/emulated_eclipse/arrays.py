"""What handles name, and how it is written to a file: segments, fluences, doses.

The one idea: such a thing never changes once it is made, so a handle may be copied with a plan and a file written once.
Anything smaller than an array goes into the same `.npz` as JSON.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from bridge.backends.emulated_eclipse.plans import Geometry
from sim_tps.errors import DamagedData
from sim_tps.geometry import Grid
from sim_tps.patient import Role, Structure
from sim_tps.plan import Dose


@dataclass(frozen=True, eq=False)
class Fluence:
    """What an optimisation found, and the beams and targets it is bound to."""

    weights: NDArray[np.float32]
    """One per beamlet, beams in a row."""
    geometry: Geometry


Thing = Structure | Fluence | Dose
KINDS = {"segment": Structure, "fluence": Fluence, "dose": Dose}
"""How a handle begins -> what it names. A segment is a structure whose name and role do not matter."""


@dataclass(frozen=True)
class _DoseFacts:
    grid: Grid
    kind: str
    algorithm: str


_GEOMETRY = TypeAdapter(Geometry)
_DOSE = TypeAdapter(_DoseFacts)


def write_thing(path: Path, thing: Thing) -> None:
    write_arrays(path, _packed(thing))


def read_thing(path: Path, handle: str, image: Grid) -> Thing:
    """The thing in a file; segments are drawn on ``image``."""
    content = read_arrays(path)
    if handle.startswith("segment"):
        z, y, x = (int(index) for index in content["first_voxel"])
        cut = bool(content["cut_by_image_edge"])
        return Structure(handle, Role.HELPER, content["occupancy"], (z, y, x), image, cut)
    facts = bytes(content["facts"])
    if handle.startswith("fluence"):
        return Fluence(content["weights"], _GEOMETRY.validate_json(facts))
    dose = _DOSE.validate_json(facts)
    return Dose(content["gy"], dose.grid, dose.kind, dose.algorithm)


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write an `.npz` that is complete as soon as it has its name."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_file(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DamagedData(f"{path} is missing; the emulated patient's folder is damaged, make the patient anew.")
    with np.load(path) as archive:
        return {key: archive[key] for key in archive.files}


def write_file(path: Path, content: bytes) -> None:
    """Write a file aside, then give it its name: whoever reads sees the old one or the new one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _packed(thing: Thing) -> dict[str, NDArray[Any]]:
    match thing:
        case Structure():
            return {
                "occupancy": thing.occupancy,
                "first_voxel": np.array(thing.first_voxel),
                "cut_by_image_edge": np.array(thing.cut_by_image_edge),
            }
        case Fluence():
            return {"weights": thing.weights, "facts": _bytes(_GEOMETRY.dump_json(thing.geometry))}
        case Dose():
            return {
                "gy": thing.gy,
                "facts": _bytes(_DOSE.dump_json(_DoseFacts(thing.grid, thing.kind, thing.algorithm))),
            }


def _bytes(text: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(text, np.uint8)
