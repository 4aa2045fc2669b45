"""Head and neck: a throat cancer with involved and elective neck nodes, three dose levels in one plan.

PTV_7000 holds primary and involved node, PTV_6300 the rest of that side of the neck, PTV_5600 the other side; each
lower level has the higher ones cut out, and all keep off the skin, the brainstem and the cord. PTV_4400 is the elective
volume for a plan of two levels: everything outside PTV_7000 that either lower level covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_tps.cases import neck as neck_part
from sim_tps.cases import skull as skull_part
from sim_tps.cases import throat
from sim_tps.cases.canvas import Canvas, Region, centred_grid
from sim_tps.cases.neck import Neck
from sim_tps.cases.shapes import Ellipsoid, Shape, Tube, turned
from sim_tps.cases.skull import Skull
from sim_tps.cases.tissue import Build, Draws, Hu
from sim_tps.geometry import Grid
from sim_tps.patient import Patient, Role

DEFAULT_SEED = 3
PTV_MARGIN_MM = 4.0
SKIN_GAP_MM = 5.0
STEM_GAP_MM = 3.0
CORD_GAP_MM = 5.0
"""PTVs keep this far from skin, brainstem and cord, as they are commonly drawn."""
SITES = {
    # where the primary lies: x of the affected side, y, z, and its half-lengths, mm
    "oropharynx": ((17, -6, -80), (14, 16, 18)),
    "base of tongue": ((10, -18, -92), (17, 15, 15)),
    "hypopharynx": ((12, -6, -122), (12, 12, 20)),
    "nasopharynx": ((8, 4, -42), (17, 12, 13)),
}
NODE_CHAIN = (
    # x, y, z and radius down neck levels II to IV, along the jugular vein
    (42.5, 14, -57, 10.5),
    (43, 16, -83, 13),
    (41, 12, -115, 12.5),
    (38, 6, -145, 12),
    (36, 6, -175, 12),
    (38, 10, -196, 10),
)
SPARED_TOP_MM = 4.5
"""The healthy side's chain begins this much lower: its level II spares more of the parotid."""


@dataclass(frozen=True)
class Disease:
    """What is drawn for one patient."""

    site: str
    side: float
    """+1: the patient's left."""
    primary: Shape
    node: Shape


def build(seed: int) -> Patient:
    """One head-and-neck patient."""
    draws = Draws.of("head-and-neck", seed)
    person = Build.drawn(draws.anatomy)
    skull, neck = skull_part.design(person, draws.anatomy), neck_part.design(person, draws.anatomy)
    disease = _disease(person, draws.target)
    canvas = Canvas(_grid(person))
    organs = _organs(neck, person, draws.anatomy)
    inner = _paint(canvas, skull, neck, organs, disease, person, draws.texture)
    for name, organ in organs.items():
        canvas.outline(name, Role.OAR, organ)
    allowed = inner - (canvas.margin(skull.brainstem, STEM_GAP_MM) | canvas.margin(neck.cord, CORD_GAP_MM))
    _outline_targets(canvas, disease, allowed, person, draws.target)
    canvas.mottle(draws.texture, 5.0, 24.0, -200.0, 150.0)
    return canvas.patient("head-and-neck", f"Head and neck, {disease.site}", seed)


def _grid(person: Build) -> Grid:
    x, y, z = person.stretch
    return centred_grid((-232.5 * x, -122.5 * y, -262.5 * z), (232.5 * x, 147.5 * y, 112.5 * z), (2.5, 2.5, 2.5))


def _disease(person: Build, rng: np.random.Generator) -> Disease:
    site = str(rng.choice(list(SITES), p=[0.45, 0.25, 0.15, 0.15]))
    side = float(rng.choice([-1.0, 1.0]))
    (x, y, z), half = SITES[site]
    size = rng.uniform(0.9, 1.5)
    primary = Ellipsoid(
        person.at(side * x, y, z),
        (half[0] * size, half[1] * size, half[2] * size),
        axes=turned(yaw_deg=float(rng.uniform(-25, 25))),
    )
    level = rng.uniform(-112, -74)
    radius = float(rng.uniform(9, 17))
    node = Ellipsoid(person.at(side * 41, 13, level), (radius * 0.9, radius, radius * 1.25))
    return Disease(site, side, primary.rippled(rng, 1.5, 18.0), node.rippled(rng, 0.9, 14.0))


def _paint(
    canvas: Canvas,
    skull: Skull,
    neck: Neck,
    organs: dict[str, Shape],
    disease: Disease,
    person: Build,
    rng: np.random.Generator,
) -> Region:
    """Paint the whole scan; returns the body without its outermost ``SKIN_GAP_MM``."""
    outline = skull.outline.blended(neck.outline, 18.0)
    depths = canvas.body(outline)
    throat.paint_shoulders(canvas, person, rng)
    neck_part.paint(canvas, neck, person, rng)
    throat.paint_throat(canvas, person)
    for name in ("Glnd_Submand_L", "Glnd_Submand_R"):
        canvas.paint(organs[name], Hu.GLAND + 20)
    canvas.paint(disease.primary, 72.0)
    canvas.paint(disease.node, 68.0)
    canvas.paint(neck.airway, Hu.AIR)
    canvas.paint(organs["Esophagus"], Hu.MUSCLE - 8)
    skull_part.paint(canvas, skull, person, rng)
    canvas.restore_skin(depths, 2.5)
    return depths.deeper_than(SKIN_GAP_MM)


def _organs(neck: Neck, person: Build, rng: np.random.Generator) -> dict[str, Shape]:
    return {
        "SpinalCord": neck.cord,
        "Bone_Mandible": neck.mandible,
        "Parotid_L": neck.parotids[0],
        "Parotid_R": neck.parotids[1],
        "Cavity_Oral": throat.oral_cavity(person, neck),
        "Larynx": throat.larynx(person),
        "Pharynx": throat.pharynx(person, neck),
        "Esophagus": throat.oesophagus(person),
        "Glnd_Thyroid": throat.thyroid(person),
        "Lung_L": throat.lung(person, 1.0),
        "Lung_R": throat.lung(person, -1.0),
        "Glnd_Submand_L": throat.submandibular(person, 1.0, rng),
        "Glnd_Submand_R": throat.submandibular(person, -1.0, rng),
    }


def _outline_targets(
    canvas: Canvas, disease: Disease, allowed: Region, person: Build, rng: np.random.Generator
) -> None:
    high = canvas.margin(disease.primary.grown(5.0), PTV_MARGIN_MM) | canvas.margin(
        disease.node.grown(4.0), PTV_MARGIN_MM
    )
    same, other = (
        canvas.margin(_chain(person, side, lowered_mm, rng), PTV_MARGIN_MM)
        for side, lowered_mm in ((disease.side, 0.0), (-disease.side, SPARED_TOP_MM))
    )
    middle = same | canvas.margin(disease.primary.grown(9.0), PTV_MARGIN_MM)
    levels = {"PTV_7000": high, "PTV_6300": middle - high, "PTV_5600": (other - middle) - high}
    canvas.outline("GTVp", Role.TARGET, disease.primary)
    canvas.outline("GTVn", Role.TARGET, disease.node)
    for name, region in levels.items():
        canvas.outline(name, Role.TARGET, region & allowed)
    canvas.outline("PTV_4400", Role.TARGET, ((middle | other) - high) & allowed)


def _chain(person: Build, side: float, lowered_mm: float, rng: np.random.Generator) -> Shape:
    """The elective nodes of one side."""
    swell = float(rng.uniform(0.9, 1.15))
    (x, y, z, radius), *rest = NODE_CHAIN
    course = [(x, y, z - lowered_mm, radius), *rest]
    points = person.path(((x, y, z) for x, y, z, _ in course), side)
    return Tube(points, [radius * swell for *_, radius in course]).rippled(rng, 1.0, 25.0)
