"""What a linac is told: control points of one field with its jaws and monitor units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from sim_tps.delivery.head import Head, Jaws


class Technique(Enum):
    """How leaves and beam go together."""

    SLIDING_WINDOW = "sliding-window"
    """Leaves sweep across the field while the beam is on."""
    STEP_AND_SHOOT = "step-and-shoot"
    """The beam is off while leaves move from one segment to the next."""


@dataclass(frozen=True, eq=False)
class ControlPoint:
    """Where the tips are after a share of the field's MU; between control points they move evenly with it."""

    meterset: float
    """Cumulative share of the field's MU, 0 to 1."""
    left_mm: NDArray[np.float64]
    """Tips of bank x1, IEC x, one per leaf pair from -y to +y."""
    right_mm: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DeliveredField:
    """One field as it is delivered: a DICOM beam. A field too wide for the leaf span is several, its parts."""

    beam_id: str
    part: int
    """1, 2, ... from -x to +x."""
    mu: float
    """Per fraction."""
    jaws_mm: Jaws
    control_points: tuple[ControlPoint, ...]
    technique: Technique

    @property
    def metersets(self) -> NDArray[np.float64]:
        return np.array([point.meterset for point in self.control_points])

    @property
    def left_mm(self) -> NDArray[np.float64]:
        """Shape (control points, leaf pairs)."""
        return np.stack([point.left_mm for point in self.control_points])

    @property
    def right_mm(self) -> NDArray[np.float64]:
        """Shape (control points, leaf pairs)."""
        return np.stack([point.right_mm for point in self.control_points])

    def mirrored(self) -> DeliveredField:
        """The same with x reversed, which exchanges the banks."""
        x1, x2, y1, y2 = self.jaws_mm
        points = tuple(ControlPoint(p.meterset, -p.right_mm, -p.left_mm) for p in self.control_points)
        return replace(self, jaws_mm=(-x2, -x1, y1, y2), control_points=points)


def beam_on_s(head: Head, field: DeliveredField) -> float:
    """Seconds the beam is on: at the highest dose rate, lowered where the leaves could not follow it."""
    mu = np.diff(field.metersets) * field.mu
    seconds = np.maximum(mu * 60.0 / head.dose_rates_mu_per_min[1], longest_moves_mm(field) / head.leaf_speed_mm_per_s)
    return float(seconds[mu > 0.0].sum())


def longest_moves_mm(field: DeliveredField) -> NDArray[np.float64]:
    """The farthest any tip goes between control points, one number per interval."""
    moves = np.maximum(np.abs(np.diff(field.left_mm, axis=0)), np.abs(np.diff(field.right_mm, axis=0)))
    return np.asarray(moves.max(axis=1))
