"""Prostate: prostate and seminal vesicles between bladder and rectum, in the bony pelvis of a man.

Landmarks are mm from the middle of the prostate of an average adult (x left, y posterior, z superior). The CTV is
prostate and seminal vesicles, the PTV 6-8 mm round it and a little less into the rectum, of which it takes 5-15 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_tps.cases.canvas import Canvas, Depths, centred_grid
from sim_tps.cases.shapes import Ellipsoid, HalfSpace, Loft, Section, Shape, Tube, Union, turned
from sim_tps.cases.tissue import Build, Draws, Hu
from sim_tps.geometry import Grid
from sim_tps.patient import Patient, Role

DEFAULT_SEED = 4
BODY = (
    # z, y, half width, front, back
    (-118, 12, 178, 108, 112),
    (-80, 8, 190, 112, 120),
    (-40, 4, 194, 112, 124),
    (0, 2, 194, 112, 122),
    (40, 2, 190, 114, 118),
    (80, 4, 182, 116, 112),
    (122, 6, 174, 116, 106),
)
RECTUM = (
    # z, y, half width, front, back: anal canal, ampulla behind the prostate, then along the sacrum to the sigmoid
    (-52, 36, 9, 8, 8),
    (-38, 33, 10, 9, 9),
    (-22, 26, 15, 11, 12),
    (0, 27, 19, 14, 14),
    (20, 31, 20, 15, 15),
    (40, 47, 18, 15, 15),
    (60, 58, 16, 14, 13),
    (78, 58, 13, 11, 11),
)


@dataclass(frozen=True)
class Organs:
    """The individual's soft organs."""

    prostate: Shape
    vesicles: Shape
    bladder: Shape
    rectum: Shape
    bulb: Shape


def build(seed: int) -> Patient:
    """One prostate patient."""
    draws = Draws.of("prostate", seed)
    person = Build.drawn(draws.anatomy)
    organs = _organs(person, draws.anatomy)
    canvas = Canvas(_grid(person))
    depths = _paint_body(canvas, person, draws.texture)
    _paint_muscles(canvas, person, draws.texture)
    _paint_bones(canvas, person)
    _paint_bowel(canvas, organs, person, draws.texture)
    _paint_organs(canvas, organs, draws.texture)
    canvas.restore_skin(depths, 4.0)
    _outline_targets(canvas, organs, draws.target)
    canvas.mottle(draws.texture, 6.0, 30.0, -200.0, 150.0)
    return canvas.patient("prostate", "Prostate and seminal vesicles", seed)


def _grid(person: Build) -> Grid:
    x, y, z = person.stretch
    return centred_grid((-202.5 * x, -120.0 * y, -110.0 * z), (202.5 * x, 147.5 * y, 117.5 * z), (2.5, 2.5, 2.5))


# --- organs -----------------------------------------------------------------------------------------------------------


def _organs(person: Build, rng: np.random.Generator) -> Organs:
    size = float(rng.uniform(0.92, 1.18))
    prostate = Ellipsoid(
        person.at(0, 0, 0), (25 * size, 17 * size, 20 * size), power=2.2, axes=turned(pitch_deg=-8)
    ).rippled(rng, 0.8, 22.0)
    rectum = _rectum(person, rng) - prostate.grown(1.5)
    bladder = _bladder(person, size, rng) - prostate.grown(1.0)
    return Organs(
        prostate=prostate,
        vesicles=(_vesicles(person, size) - bladder.grown(0.5)) - rectum.grown(0.5),
        bladder=bladder,
        rectum=rectum,
        bulb=Ellipsoid(person.at(0, 4, -46), person.size(10.5, 12, 9.5), power=2.2) - rectum.grown(2.0),
    )


def _rectum(person: Build, rng: np.random.Generator) -> Shape:
    """Fuller or emptier from man to man, and bent a little to one side."""
    full = float(rng.uniform(0.86, 1.12))
    sway = float(rng.uniform(-6, 6))
    sections = []
    for z, y, w, f, b in RECTUM:
        bend = sway * np.sin(np.pi * np.clip((z + 10) / 90, 0, 1))
        sections.append(Section(z * person.stretch[2], float(bend), y + 2.0, w * full, f * full, b * full))
    return Loft(sections, power=2.15).rippled(rng, 0.9, 22.0)


def _bladder(person: Build, size: float, rng: np.random.Generator) -> Shape:
    full = float(rng.uniform(0.94, 1.24))
    base = 12 * size
    body = Ellipsoid(
        person.at(0, -20, base + 27 * full), (41 * full, 32 * full, 28 * full), power=2.3, axes=turned(pitch_deg=10)
    )
    neck = Ellipsoid(person.at(0, -9, base + 8), (19, 15, 12))
    return body.blended(neck, 12.0).rippled(rng, 1.2, 40.0)


def _vesicles(person: Build, size: float) -> Shape:
    lobes = []
    for s in (1, -1):
        course = [(3, 13, 15 * size), (13, 17, 23 * size), (25, 20, 29 * size), (31, 23, 31 * size)]
        lobes.append(Tube(person.path(course, s), [4.5, 6.0, 5.5, 3.5]))
    return Union(tuple(lobes), 3.0)


def _paint_organs(canvas: Canvas, organs: Organs, rng: np.random.Generator) -> None:
    canvas.organ("Bladder", organs.bladder, Hu.WATER + 4)
    rim = canvas.region(organs.bladder) - canvas.region(organs.bladder.grown(-3.0))
    canvas.paint(rim, 34.0)
    rectum = canvas.organ("Rectum", organs.rectum, 38.0)
    lumen = canvas.region(organs.rectum.grown(-3.5).rippled(rng, 1.2, 14.0))
    canvas.paint(lumen, 22.0)
    for _ in range(int(rng.integers(1, 4))):
        z, y, w, f, _back = RECTUM[int(rng.integers(2, 7))]
        gas = Ellipsoid((0.0, y - 0.2 * f, float(z)), (w * 0.6, f * 0.55, float(rng.uniform(7, 13))))
        canvas.paint(canvas.region(gas.rippled(rng, 1.0, 12.0)) & lumen, -880.0)
    canvas.paint(organs.vesicles, 32.0)
    canvas.paint(organs.prostate, 42.0)
    canvas.organ("PenileBulb", organs.bulb, 52.0)
    canvas.outline("Rectum", Role.OAR, rectum)


def _outline_targets(canvas: Canvas, organs: Organs, rng: np.random.Generator) -> None:
    """Margins as drawn by hand: less behind, so that the rectum's front wall is shared and not half the rectum."""
    ctv = organs.prostate | organs.vesicles
    margin = float(rng.uniform(6.0, 8.0))
    wide = canvas.margin(ctv, margin)
    behind = margin * float(rng.uniform(0.85, 1.0))
    ptv = wide - (canvas.region(organs.rectum) - canvas.margin(ctv, behind))
    canvas.outline("Prostate", Role.TARGET, organs.prostate)
    canvas.outline("CTV", Role.TARGET, ctv)
    canvas.outline("PTV", Role.TARGET, ptv)


# --- surroundings -----------------------------------------------------------------------------------------------------


def _paint_body(canvas: Canvas, person: Build, rng: np.random.Generator) -> Depths:
    """Skin and subcutaneous fat, with buttocks; then the fat inside."""
    trunk = Loft([Section(z * person.stretch[2], 0, y, *person.size(w, f, b)) for z, y, w, f, b in BODY], power=2.35)
    buttocks = [Ellipsoid(person.at(s * 72, 62, -62), person.size(86, 68, 92)) for s in (1, -1)]
    cleft = Tube([person.at(0, 142, -125), person.at(0, 138, -30), person.at(0, 138, 40)], [26, 20, 6])
    outline = Union((trunk, *buttocks), 30.0).rippled(rng, 1.5, 90.0) - cleft
    return canvas.body(outline)


def _paint_muscles(canvas: Canvas, person: Build, rng: np.random.Generator) -> None:
    outer, inner = (
        Loft(
            [Section(z * person.stretch[2], 0, 0, *person.size(w - t, f - t, b - t)) for z, w, f, b in rows], power=2.3
        )
        for rows, t in (
            (((28, 110, 84, 30), (50, 140, 86, 62), (80, 148, 88, 72), (130, 150, 92, 72)), 0.0),
            (((0, 110, 84, 40), (50, 140, 86, 62), (80, 148, 88, 72), (160, 150, 92, 72)), 13.0),
        )
    )
    canvas.paint(canvas.region(outer.rippled(rng, 1.0, 40.0)) - canvas.region(inner.rippled(rng, 1.5, 40.0)), Hu.MUSCLE)
    for s in (1, -1):
        for muscle in _muscles(person, s):
            canvas.paint(muscle.rippled(rng, 1.2, 30.0), Hu.MUSCLE)
        for x, y, z0, z1 in ((52, -56, 30, -110), (66, -34, 125, 30)):
            vessel = [person.at(s * x, y, z0), person.at(s * (x + 12), y - 4, z1)]
            canvas.paint(Tube([(a, b, c) for a, b, c in vessel], [6.0, 5.5]), Hu.BLOOD + 15)
            canvas.paint(Tube([(a - s * 11, b + 5, c) for a, b, c in vessel], [7.0, 6.5]), Hu.BLOOD + 10)


def _muscles(person: Build, s: float) -> list[Shape]:
    """Muscles of one side."""
    tube = {
        "iliopsoas": (
            [(46, 22, 125), (62, 0, 85), (84, -30, 45), (100, -40, 10), (112, -14, -40)],
            [24, 25, 22, 19, 14],
        ),
        "iliacus": ([(104, 10, 115), (98, -8, 75), (96, -30, 40)], [17, 18, 16]),
        "obturator internus": ([(46, -30, -14), (50, -4, 2), (54, 28, -4)], [10, 13, 11]),
        "obturator externus": ([(34, -32, -20), (62, -8, -26), (104, 12, -14)], [11, 13, 10]),
        "levator ani": ([(6, 46, -36), (22, 34, -24), (32, 6, -12)], [5, 4.5, 4.0]),
        "pectineus": ([(40, -44, 2), (70, -34, -24), (104, -10, -50)], [10, 15, 14]),
        "adductors": ([(26, -36, -34), (46, -26, -70), (60, -14, -120)], [18, 30, 42]),
        "gracilis": ([(16, -14, -50), (24, -4, -120)], [9, 16]),
        "hamstrings": ([(62, 38, -62), (76, 40, -120)], [15, 30]),
        "quadratus femoris": ([(66, 26, -38), (122, 24, -34)], [14, 14]),
        "tensor and sartorius": ([(134, -38, 60), (146, -52, 5), (140, -58, -60), (128, -60, -120)], [13, 17, 19, 22]),
        "rectus femoris": ([(110, -56, -2), (110, -58, -60), (108, -52, -120)], [14, 24, 36]),
        "vastus": ([(152, 4, -40), (146, -10, -120)], [20, 38]),
    }
    shapes: list[Shape] = [Tube(person.path(points, s), radii) for points, radii in tube.values()]
    shapes.append(
        Ellipsoid(person.at(s * 82, 82, -8), person.size(66, 24, 84), power=2.3, axes=turned(yaw_deg=-24 * s))
    )
    shapes.append(Ellipsoid(person.at(s * 134, 14, 54), person.size(26, 52, 60), axes=turned(yaw_deg=22 * s)))
    shapes.append(Ellipsoid(person.at(s * 30, -78, 60), person.size(28, 7, 96), power=2.4))
    shapes.append(Ellipsoid(person.at(s * 30, 96, 110), person.size(25, 15, 50)))
    return shapes


def _paint_bones(canvas: Canvas, person: Build) -> None:
    for s, side in ((1, "L"), (-1, "R")):
        for bone in _half_pelvis(person, s):
            _paint_bone(canvas, bone)
        head = Ellipsoid(person.at(s * 89, -4, 22), person.size(24, 24, 24))
        canvas.paint(head.grown(2.5), 60.0)
        _paint_bone(canvas, _femur(person, s))
        canvas.outline(
            f"Femur_Head_{side}", Role.OAR, head.blended(Tube([head.centre, person.at(s * 108, 2, 8)], [16, 15]), 6.0)
        )
    for bone in _midline_bones(person):
        _paint_bone(canvas, bone)
    canvas.paint(Ellipsoid(person.at(0, -45, -6), person.size(3.2, 10, 19), power=2.6), 120.0)


def _paint_bone(canvas: Canvas, bone: Shape) -> None:
    canvas.paint(bone, 780.0)
    canvas.paint(bone.grown(-2.6), Hu.SPONGIOSA)


def _half_pelvis(person: Build, s: float) -> list[Shape]:
    """Hip bone of one side: wing, acetabulum with its socket, pubis with both rami, ischium."""

    def tube(points: list[tuple[float, float, float]], radii: list[float]) -> Shape:
        return Tube(person.path(points, s), radii)

    wing = tube([(80, 26, 46), (98, 18, 84), (122, -8, 126)], [11, 10, 9])
    back = tube([(84, 26, 46), (70, 58, 84), (60, 66, 126)], [12, 11, 11])
    blade = Ellipsoid(person.at(s * 97, 20, 106), person.size(8, 54, 48), axes=turned(yaw_deg=28 * s, roll_deg=14 * s))
    socket = Ellipsoid(person.at(s * 82, -2, 24), person.size(34, 37, 37)) - Ellipsoid(
        person.at(s * 89, -4, 22), person.size(27, 27, 27)
    )
    socket = socket - HalfSpace(person.at(s * 100, 0, 0), (-s, 0, 0))
    pubis = tube([(9, -46, -4), (30, -46, 8), (58, -32, 16), (70, -22, 18)], [9.5, 7.5, 8.5, 11])
    body = Ellipsoid(person.at(s * 12, -45, -7), person.size(9, 10, 20), power=2.4)
    lower = tube([(13, -40, -22), (28, -22, -40), (46, 10, -58)], [7.5, 6.5, 9])
    ischium = tube([(72, 26, 18), (64, 32, -20), (54, 26, -54)], [13, 12, 14])
    return [Union((wing, back, blade), 6.0), socket, Union((pubis, body, lower, ischium), 4.0)]


def _femur(person: Build, s: float) -> Shape:
    head = Ellipsoid(person.at(s * 89, -4, 22), person.size(24, 24, 24))
    neck = Tube([person.at(s * 92, -3, 20), person.at(s * 116, 4, 6), person.at(s * 136, 10, -6)], [15, 14.5, 18])
    trochanter = Ellipsoid(person.at(s * 145, 15, 2), (13, 17, 21))
    shaft = Tube([person.at(s * 136, 10, -10), person.at(s * 128, 6, -50), person.at(s * 122, 0, -125)], [19, 16, 14.5])
    return Union((head, neck, trochanter, shaft), 7.0)


def _midline_bones(person: Build) -> list[Shape]:
    sacrum = Loft(
        [
            Section(z * person.stretch[2], 0, y, *person.size(w, f, b))
            for z, y, w, f, b in (
                (32, 88, 12, 5, 5),
                (50, 94, 22, 8, 9),
                (72, 92, 36, 12, 13),
                (92, 82, 46, 15, 18),
                (112, 70, 54, 20, 22),
                (128, 62, 56, 24, 26),
            )
        ],
        power=2.3,
    )
    coccyx = Tube([person.at(0, 88, 34), person.at(0, 82, 18), person.at(0, 72, 6)], [6.5, 5.5, 4.0])
    return [sacrum, coccyx]


def _paint_bowel(canvas: Canvas, organs: Organs, person: Build, rng: np.random.Generator) -> None:
    """Small bowel and sigmoid above the bladder, with some gas; outlined as one bag."""
    spread = Ellipsoid(person.at(0, -14, 104), person.size(64, 46, 34))
    low, high = spread.bounds
    for _ in range(9):
        points = [tuple(float(c) for c in rng.uniform(low + 10, high - 10)) for _ in range(4)]
        loop = Tube([(a, b, c) for a, b, c in points], [float(r) for r in rng.uniform(9, 14, 4)])
        region = canvas.region(loop) - canvas.region(organs.bladder.grown(3.0) | organs.rectum.grown(2.0))
        canvas.paint(region, float(rng.uniform(20, 50)))
        if rng.random() < 0.4:
            canvas.paint(canvas.region(Ellipsoid(points[1], (9, 6, 10))) & region, -850.0)
    organs_below = organs.bladder.grown(2.0) | organs.rectum.grown(2.0)
    canvas.outline("Bag_Bowel", Role.OAR, spread.grown(8.0) - organs_below)
