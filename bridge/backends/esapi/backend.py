"""Eclipse as a `bridge.backend.Backend`: each method names a room and the thread does the rest.

The one idea: a read runs on the ESAPI thread, or is answered from the last answers while long work holds that thread;
a write runs there and makes the last answers void; long work holds the thread, after the cheap facts of its plan have
been read in for those who ask meanwhile. One patient is open at a time.

Next: `bridge/backends/esapi/chart/chart.py`, then `bridge/backends/esapi/reading/plans.py`, a room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bridge import errors, model
from bridge.backend import Monitor
from bridge.backends.esapi.chart import names
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.chart.records import Records, SiteFacts
from bridge.backends.esapi.description import server_info
from bridge.backends.esapi.making import authoring, copies, helpers, normalizing, snapshots, taking_back
from bridge.backends.esapi.memory import Memory
from bridge.backends.esapi.objectives import stored as objectives
from bridge.backends.esapi.reach import access, faults
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reach.hosts import Host
from bridge.backends.esapi.reach.site import SiteSettings
from bridge.backends.esapi.reach.thread import EsapiThread, Held
from bridge.backends.esapi.reading import contours, dvh, metrics, plans, structures, volumes
from bridge.backends.esapi.recall import Recall
from bridge.backends.esapi.working import calculating, optimizing

T = TypeVar("T")
Room = Callable[[Chart], T]

_OF_PLAN: Mapping[str, Callable[[Chart, str], object]] = {
    "plan": plans.read,
    "beams": plans.beams,
    "objectives": objectives.read,
    "snapshots": snapshots.list_all,
}
_CHEAP: Mapping[str, Callable[[Chart, str], object]] = {
    **_OF_PLAN,
    "plans": lambda chart, _: plans.read_all(chart),
    "structures": lambda chart, _: structures.read_all(chart),
}
"""What is asked -> the room that answers it without a calculation."""

_TELLING = ("Id2", "FirstName", "LastName", "MiddleName")


class Eclipse:
    """`bridge.backend.Backend` over ESAPI.

    Parameters
    ----------
    thread : EsapiThread
        Owns ESAPI; closed by `close`.
    make_host : function
        Makes the host; called on ``thread`` at once.
    site : SiteSettings
        The clinic's configuration.
    patient_key : bytes
        Hides patient ids in names; the same key gives the same names.
    tg263 : function, optional
        The TG-263 name that a structure's label stands for.
    memory_folder : Path, optional
        Where the records of committed plans outlive this process.

    Raises
    ------
    TpsUnavailable
        Eclipse does not run, or does not let us in.
    """

    def __init__(
        self,
        thread: EsapiThread,
        make_host: Callable[[], Host],
        site: SiteSettings,
        patient_key: bytes,
        tg263: Callable[[str], str | None] = lambda _label: None,
        memory_folder: Path | None = None,
    ) -> None:
        self._thread = thread
        self._site = site
        self._key = patient_key
        self._tg263 = tg263
        self._recall = Recall()
        self._memory = Memory(memory_folder)
        self._facts = SiteFacts()
        self._records: dict[str, Records] = {}
        self._ids: dict[str, str] = {}
        self._chart: Chart | None = None
        self._opened_at_s = 0.0
        self._is_writing = False
        self._left_behind: Mapping[str, str] | None = {}
        self._is_patient_gone = False
        self._info = thread.call(lambda: self._attach(make_host))

    def info(self) -> model.ServerInfo:
        return replace(self._info, state=model.ServerState.LOST) if self._thread.closed else self._info

    @property
    def left_behind(self) -> Mapping[str, str] | None:
        """In Eclipse: what the last `discard` could not take back, as `taking_back.take_back` tells it."""
        return self._left_behind

    # READER -----------------------------------------------------------------------------------------------------

    def patients(self) -> Sequence[model.Patient]:
        return self._answer("patients", self._list_patients)

    def plans(self, patient: str) -> Sequence[model.Plan]:
        return self._read(patient, ("plans", patient), plans.read_all)

    def plan(self, plan: str) -> model.Plan:
        return self._read(plan, ("plan", plan), lambda chart: plans.read(chart, plan))

    def beams(self, plan: str) -> Sequence[model.Beam]:
        return self._read(plan, ("beams", plan), lambda chart: plans.beams(chart, plan))

    def structures(self, patient: str) -> Sequence[model.Structure]:
        return self._read(patient, ("structures", patient), structures.read_all)

    def objectives(self, plan: str) -> Sequence[model.Objective]:
        return self._read(plan, ("objectives", plan), lambda chart: objectives.read(chart, plan))

    def dvh(self, plan: str, structure: str, bin_gy: float) -> model.Dvh:
        return self._read(
            plan, ("dvh", plan, structure, bin_gy), lambda chart: dvh.read(chart, plan, structure, bin_gy)
        )

    def evaluate(self, plan: str, queries: Sequence[model.MetricQuery]) -> Sequence[model.MetricResult]:
        return self._read(plan, ("metrics", plan, *queries), lambda chart: metrics.evaluate(chart, plan, queries))

    # PLANNER ----------------------------------------------------------------------------------------------------

    def begin(self, patient: str) -> None:
        self._thread.call(lambda: self._begin(patient))

    def commit(self, patient: str) -> None:
        self._write(patient, self._commit)

    def discard(self, patient: str) -> None:
        self._thread.call(lambda: self._discard(patient))
        self._recall.forget()

    def copy_plan(self, plan: str, label: str, provenance: model.Provenance) -> model.Plan:
        return self._write(plan, lambda chart: copies.copy(chart, plan, label, provenance))

    def delete_plan(self, plan: str) -> None:
        self._change(plan, lambda chart: copies.delete(chart, plan))

    def set_normalization(self, plan: str, normalization: model.Normalization) -> model.Plan:
        return self._change(plan, lambda chart: normalizing.set(chart, plan, normalization))

    def create_objective(self, plan: str, spec: model.ObjectiveSpec) -> model.Objective:
        return self._change(plan, lambda chart: objectives.create(chart, plan, spec))

    def update_objective(self, objective: str, spec: model.ObjectiveSpec) -> model.Objective:
        return self._change(objective, lambda chart: objectives.update(chart, objective, spec))

    def delete_objective(self, objective: str) -> None:
        self._change(objective, lambda chart: objectives.delete(chart, objective))

    def replace_objectives(self, plan: str, specs: Sequence[model.ObjectiveSpec]) -> Sequence[model.Objective]:
        return self._change(plan, lambda chart: objectives.replace(chart, plan, specs))

    def optimize(self, plan: str, spec: model.OptimizeSpec, monitor: Monitor) -> model.OptimizationResult:
        return self._work(plan, lambda chart: optimizing.run(chart, plan, spec, monitor))

    def evaluate_objectives(self, plan: str) -> model.OptimizationResult:
        raise errors.CapabilityMissing(
            f"Eclipse cannot evaluate the objectives of {plan!r} without optimising; look at metrics instead.",
            metadata={"capability": "objective.evaluate"},
        )

    def calculate_dose(self, plan: str, grid_mm: float | None, monitor: Monitor) -> model.DoseResult:
        return self._work(plan, lambda chart: calculating.run(chart, plan, grid_mm, monitor))

    def create_snapshot(self, plan: str, label: str) -> model.Snapshot:
        return self._change(plan, lambda chart: snapshots.create(chart, plan, label))

    def snapshots(self, plan: str) -> Sequence[model.Snapshot]:
        return self._read(plan, ("snapshots", plan), lambda chart: snapshots.list_all(chart, plan))

    def restore_snapshot(self, snapshot: str) -> model.Plan:
        return self._change(snapshot, lambda chart: snapshots.restore(chart, snapshot))

    # AUTHOR -----------------------------------------------------------------------------------------------------

    def machines(self) -> Sequence[model.Machine]:
        return self._answer("machines", lambda: authoring.machines(self._site, self._chart))

    def create_plan(self, patient: str, spec: model.PlanSpec, provenance: model.Provenance) -> model.Plan:
        return self._write(patient, lambda chart: authoring.create_plan(chart, spec, provenance))

    def create_structure(self, patient: str, label: str, derivation: model.Derivation) -> model.Structure:
        return self._write(patient, lambda chart: helpers.create(chart, label, derivation))

    def delete_structure(self, structure: str) -> None:
        self._write(structure, lambda chart: helpers.delete(chart, structure))

    # VOLUME -----------------------------------------------------------------------------------------------------

    def image(self, patient: str) -> model.Volume:
        return self._read(patient, None, volumes.image)

    def dose(self, plan: str) -> model.Volume:
        return self._read(plan, None, lambda chart: volumes.dose(chart, plan))

    def mask(self, structure: str) -> model.Volume:
        return self._read(structure, None, lambda chart: contours.mask(chart, structure))

    def close(self) -> None:
        """Let the patient go, and Eclipse after it."""
        self._recall.forget()
        if not self._thread.closed:
            try:
                self._thread.call(self._host.close)
            finally:
                self._thread.close()

    # how things are run -----------------------------------------------------------------------------------------

    def _read(self, name: str, question: Hashable, room: Room[T]) -> T:
        """What ``room`` finds in the patient that ``name`` belongs to; kept, unless ``question`` is None."""
        return self._answer(question, lambda: room(self._open(names.patient_of(name))))

    def _answer(self, question: Hashable, find: Callable[[], T]) -> T:
        def answer() -> T:
            with translated("answer"):
                found = find()
            if question is not None:
                self._recall.keep(question, found)
            return found

        try:
            return self._thread.call_if_free(answer)
        except Held:
            return self._recall.answer(question)  # type: ignore[no-any-return]

    def _write(self, name: str, room: Room[T]) -> T:
        def change() -> T:
            with translated("change the patient"):
                return room(self._open(names.patient_of(name)))

        try:
            return self._thread.call(change)
        finally:
            self._recall.forget()

    def _change(self, name: str, room: Room[T]) -> T:
        """A write to a plan, or to something of it, that is still the bridge's to write to."""

        def still_ours(chart: Chart) -> T:
            self._require_ours(chart, name)
            return room(chart)

        return self._write(name, still_ours)

    def _require_ours(self, chart: Chart, name: str) -> None:
        if self._host.in_eclipse:
            chart.require_not_handed_over(chart.plan(names.plan_of(name)))

    def _work(self, plan: str, room: Room[T]) -> T:
        def labour() -> T:
            with translated("work on the plan"):
                return room(self._open(names.patient_of(plan)))

        self._thread.call(lambda: self._read_in(plan))  # before the thread is held: who asks meanwhile waits a moment
        try:
            return self._thread.work(labour)
        finally:
            self._recall.forget()

    def _read_in(self, plan: str) -> None:
        """What is cheap, for those who ask meanwhile: the operation's plan, and what was asked before."""
        with translated("read the patient"):
            self._keep_facts(self._open(names.patient_of(plan)), plan)

    def _keep_facts(self, chart: Chart, plan: str) -> None:
        self._require_ours(chart, plan)
        asked = [each for each in self._recall.questions() if isinstance(each, tuple) and each[0] in _CHEAP]
        here = [(kind, name) for kind, name in asked if names.patient_of(name) == chart.name]
        self._recall.forget()  # a person may have changed since what was asked then
        self._recall.keep("patients", self._offered())
        for kind, name in dict.fromkeys([*here, *((kind, plan) for kind in _OF_PLAN)]):
            with suppress(errors.BridgeError):  # what is gone is answered as gone, when there is time
                self._recall.keep((kind, name), _CHEAP[kind](chart, name))

    # on the ESAPI thread ----------------------------------------------------------------------------------------

    def _attach(self, make_host: Callable[[], Host]) -> model.ServerInfo:
        with translated("start"):
            self._host = make_host()
            return server_info(self._site, in_eclipse=self._host.in_eclipse, tps_version=self._host.version())

    def _list_patients(self) -> list[model.Patient]:
        self._ids = {names.patient_name(self._key, each): each for each in self._host.patient_ids()}
        return self._offered()

    def _offered(self) -> list[model.Patient]:
        return [model.Patient(name, self._label(name, each)) for name, each in self._ids.items()]

    def _label(self, name: str, patient_id: str) -> str:
        return patient_id if self._site.patient_labels == "id" else name.rpartition("/")[2][:8]

    def _open(self, patient: str) -> Chart:
        """The chart of a patient, opened for reading where it is not open yet."""
        if self._is_patient_gone:
            raise errors.TpsUnavailable(
                "the patient was closed in Eclipse during the session. Open it there, look whether uncommitted work "
                "was saved with it, and start the script again."
            )
        if self._chart is not None and self._chart.name == patient and not self._is_outdated():
            self._chart.look_anew()
            return self._chart
        if self._is_writing:
            raise errors.TpsBusy(
                "Eclipse has another patient open for writing, and opens one at a time. Try again when that session "
                "has ended.",
                retry_after_s=5.0,
            )
        self._chart = None
        patient_id = self._id_of(patient)
        opened = self._host.open(patient_id)
        faults.hide((patient_id, *(str(access.get(opened, name) or "") for name in _TELLING)))
        try:
            chosen = self._host.structure_set(opened)
        except BaseException:
            self._host.let_go()
            raise
        records = self._records_of(patient)
        self._chart = Chart(self._host, self._site, patient, opened, chosen, records, self._facts, self._tg263)
        self._opened_at_s = time.monotonic()
        return self._chart

    def _is_outdated(self) -> bool:
        """Whether others may have saved what a patient that was opened for reading does not show."""
        if self._host.in_eclipse or self._is_writing:
            return False
        return time.monotonic() - self._opened_at_s >= self._site.reread_s

    def _let_go(self) -> None:
        if not self._host.in_eclipse:
            self._host.let_go()
            self._chart = None

    def _records_of(self, patient: str) -> Records:
        if patient not in self._records:
            self._records[patient] = Records(remembered=lambda uid: self._memory.record(patient, uid))
        return self._records[patient]

    def _id_of(self, patient: str) -> str:
        if patient not in self._ids:
            self._list_patients()
        if patient not in self._ids:
            raise errors.NotFound(f"there is no patient {patient!r}; ListPatients shows those there are.")
        return self._ids[patient]

    def _begin(self, patient: str) -> None:
        with translated("take the patient for writing"):
            if not self._is_writing:  # else the session goes on after its commit
                self._let_go()
            self._open(patient)
            self._host.begin()
        self._is_writing = True

    def _commit(self, chart: Chart) -> None:
        """Keep the records, then save; a save that fails leaves both as they were."""
        try:
            before = self._memory.write(chart.name, chart.records.made_plans())
        except OSError as error:
            raise errors.TpsRefused(
                f"what Eclipse cannot keep about the plans could not be written to {error.filename!r} "
                f"({error.strerror}), so nothing was saved. Mend that, and commit again."
            ) from error
        try:
            self._host.save()
        except BaseException:
            self._memory.put_back(before)
            raise
        if not self._host.in_eclipse:  # saving may leave nothing of what was read before
            chart.structure_set = self._host.structure_set(chart.patient)
        chart.records.commit()

    def _discard(self, patient: str) -> None:
        chart = self._chart if self._chart is not None and self._chart.name == patient else None
        self._left_behind = {}
        if chart is not None and not self._host.in_eclipse:
            self._let_go()  # or it is tried again: until then what is unsaved is still there
        try:
            if chart is not None and self._host.in_eclipse:
                self._left_behind = taking_back.take_back(chart)
        finally:
            self._records_of(patient).forget_uncommitted()
            self._is_writing = False
