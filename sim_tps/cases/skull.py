"""The head above the neck: skull, brain, ventricles, brainstem, eyes and optic pathway, inner ears, face.

Landmarks are mm from the sella turcica of an average adult (x left, y posterior, z superior), then stretched by the
individual's `Build`. The cranial cavity is a smooth vault out of which the skull base is cut (sphenoid, clivus, petrous
bones); the skull is a shell round what is left, so its base follows the brain's as in a real head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim_tps.cases.canvas import Canvas, Depths
from sim_tps.cases.shapes import Ellipsoid, HalfSpace, Intersection, Shape, Tube, Union, mirrored, turned
from sim_tps.cases.tissue import Build, Hu
from sim_tps.patient import Role

SKULL_MM = 7.0
TABLE_MM = 1.8
SCALP_MM = 5.5
CSF_MM = 1.6
CISTERN_MM = 3.0
"""Room left between the brainstem and the skull base in front of it."""
FORAMEN_Z = -57.0
"""Where brain and brainstem end and the cord begins."""


@dataclass(frozen=True)
class Skull:
    """The shapes other anatomy leans on."""

    cavity: Shape
    outline: Shape
    """The skin of cranium and face."""
    brainstem: Shape
    chiasm: Shape
    nerves: tuple[Shape, Shape]
    cochleae: tuple[Shape, Shape]


def design(build: Build, rng: np.random.Generator) -> Skull:
    """The individual's shapes, before anything is painted."""
    vault = _vault(build).rippled(rng, 1.0, 80.0)
    brainstem = _brainstem(build).rippled(rng, 0.35, 18.0).grown(rng.uniform(-0.7, 0.7))
    return Skull(
        cavity=vault - (_base(build) - brainstem.grown(CISTERN_MM)),
        outline=_cranium(vault).blended(_face(build), 14.0),
        brainstem=brainstem,
        chiasm=_chiasm(build).grown(rng.uniform(-0.25, 0.15)),
        nerves=_both(build, _optic_nerve),
        cochleae=_both(build, _cochlea),
    )


def paint(canvas: Canvas, skull: Skull, build: Build, rng: np.random.Generator) -> None:
    """Paint the head into soft tissue that is already there, and outline its organs."""
    cavity = canvas.depths(skull.cavity)
    _paint_face(canvas, build, rng)
    _paint_bone(canvas, cavity, build)
    _paint_sinuses(canvas, build, rng)
    _paint_brain(canvas, cavity, skull, build, rng)
    _paint_eyes(canvas, skull, build)
    for side, cochlea in zip("LR", skull.cochleae, strict=True):
        canvas.organ(f"Cochlea_{side}", cochlea, 350.0)


def _both(build: Build, one: Callable[[Build, float], Shape]) -> tuple[Shape, Shape]:
    """The left and the right of a pair."""
    return one(build, 1.0), one(build, -1.0)


def _above(build: Build, z: float) -> Shape:
    return HalfSpace(build.at(0, 0, z), (0, 0, -1))


# --- shapes -----------------------------------------------------------------------------------------------------------


def _vault(build: Build) -> Shape:
    """The cranial cavity were its base smooth: cerebrum, temporal lobes and posterior fossa in one."""
    cerebrum = Ellipsoid(build.at(0, 17, 45), build.size(66, 84, 44), power=2.45)
    temporal = [
        Ellipsoid(centre, build.size(22, 36, 19), axes=turned(yaw_deg=side * 10))
        for centre, side in zip(mirrored(build.at(40, 3, 1)), (1, -1), strict=True)
    ]
    fossa = Ellipsoid(build.at(0, 51, -18), build.size(54, 43, 33))
    stem = Tube([build.at(0, 24, -20), build.at(0, 33, -52), build.at(0, 37, -72)], [16, 12, 10])
    return Union((Union((cerebrum, *temporal), 16.0), Union((fossa, stem), 10.0)), 34.0)


def _base(build: Build) -> Shape:
    """What rises into the vault: floor of the middle fossae, sphenoid with clivus, petrous ridges.

    The posterior fossa lies behind three planes: the clivus and the back of each petrous bone.
    """
    faces = [HalfSpace(build.at(s * 12, 12, -4), (-0.53 * s, 0.80, 0.26)) for s in (1, -1)]
    clivus = HalfSpace(build.at(0, 6, -2), (0, 0.99, 0.12))
    floor = Intersection(*(HalfSpace(build.at(s * 40, 0, -17), (0.12 * s, 0, 1)) for s in (1, -1)))
    sphenoid = Ellipsoid(build.at(0, -3, -16), build.size(13, 15, 20), power=2.6)
    ridges = [
        HalfSpace(build.at(s * 12, 12, -4), (0.29 * s, -0.35, 0.89)) & face & HalfSpace((0, 0, 0), (-s, 0, 0))
        for s, face in zip((1, -1), faces, strict=True)
    ]
    body = Union((floor & Union((clivus, *faces), 4.0), sphenoid & clivus), 5.0)
    return Union((body, *ridges), 4.0)


def _cranium(vault: Shape) -> Shape:
    return vault.grown(SKULL_MM + SCALP_MM)


def _face(build: Build) -> Shape:
    """Skin of the face, nose and ears."""
    mask = Ellipsoid(build.at(0, -14, -42), build.size(69, 66, 74), power=2.5)
    chin = Ellipsoid(build.at(0, -52, -96), build.size(38, 33, 27), power=2.4)
    brow = Ellipsoid(build.at(0, -52, 6), build.size(56, 24, 26), power=2.3)
    nose = Tube([build.at(0, -70, -2), build.at(0, -81, -22), build.at(0, -91, -38)], [8, 9, 10.5])
    wings = Ellipsoid(build.at(0, -80, -40), build.size(18, 12, 10))
    ears = [
        Ellipsoid(centre, build.size(4.5, 15, 28), axes=turned(yaw_deg=-22 * side, pitch_deg=12))
        for centre, side in zip(mirrored(build.at(75, 29, -14)), (1, -1), strict=True)
    ]
    front = Union((mask, chin, brow), 16.0)
    return Union((Union((front, nose, wings), 12.0), *ears), 8.0)


def _brainstem(build: Build) -> Shape:
    midbrain = Ellipsoid(build.at(0, 22.5, 0), build.size(17, 11, 11), power=2.3)
    pons = Ellipsoid(build.at(0, 22.5, -19), build.size(17.5, 12.5, 14))
    medulla = Tube([build.at(0, 27, -30), build.at(0, 32, -46), build.at(0, 35, -57)], [9.5, 7.5, 6.2])
    return Union((midbrain, pons, medulla), 4.0) & _above(build, FORAMEN_Z)


def _chiasm(build: Build) -> Shape:
    crossing = Ellipsoid(build.at(0, -1, 9), build.size(6.2, 3.4, 2.3))
    limbs = [
        Tube([build.at(s * 7.5, -6.5, 8), build.at(s * 2, -1, 9), build.at(s * 8.5, 6.5, 9)], [2.1, 2.2, 1.9])
        for s in (1, -1)
    ]
    return Union((crossing, *limbs), 1.5)


def _optic_nerve(build: Build, side: float) -> Shape:
    course = [(29.5, -42, -5), (25, -32, -6), (19, -23, -2), (13, -14, 4), (7.5, -6.5, 8)]
    return Tube(build.path(course, side), [2.4, 2.4, 2.3, 2.1, 2.1])


def _cochlea(build: Build, side: float) -> Shape:
    turn = turned(yaw_deg=-35 * side)
    return Ellipsoid(build.at(side * 26, 17, -14), build.size(3.95, 2.95, 2.8), axes=turn)


def _eye(build: Build, side: float) -> Shape:
    return Ellipsoid(build.at(side * 31.5, -54, -5), build.size(12.2, 12.1, 11.9))


def _lens(build: Build, side: float) -> Shape:
    return Ellipsoid(build.at(side * 32.3, -61.6, -5), build.size(4.4, 2.35, 4.4), axes=turned(yaw_deg=side * 5))


# --- painting ---------------------------------------------------------------------------------------------------------


def _paint_bone(canvas: Canvas, cavity: Depths, build: Build) -> None:
    """Outer table, diploe and inner table, down to the foramen magnum; petrous bones, mastoids, clivus."""
    above = canvas.region(_above(build, FORAMEN_Z + 2))
    canvas.paint(cavity.deeper_than(-SKULL_MM) & above, Hu.CORTEX)
    canvas.paint(cavity.deeper_than(TABLE_MM - SKULL_MM) & above, Hu.DIPLOE)
    canvas.paint(cavity.deeper_than(-TABLE_MM) & above, Hu.CORTEX)
    for s in (1, -1):
        canvas.paint(Tube([build.at(s * 60, 30, -19), build.at(s * 14, 8, -14)], [12, 8]), 1050.0)
        canvas.paint(Ellipsoid(build.at(s * 62, 36, -34), build.size(10, 12, 16)), 620.0)
    canvas.paint(Ellipsoid(build.at(0, 0, 0), build.size(6.5, 5, 5.5)), Hu.GREY + 8)
    canvas.paint(Tube([build.at(0, 5, -3), build.at(0, 9, -26), build.at(0, 21, -50)], [6, 8, 5]), 520.0)


def _paint_face(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    """Facial bones, orbits and their fat, before the sinuses are blown into them."""
    canvas.paint(Ellipsoid(build.at(0, -45, -29), build.size(39, 25, 20), power=2.8), Hu.SPONGIOSA + 300)
    canvas.paint(Ellipsoid(build.at(0, -34, 6), build.size(50, 44, 9), power=3.0), Hu.SPONGIOSA + 150)
    canvas.paint(Ellipsoid(build.at(0, -64, 12), build.size(46, 12, 12), power=2.6), 700.0)
    for s in (1, -1):
        arch = [(41, -60, -20), (54, -42, -22), (63, -18, -20), (66, 6, -19), (64, 18, -18)]
        canvas.paint(Tube(build.path(arch, s), [7, 6.5, 4, 3.6, 6]), 850.0)
        canvas.paint(
            Tube([build.at(s * 44, -58, -18), build.at(s * 50, -56, 4), build.at(s * 46, -60, 16)], [7, 5, 6]), 900.0
        )
        canvas.paint(Tube([build.at(s * 20, -12, -22), build.at(s * 18, -13, -50)], [5, 4]), 450.0)
        orbit = Union(
            (
                Ellipsoid(build.at(s * 31.5, -54, -4), build.size(18, 16, 17)),
                Tube([build.at(s * 30, -48, -4), build.at(s * 13, -15, 3)], [17, 4]),
            ),
            3.0,
        ).rippled(rng, 0.4, 14.0)
        canvas.paint(orbit.grown(1.6), 750.0)
        canvas.paint(orbit, Hu.FAT)
        for dx, dz in ((0, 9.5), (0, -9.5), (8.5, 0), (-9.0, 0)):
            belly = (30 + dx * 0.95, -44, -4 + dz * 0.9)
            course = [build.at(s * 13.5, -16, 2.5), build.at(s * belly[0], belly[1], belly[2])]
            canvas.paint(Tube([*course, build.at(s * (31.5 + dx), -53, -5 + dz)], [1.3, 2.3, 1.2]), Hu.MUSCLE)
        temporalis = Ellipsoid(build.at(s * 62, -22, 6), build.size(6, 22, 30), axes=turned(yaw_deg=16 * s))
        canvas.paint(temporalis, Hu.MUSCLE)


def _paint_sinuses(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    """Air: frontal, ethmoid, sphenoid and maxillary sinuses, nasal cavity with turbinates, mastoids, ear canals."""
    canvas.paint(Ellipsoid(build.at(0, -46, -26), build.size(13, 34, 20), power=2.6), Hu.MUSCLE)
    for s in (1, -1):
        canvas.paint(
            Ellipsoid(build.at(s * 27.5, -44, -33), build.size(11.5, 16, 12.5), power=2.4).rippled(rng, 1.0, 16), Hu.AIR
        )
        canvas.paint(Ellipsoid(build.at(s * 9, -65, 16), build.size(8, 5, 10)).rippled(rng, 1.3, 12), Hu.AIR)
        canvas.paint(Ellipsoid(build.at(s * 6.5, -7, -13), build.size(5.6, 9, 8)).rippled(rng, 0.8, 12), Hu.AIR)
        for y in (-54, -45, -36, -27, -18):
            canvas.paint(
                Ellipsoid(build.at(s * 6.5, y, -2), build.size(5.2, 3.9, 8), power=2.6).rippled(rng, 0.6, 8), Hu.AIR
            )
        passage = Ellipsoid(build.at(s * 5.2, -44, -29), build.size(4.4, 33, 15), power=2.6).rippled(rng, 0.6, 12)
        canvas.paint(passage, Hu.AIR)
        for z, radius in ((-36, 3.9), (-25, 2.9)):
            canvas.paint(
                Tube([build.at(s * 7, -66, z), build.at(s * 7, -22, z + 2)], [radius, radius - 0.8]), Hu.MUSCLE
            )
        for _ in range(34):
            spot = rng.normal(size=3) * (4.0, 5.0, 7.0) + (s * 61, 36, -31)
            canvas.paint(Ellipsoid(build.at(*spot), (rng.uniform(1.4, 3.0),) * 3), -650.0)
        canvas.paint(Tube([build.at(s * 79, 24, -21), build.at(s * 44, 22, -20)], [3.4, 2.6]), Hu.AIR)
        canvas.paint(Tube([build.at(s * 6, -86, -47), build.at(s * 5, -72, -38)], [4, 4]), Hu.AIR)
    canvas.paint(Ellipsoid(build.at(0, -44, -27), build.size(1.0, 32, 17), power=3.0), 180.0)
    canvas.paint(Ellipsoid(build.at(0, -4, -35), build.size(11, 10, 8)), Hu.AIR)


def _paint_brain(canvas: Canvas, cavity: Depths, skull: Skull, build: Build, rng: np.random.Generator) -> None:
    """CSF, the brain with cortex, white matter and ventricles, the brainstem."""
    canvas.paint(cavity.deeper_than(0.0), Hu.CSF)
    above = canvas.region(_above(build, FORAMEN_Z))
    cisterns = _cisterns(build, skull.brainstem)
    stem = canvas.region(skull.brainstem)
    brain = ((cavity.deeper_than(CSF_MM) & above) - canvas.region(cisterns)) | stem
    canvas.paint(brain, Hu.GREY)
    folded = canvas.depths(skull.cavity.grown(-9.0).rippled(rng, 2.6, 15.0))
    canvas.paint((folded.deeper_than(0.0) & brain) - canvas.region(_deep_grey(build)), Hu.WHITE)
    sulci = canvas.depths(skull.cavity.grown(-5.5).rippled(rng, 3.4, 11.0))
    rim = (cavity.deeper_than(CSF_MM) - sulci.deeper_than(0.0)) & above
    rim.occupancy[...] *= 0.55
    canvas.paint(rim - stem, Hu.CSF + 6)
    canvas.paint(_ventricles(build), Hu.CSF)
    canvas.paint(Ellipsoid(build.at(0, 17, 58), build.size(0.9, 84, 32), power=2.6), Hu.CSF + 30)
    canvas.paint(stem, Hu.WHITE + 2)
    canvas.outline("Brain", Role.OAR, brain)
    canvas.outline("Brainstem", Role.OAR, stem)


def _cisterns(build: Build, brainstem: Shape) -> Shape:
    """CSF spaces round the brainstem and chiasm, and down to the foramen magnum."""
    front = Tube([build.at(0, 3, 7), build.at(0, 9, -6), build.at(0, 13, -28), build.at(0, 24, -50)], [8, 5, 5, 5])
    ambient = Tube([build.at(-19, 18, 2), build.at(-12, 34, 4), build.at(0, 39, 5)], [3, 3, 4])
    ambient_left = Tube([build.at(19, 18, 2), build.at(12, 34, 4), build.at(0, 39, 5)], [3, 3, 4])
    magna = Tube([build.at(0, 48, -45), build.at(0, 40, -58)], [9, 9])
    fourth = Ellipsoid(build.at(0, 36, -22), build.size(7, 4.5, 11))
    suprasellar = Ellipsoid(build.at(0, 1, 10), build.size(13, 11, 6))
    anterior = HalfSpace(build.at(0, 24, 0), (0, 1, 0)) - _above(build, 3)
    prepontine = brainstem.grown(CISTERN_MM + CSF_MM) & anterior
    return Union((front, prepontine, ambient, ambient_left, magna, fourth, suprasellar), 3.0)


def _deep_grey(build: Build) -> Shape:
    """Basal ganglia and thalami."""
    parts = [Ellipsoid(build.at(s * 12, 17, 21), build.size(8, 15, 9), axes=turned(yaw_deg=-25 * s)) for s in (1, -1)]
    parts += [Ellipsoid(build.at(s * 23, 2, 20), build.size(6, 17, 11), axes=turned(yaw_deg=-12 * s)) for s in (1, -1)]
    return Union(tuple(parts), 1.0)


def _ventricles(build: Build) -> Shape:
    parts: list[Shape] = [
        Ellipsoid(build.at(0, 14, 18), build.size(2.0, 13, 8)),
        Ellipsoid(build.at(0, 36, -22), build.size(6, 4, 9)),
    ]
    for s in (1, -1):
        body = [(8, -18, 26), (7, -4, 32), (10, 16, 35), (17, 36, 30), (24, 46, 20)]
        parts.append(Tube(build.path(body, s), [4.5, 4.2, 4.2, 5.2, 5.5]))
        horn = [(24, 46, 20), (31, 36, 6), (34, 18, -4)]
        parts.append(Tube(build.path(horn, s), [5.0, 2.6, 1.8]))
        parts.append(Tube([build.at(s * 22, 46, 20), build.at(s * 18, 66, 18)], [4.6, 2.4]))
    return Union(tuple(parts), 2.0)


def _paint_eyes(canvas: Canvas, skull: Skull, build: Build) -> None:
    for side, s, nerve in zip("LR", (1.0, -1.0), skull.nerves, strict=True):
        eye = _eye(build, s)
        canvas.paint(eye.grown(1.0), Hu.MUSCLE)
        canvas.organ(f"Eye_{side}", eye, 14.0)
        canvas.organ(f"Lens_{side}", _lens(build, s), 85.0)
        canvas.paint(nerve.grown(1.0), Hu.CSF)
        canvas.organ(f"OpticNrv_{side}", (nerve - eye) - skull.chiasm, 38.0)
    canvas.organ("OpticChiasm", skull.chiasm, 40.0)
