"""What a person at Eclipse sees of a session: its window, and the list of what was made or changed.

The one idea: the backend is served through `Told`, which passes every call on and writes down what it did. What the
list holds at the end is what is left in Eclipse, so the person who saves knows what they save.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast

from bridge import model
from bridge.backend import Backend, Monitor
from bridge.backends.esapi.chart import names
from bridge.errors import BridgeError, NotFound, TpsUnavailable

IDLE = "idle: waiting for the agent"
HELD = "an agent holds the patient for writing"
EDITED = "objectives set"
KEPT = "committed: what is listed stays in Eclipse, for you to save; the agent does not change it any more"
GONE = "the patient was closed in Eclipse; whether uncommitted work was saved with it cannot be seen from here"

T = TypeVar("T")


class SessionWindow:
    """The window of the C# side; each member may be used from any thread, except `breathe`."""

    def __init__(self, window: Any) -> None:
        self._window = window
        self._told: dict[str, str] = {}
        self._is_breathless = False

    @property
    def closed(self) -> bool:
        """Whether the person wants the session to end."""
        return bool(self._window.get_Closed())

    def say(self, line: str) -> None:
        """Add a line to the log."""
        self._window.Say(line)

    def show(self, what: str, value: str) -> None:
        """Set one of the facts, where it is another than before."""
        if self._told.get(what) != value:
            self._told[what] = value
            self._window.Show(what, value)

    def breathe(self) -> None:
        """Give Eclipse's own window a turn; on the thread that Eclipse lent.

        A window that cannot be given one stands still until the end; the session goes on, and ends in order.
        """
        if self._is_breathless:
            return
        try:
            self._window.Breathe()
        except Exception as error:
            self._is_breathless = True
            self.say(f"Eclipse's window gets no turns any more ({error}); it answers again when the session has ended.")


@dataclass
class _Entry:
    """A plan or a structure of this session."""

    what: str
    origin: str
    done: Counter[str] = field(default_factory=Counter)
    committed: str = ""
    """How it was kept; empty before the commit."""
    stuck: bool = False
    """It could not be taken back."""

    def line(self) -> str:
        acts = [act if times == 1 else f"{act} {times}×" for act, times in self.done.items()]
        end = "could not be taken back" if self.stuck else self.committed or "not committed yet"
        return "; ".join([f"{self.what}: {self.origin}", *acts, end])


class Ledger:
    """What the session made in Eclipse and has not taken back; may be used from any thread."""

    def __init__(self) -> None:
        self.begun = False
        """Something was, or could have been, written."""
        self.blind = False
        """The patient was closed in Eclipse before uncommitted work was taken back."""
        self._entries: dict[str, _Entry] = {}
        self._stuck: list[_Entry] = []
        self._lock = threading.Lock()

    def add(self, name: str, origin: str) -> None:
        with self._lock:
            self._entries[name] = _Entry(shown(name), origin)

    def note(self, name: str, act: str) -> None:
        with self._lock:
            if name in self._entries:
                self._entries[name].done[act] += 1

    def drop(self, name: str) -> None:
        with self._lock:
            self._entries.pop(name, None)

    def commit(self, how: str) -> None:
        with self._lock:
            for entry in self._entries.values():
                entry.committed = entry.committed or how

    def discard(self, left: Mapping[str, str] | None) -> None:
        """Drop what is not committed, except what stays in Eclipse: name then -> name now; None: that is not known."""
        with self._lock:
            self.blind = self.blind or left is None
            if left is None:
                return
            doomed = {name: entry for name, entry in self._entries.items() if not entry.committed}
            for name, entry in doomed.items():
                del self._entries[name]
                if name in left:
                    was = "" if left[name] == name else f" (made as {entry.what})"
                    self._stuck.append(replace(entry, what=shown(left[name]) + was, stuck=True))

    def lines(self) -> list[str]:
        with self._lock:
            return [entry.line() for entry in (*self._entries.values(), *self._stuck)]

    def left(self) -> tuple[list[str], list[str]]:
        """What was committed, and what was neither committed nor taken back."""
        with self._lock:
            entries = [*self._entries.values(), *self._stuck]
            kept = [entry.what for entry in entries if entry.committed]
            stuck = [entry.what for entry in entries if not entry.committed]
        return kept, stuck


class AtEclipse(Backend, Protocol):
    """A backend where a person saves."""

    @property
    def left_behind(self) -> Mapping[str, str] | None:
        """What the last `discard` could not take back: name then -> name now; None: the patient was closed."""
        ...


class Told:
    """A backend that passes every call on, and tells window and ledger of the writes; see `told`."""

    def __init__(self, backend: AtEclipse, window: SessionWindow, ledger: Ledger) -> None:
        self._backend = backend
        self._window = window
        self._ledger = ledger
        self._ending = threading.Event()
        self._is_held = False
        self._person_saves = "commit.by-person" in backend.info().capabilities
        self.busy = False
        """Whether a long calculation runs."""

    def end(self) -> None:
        """Begin nothing new, and ask what runs to stop at its next chance."""
        self._ending.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def begin(self, patient: str) -> None:
        self._do("taking the patient for writing", lambda: self._backend.begin(patient))
        if not self._is_held:  # a session begins anew after each commit
            self._tell("an agent has taken the patient for writing")
        self._is_held = self._ledger.begun = True
        self._window.show("state", HELD)

    def commit(self, patient: str) -> None:
        self._do("committing", lambda: self._backend.commit(patient), also_while_ending=True)
        self._ledger.commit("kept" if self._person_saves else "saved")
        self._tell(KEPT if self._person_saves else "committed: saved in Eclipse's database")

    def discard(self, patient: str) -> None:
        self._do("taking back", lambda: self._backend.discard(patient), also_while_ending=True)
        self._is_held = False
        left = self._backend.left_behind if self._person_saves else {}
        self._ledger.discard(left)
        self._tell(_taken_back(left))
        self._window.show("state", IDLE)

    def copy_plan(self, plan: str, label: str, provenance: model.Provenance) -> model.Plan:
        made = self._do("copying a plan", lambda: self._backend.copy_plan(plan, label, provenance))
        self._ledger.add(made.name, f"copy of {shown(plan)}")
        self._tell(f"made {shown(made.name)} as a copy of {shown(plan)}")
        return made

    def create_plan(self, patient: str, spec: model.PlanSpec, provenance: model.Provenance) -> model.Plan:
        made = self._do("making a plan", lambda: self._backend.create_plan(patient, spec, provenance))
        self._ledger.add(made.name, "new")
        self._tell(f"made {shown(made.name)}")
        return made

    def create_structure(self, patient: str, label: str, derivation: model.Derivation) -> model.Structure:
        made = self._do("making a structure", lambda: self._backend.create_structure(patient, label, derivation))
        self._ledger.add(made.name, "new")
        self._tell(f"made {shown(made.name)}")
        return made

    def delete_plan(self, plan: str) -> None:
        self._do("deleting a plan", lambda: self._backend.delete_plan(plan))
        self._ledger.drop(plan)
        self._tell(f"deleted {shown(plan)}")

    def delete_structure(self, structure: str) -> None:
        self._do("deleting a structure", lambda: self._backend.delete_structure(structure))
        self._ledger.drop(structure)
        self._tell(f"deleted {shown(structure)}")

    def set_normalization(self, plan: str, normalization: model.Normalization) -> model.Plan:
        return self._act(plan, "normalised", lambda: self._backend.set_normalization(plan, normalization))

    def create_objective(self, plan: str, spec: model.ObjectiveSpec) -> model.Objective:
        return self._act(plan, EDITED, lambda: self._backend.create_objective(plan, spec))

    def update_objective(self, objective: str, spec: model.ObjectiveSpec) -> model.Objective:
        return self._act(objective, EDITED, lambda: self._backend.update_objective(objective, spec))

    def delete_objective(self, objective: str) -> None:
        self._act(objective, EDITED, lambda: self._backend.delete_objective(objective))

    def replace_objectives(self, plan: str, specs: Sequence[model.ObjectiveSpec]) -> Sequence[model.Objective]:
        return self._act(plan, EDITED, lambda: self._backend.replace_objectives(plan, specs))

    def restore_snapshot(self, snapshot: str) -> model.Plan:
        return self._act(snapshot, "put back to a snapshot", lambda: self._backend.restore_snapshot(snapshot))

    def optimize(self, plan: str, spec: model.OptimizeSpec, monitor: Monitor) -> model.OptimizationResult:
        heard = self._heard(monitor, f"optimising {shown(plan)}")
        return self._calculate(plan, "optimised", heard, lambda: self._backend.optimize(plan, spec, heard))

    def calculate_dose(self, plan: str, grid_mm: float | None, monitor: Monitor) -> model.DoseResult:
        heard = self._heard(monitor, f"calculating the dose of {shown(plan)}")
        return self._calculate(
            plan, "dose calculated", heard, lambda: self._backend.calculate_dose(plan, grid_mm, heard)
        )

    def _heard(self, monitor: Monitor, doing: str) -> _Heard:
        return _Heard(monitor, self._window, self._ending, f"{doing} since {datetime.now():%H:%M:%S}")

    def _calculate(self, plan: str, done: str, heard: _Heard, run: Callable[[], T]) -> T:
        self._window.say(heard.doing)
        self._window.show("state", heard.doing)
        self.busy = True
        try:
            result = self._act(plan, done, run)
        finally:
            self.busy = False
            self._window.show("state", HELD)
        self._window.say(f"{done}: {shown(plan)}")
        return result

    def _act(self, name: str, done: str, act: Callable[[], T]) -> T:
        result = self._do(done, act)
        self._ledger.note(_plan_of(name), done)
        self._tell()
        return result

    def _do(self, doing: str, act: Callable[[], T], *, also_while_ending: bool = False) -> T:
        if self._ending.is_set() and not also_while_ending:
            raise TpsUnavailable("The session is being ended at Eclipse; nothing new is begun.")
        try:
            return act()
        except BridgeError as refusal:
            self._window.say(f"{doing}: refused. {refusal.message}")
            raise

    def _tell(self, line: str = "") -> None:
        if line:
            self._window.say(line)
        self._window.show("changes", "\n".join(self._ledger.lines()))


def told(backend: AtEclipse, window: SessionWindow, ledger: Ledger) -> tuple[Backend, Told]:
    """The backend to serve, twice: as a backend, and as what it adds to one."""
    telling = Told(backend, window, ledger)
    return cast(Backend, telling), telling


def shown(name: str) -> str:
    """A resource name in Eclipse's own words: ``plan COURSE / PLAN``, ``structure ID``."""
    parts = name.split("/")
    if len(parts) < 4:
        return name
    kind = {"plans": "plan", "structures": "structure"}.get(parts[2], parts[2])
    return f"{kind} {' / '.join(_decoded(part) for part in parts[3].split('.'))}"


def _taken_back(left: Mapping[str, str] | None) -> str:
    if left is None:
        return GONE
    stays = ", ".join(map(shown, left.values()))
    if stays:
        return f"could not be taken back, and stays in Eclipse: {stays}"
    return "what was not committed has been taken back"


def _decoded(part: str) -> str:
    try:
        return names.decode(part)
    except NotFound:
        return part


def _plan_of(name: str) -> str:
    return "/".join(name.split("/")[:4])


class _Heard:
    """A monitor whose reports are shown as well, and which also stops when the session ends."""

    def __init__(self, monitor: Monitor, window: SessionWindow, ending: threading.Event, doing: str) -> None:
        self._monitor = monitor
        self._window = window
        self._ending = ending
        self.doing = doing

    def report(self, progress: model.Progress) -> None:
        iteration = f", iteration {progress.iteration}" if progress.iteration else ""
        self._window.show("state", f"{self.doing}: {progress.stage}{iteration}")
        self._monitor.report(progress)

    @property
    def cancelled(self) -> bool:
        return self._ending.is_set() or self._monitor.cancelled
