"""Run by overhead.py in a process of its own: what the adapter adds to ESAPI's own time, as one JSON object.

Every figure is taken twice in the same process: once as ESAPI alone needs it, called on its own thread, and once
through the adapter's backend, as the server calls it. The emulation's time stands for ESAPI's and says nothing of
Varian's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from bridge import model
from bridge.backends.esapi.backend import Eclipse
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.thread import OwnThread
from bridge.commands import eclipse

CALLS, REPEATS = 5000, 5
BIN_GY = 0.05


class _Silent:
    cancelled = False

    def report(self, progress: model.Progress) -> None:
        pass


def main(config: Path) -> dict[str, Any]:
    site = eclipse.site_for(config, (), writable=True)
    with eclipse.stand_alone(site) as thread:
        backend = eclipse.backend(thread, lambda: eclipse.host(site), site, b"overhead")
        try:
            return _measured(thread, backend)
        finally:
            backend.close()


def _measured(thread: OwnThread, backend: Eclipse) -> dict[str, Any]:
    (patient,) = backend.patients()
    (clinic,) = backend.plans(patient.name)
    target = next(s for s in backend.structures(patient.name) if s.label == "PTV")
    backend.begin(patient.name)
    copy = backend.copy_plan(clinic.name, "overhead", _provenance())
    backend.replace_objectives(copy.name, [_objective(target.name)])
    backend.optimize(copy.name, model.OptimizeSpec(max_iterations=5), _Silent())
    backend.calculate_dose(copy.name, None, _Silent())
    plan = _Handle(thread, backend, copy.name, target.name)
    dose = backend.dose(copy.name)
    return {
        "property_us": {
            "esapi": _per_call_us(thread, plan.id_alone),
            "adapter": _per_call_us(thread, plan.id_through_access),
        },
        "turn_on_the_thread_us": 1e6 * _typical_s(lambda: [thread.call(lambda: None) for _ in range(CALLS)]) / CALLS,
        "plan_ms": 1e3 * _typical_s(lambda: backend.plan(copy.name)),
        "dvh_ms": {
            "esapi": 1e3 * _typical_s(lambda: thread.call(plan.dvh_alone)),
            "adapter": 1e3 * _typical_s(lambda: backend.dvh(copy.name, target.name, BIN_GY)),
            "points": len(backend.dvh(copy.name, target.name, BIN_GY).dose_gy),
        },
        "dose_s": {
            "esapi": _typical_s(lambda: thread.call(plan.voxels_alone)),
            "adapter": _typical_s(lambda: backend.dose(copy.name)),
            "voxels": list(dose.grid.size),
        },
    }


class _Handle:
    """The same things asked of ESAPI alone; everything but the constructor runs on its thread."""

    def __init__(self, thread: OwnThread, backend: Eclipse, plan: str, structure: str) -> None:
        def find() -> None:
            chart = backend._chart  # the one place where a measurement looks behind the door
            assert chart is not None
            self._plan, self._structure = chart.plan(plan), chart.structure(structure)

        thread.call(find)

    def id_alone(self) -> None:
        for _ in range(CALLS):
            self._plan.Id  # noqa: B018 - the getter is what is timed

    def id_through_access(self) -> None:
        for _ in range(CALLS):
            access.get(self._plan, "Id")

    def dvh_alone(self) -> None:
        self._plan.GetDVHCumulativeData(
            self._structure,
            access.enum("DoseValuePresentation", "Absolute"),
            access.enum("VolumePresentation", "Relative"),
            BIN_GY,
        )

    def voxels_alone(self) -> None:
        dose = access.get(self._plan, "Dose")
        x, y, z = (access.get(dose, name) for name in ("XSize", "YSize", "ZSize"))
        buffer = access.plane_buffer(x, y)
        for plane in range(z):
            dose.GetVoxels(plane, buffer)


def _per_call_us(thread: OwnThread, calls: Callable[[], None]) -> float:
    return 1e6 * _typical_s(lambda: thread.call(calls)) / CALLS


def _typical_s(function: Callable[[], object]) -> float:
    """Median seconds of a few runs, after one that is not counted."""
    function()
    return float(f"{median(_seconds(function) for _ in range(REPEATS)):.3g}")


def _seconds(function: Callable[[], object]) -> float:
    began = perf_counter()
    function()
    return perf_counter() - began


def _objective(structure: str) -> model.ObjectiveSpec:
    return model.ObjectiveSpec(structure, model.MinDose(50.0), 100.0)


def _provenance() -> model.Provenance:
    return model.Provenance(None, None, "benchmark", "overhead", None, datetime.now(UTC), "0")


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
