"""Structures as the contract sees them.

The one idea: what a structure is for is read from its DICOM type, the clinic's own word for it, and never guessed from
its name; only a CONTROL structure whose id begins with ``z``, as helpers' ids do, is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge import model
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access

_ROLES: Mapping[str, model.StructureRole] = {
    "PTV": model.StructureRole.TARGET,
    "CTV": model.StructureRole.TARGET,
    "GTV": model.StructureRole.TARGET,
    "TREATED_VOLUME": model.StructureRole.TARGET,
    "IRRAD_VOLUME": model.StructureRole.TARGET,
    "EXTERNAL": model.StructureRole.EXTERNAL,
    "SUPPORT": model.StructureRole.SUPPORT,
    "FIXATION": model.StructureRole.SUPPORT,
}


def read_all(chart: Chart) -> Sequence[model.Structure]:
    return [shown(chart, structure) for structure in chart.structures()]


def shown(chart: Chart, structure: Any) -> model.Structure:
    """An ESAPI structure in the contract's words."""
    label = str(access.get(structure, "Id"))
    empty = is_empty(structure)
    return model.Structure(
        name=chart.structure_name(structure),
        label=label,
        role=role(str(access.get(structure, "DicomType")), label),
        volume_cc=0.0 if empty else float(access.get(structure, "Volume")),
        centre_mm=None if empty else access.xyz(access.get(structure, "CenterPoint")),
        empty=empty,
        tg263_name=chart.tg263(label),
    )


def is_empty(structure: Any) -> bool:
    """Whether it has no segment at all, or an empty one."""
    return not access.get(structure, "HasSegment") or bool(access.get(structure, "IsEmpty"))


def role(dicom_type: str, label: str) -> model.StructureRole:
    if dicom_type == "CONTROL" and label.startswith("z"):
        return model.StructureRole.HELPER
    return _ROLES.get(dicom_type, model.StructureRole.OAR)
