"""The treatment head: leaves and jaws, what they let through and how they may move.

Everything is measured on the isocentre plane, along the axes of IEC 61217's beam limiting device: leaves move along x.
A tip counts where the machine says it is (as in DICOM); rounded tips let through half the dosimetric gap beyond that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import BadInput

Jaws = tuple[float, float, float, float]
"""Positions of the jaws x1, x2, y1, y2 in mm."""

ROUNDING_MM = 1e-6
"""Positions closer than this are the same."""


@dataclass(frozen=True)
class JawTravel:
    """How far a pair of jaws goes: each to ``open_mm`` on its own side, and ``over_mm`` past the axis."""

    open_mm: float
    over_mm: float


@dataclass(frozen=True)
class Head:
    """Leaves and jaws of one machine."""

    leaf_widths_mm: tuple[tuple[int, float], ...]
    """Leaf pairs along y as (count, width), from -y to +y, centred on the axis."""
    transmission: float
    """What a closed leaf lets through, as a share; the mean of leaf and slit between leaves."""
    dosimetric_gap_mm: float
    """How much wider an opening is for the beam than from tip to tip, both rounded tips together."""
    smallest_gap_mm: float
    """Between the tips of a pair, always."""
    span_mm: float
    """Largest distance between the foremost and the rearmost tip of one bank at one time."""
    leaf_speed_mm_per_s: float
    dose_rates_mu_per_min: tuple[float, float]
    """Lowest and highest; sequences are made for the highest."""
    x_jaws: JawTravel
    y_jaws: JawTravel
    interdigitates: bool
    """Whether a tip may pass the opposed tips of the neighbouring pairs."""
    smallest_segment_mu: float
    """Of a step-and-shoot segment."""
    smallest_meterset_mu: float
    """Of a whole field."""

    @cached_property
    def leaf_edges_mm(self) -> NDArray[np.float64]:
        """Boundaries of the leaf pairs along y, rising, one more than pairs."""
        widths = np.repeat([w for _, w in self.leaf_widths_mm], [n for n, _ in self.leaf_widths_mm])
        return np.asarray(np.concatenate([[0.0], np.cumsum(widths)]) - widths.sum() / 2)

    @property
    def pair_count(self) -> int:
        return sum(count for count, _ in self.leaf_widths_mm)

    @property
    def leaf_width_mm(self) -> float:
        """Width of the narrowest leaves."""
        return min(width for _, width in self.leaf_widths_mm)

    @property
    def max_field_mm(self) -> tuple[float, float]:
        """Largest field along x (leaf travel) and y: what the jaws open and, along y, leaves cover."""
        covered = sum(count * width for count, width in self.leaf_widths_mm)
        return 2 * self.x_jaws.open_mm, min(2 * self.y_jaws.open_mm, covered)

    @property
    def smallest_opening_mm(self) -> float:
        """Width the beam sees between tips at their smallest gap."""
        return self.smallest_gap_mm + self.dosimetric_gap_mm

    @property
    def mu_per_mm(self) -> float:
        """MU given at the highest dose rate while a leaf at full speed moves by 1 mm."""
        return self.dose_rates_mu_per_min[1] / 60.0 / self.leaf_speed_mm_per_s

    def jaws_round(self, wanted_mm: Jaws) -> Jaws:
        """The narrowest jaws that leave a rectangle (x1, x2, y1, y2) free.

        Raises
        ------
        BadInput
            The rectangle reaches beyond the largest field.
        """
        x1, x2, y1, y2 = wanted_mm
        half_x, half_y = (side / 2 + ROUNDING_MM for side in self.max_field_mm)
        if x1 < -half_x or x2 > half_x or y1 < -half_y or y2 > half_y:
            raise BadInput(
                f"fluence at x {x1:g} to {x2:g} mm, y {y1:g} to {y2:g} mm reaches beyond the head's largest field of "
                f"{self.max_field_mm[0]:g} × {self.max_field_mm[1]:g} mm. Centre the isocentre or take another machine."
            )
        over_x, over_y = self.x_jaws.over_mm, self.y_jaws.over_mm
        return min(x1, over_x), max(x2, -over_x), min(y1, over_y), max(y2, -over_y)
