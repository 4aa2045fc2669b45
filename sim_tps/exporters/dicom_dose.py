"""The plan's dose -> an RTDOSE on the dose's own grid.

References
----------
DICOM PS3.3, A.18 (RT Dose IOD), C.8.8.3 (RT dose).
"""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import RTDoseStorage

from sim_tps.errors import BadInput
from sim_tps.exporters.dicom_object import AXIAL, Study, long, number, numbers, reference, sealed
from sim_tps.plan import Dose

STEPS = 2**32 - 1
"""Of the highest dose: stored as 32-bit integers, so rounding is far below that of the dose itself (float32)."""
KINDS = {
    "intermediate": "INTERMEDIATE: from optimised fluence, before leaf sequencing",
    "final": "FINAL: from the plan's control points",
    "imported": "IMPORTED: came with the patient",
}
"""What a dose is, in words that fit DoseComment."""


def plan_dose(study: Study, dose: Dose, plan: Dataset, structure_set: Dataset) -> Dataset:
    """The sum of all beams and fractions in Gy.

    Parameters
    ----------
    plan
        The RT plan the dose belongs to; it is named (PS3.3 asks for it), whether it is exported or not.
    """
    if not np.isfinite(dose.gy).all() or dose.gy.min() < 0.0 or dose.gy.max() <= 0.0:
        raise BadInput(
            f"dose from {dose.gy.min():g} to {dose.gy.max():g} Gy, expected finite numbers from 0 up, not all 0; "
            "calculate the dose again."
        )
    dx, dy, dz = dose.grid.spacing_mm
    scaling = number(float(dose.gy.max()) / STEPS * (1.0 + 1e-9))  # rounding must not push the maximum over the top
    made = study.new_object(RTDoseStorage, "RTDOSE")
    made.ImageComments = study.intended_use
    made.ImagePositionPatient = numbers(dose.grid.origin_mm)
    made.ImageOrientationPatient = AXIAL
    made.PixelSpacing = numbers((dy, dx))  # between rows, then between columns
    made.SliceThickness = number(dz)
    made.InstanceNumber = 1
    made.NumberOfFrames, made.Rows, made.Columns = dose.gy.shape
    made.FrameIncrementPointer = Tag("GridFrameOffsetVector")
    made.GridFrameOffsetVector = numbers(dz * index for index in range(dose.gy.shape[0]))
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 32, 32, 31, 0
    made.DoseUnits, made.DoseType, made.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    made.DoseComment = long(KINDS[dose.kind])
    made.TissueHeterogeneityCorrection = "IMAGE"
    made.DoseGridScaling = scaling
    made.ReferencedRTPlanSequence = [reference(plan)]
    made.ReferencedStructureSetSequence = [reference(structure_set)]
    made.PixelData = np.rint(dose.gy / np.float64(scaling)).astype("<u4").tobytes()
    return sealed(made)
