"""Run by test_access.py in a process of its own: one probe of the door to .NET, named on the command line.

Prints one JSON value; everything that could hang or crash Python stays in this process.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bridge.backends.esapi.chart import doses
from bridge.backends.esapi.reach import access, faults
from bridge.backends.esapi.reach.thread import Escaped, Held, LentThread, OwnThread
from bridge.errors import TpsRefused, TpsUnavailable


def _plan() -> Any:
    return access.api().ExternalPlanSetup()


def _worst_pause_ms(thread: OwnThread, act: Any) -> float:
    pauses, stop = [0.0], threading.Event()

    def beat() -> None:
        last = time.perf_counter()
        while not stop.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    heart = threading.Thread(target=beat)
    heart.start()
    thread.call(act)
    stop.set()
    heart.join()
    return max(pauses) * 1e3


def released(thread: OwnThread) -> Any:
    """Getter and enumeration sleep 400 ms in .NET: how long did the rest of Python stand still?"""
    return {
        "get": _worst_pause_ms(thread, lambda: access.get(_plan(), "Slow")),
        "items": _worst_pause_ms(thread, lambda: len(access.items(_plan(), "SlowPlans"))),
    }


def values(thread: OwnThread) -> Any:
    def look() -> Any:
        plan = _plan()
        access.put(plan, "Id", "Ü 1")
        buffer = access.plane_buffer(2, 3)
        plan.GetVoxels(0, buffer)
        corners = access.vectors([(1, 2, 3), (4, 5, 6)])
        return {
            "id": access.get(plan, "Id"),
            "missing_number": access.get(plan, "Fractions"),
            "gy": [doses.gy(access.get(plan, name)) for name in ("InGy", "InCGy", "Undefined")],
            "derived": [type(each).__name__ for each in access.items(plan, "Plans")],
            "numbers": access.items(plan, "Numbers"),
            "texts": access.items(plan, "Texts"),
            "nothing": access.items(plan, "Nothing"),
            "voxels": access.copied(buffer).tolist(),
            "points": access.points(corners).tolist(),
            "no_points": list(access.points(access.vectors([])).shape),
            "enum": access.enum_name(access.enum("DoseValue.DoseUnit", "cGy")),
            "has": [access.has(plan, name) for name in ("Id", "Optimize", "Idd")],
            "settable": [access.settable(plan, name) for name in ("Id", "InGy")],
        }

    return thread.call(look)


def misspelt(thread: OwnThread) -> Any:
    def put() -> None:
        access.put(_plan(), "Idd", "x")

    try:
        thread.call(put)
    except access.NoSuchMember as refusal:
        return str(refusal)
    return ""


def wrong_thread(thread: OwnThread) -> Any:
    """Neither can an ESAPI object leave its thread, nor can one be reached into elsewhere."""
    told = {}
    for word, result in {
        "object": lambda: _plan(),
        "in a list": lambda: [1, [_plan()]],
        "in a mapping": lambda: {"a": (_plan(),)},
        "an enum": lambda: access.enum("DoseValue.DoseUnit", "Gy"),
    }.items():
        try:
            thread.call(result)
        except Escaped as refusal:
            told[word] = str(refusal)
    stolen: list[Any] = []
    thread.call(lambda: stolen.append(_plan()))  # a bug that hides from the look at results
    for word, touch in {
        "get": lambda: access.get(stolen[0], "Id"),
        "put": lambda: access.put(stolen[0], "Id", "x"),
        "items": lambda: access.items(stolen[0], "Plans"),
    }.items():
        try:
            touch()
        except access.WrongThread as refusal:
            told[word] = str(refusal)
    told["still there"] = thread.call(lambda: access.get(stolen[0], "Id"))
    return told


def pending_at_close(thread: OwnThread) -> Any:
    outcomes = []
    begun = threading.Event()

    def long_job() -> str:
        begun.set()
        _plan().Sleep(500)
        return "done"

    def ask(job: Any) -> None:
        try:
            outcomes.append(thread.call(job))
        except TpsUnavailable as refusal:
            outcomes.append(refusal.reason)

    askers = [threading.Thread(target=ask, args=(long_job,))]
    askers[0].start()
    begun.wait(10)
    askers += [threading.Thread(target=ask, args=(lambda: "ran",)) for _ in range(3)]
    for asker in askers[1:]:
        asker.start()
    while thread._jobs.qsize() < 3:
        time.sleep(0.01)
    has_ended = thread.close(10)
    for asker in askers:
        asker.join(10)
    ask(lambda: "late")
    return {"ended": has_ended, "outcomes": sorted(outcomes)}


def held(thread: OwnThread) -> Any:
    """A read beside long work is told so at once; work does not begin twice."""
    begun = threading.Event()

    def labour() -> None:
        begun.set()
        _plan().Sleep(600)

    worker = threading.Thread(target=lambda: thread.work(labour))
    worker.start()
    begun.wait(10)
    answers, start = [], time.perf_counter()
    for ask in (thread.call_if_free, thread.work):
        try:
            ask(lambda: "ran")
        except Held as refusal:
            answers.append(refusal.reason)
    waited_ms = (time.perf_counter() - start) * 1e3
    was_held = thread.held
    worker.join()
    return {"answers": answers, "waited_ms": waited_ms, "held": was_held, "after": thread.call_if_free(lambda: "ran")}


def thrown(thread: OwnThread) -> Any:
    def throw() -> None:
        with faults.translated("read the plan"):
            access.get(_plan(), "Bad")

    try:
        thread.call(throw)
    except TpsRefused as refusal:
        return {"message": refusal.message, "carries_net": refusal.__context__ is not None}
    return {}


def traced(thread: OwnThread) -> Any:
    """Lines are heard while .NET runs, and a listener that fails harms nobody."""
    heard: list[float] = []

    def hear(_line: str) -> None:
        heard.append(time.perf_counter())
        raise ValueError("a deaf ear")

    def optimise() -> None:
        with access.trace_lines(hear):
            _plan().Optimize(3, 100)
        _plan().Optimize(1, 0)

    start = time.perf_counter()
    thread.call(optimise)
    return [each - start for each in heard]


def lent(_thread: OwnThread) -> Any:
    """The pump serves another thread, gives its owner turns, and refuses what comes after."""
    _thread.close()
    pumped, turns, found, stop = LentThread(), [], [], threading.Event()

    def customer() -> None:
        found.append(pumped.call(lambda: access.get(_plan(), "Id")))
        found.append(pumped.call(lambda: threading.get_ident()) == main)
        pumped.close()
        stop.set()

    main = threading.get_ident()
    threading.Thread(target=customer).start()
    pumped.pump(stop.is_set, lambda: turns.append(1))
    try:
        pumped.call(lambda: 1)
    except TpsUnavailable as refusal:
        found.append(refusal.reason)
    return {"found": found, "turns": len(turns) > 0}


def main() -> None:
    access.load(Path(sys.argv[2]))
    thread = OwnThread()
    try:
        outcome = globals()[sys.argv[1]](thread)
    finally:
        thread.close()
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
