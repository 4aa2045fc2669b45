"""What cases share: CT numbers of tissues, and how one person's build differs from the average.

CT numbers are typical of 120 kV diagnostic and planning CT without contrast (e.g. Hofer, CT Teaching Manual, 2021;
values rounded). They look right and give sensible densities; they are not a measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim_tps.geometry import Vector


class Hu:
    """CT numbers, HU."""

    AIR = -1000.0
    LUNG = -790.0
    FAT = -98.0
    SKIN = 5.0
    CSF = 6.0
    WATER = 4.0
    WHITE = 27.0
    GREY = 38.0
    GLAND = 25.0
    PAROTID = -12.0
    BLOOD = 45.0
    MUSCLE = 52.0
    LIVER = 58.0
    SPONGIOSA = 230.0
    DIPLOE = 480.0
    CORTEX = 1150.0
    TOOTH = 2100.0


class Draws(NamedTuple):
    """Independent random streams of one patient, so that a change to one kind of detail leaves the others alone."""

    anatomy: np.random.Generator
    texture: np.random.Generator
    target: np.random.Generator

    @classmethod
    def of(cls, case: str, seed: int) -> Draws:
        """The streams of one patient of a case."""
        name = int.from_bytes(case.encode(), "big")
        return cls(*(np.random.default_rng([seed, stream, name]) for stream in range(3)))


@dataclass(frozen=True)
class Build:
    """One person's size: where average landmarks lie and how large average organs are."""

    stretch: Vector
    """Factor on every landmark and size, along x, y, z."""

    @classmethod
    def drawn(cls, rng: np.random.Generator, spread: float = 0.03) -> Build:
        """A build whose three factors vary by ``spread`` (one standard deviation, cut at two) about the average."""
        x, y, z = 1 + spread * np.clip(rng.normal(size=3), -2, 2)
        return cls((float(x), float(y), float(z)))

    def at(self, x: float, y: float, z: float) -> Vector:
        """A landmark, mm."""
        return x * self.stretch[0], y * self.stretch[1], z * self.stretch[2]

    def path(self, points: Iterable[Vector], side: float = 1.0) -> list[Vector]:
        """Landmarks along a course; those of the right side are the left's with ``side`` -1."""
        return [self.at(side * x, y, z) for x, y, z in points]

    def size(self, x: float, y: float, z: float) -> Vector:
        """Half-lengths of an organ, mm."""
        return self.at(x, y, z)
