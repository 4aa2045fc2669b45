"""The accuracy page: every comparison with its picture, its figures and its limits, in one file that opens offline.

It is set in the style of the plan reports (`agent/report/templates`), so both read alike.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bridge import INTENDED_USE
from tests.accuracy import closed_forms, tg119, water
from tests.accuracy.checks import Check
from tests.accuracy.closed_forms import FormResult
from tests.accuracy.curve_pictures import eclipse_svg, field_svg, forms_svg
from tests.accuracy.eclipse import EclipseResult
from tests.accuracy.engine import SETTING
from tests.accuracy.plan_pictures import gamma_svg, line_svg, plan_png
from tests.accuracy.tg119 import PlanResult
from tests.accuracy.water import FieldResult
from tests.benchmarks.peer import CENTRE_SHIFT_MM

_HERE = Path(__file__).parent
_REPORT_TEMPLATES = _HERE.parents[1] / "agent" / "report" / "templates"

PLAN_NAMES = {"Prostate": "Prostate", "Ent": "Head and neck"}


@dataclass(frozen=True, eq=False)
class Results:
    """Everything the page shows."""

    fields: Sequence[FieldResult]
    plan: PlanResult | None
    """None where pyRadPlan is not installed."""
    forms: Sequence[FormResult]
    eclipse: Sequence[EclipseResult]

    @property
    def checks(self) -> dict[str, list[Check]]:
        """Section -> its limits, as the conclusion lists them; the closed forms' by voxel size."""
        return {
            "Dose in water": [check for result in self.fields for check in result.checks],
            "A whole plan": list(self.plan.checks) if self.plan else [],
            "DVH, closed forms": [
                check for spacing in closed_forms.SPACINGS_MM for check in self._form_checks(spacing)
            ],
            "DVH, Eclipse": [check for result in self.eclipse for check in result.checks],
        }

    def _form_checks(self, spacing_mm: float) -> list[Check]:
        own = [result for result in self.forms if result.spacing_mm == spacing_mm]
        shares = [check.found / check.limit for result in own for check in result.statistics_checks]
        what = f"{len(own)} shapes on {spacing_mm:g} mm: volumes and doses, largest error as share of its limit"
        worst_curve = max((result.curve_check for result in own), key=lambda check: check.found)
        return [Check(what, 100.0 * max(shares), 100.0, "%"), worst_curve]


def render(results: Results) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader([_HERE, _REPORT_TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = _signed
    every = [check for checks in results.checks.values() for check in checks]
    return environment.get_template("page.html.j2").render(
        style=Markup((_REPORT_TEMPLATES / "style.css").read_text("utf-8")),
        intended_use=INTENDED_USE,
        results=results,
        missed=[check for check in every if not check.is_met],
        count=len(every),
        cards=_cards(results),
        setting=SETTING,
        shift_mm=CENTRE_SHIFT_MM,
        water=water,
        tg119=tg119,
        closed_forms=closed_forms,
        field_pictures=[_uri(field_svg(result), "svg+xml") for result in results.fields],
        plan_pictures=_plan_pictures(results.plan),
        plan_cards=_plan_cards(results.plan),
        forms_picture=_uri(forms_svg(closed_forms.FORMS, results.forms), "svg+xml"),
        eclipse_parts=[_eclipse_part(results, plan) for plan in PLAN_NAMES],
    )


def _signed(value: float, digits: int) -> str:
    """With its sign, and a true minus; what rounds to zero has none."""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0.0 else text.replace("-", "−")


def _cards(results: Results) -> list[tuple[str, str]]:
    """The figure of each section, large: (value, what it is)."""
    judged = [result for result in results.fields if result.case.is_judged]
    gated = [result for result in results.eclipse if result.limit_percent is not None]
    passing = f"{results.plan.passing_percent:.3f} %" if results.plan else "not run"
    statistics = [
        abs(r.errors[n]) for r in results.forms if r.spacing_mm == 1.0 for n in r.errors if n not in ("V", "curve")
    ]
    return [
        (
            f"{max(c.worst_percent for r in judged for c in r.curves):.2f} %",
            "largest dose difference outside penumbrae",
        ),
        (f"{max(c.worst_mm for r in judged for c in r.profiles):.2f} mm", "largest distance inside penumbrae"),
        (passing, "TG-119, 9 beams, gamma 1\u00a0%/1\u00a0mm"),
        (f"{max(statistics):.2f} Gy", "largest dose error, closed forms on 1 mm, 1 Gy/mm"),
        (
            f"{np.median([r.worst_percent for r in gated]):.2f} %",
            f"of volume to Eclipse's curves, median of {len(gated)}",
        ),
    ]


def _plan_pictures(plan: PlanResult | None) -> dict[str, str]:
    if plan is None:
        return {}
    return {
        "planes": _uri(plan_png(plan), "png"),
        "lines": _uri(line_svg(plan), "svg+xml"),
        "histograms": _uri(gamma_svg(plan), "svg+xml"),
    }


def _plan_cards(plan: PlanResult | None) -> list[tuple[str, str]]:
    if plan is None:
        return []
    gamma = plan.gamma[np.isfinite(plan.gamma)]
    difference = plan.judged_difference_percent
    return [
        (f"{plan.passing_percent:.3f} %", f"of {plan.judged_voxels:,} voxels pass"),
        (f"{np.median(gamma):.3f}", "median gamma"),
        (f"{np.percentile(gamma, 99):.2f}", "99th percentile of gamma"),
        (f"{_signed(difference.mean(), 3)} %", "mean difference, % of maximum"),
        (f"{difference.std():.3f} %", "its standard deviation"),
        (f"{100.0 * plan.share_beyond(1.0):.2f} %", "of voxels differ by more than 1 %"),
    ]


@dataclass(frozen=True)
class _EclipsePart:
    """One plan's picture and rows."""

    name: str
    picture: str
    results: Sequence[EclipseResult]


def _eclipse_part(results: Results, plan: str) -> _EclipsePart:
    own = [result for result in results.eclipse if result.plan == plan]
    judged = [result for result in own if result.limit_percent is not None]
    return _EclipsePart(PLAN_NAMES[plan], _uri(eclipse_svg(judged), "svg+xml"), own)


def _uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
