"""RTDOSE files -> the dose that came with the patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.importers.dicom_file import DicomFile
from sim_tps.patient import Finding, ReferenceDose

GRID_TOLERANCE_MM = 0.01


def reference_dose(
    files: Sequence[DicomFile], slices: Sequence[DicomFile]
) -> tuple[ReferenceDose | None, list[Finding]]:
    """The plan's dose, else the sum of its beams' doses, and what was left out.

    Raises
    ------
    BadInput
        When a dose is in other units than Gy, lies in another frame of reference, or cannot be put on a grid.
    """
    findings: list[Finding] = []
    filled: list[tuple[DicomFile, ReferenceDose]] = []
    frame = slices[0].text("FrameOfReferenceUID")
    for file in files:
        dose = read_dose(file)
        if frame and file.text("FrameOfReferenceUID") not in ("", frame):
            raise BadInput(f"{file.path.name}: the dose is in another frame of reference than the CT; take it out.")
        if dose.dose_gy.any():
            filled.append((file, dose))
        else:
            text = (
                f"The {file.text('DoseSummationType') or 'RTDOSE'} dose in {file.path.name} is 0 everywhere: left out."
            )
            findings.append(Finding("dose-placeholder", text))
    plans = [dose for file, dose in filled if file.text("DoseSummationType") == "PLAN"]
    beams = [dose for file, dose in filled if file.text("DoseSummationType") == "BEAM"]
    if plans:
        if len(filled) > 1:
            text = f"{len(filled)} doses came with the patient; shown is the first of {len(plans)} plan doses."
            findings.append(Finding("doses-ignored", text))
        return plans[0], findings
    if beams:
        text = f"No plan dose came with the patient: the doses of {len(beams)} beams are added up."
        findings.append(Finding("dose-summed", text))
        return _sum(beams), findings
    if filled:
        kinds = sorted({file.text("DoseSummationType") for file, _ in filled})
        text = (
            f"{len(filled)} doses of kind {', '.join(kinds)} are left out; a PLAN dose, or BEAM doses, would be shown."
        )
        findings.append(Finding("doses-ignored", text))
    return None, findings


def read_dose(file: DicomFile) -> ReferenceDose:
    """One RTDOSE as Gy on its grid."""
    units, kind = file.text("DoseUnits"), file.text("DoseType")
    if units != "GY":
        raise BadInput(f"{file.path.name}: DoseUnits is {units!r}, expected GY; a relative dose cannot be compared.")
    if kind == "ERROR":
        raise BadInput(f"{file.path.name}: DoseType is ERROR, a dose difference, expected PHYSICAL or EFFECTIVE.")
    file.require_axial()
    frames = file.numbers("GridFrameOffsetVector")
    stored = file.pixels()
    stored = stored[None] if stored.ndim == 2 else stored
    if stored.shape[0] != frames.size:
        raise BadInput(f"{file.path.name}: {stored.shape[0]} dose planes, but {frames.size} plane positions.")
    x, y, z = file.numbers("ImagePositionPatient", 3).tolist()
    # Offsets are relative to the first plane (which then has 0), or are patient coordinates (which start at z).
    z_mm = frames + z if frames[0] == 0.0 else frames
    steps = np.diff(z_mm)
    if steps.size and np.abs(steps - steps[0]).max() > GRID_TOLERANCE_MM:
        raise BadInput(
            f"{file.path.name}: dose planes {steps.min():g} to {steps.max():g} mm apart, expected even spacing."
        )
    values = stored * file.number("DoseGridScaling")
    if steps.size and steps[0] < 0.0:
        values, z_mm = values[::-1], z_mm[::-1]
    spacing = file.numbers("PixelSpacing", 2)
    dz = abs(float(steps[0])) if steps.size else float(spacing[0])
    grid = Grid((x, y, float(z_mm[0])), (float(spacing[1]), float(spacing[0]), dz), values.shape)
    label = f"{file.text('Manufacturer')} {file.text('DoseSummationType').lower()} dose".strip()
    return ReferenceDose(label, np.ascontiguousarray(values, np.float32), grid)


def _sum(doses: Sequence[ReferenceDose]) -> ReferenceDose:
    first = doses[0]
    for dose in doses[1:]:
        same = np.allclose(dose.grid.origin_mm, first.grid.origin_mm, atol=GRID_TOLERANCE_MM) and np.allclose(
            dose.grid.spacing_mm, first.grid.spacing_mm, atol=GRID_TOLERANCE_MM
        )
        if not same or dose.grid.shape != first.grid.shape:
            raise BadInput("the beams' doses lie on different grids; export the plan dose instead.")
    total = np.sum([dose.dose_gy for dose in doses], axis=0, dtype=np.float32)
    return ReferenceDose(f"sum of {len(doses)} beam doses", total, first.grid)
