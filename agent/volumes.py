"""The voxels a report needs: the image, the best plan's dose, and the structures as occupancy, each cropped to its box.

The one idea: fetch once while the plan is still there, keep it small, and never need the server again. The image and
the dose keep their own grids; nothing is resampled before it is drawn.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.plain import from_plain, to_plain
from bridge import INTENDED_USE, model

_OCCUPANCY_STEPS = 255
"""Occupancy is kept in one byte: 0.4 % of a voxel is far below what a contour shows."""
_ROOM_MM = 10.0
"""Image kept around the patient."""


@dataclass(frozen=True, eq=False)
class Volumes:
    """What is drawn: one image, one dose, and structures by label. Structures keep the order they were asked for."""

    image: model.Volume
    dose: model.Volume
    masks: Mapping[str, model.Volume]


@dataclass(frozen=True, eq=False)
class ReferencePlan:
    """A dose that came with the patient; shown beside the plan that was made, never as a pass mark."""

    label: str
    dose: model.DoseInfo
    dvhs: Mapping[str, model.Dvh]
    prescription_note: str = ""
    """The prescription found in the patient's own data, in words; empty where there is none."""


class Reader(Protocol):
    """The reads of `bridge.client` that are needed here; a session has them too."""

    def image(self, patient: str) -> model.Volume: ...
    def dose(self, plan: str) -> model.Volume: ...
    def mask(self, structure: str) -> model.Volume: ...
    def patients(self) -> Iterable[model.Patient]: ...
    def plans(self, patient: str) -> Iterable[model.Plan]: ...
    def dvh(self, plan: str, structure: str) -> model.Dvh: ...


def fetch_volumes(reader: Reader, patient: str, plan: str, structures: Iterable[model.Structure]) -> Volumes:
    """Image, dose and contours for the report; helper, support and empty structures are left out."""
    image = reader.image(patient)
    shown = [s for s in structures if not s.empty and s.role not in _NOT_DRAWN]
    masks = {s.label: cropped(reader.mask(s.name)) for s in shown}
    external = next((masks[s.label] for s in shown if s.role is model.StructureRole.EXTERNAL), None)
    if external is not None:
        image = cut_to(image, external.grid, _ROOM_MM)
    return Volumes(image, reader.dose(plan), masks)


def fetch_reference(reader: Reader, patient: str, structures: Iterable[model.Structure]) -> ReferencePlan | None:
    """The first plan of the patient whose dose was imported, with its DVHs; None where there is none."""
    for plan in reader.plans(patient):
        if plan.dose.kind is model.DoseKind.IMPORTED:
            shown = [s for s in structures if not s.empty and s.role not in _NOT_DRAWN]
            dvhs = {s.label: reader.dvh(plan.name, s.name) for s in shown}
            note = next((each.prescription_note for each in reader.patients() if each.name == patient), None)
            return ReferencePlan(plan.label, plan.dose, dvhs, (note or "").rstrip("."))
    return None


_NOT_DRAWN = (model.StructureRole.HELPER, model.StructureRole.SUPPORT)


def axes_mm(grid: model.Grid) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Voxel-centre coordinates along x, y and z."""
    x, y, z = (
        origin + spacing * np.arange(count, dtype=np.float64)
        for origin, spacing, count in zip(grid.origin_mm, grid.spacing_mm, grid.size, strict=True)
    )
    return x, y, z


def cropped(volume: model.Volume) -> model.Volume:
    """The box of the voxels that are not zero, with one voxel of zeros around it where the grid has one."""
    inside = volume.values > 0
    spans = []
    for axis in range(3):
        where = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        if not where.size:
            return _part(volume, ((0, 1), (0, 1), (0, 1)))
        spans.append((max(0, int(where[0]) - 1), min(inside.shape[axis], int(where[-1]) + 2)))
    return _part(volume, (spans[0], spans[1], spans[2]))


def cut_to(volume: model.Volume, box: model.Grid, room_mm: float) -> model.Volume:
    """The part of ``volume`` within ``room_mm`` of another grid's box."""
    spans = []
    for axis in (2, 1, 0):
        low = box.origin_mm[axis] - room_mm
        high = box.origin_mm[axis] + box.spacing_mm[axis] * (box.size[axis] - 1) + room_mm
        where = np.flatnonzero((axes_mm(volume.grid)[axis] >= low) & (axes_mm(volume.grid)[axis] <= high))
        spans.append((int(where[0]), int(where[-1]) + 1) if where.size else (0, volume.values.shape[2 - axis]))
    return _part(volume, (spans[0], spans[1], spans[2]))


Span = tuple[int, int]


def _part(volume: model.Volume, spans: tuple[Span, Span, Span]) -> model.Volume:
    (z0, z1), (y0, y1), (x0, x1) = spans
    first = (x0, y0, z0)
    x, y, z = (o + s * f for o, s, f in zip(volume.grid.origin_mm, volume.grid.spacing_mm, first, strict=True))
    grid = model.Grid((x, y, z), volume.grid.spacing_mm, (x1 - x0, y1 - y0, z1 - z0))
    return model.Volume(grid, np.ascontiguousarray(volume.values[z0:z1, y0:y1, x0:x1]), volume.dose)


def save_volumes(volumes: Volumes, path: Path) -> None:
    """Write one compressed ``.npz``: ``image`` (int16 HU), ``dose`` (float32 Gy), ``mask_N`` (uint8, 255 = inside).

    ``header`` is JSON: the intended use, the grids, what the dose is, and the structure labels in the order of N.
    """
    arrays: dict[str, NDArray[Any]] = {
        "image": np.rint(volumes.image.values).astype(np.int16),
        "dose": volumes.dose.values.astype(np.float32),
    }
    for number, mask in enumerate(volumes.masks.values()):
        arrays[f"mask_{number}"] = np.rint(np.clip(mask.values, 0, 1) * _OCCUPANCY_STEPS).astype(np.uint8)
    header = {
        "intended_use": INTENDED_USE,
        "image": to_plain(volumes.image.grid),
        "dose": to_plain(volumes.dose.grid),
        "dose_info": to_plain(volumes.dose.dose),
        "masks": [{"label": label, "grid": to_plain(mask.grid)} for label, mask in volumes.masks.items()],
    }
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, header=np.asarray(json.dumps(header)), **arrays)


def load_volumes(path: Path) -> Volumes:
    """Read what `save_volumes` wrote; a `ValueError` says when the file is not one of those or is damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            header = json.loads(str(stored["header"]))
            info = None if header["dose_info"] is None else from_plain(model.DoseInfo, header["dose_info"])
            masks = {
                entry["label"]: model.Volume(
                    from_plain(model.Grid, entry["grid"]),
                    stored[f"mask_{number}"].astype(np.float32) / _OCCUPANCY_STEPS,
                )
                for number, entry in enumerate(header["masks"])
            }
            image = model.Volume(from_plain(model.Grid, header["image"]), stored["image"].astype(np.float32))
            return Volumes(image, model.Volume(from_plain(model.Grid, header["dose"]), stored["dose"], info), masks)
    except (KeyError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"{path.name} is not a readable volumes file ({error}).") from error
