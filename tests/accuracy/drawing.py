"""The hand in which all plots of the accuracy page are drawn."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

INK, DIM, RULE, SPINE, ACCENT, LIMIT = "#1c2530", "#5b6672", "#e3e8ee", "#aab4bf", "#0f5c7a", "#c02a2a"
"""Those of the plan report's pages."""
COLOURS = (
    *("#f01a2c", "#f23fc0", "#ff8a1f", "#1f77d4", "#0f8a6d", "#8e5bd0", "#9c9a12"),
    *("#12b5c9", "#8a5a3c", "#5b6672", "#86cf6f", "#bd9cf0", "#2f3f9e", "#c9a36b"),
)
CLOSE_KEY = {"frameon": False, "fontsize": 8.5, "handlelength": 1.1, "columnspacing": 0.9, "handletextpad": 0.5}
ABOVE = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
"""A key above its axes."""
DASHED = {"color": LIMIT, "linewidth": 0.9, "linestyle": (0, (4, 3))}
"""How a limit is drawn."""
FONT = {"font.size": 9.0, "svg.hashsalt": "beamwright"}
WIDTH_INCH = 11.2


def draw_dots(axes: Axes, place: NDArray[np.float64], reference: NDArray[np.floating]) -> None:
    """A reference curve."""
    axes.plot(place, reference, ".", color=INK, markersize=2.8, markeredgewidth=0.0)


def style(axes: Axes) -> None:
    """Light grid, no box."""
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=DIM, labelsize=8.5)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(SPINE)


def line_key(colour: str, label: str) -> Line2D:
    """What a key shows for our curves."""
    return Line2D([], [], color=colour, linewidth=1.5, label=label)


def dots_key(label: str) -> Line2D:
    """What a key shows for the reference's."""
    return Line2D([], [], color=INK, marker=".", markersize=5.0, markeredgewidth=0.0, linestyle="none", label=label)


def svg(figure: Figure) -> bytes:
    """The figure with all lines as lines."""
    return _saved(figure, "svg", {"Date": None, "Creator": None})


def png(figure: Figure) -> bytes:
    """The figure as pixels."""
    return _saved(figure, "png", {"Software": None})


def _saved(figure: Figure, image_format: str, metadata: dict[str, None]) -> bytes:
    """Neither date nor program in the file: the same doses give the same picture."""
    stream = io.BytesIO()
    figure.savefig(stream, format=image_format, dpi=150, metadata=metadata, bbox_inches="tight", pad_inches=0.05)
    return stream.getvalue()
