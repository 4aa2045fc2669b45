"""Jaw, mouth, throat and neck down to the lung apices: what hangs below the skull.

Landmarks are mm from the sella turcica, as in `sim_tps.cases.skull`. Painted before the skull, whose bone and sinuses
then lie over the soft tissue here. A brain scan shows only the upper end of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from sim_tps.cases.canvas import Canvas
from sim_tps.cases.shapes import Ellipsoid, Loft, Section, Shape, Tube, Union, turned
from sim_tps.cases.tissue import Build, Hu

NECK = (
    # z, y, half width, front, back
    (-30, 28, 68, 40, 68),
    (-60, 29, 65, 44, 62),
    (-90, 27, 61, 46, 59),
    (-115, 26, 59, 54, 59),
    (-140, 27, 59, 60, 60),
    (-165, 29, 70, 60, 66),
    (-190, 34, 118, 64, 74),
    (-212, 39, 172, 76, 80),
    (-235, 43, 203, 94, 84),
    (-275, 48, 218, 116, 88),
)
CANAL = ((-40, 33), (-55, 36), (-75, 40), (-100, 40), (-130, 41), (-160, 47), (-190, 58), (-220, 71), (-275, 92))
"""Centre of the spinal canal: z, y."""
AIRWAY = (
    # z, y, half width, half depth
    (-30, 1, 10, 10),
    (-48, 3, 11, 7),
    (-62, 3, 8, 4.5),
    (-78, 1, 10, 6),
    (-96, -3, 11, 7.5),
    (-112, -6, 10, 6),
    (-126, -12, 6, 7),
    (-138, -14, 3.2, 9),
    (-150, -12, 7.5, 9),
    (-170, -4, 8.5, 8.5),
    (-200, 13, 9, 8.5),
    (-235, 32, 9.5, 8.5),
    (-275, 52, 9.5, 8.5),
)
VERTEBRA_MM = 17.6
"""Height of a cervical vertebra with its disc."""
AXIS_Z = -78.0
"""Middle of the body of C2."""


@dataclass(frozen=True)
class Neck:
    """The shapes other anatomy leans on."""

    outline: Shape
    cord: Shape
    airway: Shape
    mandible: Shape
    parotids: tuple[Shape, Shape]


def design(build: Build, rng: np.random.Generator) -> Neck:
    """The individual's shapes, before anything is painted."""
    mandible = _mandible(build).rippled(rng, 0.4, 20.0).grown(rng.uniform(-0.1, 0.8))
    return Neck(
        outline=Loft(
            [Section(z * build.stretch[2], 0, y, *build.size(w, 0, 0)[:1], f, b) for z, y, w, f, b in NECK], power=2.15
        ),
        cord=_cord(build).grown(rng.uniform(-0.5, 0.4)),
        airway=Loft([Section(z * build.stretch[2], 0, y, w, d, d) for z, y, w, d in AIRWAY]).rippled(rng, 0.5, 18.0),
        mandible=mandible,
        parotids=(_parotid(build, 1.0, mandible, rng), _parotid(build, -1.0, mandible, rng)),
    )


def paint(canvas: Canvas, neck: Neck, build: Build, rng: np.random.Generator) -> None:
    """Paint the soft tissue and bone of jaw and neck."""
    _paint_muscles(canvas, build, rng)
    _paint_vessels(canvas, build)
    _paint_mouth(canvas, neck, build, rng)
    for parotid in neck.parotids:
        canvas.paint(parotid, Hu.PAROTID)
    _paint_spine(canvas, neck, build)
    canvas.paint(neck.mandible, Hu.CORTEX + 150)
    canvas.paint(neck.mandible.grown(-2.2), Hu.DIPLOE)
    _paint_teeth(canvas, build)
    canvas.paint(neck.airway, Hu.AIR)


def canal_y(build: Build, z: float) -> float:
    """Where the spinal canal's centre lies at a height."""
    table = np.asarray(CANAL[::-1], float)
    return float(PchipInterpolator(table[:, 0] * build.stretch[2], table[:, 1])(z))


def vertebra_front_y(build: Build, z: float) -> float:
    """The anterior face of the vertebral column at a height."""
    return canal_y(build, z) - 25.0


def _cord(build: Build) -> Shape:
    heights = np.linspace(-57, -275, 24) * build.stretch[2]
    return Loft([Section(z, 0, canal_y(build, z), 6.9, 5.0, 5.0) for z in heights])


def _mandible(build: Build) -> Shape:
    sides: list[Shape] = []
    for s in (1, -1):
        lower = [(46, 2, -84), (40, -26, -97), (24, -58, -106), (0, -69, -108)]
        upper = [(43, -6, -76), (36, -30, -84), (22, -57, -89), (0, -67, -90)]
        sides.append(Tube(build.path(lower, s), [4.6, 5.4, 5.8, 6.2]))
        sides.append(Tube(build.path(upper, s), [4.2, 5.2, 5.4, 5.0]))
        sides.append(
            Ellipsoid(build.at(s * 47.5, 0, -64), build.size(4.4, 14, 25), power=2.4, axes=turned(pitch_deg=10))
        )
        sides.append(
            Tube([build.at(s * 49, 6, -50), build.at(s * 50, 10, -36), build.at(s * 50, 11, -29)], [4.5, 4.4, 6.0])
        )
        sides.append(Tube([build.at(s * 47, -8, -48), build.at(s * 46, -12, -32)], [4.0, 2.4]))
    return Union(tuple(sides), 5.0)


def _parotid(build: Build, side: float, mandible: Shape, rng: np.random.Generator) -> Shape:
    """Wrapped round the back of the ramus: a superficial lobe outside it and a deep one behind."""
    size = float(rng.uniform(0.95, 1.14))
    superficial = Ellipsoid(
        build.at(side * 55.5, 4, -56), build.size(9 * size, 21 * size, 27 * size), axes=turned(yaw_deg=14 * side)
    )
    retro = Ellipsoid(build.at(side * 53, 20, -52), build.size(13 * size, 12 * size, 24 * size))
    deep = Ellipsoid(build.at(side * 41, 14, -54), build.size(8, 8, 15))
    whole = Union((superficial, retro, deep), 5.0).rippled(rng, 0.9, 20.0)
    return whole - mandible.grown(1.5)


def _paint_muscles(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    mass = [
        Section(z * build.stretch[2], 0, canal_y(build, z * build.stretch[2]) + 12, 44, 28, 30)
        for z in (-40, -90, -140, -180, -215)
    ]
    canvas.paint(Loft(mass, power=2.4).rippled(rng, 1.5, 22.0), Hu.MUSCLE - 22)
    for s in (1, -1):
        sterno = [(58, 38, -40), (51, 34, -80), (44, 14, -130), (32, -6, -175), (18, -16, -212)]
        canvas.paint(Tube(build.path(sterno, s), [8, 9, 10, 9, 7]).rippled(rng, 0.7, 22), Hu.MUSCLE)
        masseter = Ellipsoid(build.at(s * 54.5, -12, -60), build.size(6.5, 16, 28), axes=turned(pitch_deg=-12))
        canvas.paint(masseter.rippled(rng, 0.6, 18), Hu.MUSCLE)
        pterygoid = Ellipsoid(build.at(s * 36, -2, -55), build.size(6, 11, 26), axes=turned(roll_deg=-12 * s))
        canvas.paint(pterygoid, Hu.MUSCLE)
        canvas.paint(Tube([build.at(s * 20, -10, -30), build.at(s * 44, 4, -33)], [7, 6]), Hu.MUSCLE)
        nape = [(22, 66, -28), (24, 66, -80), (26, 66, -140), (34, 86, -190), (40, 104, -270)]
        canvas.paint(Tube(build.path(nape, s), [19, 18, 18, 18, 16]).rippled(rng, 1.0, 20), Hu.MUSCLE)
        scalene = [(22, 26, -70), (26, 28, -130), (36, 38, -180), (52, 36, -215)]
        canvas.paint(Tube(build.path(scalene, s), [8, 10, 12, 9]).rippled(rng, 0.8, 18), Hu.MUSCLE)
        trapezius = [(28, 76, -60), (40, 70, -130), (70, 70, -180), (130, 62, -215), (160, 48, -225)]
        canvas.paint(Tube(build.path(trapezius, s), [8, 10, 13, 13, 12]).rippled(rng, 0.8, 24), Hu.MUSCLE)
        levator = [(36, 40, -80), (44, 52, -130), (62, 66, -190)]
        canvas.paint(Tube(build.path(levator, s), [7, 8, 8]), Hu.MUSCLE)
    canvas.paint(_prevertebral(build), Hu.MUSCLE)
    canvas.paint(Tube([build.at(0, -15, -120), build.at(0, -12, -165), build.at(0, -6, -200)], [19, 16, 12]), Hu.MUSCLE)


def _prevertebral(build: Build) -> Shape:
    heights = np.linspace(-45, -200, 10) * build.stretch[2]
    return Loft([Section(z, 0, vertebra_front_y(build, z) + 2, 20, 7, 18) for z in heights])


def _paint_vessels(canvas: Canvas, build: Build) -> None:
    """Carotid arteries and jugular veins, with the faint enhancement of a planning scan."""
    for s in (1, -1):
        carotid = [(24, 16, -30), (27, 12, -70), (25, 6, -110), (25, 4, -150), (19, 10, -200), (12, 22, -260)]
        canvas.paint(Tube(build.path(carotid, s), [2.8, 3.0, 3.8, 3.6, 3.8, 5.0]), 125.0)
        jugular = [(29, 22, -30), (35, 18, -80), (34, 12, -130), (32, 8, -180), (24, 6, -230)]
        canvas.paint(Tube(build.path(jugular, s), [3.5, 5.0, 5.8, 6.2, 7.0]), 110.0)


def _paint_mouth(canvas: Canvas, neck: Neck, build: Build, rng: np.random.Generator) -> None:
    canvas.paint(Ellipsoid(build.at(0, -38, -76), build.size(27, 32, 26), power=2.3).rippled(rng, 0.8, 20), Hu.MUSCLE)
    canvas.paint(Ellipsoid(build.at(0, -38, -100), build.size(24, 26, 8)), Hu.MUSCLE - 8)
    canvas.paint(Ellipsoid(build.at(0, -38, -80), build.size(1.2, 22, 18)), -40.0)
    canvas.paint(neck.airway.grown(5.0), Hu.MUSCLE)
    canvas.paint(Ellipsoid(build.at(0, -14, -50), build.size(16, 10, 5)), Hu.MUSCLE)
    canvas.paint(Ellipsoid(build.at(0, -46, -50), build.size(24, 25, 3.2), power=2.6), 640.0)
    canvas.paint(Ellipsoid(build.at(0, -42, -56), build.size(19, 27, 2.0)).rippled(rng, 0.8, 14), Hu.AIR)


def _paint_teeth(canvas: Canvas, build: Build) -> None:
    for height, arch, half_height in ((-61, 1.0, 8.0), (-79, 0.93, 8.5)):
        gum = [build.at(arch * x, y, height) for x, y in _dental_arch(9)]
        canvas.paint(Tube(gum, [5.4] * len(gum), steps=2), 420.0 if arch == 1.0 else Hu.DIPLOE)
        for x, y in _dental_arch(14):
            width = 2.7 + 1.3 * abs(x) / 27
            canvas.paint(
                Ellipsoid(
                    build.at(arch * x, y, height - 2 if arch == 1.0 else height + 2),
                    (width, width, half_height),
                    power=2.6,
                ),
                Hu.TOOTH,
            )


def _dental_arch(count: int) -> list[tuple[float, float]]:
    """Points along the row of teeth, molar to molar: x, y."""
    angles = np.linspace(-1.0, 1.0, count)
    return [(27.0 * float(np.sin(1.45 * a)), -70.0 + 36.0 * abs(float(a)) ** 1.9) for a in angles]


def _paint_spine(canvas: Canvas, neck: Neck, build: Build) -> None:
    """Atlas, axis with dens, the vertebrae below; then the canal and the cord in it."""
    for level in range(11):
        z = (AXIS_Z - VERTEBRA_MM * (1 + 0.03 * max(level - 5, 0)) * level) * build.stretch[2]
        _paint_vertebra(canvas, build, z, level)
    atlas_z = -60.0 * build.stretch[2]
    y = canal_y(build, atlas_z)
    ring = [(0, y - 22), (16, y - 16), (22, y - 3), (16, y + 12), (0, y + 18)]
    for s in (1, -1):
        canvas.paint(Tube([(s * a, b, atlas_z) for a, b in ring], [4.2, 6.5, 8.0, 4.2, 4.2]), 760.0)
    dens = Tube([(0, y - 15, AXIS_Z * build.stretch[2]), (0, y - 13.5, atlas_z + 5)], [6.0, 5.0])
    canvas.paint(dens, 900.0)
    canvas.paint(dens.grown(-2.0), Hu.DIPLOE)
    canvas.paint(neck.cord.grown(3.2), Hu.CSF)
    canvas.paint(neck.cord, Hu.GREY)


def _paint_vertebra(canvas: Canvas, build: Build, z: float, level: int) -> None:
    y = canal_y(build, z)
    grow = 1 + 0.035 * level
    body = Ellipsoid((0, y - 16.5, z), (12.5 * grow, 8.6 * grow, 7.9), power=3.2)
    canvas.paint(Ellipsoid((0, y - 16.5, z - 8.8), (12.0 * grow, 8.2 * grow, 3.0), power=2.6), 85.0)
    arch = Union(
        (
            Tube(
                [(13 * grow, y - 8, z), (20 * grow, y + 1, z), (12, y + 11, z - 2), (0, y + 14, z - 4)],
                [4.0, 5.5, 3.8, 3.5],
            ),
            Tube(
                [(-13 * grow, y - 8, z), (-20 * grow, y + 1, z), (-12, y + 11, z - 2), (0, y + 14, z - 4)],
                [4.0, 5.5, 3.8, 3.5],
            ),
            Tube([(0, y + 14, z - 4), (0, y + 26 + 1.6 * level, z - 9)], [3.6, 3.0]),
        ),
        2.0,
    )
    for bone in (body, arch):
        canvas.paint(bone, 680.0)
        canvas.paint(bone.grown(-1.6), Hu.SPONGIOSA + 60)
