"""Radiosurgery: one brain metastasis, small and irregular, often close to the brainstem or the optic pathway.

Targets are GTV (what is seen) and PTV (GTV + 1 mm); with several metastases GTV1, PTV1, GTV2, ... . Where the target
lies is drawn first: beside the brainstem, beside the optic pathway, near a cochlea, or anywhere in the brain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_tps.cases import neck as neck_part
from sim_tps.cases import skull as skull_part
from sim_tps.cases.canvas import Canvas, centred_grid
from sim_tps.cases.neck import Neck
from sim_tps.cases.shapes import Ellipsoid, distance_at, turned
from sim_tps.cases.skull import Skull
from sim_tps.cases.tissue import Build, Draws, Hu
from sim_tps.geometry import Grid, Vector
from sim_tps.patient import Patient, Role

PTV_MARGIN_MM = 1.0
ORGAN_GAP_MM = 1.5
"""The GTV keeps this far from brainstem and optic pathway, so its PTV never touches them."""
GAPS_MM = {"stem": (1.2, 4.0), "optics": (1.2, 4.0), "cochlea": (5.0, 9.0), "free": (7.0, 40.0)}
"""How far the PTV is from the organ beside which it is drawn; a cochlea lies some way inside its bone."""
TRIES = 500
"""Points tried for one drawn distance."""
LOWEST_Z = -45.0
"""No metastasis is placed below this, in the foramen magnum."""
DEFAULT_SEED = 35
"""A 2.3 cc metastasis 4 mm from the optic pathway and 10 mm from the brainstem."""
LARGE_SEEDS = range(9000, 9100)
"""Seeds whose PTV is drawn from 8-15 cc instead of 0.5-5 cc: V12Gy <= 10 cc cannot be met there."""
SEVERAL_SEEDS = range(8000, 8100)
"""Seeds with two or three metastases."""


@dataclass(frozen=True)
class Metastasis:
    """What is drawn for one target."""

    centre: Vector
    radius_mm: float


def build(seed: int) -> Patient:
    """One radiosurgery patient."""
    draws = Draws.of("brain-srs", seed)
    person = Build.drawn(draws.anatomy)
    skull, neck = skull_part.design(person, draws.anatomy), neck_part.design(person, draws.anatomy)
    canvas = Canvas(_grid(person))
    _paint_head(canvas, skull, neck, person, draws.texture)
    targets = place(seed, skull, draws.target)
    for number, target in enumerate(targets, start=1):
        _add_target(canvas, target, "" if len(targets) == 1 else str(number), skull, draws.target)
    canvas.mottle(draws.texture, 2.0, 14.0, -200.0, 150.0)
    words = "one metastasis" if len(targets) == 1 else f"{len(targets)} metastases"
    return canvas.patient("brain-srs", f"Brain SRS, {words}", seed)


def _grid(person: Build) -> Grid:
    x, y, z = person.stretch
    return centred_grid((-88 * x, -112 * y, -98 * z), (88 * x, 126 * y, 112 * z), (1.25, 1.25, 1.25))


def _paint_head(canvas: Canvas, skull: Skull, neck: Neck, person: Build, rng: np.random.Generator) -> None:
    outline = skull.outline.blended(neck.outline, 18.0)
    depths = canvas.body(outline)
    canvas.paint(canvas.depths(outline.rippled(rng, 1.2, 25.0)).deeper_than(9.0), Hu.MUSCLE - 12)
    neck_part.paint(canvas, neck, person, rng)
    skull_part.paint(canvas, skull, person, rng)
    canvas.restore_skin(depths, 2.5)
    canvas.paint(neck.cord, Hu.GREY)
    canvas.outline("SpinalCord", Role.OAR, neck.cord)


def place(seed: int, skull: Skull, rng: np.random.Generator) -> list[Metastasis]:
    """Where the metastases of a seed lie."""
    count = int(rng.integers(2, 4)) if seed in SEVERAL_SEEDS else 1
    placed: list[Metastasis] = []
    while len(placed) < count:
        volume_cc = (
            rng.uniform(8.5, 14.5) if seed in LARGE_SEEDS else float(np.exp(rng.uniform(np.log(0.6), np.log(4.6))))
        )
        radius = float(np.cbrt(volume_cc * 1000 * 3 / (4 * np.pi)))
        target = _beside_organ(skull, radius, rng)
        if all(np.linalg.norm(np.subtract(target.centre, t.centre)) > t.radius_mm + radius + 15 for t in placed):
            placed.append(target)
    return placed


def _beside_organ(skull: Skull, radius: float, rng: np.random.Generator) -> Metastasis:
    """A centre in the brain at a drawn distance from a drawn organ; another is drawn where there is no room."""
    stem, optics = skull.brainstem, skull.chiasm | skull.nerves[0] | skull.nerves[1]
    organs = {"stem": stem, "optics": optics, "cochlea": skull.cochleae[0] | skull.cochleae[1], "free": stem | optics}
    while True:
        kind = str(rng.choice(list(organs), p=[0.15, 0.12, 0.09, 0.64]))
        gap = float(rng.uniform(*GAPS_MM[kind]))
        low, high = skull.cavity.bounds if kind == "free" else organs[kind].bounds.padded(radius + gap)
        for _ in range(TRIES):
            x, y, z = (float(c) for c in rng.uniform(low, high))
            if z < LOWEST_Z or abs(distance_at(organs[kind], (x, y, z)) - radius - gap) > 0.5:
                continue
            clear = min(distance_at(other, (x, y, z)) for other in (stem, optics))
            if clear > radius + ORGAN_GAP_MM - 1 and distance_at(skull.cavity, (x, y, z)) < -(radius + 2.5):
                return Metastasis((x, y, z), radius)


def _add_target(canvas: Canvas, target: Metastasis, number: str, skull: Skull, rng: np.random.Generator) -> None:
    """An irregular, enhancing lesion with a darker core and a little oedema round it."""
    radius = target.radius_mm - PTV_MARGIN_MM
    stretch = np.exp(rng.normal(0, 0.10, 3))
    radii = radius * stretch / np.cbrt(stretch.prod())
    axes = turned(*rng.uniform(0, 180, 3))
    seen = Ellipsoid(target.centre, (radii[0], radii[1], radii[2]), axes=axes).rippled(rng, 0.11 * radius, 1.8 * radius)
    seen = seen - (skull.brainstem | skull.chiasm | skull.nerves[0] | skull.nerves[1]).grown(ORGAN_GAP_MM)
    oedema = seen.grown(4.0).rippled(rng, 1.5, 14.0) & skull.cavity.grown(-4.0)
    canvas.paint(oedema - skull.brainstem, 19.0)
    canvas.paint(seen, 74.0)
    if radius > 7:
        canvas.paint(Ellipsoid(target.centre, (radius * 0.45,) * 3).rippled(rng, 0.8, 8.0), 24.0)
    canvas.outline(f"GTV{number}", Role.TARGET, seen)
    canvas.outline(f"PTV{number}", Role.TARGET, canvas.margin(seen, PTV_MARGIN_MM))
