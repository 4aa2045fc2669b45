"""From the folder of a run to the plan it left in the simulated TPS, and on to DICOM files.

The one idea: a run folder names its plan (`result.json`), and the data folder that keeps it lies in the run folder
where the TPS was started for the run alone; otherwise it is the one the TPS works on, as for `import`. Only what is
saved there can be exported, and only as long as it is what the run reports.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bridge import INTENDED_USE
from bridge.backends.simulator.names import plan_ids
from bridge.backends.simulator.nouns import etag
from bridge.commands import CommandRefused
from bridge.data_folder import default_folder
from bridge.errors import NotFound
from sim_tps.exporters import Written, export_dicom
from sim_tps.plan import Plan
from sim_tps.tps import Tps

RESULT, OWN_DATA = "result.json", "tps"
"""Names in a run folder, see docs/run-folder.md."""


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run, and where it is kept."""

    run: Path
    data_folder: Path
    patient_id: str
    plan_id: str
    etag: str
    """Of the plan as the run reports it."""


def run_plan(run: Path, data_dir: Path | None) -> RunPlan:
    """Read from a run folder which plan it left, and where.

    Raises
    ------
    CommandRefused
        The folder is no finished run, or one from before runs named their plan.
    """
    result = run / RESULT
    if not result.is_file():
        raise CommandRefused(f"{run} has no {RESULT}; give the folder that `beamwright plan` named at its end.")
    try:
        content = json.loads(result.read_text(encoding="utf-8"))
        patient_id, plan_id = plan_ids(content["plan"])
        known_etag = str(content["plan_etag"])
    except (ValueError, KeyError, TypeError, NotFound):
        raise CommandRefused(
            f"{result} does not name a plan of the simulated TPS; only runs of this version on that TPS can be "
            "exported. Plan the case again."
        ) from None
    own = run / OWN_DATA
    return RunPlan(run, data_dir or (own if own.is_dir() else default_folder()), patient_id, plan_id, known_etag)


def export(tps: Tps, source: RunPlan, plan_id: str | None, folder: Path, *, overwrite: bool) -> tuple[Written, ...]:
    """Write the run's plan, or another of the same patient, as DICOM files.

    Raises
    ------
    CommandRefused
        The plan is not in the data folder, or was changed after the run.
    sim_tps.errors.TpsError
        The plan has no dose, or the folder is in use.
    """
    plan = _found(tps, source, plan_id or source.plan_id)
    if plan_id is None and etag(plan, plan.revision) != source.etag:
        raise CommandRefused(
            f"plan {source.plan_id!r} was changed after {source.run} (it is {etag(plan, plan.revision)!r} now, was "
            f"{source.etag!r}); name it with --plan to export it as it is."
        )
    dose = tps.dose(source.patient_id, plan.settings.id)
    is_final = dose.kind == "final"
    return export_dicom(
        folder,
        tps.patient(source.patient_id),
        plan.settings,
        dose,
        machine=tps.machine(plan.settings.machine) if is_final else None,
        fields=tps.delivery(source.patient_id, plan.settings.id).fields if is_final else (),
        intended_use=INTENDED_USE,
        overwrite=overwrite,
    )


def _found(tps: Tps, source: RunPlan, plan_id: str) -> Plan:
    plans = (
        {plan.settings.id: plan for plan in tps.plans(source.patient_id)}
        if source.patient_id in tps.patient_ids()
        else {}
    )
    if plan_id not in plans:
        there = f"of this patient there are {', '.join(plans)}" if plans else "nothing of this patient is there"
        raise CommandRefused(
            f"plan {plan_id!r} of patient {source.patient_id!r} is not in {source.data_folder}; {there}. A plan for a "
            "patient of a data folder is kept only when it is saved: plan with --commit, and name that folder with "
            "--data-dir."
        )
    return plans[plan_id]
