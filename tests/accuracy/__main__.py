"""``make accuracy``: compare, write ``build/accuracy/``, fail where a limit is missed."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.accuracy import closed_forms, eclipse, tg119, water
from tests.accuracy.engine import SETTING
from tests.accuracy.page import PLAN_NAMES, Results, render
from tests.benchmarks.cases import SHARED_DATA

FOLDER = Path("build/accuracy")


def main() -> int:
    """0 where every limit is kept, 1 where one is not."""
    if not SHARED_DATA.is_dir():
        raise SystemExit(f"no reference data at {SHARED_DATA}; set BEAMWRIGHT_SHARED_DATA to its folder")
    results = compare()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "accuracy.json").write_text(json.dumps(_plain(results), indent=2, ensure_ascii=False) + "\n", "utf-8")
    (FOLDER / "index.html").write_text(render(results), "utf-8")
    every = [check for checks in results.checks.values() for check in checks]
    missed = [check for check in every if not check.is_met]
    for check in missed:
        print(f"beyond its limit: {check.what}: {check.found:.3f} {check.unit}, limit {check.limit:g}")
    print(f"{len(every) - len(missed)} of {len(every)} limits are kept; see {FOLDER / 'index.html'}")
    return 1 if missed else 0


def compare() -> Results:
    """Every comparison; what takes long is told."""
    print("dose in water", flush=True)
    fields = [water.compare_field(SHARED_DATA, case) for case in water.CASES]
    print("DVHs", flush=True)
    forms = [closed_forms.compare_form(form, size) for size in closed_forms.SPACINGS_MM for form in closed_forms.FORMS]
    curves = [
        eclipse.compare_structure(SHARED_DATA, plan, structure)
        for plan in PLAN_NAMES
        for structure in eclipse.structures_of(SHARED_DATA, plan)
    ]
    if not tg119.peer_is_there():
        print("TG-119 is left out: no pyRadPlan here; `make bench` sets it up", flush=True)
        return Results(fields, None, forms, curves)
    print("TG-119, nine beams", flush=True)
    return Results(fields, tg119.compare_plan(lambda text: print(f"  {text}", flush=True)), forms, curves)


def _plain(results: Results) -> dict[str, object]:
    plan = results.plan
    return {
        "setting": SETTING,
        "checks": {
            section: [{**asdict(check), "is_met": check.is_met} for check in checks]
            for section, checks in results.checks.items()
        },
        "dose_in_water": {
            result.case.tag: {
                curve.name: {"outside_penumbra_percent": curve.worst_percent, "penumbra_mm": curve.worst_mm}
                for curve in result.curves
            }
            for result in results.fields
        },
        "tg119": None
        if plan is None
        else {
            "gamma_passing_percent": plan.passing_percent,
            "cut_off_costs_percent": plan.cut_off_costs_percent,
            "voxels": plan.judged_voxels,
            "versions": plan.versions,
        },
        "closed_forms": [
            {
                "shape": result.form.name,
                "voxels_mm": result.spacing_mm,
                "errors": result.errors,
                "limits": result.limits,
            }
            for result in results.forms
        ],
        "eclipse": [
            {
                "plan": r.plan,
                "structure": r.structure,
                "distance_percent": r.worst_percent,
                "limit_percent": r.limit_percent,
            }
            for r in results.eclipse
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
