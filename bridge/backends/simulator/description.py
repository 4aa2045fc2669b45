"""What the simulator says of itself: capabilities, limits, priority scale, planning hints."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from bridge import SPEC_VERSION, model
from sim_tps.tps import MOST_SEQUENCED_BEAMS

_CAPABILITIES: Mapping[str, str] = {
    "dose.grid": "YES",
    "normalization.coverage": "YES",
    "normalization.percent": "YES",
    "objective.dose-volume": "YES",
    "objective.max-dose": "YES",
    "objective.min-dose": "YES",
    "objective.mean": "YES",
    "objective.geud": "YES",
    "objective.uniform": "YES",
    "objective.normal-tissue": "YES",
    "objective.hot-fraction": "YES",
    "objective.role.constraint": "YES",
    "objective.evaluate": "YES",
    "optimize.fluence-only": "YES",
    "optimize.imrt": "YES",
    "optimize.max-iterations": "YES",
    "optimize.max-seconds": "YES",
    "optimize.seed": "YES",
    "optimize.warm-start": "YES",
    "optimize.problem.quadratic-penalty": "YES",
    "optimize.problem.hot-fraction": "YES",
    "operation.cancel.optimize": "CHECKPOINT",
    "operation.cancel.calculate-dose": "CHECKPOINT",
    "operation.progress": "ITERATION",
    "plan.create": "YES",
    "plan.create.beamlet": "YES",
    "plan.create.optimization-grid": "YES",
    "reads.during-operation": "YES",
    "sequencing": "SEPARATE",
    "snapshot.restore": "FULL",
    "structure.derived.scope": "STRUCTURE_SET",
}

_LIMITS = model.Limits(
    max_iterations=1000,
    max_seconds=1800.0,
    max_objectives=200,
    max_beams=360,
    max_lease_s=3600.0,
    max_dose_gy=200.0,
    min_grid_mm=0.8,
)

_SCALE = model.PriorityScale(
    kind=model.PriorityScaleKind.LINEAR,
    minimum=0.0,
    maximum=1000.0,
    default=50.0,
    typical_minimum=5.0,
    typical_maximum=400.0,
    integer=False,
)

_HINTS = model.PlanningHints(
    penalty_form=model.PenaltyForm.MEAN_SQUARED_VIOLATION,
    normalised_by_structure_volume=True,
    dose_between_objective_and_goal_percent=15.0,
    warm_start_keeps_fluence=True,
    texts=(
        "Each objective adds priority x the mean over its structure of the squared violation in Gy.",
        "The mean dilutes a hot spot by the structure's volume: a maximum on the External needs a priority near the "
        "top of the scale, and small rings around the target do the work.",
        "Set an organ's objective below the dose you want: once a dose falls under its objective the penalty is zero "
        "and the organ stops improving.",
        "Constraints are kept to 0.1 % of their dose. The value of one is not weighted: it is the Gy by which it is "
        "missed, 0 when it is kept. Constraints that cannot all be kept end the optimisation with stop reason VENDOR "
        "and a finite plan that misses them by those Gy.",
        "HOT_FRACTION takes HotFraction objectives, each target held by a constraint DoseVolumePoint EQUAL, and "
        "nothing else; QUADRATIC_PENALTY takes no HotFraction. Only ratios of priorities act in it, it does at most 40 "
        "iterations, and it knows nothing of normal tissue: look at the body's maximum.",
        "A warm start continues from the present fluence and converges in fewer iterations after a small change.",
        "Optimize leaves the dose of an ideal fluence (INTERMEDIATE). CalculateDose sequences it for the machine's "
        "leaves and computes what they let through (FINAL): blurred at edges, with leakage elsewhere. Judge that one.",
        f"A plan of more than {MOST_SEQUENCED_BEAMS} beams stands for an arc: it is not sequenced, its dose stays "
        "INTERMEDIATE and it cannot be delivered.",
    ),
)


def server_info() -> model.ServerInfo:
    """Who this TPS is and what it can do."""
    return model.ServerInfo(
        spec_version=SPEC_VERSION,
        product="beamwright",
        product_version=version("beamwright"),
        tps_name="beamwright simulated TPS",
        tps_version=version("beamwright"),
        state=model.ServerState.READY,
        mode=model.ServerMode.SIMULATED,
        profiles=frozenset(model.Profile),
        capabilities=_CAPABILITIES,
        limits=_LIMITS,
        priority_scale=_SCALE,
        hints=_HINTS,
        read_only=False,
    )
