"""`beamwright plan` in a process of its own, on a simulated TPS or on an emulated Eclipse, and how far apart they are.

The one idea: nothing but the server differs. Eclipse chooses beamlets and the optimisation's grid itself, so an
emulated one is furnished with those that the protocol asks of a simulated TPS; what is left is the way through ESAPI.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from agent.protocols import load
from agent.protocols.schema import Protocol
from bridge.backends.emulated_eclipse import intake
from bridge.backends.emulated_eclipse.options import Options
from tests.agent.model_server import Script, serve_model
from tests.eclipse.emulated import PHANTOM, PLAN, Eclipse, models
from tests.planners.running import Ran

COMMAND = Path(sys.executable).with_name("beamwright")
LIMIT_S = 300
SIMULATED_ITERATIONS = "300"
"""What the simulated TPS stops at, as a site's setting."""
FINE_LEAVES_MM = 2.5
_UNITS = {False: "generic-5mm", True: "generic-2.5mm"}


@dataclass(frozen=True)
class Commanded(Ran):
    """A run of the command, whether it left a plan or not."""

    status: int
    said: str

    @property
    def report(self) -> str:
        return (self.folder / "report.html").read_text("utf-8")

    @property
    def prepared(self) -> Any:
        """What the trace says of the plan before its first optimisation."""
        return self.events("PlanPrepared")[0]

    @property
    def measured(self) -> list[list[Measured]]:
        """Attempt by attempt: every goal's value, then every reported one."""
        return [
            [
                Measured(attempt, f"{each['structure']} {each['metric']}", each["value"], each.get("limit"))
                for each in (*told["goals"], *told["reported"])
            ]
            for attempt, told in enumerate(self.events("Evaluated"), start=1)
        ]


@dataclass(frozen=True)
class Measured:
    """A value of one attempt."""

    attempt: int
    metric: str
    value: float | None
    limit: float | None
    """The goal's; None: it is only reported."""


@dataclass(frozen=True)
class Difference:
    """One value of one attempt on both servers."""

    simulated: Measured
    in_eclipse: Measured

    @property
    def absolute(self) -> float:
        return abs((self.in_eclipse.value or 0.0) - (self.simulated.value or 0.0))

    @property
    def relative(self) -> float:
        """To the value."""
        return self.absolute / max(abs(self.simulated.value or 0.0), 1e-9)

    @property
    def percent_of_limit(self) -> float:
        """Of the goal's limit; 0 where there is none."""
        return 100.0 * self.absolute / self.simulated.limit if self.simulated.limit else 0.0


def differences(simulated: Commanded, in_eclipse: Commanded) -> list[Difference]:
    """Every value that the runs have, of every attempt; both must have the same attempts and the same values."""
    pairs = [
        Difference(here, there)
        for attempts in zip(simulated.measured, in_eclipse.measured, strict=True)
        for here, there in zip(*attempts, strict=True)
    ]
    for pair in pairs:
        assert pair.simulated.metric == pair.in_eclipse.metric
        assert (pair.simulated.value is None) == (pair.in_eclipse.value is None), pair
    return [pair for pair in pairs if pair.simulated.value is not None]


def simulated(folder: Path, case: str, *options: str, script: Script | None = None) -> Commanded:
    """Plan a built-in case on a simulated TPS."""
    return _plan(folder, [case, *options], "", script)


def on(
    eclipse: Eclipse, folder: Path, *options: str, case: str = PHANTOM, answer: str = "", script: Script | None = None
) -> Commanded:
    """Plan a patient of an emulated Eclipse that serves.

    Parameters
    ----------
    answer
        What the person types.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token"
    token.write_text(eclipse.token)
    server = ["--endpoint", eclipse.endpoint, "--token-file", str(token)]
    return _plan(folder, [case, *server, *options], answer, script)


def furnish(folder: Path, protocol: str, case: str, patient: str = PHANTOM, *, version: str = "18.0") -> None:
    """Write a built-in case as an emulated patient, in a department that calculates as the protocol asks.

    The patient has a plan with the protocol's beams and prescription around its first target, for a person to open.
    """
    loaded = load(protocol).protocol
    rule = loaded.plan
    has_fine_leaves = rule.leaf_width_mm == FINE_LEAVES_MM
    grids = {"beamlet_mm": rule.beamlet_mm or 5.0, "optimization_grid_mm": rule.optimization_grid_mm}
    intake.write_options(folder, Options(machine={"TrueBeam1": _UNITS[has_fine_leaves]}, **grids))
    record = intake.make_patient(folder, case, patient)
    intake.add_plan(folder, patient, PLAN, models=models(version), **_plan_of(loaded, record))


def site_of(protocol: str) -> dict[str, str]:
    """Values of section [site] with which a simulated TPS and an emulated Eclipse plan the protocol alike."""
    leaves_mm = load(protocol).protocol.plan.leaf_width_mm or 5.0
    return {"leaf_width_mm": f"{leaves_mm:g}", "max_iterations": SIMULATED_ITERATIONS, "chunk_iterations": "0"}


def _plan_of(protocol: Protocol, record: Any) -> dict[str, Any]:
    structures = {each["id"]: each for each in record["structure_sets"][0]["structures"]}
    target, dose_gy = next(iter(protocol.prescription.targets_gy.items()))
    around, fractions = structures[target], protocol.prescription.fractions
    angles = [(gantry, group) for group in protocol.plan.beams for gantry in group.angles_deg]
    beams = [
        intake.beam_record(
            number, gantry, around["centre"], couch_deg=group.couch_deg, collimator_deg=group.collimator_deg
        )
        for number, (gantry, group) in enumerate(angles, start=1)
    ]
    return {
        "target": target,
        "fractions": fractions,
        "dose_per_fraction_gy": dose_gy / fractions,
        "dose_grid_mm": _dose_grid_mm(protocol, around["volume_cc"]),
        "beams": beams,
    }


def _dose_grid_mm(protocol: Protocol, volume_cc: float) -> float | None:
    finer = protocol.plan.finer_dose_grid
    if finer is not None and volume_cc < finer.target_below_cc:
        return finer.dose_grid_mm
    return protocol.plan.dose_grid_mm


def _plan(folder: Path, arguments: list[str], answer: str, script: Script | None) -> Commanded:
    run = folder / "run"
    environment = {**os.environ, "BEAMWRIGHT_MODELS": "loopback", "COLUMNS": "200"}
    began = monotonic()
    with ExitStack() as stack:
        if script is not None:
            arguments = [*arguments, "--base-url", stack.enter_context(serve_model(script)).base_url]
        done = subprocess.run(
            [COMMAND, "plan", *arguments, "--out", str(run)],
            env=environment, input=answer, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    return Commanded(run, monotonic() - began, done.returncode, done.stdout + done.stderr)
