"""The AAPM TG-119 C-shape: a target bent round a core, in a water-equivalent slab phantom.

Dimensions of the report: core 1 cm in radius and 10 cm long, a gap of 0.5 cm, target from 1.5 to 3.7 cm in radius and
8 cm long (Ezzell et al., Med. Phys. 36 (2009) 5359-5373, https://doi.org/10.1118/1.3238104). How far the C reaches
round is taken from the CORT data set's phantom: the posterior 150 degrees are open, which gives its 168 cc. Nothing is
drawn at random.
"""

from __future__ import annotations

import numpy as np

from sim_tps.cases.canvas import Canvas, centred_grid
from sim_tps.cases.shapes import HalfSpace, Loft, Section, Shape
from sim_tps.patient import Patient, Role

CORE_RADIUS_MM = 10.0
TARGET_RADII_MM = (15.0, 37.0)
CORE_LENGTH_MM = 100.0
TARGET_LENGTH_MM = 80.0
OPENING_DEG = 150.0
SLAB_HALF_MM = (150.0, 100.0, 110.0)
"""Half width, half height and half length of the slab stack; the report asks for 'at least' this much scatter."""


def build(seed: int) -> Patient:
    """The phantom; the seed only names the patient."""
    canvas = Canvas(centred_grid((-165.0, -115.0, -125.0), (165.0, 115.0, 125.0), (2.5, 2.5, 2.5)))
    canvas.outline("BODY", Role.EXTERNAL, canvas.paint(_slab(), 0.0))
    canvas.outline("OuterTarget", Role.TARGET, canvas.paint(_target(), 12.0))
    canvas.organ("Core", _cylinder(CORE_RADIUS_MM, CORE_LENGTH_MM), -8.0)
    return canvas.patient("tg119", "TG-119 C-shape", seed)


def _slab() -> Shape:
    half_x, half_y, half_z = SLAB_HALF_MM
    faces: Shape = HalfSpace((half_x, 0, 0), (1, 0, 0))
    for point, normal in (
        ((-half_x, 0, 0), (-1, 0, 0)),
        ((0, half_y, 0), (0, 1, 0)),
        ((0, -half_y, 0), (0, -1, 0)),
        ((0, 0, half_z), (0, 0, 1)),
        ((0, 0, -half_z), (0, 0, -1)),
    ):
        faces = faces & HalfSpace(point, normal)
    return faces


def _target() -> Shape:
    inner, outer = (_cylinder(radius, TARGET_LENGTH_MM) for radius in TARGET_RADII_MM)
    left, right = (_behind_ray(side * np.radians(OPENING_DEG / 2)) for side in (1, -1))
    return (outer - inner) - (left & right)


def _cylinder(radius_mm: float, length_mm: float) -> Shape:
    ends = (-length_mm / 2, length_mm / 2)
    return Loft([Section(z, 0, 0, radius_mm, radius_mm, radius_mm) for z in ends])


def _behind_ray(angle: float) -> Shape:
    """The half-space that holds the posterior direction, bounded by a ray ``angle`` away from it."""
    side = np.sign(angle)
    return HalfSpace((0.0, 0.0, 0.0), (side * np.cos(angle), -side * np.sin(angle), 0.0))
