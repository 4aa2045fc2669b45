"""What an Eclipse installation offers to the bridge, and what it lacks, found without changing anything.

The one idea: members are probed, versions never compared; each line of the result says what was looked at, what was
found, and, where something is missing, what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bridge.backends.esapi.chart import doses
from bridge.backends.esapi.chart.chart import EXTERNAL
from bridge.backends.esapi.reach import access, hosts
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reach.site import SiteSettings
from bridge.errors import BridgeError

_NEEDED: Mapping[str, Sequence[str]] = {
    "Patient": ("CanModifyData", "BeginModifications", "AddCourse"),
    "Course": ("ExternalPlanSetups", "CopyPlanSetup", "AddExternalPlanSetup", "RemovePlanSetup"),
    "ExternalPlanSetup": (
        "Optimize",
        "CalculateLeafMotions",
        "CalculateDose",
        "GetModelsForCalculationType",
        "SetPrescription",
        "GetDVHCumulativeData",
        "GetDoseAtVolume",
        "GetVolumeAtDose",
        "PlanNormalizationValue",
    ),
    "OptimizationSetup": ("Objectives", "AddPointObjective", "AddMeanDoseObjective", "AddEUDObjective"),
    "StructureSet": ("Structures", "AddStructure", "RemoveStructure"),
    "Structure": ("SegmentVolume", "GetContoursOnImagePlane", "ConvertToHighResolution"),
    "Dose": ("GetVoxels", "VoxelToDoseValue"),
    "Image": ("GetVoxels", "VoxelToDisplayValue"),
}
_NICE: Mapping[str, Sequence[str]] = {
    "PlanSetup": ("SetTargetStructureIfNoDose", "set_Comment", "set_Name"),
    "Application": ("Calculation", "Equipment"),
    "OptimizationSetup": ("AddAutomaticSbrtNormalTissueObjective",),
}
_CALCULATIONS: Mapping[str, str] = {
    "PhotonIMRTOptimization": "optimisation_model",
    "PhotonLeafMotions": "leaf_motion_model",
    "PhotonVolumeDose": "dose_model",
    "PhotonVMATOptimization": "vmat_model",
}


@dataclass(frozen=True)
class Line:
    """One thing that was looked at."""

    topic: str
    found: str
    remedy: str = ""
    """Empty: nothing is missing."""


def look(host: hosts.Host, site: SiteSettings) -> list[Line]:
    """Look at Eclipse, and at the first patient that is configured; on the ESAPI thread."""
    lines = [Line("Eclipse", host.version() or "does not say its version"), *_members()]
    if not site.patients:
        count = len(host.patient_ids())
        return [
            *lines,
            Line("patients", f"{count} are offered", "name one with --patient to have its plans looked at."),
        ]
    return lines + _tried("patient", lambda: _of_patient(host, site))


def _members() -> list[Line]:
    missing = [
        f"{owner}.{member}" for owner, members in _NEEDED.items() for member in members if not _has(owner, member)
    ]
    newer = [f"{owner}.{member}" for owner, members in _NICE.items() for member in members if _has(owner, member)]
    remedy = "this ESAPI is older than 15.5 or not ESAPI; set dll_folder to a newer one." if missing else ""
    return [
        Line("members needed", f"missing: {', '.join(missing)}" if missing else "all there", remedy),
        Line("members of newer versions", ", ".join(newer) or "none"),
    ]


def _has(owner: str, member: str) -> bool:
    found = getattr(access.api(), owner, None)
    return found is not None and (hasattr(found, f"get_{member}") or hasattr(found, member))


def _of_patient(host: hosts.Host, site: SiteSettings) -> list[Line]:
    patient = host.open(site.patients[0])
    plans = [plan for _, plan in host.plans(patient)]
    lines = _tried("structure set", lambda: _of_structure_set(host.structure_set(patient)))
    lines += [_unit(plans, site), Line("plans", f"{len(plans)} external-beam plans")]
    if not plans:
        return [
            *lines,
            Line("models", "not looked at", "make one plan in Eclipse, so that its models can be asked for."),
        ]
    return lines + [line for each in _CALCULATIONS for line in _tried(each, partial(_model, plans[0], each, site))]


def _of_structure_set(chosen: Any) -> list[Line]:
    outlines = [each for each in access.items(chosen, "Structures") if access.get(each, "DicomType") == EXTERNAL]
    remedy = "" if len(outlines) == 1 else "make exactly one structure of type EXTERNAL in Eclipse."
    return [
        Line("structure set", repr(access.get(chosen, "Id"))),
        Line("body outline", f"{len(outlines)} of DICOM type EXTERNAL", remedy),
    ]


def _unit(plans: Sequence[Any], site: SiteSettings) -> Line:
    seen = doses.site_unit(plans)
    if seen and site.dose_unit and seen != site.dose_unit:
        return Line(
            "unit of dose", f"plans are in {seen}", f"dose_unit is {site.dose_unit!r}; correct it or leave it empty."
        )
    found = seen or site.dose_unit
    return Line("unit of dose", found or "no plan tells", "" if found else "set dose_unit in section [site].")


def _model(plan: Any, calculation: str, site: SiteSettings) -> list[Line]:
    key = _CALCULATIONS[calculation]
    offered = [str(each) for each in access.item_list(plan.GetModelsForCalculationType(_calculation(calculation)))]
    configured = getattr(site, key)
    listed = ", ".join(offered) or "none"
    if configured and configured not in offered:
        return [Line(calculation, listed, f"{key} is {configured!r}, which is not offered; correct it.")]
    if not configured and len(offered) != 1:
        return [Line(calculation, listed, f"name one as {key} in section [site].")]
    chosen = configured or offered[0]
    lines = [Line(calculation, f"{chosen} (of {listed})")]
    return [*lines, _grid(plan, chosen, site)] if key == "dose_model" else lines


def _grid(plan: Any, model: str, site: SiteSettings) -> Line:
    keys = [str(access.get(pair, "Key")) for pair in access.item_list(plan.GetCalculationOptions(model))]
    if site.grid_option and site.grid_option not in keys:
        return Line("dose grid", f"options of {model}: {', '.join(keys) or 'none'}", "grid_option is not among them.")
    return Line("dose grid", site.grid_option or f"not settable; options of {model}: {', '.join(keys) or 'none'}")


def _calculation(name: str) -> Any:
    return access.enum("CalculationType", name)


def _tried(topic: str, look_at: Callable[[], list[Line]]) -> list[Line]:
    """The lines, or one that says why there are none: what cannot be looked at must not hide the rest."""
    try:
        with translated(f"show the {topic}"):
            return look_at()
    except BridgeError as refusal:
        return [Line(topic, "not to be had", refusal.message)]
