"""The simulated treatment planning system: patients, plans, and what can be done with them.

The one idea: a plan is frozen data and every change replaces it, so readers never see a half-made plan and going back
is keeping the old one. What was changed since the last `commit` of a patient lives in memory only; `discard` forgets
it. Long work takes a ``report`` and a ``cancelled`` callable. Nothing here knows of gRPC.

Next: `sim_tps/engine.py` for dose and optimisation, `sim_tps/store.py` for what survives a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from sim_tps.checks import check_beamlet, check_beams, check_objectives, check_prescription, checked_targets
from sim_tps.delivery.delivery import Delivery, deliver
from sim_tps.delivery.fluence import CELL_MM
from sim_tps.dose.density import box_grid
from sim_tps.dvh import DoseVolume
from sim_tps.errors import BadInput, NotFound, Refused
from sim_tps.geometry import Grid
from sim_tps.machine import Machine, machines
from sim_tps.memory import check_dose_memory, check_optimisation_memory
from sim_tps.patient import Patient, Structure
from sim_tps.plan import Dose, Normalization, Objective, Percent, Plan, PlanSettings, Prescription
from sim_tps.progress import IsCancelled, Report, silent
from sim_tps.structures import derive

if TYPE_CHECKING:
    from sim_tps.engine import PlanEngine, Solution
    from sim_tps.store import Store


MOST_SEQUENCED_BEAMS = 20
"""Plans of fixed fields have fewer. One of more fields stands for an arc, which is not a row of sequenced fields."""
PENCIL_BEAM = "pencil beam, three depth-separable kernels (Bortfeld 1993), radiological depth"
REFERENCE_PLAN = "reference"
_ENGINES_KEPT = 2


@dataclass(frozen=True)
class Snapshot:
    """A plan as it stood."""

    id: str
    label: str
    created: datetime
    plan: Plan


@dataclass
class _Chart:
    """One patient as it stands now, with the plans and helpers that are not saved yet."""

    patient: Patient
    plans: dict[str, Plan]
    helpers: frozenset[str]
    snapshots: dict[str, dict[str, Snapshot]]


class Tps:
    """The whole system; one object per data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._charts: dict[str, _Chart] = {}
        self._engines: dict[tuple[object, ...], PlanEngine] = {}
        self._volumes: WeakKeyDictionary[Dose, dict[Structure, DoseVolume]] = WeakKeyDictionary()
        self._deliveries: WeakKeyDictionary[Dose, Delivery] = WeakKeyDictionary()
        self._lock = RLock()
        self._engine_turn = RLock()
        self._counter = 0

    def close(self) -> None:
        self._store.close()

    # patients and structures ------------------------------------------------------------------------------------

    def patient_ids(self) -> list[str]:
        return self._store.patient_ids()

    def add_patient(self, patient: Patient) -> None:
        """Take a patient in, for good."""
        if patient.id in self._store.patient_ids():
            raise Refused(f"patient {patient.id!r} is already here; give the new one another id.")
        self._store.save_patient(patient)

    def patient(self, patient_id: str) -> Patient:
        return self._chart(patient_id).patient

    def derive_structure(
        self, patient_id: str, name: str, kind: str, sources: Sequence[str], inner_mm: float, outer_mm: float
    ) -> Structure:
        """Make a helper structure from others, kept inside the External; its name starts with ``z``."""
        chart = self._chart(patient_id)
        if not name.startswith("z"):
            raise BadInput(f"helper structure {name!r}: its name must start with 'z' (TG-263), e.g. {'z' + name!r}.")
        if name in chart.patient.structures:
            raise Refused(f"patient {patient_id!r} already has a structure {name!r}; choose another name.")
        made = derive(
            name,
            kind,
            [chart.patient.structure(source) for source in sources],
            inner_mm=inner_mm,
            outer_mm=outer_mm,
            external=chart.patient.external,
        )
        self._set_structures(chart, {**chart.patient.structures, name: made}, chart.helpers | {name})
        return made

    def delete_structure(self, patient_id: str, name: str) -> None:
        """Remove a helper structure that no objective uses."""
        chart = self._chart(patient_id)
        if name not in chart.helpers:
            raise Refused(f"structure {name!r} was not made here; only helper structures can be deleted.")
        users = [p.settings.id for p in chart.plans.values() if any(o.structure == name for o in p.settings.objectives)]
        if users:
            raise Refused(f"structure {name!r} is used by objectives of plan {users[0]!r}; delete those first.")
        left = {key: value for key, value in chart.patient.structures.items() if key != name}
        self._set_structures(chart, left, chart.helpers - {name})

    # plans ------------------------------------------------------------------------------------------------------

    def plans(self, patient_id: str) -> list[Plan]:
        return list(self._chart(patient_id).plans.values())

    def plan(self, patient_id: str, plan_id: str) -> Plan:
        plans = self._chart(patient_id).plans
        try:
            return plans[plan_id]
        except KeyError:
            raise NotFound(f"patient {patient_id!r} has no plan {plan_id!r}; it has {sorted(plans)}.") from None

    def create_plan(self, settings: PlanSettings) -> Plan:
        """Add a plan; its beams are checked against the machine and the image before anything is kept."""
        chart = self._chart(settings.patient)
        if settings.id in chart.plans:
            raise Refused(f"patient {settings.patient!r} already has a plan {settings.id!r}.")
        self.machine(settings.machine)
        _check_settings(settings, chart.patient)
        return self._put(Plan(settings, revision=1))

    def copy_plan(self, patient_id: str, plan_id: str, new_id: str, label: str, made_by: Mapping[str, str]) -> Plan:
        source = self.plan(patient_id, plan_id)
        settings = replace(source.settings, id=new_id, label=label, made_by=tuple(sorted(made_by.items())))
        return self._put(replace(source, settings=settings, revision=1))

    def delete_plan(self, patient_id: str, plan_id: str) -> None:
        self.plan(patient_id, plan_id)
        chart = self._chart(patient_id)
        with self._lock:
            del chart.plans[plan_id]
            chart.snapshots.pop(plan_id, None)

    def set_objectives(self, patient_id: str, plan_id: str, objectives: Sequence[Objective]) -> Plan:
        """Replace all objectives; one that cannot be used leaves the old ones in place."""
        plan = self.plan(patient_id, plan_id)
        check_objectives(self.patient(patient_id), objectives)
        return self._change(plan, settings=replace(plan.settings, objectives=tuple(objectives)))

    def set_normalization(self, patient_id: str, plan_id: str, normalization: Normalization) -> Plan:
        """Choose how dose and MU are scaled; takes effect at once when there is a dose."""
        plan = self.plan(patient_id, plan_id)
        settings = replace(plan.settings, normalization=normalization)
        return self._put(self._scaled(replace(plan, revision=plan.revision + 1, settings=settings)))

    # long work --------------------------------------------------------------------------------------------------

    def optimise(
        self,
        patient_id: str,
        plan_id: str,
        *,
        warm: bool,
        max_iterations: int,
        max_seconds: float,
        seed: int,
        report: Report,
        cancelled: IsCancelled,
    ) -> tuple[Plan, Solution]:
        """Find fluences for the plan's objectives; the dose that follows is on the optimisation grid."""
        plan = self.plan(patient_id, plan_id)
        if not plan.settings.objectives:
            raise Refused(f"plan {plan_id!r} has no objectives; set some before optimising.")
        if max_iterations < 1 or not max_seconds > 0.0:
            raise BadInput(
                f"{max_iterations} iterations in {max_seconds} s at most; expected at least 1, and above 0 s."
            )
        engine = self._engine(plan, seed, report, cancelled)
        solution, gy = engine.optimise_with_dose(
            plan.settings.objectives,
            start=plan.fluence if warm else None,
            max_iterations=max_iterations,
            max_seconds=max_seconds,
            report=report,
            cancelled=cancelled,
        )
        optimised = replace(plan, fluence=solution.fluence, values=tuple(solution.values.items()))
        return self._with_dose(
            optimised, Dose(gy, engine.optimization_grid, "intermediate", _algorithm(plan.settings))
        ), solution

    def calculate_dose(
        self, patient_id: str, plan_id: str, grid_mm: float | None, report: Report, cancelled: IsCancelled
    ) -> Plan:
        """Sequence the plan's fluence, and its final dose on the plan's dose grid (or another), then normalised.

        A plan that stands for an arc is not sequenced: its dose stays that of the fluence.
        """
        plan = self.plan(patient_id, plan_id)
        if plan.fluence is None:
            raise Refused(f"plan {plan_id!r} has no fluence yet; optimise it first.")
        settings = plan.settings
        grid = dose_grid(self.patient(patient_id), settings.dose_grid_mm if grid_mm is None else grid_mm)
        check_dose_memory(grid, len(settings.beams))
        engine = self._engine(plan, 0, report, cancelled)
        if _stands_for_arc(settings):
            gy = engine.dose(plan.fluence, grid, report=report, cancelled=cancelled)
            return self._with_dose(plan, Dose(gy, grid, "intermediate", _algorithm(settings)))
        delivery = self._sequenced(plan, report, cancelled)
        gy = engine.delivered_dose(delivery.parts, settings.prescription.fraction_count, grid, report, cancelled)
        dose = Dose(gy, grid, "final", _algorithm(settings, delivery))
        self._deliveries[dose] = delivery
        return self._with_dose(plan, dose, delivery.beam_mu)

    def evaluate_objectives(self, patient_id: str, plan_id: str) -> tuple[float, Mapping[str, float]]:
        """Weighted objective values of the present fluence."""
        plan = self.plan(patient_id, plan_id)
        if plan.fluence is None:
            raise Refused(f"plan {plan_id!r} has no fluence yet; optimise it first.")
        return self._engine(plan, 0, silent, lambda: False).evaluate(plan.settings.objectives, plan.fluence)

    # what came out ----------------------------------------------------------------------------------------------

    def dose(self, patient_id: str, plan_id: str) -> Dose:
        """The plan's normalised dose."""
        plan = self.plan(patient_id, plan_id)
        if plan.raw_dose is None:
            raise Refused(f"plan {plan_id!r} has no dose; optimise it and calculate dose first.")
        return _normalised(plan, plan.raw_dose)

    def dose_volume(self, patient_id: str, plan_id: str, structure: str) -> DoseVolume:
        """The plan's normalised dose in one structure."""
        plan = self.plan(patient_id, plan_id)
        if plan.raw_dose is None:
            raise Refused(f"plan {plan_id!r} has no dose; optimise it and calculate dose first.")
        return self._raw_volume(plan.raw_dose, self.patient(patient_id).structure(structure)).scaled(plan.scale)

    def delivery(self, patient_id: str, plan_id: str) -> Delivery:
        """Control points and MU of the plan's final dose, as it is normalised."""
        plan = self.plan(patient_id, plan_id)
        if _stands_for_arc(plan.settings):
            raise Refused(
                f"plan {plan_id!r} has no control points: its {len(plan.settings.beams)} beams stand for an arc, which "
                f"is not sequenced. Make a plan of {MOST_SEQUENCED_BEAMS} beams or fewer."
            )
        if plan.raw_dose is None or plan.raw_dose.kind != "final":
            raise Refused(f"plan {plan_id!r} has no control points yet; calculate its dose, which sequences it.")
        return self._raw_delivery(plan, plan.raw_dose).scaled(self.machine(plan.settings.machine), plan.scale)

    # snapshots --------------------------------------------------------------------------------------------------

    def create_snapshot(self, patient_id: str, plan_id: str, label: str) -> Snapshot:
        plan = self.plan(patient_id, plan_id)
        with self._lock:
            self._counter += 1
            snapshot = Snapshot(f"snapshot-{self._counter}", label, datetime.now(UTC), plan)
            self._chart(patient_id).snapshots.setdefault(plan_id, {})[snapshot.id] = snapshot
        return snapshot

    def snapshots(self, patient_id: str, plan_id: str) -> list[Snapshot]:
        self.plan(patient_id, plan_id)
        return list(self._chart(patient_id).snapshots.get(plan_id, {}).values())

    def restore_snapshot(self, patient_id: str, plan_id: str, snapshot_id: str) -> Plan:
        """The plan as it stood, under a new revision."""
        kept = self._chart(patient_id).snapshots.get(plan_id, {})
        if snapshot_id not in kept:
            raise NotFound(f"plan {plan_id!r} has no snapshot {snapshot_id!r}; it has {sorted(kept)}.")
        return self._put(replace(kept[snapshot_id].plan, revision=self.plan(patient_id, plan_id).revision + 1))

    # saving -----------------------------------------------------------------------------------------------------

    def commit(self, patient_id: str) -> None:
        """Save the patient's plans and helper structures as they stand."""
        chart = self._chart(patient_id)
        plans = [plan for plan in chart.plans.values() if plan.settings.id != REFERENCE_PLAN]
        self._store.commit(patient_id, plans, [chart.patient.structures[name] for name in sorted(chart.helpers)])

    def discard(self, patient_id: str) -> None:
        """Forget everything about the patient that was not saved."""
        with self._lock:
            self._charts.pop(patient_id, None)

    def machine(self, machine_id: str) -> Machine:
        known = machines()
        try:
            return known[machine_id]
        except KeyError:
            raise NotFound(f"no machine {machine_id!r}; there are {sorted(known)}.") from None

    # helpers ----------------------------------------------------------------------------------------------------

    def _chart(self, patient_id: str) -> _Chart:
        with self._lock:
            if patient_id not in self._charts:
                self._charts[patient_id] = self._load(patient_id)
            return self._charts[patient_id]

    def _load(self, patient_id: str) -> _Chart:
        patient = self._store.load_patient(patient_id)
        helpers = self._store.load_helpers(patient_id, patient.grid)
        structures = {**patient.structures, **{s.name: s for s in helpers}}
        plans = {plan.settings.id: plan for plan in self._store.load_plans(patient_id)}
        if patient.reference_dose is not None:
            plans[REFERENCE_PLAN] = _reference_plan(patient)
        names = frozenset(s.name for s in helpers)
        return _Chart(replace(patient, structures=structures), plans, names, {})

    def _set_structures(self, chart: _Chart, structures: Mapping[str, Structure], helpers: frozenset[str]) -> None:
        with self._lock:
            chart.patient = replace(chart.patient, structures=structures)
            chart.helpers = helpers

    def _put(self, plan: Plan) -> Plan:
        with self._lock:
            self._chart(plan.settings.patient).plans[plan.settings.id] = plan
        return plan

    def _change(self, plan: Plan, **changes: object) -> Plan:
        return self._put(replace(plan, revision=plan.revision + 1, **changes))  # type: ignore[arg-type]

    def _with_dose(self, plan: Plan, dose: Dose, raw_beam_mu: tuple[float, ...] = ()) -> Plan:
        revision = plan.revision + 1
        made = replace(plan, revision=revision, raw_dose=dose, dose_revision=revision, raw_beam_mu=raw_beam_mu)
        return self._put(self._scaled(made))

    def _scaled(self, plan: Plan) -> Plan:
        """The plan scaled as its normalisation asks, and what the head says to its MU then."""
        scale = self._scale(plan)
        if plan.raw_dose is None or plan.raw_dose.kind != "final":
            return replace(plan, scale=scale, findings=())
        delivery = self._raw_delivery(plan, plan.raw_dose).scaled(self.machine(plan.settings.machine), scale)
        return replace(plan, scale=scale, findings=tuple(finding.message for finding in delivery.findings))

    def _raw_delivery(self, plan: Plan, dose: Dose) -> Delivery:
        """What a final dose was made from; it follows from the fluence, and is kept as long as the dose is."""
        if dose not in self._deliveries:
            self._deliveries[dose] = self._sequenced(plan, silent, lambda: False)
        return self._deliveries[dose]

    def _sequenced(self, plan: Plan, report: Report, cancelled: IsCancelled) -> Delivery:
        assert plan.fluence is not None
        settings = plan.settings
        return deliver(
            self.machine(settings.machine),
            self._engine(plan, 0, report, cancelled).fields,
            plan.fluence,
            settings.prescription.fraction_count,
            settings.technique,
            report=report,
            cancelled=cancelled,
        )

    def _scale(self, plan: Plan) -> float:
        """The factor that the plan's normalisation asks for; 1 while there is no dose."""
        wanted = plan.settings.normalization
        if isinstance(wanted, Percent):
            return wanted.percent / 100.0
        if wanted is None or plan.raw_dose is None:
            return 1.0
        structure = self.patient(plan.settings.patient).structure(wanted.structure)
        reached = self._raw_volume(plan.raw_dose, structure).dose_at_percent(wanted.volume_percent)
        if reached <= 0.0:
            raise Refused(
                f"plan {plan.settings.id!r} cannot be normalised: {wanted.volume_percent:g} % of {wanted.structure!r} "
                f"gets {reached:g} Gy; give its objectives a higher priority and optimise again."
            )
        return wanted.dose_gy / reached

    def _raw_volume(self, dose: Dose, structure: Structure) -> DoseVolume:
        """Samples of a dose in a structure, kept as long as the dose is."""
        known = self._volumes.setdefault(dose, {})
        if structure not in known:
            known[structure] = DoseVolume.of(structure, dose.gy, dose.grid)
        return known[structure]

    def _engine(self, plan: Plan, seed: int, report: Report, cancelled: IsCancelled) -> PlanEngine:
        """The engine for this plan's geometry, kept from the last call where nothing that matters changed."""
        from sim_tps.engine import PlanEngine

        settings, patient = plan.settings, self.patient(plan.settings.patient)
        key = (settings.patient, settings.machine, settings.beams, settings.optimization_grid_mm, settings.dose_grid_mm)
        key += (settings.beamlet_mm, settings.prescription, seed, id(patient.hu))
        with self._engine_turn:
            if key not in self._engines:
                self._engines[key] = PlanEngine(
                    patient,
                    settings.beams,
                    self.machine(settings.machine),
                    [target.structure for target in settings.prescription.targets],
                    dose_grid=dose_grid(patient, settings.dose_grid_mm),
                    optimization_grid=optimization_grid(patient, settings),
                    beamlet_mm=settings.beamlet_mm,
                    seed=seed,
                    report=report,
                    cancelled=cancelled,
                )
                while len(self._engines) > _ENGINES_KEPT:
                    self._engines.pop(next(iter(self._engines)))
            engine = self._engines[key]
        engine.use(patient)
        return engine


def dose_grid(patient: Patient, spacing_mm: float | None) -> Grid:
    """The voxels dose is computed on: the External's box, in image voxels or in cubes of ``spacing_mm``."""
    box = box_grid(patient.grid, patient.external.slices)
    if spacing_mm is None:
        return box
    if not (isfinite(spacing_mm) and spacing_mm > 0.0):
        raise BadInput(f"a grid of {spacing_mm} mm; expected a voxel size above 0 mm, e.g. 2.5.")
    return box.resampled((spacing_mm, spacing_mm, spacing_mm))


def optimization_grid(patient: Patient, settings: PlanSettings) -> Grid:
    """The voxels a plan's objectives are judged on."""
    spacing_mm = settings.optimization_grid_mm
    return dose_grid(patient, settings.dose_grid_mm if spacing_mm is None else spacing_mm)


def _check_settings(settings: PlanSettings, patient: Patient) -> None:
    """Refuse a plan that cannot be made on this patient, or whose grids this machine has no memory for."""
    check_beams(patient, settings.beams)
    check_beamlet(settings.beamlet_mm)
    check_prescription(settings.prescription)
    targets = checked_targets(patient, [target.structure for target in settings.prescription.targets])
    check_objectives(patient, settings.objectives)
    check_dose_memory(dose_grid(patient, settings.dose_grid_mm), len(settings.beams))
    check_optimisation_memory(optimization_grid(patient, settings), len(settings.beams), targets)


def _stands_for_arc(settings: PlanSettings) -> bool:
    return len(settings.beams) > MOST_SEQUENCED_BEAMS


def _algorithm(settings: PlanSettings, delivery: Delivery | None = None) -> str:
    """How a dose was computed, and of what, in words."""
    if delivery is not None:
        cells = f"{settings.technique.value} on the leaves of {settings.machine}, in cells of {CELL_MM:g} mm"
        closed = sum(not parts for parts in delivery.parts)
        shut = f"; {closed} of {len(delivery.parts)} beams deliver nothing" if closed else ""
        return f"{PENCIL_BEAM}; {cells}{shut}"
    why = f": {len(settings.beams)} beams stand for an arc" if _stands_for_arc(settings) else ""
    return f"{PENCIL_BEAM}; ideal fluence, not sequenced{why}"


def _normalised(plan: Plan, raw: Dose) -> Dose:
    return raw if plan.scale == 1.0 else replace(raw, gy=raw.gy * np.float32(plan.scale))


def _reference_plan(patient: Patient) -> Plan:
    """The dose that came with the patient, as a plan that can be read and not written."""
    reference = patient.reference_dose
    assert reference is not None
    settings = PlanSettings(REFERENCE_PLAN, reference.label, patient.id, "", (), Prescription(1, ()), None, None, 5.0)
    return Plan(settings, 1, raw_dose=Dose(reference.dose_gy, reference.grid, "imported", "imported"), dose_revision=1)
