"""What `bridge.cli` prints: tables of patients, structures, findings, exports and cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bridge import INTENDED_USE
from sim_tps.naming import tg263_name
from sim_tps.patient import Finding, Patient, Structure
from sim_tps.tps import Tps

if TYPE_CHECKING:
    from bridge.backends.esapi.checkup import Line
    from sim_tps.exporters import Written


def show_import(patient: Patient, folder: Path, *, new: bool) -> None:
    """The patient's structures, what the import found, and where the patient is now."""
    console = Console()
    console.print(_structures(patient))
    if patient.findings:
        console.print(_findings(patient.findings))
    if patient.prescription_note:
        console.print(f"Prescription in the patient's own data: {escape(patient.prescription_note)}")
    state = "is now in" if new else "was in"
    console.print(f"Patient [bold]{escape(patient.id)}[/bold] {state} {escape(str(folder))}. {INTENDED_USE}")


def show_patients(tps: Tps, folder: Path) -> None:
    console = Console()
    ids = tps.patient_ids()
    if not ids:
        console.print(f"No patients in {escape(str(folder))} yet; bring one in with [bold]import[/bold].")
        _show_intended_use(console)
        return
    table = Table("Patient", "From", "Structures", "Plans", title=f"Patients in {escape(str(folder))}")
    for patient_id in ids:
        patient = tps.patient(patient_id)
        plans = ", ".join(f"{p.settings.id} ({p.settings.label})" for p in tps.plans(patient_id))
        table.add_row(escape(patient.id), escape(patient.label), str(len(patient.structures)), escape(plans))
    console.print(table)
    _show_intended_use(console)


def show_checkup(lines: Sequence[Line]) -> None:
    """What an Eclipse installation offers, and the remedy for what it lacks."""
    table = Table("", "What", "Found", title="Eclipse, as a script sees it")
    for line in lines:
        mark = "[red]![/red]" if line.remedy else "[green]✓[/green]"
        remedy = f"\n[bold]{escape(line.remedy)}[/bold]" if line.remedy else ""
        table.add_row(mark, escape(line.topic), escape(line.found) + remedy)
    console = Console()
    console.print(table)
    _show_intended_use(console)


def show_export(written: Sequence[Written], folder: Path) -> None:
    """What an export wrote, and what it did not and why."""
    table = Table("Object", "Files", "What", title=f"DICOM files in {escape(str(folder))}")
    for each in written:
        files = each.files[0] if len(each.files) == 1 else f"{each.files[0]} to {each.files[-1]}" if each.files else "–"
        table.add_row(each.modality, files, escape(each.what))
    console = Console()
    console.print(table)
    _show_intended_use(console)


def show_cases(cases: Mapping[str, str]) -> None:
    table = Table("Case", "What it is")
    for name, description in cases.items():
        table.add_row(name, description)
    console = Console()
    console.print(table)
    _show_intended_use(console)


def _show_intended_use(console: Console) -> None:
    console.print(f"[dim]{INTENDED_USE}[/dim]")


def _structures(patient: Patient) -> Table:
    table = Table("Structure", "TG-263", "Role", title=f"Structures of {escape(patient.id)}")
    table.add_column("Volume, cc", justify="right")
    for structure in patient.structures.values():
        tg263 = tg263_name(structure.name) or "–"
        table.add_row(escape(structure.name), tg263, structure.role.value, _volume(structure))
    return table


def _volume(structure: Structure) -> str:
    if structure.is_empty:
        return "empty"
    return f"{structure.volume_cc:.2f}" + (" (cut by the scan)" if structure.cut_by_image_edge else "")


def _findings(findings: tuple[Finding, ...]) -> Table:
    table = Table("Finding", "Structure", "What was seen or done", title="What the import found")
    for finding in findings:
        table.add_row(finding.code, escape(finding.structure or ""), escape(finding.message))
    return table
