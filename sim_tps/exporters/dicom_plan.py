"""A plan and its control points -> an RTPLAN: one DICOM beam for each delivered field.

Leaves are listed as DICOM wants them: bank X1 from -y to +y, then bank X2. What stays the same is said once, at the
first control point; where leaves move, they and the jaws are in every one, as readers expect that look at one alone.

References
----------
DICOM PS3.3, A.20 (RT Plan IOD), C.8.8.9 (RT general plan), C.8.8.10 (prescription), C.8.8.12 (patient setup),
C.8.8.13 (fraction scheme), C.8.8.14 (RT beams).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage

from sim_tps.delivery.delivered import ControlPoint, DeliveredField
from sim_tps.dose.density import DensityMap, density_map
from sim_tps.dose.raytrace import surface_distance
from sim_tps.errors import BadInput
from sim_tps.exporters.dicom_object import Study, item, long, number, numbers, reference, sealed, short, uid
from sim_tps.exporters.dicom_structures import roi_numbers
from sim_tps.geometry import beam_frame
from sim_tps.machine import Machine
from sim_tps.patient import Patient
from sim_tps.plan import Beam, PlanSettings

STILL_MM = 1e-6
"""Leaves that differ by less have not moved."""


def rt_plan(
    study: Study,
    patient: Patient,
    settings: PlanSettings,
    machine: Machine,
    fields: Sequence[DeliveredField],
    structure_set: Dataset,
) -> Dataset:
    """The plan with its prescription, fractions and beams, always UNAPPROVED and for research.

    Raises
    ------
    BadInput
        A field belongs to no beam of the plan, or has another number of leaves than the machine.
    """
    _check_fields(settings, machine, fields)
    made = plan_without_beams(study, patient, settings, structure_set)
    made.PatientSetupSequence = [item(PatientSetupNumber=1, PatientPosition="HFS")]
    made.FractionGroupSequence = [_fraction_group(settings, fields)]
    density = density_map(patient)
    beams = {beam.id: beam for beam in settings.beams}
    parts = Counter(field.beam_id for field in fields)
    made.BeamSequence = [
        _beam(index, beams[field.beam_id], field, parts[field.beam_id], machine, density)
        for index, field in enumerate(fields, start=1)
    ]
    return sealed(made)


def plan_without_beams(study: Study, patient: Patient, settings: PlanSettings, structure_set: Dataset) -> Dataset:
    """What a plan is before it is sequenced; not sealed."""
    made = study.new_object(RTPlanStorage, "RTPLAN")
    made.ApprovalStatus = "UNAPPROVED"
    made.RTPlanLabel = short(settings.id)
    made.RTPlanName = long(settings.label)
    made.RTPlanDescription = study.intended_use
    made.RTPlanDate, made.RTPlanTime = "", ""
    made.RTPlanGeometry = "PATIENT"
    made.PlanIntent = "RESEARCH"
    made.ReferencedStructureSetSequence = [reference(structure_set)]
    if settings.prescription.targets:
        made.DoseReferenceSequence = list(_dose_references(study, patient, settings))
    return made


def _check_fields(settings: PlanSettings, machine: Machine, fields: Sequence[DeliveredField]) -> None:
    known = {beam.id for beam in settings.beams}
    for field in fields:
        if field.beam_id not in known:
            raise BadInput(f"plan {settings.id!r} has no beam {field.beam_id!r}; it has {sorted(known)}.")
        for point in field.control_points:
            if len(point.left_mm) != machine.head.pair_count or len(point.right_mm) != machine.head.pair_count:
                raise BadInput(
                    f"beam {field.beam_id!r}: a control point with {len(point.left_mm)} and {len(point.right_mm)} "
                    f"leaves, expected {machine.head.pair_count} in each bank of {machine.id!r}; sequence the plan "
                    "again."
                )


def _dose_references(study: Study, patient: Patient, settings: PlanSettings) -> Iterator[Dataset]:
    rois = roi_numbers(patient)
    for index, target in enumerate(settings.prescription.targets, start=1):
        yield item(
            DoseReferenceNumber=index,
            DoseReferenceUID=uid("dose reference", study.uid, settings.id, target.structure),
            DoseReferenceStructureType="VOLUME",
            DoseReferenceDescription=long(target.structure),
            DoseReferenceType="TARGET",
            TargetPrescriptionDose=number(target.total_gy),
            ReferencedROINumber=rois[target.structure],
        )


def _fraction_group(settings: PlanSettings, fields: Sequence[DeliveredField]) -> Dataset:
    return item(
        FractionGroupNumber=1,
        NumberOfFractionsPlanned=settings.prescription.fraction_count,
        NumberOfBeams=len(fields),
        NumberOfBrachyApplicationSetups=0,
        ReferencedBeamSequence=[
            item(ReferencedBeamNumber=index, BeamMeterset=number(field.mu))
            for index, field in enumerate(fields, start=1)
        ],
    )


def _beam(index: int, beam: Beam, field: DeliveredField, parts: int, machine: Machine, density: DensityMap) -> Dataset:
    name = beam.label or beam.id
    return item(
        BeamNumber=index,
        BeamName=long(name if parts == 1 else f"{name} part {field.part}"),
        BeamDescription=f"{beam.id}, {field.technique.value}",
        BeamType="DYNAMIC" if _moves_while_on(field) else "STATIC",
        RadiationType="PHOTON",
        TreatmentMachineName=short(machine.id),
        Manufacturer="",
        PrimaryDosimeterUnit="MU",
        SourceAxisDistance=number(machine.sad_mm),
        BeamLimitingDeviceSequence=[
            item(RTBeamLimitingDeviceType="ASYMX", NumberOfLeafJawPairs=1),
            item(RTBeamLimitingDeviceType="ASYMY", NumberOfLeafJawPairs=1),
            item(
                RTBeamLimitingDeviceType="MLCX",
                NumberOfLeafJawPairs=machine.head.pair_count,
                LeafPositionBoundaries=numbers(machine.head.leaf_edges_mm),
            ),
        ],
        ReferencedPatientSetupNumber=1,
        TreatmentDeliveryType="TREATMENT",
        NumberOfWedges=0,
        NumberOfCompensators=0,
        NumberOfBoli=0,
        NumberOfBlocks=0,
        FinalCumulativeMetersetWeight=1,
        NumberOfControlPoints=len(field.control_points),
        ControlPointSequence=list(_control_points(beam, field, machine, density)),
    )


def _control_points(beam: Beam, field: DeliveredField, machine: Machine, density: DensityMap) -> Iterator[Dataset]:
    moves = (
        float(np.ptp(field.left_mm, axis=0).max()) > STILL_MM or float(np.ptp(field.right_mm, axis=0).max()) > STILL_MM
    )
    for index, point in enumerate(field.control_points):
        made = item(ControlPointIndex=index, CumulativeMetersetWeight=number(point.meterset))
        if index == 0:
            made.update(_at_the_start(beam, machine, density))
        if index == 0 or moves:
            made.BeamLimitingDevicePositionSequence = [*_jaws(field), _leaves(point)]
        yield made


def _at_the_start(beam: Beam, machine: Machine, density: DensityMap) -> Dataset:
    """Everything that stays as it is during the beam, jaws and leaves apart."""
    frame = beam_frame(beam.isocentre_mm, beam.gantry_deg, beam.collimator_deg, beam.couch_deg, machine.sad_mm)
    made = item(
        NominalBeamEnergy=number(_megavolts(machine)),
        DoseRateSet=number(machine.head.dose_rates_mu_per_min[1]),
        GantryAngle=number(beam.gantry_deg),
        GantryRotationDirection="NONE",
        BeamLimitingDeviceAngle=number(beam.collimator_deg),
        BeamLimitingDeviceRotationDirection="NONE",
        PatientSupportAngle=number(beam.couch_deg),
        PatientSupportRotationDirection="NONE",
        TableTopEccentricAngle=0,
        TableTopEccentricRotationDirection="NONE",
        TableTopVerticalPosition="",
        TableTopLongitudinalPosition="",
        TableTopLateralPosition="",
        IsocenterPosition=numbers(beam.isocentre_mm),
    )
    ssd_mm = surface_distance(density, frame.source_mm, beam.isocentre_mm)
    if ssd_mm is not None:  # None: the axis passes by the patient
        made.SourceToSurfaceDistance = number(ssd_mm)
    return made


def _jaws(field: DeliveredField) -> tuple[Dataset, Dataset]:
    x1, x2, y1, y2 = field.jaws_mm
    return (
        item(RTBeamLimitingDeviceType="ASYMX", LeafJawPositions=numbers((x1, x2))),
        item(RTBeamLimitingDeviceType="ASYMY", LeafJawPositions=numbers((y1, y2))),
    )


def _leaves(point: ControlPoint) -> Dataset:
    return item(RTBeamLimitingDeviceType="MLCX", LeafJawPositions=numbers([*point.left_mm, *point.right_mm]))


def _moves_while_on(field: DeliveredField) -> bool:
    """Whether leaves move between control points with beam in between: what DICOM calls a dynamic beam."""
    on = np.diff(field.metersets) > 0.0
    moved = np.abs(np.diff(field.left_mm, axis=0)) + np.abs(np.diff(field.right_mm, axis=0)) > STILL_MM
    return bool((on & moved.any(axis=1)).any())


def _megavolts(machine: Machine) -> float:
    """The number in the energy's name, 6 of ``6X``."""
    found = re.match(r"\d+(\.\d+)?", machine.energies[0])
    if found is None:
        raise BadInput(f"machine {machine.id!r}: no number in its energy {machine.energies[0]!r}, expected e.g. '6X'.")
    return float(found[0])
