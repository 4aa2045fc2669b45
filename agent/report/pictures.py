"""Dose on the CT: three planes through a point, with contours, isodose lines and a key.

The one idea: one scale for all three planes, so that lengths may be compared by eye. Labels come from the TPS and are
drawn as they are, never read as mathematical notation.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Stroke, withStroke
from numpy.typing import NDArray

from agent.report.planes import ORIENTATIONS, Box, Cut, Orientation, cut
from agent.volumes import Volumes
from bridge import INTENDED_USE, model

ISODOSE_PERCENT = (120.0, 110.0, 105.0, 100.0, 95.0, 80.0, 65.0, 50.0, 30.0)
"""Percent of the highest prescription; those above the plan's maximum are not drawn."""
_ISODOSE_COLOUR: Mapping[float, str] = {
    120.0: "#ff4de1",
    110.0: "#ff2e63",
    105.0: "#ff5a36",
    100.0: "#ffa600",
    95.0: "#ffe14d",
    80.0: "#9be564",
    65.0: "#38d9a9",
    50.0: "#3bc9db",
    30.0: "#5c8dff",
}
WINDOW_HU = (-160.0, 240.0)
"""Soft tissue: level 40, width 400."""
_WASH_ALPHA = 0.26
_INK, _DIM = "#1c2530", "#5b6672"
_WIDTH_INCH, _HEAD_INCH, _KEY_ROW_INCH = 12.4, 0.34, 0.23
_KEY_COLUMNS = 7
_DPI = 150


@dataclass(frozen=True, eq=False)
class Scene:
    """What all pictures of one run share."""

    volumes: Volumes
    structures: Sequence[model.Structure]
    colours: Mapping[str, str]
    prescription_gy: float
    """Highest prescribed dose: 100 %."""


def planes_png(scene: Scene, point_mm: model.Vector, box: Box) -> bytes:
    """Axial, coronal and sagittal plane through a point, as PNG."""
    widths = [box.length(o.across) for o in ORIENTATIONS]
    height = max(box.length(o.along) for o in ORIENTATIONS)
    inch_per_mm = (_WIDTH_INCH - 0.2) / sum(widths)
    body_inch = min(max(height * inch_per_mm, 2.4), 7.0)
    key_inch = _KEY_ROW_INCH * (_key_rows(scene) + 0.6)
    figure = Figure(figsize=(_WIDTH_INCH, body_inch + key_inch + _HEAD_INCH), facecolor="white")
    total = body_inch + key_inch + _HEAD_INCH
    grid = figure.add_gridspec(
        1,
        3,
        width_ratios=widths,
        left=0.004,
        right=0.996,
        bottom=key_inch / total,
        top=1.0 - _HEAD_INCH / total,
        wspace=0.012,
    )
    for column, orientation in enumerate(ORIENTATIONS):
        _draw_plane(figure.add_subplot(grid[0, column]), scene, orientation, point_mm, box, height)
    _draw_key(figure, scene, (key_inch - 0.06) / total)
    return rendered(figure, "png")


def isodose_levels(scene: Scene) -> list[float]:
    """The levels, percent of the prescription, that the plan reaches; lowest first."""
    highest = 100.0 * float(scene.volumes.dose.values.max()) / scene.prescription_gy
    return sorted(level for level in ISODOSE_PERCENT if level <= highest)


def rendered(figure: Figure, image_format: str) -> bytes:
    """The figure as a file; characters that the font lacks are drawn as boxes, without a warning."""
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "beamwright"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format=image_format, dpi=_DPI, metadata=_METADATA[image_format])
    return stream.getvalue()


_METADATA: Mapping[str, Mapping[str, str | None]] = {
    "png": {"Software": None, "Description": INTENDED_USE},
    "svg": {"Date": None, "Creator": None, "Description": INTENDED_USE},
}
"""Neither date nor program: the same run gives the same file."""


def short(label: str, length: int = 26) -> str:
    """A label from the TPS on one line of at most ``length`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in label).split()) or "(no name)"
    return line if len(line) <= length else line[: length - 1] + "…"


def _draw_plane(
    axes: Axes, scene: Scene, orientation: Orientation, point_mm: model.Vector, box: Box, height_mm: float
) -> None:
    at_mm = point_mm[orientation.normal]
    axes.set_facecolor("black")
    if (image := cut(scene.volumes.image, orientation, at_mm)) is not None:
        axes.imshow(
            image.values,
            cmap="gray",
            vmin=WINDOW_HU[0],
            vmax=WINDOW_HU[1],
            extent=_extent(image),
            origin="lower",
            interpolation="bilinear",
        )
    if (dose := cut(scene.volumes.dose, orientation, at_mm)) is not None:
        _draw_isodoses(axes, scene, dose)
    for structure in _bottom_up(scene.structures):
        mask = scene.volumes.masks.get(structure.label)
        outline = None if mask is None else cut(mask, orientation, at_mm)
        if outline is not None:
            _draw_contour(axes, outline, scene.colours[structure.label], _contour_width(structure))
    _draw_cross(axes, point_mm[orientation.across], point_mm[orientation.along], box.length(orientation.across))
    _frame(axes, orientation, at_mm, box, height_mm)


def _draw_isodoses(axes: Axes, scene: Scene, dose: Cut) -> None:
    percent = 100.0 * dose.values / scene.prescription_gy
    levels = [level for level in isodose_levels(scene) if percent.min() < level < percent.max()]
    if not levels or min(percent.shape) < 2:
        return
    fills = [to_rgba(_ISODOSE_COLOUR[level], _WASH_ALPHA) for level in levels]
    axes.contourf(dose.h_mm, dose.v_mm, percent, levels=[*levels, percent.max() + 1.0], colors=fills, antialiased=True)
    axes.contour(
        dose.h_mm,
        dose.v_mm,
        percent,
        levels=levels,
        colors=[_ISODOSE_COLOUR[level] for level in levels],
        linewidths=0.75,
    )


def _draw_contour(axes: Axes, outline: Cut, colour: str, width: float) -> None:
    if outline.values.max() <= 0.5 or min(outline.values.shape) < 2:
        return
    values = np.pad(outline.values, 1)
    h = _padded(outline.h_mm)
    v = _padded(outline.v_mm)
    drawn = axes.contour(h, v, values, levels=[0.5], colors=[colour], linewidths=width)
    drawn.set_path_effects([Stroke(linewidth=width + 1.1, foreground="black", alpha=0.55), _PLAIN])


_PLAIN = Stroke()


def _padded(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    step = coordinates[1] - coordinates[0]
    return np.concatenate([[coordinates[0] - step], coordinates, [coordinates[-1] + step]])


def _bottom_up(structures: Sequence[model.Structure]) -> list[model.Structure]:
    """Targets lie on top of organs, and those on top of the skin; of touching targets the first listed is on top."""
    order = (model.StructureRole.EXTERNAL, model.StructureRole.OAR, model.StructureRole.TARGET)
    last_first = list(reversed(structures))
    return sorted(last_first, key=lambda each: order.index(each.role) if each.role in order else 1)


def _contour_width(structure: model.Structure) -> float:
    return {model.StructureRole.TARGET: 1.9, model.StructureRole.EXTERNAL: 0.9}.get(structure.role, 1.3)


def _draw_cross(axes: Axes, h_mm: float, v_mm: float, width_mm: float) -> None:
    arm, gap = width_mm * 0.035, width_mm * 0.012
    for dh, dv in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        axes.plot(
            [h_mm + dh * gap, h_mm + dh * (gap + arm)],
            [v_mm + dv * gap, v_mm + dv * (gap + arm)],
            color="white",
            linewidth=1.1,
            path_effects=[withStroke(linewidth=2.2, foreground="black")],
        )


def _frame(axes: Axes, orientation: Orientation, at_mm: float, box: Box, height_mm: float) -> None:
    middle = sum(box.span(orientation.along)) / 2
    low, high = middle - height_mm / 2, middle + height_mm / 2
    axes.set_xlim(*box.span(orientation.across))
    axes.set_ylim(*((high, low) if orientation.v_grows_down else (low, high)))
    axes.set_aspect("equal", adjustable="box")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    places = ((0.018, 0.5), (0.982, 0.5), (0.5, 0.982), (0.5, 0.018))
    alignments = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
    for letter, (x, y), (horizontal, vertical) in zip(orientation.edges, places, alignments, strict=True):
        axes.text(x, y, letter, transform=axes.transAxes, ha=horizontal, va=vertical, fontsize=9, **_ON_CT)
    axis = "xyz"[orientation.normal]
    axes.set_title(f"{orientation.name}   {axis} = {at_mm:.1f} mm", fontsize=9.5, color=_INK, loc="left", pad=5)
    _scale_bar(axes, box.length(orientation.across), min(box.length(o.across) for o in ORIENTATIONS))


_ON_CT: dict[str, Any] = {
    "color": "white",
    "fontweight": "bold",
    "path_effects": [withStroke(linewidth=2.2, foreground="black")],
}


def _scale_bar(axes: Axes, width_mm: float, narrowest_mm: float) -> None:
    length = max((step for step in (5, 10, 20, 50, 100) if step <= narrowest_mm / 3.5), default=5)
    start, share = 0.965 - length / width_mm, length / width_mm
    axes.plot(
        [start, start + share],
        [0.04, 0.04],
        transform=axes.transAxes,
        color="white",
        linewidth=2.2,
        solid_capstyle="butt",
        path_effects=[withStroke(linewidth=3.6, foreground="black")],
    )
    axes.text(start + share / 2, 0.055, f"{length} mm", transform=axes.transAxes, ha="center", fontsize=7.5, **_ON_CT)


def _draw_key(figure: Figure, scene: Scene, height: float) -> None:
    """Isodose levels in the first row, structures in the rows below."""
    axes = figure.add_axes((0.004, 0.0, 0.992, height))
    axes.set_axis_off()
    axes.set_xlim(0, 100)
    axes.set_ylim(_key_rows(scene), 0)
    levels = isodose_levels(scene)[::-1]
    axes.text(0, 0.5, "Isodose", fontsize=8, color=_DIM, va="center", fontweight="bold")
    for column, level in enumerate(levels):
        left = 7.0 + column * 10.3
        axes.add_patch(Rectangle((left, 0.22), 1.5, 0.56, color=_ISODOSE_COLOUR[level], linewidth=0))
        gy = scene.prescription_gy * level / 100.0
        axes.text(left + 2.0, 0.5, f"{level:g} %  {gy:.1f} Gy", fontsize=8, color=_INK, va="center")
    axes.text(0, 1.5, "Structures", fontsize=8, color=_DIM, va="center", fontweight="bold")
    for index, structure in enumerate(_in_key(scene)):
        row, column = divmod(index, _KEY_COLUMNS)
        left, middle = 7.0 + column * 13.2, 1.5 + row
        width = _contour_width(structure) + 0.8
        axes.add_line(
            Line2D([left, left + 1.5], [middle, middle], color=scene.colours[structure.label], linewidth=width)
        )
        axes.text(left + 2.0, middle, short(structure.label, 17), fontsize=8, color=_INK, va="center", parse_math=False)


def _key_rows(scene: Scene) -> int:
    return 1 + math.ceil(len(_in_key(scene)) / _KEY_COLUMNS)


def _in_key(scene: Scene) -> list[model.Structure]:
    """In the order of the colours, prescribed targets first; the External last."""
    drawn = [s for s in scene.structures if s.label in scene.volumes.masks]
    order = list(scene.colours)
    return sorted(drawn, key=lambda each: (each.role is model.StructureRole.EXTERNAL, order.index(each.label)))


def _extent(image: Cut) -> tuple[float, float, float, float]:
    dh, dv = image.h_mm[1] - image.h_mm[0], image.v_mm[1] - image.v_mm[0]
    return (
        float(image.h_mm[0] - dh / 2),
        float(image.h_mm[-1] + dh / 2),
        float(image.v_mm[0] - dv / 2),
        float(image.v_mm[-1] + dv / 2),
    )
