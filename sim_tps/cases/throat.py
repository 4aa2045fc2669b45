"""Larynx, pharynx, glands and the top of the chest: what a head-and-neck scan shows and a brain scan does not.

Landmarks are mm from the sella turcica, as in `sim_tps.cases.skull`.
"""

from __future__ import annotations

import numpy as np

from sim_tps.cases.canvas import Canvas
from sim_tps.cases.neck import AIRWAY, Neck, canal_y, vertebra_front_y
from sim_tps.cases.shapes import Ellipsoid, Loft, Section, Shape, Tube, Union, turned
from sim_tps.cases.tissue import Build, Hu

CRICOID_Z = -158.0
"""Lower end of larynx and pharynx; trachea and oesophagus begin."""
BOTTOM_Z = -275.0


def paint_shoulders(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    """Muscle and bone of shoulders and upper chest, and the lung apices."""
    muscles = Loft(
        [
            Section(z * build.stretch[2], 0, y, w, f, b)
            for z, y, w, f, b in (
                (-188, 42, 70, 34, 56),
                (-210, 44, 140, 50, 64),
                (-235, 46, 186, 70, 70),
                (BOTTOM_Z, 50, 200, 98, 74),
            )
        ],
        power=2.3,
    )
    canvas.paint(muscles.rippled(rng, 2.0, 40.0), Hu.MUSCLE)
    chest = Loft(
        [
            Section(z * build.stretch[2], 0, 40, w, f, 62)
            for z, w, f in ((-192, 34, 38), (-225, 86, 52), (BOTTOM_Z, 122, 82))
        ]
    )
    canvas.paint(chest, Hu.FAT + 20)
    for s in (1, -1):
        _paint_girdle(canvas, build, s)
        canvas.paint(lung(build, s), Hu.LUNG)
    canvas.paint(Ellipsoid(build.at(0, 20, -272), build.size(36, 46, 34)), 30.0)


def lung(build: Build, side: float) -> Shape:
    """The apex of one lung."""
    return Ellipsoid(build.at(side * 64, 52, -300), build.size(47, 66, 102), power=2.3) - Ellipsoid(
        build.at(0, 30, -290), build.size(30, 60, 80)
    )


def paint_throat(canvas: Canvas, build: Build) -> None:
    """Cartilages and glands, round the airway."""
    canvas.paint(thyroid(build), 105.0)
    canvas.paint(larynx(build), Hu.MUSCLE - 6)
    for s in (1, -1):
        plate = [(1, -36, -130), (12, -26, -132), (18, -12, -134)]
        lower = [(1, -34, -142), (12, -25, -144), (18, -11, -146)]
        for points in (plate, lower):
            canvas.paint(Tube(build.path(points, s), [4.2, 3.4, 3.6]), 165.0)
        canvas.paint(Tube([build.at(s * 18, -10, -118), build.at(s * 17.5, -8, -154)], [2.0, 2.2]), 260.0)
        ring = [(0, -23, -153), (9, -18, -153), (12, -10, -152), (7, -1, -149), (0, 1, -148)]
        canvas.paint(Tube(build.path(ring, s), [2.5, 2.8, 3.2, 4.2, 4.5]), 240.0)
        hyoid = [(0, -33, -113), (11, -27, -112), (17, -12, -108)]
        canvas.paint(Tube(build.path(hyoid, s), [4.2, 3.0, 2.4]), 620.0)


def larynx(build: Build) -> Shape:
    """From the hyoid to the lower edge of the cricoid, airway included."""
    table = (
        (-114, -16, 13, 9, 9),
        (-124, -17, 19, 15, 13),
        (-138, -16, 20, 19, 13),
        (-150, -13, 16, 14, 13),
        (CRICOID_Z, -11, 12, 11, 11),
    )
    return Loft([Section(z * build.stretch[2], 0, y, *build.size(w, f, b)) for z, y, w, f, b in table])


def pharynx(build: Build, neck: Neck) -> Shape:
    """The constrictor muscles: a crescent behind the airway, from the skull base to the cricoid."""
    sections = [
        Section(z * build.stretch[2], 0, y + depth + 1.5, half_width + 6, 3.5, 3.5)
        for z, y, half_width, depth in AIRWAY
        if CRICOID_Z - 14 <= z <= -40
    ]
    return Loft(sections, power=2.6) - neck.airway


def oesophagus(build: Build) -> Shape:
    """From the cricoid to the end of the scan, between trachea and spine."""
    heights = np.linspace(CRICOID_Z, BOTTOM_Z, 10) * build.stretch[2]
    return Loft([Section(z, 2.0, vertebra_front_y(build, z) - 6.5, 8.2, 5.2, 5.2) for z in heights])


def thyroid(build: Build) -> Shape:
    """Two lobes beside the trachea and the isthmus in front of it."""
    lobes = [Ellipsoid(build.at(s * 17, -4, -168), build.size(8, 9, 21), axes=turned(roll_deg=10 * s)) for s in (1, -1)]
    return Union((*lobes, Ellipsoid(build.at(0, -15, -174), build.size(13, 3.5, 7))), 4.0)


def submandibular(build: Build, side: float, rng: np.random.Generator) -> Shape:
    """Below the body of the mandible, before the angle."""
    gland = Ellipsoid(build.at(side * 30.5, -18, -103), build.size(9.5, 16, 12.5), axes=turned(yaw_deg=18 * side))
    return gland.rippled(rng, 0.6, 14.0)


def oral_cavity(build: Build, neck: Neck) -> Shape:
    """Tongue and floor of the mouth, from the palate down, before the oropharynx."""
    whole = Ellipsoid(build.at(0, -39, -75), build.size(26, 31, 24), power=2.3)
    return (whole - neck.mandible.grown(1.0)) - neck.airway.grown(1.0)


def _paint_girdle(canvas: Canvas, build: Build, s: float) -> None:
    """Collar bone, shoulder blade, head of the humerus, first ribs."""
    clavicle = [(14, -18, -226), (50, -16, -218), (95, 8, -210), (138, 30, -204)]
    humerus = [(158, 34, -222), (166, 36, -250), (168, 36, -290)]
    scapula = Ellipsoid(build.at(s * 118, 84, -262), build.size(38, 6, 42), axes=turned(yaw_deg=32 * s))
    blade = scapula | Tube(build.path(((80, 96, -226), (120, 78, -212), (150, 44, -206)), s), [4, 6, 8])
    bones: list[Shape] = [
        Tube(build.path(clavicle, s), [9, 6, 6, 7]),
        Tube(build.path(humerus, s), [22, 14, 12]),
        blade,
    ]
    for rib, z in enumerate((-206, -224, -242, -260)):
        y = canal_y(build, z * build.stretch[2])
        wide = 48 + 18 * rib
        course = [
            (16, y - 6, z + 6),
            (wide * 0.7, y + 2, z + 4),
            (wide, y - 26, z - 4),
            (wide * 0.8, 6, z - 16),
            (22, -14 - 8 * rib, z - 24),
        ]
        bones.append(Tube([(s * a, b, c * build.stretch[2]) for a, b, c in course], [4.5, 4.2, 4.2, 4.2, 4.0]))
    for bone in bones:
        canvas.paint(bone, 720.0)
        canvas.paint(bone.grown(-2.0), Hu.SPONGIOSA)
