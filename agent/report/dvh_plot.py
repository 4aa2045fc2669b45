"""The DVH of a run: the best attempt, the goals it was held to, and the dose the patient came with.

The one idea: a goal is a mark in the plane of the curves, pointing to the side where the curve should lie, so a glance
tells whether a curve keeps it. Solid lines are the plan, dashed ones the reference, in the structure's colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from agent.metrics import MetricError, parse_metric
from agent.records import GoalResult, GoalStatus
from agent.report.palette import STATUS_WORD
from agent.report.pictures import rendered, short
from bridge import model
from bridge.model import MetricKind, VolumeUnit

_INK, _DIM, _RULE = "#1c2530", "#5b6672", "#e3e8ee"
_FILL: Mapping[GoalStatus, Literal["full", "left", "none"]] = {
    GoalStatus.MET: "full",
    GoalStatus.ACCEPTABLE: "left",
    GoalStatus.MISSED: "none",
}
"""A mark is as full as its goal is met, so that it reads without colours."""
_KEY_ROWS = 26


@dataclass(frozen=True, eq=False)
class Curves:
    """One set of DVHs with the way it is drawn."""

    name: str
    dvhs: Mapping[str, model.Dvh]
    """Structure label -> curve."""
    line: Literal["-", "--"]


@dataclass(frozen=True)
class GoalMark:
    """A goal as a point of the DVH plane."""

    structure: str
    dose_gy: float
    volume_percent: float
    wants_less: bool
    """The curve should pass below and to the left of the point."""
    about_dose: bool
    """The dose is limited (the mark points sideways), otherwise the volume (it points up or down)."""
    status: GoalStatus


def dvh_figure(
    curves: Sequence[Curves],
    goals: Sequence[GoalResult],
    colours: Mapping[str, str],
    targets: Sequence[str],
    prescription_gy: float,
    image_format: str,
) -> bytes:
    """The DVH plot as ``png`` or ``svg``; structures are drawn in the order of ``colours``, targets thicker."""
    figure = Figure(figsize=(10.6, 5.4), facecolor="white")
    axes = figure.add_axes((0.062, 0.105, 0.695, 0.855))
    shown = [label for label in colours if any(label in each.dvhs for each in curves)]
    for each in curves:
        for label in reversed(shown):
            if label in each.dvhs:
                _draw_curve(axes, each.dvhs[label], colours[label], each.line, 2.2 if label in targets else 1.35)
    drawn = [goal for goal in goals if goal.structure in shown]
    marks = [mark for goal in drawn if (mark := goal_mark(goal, curves[0].dvhs, prescription_gy)) is not None]
    for mark in marks:
        _draw_mark(axes, mark, colours[mark.structure])
    _frame(axes, max(prescription_gy, _highest_gy(curves), *(mark.dose_gy for mark in marks)), prescription_gy)
    _draw_key(figure, shown, colours, targets, curves, bool(marks))
    return rendered(figure, image_format)


def goal_mark(goal: GoalResult, dvhs: Mapping[str, model.Dvh], prescription_gy: float) -> GoalMark | None:
    """Where a goal stands in the DVH plane; None for means, indices, and goals without a curve."""
    if goal.status not in _FILL or goal.structure not in dvhs:
        return None
    try:
        metric = parse_metric(goal.metric)
    except MetricError:
        return None
    volume_cc = dvhs[goal.structure].volume_cc
    less = goal.comparator == "<="
    if metric.kind is MetricKind.DOSE_AT_VOLUME and metric.volume is not None:
        share = metric.volume if metric.volume_unit is VolumeUnit.PERCENT else 100.0 * metric.volume / volume_cc
        dose_gy = goal.limit * prescription_gy / 100.0 if metric.percent_of_prescription else goal.limit
        return GoalMark(goal.structure, dose_gy, min(share, 100.0), less, True, goal.status)
    if metric.kind is MetricKind.MAX_DOSE:
        return GoalMark(goal.structure, goal.limit, 0.0, less, True, goal.status)
    if metric.kind is MetricKind.VOLUME_AT_DOSE and metric.dose is not None:
        share = goal.limit if goal.unit == "%" else 100.0 * goal.limit / volume_cc
        dose_gy = metric.dose * prescription_gy / 100.0 if metric.dose_is_percent else metric.dose
        return GoalMark(goal.structure, dose_gy, share, less, False, goal.status) if share <= 100.0 else None
    return None


def _draw_curve(axes: Axes, dvh: model.Dvh, colour: str, line: Literal["-", "--"], width: float) -> None:
    step = max(1, len(dvh.dose_gy) // 700)
    axes.plot(dvh.dose_gy[::step], dvh.volume_percent[::step], color=colour, linestyle=line, linewidth=width)


def _highest_gy(curves: Sequence[Curves]) -> float:
    """The highest dose that any curve reaches."""
    return max((float(d.dose_gy[d.volume_percent > 0][-1]) for c in curves for d in c.dvhs.values()), default=0.0)


def _draw_mark(axes: Axes, mark: GoalMark, colour: str) -> None:
    less, more = ("<", ">") if mark.about_dose else ("v", "^")
    axes.plot(
        [mark.dose_gy],
        [mark.volume_percent],
        marker=less if mark.wants_less else more,
        fillstyle=_FILL[mark.status],
        markersize=9.5,
        markerfacecolor=colour,
        markerfacecoloralt="white",
        markeredgecolor=colour,
        markeredgewidth=1.3,
        linestyle="none",
        clip_on=False,
        zorder=5,
    )


def _frame(axes: Axes, highest_gy: float, prescription_gy: float) -> None:
    axes.set_xlim(0, 1.04 * highest_gy)
    axes.set_ylim(0, 101)
    axes.set_xlabel("Dose [Gy]", color=_INK, fontsize=10)
    axes.set_ylabel("Volume [%]", color=_INK, fontsize=10)
    axes.grid(color=_RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_DIM, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#aab4bf")
    axes.axvline(prescription_gy, color=_DIM, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.annotate(
        f"{prescription_gy:g} Gy",
        (prescription_gy, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 1),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=8,
        color=_DIM,
    )


def _draw_key(
    figure: Figure,
    shown: Sequence[str],
    colours: Mapping[str, str],
    targets: Sequence[str],
    curves: Sequence[Curves],
    with_marks: bool,
) -> None:
    axes = figure.add_axes((0.775, 0.02, 0.22, 0.955))
    axes.set_axis_off()
    axes.set_xlim(0, 10)
    axes.set_ylim(_KEY_ROWS, 0)
    row = 0.5
    for label in shown[: _KEY_ROWS - 7]:
        axes.add_line(Line2D([0, 1], [row, row], color=colours[label], linewidth=3.0 if label in targets else 2.0))
        axes.text(1.5, row, short(label), fontsize=9, color=_INK, va="center", parse_math=False)
        row += 1.0
    row += 0.5
    for each in curves:
        axes.add_line(Line2D([0, 1], [row, row], color=_DIM, linewidth=1.4, linestyle=each.line))
        axes.text(1.5, row, short(each.name, 32), fontsize=8.5, color=_DIM, va="center", parse_math=False)
        row += 0.95
    if with_marks:
        for status, fill in _FILL.items():
            axes.plot(
                [0.5],
                [row],
                marker="<",
                markersize=7.5,
                fillstyle=fill,
                color=_DIM,
                markerfacecoloralt="white",
                linestyle="none",
            )
            axes.text(1.5, row, f"goal {STATUS_WORD[status]}", fontsize=8.5, color=_DIM, va="center")
            row += 0.95
