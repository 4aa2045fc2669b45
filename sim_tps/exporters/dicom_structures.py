"""Structures -> an RTSTRUCT of closed contours on the image's slices.

References
----------
DICOM PS3.3, A.19 (RT Structure Set IOD), C.8.8.5 (structure set), C.8.8.6 (ROI contour), C.8.8.8 (RT ROI observations).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle

from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from sim_tps.exporters.dicom_object import Study, item, number, reference, sealed, short
from sim_tps.exporters.outlines import Ring, outlines
from sim_tps.patient import Patient, Role, Structure

DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
"""SOP class under which a structure set names its study: Detached Study Management, retired and still what is asked."""
TYPES = {
    Role.EXTERNAL: "EXTERNAL",
    Role.OAR: "ORGAN",
    Role.SUPPORT: "SUPPORT",
    Role.HELPER: "CONTROL",
}
"""Role -> RTROIInterpretedType; targets go by their name (`TARGET_TYPES`)."""
TARGET_TYPES = ("GTV", "CTV")
"""A target whose name begins so is one; any other is a PTV, which is what plans are made for."""
EXTERNAL_COLOUR = [0, 158, 115]
TARGET_COLOURS = ([213, 0, 0], [255, 112, 67], [255, 179, 0])
OTHER_COLOURS = ([86, 180, 233], [0, 114, 178], [204, 121, 167], [240, 228, 66], [148, 103, 189], [140, 86, 75])
"""Most of these are from Okabe and Ito's palette, which stays apart for colour-blind eyes."""
POINT_DECIMALS = 3
"""Corners are written to the micrometre."""


def roi_numbers(patient: Patient) -> dict[str, int]:
    """Structure -> its number in the structure set."""
    return {name: number for number, name in enumerate(patient.structures, start=1)}


def structure_set(study: Study, patient: Patient, slices: Sequence[Dataset]) -> Dataset:
    """All structures of the patient; an empty one is there too, without contours."""
    rois = roi_numbers(patient)
    colours = _colours(patient)
    made = study.new_object(RTStructureSetStorage, "RTSTRUCT")
    made.StructureSetLabel = short(patient.id)
    made.StructureSetDescription = study.intended_use
    made.StructureSetDate, made.StructureSetTime = "", ""
    made.ApprovalStatus = "UNAPPROVED"
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(study, slices)]
    made.StructureSetROISequence = [
        item(
            ROINumber=rois[name],
            ReferencedFrameOfReferenceUID=study.frame_uid,
            ROIName=name,
            ROIGenerationAlgorithm="",
        )
        for name in rois
    ]
    made.ROIContourSequence = [
        _roi_contour(structure, rois[name], colours[name], slices) for name, structure in patient.structures.items()
    ]
    made.RTROIObservationsSequence = [
        item(
            ObservationNumber=rois[name],
            ReferencedROINumber=rois[name],
            RTROIInterpretedType=_type(structure),
            ROIInterpreter="",
        )
        for name, structure in patient.structures.items()
    ]
    return sealed(made)


def _frame_of_reference(study: Study, slices: Sequence[Dataset]) -> Dataset:
    series = item(
        SeriesInstanceUID=slices[0].SeriesInstanceUID, ContourImageSequence=[reference(image) for image in slices]
    )
    whole = item(
        ReferencedSOPClassUID=DETACHED_STUDY,
        ReferencedSOPInstanceUID=study.uid,
        RTReferencedSeriesSequence=[series],
    )
    return item(FrameOfReferenceUID=study.frame_uid, RTReferencedStudySequence=[whole])


def _roi_contour(structure: Structure, roi: int, colour: list[int], slices: Sequence[Dataset]) -> Dataset:
    made = item(ROIDisplayColor=colour, ReferencedROINumber=roi)
    contours = [_contour(ring, slices[index]) for index, rings in outlines(structure).items() for ring in rings]
    if contours:
        made.ContourSequence = contours
    return made


def _contour(ring: Ring, image: Dataset) -> Dataset:
    z = str(number(image.ImagePositionPatient[2]))
    flat = "\\".join(f"{x:.{POINT_DECIMALS}f}\\{y:.{POINT_DECIMALS}f}\\{z}" for x, y in ring)
    return item(
        ContourImageSequence=[reference(image)],
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(ring),
        ContourData=flat,
    )


def _type(structure: Structure) -> str:
    if structure.role is not Role.TARGET:
        return TYPES[structure.role]
    return next((kind for kind in TARGET_TYPES if structure.name.upper().startswith(kind)), "PTV")


def _colours(patient: Patient) -> dict[str, list[int]]:
    targets, others = cycle(TARGET_COLOURS), cycle(OTHER_COLOURS)

    def chosen() -> Iterator[tuple[str, list[int]]]:
        for name, structure in patient.structures.items():
            if structure.role is Role.EXTERNAL:
                yield name, EXTERNAL_COLOUR
            else:
                yield name, next(targets if structure.role is Role.TARGET else others)

    return dict(chosen())
