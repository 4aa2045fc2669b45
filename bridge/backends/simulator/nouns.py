"""The simulator's frozen data as the contract's nouns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from bridge import model
from bridge.backends.simulator.names import structure_names
from sim_tps import plan as sim
from sim_tps.geometry import Grid
from sim_tps.machine import machines
from sim_tps.naming import tg263_name
from sim_tps.patient import Patient, Structure
from sim_tps.tps import REFERENCE_PLAN


def patient(chart: Patient) -> model.Patient:
    names = structure_names(chart)
    findings = tuple(model.Finding(f.code, f.message, names.get(f.structure or "")) for f in chart.findings)
    return model.Patient(f"patients/{chart.id}", chart.label, findings, chart.prescription_note)


def structure(chart: Patient, found: Structure) -> model.Structure:
    return model.Structure(
        name=structure_names(chart)[found.name],
        label=found.name,
        role=model.StructureRole[found.role.name],
        volume_cc=found.volume_cc,
        centre_mm=None if found.is_empty else found.centre_mm(),
        empty=found.is_empty,
        tg263_name=tg263_name(found.name),
        cut_by_image_edge=found.cut_by_image_edge,
    )


def plan(stored: sim.Plan, chart: Patient) -> model.Plan:
    settings = stored.settings
    imported = settings.id == REFERENCE_PLAN
    names = structure_names(chart)
    return model.Plan(
        name=f"patients/{settings.patient}/plans/{settings.id}",
        patient=f"patients/{settings.patient}",
        label=settings.label,
        state=model.PlanState.LOCKED if imported else model.PlanState.EDITABLE,
        vendor_state="imported" if imported else "editable",
        prescription=None if imported else _prescription(settings.prescription, names),
        normalization=_normalization(settings.normalization, names),
        technique=model.Technique.OTHER if imported else model.Technique.IMRT,
        deliverable=stored.deliverable,
        working_copy=bool(settings.made_by),
        dose=dose_info(stored),
        etag=etag(stored, stored.revision),
        provenance=provenance(dict(settings.made_by)),
    )


def _prescription(prescription: sim.Prescription, names: Mapping[str, str]) -> model.Prescription:
    targets = tuple(model.TargetPrescription(names[t.structure], t.total_gy) for t in prescription.targets)
    return model.Prescription(prescription.fraction_count, targets)


def _normalization(normalization: sim.Normalization, names: Mapping[str, str]) -> model.Normalization:
    match normalization:
        case None:
            return None
        case sim.Percent(percent):
            return model.PercentNormalization(percent)
        case sim.TargetCoverage(target, volume_percent, dose_gy):
            return model.CoverageNormalization(names[target], volume_percent, dose_gy)


def beams(plan_name: str, stored: sim.Plan) -> list[model.Beam]:
    metersets = stored.beam_mu or (None,) * len(stored.settings.beams)
    machine = stored.settings.machine
    return [
        model.Beam(
            name=f"{plan_name}/beams/{field.id}",
            label=field.label or field.id,
            machine=f"machines/{machine}",
            energy=machines()[machine].energies[0],
            isocentre_mm=field.isocentre_mm,
            gantry_deg=field.gantry_deg,
            collimator_deg=field.collimator_deg,
            couch_deg=field.couch_deg,
            meterset_mu=meterset_mu,
        )
        for field, meterset_mu in zip(stored.settings.beams, metersets, strict=True)
    ]


def snapshot(plan_name: str, snapshot_id: str, label: str, created: datetime, kept: sim.Plan) -> model.Snapshot:
    return model.Snapshot(f"{plan_name}/snapshots/{snapshot_id}", plan_name, label, created, etag(kept, kept.revision))


def grid(voxels: Grid) -> model.Grid:
    nz, ny, nx = voxels.shape
    return model.Grid(voxels.origin_mm, voxels.spacing_mm, (nx, ny, nz))


def dose_info(stored: sim.Plan) -> model.DoseInfo:
    dose = stored.raw_dose
    if dose is None or stored.dose_revision is None:
        return model.DoseInfo(model.DoseKind.NONE)
    hottest = int(np.argmax(dose.gy))
    x, y, z = dose.grid.centres_mm(np.array([hottest]))[0]
    return model.DoseInfo(
        kind=model.DoseKind[dose.kind.upper()],
        deliverable=stored.deliverable,
        algorithm=dose.algorithm,
        grid=grid(dose.grid),
        plan_etag=etag(stored, stored.dose_revision),
        max_gy=float(dose.gy.flat[hottest]) * stored.scale,
        max_position_mm=(float(x), float(y), float(z)),
    )


def etag(stored: sim.Plan, revision: int) -> str:
    return f"{stored.settings.id}.{revision}"


def made_by(origin: model.Provenance) -> dict[str, str]:
    fields = {
        "source_plan": origin.source_plan,
        "source_etag": origin.source_etag,
        "principal": origin.principal,
        "client": origin.client,
        "model_id": origin.model_id,
        "created": origin.created.isoformat(),
        "bridge_version": origin.bridge_version,
    }
    return {key: value for key, value in fields.items() if value is not None}


def provenance(pairs: Mapping[str, str]) -> model.Provenance | None:
    if not pairs:
        return None
    return model.Provenance(
        source_plan=pairs.get("source_plan"),
        source_etag=pairs.get("source_etag"),
        principal=pairs["principal"],
        client=pairs["client"],
        model_id=pairs.get("model_id"),
        created=datetime.fromisoformat(pairs["created"]).astimezone(UTC),
        bridge_version=pairs["bridge_version"],
    )
