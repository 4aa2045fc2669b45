"""Run in a process of its own: somebody changes the working copy, in Eclipse's own windows, while Eclipse optimises it.

The one idea: lines that Eclipse traces arrive on the ESAPI thread in the middle of Optimize, which is where a person's
change could happen; so the monitor that hears the first of them makes the change, through ESAPI.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge import model
from bridge.backends.esapi.backend import Eclipse
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.site import read_site
from bridge.commands import eclipse
from bridge.errors import BridgeError
from tests.eclipse.emulated import PHANTOM, PLAN

COPY = "copy"


class Meddler:
    """A monitor that does something at the first line that Eclipse traces."""

    cancelled = False

    def __init__(self, meddle: Callable[[], None]) -> None:
        self._meddle = meddle
        self._is_done = False

    def report(self, progress: model.Progress) -> None:
        if not self._is_done and ": " in progress.stage:
            self._is_done = True
            self._meddle()


def main(configuration: str) -> None:
    """Print what the optimisation met, by what was changed meanwhile."""
    site = read_site(Path(configuration))
    applications: list[Any] = []
    found = {}
    with eclipse.stand_alone(site) as thread:

        def host() -> Any:
            made = eclipse.host(site)
            applications.append(made)
            return made

        backend = eclipse.backend(thread, host, site, b"key")
        patient = next(each.name for each in backend.patients() if each.label == PHANTOM)
        for what, meddle in MEDDLING.items():
            backend.begin(patient)
            found[what] = _optimised(backend, patient, lambda meddle=meddle: meddle(_copy(applications[0])))  # type: ignore[misc]
            found[f"{what}, left"] = [plan.label for plan in backend.plans(patient)]
            backend.discard(patient)
        backend.close()
    print(json.dumps(found), flush=True)
    os._exit(0)


def _optimised(backend: Eclipse, patient: str, meddle: Callable[[], None]) -> str:
    source = next(plan for plan in backend.plans(patient) if plan.label == PLAN)
    copy = backend.copy_plan(source.name, COPY, _provenance(source))
    target = next(each.name for each in backend.structures(patient) if each.label == "OuterTarget")
    function = model.DoseVolumePoint(model.Bound.LOWER, 50.0, 95.0)
    backend.replace_objectives(copy.name, [model.ObjectiveSpec(target, function, 100.0)])
    try:
        backend.optimize(copy.name, model.OptimizeSpec(max_iterations=10), Meddler(meddle))
    except BridgeError as error:
        return f"{error.reason}: {error.message}"
    return "succeeded"


def _provenance(source: model.Plan) -> model.Provenance:
    return model.Provenance(source.name, source.etag, "test", "test", None, datetime.now(UTC), "0")


def _copy(host: Any) -> Any:
    """The working copy as Eclipse has it; on the ESAPI thread."""
    return next(plan for _, plan in host.plans(host._patient) if access.get(plan, "Id") == COPY)


def _nothing(_plan: Any) -> None:
    return


def _objective(plan: Any) -> None:
    structure = access.items(access.get(plan, "StructureSet"), "Structures")[0]
    unit = access.enum_name(access.get(access.get(plan, "TotalDose"), "Unit"))
    dose = access.dose(10.0 if unit == "Gy" else 1000.0, unit)
    access.get(plan, "OptimizationSetup").AddMeanDoseObjective(structure, dose, 50.0)


def _prescription(plan: Any) -> None:
    plan.SetPrescription(30, access.get(plan, "DosePerFraction"), access.get(plan, "TreatmentPercentage"))


def _isocentre(plan: Any) -> None:
    beam = access.items(plan, "Beams")[0]
    parameters = beam.GetEditableParameters()
    access.put(parameters, "Isocenter", access.vector((5.0, 5.0, 5.0)))
    beam.ApplyParameters(parameters)


def _id(plan: Any) -> None:
    access.put(plan, "Id", "renamed")


def _removal(plan: Any) -> None:
    access.get(plan, "Course").RemovePlanSetup(plan)


MEDDLING: dict[str, Callable[[Any], None]] = {
    "nothing": _nothing,
    "an objective": _objective,
    "the prescription": _prescription,
    "a beam": _isocentre,
    "its id": _id,
    "its removal": _removal,
}


if __name__ == "__main__":
    main(sys.argv[1])
