"""A whole run on a synthetic patient, made without any TPS: real records, volumes small enough for a fast test.

The patient is an elliptic cylinder of water with a spherical target, a cord behind it and a gland beside it that
overlaps the target; the dose falls off as a Gaussian around the target's centre, with a hot spot at a known place.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import numpy as np

from agent.records import Attempt, Conflict, DoseChange, GoalResult, GoalStatus, RunResult
from agent.run_folder import Run
from agent.volumes import ReferencePlan, Volumes, cropped
from bridge import model

PRESCRIPTION_GY = 60.0
HOT_SPOT_MM = (12.0, 4.0, 8.0)
GRID = model.Grid((-60.0, -48.0, -40.0), (4.0, 4.0, 4.0), (31, 25, 21))
DOSE_GRID = model.Grid((-57.0, -45.0, -37.0), (3.0, 3.0, 3.0), (39, 31, 26))
ROLES = {
    "Body": model.StructureRole.EXTERNAL,
    "PTV": model.StructureRole.TARGET,
    "SpinalCord": model.StructureRole.OAR,
    "Parotid_L": model.StructureRole.OAR,
}
PATIENT = "patients/P1"
PLAN = f"{PATIENT}/plans/plan-1"


def make_run(*, label: str = "Parotid_L", volumes: bool = True, missed: bool = False) -> Run:
    """A run of two attempts; the second is the best.

    Parameters
    ----------
    label : what the TPS calls the gland: hostile names go here.
    volumes : whether the server streamed volumes.
    missed : the rank-1 goal of the cord is missed at the end too.
    """
    masks = {(label if name == "Parotid_L" else name): mask for name, mask in _masks().items()}
    first, second = _dose(width_mm=34.0), _dose(width_mm=26.0)
    structures = tuple(_structure(name, label, mask) for name, mask in _masks().items())
    attempts = (
        _attempt(1, first, masks, label, cord_gy=48.2, gland_gy=31.0, missed=True),
        _attempt(2, second, masks, label, cord_gy=46.1 if missed else 41.3, gland_gy=27.4, missed=missed),
    )
    result = RunResult(
        case="synthetic",
        protocol="test-60",
        planner="rules",
        seed=7,
        attempts=attempts,
        best=2,
        stop_reason="every rank-1 and rank-2 goal that can be met is met",
        conflicts=(Conflict(("PTV D95%[Gy]", f"{label} Mean[Gy]"), "12 % of the gland lies inside the target."),),
        seconds=12.5,
        tps_calls=61,
        plan=_plan(attempts[-1].dose),
        beams=tuple(_beam(number, gantry) for number, gantry in enumerate((0.0, 120.0, 240.0), start=1)),
        structures=structures,
        findings=(model.Finding("air-in-target", "0.4 cc of air lies inside PTV.", f"{PATIENT}/structures/PTV"),),
        server=_server(),
        versions={"beamwright": "0.1.0", "numpy": np.__version__},
        notes=("zRing_0_10 was empty and left out.",),
    )
    reference = ReferencePlan(
        "Clinical",
        model.DoseInfo(model.DoseKind.IMPORTED),
        {name: _dvh(name, first, mask) for name, mask in masks.items()},
    )
    image = model.Volume(GRID, np.where(_masks()["Body"].values > 0.5, 20.0, -1000.0).astype(np.float32))
    kept = {name: cropped(mask) for name, mask in masks.items()}
    return Run(result, Volumes(image, second, kept) if volumes else None, reference)


def _masks() -> dict[str, model.Volume]:
    z, y, x = np.meshgrid(*(_axis(a) for a in (2, 1, 0)), indexing="ij")
    shapes = {
        "Body": (x / 52) ** 2 + (y / 40) ** 2 <= 1,
        "PTV": x**2 + y**2 + z**2 <= 18**2,
        "SpinalCord": x**2 + (y - 30) ** 2 <= 6**2,
        "Parotid_L": (x - 24) ** 2 + y**2 + z**2 <= 10**2,
    }
    return {name: model.Volume(GRID, inside.astype(np.float32)) for name, inside in shapes.items()}


def _dose(width_mm: float) -> model.Volume:
    z, y, x = np.meshgrid(*(_axis(a, DOSE_GRID) for a in (2, 1, 0)), indexing="ij")
    far = np.maximum(np.sqrt(x**2 + y**2 + z**2) - 18.0, 0.0)
    gy = PRESCRIPTION_GY * 1.02 * np.exp(-((far / width_mm) ** 2))
    hot = (x - HOT_SPOT_MM[0]) ** 2 + (y - HOT_SPOT_MM[1]) ** 2 + (z - HOT_SPOT_MM[2]) ** 2
    values = (gy + 5.0 * np.exp(-hot / 30.0)).astype(np.float32)
    info = model.DoseInfo(
        model.DoseKind.INTERMEDIATE,
        algorithm="pencil beam",
        grid=DOSE_GRID,
        plan_etag="e2",
        max_gy=float(values.max()),
        max_position_mm=HOT_SPOT_MM,
    )
    return model.Volume(DOSE_GRID, values, info)


def _axis(index: int, grid: model.Grid = GRID) -> np.ndarray:
    return grid.origin_mm[index] + grid.spacing_mm[index] * np.arange(grid.size[index])


def _dvh(name: str, dose: model.Volume, mask: model.Volume) -> model.Dvh:
    nearest = [
        np.clip(
            np.rint((_axis(a) - DOSE_GRID.origin_mm[a]) / DOSE_GRID.spacing_mm[a]).astype(int), 0, DOSE_GRID.size[a] - 1
        )
        for a in (2, 1, 0)
    ]
    inside = dose.values[np.ix_(*nearest)][mask.values > 0.5].astype(np.float64)
    bins = np.arange(0.0, 70.0, 0.5)
    volume = 100.0 * (inside[None, :] >= bins[:, None]).mean(axis=1)
    return model.Dvh(
        structure=f"{PATIENT}/structures/{name}",
        dose=dose.dose,
        volume_cc=inside.size * 0.064,
        dose_gy=bins,
        volume_percent=volume,
        min_gy=float(inside.min()),
        max_gy=float(inside.max()),
        mean_gy=float(inside.mean()),
        median_gy=float(np.median(inside)),
        coverage_percent=100.0,
    )


def _attempt(
    number: int,
    dose: model.Volume,
    masks: dict[str, model.Volume],
    label: str,
    *,
    cord_gy: float,
    gland_gy: float,
    missed: bool,
) -> Attempt:
    assert dose.dose is not None
    cord = GoalStatus.MISSED if missed else GoalStatus.MET
    goals = (
        GoalResult("PTV", "D95%[Gy]", ">=", 60.0, "Gy", 1, GoalStatus.MET, 60.0, 57.0, source="own"),
        GoalResult("SpinalCord", "D0.03cc[Gy]", "<=", 45.0, "Gy", 1, cord, cord_gy, source="QUANTEC"),
        GoalResult(label, "Mean[Gy]", "<=", 26.0, "Gy", 2, GoalStatus.ACCEPTABLE, gland_gy, 30.0, "12 % inside PTV"),
        GoalResult("PTV", "CI Paddick", ">=", 0.8, "", 3, GoalStatus.MET, 0.84, 0.7),
        GoalResult(
            "Brainstem", "D0.03cc[Gy]", "<=", 54.0, "Gy", 1, GoalStatus.NOT_EVALUABLE, note="not in this patient"
        ),
    )
    return Attempt(
        number=number,
        rationale="Start from the template." if number == 1 else "The cord is 3.2 Gy over: push it harder.",
        changes=() if number == 1 else ("SpinalCord max 40 Gy: priority 200 -> 320",),
        objectives=_objectives(),
        goals=goals,
        dvhs={name: _dvh(name, dose, mask) for name, mask in masks.items()},
        dose=dose.dose,
        iterations=80,
        total_value=12.3 / number,
        seconds=5.5,
        tps_calls=24,
        snapshot=f"{PLAN}/snapshots/{number}",
        kept=True,
        normalization_percent=101.3,
    )


def _objectives() -> tuple[model.Objective, ...]:
    ptv, cord, gland = (f"{PATIENT}/structures/{name}" for name in ("PTV", "SpinalCord", "Parotid_L"))
    point = model.DoseVolumePoint(model.Bound.LOWER, 60.6, 99.0)
    return (
        model.Objective(f"{PLAN}/objectives/1", model.ObjectiveSpec(ptv, point, 200.0), value=3.21),
        model.Objective(f"{PLAN}/objectives/2", model.ObjectiveSpec(cord, model.MaxDose(40.0), 320.0), value=0.52),
        model.Objective(f"{PLAN}/objectives/3", model.ObjectiveSpec(gland, model.MeanDose(20.0), 40.0), value=2.42),
    )


def _structure(name: str, gland: str, mask: model.Volume) -> model.Structure:
    return model.Structure(
        name=f"{PATIENT}/structures/{name}",
        label=gland if name == "Parotid_L" else name,
        role=ROLES[name],
        volume_cc=float(mask.values.sum()) * 0.064,
        centre_mm=(0.0, 0.0, 0.0),
        empty=False,
        tg263_name=name,
        cut_by_image_edge=name == "SpinalCord",
    )


def _plan(dose: model.DoseInfo) -> model.Plan:
    ptv = f"{PATIENT}/structures/PTV"
    return model.Plan(
        name=PLAN,
        patient=PATIENT,
        label="beamwright",
        state=model.PlanState.EDITABLE,
        vendor_state="open",
        prescription=model.Prescription(30, (model.TargetPrescription(ptv, PRESCRIPTION_GY),)),
        normalization=model.CoverageNormalization(ptv, 95.0, PRESCRIPTION_GY),
        technique=model.Technique.IMRT,
        deliverable=False,
        working_copy=True,
        dose=dose,
        etag="e2",
        provenance=model.Provenance(None, None, "local", "beamwright", None, datetime(2026, 1, 2, tzinfo=UTC), "0.1.0"),
    )


def _beam(number: int, gantry_deg: float) -> model.Beam:
    return model.Beam(
        f"{PLAN}/beams/{number}", f"B{number}", "generic-6mv", "6X", (0.0, 0.0, 0.0), gantry_deg, 0.0, 0.0
    )


def _server() -> model.ServerInfo:
    return model.ServerInfo(
        spec_version="1.0.0",
        product="beamwright",
        product_version="0.1.0",
        tps_name="simulator",
        tps_version="0.1.0",
        state=model.ServerState.READY,
        mode=model.ServerMode.SIMULATED,
        profiles=frozenset(model.Profile),
        capabilities={"sequencing": "NONE"},
        limits=model.Limits(500, 600.0, 100, 200, 120.0, 200.0, 1.0),
        priority_scale=model.PriorityScale(model.PriorityScaleKind.LINEAR, 0, 1000, 100, 10, 300, False),
        hints=model.PlanningHints(model.PenaltyForm.MEAN_SQUARED_VIOLATION, True, 2.0, True, ("Keep rings.",)),
        read_only=False,
    )


def sequenced(run: Run) -> Run:
    """The same run on a TPS that sequences leaves: FINAL doses, MU, and what sequencing did to each attempt."""
    changes = (DoseChange("PTV D95%", 59.84, 59.24), DoseChange("hottest point", 63.1, 64.0))
    attempts = tuple(
        dataclasses.replace(
            a, dose=dataclasses.replace(a.dose, kind=model.DoseKind.FINAL, deliverable=True), sequencing=changes
        )
        for a in run.result.attempts
    )
    beams = tuple(dataclasses.replace(beam, meterset_mu=123.4) for beam in run.result.beams)
    return dataclasses.replace(run, result=dataclasses.replace(run.result, attempts=attempts, beams=beams))


def without_position(run: Run) -> Run:
    """The same run on a TPS that does not say where its maximum is."""
    attempts = tuple(
        dataclasses.replace(a, dose=dataclasses.replace(a.dose, max_gy=None, max_position_mm=None))
        for a in run.result.attempts
    )
    return dataclasses.replace(run, result=dataclasses.replace(run.result, attempts=attempts))
