"""Patients from npz files: a CT in HU, packed masks, and sometimes a dose.

Arrays are [z, y, x], z growing to superior, y to posterior, x to the patient's left.

    ct_hu               integer (nz, ny, nx)           HU
    voxel_size_mm       (3,)                           ordered z, y, x
    structure_names     strings (n,)
    structure_masks     uint8 (n, ceil(nz ny nx / 8))  each row ``numpy.packbits`` of a flattened mask
    origin_mm           (3,), optional                 centre of voxel 0, ordered z, y, x; absent: 0, 0, 0
    reference_dose_gy   (nz, ny, nx), optional         Gy over all fractions
    meta                JSON string, optional          ``dataset``, ``id``, ``fractions``, ``prescription_gy``
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.importers.assembly import Reading, Region, assemble, patient_id
from sim_tps.naming import tg263_name
from sim_tps.patient import Finding, Patient, ReferenceDose

REQUIRED = ("ct_hu", "voxel_size_mm", "structure_names", "structure_masks")
NOT_STRUCTURES = {"possible_dose_mask": "it says where the set's own dose may be other than 0, not what is anatomy"}
VOXEL_MM = (0.1, 20.0)
"""Voxel sizes that an image for planning can have; outside them the unit is likely wrong (metres, micrometres)."""

_Arrays = Mapping[str, NDArray[np.generic]]


def import_npz(path: Path, *, id: str | None = None) -> Patient:
    """Read one patient from an npz file; see the module for its keys."""
    arrays = _arrays(path)
    hu = _hu(path, arrays)
    grid = _grid(path, arrays, hu.shape)
    regions, findings = _regions(path, arrays, grid)
    meta = _meta(path, arrays)
    reading = Reading(
        source=path.name,
        label=" ".join(str(meta[key]) for key in ("dataset", "id") if key in meta) or "npz",
        grid=grid,
        hu=hu,
        regions=regions,
        findings=findings,
        reference_dose=_reference_dose(path, arrays, grid),
        prescription_note=_prescription(meta, regions),
        provenance={"format": "npz", **{k: str(meta[k]) for k in ("dataset", "id", "licence") if k in meta}},
    )
    return assemble(patient_id(id or path.stem), reading)


def _arrays(path: Path) -> _Arrays:
    try:
        # Opened here, because numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as opened:
            arrays = {key: opened[key] for key in opened.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(
            f"{path.name}: not a readable npz file ({error}); it may be cut short. Copy it again."
        ) from error
    missing = [key for key in REQUIRED if key not in arrays]
    if missing:
        raise BadInput(f"{path.name}: no {', '.join(missing)}; it has {sorted(arrays)}, expected {list(REQUIRED)}.")
    return arrays


def _hu(path: Path, arrays: _Arrays) -> NDArray[np.int16]:
    hu = arrays["ct_hu"]
    if hu.ndim != 3 or hu.size == 0:
        raise BadInput(f"{path.name}: ct_hu of shape {hu.shape}, expected three axes z, y, x.")
    if not np.issubdtype(hu.dtype, np.integer):
        raise BadInput(f"{path.name}: ct_hu of type {hu.dtype}, expected whole HU (int16); round and convert them.")
    limits = np.iinfo(np.int16)
    if hu.min() < limits.min or hu.max() > limits.max:
        raise BadInput(f"{path.name}: ct_hu from {hu.min()} to {hu.max()}, beyond anything in HU.")
    return hu.astype(np.int16)


def _grid(path: Path, arrays: _Arrays, shape: tuple[int, ...]) -> Grid:
    spacing = _three_numbers(path, arrays, "voxel_size_mm")
    if not ((spacing >= VOXEL_MM[0]) & (spacing <= VOXEL_MM[1])).all():
        raise BadInput(f"{path.name}: voxel_size_mm is {spacing.tolist()}, expected {VOXEL_MM[0]} to {VOXEL_MM[1]} mm.")
    origin = _three_numbers(path, arrays, "origin_mm") if "origin_mm" in arrays else np.zeros(3)
    dz, dy, dx = spacing.tolist()
    z, y, x = origin.tolist()
    return Grid((x, y, z), (dx, dy, dz), (shape[0], shape[1], shape[2]))


def _three_numbers(path: Path, arrays: _Arrays, key: str) -> NDArray[np.float64]:
    value = arrays[key]
    if value.shape != (3,) or not (np.issubdtype(value.dtype, np.floating) or np.issubdtype(value.dtype, np.integer)):
        raise BadInput(f"{path.name}: {key} of shape {value.shape} and type {value.dtype}, expected numbers z, y, x.")
    if not np.isfinite(value.astype(np.float64)).all():
        raise BadInput(f"{path.name}: {key} is {value.tolist()}, expected finite numbers.")
    return value.astype(np.float64)


def _regions(path: Path, arrays: _Arrays, grid: Grid) -> tuple[list[Region], list[Finding]]:
    names, masks = arrays["structure_names"], arrays["structure_masks"]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise BadInput(f"{path.name}: structure_names of type {names.dtype} {names.shape}, expected a list of strings.")
    expected = (names.size, -(-grid.size // 8))
    if masks.dtype != np.uint8 or masks.shape != expected:
        raise BadInput(
            f"{path.name}: structure_masks of type {masks.dtype} {masks.shape}, expected uint8 {expected}: one row of "
            f"numpy.packbits for each of {names.size} names on an image of {grid.shape}."
        )
    regions, findings = [], []
    for name, row in zip(names.tolist(), masks, strict=True):
        if name in NOT_STRUCTURES:
            findings.append(Finding("structure-ignored", f"{name} is left out: {NOT_STRUCTURES[name]}."))
            continue
        mask = np.unpackbits(row, count=grid.size).reshape(grid.shape).astype(bool)
        regions.append(Region(name, None, mask))
    return regions, findings


def _reference_dose(path: Path, arrays: _Arrays, grid: Grid) -> ReferenceDose | None:
    if "reference_dose_gy" not in arrays:
        return None
    dose = arrays["reference_dose_gy"]
    if dose.shape != grid.shape or not np.issubdtype(dose.dtype, np.floating):
        raise BadInput(
            f"{path.name}: reference_dose_gy of type {dose.dtype} {dose.shape}, expected numbers on the "
            f"image's {grid.shape}."
        )
    if not np.isfinite(dose).all() or dose.min() < 0.0:
        raise BadInput(f"{path.name}: reference_dose_gy holds negative or non-finite values, expected Gy from 0 up.")
    return ReferenceDose("reference dose of the data set", dose.astype(np.float32), grid)


def _meta(path: Path, arrays: _Arrays) -> dict[str, object]:
    if "meta" not in arrays:
        return {}
    try:
        meta = json.loads(str(arrays["meta"]))
    except json.JSONDecodeError as error:
        raise BadInput(f"{path.name}: meta is not JSON ({error}).") from error
    if not isinstance(meta, dict):
        raise BadInput(f"{path.name}: meta is a JSON {type(meta).__name__}, expected an object.")
    return meta


def _prescription(meta: Mapping[str, object], regions: list[Region]) -> str | None:
    """The set's own prescription in words: from ``meta``, else from dose levels in the targets' names."""
    fractions = f" in {meta['fractions']} fractions" if "fractions" in meta else ""
    if "prescription_gy" in meta:
        return (
            f"{meta['prescription_gy']:g} Gy{fractions}" if isinstance(meta["prescription_gy"], int | float) else None
        )
    levels = []
    for region in regions:
        name = tg263_name(region.label) or ""
        if name.startswith("PTV_") and name[4:].isdigit():
            levels.append(f"{int(name[4:]) / 100:g} Gy to {name}")
    return f"{', '.join(levels)}{fractions} (by the targets' names)" if levels else None
