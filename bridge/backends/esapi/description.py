"""What Eclipse says of itself: capabilities, limits, priority scale, planning hints.

The one idea: ESAPI tells none of this, so it follows from the configuration and from the host, once, when the server
starts; a call for it never reaches Eclipse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version

from bridge import SPEC_VERSION, model
from bridge.backends.esapi.reach.site import ARC, SiteSettings

_ALWAYS: Mapping[str, str] = {
    "normalization.coverage": "YES",
    "normalization.percent": "YES",
    "objective.dose-volume": "YES",
    "objective.max-dose": "YES",
    "objective.min-dose": "YES",
    "objective.mean": "YES",
    "objective.geud": "YES",
    "objective.normal-tissue": "YES",
    "operation.cancel.calculate-dose": "NONE",
    "optimize.warm-start": "YES",
    "optimize.problem.quadratic-penalty": "YES",
    "reads.during-operation": "CACHED",
    "sequencing": "SEPARATE",
    "snapshot.restore": "CONFIG_ONLY",
    "structure.derived.scope": "STRUCTURE_SET",
}

_MOST_SECONDS = 7200.0
_MOST_OBJECTIVES = 200
_MOST_BEAMS = 20
_LONGEST_LEASE_S = 3600.0

_HINTS = model.PlanningHints(
    penalty_form=model.PenaltyForm.VENDOR,
    normalised_by_structure_volume=True,
    dose_between_objective_and_goal_percent=None,
    warm_start_keeps_fluence=True,
    texts=(
        "Only ratios of priorities act, and how a priority acts is the vendor's secret: change the few that matter and "
        "look at the dose again.",
        "Set an organ's objective below the dose you want: once a dose falls under its objective nothing improves it.",
        "Optimize leaves a fluence and no dose that may be judged; CalculateDose makes the leaf sequence and the dose.",
        "Values after an optimisation are per structure, not per objective.",
        "Helper structures are seen by everybody who uses the structure set.",
    ),
)

_LEFT_TO_A_PERSON = (
    "A commit hands the plan to the person at Eclipse, who saves it: from then on it can be read and copied, and not "
    "changed or deleted. To go on, copy it.",
)
"""In Eclipse."""


def server_info(site: SiteSettings, *, in_eclipse: bool, tps_version: str) -> model.ServerInfo:
    """Who this TPS is and what it can do, here."""
    return model.ServerInfo(
        spec_version=SPEC_VERSION,
        product="beamwright",
        product_version=version("beamwright"),
        tps_name="Eclipse",
        tps_version=tps_version,
        state=model.ServerState.READY,
        mode=model.ServerMode[site.mode.upper()],
        profiles=frozenset(model.Profile),
        capabilities=_capabilities(site, in_eclipse=in_eclipse),
        limits=_limits(site),
        priority_scale=_scale(site),
        hints=replace(_HINTS, texts=_HINTS.texts + _LEFT_TO_A_PERSON) if in_eclipse else _HINTS,
        read_only=not site.writable,
    )


def _capabilities(site: SiteSettings, *, in_eclipse: bool) -> Mapping[str, str]:
    in_chunks = site.chunk_iterations > 0 and site.technique != ARC  # arcs are optimised in one go
    found = {
        **_ALWAYS,
        "operation.cancel.optimize": "CHECKPOINT" if in_chunks else "NONE",
        "operation.progress": "ITERATION" if in_chunks else "STAGE",
    }
    if site.technique == ARC:
        found["optimize.vmat"] = "YES"
    else:
        found |= {"optimize.imrt": "YES", "optimize.max-iterations": "YES"}
    if site.grid_option:
        found["dose.grid"] = "YES"
    if in_eclipse:
        found["commit.by-person"] = "YES"
    elif site.mode == "clinical":
        found["commit.confirmation"] = "REQUIRED"
    if not in_eclipse and site.makes_plans:  # the contract has no words for an arc that is to be made
        found["plan.create"] = "YES"
    return found


def _limits(site: SiteSettings) -> model.Limits:
    return model.Limits(
        max_iterations=site.max_iterations,
        max_seconds=_MOST_SECONDS,
        max_objectives=_MOST_OBJECTIVES,
        max_beams=_MOST_BEAMS,
        max_lease_s=_LONGEST_LEASE_S,
        max_dose_gy=site.max_dose_gy,
        min_grid_mm=site.min_grid_mm,
        max_plan_label_length=site.max_plan_id_length,
        max_structure_label_length=site.max_structure_id_length,
    )


def _scale(site: SiteSettings) -> model.PriorityScale:
    return model.PriorityScale(
        kind=model.PriorityScaleKind.VENDOR,
        minimum=site.priority_min,
        maximum=site.priority_max,
        default=site.priority_default,
        typical_minimum=site.priority_typical_min,
        typical_maximum=site.priority_typical_max,
        integer=False,
    )
