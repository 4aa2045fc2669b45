"""What a plan's geometry must be, looked at before anything is computed.

A plan is checked where it is made, and an engine checks the same again, for it can be used without a `Tps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np

from sim_tps.errors import BadInput
from sim_tps.optimise.objectives import check_objective
from sim_tps.patient import Patient, Structure
from sim_tps.plan import Beam, Objective, Prescription

SMALLEST_BEAMLET_MM = 1.0
"""Less than half of the narrowest leaf and of the source's blur: nothing finer reaches the patient."""
LARGEST_BEAMLET_MM = 50.0
"""Half of a usual field; the contract's limit too."""


def check_beams(patient: Patient, beams: Sequence[Beam]) -> None:
    """At least one, each with an id of its own, angles that are numbers, and its isocentre inside the image."""
    if not beams:
        raise BadInput("there are no beams; a plan needs at least one beam.")
    _check_ids("beam", [beam.id for beam in beams])
    for beam in beams:
        for name in ("gantry_deg", "collimator_deg", "couch_deg"):
            if not isfinite(angle := getattr(beam, name)):
                raise BadInput(f"beam {beam.id!r}: {name} is {angle}, expected an angle in degrees.")
        if not patient.grid.contains(beam.isocentre_mm):
            x, y, z = beam.isocentre_mm
            raise BadInput(
                f"beam {beam.id!r}: its isocentre ({x:.1f}, {y:.1f}, {z:.1f}) mm lies outside the image. Place it in "
                "the target."
            )


def checked_targets(patient: Patient, names: Sequence[str]) -> list[Structure]:
    """The structures of these names: at least one, each with some volume inside the External."""
    if not names:
        raise BadInput("no target is prescribed; a plan needs at least one target.")
    targets = [patient.structure(name) for name in names]
    body = patient.external.on_image()
    for target in targets:
        if target.is_empty:
            raise BadInput(f"target {target.name!r} is empty; there is nothing to irradiate.")
        if not np.any(np.minimum(body[target.slices], target.occupancy)):
            raise BadInput(
                f"target {target.name!r} lies outside the External {patient.external.name!r}, where there is no dose. "
                "Check which of the two is contoured wrongly."
            )
    return targets


def check_prescription(prescription: Prescription) -> None:
    """Whole fractions, and a dose for each target."""
    if prescription.fraction_count < 1:
        raise BadInput(f"{prescription.fraction_count} fractions are prescribed, expected at least 1.")
    for target in prescription.targets:
        if not (isfinite(target.total_gy) and target.total_gy > 0.0):
            raise BadInput(f"target {target.structure!r} is prescribed {target.total_gy} Gy, expected more than 0.")


def check_beamlet(beamlet_mm: float) -> None:
    if not SMALLEST_BEAMLET_MM <= beamlet_mm <= LARGEST_BEAMLET_MM:
        raise BadInput(
            f"beamlets of {beamlet_mm} mm, expected {SMALLEST_BEAMLET_MM:g} to {LARGEST_BEAMLET_MM:g} mm; the leaf "
            "width is a good choice."
        )


def check_objectives(patient: Patient, objectives: Sequence[Objective]) -> None:
    """Each with an id of its own, on a structure there is, with numbers that mean something."""
    _check_ids("objective", [objective.id for objective in objectives])
    for objective in objectives:
        patient.structure(objective.structure)
        check_objective(objective)


def _check_ids(kind: str, ids: Sequence[str]) -> None:
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise BadInput(f"{kind} {twice[0]!r} is there {ids.count(twice[0])} times; give each {kind} an id of its own.")
