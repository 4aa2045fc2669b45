"""A patient and a plan -> a folder of DICOM files, whole or not at all.

Each object is made before the first file is written; the files are written into a folder beside the wanted one, which
takes its place at the end.

    CT.0001.dcm ...   the image          RS.dcm   structures
    RP.dcm            the plan           RD.dcm   the dose
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from sim_tps.delivery.delivered import DeliveredField
from sim_tps.errors import BadInput, Refused
from sim_tps.exporters.dicom_dose import plan_dose
from sim_tps.exporters.dicom_image import ct_slices
from sim_tps.exporters.dicom_object import Study, sealed, write
from sim_tps.exporters.dicom_plan import plan_without_beams, rt_plan
from sim_tps.exporters.dicom_structures import structure_set
from sim_tps.machine import Machine
from sim_tps.patient import Patient
from sim_tps.plan import Dose, PlanSettings

OURS = re.compile(r"(CT\.\d{4,}|RS|RP|RD)\.dcm")
"""Names that an export gives; a folder that holds anything else is never replaced."""


@dataclass(frozen=True)
class Written:
    """One kind of object in an export."""

    modality: str
    files: tuple[str, ...]
    """Names in the folder; none where there was nothing to write."""
    what: str
    """What it holds, or why there is none, in words."""


def export_dicom(
    folder: Path,
    patient: Patient,
    settings: PlanSettings,
    dose: Dose,
    *,
    machine: Machine | None = None,
    fields: Sequence[DeliveredField] = (),
    intended_use: str,
    overwrite: bool = False,
) -> tuple[Written, ...]:
    """Write image, structures, plan and dose as DICOM files.

    Parameters
    ----------
    folder
        New or empty; with ``overwrite`` it may hold an earlier export, which is replaced.
    dose
        The plan's normalised dose.
    machine, fields
        What the plan is delivered by and how. Without fields no RTPLAN is written: a plan that has no control points
        is nothing another system could deliver or check.
    intended_use
        A line that goes into every file.

    Returns
    -------
    What was written, and what was not and why, one for each kind of object.

    Raises
    ------
    Refused
        The folder holds something.
    BadInput
        A dose without values, or fields that do not fit plan and machine.
    """
    _require_free(folder, overwrite=overwrite)
    if fields and machine is None:
        raise BadInput(f"plan {settings.id!r}: {len(fields)} delivered fields without the machine; give both.")
    study = Study.of(patient, intended_use)
    slices = ct_slices(study, patient)
    structures = structure_set(study, patient, slices)
    if machine is not None and fields:
        plan = rt_plan(study, patient, settings, machine, fields, structures)
    else:
        plan = sealed(plan_without_beams(study, patient, settings, structures))
    objects = {f"CT.{image.InstanceNumber:04d}.dcm": image for image in slices}
    objects["RS.dcm"] = structures
    if fields:
        objects["RP.dcm"] = plan
    objects["RD.dcm"] = plan_dose(study, dose, plan, structures)
    _replace(folder, objects)
    return _told(objects, dose)


def _require_free(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Refused(f"{folder} is a file; name a folder for the DICOM files.")
    foreign = sorted(entry.name for entry in folder.iterdir() if not OURS.fullmatch(entry.name))
    if foreign:
        raise Refused(f"{folder} holds {foreign[0]!r}, which is no part of an export; choose another folder.")
    if not overwrite and any(folder.iterdir()):
        raise Refused(f"{folder} holds an earlier export; choose another folder, or replace it with --overwrite.")


def _replace(folder: Path, objects: Mapping[str, Dataset]) -> None:
    """Put the files into the folder, all at once; what was there before goes last."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent) as work:
        new, old = Path(work) / "new", Path(work) / "old"
        new.mkdir()
        for name, made in objects.items():
            write(made, new / name)
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise


def _told(objects: Mapping[str, Dataset], dose: Dose) -> tuple[Written, ...]:
    images = [made for made in objects.values() if made.Modality == "CT"]
    contours = [roi.get("ContourSequence", []) for roi in objects["RS.dcm"].ROIContourSequence]
    empty = [
        roi.ROIName for roi, drawn in zip(objects["RS.dcm"].StructureSetROISequence, contours, strict=True) if not drawn
    ]
    rows, columns, spacing = images[0].Rows, images[0].Columns, images[0].PixelSpacing
    structures = f"{len(contours)} structures, {sum(map(len, contours))} contours"
    return (
        Written(
            "CT",
            tuple(name for name, made in objects.items() if made.Modality == "CT"),
            f"{len(images)} slices of {columns} × {rows} pixels, {spacing[1]:g} × {spacing[0]:g} mm, "
            f"{images[0].SliceThickness:g} mm apart",
        ),
        Written("RTSTRUCT", ("RS.dcm",), structures + (f"; without contours: {', '.join(empty)}" if empty else "")),
        _told_of_plan(objects.get("RP.dcm")),
        Written("RTDOSE", ("RD.dcm",), f"sum of the plan, up to {dose.gy.max():.2f} Gy, {dose.kind}"),
    )


def _told_of_plan(plan: Dataset | None) -> Written:
    if plan is None:
        return Written("RTPLAN", (), "none: the plan is not sequenced, so there are no control points to hand over")
    total_mu = sum(float(beam.BeamMeterset) for beam in plan.FractionGroupSequence[0].ReferencedBeamSequence)
    points = sum(int(beam.NumberOfControlPoints) for beam in plan.BeamSequence)
    return Written(
        "RTPLAN",
        ("RP.dcm",),
        f"{len(plan.BeamSequence)} beams, {points} control points, {total_mu:.1f} MU a fraction, UNAPPROVED",
    )
