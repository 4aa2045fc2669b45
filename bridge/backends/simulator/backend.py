"""The simulated TPS behind the contract: the shortest whole backend, and the one to read before writing another.

The one idea: `sim_tps` knows TPS ids (``PTV``, ``plan-1``) and its own frozen data; the contract knows resource names
(``patients/P1/plans/plan-1``) and `bridge.model`. This file translates, nothing more. Functions of objectives are
translated in `bridge.backends.simulator.objectives`.

Next: `sim_tps/tps.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bridge import errors, model
from bridge.backend import Monitor
from bridge.backends.simulator import metrics, nouns, objectives
from bridge.backends.simulator.description import server_info
from bridge.backends.simulator.names import ids, next_id, parent, plan_ids, structure_names
from bridge.backends.simulator.refusals import translated
from sim_tps import plan as sim
from sim_tps.machine import machines
from sim_tps.store import Store
from sim_tps.tps import REFERENCE_PLAN, Tps

if TYPE_CHECKING:
    from sim_tps.engine import Solution

_DEFAULT_MACHINE = "generic-5mm"
_DEFAULT_ITERATIONS = 300
_DEFAULT_SECONDS = 600.0
_DEFAULT_BEAMLET_MM = 5.0


class Simulator:
    """`bridge.backend.Backend` over a data folder of the simulated TPS."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._tps = Tps(Store(data_dir))

    @property
    def tps(self) -> Tps:
        """The simulated TPS itself, for whoever brings patients in."""
        return self._tps

    def info(self) -> model.ServerInfo:
        return server_info()

    # READER -----------------------------------------------------------------------------------------------------

    def patients(self) -> Sequence[model.Patient]:
        with translated():
            return [nouns.patient(self._tps.patient(patient_id)) for patient_id in self._tps.patient_ids()]

    def plans(self, patient: str) -> Sequence[model.Plan]:
        with translated():
            return [self._plan(plan) for plan in self._tps.plans(ids(patient, "patients")[0])]

    def plan(self, plan: str) -> model.Plan:
        with translated():
            return self._plan(self._tps.plan(*plan_ids(plan)))

    def beams(self, plan: str) -> Sequence[model.Beam]:
        with translated():
            return nouns.beams(plan, self._tps.plan(*plan_ids(plan)))

    def structures(self, patient: str) -> Sequence[model.Structure]:
        with translated():
            chart = self._tps.patient(ids(patient, "patients")[0])
            return [nouns.structure(chart, structure) for structure in chart.structures.values()]

    def objectives(self, plan: str) -> Sequence[model.Objective]:
        with translated():
            return self._objectives(self._tps.plan(*plan_ids(plan)))

    def dvh(self, plan: str, structure: str, bin_gy: float) -> model.Dvh:
        with translated():
            patient_id, plan_id = plan_ids(plan)
            dose = self._plan(self._tps.plan(patient_id, plan_id)).dose
            if dose.kind is model.DoseKind.NONE:
                raise errors.NoDose(f"plan {plan!r} has no dose; optimise it and calculate dose first.")
            volume = self._tps.dose_volume(patient_id, plan_id, self._label(structure))
            if volume.volume_cc <= 0.0:
                raise errors.TpsRefused(f"structure {structure!r} is empty: it has no DVH; choose another.")
            return metrics.dvh(structure, dose, volume, bin_gy)

    def evaluate(self, plan: str, queries: Sequence[model.MetricQuery]) -> Sequence[model.MetricResult]:
        with translated():
            patient_id, plan_id = plan_ids(plan)
            labels = {
                name: self._label(name)
                for query in queries
                for name in (query.structure, query.body)
                if name is not None
            }
            return metrics.evaluate(self._tps, patient_id, plan_id, queries, labels)

    # PLANNER ----------------------------------------------------------------------------------------------------

    def begin(self, patient: str) -> None:
        with translated():
            self._tps.patient(ids(patient, "patients")[0])

    def commit(self, patient: str) -> None:
        with translated():
            self._tps.commit(ids(patient, "patients")[0])

    def discard(self, patient: str) -> None:
        self._tps.discard(ids(patient, "patients")[0])

    def copy_plan(self, plan: str, label: str, provenance: model.Provenance) -> model.Plan:
        with translated():
            patient_id, plan_id = plan_ids(plan)
            if plan_id == REFERENCE_PLAN:
                raise errors.PlanNotEditable("the imported reference has no beams to plan with; create a plan instead.")
            new_id = self._new_plan_id(patient_id)
            return self._plan(self._tps.copy_plan(patient_id, plan_id, new_id, label, nouns.made_by(provenance)))

    def delete_plan(self, plan: str) -> None:
        with translated():
            self._tps.delete_plan(*plan_ids(plan))

    def set_normalization(self, plan: str, normalization: model.Normalization) -> model.Plan:
        with translated():
            patient_id, plan_id = plan_ids(plan)
            wanted = self._sim_normalization(normalization)
            return self._plan(self._tps.set_normalization(patient_id, plan_id, wanted))

    def create_objective(self, plan: str, spec: model.ObjectiveSpec) -> model.Objective:
        return self._set_objectives(plan, lambda present: [*present, self._sim_objective(plan, present, spec)])[-1]

    def update_objective(self, objective: str, spec: model.ObjectiveSpec) -> model.Objective:
        plan, objective_id = parent(objective, "objectives")

        def changed(present: list[sim.Objective]) -> list[sim.Objective]:
            _must_have(present, objective_id, objective)
            new = self._sim_objective(plan, present, spec, objective_id)
            return [new if o.id == objective_id else o for o in present]

        stored = self._set_objectives(plan, changed)
        return next(o for o in stored if o.name == objective)

    def delete_objective(self, objective: str) -> None:
        plan, objective_id = parent(objective, "objectives")

        def without(present: list[sim.Objective]) -> list[sim.Objective]:
            _must_have(present, objective_id, objective)
            return [o for o in present if o.id != objective_id]

        self._set_objectives(plan, without)

    def replace_objectives(self, plan: str, specs: Sequence[model.ObjectiveSpec]) -> Sequence[model.Objective]:
        def replaced(_: list[sim.Objective]) -> list[sim.Objective]:
            made: list[sim.Objective] = []
            for spec in specs:
                made.append(self._sim_objective(plan, made, spec))
            return made

        return self._set_objectives(plan, replaced)

    def optimize(self, plan: str, spec: model.OptimizeSpec, monitor: Monitor) -> model.OptimizationResult:
        with translated():
            patient_id, plan_id = plan_ids(plan)
            stored = self._tps.plan(patient_id, plan_id)
            if not stored.settings.objectives:
                raise errors.NoObjectives(f"plan {plan!r} has no objectives; set some before optimising.")
            objectives.require_problem(spec.problem, stored.settings.objectives)
            if spec.start is model.StartPoint.WARM and stored.fluence is None:
                raise errors.NoDose(f"plan {plan!r} has no fluence to go on from; start COLD.")
            changed, solution = self._tps.optimise(
                patient_id,
                plan_id,
                warm=spec.start is model.StartPoint.WARM,
                max_iterations=spec.max_iterations or _DEFAULT_ITERATIONS,
                max_seconds=spec.max_seconds or _DEFAULT_SECONDS,
                seed=spec.seed or 0,
                report=_reporter(monitor),
                cancelled=lambda: monitor.cancelled,
            )
            result = self._optimization_result(changed, solution.total, solution.values)
        return replace(
            result,
            iterations=solution.iterations,
            converged=solution.converged,
            stop_reason=_stop_reason(solution),
        )

    def evaluate_objectives(self, plan: str) -> model.OptimizationResult:
        with translated():
            patient_id, plan_id = plan_ids(plan)
            total, values = self._tps.evaluate_objectives(patient_id, plan_id)
            return self._optimization_result(self._tps.plan(patient_id, plan_id), total, values)

    def calculate_dose(self, plan: str, grid_mm: float | None, monitor: Monitor) -> model.DoseResult:
        with translated():
            patient_id, plan_id = plan_ids(plan)
            if self._tps.plan(patient_id, plan_id).fluence is None:
                raise errors.NoDose(f"plan {plan!r} has no fluence yet; optimise it first.")
            changed = self._tps.calculate_dose(
                patient_id, plan_id, grid_mm, _reporter(monitor), lambda: monitor.cancelled
            )
            done = self._plan(changed)
            return model.DoseResult(done.dose, done.etag)

    def create_snapshot(self, plan: str, label: str) -> model.Snapshot:
        with translated():
            patient_id, plan_id = plan_ids(plan)
            made = self._tps.create_snapshot(patient_id, plan_id, label)
            return nouns.snapshot(plan, made.id, made.label, made.created, made.plan)

    def snapshots(self, plan: str) -> Sequence[model.Snapshot]:
        with translated():
            kept = self._tps.snapshots(*plan_ids(plan))
            return [nouns.snapshot(plan, s.id, s.label, s.created, s.plan) for s in kept]

    def restore_snapshot(self, snapshot: str) -> model.Plan:
        plan, snapshot_id = parent(snapshot, "snapshots")
        with translated():
            patient_id, plan_id = plan_ids(plan)
            return self._plan(self._tps.restore_snapshot(patient_id, plan_id, snapshot_id))

    # AUTHOR -----------------------------------------------------------------------------------------------------

    def machines(self) -> Sequence[model.Machine]:
        return [
            model.Machine(f"machines/{key}", m.label, m.energies, m.head.leaf_width_mm, m.head.max_field_mm)
            for key, m in machines().items()
        ]

    def create_plan(self, patient: str, spec: model.PlanSpec, provenance: model.Provenance) -> model.Plan:
        with translated():
            patient_id = ids(patient, "patients")[0]
            machine = ids(spec.machine, "machines")[0] if spec.machine else _DEFAULT_MACHINE
            self._check_energy(machine, spec.energy)
            settings = sim.PlanSettings(
                id=self._new_plan_id(patient_id),
                label=spec.label,
                patient=patient_id,
                machine=machine,
                beams=tuple(self._sim_beam(patient_id, number, b) for number, b in enumerate(spec.beams, start=1)),
                prescription=sim.Prescription(
                    spec.prescription.fraction_count,
                    tuple(sim.TargetDose(self._label(t.structure), t.total_gy) for t in spec.prescription.targets),
                ),
                dose_grid_mm=spec.dose_grid_mm,
                optimization_grid_mm=spec.optimization_grid_mm,
                beamlet_mm=spec.beamlet_mm or _DEFAULT_BEAMLET_MM,
                made_by=tuple(sorted(nouns.made_by(provenance).items())),
            )
            return self._plan(self._tps.create_plan(settings))

    def create_structure(self, patient: str, label: str, derivation: model.Derivation) -> model.Structure:
        with translated():
            patient_id = ids(patient, "patients")[0]
            made = self._tps.derive_structure(
                patient_id,
                label,
                derivation.kind.name.lower(),
                [self._label(source) for source in derivation.sources],
                derivation.inner_mm,
                derivation.outer_mm,
            )
            return nouns.structure(self._tps.patient(patient_id), made)

    def delete_structure(self, structure: str) -> None:
        with translated():
            patient_id, _ = ids(structure, "patients", "structures")
            self._tps.delete_structure(patient_id, self._label(structure))

    # VOLUME -----------------------------------------------------------------------------------------------------

    def image(self, patient: str) -> model.Volume:
        with translated():
            chart = self._tps.patient(ids(patient, "patients")[0])
            return model.Volume(nouns.grid(chart.grid), chart.hu.astype(np.float32))

    def dose(self, plan: str) -> model.Volume:
        with translated():
            stored = self._tps.plan(*plan_ids(plan))
            if stored.raw_dose is None:
                raise errors.NoDose(f"plan {plan!r} has no dose; optimise it and calculate dose first.")
            dose = self._tps.dose(*plan_ids(plan))
            return model.Volume(nouns.grid(dose.grid), dose.gy, self._plan(stored).dose)

    def mask(self, structure: str) -> model.Volume:
        with translated():
            patient_id, _ = ids(structure, "patients", "structures")
            found = self._tps.patient(patient_id).structure(self._label(structure))
            return model.Volume(nouns.grid(found.image_grid), found.on_image())

    def close(self) -> None:
        self._tps.close()

    # from the contract's words to the simulator's ---------------------------------------------------------------

    def _label(self, structure: str) -> str:
        """The simulator's structure name behind a resource name."""
        patient_id, _ = ids(structure, "patients", "structures")
        for label, name in structure_names(self._tps.patient(patient_id)).items():
            if name == structure:
                return label
        raise errors.NotFound(f"no structure {structure!r}; list the patient's structures again.")

    def _set_objectives(
        self, plan: str, change: Callable[[list[sim.Objective]], list[sim.Objective]]
    ) -> Sequence[model.Objective]:
        with translated():
            patient_id, plan_id = plan_ids(plan)
            present = list(self._tps.plan(patient_id, plan_id).settings.objectives)
            return self._objectives(self._tps.set_objectives(patient_id, plan_id, change(present)))

    def _sim_objective(
        self, plan: str, present: Sequence[sim.Objective], spec: model.ObjectiveSpec, objective_id: str | None = None
    ) -> sim.Objective:
        highest_gy = self._tps.plan(*plan_ids(plan)).settings.prescription.highest_gy
        new_id = objective_id or next_id("objective", (o.id for o in present))
        return objectives.to_sim(spec, new_id, self._label(spec.structure), highest_gy)

    def _sim_beam(self, patient_id: str, number: int, spec: model.BeamSpec) -> sim.Beam:
        if spec.isocentre_mm is not None:
            isocentre = spec.isocentre_mm
        elif spec.isocentre_structure is not None:
            isocentre = self._tps.patient(patient_id).structure(self._label(spec.isocentre_structure)).centre_mm()
        else:
            raise errors.InvalidField(f"beam {number}: give isocentre_mm or isocentre_structure.")
        return sim.Beam(f"beam-{number}", isocentre, spec.gantry_deg, spec.collimator_deg, spec.couch_deg, spec.label)

    def _sim_normalization(self, normalization: model.Normalization) -> sim.Normalization:
        match normalization:
            case None:
                return None
            case model.PercentNormalization(percent):
                return sim.Percent(percent)
            case model.CoverageNormalization(structure, volume_percent, dose_gy):
                return sim.TargetCoverage(self._label(structure), volume_percent, dose_gy)

    def _check_energy(self, machine: str, energy: str | None) -> None:
        offered = self._tps.machine(machine).energies
        if energy is not None and energy not in offered:
            raise errors.InvalidField(f"machine {machine!r} has no energy {energy!r}; it has {', '.join(offered)}.")

    def _new_plan_id(self, patient_id: str) -> str:
        return next_id("plan", (plan.settings.id for plan in self._tps.plans(patient_id)))

    # from the simulator's words to the contract's ---------------------------------------------------------------

    def _plan(self, plan: sim.Plan) -> model.Plan:
        return nouns.plan(plan, self._tps.patient(plan.settings.patient))

    def _objectives(self, plan: sim.Plan) -> Sequence[model.Objective]:
        settings = plan.settings
        names = structure_names(self._tps.patient(settings.patient))
        parent_name = f"patients/{settings.patient}/plans/{settings.id}/objectives"
        values = dict(plan.values)
        highest_gy = settings.prescription.highest_gy
        return [
            objectives.to_model(o, f"{parent_name}/{o.id}", names[o.structure], values.get(o.id), highest_gy)
            for o in settings.objectives
        ]

    def _optimization_result(
        self, plan: sim.Plan, total: float, values: Mapping[str, float]
    ) -> model.OptimizationResult:
        shown = self._plan(plan)
        return model.OptimizationResult(
            total_value=total,
            granularity=model.ValueGranularity.PER_OBJECTIVE,
            values={f"{shown.name}/objectives/{key}": value for key, value in values.items()},
            iterations=0,
            converged=False,
            stop_reason=model.StopReason.VENDOR,
            dose=shown.dose,
            plan_etag=shown.etag,
        )


def _must_have(present: Sequence[sim.Objective], objective_id: str, name: str) -> None:
    if all(o.id != objective_id for o in present):
        raise errors.NotFound(f"no objective {name!r}; list the plan's objectives again.")


def _stop_reason(solution: Solution) -> model.StopReason:
    """VENDOR where it could not get better because the constraints cannot all be kept."""
    reason = model.StopReason[solution.stop_reason.name]
    return model.StopReason.VENDOR if reason is model.StopReason.CONVERGED and solution.unmet else reason


def _reporter(monitor: Monitor) -> Callable[[str, float | None, int | None, float | None], None]:
    def report(stage: str, percent: float | None, iteration: int | None, value: float | None) -> None:
        monitor.report(model.Progress(stage, percent, iteration, value))

    return report
