"""From what a file holds to a patient: one rule for names and roles, whatever the source.

The rule: a structure carries its TG-263 name where that is known, else its own with unusual characters replaced; two
that would come out alike keep apart by a number. The original name is told in a finding and kept in the provenance.
The structure's role is the one its source gives, and is guessed from the name where the source gives none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.importers.inspection import BODY_HU, derive_external, inspect, marked_where_cut
from sim_tps.naming import clean_name, guess_role, tg263_name
from sim_tps.patient import Finding, Patient, ReferenceDose, Role, Structure


@dataclass(frozen=True, eq=False)
class Region:
    """A structure as its source has it."""

    label: str
    """Name in the source."""
    role: Role | None
    """None where the source does not say."""
    occupancy: NDArray[np.float32] | NDArray[np.bool_]
    """On the whole image, [z, y, x]."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Everything read from a source, before it is named and checked."""

    source: str
    """What the data came from, for messages."""
    label: str
    grid: Grid
    hu: NDArray[np.int16]
    regions: Sequence[Region]
    findings: Sequence[Finding]
    reference_dose: ReferenceDose | None
    prescription_note: str | None
    provenance: Mapping[str, str]


def assemble(id: str, reading: Reading) -> Patient:
    """Name, sort and check what was read."""
    structures, originals, findings = _named(reading)
    if not any(s.role is Role.EXTERNAL for s in structures.values()):
        external, finding = _derived_external(reading)
        structures = {external.name: external, **structures}
        findings.append(finding)
    outline = next(s for s in structures.values() if s.role is Role.EXTERNAL)
    structures = {name: marked_where_cut(structure, outline) for name, structure in structures.items()}
    if reading.prescription_note:
        text = f"The data's own prescription is {reading.prescription_note}; plans follow their protocol, not this."
        findings.append(Finding("own-prescription", text))
    findings.extend(inspect(reading.hu, structures))
    return Patient(
        id=id,
        label=reading.label,
        grid=reading.grid,
        hu=reading.hu,
        structures=structures,
        findings=(*reading.findings, *findings),
        reference_dose=reading.reference_dose,
        prescription_note=reading.prescription_note,
        provenance={**reading.provenance, **{f"structure {name}": label for name, label in originals.items()}},
    )


def patient_id(name: str) -> str:
    """An id made of safe characters from a folder's or file's name."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
    if not safe:
        raise BadInput(f"no patient id can be made from {name!r}; give one.")
    return safe[:64]


def _named(reading: Reading) -> tuple[dict[str, Structure], dict[str, str], list[Finding]]:
    """Structures under their names here, their original names, and what there is to say about both."""
    structures: dict[str, Structure] = {}
    originals: dict[str, str] = {}
    findings: list[Finding] = []
    guessed: dict[Role, list[str]] = {}
    # An outline that its source calls EXTERNAL goes before one that only sounds like it.
    for region in sorted(reading.regions, key=lambda region: region.role is not Role.EXTERNAL):
        role = region.role or guess_role(region.label)
        if role is Role.EXTERNAL and any(s.role is Role.EXTERNAL for s in structures.values()):
            role = Role.HELPER
        if role is Role.EXTERNAL and not region.occupancy.any():
            findings.append(Finding("structure-ignored", f"{clean_name(region.label)} is an empty outline; left out."))
            continue
        name = _free_name("External" if role is Role.EXTERNAL else _own_name(region.label), structures)
        structures[name] = Structure.from_array(name, role, region.occupancy, reading.grid)
        originals[name] = region.label
        if name != region.label:
            findings.append(Finding("structure-renamed", f"{clean_name(region.label)!r} is called {name} here.", name))
        if region.role is None:
            guessed.setdefault(role, []).append(name)
    if guessed:
        listed = "; ".join(f"{role.value}: {', '.join(names)}" for role, names in guessed.items())
        findings.append(Finding("roles-guessed", f"The data do not say what these are for; guessed by name: {listed}."))
    return structures, originals, findings


def _own_name(label: str) -> str:
    return tg263_name(label) or clean_name(label) or "unnamed"


def _free_name(wanted: str, taken: Mapping[str, Structure]) -> str:
    """The wanted name, numbered when another structure has it already (whatever the case)."""
    lower = {name.lower() for name in taken}
    name, number = wanted, 2
    while name.lower() in lower:
        name, number = f"{wanted}_{number}", number + 1
    return name


def _derived_external(reading: Reading) -> tuple[Structure, Finding]:
    external = derive_external(reading.hu, reading.grid)
    if external.is_empty:
        raise BadInput(
            f"{reading.source}: no External structure, and none can be derived, for nothing in the image is denser "
            f"than {BODY_HU} HU. Draw one, or check that the image is in HU."
        )
    text = (
        f"No External structure in the data: derived from the CT (largest piece above {BODY_HU} HU, holes filled slice "
        f"by slice), {external.volume_cc:.0f} cc."
    )
    return external, Finding("external-derived", text, external.name)
