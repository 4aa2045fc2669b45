"""An RTSTRUCT -> structures as occupancy of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.importers.assembly import Region
from sim_tps.importers.contours import Ring, occupancy
from sim_tps.importers.dicom_file import DicomFile
from sim_tps.naming import clean_name
from sim_tps.patient import Finding, Role

ROLES = {
    "EXTERNAL": Role.EXTERNAL,
    "PTV": Role.TARGET,
    "CTV": Role.TARGET,
    "GTV": Role.TARGET,
    "ORGAN": Role.OAR,
    "AVOIDANCE": Role.OAR,
    "SUPPORT": Role.SUPPORT,
    "FIXATION": Role.SUPPORT,
    "BOLUS": Role.SUPPORT,
    "CONTROL": Role.HELPER,
    "TREATED_VOLUME": Role.HELPER,
    "IRRAD_VOLUME": Role.HELPER,
    "DOSE_REGION": Role.HELPER,
    "CONTRAST_AGENT": Role.HELPER,
    "CAVITY": Role.OAR,
}
"""RTROIInterpretedType (3006,00A4) -> role; any other says nothing, and the role is guessed from the name."""
OFF_SLICE = 0.2
"""A plane may lie this share of the slice spacing beside its slice: rounding, not another image."""
OUTSIDE_VOXELS = 1.0
"""Corners may lie this many voxels outside the image: outlines drawn along its edge do."""

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read_structures(file: DicomFile, slices: Sequence[DicomFile], grid: Grid) -> tuple[list[Region], list[Finding]]:
    """The set's structures on the image, and what was left out of it."""
    _require_same_frame(file, slices[0])
    names = {int(item.ROINumber): str(item.get("ROIName") or "") for item in file.items("StructureSetROISequence")}
    types = {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType") or "")
        for item in file.items("RTROIObservationsSequence")
    }
    contours = {int(item.ReferencedROINumber): item for item in file.items("ROIContourSequence")}
    if not names:
        raise BadInput(
            f"{file.path.name}: no StructureSetROISequence, so no structures; export the structure set again."
        )
    regions, findings = [], []
    for number, name in names.items():
        drawn, left_out = _rings(file, name, contours.get(number, Dataset()))
        if left_out:
            findings.append(Finding("contours-ignored", f"{clean_name(name)}: {left_out} were left out."))
        if not drawn and left_out:
            continue
        planes = _planes(file, name, drawn, grid)
        filled, thickness_mm = occupancy(planes, grid) if planes else (np.zeros(grid.shape, np.float32), 0.0)
        findings.extend(_gaps(name, sorted(planes), thickness_mm))
        regions.append(Region(name, ROLES.get(types.get(number, "")), filled))
    return regions, findings


def _require_same_frame(file: DicomFile, image: DicomFile) -> None:
    frame, named = image.text("FrameOfReferenceUID"), file.frames_of_reference() - {""}
    if frame and named and frame not in named:
        raise BadInput(
            f"{file.path.name}: drawn in frame of reference {sorted(named)[0]}, but the CT ({image.path.name}) is in "
            f"{frame}; expected the same. Export the structure set that belongs to this CT."
        )


def _rings(file: DicomFile, name: str, item: Dataset) -> tuple[list[NDArray[np.float64]], str]:
    """Closed rings of one structure as (n, 3) points in mm, each once, and in words what else there was."""
    rings: list[NDArray[np.float64]] = []
    other, tiny, repeated = 0, 0, 0
    seen: set[bytes] = set()
    for contour in item.get("ContourSequence") or []:
        if str(contour.get("ContourGeometricType")) not in _CLOSED:
            other += 1
            continue
        points = _points(file, name, contour)
        if len(points) < 3:
            tiny += 1
        elif points.tobytes() in seen:
            repeated += 1  # even-odd would make the doubled ring a hole
        else:
            seen.add(points.tobytes())
            rings.append(points)
    counts = ((other, "points or open lines"), (tiny, "rings of less than three points"), (repeated, "repeated rings"))
    return rings, ", ".join(f"{count} {word}" for count, word in counts if count)


def _points(file: DicomFile, name: str, contour: Dataset) -> NDArray[np.float64]:
    values = np.asarray(contour.get("ContourData") or [], np.float64)
    if values.size % 3 or not np.isfinite(values).all():
        raise BadInput(
            f"{file.path.name}: a contour of {clean_name(name)!r} has {values.size} numbers, expected x, y, z for each point."
        )
    return values.reshape(-1, 3)


def _planes(file: DicomFile, name: str, rings: Sequence[NDArray[np.float64]], grid: Grid) -> dict[float, list[Ring]]:
    """Rings by the slice they lie on, checked against the image."""
    planes: dict[float, list[Ring]] = {}
    axes_z, dz = grid.axes_mm[2], grid.spacing_mm[2]
    low = np.array(grid.origin_mm[:2]) - (0.5 + OUTSIDE_VOXELS) * np.array(grid.spacing_mm[:2])
    high = low + (np.array(grid.shape[:0:-1]) + 2 * OUTSIDE_VOXELS) * np.array(grid.spacing_mm[:2])
    for ring in rings:
        z_mm = float(ring[:, 2].mean())
        index = int(np.clip(np.rint((z_mm - grid.origin_mm[2]) / dz), 0, grid.shape[0] - 1))
        whom = f"{file.path.name}: a contour of {clean_name(name)!r} at z = {z_mm:g} mm"
        if np.ptp(ring[:, 2]) > OFF_SLICE * dz:
            raise BadInput(f"{whom} is not axial: its z spans {np.ptp(ring[:, 2]):g} mm, expected one plane.")
        if abs(z_mm - axes_z[index]) > OFF_SLICE * dz:
            raise BadInput(
                f"{whom} lies on no slice of the CT (slices from {axes_z[0]:g} to {axes_z[-1]:g} mm, every {dz:g} mm; the "
                f"nearest is {axes_z[index]:g} mm). The structure set belongs to another image, or slices are missing."
            )
        if (ring[:, :2] < low).any() or (ring[:, :2] > high).any():
            raise BadInput(
                f"{whom} lies outside the image: x {ring[:, 0].min():g} to {ring[:, 0].max():g}, y {ring[:, 1].min():g} to "
                f"{ring[:, 1].max():g} mm, image x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g} mm. The structure "
                "set belongs to another image."
            )
        planes.setdefault(float(axes_z[index]), []).append(ring[:, :2])
    return planes


def _gaps(name: str, heights: Sequence[float], thickness_mm: float) -> Iterator[Finding]:
    """Planes without a contour between planes with one: two separate parts, or forgotten slices."""
    steps = np.diff(heights)
    wide = np.flatnonzero(steps > 1.5 * thickness_mm)
    if wide.size:
        places = ", ".join(f"{heights[i]:g} and {heights[i + 1]:g} mm" for i in wide[:3])
        text = f"{clean_name(name)} has no contour between z = {places}; left empty there."
        yield Finding("contour-gap", text)
