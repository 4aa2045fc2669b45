"""The DVH of a run: the best attempt, the goals it was held to, and the dose the patient came with.

The one idea: a goal is a mark in the plane of the curves, pointing to the side where the curve should lie, so a glance
tells whether a curve keeps it. Solid lines are the plan, dashed ones the reference, in the structure's colour. The key
below the plot grows with what is drawn, so every curve has its name.
"""

from __future__ import annotations

import math
import textwrap
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
_WIDTH_INCH, _PLOT_INCH, _ROW_INCH = 10.6, 4.9, 0.235
_KEY_COLUMNS = 5
_COLD_PERCENT = 5.0
"""A curve without a goal that never comes above this share of the prescription is named, not drawn."""


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
    """The DVH plot as ``png`` or ``svg``; targets are drawn thicker and named first, then what has goals."""
    present = [label for label in colours if any(label in each.dvhs for each in curves)]
    cold_gy = _COLD_PERCENT / 100.0 * prescription_gy
    with_goals = {goal.structure for goal in goals}
    shown = [label for label in present if label in with_goals or _highest_gy(curves, label) > cold_gy]
    shown.sort(key=lambda label: (label not in targets, label not in with_goals))
    cold = [label for label in present if label not in shown]
    key = _Key(shown, _cold_lines(cold, cold_gy))
    height_inch = _PLOT_INCH + _ROW_INCH * key.rows
    figure = Figure(figsize=(_WIDTH_INCH, height_inch), facecolor="white")
    axes = figure.add_axes(
        (0.062, (_ROW_INCH * key.rows + 0.62) / height_inch, 0.92, (_PLOT_INCH - 0.85) / height_inch)
    )
    for each in curves:
        for label in reversed(shown):
            if label in each.dvhs:
                _draw_curve(axes, each.dvhs[label], colours[label], each.line, 2.2 if label in targets else 1.35)
    drawn = [goal for goal in goals if goal.structure in shown]
    marks = [mark for goal in drawn if (mark := goal_mark(goal, curves[0].dvhs, prescription_gy)) is not None]
    for mark in marks:
        _draw_mark(axes, mark, colours[mark.structure])
    highest_gy = [_highest_gy(curves, label) for label in shown]
    _frame(axes, max(prescription_gy, *highest_gy, *(mark.dose_gy for mark in marks)), prescription_gy)
    _draw_key(
        figure.add_axes((0.03, 0.0, 0.955, _ROW_INCH * key.rows / height_inch)), key, colours, targets, curves, marks
    )
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


def _highest_gy(curves: Sequence[Curves], label: str) -> float:
    """The highest dose that any curve of a structure reaches."""
    return max(float(d.dose_gy[d.volume_percent > 0][-1]) for c in curves if (d := c.dvhs.get(label)) is not None)


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


@dataclass(frozen=True)
class _Key:
    """What stands below the plot."""

    shown: Sequence[str]
    cold: Sequence[str]
    """Lines of text about the structures that are not drawn."""

    @property
    def structure_rows(self) -> int:
        return math.ceil(len(self.shown) / _KEY_COLUMNS)

    @property
    def rows(self) -> float:
        return self.structure_rows + 2.6 + len(self.cold)


def _cold_lines(labels: Sequence[str], cold_gy: float) -> list[str]:
    if not labels:
        return []
    names = ", ".join(short(label) for label in labels)
    return textwrap.wrap(f"Not drawn, as they have no goal and nowhere more than {cold_gy:.2g} Gy: {names}", 165)


def _draw_key(
    axes: Axes,
    key: _Key,
    colours: Mapping[str, str],
    targets: Sequence[str],
    curves: Sequence[Curves],
    marks: Sequence[GoalMark],
) -> None:
    """Structures column by column, then what lines and marks mean, then what is not drawn."""
    axes.set_axis_off()
    axes.set_xlim(0, 100)
    axes.set_ylim(key.rows, 0)
    for index, label in enumerate(key.shown):
        column, row = divmod(index, key.structure_rows)
        left, middle = column * 100 / _KEY_COLUMNS, row + 0.5
        width = 3.4 if label in targets else 2.2
        axes.add_line(Line2D([left, left + 2.2], [middle, middle], color=colours[label], linewidth=width))
        _write(axes, left + 3.0, middle, short(label, 21), _INK)
    below = key.structure_rows + 0.75
    left = 0.0
    for each in curves:
        axes.add_line(Line2D([left, left + 2.2], [below, below], color=_DIM, linewidth=1.4, linestyle=each.line))
        _write(axes, left + 3.0, below, short(each.name, 44), _DIM)
        left += 100 / _KEY_COLUMNS * (1 if len(each.name) < 22 else 2)
    below, left = below + 1.0, 0.0
    for status, fill in _FILL.items() if marks else ():
        axes.plot(
            [left + 1.1],
            [below],
            marker="<",
            markersize=7.5,
            fillstyle=fill,
            color=_DIM,
            markerfacecoloralt="white",
            linestyle="none",
        )
        _write(axes, left + 3.0, below, f"goal {STATUS_WORD[status]}", _DIM)
        left += 100 / _KEY_COLUMNS
    for index, line in enumerate(key.cold):
        _write(axes, 0.0, below + 1.0 + index, line, _DIM)


def _write(axes: Axes, left: float, middle: float, text: str, colour: str) -> None:
    axes.text(left, middle, text, fontsize=9, color=colour, va="center", parse_math=False)
