"""What every DICOM object of an export has: patient, study, series, maker, and a UID made from its own content.

References
----------
DICOM PS3.3, C.7 (patient, study, series, equipment) and C.8.8.1 (RT series).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from sim_tps.patient import Patient

MANUFACTURER = "beamwright"
MODEL = "simulated TPS"
AXIAL = [1, 0, 0, 0, 1, 0]
"""ImageOrientationPatient: rows run to the patient's left, columns to posterior."""
SERIES_NUMBERS = {"CT": 1, "RTSTRUCT": 2, "RTPLAN": 3, "RTDOSE": 4}

_LONG_STRING = 64
"""Characters in an LO element (PS3.5, table 6.2-1); SH has 16."""
_SHORT_STRING = 16


@dataclass(frozen=True)
class Study:
    """What the objects of one export share."""

    patient_id: str
    uid: UID
    frame_uid: UID
    intended_use: str
    """The line every file carries."""

    @classmethod
    def of(cls, patient: Patient, intended_use: str) -> Study:
        """The study of a patient: one patient with one image has one study and one frame of reference, always."""
        image = hashlib.sha256(np.ascontiguousarray(patient.hu).tobytes()).hexdigest()
        frame = uid("frame of reference", patient.id, repr(patient.grid), image)
        return cls(patient.id, uid("study", frame), frame, intended_use)

    def series_uid(self, modality: str) -> UID:
        """One series for each modality."""
        return uid("series", self.uid, modality)

    def new_object(self, sop_class: UID, modality: str) -> Dataset:
        """An object of this study that has everything but its own module; `sealed` finishes it."""
        return item(
            SpecificCharacterSet="ISO_IR 192",
            SOPClassUID=sop_class,
            Modality=modality,
            StudyDate="",
            StudyTime="",
            AccessionNumber="",
            ReferringPhysicianName="",
            OperatorsName="",
            Manufacturer=MANUFACTURER,
            ManufacturerModelName=MODEL,
            SoftwareVersions=version("beamwright"),
            PatientName=self.patient_id,
            PatientID=self.patient_id,
            PatientBirthDate="",
            PatientSex="",
            StudyInstanceUID=self.uid,
            StudyID="",
            SeriesInstanceUID=self.series_uid(modality),
            SeriesNumber=SERIES_NUMBERS[modality],
            FrameOfReferenceUID=self.frame_uid,
            PositionReferenceIndicator="",
        )


def item(**elements: object) -> Dataset:
    """A dataset with these elements, by DICOM keyword."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def sealed(made: Dataset) -> Dataset:
    """The object with a SOP Instance UID that stands for its content; nothing may be changed afterwards."""
    content = BytesIO()
    made.save_as(content, implicit_vr=False, little_endian=True, enforce_file_format=False)
    made.SOPInstanceUID = uid("instance", hashlib.sha256(content.getvalue()).hexdigest())
    return made


def write(made: Dataset, path: Path) -> None:
    """Write a sealed object as a DICOM file."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)


def reference(target: Dataset) -> Dataset:
    """A sequence item that points to another object."""
    return item(ReferencedSOPClassUID=target.SOPClassUID, ReferencedSOPInstanceUID=target.SOPInstanceUID)


def uid(*content: str) -> UID:
    """The UID that belongs to this content, under pydicom's root."""
    return generate_uid(entropy_srcs=["\n".join(content)])


def number(value: float) -> DSfloat:
    """A decimal string of at most 16 characters: nearest to the value, not cut off."""
    return DSfloat(float(value), auto_format=True)


def numbers(values: Iterable[float]) -> list[DSfloat]:
    return [number(value) for value in values]


def short(text: str) -> str:
    """As much of a text as an SH element holds."""
    return text[:_SHORT_STRING]


def long(text: str) -> str:
    """As much of a text as an LO element holds."""
    return text[:_LONG_STRING]
