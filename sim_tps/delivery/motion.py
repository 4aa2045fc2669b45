"""What both techniques share: MU with transmission taken off, tips kept apart, tips set back for rounded ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from sim_tps.delivery.delivered import ControlPoint
from sim_tps.delivery.head import Head
from sim_tps.delivery.rows import Part
from sim_tps.delivery.sweep import SAME_MU, latest_neighbour


@dataclass(frozen=True, eq=False)
class Motion:
    """What the leaves do for one part."""

    mu: float
    control_points: tuple[ControlPoint, ...]


def moving_pairs(head: Head, part: Part) -> NDArray[np.bool_]:
    """Pairs that sweep; the others stay closed behind the jaw where the sweep ends.

    Where tips may not pass their neighbours' opposed tips nothing may stay, so all pairs go along.
    """
    return np.asarray(part.wanted_mu.any(axis=1) | (not head.interdigitates))


def without_transmission(head: Head, part: Part, mu: float) -> NDArray[np.float64]:
    """What openings must give so that, with transmission during ``mu``, the wanted fluence results."""
    return np.maximum(part.wanted_mu - head.transmission * mu, 0.0) / (1.0 - head.transmission)


def total_mu(needed_mu: Callable[[float], float]) -> float:
    """The field's MU: as many as its leaves need when transmission during just these MU is taken off."""
    most = needed_mu(0.0)
    while needed_mu(most) > most:
        most *= 2.0
    return float(brentq(lambda mu: needed_mu(mu) - mu, 0.0, most, xtol=SAME_MU))


def kept_apart(head: Head, left_mm: NDArray[np.float64], right_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right edges moved on where an opening, or that between neighbours who must not pass, is below the smallest.

    Whatever speed both sides kept is kept: the larger of two positions moves no faster than the faster of them.
    """
    right = np.maximum(right_mm, left_mm + head.smallest_opening_mm)
    if not head.interdigitates:
        right = np.maximum(right, latest_neighbour(left_mm.T).T + head.smallest_opening_mm)
    return right


def at_tips(
    head: Head, metersets: NDArray[np.float64], left_mm: NDArray[np.float64], right_mm: NDArray[np.float64]
) -> tuple[ControlPoint, ...]:
    """Control points from openings as the beam sees them, shape (control points, leaf pairs)."""
    half = head.dosimetric_gap_mm / 2
    return tuple(
        ControlPoint(float(m), left + half, right - half)
        for m, left, right in zip(metersets, left_mm, right_mm, strict=True)
    )
