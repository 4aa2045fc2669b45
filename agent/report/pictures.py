"""Dose on the CT: three planes through a point, with contours, isodose lines and a key.

The one idea: what lies on top may not be taken for what lies below. Targets are thick with a dark rim, organs thinner,
isodoses thin lines over a wash of their own colours. Each plane fills its panel and has its own scale bar. Labels come
from the TPS and are drawn as they are, never read as mathematical notation.
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
from matplotlib.path import Path
from matplotlib.patheffects import Stroke, withStroke
from numpy.typing import NDArray

from agent.report.palette import ISODOSE_COLOUR, ISODOSE_PERCENT
from agent.report.planes import ORIENTATIONS, Box, Cut, Orientation, cut
from agent.volumes import Volumes
from bridge import INTENDED_USE, model

_WASH_ALPHA, _LINE, _LINE_100 = 0.26, 0.75, 1.4
_INK, _DIM = "#1c2530", "#5b6672"
_WIDTH_INCH, _HEAD_INCH, _KEY_ROW_INCH = 12.4, 0.34, 0.23
_KEY_COLUMNS = 7
_DPI = 150


@dataclass(frozen=True)
class Window:
    """Which CT numbers are drawn from black to white."""

    level_hu: float
    width_hu: float

    @property
    def limits_hu(self) -> tuple[float, float]:
        return self.level_hu - self.width_hu / 2, self.level_hu + self.width_hu / 2


SOFT_TISSUE = Window(40.0, 400.0)
BRAIN = Window(40.0, 100.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """What all pictures of one run share."""

    volumes: Volumes
    structures: Sequence[model.Structure]
    colours: Mapping[str, str]
    prescription_gy: float
    """Highest prescribed dose: 100 %."""
    window: Window = SOFT_TISSUE


def planes_png(scene: Scene, point_mm: model.Vector, boxes: Sequence[Box]) -> bytes:
    """Axial, coronal and sagittal plane through a point, as PNG.

    Parameters
    ----------
    boxes : the part of the patient that each of the three planes shows.
    """
    widths = [box.length(o.across) / box.length(o.along) for o, box in zip(ORIENTATIONS, boxes, strict=True)]
    body_inch = min((_WIDTH_INCH - 0.2) / sum(widths), 7.0)
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
    for column, (orientation, box) in enumerate(zip(ORIENTATIONS, boxes, strict=True)):
        axes = figure.add_subplot(grid[0, column])
        _draw_plane(axes, scene, orientation, point_mm)
        _frame(axes, orientation, point_mm[orientation.normal], box)
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


def _draw_plane(axes: Axes, scene: Scene, orientation: Orientation, point_mm: model.Vector) -> None:
    at_mm = point_mm[orientation.normal]
    axes.set_facecolor("black")
    if (image := cut(scene.volumes.image, orientation, at_mm)) is not None:
        axes.imshow(
            image.values,
            cmap="gray",
            vmin=scene.window.limits_hu[0],
            vmax=scene.window.limits_hu[1],
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
    _draw_cross(axes, point_mm[orientation.across], point_mm[orientation.along])


def _draw_isodoses(axes: Axes, scene: Scene, dose: Cut) -> None:
    percent = 100.0 * dose.values / scene.prescription_gy
    levels = [level for level in isodose_levels(scene) if percent.min() < level < percent.max()]
    if not levels or min(percent.shape) < 2:
        return
    fills = [to_rgba(ISODOSE_COLOUR[level], _WASH_ALPHA) for level in levels]
    axes.contourf(dose.h_mm, dose.v_mm, percent, levels=[*levels, percent.max() + 1.0], colors=fills, antialiased=True)
    axes.contour(
        dose.h_mm,
        dose.v_mm,
        percent,
        levels=levels,
        colors=[ISODOSE_COLOUR[level] for level in levels],
        linewidths=[_LINE_100 if level == 100.0 else _LINE for level in levels],
    )


def _draw_contour(axes: Axes, outline: Cut, colour: str, width: float) -> None:
    if outline.values.max() <= 0.5 or min(outline.values.shape) < 2:
        return
    values = np.pad(outline.values, 1)
    h = _padded(outline.h_mm)
    v = _padded(outline.v_mm)
    drawn = axes.contour(h, v, values, levels=[0.5], colors=[colour], linewidths=width)
    drawn.set_path_effects([Stroke(linewidth=width + 1.3, foreground="black", alpha=0.75), _PLAIN])


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
    return {model.StructureRole.TARGET: 2.3, model.StructureRole.EXTERNAL: 0.8}.get(structure.role, 1.2)


def _draw_cross(axes: Axes, h_mm: float, v_mm: float) -> None:
    """Small, open in the middle, and of the same size in every picture, so that it hides no lesion."""
    axes.plot(
        [h_mm],
        [v_mm],
        marker=_OPEN_CROSS,
        markersize=11,
        markerfacecolor="none",
        markeredgecolor="white",
        markeredgewidth=0.9,
        linestyle="none",
        path_effects=[withStroke(linewidth=2.0, foreground="black")],
    )


_OPEN_CROSS = Path(
    [(0.55, 0), (1, 0), (-0.55, 0), (-1, 0), (0, 0.55), (0, 1), (0, -0.55), (0, -1)], [Path.MOVETO, Path.LINETO] * 4
)


def _frame(axes: Axes, orientation: Orientation, at_mm: float, box: Box) -> None:
    axes.set_xlim(*box.span(orientation.across))
    low, high = box.span(orientation.along)
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
    _scale_bar(axes, box.length(orientation.across))


_ON_CT: dict[str, Any] = {
    "color": "white",
    "fontweight": "bold",
    "path_effects": [withStroke(linewidth=2.2, foreground="black")],
}


def _scale_bar(axes: Axes, width_mm: float) -> None:
    length = max((step for step in (5, 10, 20, 50, 100) if step <= width_mm / 2.9), default=5)
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
        axes.add_patch(Rectangle((left, 0.22), 1.5, 0.56, color=ISODOSE_COLOUR[level], linewidth=0))
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
