"""Small synthetic DICOM RT sets, whole or spoilt on purpose: a water cylinder in air with a target in its middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTDoseStorage, RTPlanStorage, RTStructureSetStorage

Points = NDArray[np.float64]

FRAME = "1.2.3.100"
SERIES = "1.2.3.200"
ROWS, COLUMNS, SLICES = 40, 50, 12
SPACING_MM, DZ_MM = 2.0, 3.0
FIRST_MM = (-49.0, -39.0, -16.5)
"""Centre of the first voxel, so that the image is centred on the origin."""

Change = Callable[[Dataset], None]


def circle(radius_mm: float, z_mm: float, centre: tuple[float, float] = (0.0, 0.0), count: int = 240) -> Points:
    """A closed ring of points, (n, 3)."""
    angle = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    x, y = centre[0] + radius_mm * np.cos(angle), centre[1] + radius_mm * np.sin(angle)
    return np.stack([x, y, np.full(count, z_mm)], axis=1)


def heights(first: int = 0, last: int = SLICES) -> list[float]:
    """z of slices ``first`` up to, not including, ``last``."""
    return [FIRST_MM[2] + DZ_MM * index for index in range(first, last)]


def body() -> list[Points]:
    return [circle(30.0, z) for z in heights()]


def target() -> list[Points]:
    return [circle(10.0, z) for z in heights(3, 9)]


def write_ct(folder: Path, *, series: str = SERIES, skip: Sequence[int] = (), change: Change | None = None) -> None:
    """A CT series: a water cylinder of 30 mm radius along z. File names run against the slices' order."""
    x = FIRST_MM[0] + SPACING_MM * np.arange(COLUMNS)
    y = FIRST_MM[1] + SPACING_MM * np.arange(ROWS)
    hu = np.where(x[None, :] ** 2 + y[:, None] ** 2 <= 30.0**2, 0, -1000)
    for index in set(range(SLICES)) - set(skip):
        ds = _dataset(CTImageStorage, f"{series}.{index + 1}", "CT")
        ds.SeriesInstanceUID = series
        ds.ImagePositionPatient = [FIRST_MM[0], FIRST_MM[1], FIRST_MM[2] + DZ_MM * index]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PatientPosition = "HFS"
        ds.PixelSpacing = [SPACING_MM, SPACING_MM]
        ds.SliceThickness = DZ_MM
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
        _set_pixels(ds, (hu + 1024).astype(np.uint16))
        if change is not None:
            change(ds)
        ds.save_as(folder / f"CT{series[-1]}_{99 - index:02d}.dcm", enforce_file_format=True)


def write_structures(
    folder: Path,
    structures: dict[str, tuple[str, Sequence[Points]]] | None = None,
    *,
    name: str = "RS.dcm",
    change: Change | None = None,
) -> None:
    """An RTSTRUCT: name -> (RTROIInterpretedType, rings)."""
    structures = {"BODY": ("EXTERNAL", body()), "PTV 50": ("PTV", target())} if structures is None else structures
    ds = _dataset(RTStructureSetStorage, f"1.2.3.300.{len(name)}", "RTSTRUCT")
    frame = Dataset()
    frame.FrameOfReferenceUID = FRAME
    ds.ReferencedFrameOfReferenceSequence = Items([frame])
    rois, drawn, observed = [], [], []
    for number, (label, (kind, rings)) in enumerate(structures.items(), start=1):
        roi, contours, observation = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, label, FRAME
        contours.ReferencedROINumber = number
        contours.ContourSequence = Items([_contour(ring) for ring in rings])
        observation.ReferencedROINumber, observation.RTROIInterpretedType = number, kind
        rois.append(roi)
        drawn.append(contours)
        observed.append(observation)
    ds.StructureSetROISequence, ds.ROIContourSequence = Items(rois), Items(drawn)
    ds.RTROIObservationsSequence = Items(observed)
    if change is not None:
        change(ds)
    ds.save_as(folder / name, enforce_file_format=True)


def write_dose(
    folder: Path, gy: float, *, kind: str = "PLAN", name: str = "RD.dcm", change: Change | None = None
) -> None:
    """An RTDOSE of one value everywhere on a 5 mm grid over the image."""
    shape = (9, 17, 21)
    ds = _dataset(RTDoseStorage, f"1.2.3.400.{name}".replace(".dcm", "").replace("RD", "7"), "RTDOSE")
    ds.ImagePositionPatient = [-50.0, -40.0, -20.0]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [5.0, 5.0]
    ds.NumberOfFrames = shape[0]
    ds.GridFrameOffsetVector = [5.0 * i for i in range(shape[0])]
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType = "GY", "PHYSICAL", kind
    ds.DoseGridScaling = 0.001
    _set_pixels(ds, np.full(shape, round(1000 * gy), np.uint16))
    if change is not None:
        change(ds)
    ds.save_as(folder / name, enforce_file_format=True)


def write_plan(folder: Path, *, radiation: str = "PHOTON", structure_set: str | None = None) -> None:
    """An RTPLAN with one beam, prescribing 50 Gy in 25 fractions."""
    ds = _dataset(RTPlanStorage, "1.2.3.500", "RTPLAN")
    ds.RTPlanLabel = "Test plan"
    dose, group, beam, referenced = Dataset(), Dataset(), Dataset(), Dataset()
    dose.DoseReferenceNumber, dose.TargetPrescriptionDose, dose.ReferencedROINumber = 1, 50, 2
    group.NumberOfFractionsPlanned = 25
    beam.BeamNumber, beam.RadiationType = 1, radiation
    referenced.ReferencedSOPInstanceUID = structure_set or f"1.2.3.300.{len('RS.dcm')}"
    ds.DoseReferenceSequence, ds.FractionGroupSequence = Items([dose]), Items([group])
    ds.BeamSequence, ds.ReferencedStructureSetSequence = Items([beam]), Items([referenced])
    ds.save_as(folder / "RP.dcm", enforce_file_format=True)


def _dataset(sop_class: str, uid: str, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = sop_class, uid, modality
    ds.PatientName, ds.PatientID = "Nobody^Test", "T0"
    ds.FrameOfReferenceUID = FRAME
    return ds


def _contour(ring: Points) -> Dataset:
    ds = Dataset()
    ds.ContourGeometricType = "CLOSED_PLANAR"
    ds.NumberOfContourPoints = len(ring)
    ds.ContourData = [round(float(value), 4) for value in np.ravel(ring)]
    return ds


def _set_pixels(ds: Dataset, pixels: NDArray[np.uint16]) -> None:
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = pixels.tobytes()
