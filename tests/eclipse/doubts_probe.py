"""Run by test_doubts.py in a process of its own: what the adapter does where Eclipse's rules are broken.

Through the contract the rules cannot be broken: the server begins modifications, keeps to its thread and forgets what
was closed. Here the adapter's rooms are called as a bug would call them. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge import errors, model
from bridge.backends.esapi.backend import Eclipse
from bridge.backends.esapi.making import copies
from bridge.backends.esapi.reach import faults
from bridge.backends.esapi.reach.thread import EsapiThread
from bridge.backends.esapi.reading import plans
from bridge.commands import eclipse
from tests.eclipse.emulated import LYING

PROVENANCE = model.Provenance(None, None, "test", "doubts", None, datetime.now(UTC), "0")


def main(config: Path) -> dict[str, dict[str, str]]:
    site = eclipse.site_for(config, (), writable=True)
    with eclipse.stand_alone(site) as thread:
        backend = eclipse.backend(thread, lambda: eclipse.host(site), site, b"doubts")
        try:
            return _looked_at(thread, backend)
        finally:
            backend.close()


def _looked_at(thread: EsapiThread, backend: Eclipse) -> dict[str, dict[str, str]]:
    patient = next(each.name for each in backend.patients() if each.label == LYING)
    (clinic,) = backend.plans(patient)
    chart = backend._chart
    assert chart is not None
    stolen: list[Any] = []
    thread.call(lambda: stolen.append(chart.plan(clinic.name)))
    without_begin = _met(lambda: backend.copy_plan(clinic.name, "copy", PROVENANCE))
    past_the_door = _met(lambda: _elsewhere(lambda: stolen[0].get_Id()))
    backend.discard(patient)
    return {
        "no_modifications": {"a copy without BeginModifications": without_begin},
        "wrong_thread": {"a call on another thread": past_the_door},
        "after_close": {
            "a write to what was closed": _met(lambda: thread.call(lambda: _copied(chart, clinic.name))),
            "a read of what was closed": _met(lambda: thread.call(lambda: plans.read(chart, clinic.name).label)),
            "a read through the adapter": _met(lambda: backend.plan(clinic.name).label),
        },
    }


def _copied(chart: Any, plan: str) -> str:
    return copies.copy(chart, plan, "copy", PROVENANCE).name


def _elsewhere(call: Callable[[], Any]) -> Any:
    """The call on a thread of its own, what .NET throws translated as in the adapter."""
    met: list[Any] = []

    def run() -> None:
        try:
            with faults.translated("read the plan"):
                met.append(call())
        except errors.BridgeError as error:
            met.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30.0)
    (found,) = met
    if isinstance(found, Exception):
        raise found
    return found


def _met(attempt: Callable[[], Any]) -> str:
    try:
        with faults.translated("answer"):
            return f"answered {attempt()}"
    except errors.BridgeError as error:
        return f"{type(error).__name__}: {error.message}"


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))), flush=True)
    os._exit(0)  # a thread that .NET has met once cannot be let go in order
