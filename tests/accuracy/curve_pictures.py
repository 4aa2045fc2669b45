"""Pictures of curves: depth doses and profiles in water, DVHs; each with its difference from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.accuracy.closed_forms import SPACINGS_MM, ClosedForm, FormResult
from tests.accuracy.drawing import (
    ABOVE,
    ACCENT,
    CLOSE_KEY,
    COLOURS,
    DASHED,
    FONT,
    SPINE,
    WIDTH_INCH,
    dots_key,
    draw_dots,
    line_key,
    style,
    svg,
)
from tests.accuracy.eclipse import EclipseResult
from tests.accuracy.water import DEPTHS_MM, DOSE_LIMIT_PERCENT, Curve, FieldResult

_BY_DEPTH = dict(zip(DEPTHS_MM, ("#d1495b", "#e08e2b", "#0f8a6d", "#1f77d4", "#6b4fa0"), strict=True))
_SHADES = ("#9cc5d6", "#4d94b0", ACCENT)
"""Of the voxel sizes."""
_DOTS = 90
"""About so many points of a table are drawn."""


def field_svg(result: FieldResult) -> bytes:
    """Depth dose and profiles of one field, ours as lines, the reference as dots, differences below."""
    with rc_context(FONT):
        figure = Figure(figsize=(WIDTH_INCH, 4.7))
        (depth, across), (depth_below, across_below) = figure.subplots(
            2, 2, sharex="col", gridspec_kw={"height_ratios": (2.3, 1), "hspace": 0.12, "wspace": 0.19}
        )
        _draw_curve(depth, depth_below, result.depth_dose, ACCENT)
        for curve in result.profiles:
            if curve.name.startswith("along x"):
                _draw_curve(across, across_below, curve, _BY_DEPTH[curve.depth_mm])
        depth_below.set_xlabel("Depth [mm]")
        across_below.set_xlabel("Position across the beam [mm]")
        across_below.set_xlim(*_across_range(result))
        for axes, below in ((depth, depth_below), (across, across_below)):
            axes.set_ylim(bottom=0.0)
            axes.set_ylabel("Dose at weight 1 [Gy]")
            below.set_ylabel("Difference\n[% of maximum]")
            _difference_axis(below, result)
            style(axes)
            style(below)
        depth.legend(handles=[line_key(ACCENT, "ours"), dots_key("pyRadPlan")], frameon=False)
        handles = [line_key(colour, f"{mm} mm deep") for mm, colour in _BY_DEPTH.items()]
        across.legend(handles=handles, ncols=5, **ABOVE, **CLOSE_KEY)
        return svg(figure)


def _draw_curve(axes: Axes, below: Axes, curve: Curve, colour: str) -> None:
    seen = curve.reference > 0.0
    axes.plot(*curve.line, color=colour, linewidth=1.5)
    draw_dots(axes, curve.place_mm[seen], curve.reference[seen])
    below.plot(curve.place_mm, curve.difference_percent, color=colour, linewidth=1.0)
    steep = curve.in_penumbra
    below.plot(
        curve.place_mm[steep],
        curve.difference_percent[steep],
        "o",
        markersize=3.2,
        markerfacecolor="white",
        markeredgecolor=colour,
        markeredgewidth=0.8,
    )


def _difference_axis(axes: Axes, result: FieldResult) -> None:
    """Where the field is judged, its limits as dashed lines, with room for them."""
    axes.axhline(0.0, color=SPINE, linewidth=0.8)
    if not result.case.is_judged:
        return
    axes.set_ylim(-1.25 * DOSE_LIMIT_PERCENT, 1.25 * DOSE_LIMIT_PERCENT)
    for limit in (-DOSE_LIMIT_PERCENT, DOSE_LIMIT_PERCENT):
        axes.axhline(limit, **DASHED)


def _across_range(result: FieldResult) -> tuple[float, float]:
    """Room for the field and the scatter beside it."""
    half = 30.0 if result.case.side_beamlets == 1 else 2.5 * result.case.side_beamlets + 55.0
    return -half, half


def forms_svg(forms: Sequence[ClosedForm], results: Sequence[FormResult]) -> bytes:
    """The exact curves, and for each statistic the largest error of any shape by voxel size, against its limit."""
    with rc_context(FONT):
        figure = Figure(figsize=(WIDTH_INCH, 3.5))
        curves, errors = figure.subplots(1, 2, gridspec_kw={"wspace": 0.16})
        doses = np.linspace(3.0, 29.0, 400)
        one_way = [form for form in forms if form.name != "sphere, head-foot"]  # both ways give one curve
        for form, colour in zip(one_way, COLOURS[3:], strict=False):
            curves.plot(doses, form.percent_at(doses), color=colour, linewidth=1.5, label=form.name)
        curves.set(xlabel="Dose [Gy]", ylabel="Volume [%]", ylim=(0, 101), xlim=(3, 29))
        curves.legend(frameon=False, fontsize=8, loc="lower left")
        _draw_errors(errors, results)
        style(curves)
        style(errors)
        return svg(figure)


def _draw_errors(axes: Axes, results: Sequence[FormResult]) -> None:
    names = [name for name in results[0].errors if name not in ("V", "curve")]
    for n, (spacing_mm, colour) in enumerate(zip(SPACINGS_MM, _SHADES, strict=True)):
        own = [result for result in results if result.spacing_mm == spacing_mm]
        shares = [100.0 * max(abs(r.errors[name]) / r.limits[name] for r in own) for name in names]
        places = np.arange(len(names)) + 0.24 * (n - 1)
        axes.bar(places, shares, 0.22, color=colour, label=f"{spacing_mm:g} mm")
    axes.axhline(100.0, **DASHED)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="Largest error [% of its limit]", ylim=(0, 118))
    axes.legend(frameon=False, fontsize=8.5, ncols=3, loc="upper left")


def eclipse_svg(results: Sequence[EclipseResult]) -> bytes:
    """All judged structures of one plan: ours as lines, Eclipse's curves as dots, differences below."""
    with rc_context(FONT):
        figure = Figure(figsize=(WIDTH_INCH, 5.6))
        axes, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (2.6, 1), "hspace": 0.1})
        for result, colour in zip(results, cycle(COLOURS), strict=False):
            axes.plot(result.dose_gy, result.ours_percent, color=colour, linewidth=1.5, label=result.structure)
            thinned = slice(None, None, max(1, len(result.dose_gy) // _DOTS))
            draw_dots(axes, result.dose_gy[thinned], result.eclipse_percent[thinned])
            below.plot(result.dose_gy, result.ours_percent - result.eclipse_percent, color=colour, linewidth=1.0)
        handles, labels = axes.get_legend_handles_labels()
        axes.legend([*handles, dots_key("")], [*labels, "Eclipse's own curve"], ncols=6, **ABOVE, **CLOSE_KEY)
        axes.set(ylabel="Volume [%]", ylim=(0, 101))
        axes.set_xlim(0.0, 1.02 * max(float(r.dose_gy[r.eclipse_percent > 0.0].max()) for r in results))
        below.axhline(0.0, color=SPINE, linewidth=0.8)
        below.set(xlabel="Dose [Gy]", ylabel="Difference\n[% of volume]")
        style(axes)
        style(below)
        return svg(figure)
