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
    names = {
        file.whole_number(item, "ROINumber"): str(item.get("ROIName") or "")
        for item in file.sequence("StructureSetROISequence")
    }
    contours = {file.whole_number(item, "ReferencedROINumber"): item for item in file.sequence("ROIContourSequence")}
    types = {
        file.whole_number(item, "ReferencedROINumber"): str(item.get("RTROIInterpretedType") or "")
        for item in file.sequence("RTROIObservationsSequence")
    }
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
            f"{file.path.name}: a contour of {clean_name(name)!r} has {values.size} numbers, expected x, y, z for each "
            "point."
        )
    return values.reshape(-1, 3)


def _planes(file: DicomFile, name: str, rings: Sequence[NDArray[np.float64]], grid: Grid) -> dict[float, list[Ring]]:
    """Rings by the slice they lie on, checked against the image."""
    planes: dict[float, list[Ring]] = {}
    for ring in rings:
        whom = f"{file.path.name}: a contour of {clean_name(name)!r} at z = {ring[:, 2].mean():g} mm"
        z_mm = _slice_of(whom, ring, grid)
        _require_on_image(whom, ring, grid)
        planes.setdefault(z_mm, []).append(ring[:, :2])
    return planes


def _slice_of(whom: str, ring: NDArray[np.float64], grid: Grid) -> float:
    """The z of the slice that a ring lies on."""
    z_mm, dz, heights = float(ring[:, 2].mean()), grid.spacing_mm[2], grid.axes_mm[2]
    if np.ptp(ring[:, 2]) > OFF_SLICE * dz:
        raise BadInput(f"{whom} is not axial: its z spans {np.ptp(ring[:, 2]):g} mm, expected one plane.")
    nearest = float(heights[np.argmin(np.abs(heights - z_mm))])
    if abs(z_mm - nearest) > OFF_SLICE * dz:
        raise BadInput(
            f"{whom} lies on no slice of the CT (from {heights[0]:g} to {heights[-1]:g} mm, every {dz:g} mm; the "
            f"nearest is {nearest:g} mm). The structure set belongs to another image, or slices are missing."
        )
    return nearest


def _require_on_image(whom: str, ring: NDArray[np.float64], grid: Grid) -> None:
    low, high = ring.min(axis=0), ring.max(axis=0)
    for axis, letter in enumerate("xy"):
        spacing, count = grid.spacing_mm[axis], grid.shape[2 - axis]
        first = grid.origin_mm[axis] - spacing / 2
        last = first + count * spacing
        if low[axis] < first - OUTSIDE_VOXELS * spacing or high[axis] > last + OUTSIDE_VOXELS * spacing:
            raise BadInput(
                f"{whom} lies outside the image: {letter} from {low[axis]:g} to {high[axis]:g} mm, the image's from "
                f"{first:g} to {last:g} mm. The structure set belongs to another image."
            )


def _gaps(name: str, heights: Sequence[float], thickness_mm: float) -> Iterator[Finding]:
    """Planes without a contour between planes with one: two separate parts, or forgotten slices."""
    steps = np.diff(heights)
    wide = np.flatnonzero(steps > 1.5 * thickness_mm)
    if wide.size:
        places = ", ".join(f"{heights[i]:g} and {heights[i + 1]:g} mm" for i in wide[:3])
        text = f"{clean_name(name)} has no contour between z = {places}; left empty there."
        yield Finding("contour-gap", text)
