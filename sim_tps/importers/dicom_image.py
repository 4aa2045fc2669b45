"""A CT series -> voxel grid and HU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.importers.dicom_file import DicomFile
from sim_tps.patient import Finding

SPACING_TOLERANCE = 0.02
"""Slice gaps may differ from their median by this share of it: rounding in the file, not a missing slice."""
SAME_PLACE_MM = 0.01


def read_image(slices: Sequence[DicomFile]) -> tuple[Grid, NDArray[np.int16], list[Finding]]:
    """Grid and HU [z, y, x] of one series, in order of position, and what is unusual about it."""
    for file in slices:
        file.require_axial()
    ordered = sorted(slices, key=lambda file: float(file.numbers("ImagePositionPatient", 3)[2]))
    grid = _grid(ordered)
    hu = np.stack([_hu(file, grid) for file in ordered])
    return grid, hu, _findings(ordered, grid)


def _grid(ordered: Sequence[DicomFile]) -> Grid:
    first = ordered[0]
    spacing = first.numbers("PixelSpacing", 2)
    if not (spacing > 0.0).all():
        raise BadInput(f"{first.path.name}: PixelSpacing is {spacing.tolist()}, expected more than 0 mm.")
    rows, columns = int(first.number("Rows")), int(first.number("Columns"))
    positions = np.array([file.numbers("ImagePositionPatient", 3) for file in ordered])
    for file, position in zip(ordered, positions, strict=True):
        same = np.abs(position[:2] - positions[0, :2]).max() <= SAME_PLACE_MM
        if not same or (int(file.number("Rows")), int(file.number("Columns"))) != (rows, columns):
            raise BadInput(
                f"{file.path.name}: a slice of another size or place than {first.path.name} "
                f"({file.text('Rows')} x {file.text('Columns')} at {position.tolist()}); expected one stack."
            )
        if np.abs(file.numbers("PixelSpacing", 2) - spacing).max() > 1e-4 * spacing.max():
            raise BadInput(
                f"{file.path.name}: PixelSpacing differs from that of {first.path.name}; expected one stack."
            )
    dz = _slice_spacing(ordered, positions[:, 2])
    # PixelSpacing is ordered (between rows, between columns): y, then x.
    x, y, z = positions[0].tolist()
    return Grid((x, y, z), (float(spacing[1]), float(spacing[0]), dz), (len(ordered), rows, columns))


def _slice_spacing(ordered: Sequence[DicomFile], z_mm: NDArray[np.float64]) -> float:
    if z_mm.size < 2:
        raise BadInput(f"{ordered[0].path.name}: the only slice of its series, expected at least two.")
    gaps = np.diff(z_mm)
    usual = float(np.median(gaps))
    odd = np.flatnonzero(np.abs(gaps - usual) > SPACING_TOLERANCE * usual)
    if (gaps <= SAME_PLACE_MM).any():
        at = int(np.argmin(gaps))
        names = f"{ordered[at].path.name} and {ordered[at + 1].path.name}"
        raise BadInput(f"two slices at z = {z_mm[at]:g} mm ({names}), expected one; take the other out of the folder.")
    if odd.size:
        places = ", ".join(f"z = {z_mm[i]:g} and {z_mm[i + 1]:g} mm ({gaps[i]:g} mm)" for i in odd[:5])
        raise BadInput(
            f"CT series from {ordered[0].path.name}: slices are {usual:g} mm apart, but not between {places}. A slice "
            "is missing, or the spacing changes; export the whole series with even spacing."
        )
    return float((z_mm[-1] - z_mm[0]) / (z_mm.size - 1))


def _hu(file: DicomFile, grid: Grid) -> NDArray[np.int16]:
    kind = file.text("RescaleType")
    if kind not in ("", "HU"):
        raise BadInput(f"{file.path.name}: RescaleType is {kind!r}, expected HU; export the CT in Hounsfield units.")
    stored = file.pixels()
    if stored.shape != grid.shape[1:]:
        raise BadInput(f"{file.path.name}: pixels of shape {stored.shape}, expected {grid.shape[1:]}.")
    hu = np.rint(stored * file.number("RescaleSlope") + file.number("RescaleIntercept"))
    limits = np.iinfo(np.int16)
    if hu.min() < limits.min or hu.max() > limits.max:
        raise BadInput(f"{file.path.name}: values from {hu.min():g} to {hu.max():g}, beyond anything in HU.")
    return hu.astype(np.int16)


def _findings(ordered: Sequence[DicomFile], grid: Grid) -> list[Finding]:
    first, findings = ordered[0], []
    position = first.text("PatientPosition")
    if position not in ("", "HFS"):
        raise BadInput(f"{first.path.name}: PatientPosition is {position!r}, expected HFS (head first supine).")
    if not position:
        findings.append(
            Finding("position-missing", "The CT does not say how the patient lay; taken as head first supine.")
        )
    thickness = first.data.get("SliceThickness")
    if thickness is not None and abs(float(thickness) - grid.spacing_mm[2]) > SPACING_TOLERANCE * grid.spacing_mm[2]:
        text = (
            f"The CT gives a slice thickness of {float(thickness):g} mm, but its slices are {grid.spacing_mm[2]:g} mm "
            "apart; the positions are used."
        )
        findings.append(Finding("slice-thickness-differs", text))
    return findings
