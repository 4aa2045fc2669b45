"""How a patient gets into the simulated TPS: a built-in case, a DICOM folder or an npz file.

Bringing patients in is local work on a data folder, not a call of the contract.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sim_tps.cases import CASES, make_case
from sim_tps.errors import BadInput, Refused
from sim_tps.patient import Patient
from sim_tps.tps import Tps


def read_case(
    chosen: str, *, seed: int | None = None, patient_id: str | None = None, series: str | None = None
) -> Patient:
    """Make the built-in case of that name, or read the patient from that folder or file.

    Raises
    ------
    BadInput
        ``chosen`` is neither, or cannot be used; or a seed, an id or a series was given where it means nothing.
    """
    if chosen in CASES:
        if patient_id is not None:
            raise BadInput(f"the built-in case {chosen!r} has its own id; leave --id away.")
        if series is not None:
            raise BadInput(f"the built-in case {chosen!r} is made without a CT series; leave --series away.")
        return make_case(chosen, seed)
    if seed is not None:
        raise BadInput(f"a seed is for the built-in cases ({', '.join(CASES)}); {chosen!r} is none of them.")
    path = Path(chosen)
    if not path.exists():
        raise BadInput(f"there is no file or folder {chosen!r}, and no built-in case of that name: {', '.join(CASES)}.")
    from sim_tps.importers import import_patient  # pydicom takes its time, and the built-in cases do not need it

    return import_patient(path, id=patient_id, series_uid=series)


def take_in(tps: Tps, patient: Patient) -> bool:
    """Add the patient; False when the very same one is there already.

    Raises
    ------
    Refused
        Another patient has this id.
    """
    if patient.id not in tps.patient_ids():
        tps.add_patient(patient)
        return True
    if not _same(tps.patient(patient.id), patient):
        raise Refused(
            f"another patient with the id {patient.id!r} is here already; "
            "import this one with another --id, or use another --data-dir."
        )
    return False


def _same(here: Patient, new: Patient) -> bool:
    """Same image and the same imported structures; helpers made since do not count."""
    return (
        here.grid == new.grid
        and np.array_equal(here.hu, new.hu)
        and all(
            name in here.structures and np.array_equal(here.structures[name].occupancy, structure.occupancy)
            for name, structure in new.structures.items()
        )
    )
