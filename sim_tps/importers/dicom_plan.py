"""RTPLAN and RT Ion Plan files -> the prescription in words, and what about them is of no use here.

Plans are not taken over: their beams belong to another machine. They are read for what they tell about the patient.
"""

from __future__ import annotations

from collections.abc import Sequence

from sim_tps.importers.dicom_file import DicomFile
from sim_tps.naming import clean_name
from sim_tps.patient import Finding


def read_plans(files: Sequence[DicomFile], structure_set: DicomFile) -> tuple[str | None, list[Finding]]:
    """The prescription found, if any, and findings about the plans."""
    notes, findings = [], []
    for file in files:
        label = clean_name(file.text("RTPlanLabel")) or file.path.name
        notes.extend(_prescriptions(file, structure_set))
        findings.extend(_findings(file, label, structure_set))
    return "; ".join(dict.fromkeys(notes)) or None, findings


def _prescriptions(file: DicomFile, structure_set: DicomFile) -> list[str]:
    """Each target's prescribed dose in words."""
    names = {
        int(i.ROINumber): clean_name(str(i.get("ROIName") or ""))
        for i in structure_set.items("StructureSetROISequence")
    }
    fractions = [
        str(g.NumberOfFractionsPlanned)
        for g in file.items("FractionGroupSequence")
        if g.get("NumberOfFractionsPlanned")
    ]
    notes = []
    for item in file.items("DoseReferenceSequence"):
        if item.get("TargetPrescriptionDose") is None:
            continue
        target = names.get(int(item.get("ReferencedROINumber") or -1))
        dose = f"{float(item.TargetPrescriptionDose):g} Gy" + (f" to {target}" if target else "")
        notes.append(dose + (f" in {fractions[0]} fractions" if len(fractions) == 1 else ""))
    return notes


def _findings(file: DicomFile, label: str, structure_set: DicomFile) -> list[Finding]:
    findings = []
    beams = [*file.items("BeamSequence"), *file.items("IonBeamSequence")]
    kinds = sorted({str(beam.get("RadiationType") or "unknown") for beam in beams})
    other = [kind for kind in kinds if kind != "PHOTON"]
    if other:
        text = f"Plan {label} treats with {', '.join(kinds).lower()}; only photon plans are made here."
        findings.append(Finding("radiation-skipped", text))
    referenced = {str(item.get("ReferencedSOPInstanceUID")) for item in file.items("ReferencedStructureSetSequence")}
    if referenced and structure_set.text("SOPInstanceUID") not in referenced:
        text = (
            f"Plan {label} was made on another structure set than the one imported: structures may have changed since."
        )
        findings.append(Finding("dangling-reference", text))
    findings.append(
        Finding("plan-skipped", f"Plan {label} ({len(beams)} beams) is not taken over; plans are made anew.")
    )
    return findings
