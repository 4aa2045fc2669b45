"""What a commit would save: a list for people and a digest for the machine.

The one idea: the digest covers everything that can be read of the changed plans and structures. Whoever commits names
the digest they looked at; if anything differs by then, also through the TPS's own windows, the digests differ and
nothing is saved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bridge import model
from bridge.backend import Backend
from bridge.errors import NotFound
from bridge.model import ChangeKind

DELETED = frozenset({ChangeKind.PLAN_DELETED, ChangeKind.STRUCTURE_DELETED})


@dataclass(frozen=True)
class Pending:
    """Changes that wait for a commit."""

    changes: tuple[model.Change, ...]
    digest: str
    etags: Mapping[str, str]
    """Plan that would be saved -> its etag; structure that would be saved -> ''."""


def pending(backend: Backend, patient: str, changed: Mapping[str, ChangeKind]) -> Pending:
    """Look at every changed resource as it stands; for the TPS thread."""
    structures = {structure.name: structure for structure in backend.structures(patient)}
    changes: list[model.Change] = []
    contents: list[Any] = []
    etags: dict[str, str] = {}
    for resource, kind in sorted(changed.items()):
        content: Any = None
        if kind in DELETED:
            summary = "deleted"
        elif resource in structures:
            structure = structures[resource]
            summary, content = _of_structure(structure), asdict(structure)
            etags[resource] = ""
        elif (found := _found(backend, resource)) is None:
            summary = "gone: removed in the TPS's own window"
        else:
            plan, objectives = found
            summary, content = _of_plan(plan, objectives), [asdict(plan), [asdict(each) for each in objectives]]
            etags[resource] = plan.etag
        changes.append(model.Change(kind, resource, summary))
        contents.append([kind.name, resource, content])
    return Pending(tuple(changes), _digest(contents), etags)


def _found(backend: Backend, plan: str) -> tuple[model.Plan, Sequence[model.Objective]] | None:
    """The plan and its objectives; None where a person removed it meanwhile."""
    try:
        return backend.plan(plan), backend.objectives(plan)
    except NotFound:
        return None


def _of_plan(plan: model.Plan, objectives: Sequence[model.Objective]) -> str:
    validity = ", stale" if plan.dose.stale else ""
    return (
        f"{plan.label!r}: {len(objectives)} objectives, {_of_normalization(plan.normalization)}, "
        f"dose {plan.dose.kind.name}{validity}, {'' if plan.deliverable else 'not '}deliverable"
    )


def _of_normalization(normalization: model.Normalization) -> str:
    match normalization:
        case model.PercentNormalization(percent):
            return f"normalised to {percent:g} %"
        case model.CoverageNormalization(structure, volume_percent, dose_gy):
            return f"normalised to {dose_gy:g} Gy in {volume_percent:g} % of {structure}"
    return "not normalised"


def _of_structure(structure: model.Structure) -> str:
    return f"{structure.label!r}: {structure.role.name.lower()}, {structure.volume_cc:.2f} cc"


def _digest(contents: Sequence[Any]) -> str:
    """SHA-256 of one canonical text; enums and times enter by their names."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True, default=str).encode()).hexdigest()
