"""The planning image -> a CT series, one file a slice.

HU are stored as they are (signed, rescale 1 and 0), so nothing is lost and nothing is clipped.

References
----------
DICOM PS3.3, A.3 (CT Image IOD), C.7.6.2 (image plane), C.8.2.1 (CT image).
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from sim_tps.exporters.dicom_object import AXIAL, Study, number, numbers, sealed
from sim_tps.patient import Patient

SOFT_TISSUE_WINDOW_HU = (40, 400)
"""Centre and width that viewers open with; the usual one for the abdomen."""


def ct_slices(study: Study, patient: Patient) -> list[Dataset]:
    """The image's slices in order, inferior first."""
    return [_slice(study, patient, index) for index in range(patient.grid.shape[0])]


def _slice(study: Study, patient: Patient, index: int) -> Dataset:
    x, y, _ = patient.grid.origin_mm
    dx, dy, dz = patient.grid.spacing_mm
    z = float(patient.grid.axes_mm[2][index])
    made = study.new_object(CTImageStorage, "CT")
    made.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    made.ImageComments = study.intended_use
    made.PatientPosition = "HFS"
    made.KVP = ""
    made.AcquisitionNumber = ""
    made.InstanceNumber = index + 1
    made.ImagePositionPatient = numbers((x, y, z))
    made.ImageOrientationPatient = AXIAL
    made.PixelSpacing = numbers((dy, dx))  # between rows, then between columns
    made.SliceThickness = number(dz)
    made.SliceLocation = number(z)
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.Rows, made.Columns = patient.hu.shape[1:]
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = 0, 1, "HU"
    made.WindowCenter, made.WindowWidth = SOFT_TISSUE_WINDOW_HU
    made.PixelData = patient.hu[index].astype("<i2").tobytes()
    return sealed(made)
