"""Resource names of the simulator's objects: how they are made and how they are read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from bridge import errors
from sim_tps.patient import Patient


def structure_names(patient: Patient) -> dict[str, str]:
    """Structure label -> resource name of safe characters, unique in the patient, in a stable order."""
    names: dict[str, str] = {}
    for label in patient.structures:
        safe = re.sub(r"[^A-Za-z0-9_.~-]+", "-", label).strip("-")[:40] or "structure"
        names[label] = _unique(f"patients/{patient.id}/structures/{safe}", names.values())
    return names


def ids(name: str, *collections: str) -> tuple[str, ...]:
    """The ids in a resource name, e.g. ``patients/P1/plans/a`` with ("patients", "plans") gives ("P1", "a")."""
    parts = name.split("/")
    if len(parts) != 2 * len(collections) or tuple(parts[::2]) != collections:
        shape = "/".join(f"{collection}/ID" for collection in collections)
        raise errors.NotFound(f"{name!r} is not a name of the form {shape}.")
    return tuple(parts[1::2])


def plan_ids(plan: str) -> tuple[str, str]:
    patient_id, plan_id = ids(plan, "patients", "plans")
    return patient_id, plan_id


def parent(name: str, collection: str) -> tuple[str, str]:
    """Plan name and id of something that belongs to a plan."""
    patient_id, plan_id, own_id = ids(name, "patients", "plans", collection)
    return f"patients/{patient_id}/plans/{plan_id}", own_id


def next_id(kind: str, taken: Iterable[str]) -> str:
    numbers = [int(match[1]) for match in (re.fullmatch(rf"{kind}-(\d+)", key) for key in taken) if match]
    return f"{kind}-{max(numbers, default=0) + 1}"


def _unique(name: str, taken: Collection[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
