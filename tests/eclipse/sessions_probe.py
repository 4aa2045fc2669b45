"""Run by test_sessions.py in a process of its own: a session in Eclipse, and a person who works there at the same time.

The bridge serves through gRPC, behind the plug-in's window; the person acts on the same open patient, on the thread
that owns it. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge import errors, model
from bridge.backends.esapi.backend import Eclipse
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.hosts import InEclipse
from bridge.backends.esapi.reach.thread import EsapiThread
from bridge.client import Client, Retry, Session, connect
from bridge.commands import eclipse, in_eclipse
from bridge.commands.session_window import Ledger, SessionWindow, told
from bridge.server import Server
from tests.eclipse.emulated import PHANTOM, PLAN
from tests.eclipse.working import by_label, copied, usual, writing

AGENT, MINE, COPY = "BW_AGENT", "Mine", "copy"
Found = dict[str, Any]
OPTIMISING_S = 3.0


class _Window:
    """The C# side of the plug-in's window, without one."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def Say(self, line: str) -> None:  # noqa: N802 - .NET's name
        self.lines.append(line)

    def Show(self, what: str, value: str) -> None:  # noqa: N802 - .NET's name
        self.lines.append(f"{what}: {value}")


class _Room:
    """The session in Eclipse, and the person in it."""

    def __init__(self, thread: EsapiThread, context: Any, client: Client, window: _Window, ledger: Ledger) -> None:
        self._thread, self._context = thread, context
        self.client, self.window, self._ledger = client, window, ledger
        self.patient = client.patients()[0].name

    def plans(self) -> list[str]:
        """All plans that the person sees."""
        return self._thread.call(lambda: sorted(f"{course}/{plan.get_Id()}" for course, plan in self._all()))

    def person(self, act: Callable[[Any], object], course: str = AGENT, plan: str = COPY) -> None:
        """The person does something to a plan."""

        def find_and_act() -> None:
            (found,) = [each for where, each in self._all() if (where, each.get_Id()) == (course, plan)]
            act(found)

        self._thread.call(find_and_act)

    def copy_by_hand(self, label: str) -> None:
        """The person copies the open plan into the agent's course."""

        def copy() -> None:
            (course,) = [each for each in self._courses() if each.get_Id() == AGENT]
            access.put(course.CopyPlanSetup(self._context.get_ExternalPlanSetup()), "Id", label)

        self._thread.call(copy)

    def delete(self, label: str) -> None:
        """The person deletes a plan of the agent's course."""

        def remove() -> None:
            for course, plan in self._all():
                if (course, plan.get_Id()) == (AGENT, label):
                    access.get(plan, "Course").RemovePlanSetup(plan)

        self._thread.call(remove)

    def use(self, structure_id: str) -> None:
        """The person puts an objective on a structure into the open plan."""

        def add() -> None:
            plan = self._context.get_ExternalPlanSetup()
            structures = access.items(access.get(plan, "StructureSet"), "Structures")
            (structure,) = [each for each in structures if each.get_Id() == structure_id]
            upper = access.enum("OptimizationObjectiveOperator", "Upper")
            setup = access.get(plan, "OptimizationSetup")
            setup.AddPointObjective(structure, upper, access.dose(10.0, "Gy"), 0.0, 1.0)

        self._thread.call(add)

    def stop_using(self, structure_id: str) -> None:
        def remove() -> None:
            setup = access.get(self._context.get_ExternalPlanSetup(), "OptimizationSetup")
            for objective in access.items(setup, "Objectives"):
                if objective.get_StructureId() == structure_id:
                    setup.RemoveObjective(objective)
            structure_set = self._context.get_StructureSet()
            for structure in access.items(structure_set, "Structures"):
                if structure.get_Id() == structure_id:
                    structure_set.RemoveStructure(structure)

        self._thread.call(remove)

    def told_at_the_end(self) -> str:
        return in_eclipse._left_in_eclipse(self._ledger)

    def _courses(self) -> list[Any]:
        return access.items(self._context.get_Patient(), "Courses")

    def _all(self) -> list[tuple[str, Any]]:
        return [(course.get_Id(), plan) for course in self._courses() for plan in access.items(course, "PlanSetups")]


def a_person_renames_the_copy(room: _Room) -> Found:
    with writing(room.client, room.patient) as session:
        copied(session, room.patient)
        room.person(lambda plan: access.put(plan, "Id", MINE))
    return {"plans": room.plans()}


def a_persons_plan_has_the_agents_name(room: _Room) -> Found:
    with writing(room.client, room.patient) as session:
        mine = copied(session, room.patient)
        room.person(lambda plan: access.put(plan, "Id", "Kept"))
        room.copy_by_hand(COPY)
        listed = [plan.label for plan in session.plans(room.patient) if plan.working_copy]
        refusal = _refusal(lambda: session.set_normalization(mine.name, model.PercentNormalization(90.0)))
    found = {"plans": room.plans(), "working_copies": listed, "refusal": refusal}
    room.delete(COPY)
    return found


def a_helper_is_used_by_the_person(room: _Room) -> Found:
    with writing(room.client, room.patient) as session:
        copied(session, room.patient)
        core = by_label(session, room.patient)["Core"].name
        session.create_structure("zUsed", model.Derivation(model.DerivationKind.MARGIN, (core,), outer_mm=5.0))
        session.create_structure("zFree", model.Derivation(model.DerivationKind.MARGIN, (core,), outer_mm=3.0))
        room.use("zUsed")
    with writing(room.client, room.patient) as again:  # the patient is held no longer
        helpers = sorted(each for each in by_label(again, room.patient) if each.startswith("z"))
    found = {"plans": room.plans(), "helpers": helpers, "told": room.told_at_the_end()}
    room.stop_using("zUsed")
    return found


def a_metric_is_not_of_before(room: _Room) -> Found:
    peak = [model.MetricQuery(model.MetricKind.PLAN_MAX_DOSE)]
    with writing(room.client, room.patient) as session:
        first, second = (_with_objectives(session, room.patient, label) for label in ("first", "second"))
        session.optimize(first, model.OptimizeSpec(max_iterations=5))
        session.calculate_dose(first)
        (before,) = session.evaluate(first, peak)
        room.person(lambda plan: access.put(plan, "PlanNormalizationValue", 80.0), plan="first")
        started = session.start_optimize(second, model.OptimizeSpec(max_iterations=5))
        time.sleep(OPTIMISING_S / 3)
        meanwhile = _refusal(lambda: session.evaluate(first, peak))
        list(session.watch(started.name))
        shown = session.plan(first).dose.max_gy
        (after,) = session.evaluate(first, peak)
    return {"before": before.value, "meanwhile": meanwhile, "shown": shown, "after": after.value}


def a_committed_plan_is_the_persons(room: _Room) -> Found:
    with writing(room.client, room.patient) as session:
        plan = _with_objectives(session, room.patient, COPY)
        session.commit(session.pending_changes().digest)
        kept = session.plan(plan)
        refusals = [
            _refusal(lambda: session.set_normalization(plan, model.PercentNormalization(90.0))),
            _refusal(lambda: session.replace_objectives(plan, [])),
            _refusal(lambda: session.delete_plan(plan)),
            _refusal(lambda: session.start_optimize(plan, model.OptimizeSpec(max_iterations=5))),
        ]
        again = session.copy_plan(plan, "again").state.name
    with_objectives = len(room.client.objectives(plan))
    return {
        "state": kept.state.name,
        "vendor_state": kept.vendor_state,
        "refusals": refusals,
        "copy": again,
        "plans": room.plans(),
        "objectives": with_objectives,
    }


CASES = (
    a_person_renames_the_copy,
    a_persons_plan_has_the_agents_name,
    a_helper_is_used_by_the_person,
    a_metric_is_not_of_before,
    a_committed_plan_is_the_persons,  # last: it stays
)


def _with_objectives(session: Session, patient: str, label: str) -> str:
    plan = copied(session, patient, label).name
    session.replace_objectives(plan, usual(by_label(session, patient)))
    return plan


def _refusal(attempt: Callable[[], object]) -> str:
    try:
        return f"answered {attempt()}"
    except errors.BridgeError as refusal:
        return type(refusal).__name__


@contextmanager
def _served(config: Path) -> Iterator[_Room]:
    site = eclipse.site_for(config, (), writable=True)
    window, ledger, contexts = _Window(), Ledger(), list[Any]()
    with eclipse.stand_alone(site) as thread:

        def make() -> InEclipse:
            from Beamwright.Emulation import Hospital  # type: ignore[import-not-found]

            contexts.append(Hospital.Open(PHANTOM, "C1", PLAN))
            return InEclipse(contexts[0], site)

        attached: Eclipse = eclipse.backend(thread, make, site, b"sessions", Path(os.environ["BEAMWRIGHT_DATA_DIR"]))
        backend, _ = told(attached, SessionWindow(window), ledger)
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        server = Server(backend, journal_path=None, token="token", read_only=False)
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30.0)
        with connect(server.endpoint, "token", deadline_s=30.0, retry=Retry(attempts=1)) as client:
            try:
                yield _Room(thread, contexts[0], client, window, ledger)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)  # a thread that .NET has met once cannot be let go in order


def main(config: Path) -> None:
    with _served(config) as room:
        found = {case.__name__: case(room) for case in CASES}
        print(json.dumps(found | {"window": room.window.lines}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
