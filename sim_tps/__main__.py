"""``python -m sim_tps``: plan a phantom with the simulated TPS alone and print its DVH table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from sim_tps.cases import CASES, make_case
from sim_tps.plan import Beam, Objective, ObjectiveType, PlanSettings, Prescription, TargetCoverage, TargetDose
from sim_tps.store import Store
from sim_tps.tps import Tps

_GANTRY_DEG = (0, 40, 80, 120, 160, 200, 240, 280, 320)
_PRESCRIBED_GY = 50.0


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        tps = Tps(Store(Path(folder)))
        patient = make_case(arguments.case, arguments.seed)
        tps.add_patient(patient)
        target = next(s.name for s in patient.structures.values() if s.role.value == "target")
        tps.create_plan(_settings(tps, patient.id, target))
        tps.optimise(
            patient.id,
            "plan-1",
            warm=False,
            max_iterations=arguments.iterations,
            max_seconds=600.0,
            seed=0,
            report=_report,
            cancelled=lambda: False,
        )
        tps.calculate_dose(patient.id, "plan-1", None, _report, lambda: False)
        tps.set_normalization(patient.id, "plan-1", TargetCoverage(target, 95.0, _PRESCRIBED_GY))
        _print_table(tps, patient.id)
        tps.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sim_tps",
        description="Plan a built-in case with nine equispaced beams and a plain objective set, and print a DVH table. "
        "For research. Not for clinical use without the site's own commissioning.",
    )
    parser.add_argument(
        "case", nargs="?", default="tg119", choices=sorted(CASES), help="built-in case (default: tg119)"
    )
    parser.add_argument("--seed", type=int, default=None, help="another patient of the same kind")
    parser.add_argument("--iterations", type=int, default=150, help="optimiser iterations at most (default: 150)")
    return parser.parse_args()


def _settings(tps: Tps, patient_id: str, target: str) -> PlanSettings:
    patient = tps.patient(patient_id)
    isocentre = patient.structure(target).centre_mm()
    organs = [s.name for s in patient.structures.values() if s.role.value == "oar" and not s.is_empty]
    objectives = [
        Objective("objective-1", ObjectiveType.LOWER, target, 300, 1.01 * _PRESCRIBED_GY, volume_percent=99),
        Objective("objective-2", ObjectiveType.MAX, target, 100, 1.07 * _PRESCRIBED_GY),
        Objective("objective-3", ObjectiveType.MAX, patient.external.name, 1000, 1.08 * _PRESCRIBED_GY),
        *(
            Objective(f"objective-{number}", ObjectiveType.MAX, organ, 50, 0.35 * _PRESCRIBED_GY)
            for number, organ in enumerate(organs, start=4)
        ),
    ]
    return PlanSettings(
        id="plan-1",
        label="nine beams",
        patient=patient_id,
        machine="generic-5mm",
        beams=tuple(Beam(f"beam-{n}", isocentre, float(g)) for n, g in enumerate(_GANTRY_DEG, start=1)),
        prescription=Prescription(25, (TargetDose(target, _PRESCRIBED_GY),)),
        dose_grid_mm=3.0,
        optimization_grid_mm=None,
        beamlet_mm=5.0,
        objectives=tuple(objectives),
    )


def _print_table(tps: Tps, patient_id: str) -> None:
    print(f"{'structure':<20}{'cc':>9}{'mean':>8}{'D98%':>8}{'D95%':>8}{'D50%':>8}{'D2%':>8}{'max':>8}   Gy")
    for structure in tps.patient(patient_id).structures.values():
        if structure.is_empty:
            continue
        volume = tps.dose_volume(patient_id, "plan-1", structure.name)
        doses = [volume.mean, *(volume.dose_at_percent(v) for v in (98, 95, 50, 2)), volume.max]
        print(f"{structure.name:<20}{volume.volume_cc:>9.1f}" + "".join(f"{dose:>8.2f}" for dose in doses))


def _report(stage: str, percent: float | None, iteration: int | None, value: float | None) -> None:
    """One line that is written over, where somebody watches."""
    if not sys.stderr.isatty():
        return
    detail = "" if iteration is None else f" {iteration}"
    detail += "" if value is None else f"  objective {value:.4g}"
    detail += "" if percent is None else f"  {percent:.0f} %"
    print(f"\r\033[K{stage}{detail}", end="", file=sys.stderr, flush=True)
    if percent is not None and percent >= 100:
        print(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
