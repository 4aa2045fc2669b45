"""Pictures of a whole plan's two doses: planes and lines through the isocentre, and how their differences spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from sim_tps.geometry import Grid
from tests.accuracy.drawing import (
    ACCENT,
    DASHED,
    DIM,
    FONT,
    INK,
    SPINE,
    WIDTH_INCH,
    dots_key,
    draw_dots,
    line_key,
    png,
    style,
    svg,
)
from tests.accuracy.tg119 import DISTANCE_MM, DOSE_PERCENT, PlanResult


def plan_png(result: PlanResult) -> bytes:
    """Three planes through the middle of the target: the dose, the difference, gamma."""
    heights = [_shown_mm(result, view.up) / _shown_mm(result, view.across) for view in _VIEWS]
    with rc_context(FONT):
        figure = Figure(figsize=(WIDTH_INCH, 3.45 * sum(heights) + 1.4), layout="constrained")
        grid = figure.subplots(3, 3, gridspec_kw={"height_ratios": heights})
        for row, view in zip(grid, _VIEWS, strict=True):
            images = _draw_plane(row, result, view)
        for column, (image, title) in enumerate(zip(images, _TITLES, strict=True)):
            grid[0, column].set_title(title, fontsize=10.5, color=INK, fontweight="bold")
            bar = figure.colorbar(image, ax=grid[:, column], location="bottom", shrink=0.85, aspect=34, pad=0.012)
            bar.ax.tick_params(colors=DIM, labelsize=8)
            bar.outline.set_visible(False)
            if title is _TITLES[1]:
                bar.set_ticks([-0.9, -0.5, 0.0, 0.5, 0.9])
        return png(figure)


def line_svg(result: PlanResult) -> bytes:
    """Both doses along the three axes through the middle of the target."""
    index = _isocentre_index(result)
    with rc_context(FONT):
        figure = Figure(figsize=(WIDTH_INCH, 3.4))
        rows = figure.subplots(
            2, 3, sharex="col", sharey="row", gridspec_kw={"height_ratios": (2.3, 1), "hspace": 0.12, "wspace": 0.06}
        )
        for n, name in enumerate(("x", "y", "z")):
            along = tuple(slice(None) if axis == 2 - n else index[axis] for axis in range(3))
            place = result.grid.axes_mm[n]
            top, below = rows[0][n], rows[1][n]
            top.plot(place, result.ours_gy[along], color=ACCENT, linewidth=1.5)
            draw_dots(top, place, result.reference_gy[along])
            below.plot(place, result.difference_percent[along], color=ACCENT, linewidth=1.0)
            below.axhline(0.0, color=SPINE, linewidth=0.8)
            below.set_xlabel(f"{name} [mm]")
            style(top)
            style(below)
        rows[0][0].set_ylabel("Dose [Gy]")
        rows[1][0].set_ylabel("Difference\n[% of max.]")
        rows[0][0].set_ylim(bottom=0.0)
        rows[0][0].legend(handles=[line_key(ACCENT, "ours"), dots_key("pyRadPlan")], frameon=False)
        return svg(figure)


def gamma_svg(result: PlanResult) -> bytes:
    """How gamma and the dose difference are distributed over the judged voxels."""
    gamma = result.gamma[np.isfinite(result.gamma)]
    with rc_context(FONT):
        figure = Figure(figsize=(WIDTH_INCH, 2.5))
        left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.16})
        left.hist(gamma, np.linspace(0.0, 1.5, 61), color=ACCENT, weights=np.full(gamma.size, 100.0 / gamma.size))
        left.axvline(1.0, **DASHED)
        left.set(xlabel="Gamma", ylabel="Voxels [%]", yscale="log")
        difference = result.judged_difference_percent
        right.hist(
            difference, np.linspace(-2, 2, 81), color=ACCENT, weights=np.full(difference.size, 100.0 / difference.size)
        )
        right.set(xlabel="Ours − pyRadPlan [% of maximum]", ylabel="Voxels [%]", yscale="log")
        style(left)
        style(right)
        return svg(figure)


@dataclass(frozen=True)
class _View:
    """One orientation; axes are numbered 0, 1, 2 for x, y, z."""

    name: str
    normal: int
    across: int
    up: int


_VIEWS = (_View("axial", 2, 0, 1), _View("coronal", 1, 0, 2), _View("sagittal", 0, 1, 2))
_TITLES = ("pyRadPlan's dose [Gy]", "Ours − pyRadPlan [% of maximum]", f"Gamma {DOSE_PERCENT:g} %/{DISTANCE_MM:g} mm")
_AROUND_MM = 8.0
_DIFFERENCE_STEPS_PERCENT = np.arange(-1.1, 1.11, 0.2)
"""White between -0.1 and 0.1."""
_GAMMA_COLOURS = LinearSegmentedColormap.from_list(
    "gamma", [(0.0, "#e1f3e9"), (0.12, "#9ad4b3"), (0.5, "#1a7f4b"), (0.5, "#f0a93c"), (1.0, "#a3123f")]
)
"""Greens where gamma passes, deeper the nearer to 1; amber to red where it does not."""
_NOT_JUDGED = "#dfe5eb"


def _draw_plane(row: Sequence[Axes], result: PlanResult, view: _View) -> list[AxesImage]:
    dose, difference, gamma = (
        _plane(array, result.grid, view, result)
        for array in (result.reference_gy, result.difference_percent, result.gamma)
    )
    place = {"extent": _extent(result.grid, view), "origin": "lower", "interpolation": "nearest"}
    levels = BoundaryNorm(_DIFFERENCE_STEPS_PERCENT, 256, extend="both")
    images = [
        row[0].imshow(dose, cmap="viridis", vmin=0.0, vmax=float(result.reference_gy.max()), **place),
        row[1].imshow(difference, cmap="RdBu_r", norm=levels, **place),
        row[2].imshow(gamma, cmap=_GAMMA_COLOURS, vmin=0.0, vmax=2.0, **place),
    ]
    row[2].set_facecolor(_NOT_JUDGED)
    for axes in row:
        _draw_outlines(axes, result, view, "white" if axes is row[0] else INK)
        axes.set_xlim(_shown(result, view.across))
        axes.set_ylim(_shown(result, view.up)[:: -1 if view.name == "axial" else 1])
        axes.set_xlabel(f"{'xyz'[view.across]} [mm]", fontsize=8, color=DIM)
        axes.tick_params(colors=DIM, labelsize=7.5)
        for spine in axes.spines.values():
            spine.set_color(SPINE)
    row[0].set_ylabel(f"{view.name}\n{'xyz'[view.up]} [mm]", color=DIM)
    return images


def _draw_outlines(axes: Axes, result: PlanResult, view: _View, colour: str) -> None:
    grid = result.case.grid
    for name, mask in result.case.masks.items():
        plane = _plane(mask, grid, view, result).astype(float)
        line = SPINE if name == result.case.body else colour
        axes.contour(grid.axes_mm[view.across], grid.axes_mm[view.up], plane, [0.5], colors=[line], linewidths=0.9)


def _plane(array: NDArray[np.generic], grid: Grid, view: _View, result: PlanResult) -> NDArray[np.generic]:
    """The plane nearest the isocentre."""
    nearest = int(np.abs(grid.axes_mm[view.normal] - result.case.isocentre_mm[view.normal]).argmin())
    return np.take(array, nearest, axis=2 - view.normal)


def _extent(grid: Grid, view: _View) -> tuple[float, float, float, float]:
    edges = [
        (axis[0] - size / 2, axis[-1] + size / 2) for axis, size in zip(grid.axes_mm, grid.spacing_mm, strict=True)
    ]
    return (*edges[view.across], *edges[view.up])


def _shown(result: PlanResult, axis: int) -> tuple[float, float]:
    """What is drawn along an axis: the voxels that gamma judges, and a little round them."""
    judged = np.isfinite(result.gamma).any(axis=tuple(2 - other for other in range(3) if other != axis))
    places = result.grid.axes_mm[axis][judged]
    return float(places[0]) - _AROUND_MM, float(places[-1]) + _AROUND_MM


def _shown_mm(result: PlanResult, axis: int) -> float:
    low, high = _shown(result, axis)
    return high - low


def _isocentre_index(result: PlanResult) -> tuple[int, int, int]:
    """[z, y, x] of the dose voxel nearest the isocentre."""
    x, y, z = (
        int(np.abs(axis - place).argmin())
        for axis, place in zip(result.grid.axes_mm, result.case.isocentre_mm, strict=True)
    )
    return z, y, x
