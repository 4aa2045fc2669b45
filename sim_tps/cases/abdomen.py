"""Liver: one metastasis in the liver, with stomach, duodenum, bowel, kidneys, heart and lungs about it.

Landmarks are mm from the middle of the trunk at the first lumbar vertebra (x left, y posterior, z superior).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_tps.cases.canvas import Canvas, Depths, centred_grid
from sim_tps.cases.shapes import Ellipsoid, Loft, Section, Shape, Tube, Union, distance_at, turned
from sim_tps.cases.tissue import Build, Draws, Hu
from sim_tps.geometry import Grid, Vector
from sim_tps.patient import Patient, Role

DEFAULT_SEED = 2
LARGE_SEEDS = range(9000, 9100)
"""Seeds whose metastasis is 6.4-6.8 cm wide and lies in the right lobe: there the mean dose of the liver decides."""
PTV_MARGIN_MM = 5.0
RIGHT_LOBE_X_MM = -45.0
"""Nearer the middle, the left lobe is too thin for a large metastasis."""
VERTEBRA_MM = 31.0
BODY = (
    # z, y, half width, front, back
    (-105, 0, 158, 104, 102),
    (-50, 0, 158, 104, 104),
    (0, 0, 160, 106, 104),
    (60, 0, 163, 108, 106),
    (120, 2, 165, 108, 108),
    (180, 4, 166, 106, 110),
)


@dataclass(frozen=True)
class Organs:
    """The individual's organs."""

    liver: Shape
    stomach: Shape
    duodenum: Shape
    kidneys: tuple[Shape, Shape]
    spleen: Shape
    heart: Shape
    oesophagus: Shape
    cord: Shape
    lungs: tuple[Shape, Shape]
    small_bowel: Shape
    colon: Shape


def build(seed: int) -> Patient:
    """One liver patient."""
    draws = Draws.of("liver", seed)
    person = Build.drawn(draws.anatomy)
    organs = _organs(person, draws.anatomy)
    canvas = Canvas(_grid(person))
    depths = _paint_body(canvas, person, draws.texture)
    _paint_lungs(canvas, organs, person)
    _paint_bones(canvas, organs, person)
    _paint_organs(canvas, organs, person, draws.texture)
    canvas.restore_skin(depths, 5.0)
    _outline_targets(canvas, organs, draws.target, large=seed in LARGE_SEEDS)
    canvas.mottle(draws.texture, 5.0, 28.0, -200.0, 150.0)
    return canvas.patient("liver", "Liver metastasis", seed)


def _grid(person: Build) -> Grid:
    x, y, z = person.stretch
    return centred_grid((-177.5 * x, -120.0 * y, -95.0 * z), (177.5 * x, 130.0 * y, 170.0 * z), (2.5, 2.5, 2.5))


# --- organs -----------------------------------------------------------------------------------------------------------


def _organs(person: Build, rng: np.random.Generator) -> Organs:
    def tube(points: list[tuple[float, float, float]], radii: list[float]) -> Shape:
        return Tube(person.path(points), radii)

    kidneys = (_kidney(person, 1.0, rng), _kidney(person, -1.0, rng))
    behind = Ellipsoid(person.at(-54, 66, -20), person.size(42, 44, 66))
    liver = _liver(person, rng) - Union(
        (behind, kidneys[1].grown(3.0), tube([(-18, 24, -100), (-20, 20, 40), (-12, 8, 112)], [11, 11, 13]))
    )
    heart = Ellipsoid(
        person.at(24, -38, 150), person.size(54, 44, 44), axes=turned(yaw_deg=-25, roll_deg=18)
    ) - liver.grown(5.0)
    stomach = tube(
        [(52, 24, 84), (68, 4, 62), (70, -28, 34), (50, -56, 6), (18, -60, -6), (-14, -46, 2)], [30, 33, 27, 22, 18, 11]
    )
    stomach = stomach.rippled(rng, 1.5, 30.0) - liver.grown(2.0)
    duodenum = tube(
        [(-20, -42, 2), (-42, -22, -2), (-46, -4, -30), (-32, 8, -54), (6, 4, -58), (30, -4, -46)],
        [12, 12, 12.5, 12, 11, 10],
    )
    duodenum = duodenum.rippled(rng, 0.8, 18.0) - (stomach.grown(0.5) | kidneys[1].grown(1.0) | liver.grown(1.0))
    spleen = Ellipsoid(person.at(106, 42, 58), person.size(24, 40, 48), axes=turned(yaw_deg=-22)).rippled(
        rng, 1.2, 30.0
    )
    spleen = spleen - (stomach.grown(2.0) | kidneys[0].grown(2.0))
    oesophagus = tube([(2, 22, 180), (6, 18, 140), (14, 10, 112), (32, 14, 94)], [8.0, 8.0, 7.5, 8.0]) - stomach
    colon = _colon(person, rng) - (stomach.grown(1.0) | liver.grown(1.0))
    return Organs(
        liver=liver,
        stomach=stomach,
        duodenum=duodenum,
        kidneys=kidneys,
        spleen=spleen,
        heart=heart - oesophagus.grown(2.0),
        oesophagus=oesophagus,
        cord=Loft([Section(z * person.stretch[2], 0, *_canal(person), 5.8, 4.6, 4.6) for z in (-32, 180)]),
        lungs=(_lung(person, 1.0, liver, stomach, heart), _lung(person, -1.0, liver, stomach, heart)),
        small_bowel=_small_bowel(person, rng)
        - Union((stomach.grown(2.0), duodenum.grown(1.0), colon.grown(1.0), liver.grown(2.0))),
        colon=colon,
    )


def _canal(person: Build) -> tuple[float]:
    """The y of the spinal canal's centre."""
    return (66.0 * person.stretch[1],)


def _liver(person: Build, rng: np.random.Generator) -> Shape:
    size = float(rng.uniform(0.93, 1.06))
    right = Ellipsoid(
        person.at(-70, 4, 44), person.size(56 * size, 70 * size, 68 * size), power=2.2, axes=turned(roll_deg=12)
    )
    tip = Ellipsoid(person.at(-94, 4, -8), person.size(28, 44, 44))
    left = Ellipsoid(
        person.at(-8, -44, 68), person.size(72 * size, 30 * size, 32 * size), axes=turned(roll_deg=14, yaw_deg=8)
    )
    return Union((Union((right, tip), 30.0), left), 26.0).rippled(rng, 1.8, 55.0)


def _kidney(person: Build, side: float, rng: np.random.Generator) -> Shape:
    low = 0.0 if side > 0 else -16.0
    body = Ellipsoid(
        person.at(side * 62, 48, -4 + low),
        person.size(28, 25, 56),
        power=2.2,
        axes=turned(roll_deg=-10 * side, yaw_deg=30 * side),
    )
    hilum = Ellipsoid(person.at(side * 38, 36, -4 + low), (14, 12, 15))
    return body.rippled(rng, 0.8, 28.0) - hilum


def _lung(person: Build, side: float, liver: Shape, stomach: Shape, heart: Shape) -> Shape:
    """Chest cavity of one side above the diaphragm; the diaphragm lies on liver, stomach and spleen."""
    chest = Loft(
        [Section(z * person.stretch[2], side * 72 * person.stretch[0], 0, *person.size(62, 78, 84)) for z in (20, 200)],
        power=2.5,
    )
    dome = Ellipsoid(person.at(side * 70, 0, 10), person.size(74, 92, 98 if side > 0 else 94), power=2.2)
    below = Union((dome, liver.grown(4.0), stomach.grown(4.0)), 16.0)
    middle = Ellipsoid(person.at(0, 30, 120), person.size(30, 62, 130), power=2.5)
    return chest - (below | heart.grown(3.0) | middle)


def _small_bowel(person: Build, rng: np.random.Generator) -> Shape:
    """Loops of small bowel below stomach and pancreas."""
    loops = []
    for _ in range(12):
        course = [person.at(*rng.uniform((-76, -58, -110), (84, 4, -48))) for _ in range(4)]
        loops.append(Tube(course, [float(r) for r in rng.uniform(9, 13, 4)]))
    return Union(tuple(loops)).rippled(rng, 0.8, 16.0)


def _colon(person: Build, rng: np.random.Generator) -> Shape:
    """Ascending, transverse and descending colon."""
    course = [
        (-104, 6, -110),
        (-102, -4, -62),
        (-72, -48, -42),
        (0, -58, -46),
        (66, -46, -22),
        (102, -4, 4),
        (108, 10, -30),
        (108, 10, -110),
    ]
    return Tube(person.path(course), [20, 20, 18, 17, 16, 15, 14, 14]).rippled(rng, 1.8, 22.0)


def _paint_organs(canvas: Canvas, organs: Organs, person: Build, rng: np.random.Generator) -> None:
    _paint_great_vessels(canvas, person)
    canvas.organ("Liver", organs.liver, Hu.LIVER + 30)
    _paint_liver_vessels(canvas, organs, person, rng)
    canvas.organ("Spleen", organs.spleen, Hu.LIVER + 34)
    pancreas = Tube(person.path(((-28, -14, -18), (-8, -18, 4), (24, -10, 16), (62, 18, 34))), [13, 10, 9, 8])
    canvas.paint(pancreas.rippled(rng, 1.4, 12.0) - (organs.stomach | organs.duodenum), Hu.GLAND + 35)
    canvas.paint(
        Ellipsoid(person.at(-44, -40, 6), person.size(13, 16, 26), axes=turned(pitch_deg=20))
        - organs.liver.grown(-2.0),
        8.0,
    )
    canvas.organ("Heart", organs.heart, Hu.BLOOD + 35)
    canvas.organ("Esophagus", organs.oesophagus, Hu.MUSCLE - 10)
    _paint_hollow(canvas, "Stomach", organs.stomach, person.at(58, -32, 66), rng)
    _paint_hollow(canvas, "Duodenum", organs.duodenum, None, rng)
    _paint_hollow(canvas, "Bowel_Small", organs.small_bowel, person.at(20, -62, -75), rng)
    _paint_hollow(canvas, "Bowel_Large", organs.colon, person.at(10, -72, -42), rng)
    for side, kidney in zip("LR", organs.kidneys, strict=True):
        region = canvas.organ(f"Kidney_{side}", kidney, Hu.LIVER + 60)
        canvas.paint(canvas.region(kidney.grown(-11.0).rippled(rng, 1.0, 12.0)) & region, 60.0)
    canvas.outline("Kidneys", Role.OAR, organs.kidneys[0] | organs.kidneys[1])


def _paint_hollow(
    canvas: Canvas, name: str, organ: Shape, bubble: tuple[float, float, float] | None, rng: np.random.Generator
) -> None:
    """Wall, fluid, and air where it has risen to the front."""
    wall = canvas.organ(name, organ, 48.0)
    lumen = canvas.region(organ.grown(-3.0)) & wall
    canvas.paint(lumen, 16.0)
    if bubble is not None:
        canvas.paint(canvas.region(Ellipsoid(bubble, (30, 14, 30)).rippled(rng, 2.0, 20.0)) & lumen, -900.0)


def _paint_liver_vessels(canvas: Canvas, organs: Organs, person: Build, rng: np.random.Generator) -> None:
    """Portal and hepatic veins, branching at random from the hilum and the vena cava."""
    inside = canvas.region(organs.liver.grown(-5.0))
    for root, reach in ((person.at(-38, -6, 30), 46.0), (person.at(-22, 10, 88), 42.0)):
        for _ in range(6):
            way = rng.normal(size=3) * (1.0, 0.9, 0.7) + (-0.7, -0.2, 0.0)
            tip = np.asarray(root) + reach * way / np.linalg.norm(way)
            middle = (np.asarray(root) + tip) / 2 + rng.normal(0, 4, 3)
            course = [root, tuple(float(c) for c in middle), tuple(float(c) for c in tip)]
            branch = canvas.region(Tube([(a, b, c) for a, b, c in course], [4.5, 3.0, 1.5]))
            canvas.paint(branch & inside, Hu.LIVER + 60)


def _paint_great_vessels(canvas: Canvas, person: Build) -> None:
    canvas.paint(Tube([person.at(10, 22, -100), person.at(10, 22, 40), person.at(14, 36, 180)], [9.5, 11, 12]), 150.0)
    canvas.paint(Tube([person.at(-18, 24, -100), person.at(-20, 20, 40), person.at(-12, 8, 112)], [11, 11, 13]), 120.0)


# --- body and bone ----------------------------------------------------------------------------------------------------


def _paint_body(canvas: Canvas, person: Build, rng: np.random.Generator) -> Depths:
    """Skin, subcutaneous fat, the muscular wall and the fat inside it."""

    def trunk(thinner_mm: float) -> Shape:
        rows = (person.size(w, f, b) for _, _, w, f, b in BODY)
        return Loft(
            [
                Section(z * person.stretch[2], 0, y, w - thinner_mm, f - thinner_mm, b - thinner_mm)
                for (z, y, *_), (w, f, b) in zip(BODY, rows, strict=True)
            ],
            power=2.4,
        )

    outline = trunk(0.0).rippled(rng, 1.5, 90.0)
    depths = canvas.body(outline)
    canvas.paint(canvas.depths(trunk(15.0).rippled(rng, 1.0, 40.0)).deeper_than(0.0), Hu.MUSCLE)
    canvas.paint(canvas.depths(trunk(29.0).rippled(rng, 1.0, 40.0)).deeper_than(0.0), Hu.FAT)
    for s in (1, -1):
        canvas.paint(
            Tube([person.at(s * 34, 84, z) for z in (-110, 0, 100, 185)], [24, 22, 20, 18]).rippled(rng, 1.0, 30.0),
            Hu.MUSCLE,
        )
        canvas.paint(
            Tube([person.at(s * 44, 44, -110), person.at(s * 34, 46, -50), person.at(s * 25, 46, 6)], [23, 17, 7]),
            Hu.MUSCLE,
        )
        canvas.paint(Tube([person.at(s * 70, 66, -110), person.at(s * 62, 72, 0)], [18, 8]), Hu.MUSCLE)
    return depths


def _paint_lungs(canvas: Canvas, organs: Organs, person: Build) -> None:
    canvas.paint(Ellipsoid(person.at(0, 26, 140), person.size(34, 60, 80)), -40.0)
    for side, lung in zip("LR", organs.lungs, strict=True):
        canvas.paint(lung.grown(2.5), Hu.MUSCLE - 10)
        canvas.organ(f"Lung_{side}", lung, Hu.LUNG)


def _paint_bones(canvas: Canvas, organs: Organs, person: Build) -> None:
    """Vertebrae with discs and canal, ribs, breast bone; then the cord."""
    y = _canal(person)[0]
    for level in range(-4, 7):
        z = level * VERTEBRA_MM * person.stretch[2]
        canvas.paint(Ellipsoid((0, y - 25, z + VERTEBRA_MM / 2), (20, 15, 6), power=2.6), 90.0)
        body = Ellipsoid((0, y - 25, z), (21.5, 16.5, 13.5), power=3.4)
        pedicles = [
            Tube(
                [(s * 13, y - 12, z + 3), (s * 15, y, z), (s * 9, y + 13, z - 3), (0, y + 16, z - 5)], [5.5, 6.5, 5, 5]
            )
            for s in (1, -1)
        ]
        wings = [Tube([(s * 15, y, z), (s * 36, y + 4, z + 2)], [5, 4]) for s in (1, -1)]
        spine = Tube([(0, y + 14, z - 4), (0, y + 33, z - 10)], [4.5, 4.0])
        for bone in (body, Union((*pedicles, *wings, spine), 2.0)):
            canvas.paint(bone, 640.0)
            canvas.paint(bone.grown(-2.0), Hu.SPONGIOSA)
    for s in (1, -1):
        for number in range(9):
            _paint_rib(canvas, person, s, 168 - 27.0 * number, number)
    canvas.paint(Ellipsoid(person.at(0, -84, 165), person.size(17, 6, 34), power=2.5), 420.0)
    canvas.paint(organs.cord.grown(4.0), Hu.CSF)
    canvas.outline("SpinalCord", Role.OAR, canvas.paint(organs.cord, Hu.GREY))


def _paint_rib(canvas: Canvas, person: Build, s: float, start_z: float, number: int) -> None:
    """From the spine round the side, falling by about a vertebra and a half; the lower ones end free."""
    whole = [(24, 66, 4), (62, 82, 0), (108, 62, -10), (134, 14, -26), (120, -46, -42), (84, -78, -50)]
    course = whole[: max(3, 6 - max(0, number - 3))]
    points = [person.at(s * x, y, start_z + z) for x, y, z in course]
    bone = Tube(points, [5.2, 5.2, 5.0, 5.0, 4.8, 4.6][: len(points)])
    canvas.paint(bone, 700.0)
    canvas.paint(bone.grown(-2.2), Hu.SPONGIOSA)
    if number < 4:
        canvas.paint(
            Tube(
                [points[-1], person.at(s * 44, -86, start_z - 40), person.at(s * 16, -86, max(start_z - 14, 128))],
                [4.8, 4.6, 4.6],
            ),
            115.0,
        )


def _outline_targets(canvas: Canvas, organs: Organs, rng: np.random.Generator, *, large: bool) -> None:
    """A round, hypodense metastasis at least its own radius inside the liver."""
    radius = float(rng.uniform(32.0, 34.0) if large else rng.uniform(14.0, 23.0))
    x, y, z = (_in_the_right_lobe if large else _near_the_gut_or_not)(organs, radius, rng)
    stretch = np.exp(rng.normal(0, 0.1, 3))
    radii = radius * stretch / np.cbrt(stretch.prod())
    seen = Ellipsoid((x, y, z), (radii[0], radii[1], radii[2])).rippled(rng, 0.06 * radius, 1.6 * radius)
    canvas.paint(seen, Hu.LIVER - 2)
    canvas.paint(seen.grown(-0.45 * radius), Hu.LIVER - 18)
    canvas.outline("GTV", Role.TARGET, seen)
    canvas.outline("PTV", Role.TARGET, canvas.margin(seen, PTV_MARGIN_MM))


def _near_the_gut_or_not(organs: Organs, radius_mm: float, rng: np.random.Generator) -> Vector:
    """A centre in the liver, as often as not close to the gut."""
    gut = organs.stomach | organs.duodenum
    farthest_mm = radius_mm + PTV_MARGIN_MM + float(rng.choice([12.0, 1000.0]))
    while True:
        centre = _in_the_liver(organs, radius_mm, rng)
        if distance_at(gut, centre) < farthest_mm:
            return centre


def _in_the_right_lobe(organs: Organs, radius_mm: float, rng: np.random.Generator) -> Vector:
    while True:
        centre = _in_the_liver(organs, radius_mm, rng)
        if centre[0] < RIGHT_LOBE_X_MM:
            return centre


def _in_the_liver(organs: Organs, radius_mm: float, rng: np.random.Generator) -> Vector:
    while True:
        x, y, z = (float(c) for c in rng.uniform(*organs.liver.bounds))
        if distance_at(organs.liver, (x, y, z)) < -(radius_mm + 1.0):
            return x, y, z
