"""Patients from folders of DICOM RT files: one CT series, one RTSTRUCT, and plans and doses where present.

The folder is searched whole, subfolders too. Geometry comes from positions, never from file names, file order or slice
thickness. Only images that the dose engine's frame fits are taken: axial slices, head first supine, evenly spaced.

`dicom_image`, `dicom_structures`, `dicom_dose` and `dicom_plan` each read one kind of object; this module finds the
files, picks what belongs together and says what it left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from sim_tps.errors import BadInput
from sim_tps.importers.assembly import Reading, assemble, patient_id
from sim_tps.importers.dicom_dose import reference_dose
from sim_tps.importers.dicom_file import DicomFile, is_whole
from sim_tps.importers.dicom_image import read_image
from sim_tps.importers.dicom_plan import read_plans
from sim_tps.importers.dicom_structures import read_structures
from sim_tps.patient import Finding, Patient

DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
NOT_OBJECTS = {"DICOMDIR"}


def import_dicom(folder: Path, *, id: str | None = None, series_uid: str | None = None) -> Patient:
    """Read one patient from a folder of DICOM files."""
    files, findings = _files(folder)
    slices = _one_series(folder, [f for f in files if f.modality == "CT"], series_uid)
    structure_set = _one_structure_set(folder, [f for f in files if f.modality == "RTSTRUCT"], slices)
    grid, hu, about_image = read_image(slices)
    regions, about_structures = read_structures(structure_set, slices, grid)
    plans = [f for f in files if f.modality == "RTPLAN"]
    prescription, about_plans = read_plans(plans, structure_set)
    dose, about_dose = reference_dose([f for f in files if f.modality == "RTDOSE"], slices)
    maker = structure_set.text("ManufacturerModelName") or structure_set.text("Manufacturer")
    reading = Reading(
        source=folder.name,
        label=f"DICOM ({maker})" if maker else "DICOM",
        grid=grid,
        hu=hu,
        regions=regions,
        findings=[*findings, *about_image, *about_structures, *about_plans, *about_dose],
        reference_dose=dose,
        prescription_note=prescription,
        provenance={
            "format": "DICOM",
            "ct series": slices[0].text("SeriesInstanceUID"),
            "structure set": structure_set.text("SOPInstanceUID"),
        },
    )
    return assemble(patient_id(id or folder.resolve().name), reading)


def _files(folder: Path) -> tuple[list[DicomFile], list[Finding]]:
    """The folder's DICOM objects, each once, and what was left out."""
    found: dict[str, DicomFile] = {}
    ignored: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.name in NOT_OBJECTS or not _is_dicom(path):
            ignored.append(path.name)
            continue
        file = _read(path)
        found.setdefault(file.text("SOPInstanceUID") or str(path), file)
    if not found:
        raise BadInput(f"{folder.name}: no DICOM file in this folder; expected a CT series and an RTSTRUCT.")
    findings = []
    if ignored:
        text = f"{len(ignored)} files that are no DICOM objects were left out: {_shortened(ignored)}."
        findings.append(Finding("files-ignored", text))
    others = sorted({f.modality for f in found.values()} - {"CT", "RTSTRUCT", "RTPLAN", "RTDOSE"})
    if others:
        count = sum(f.modality in others for f in found.values())
        text = f"{count} DICOM files of kinds not needed for planning were left out: {', '.join(others)}."
        findings.append(Finding("files-ignored", text))
    return list(found.values()), findings


def _is_dicom(path: Path) -> bool:
    """Whether a file says it is DICOM, by its mark or by its name."""
    with path.open("rb") as opened:
        return opened.read(132)[128:] == b"DICM" or path.suffix.lower() in DICOM_SUFFIXES


def _read(path: Path) -> DicomFile:
    try:
        file = DicomFile(path, pydicom.dcmread(path))
        whole = is_whole(file.data)
    except InvalidDicomError as error:
        raise BadInput(f"{path.name}: named like a DICOM file, but is none; take it out of the folder.") from error
    except (OSError, EOFError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise BadInput(
            f"{path.name}: cannot be read to its end ({error}); it may be cut short. Export it again."
        ) from error
    if not whole or not file.modality:
        raise BadInput(f"{path.name}: ends in the middle of its data; it is cut short. Copy or export it again.")
    if file.text("SOPClassUID") == ENHANCED_CT:
        raise BadInput(
            f"{path.name}: an Enhanced (multi-frame) CT; expected single-slice CT images. Export it as those."
        )
    return file


def _one_series(folder: Path, images: Sequence[DicomFile], series_uid: str | None) -> list[DicomFile]:
    if not images:
        raise BadInput(f"{folder.name}: no CT image in this folder; export the planning CT with the structure set.")
    series: dict[str, list[DicomFile]] = {}
    for image in images:
        series.setdefault(image.text("SeriesInstanceUID"), []).append(image)
    listed = "; ".join(f"{uid} ({len(slices)} slices)" for uid, slices in sorted(series.items()))
    if series_uid is not None:
        if series_uid not in series:
            raise BadInput(f"{folder.name}: no CT series {series_uid}; there are {listed}.")
        return series[series_uid]
    if len(series) > 1:
        raise BadInput(
            f"{folder.name}: {len(series)} CT series, expected one: {listed}. Choose one (series_uid, --series), or "
            "take the others out of the folder."
        )
    return next(iter(series.values()))


def _one_structure_set(folder: Path, sets: Sequence[DicomFile], slices: Sequence[DicomFile]) -> DicomFile:
    if not sets:
        raise BadInput(f"{folder.name}: no RTSTRUCT in this folder; export the structure set with the planning CT.")
    if len(sets) == 1:
        return sets[0]
    frame = slices[0].text("FrameOfReferenceUID")
    fitting = [s for s in sets if frame in s.frames_of_reference()]
    if len(fitting) == 1:
        return fitting[0]
    names = _shortened([s.path.name for s in sets])
    raise BadInput(f"{folder.name}: {len(sets)} RTSTRUCT files, expected one: {names}. Leave the one to plan on.")


def _shortened(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
