"""What control points let through: the fluence a final dose is made from.

Between control points a tip moves evenly, so the MU during which it lies beyond a point is linear in that point, and
its mean over a cell is known in closed form: nothing is sampled. An opening is wider than from tip to tip by the
dosimetric gap; leaves elsewhere let their transmission through; jaws, thicker by far, let nothing through (a real jaw
about 0.5 %). Steps between the sides of neighbouring leaves (tongue and groove) are not modelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_tps.delivery.delivered import DeliveredField
from sim_tps.delivery.head import ROUNDING_MM, Head
from sim_tps.delivery.rows import checked_raster, overlap, raster_edges
from sim_tps.dose.fields import Field
from sim_tps.errors import BadInput
from sim_tps.machine import Machine

CELL_MM = 1.25
"""Half of the narrowest built-in leaf, a quarter of the next."""


@dataclass(frozen=True)
class Deviation:
    """How what is delivered differs from what was wanted, over the beamlet raster."""

    rms_mu: float
    """Over the beamlets that exist."""
    surplus_percent: float
    """Fluence where less was wanted, in percent of all that was wanted: leaks, rounding."""
    deficit_percent: float
    """Wanted fluence that is not delivered: what was too weak, rounding."""


def delivered_fluence(
    machine: Machine, delivered_fields: Sequence[DeliveredField], cell_mm: float = CELL_MM
) -> tuple[tuple[float, float], NDArray[np.float64]]:
    """Fluence of all parts of one field, in MU per fraction.

    Returns
    -------
    Position (x, y) in mm of the centre of cell [0, 0], and the raster [y, x] of mean fluence in square cells. It covers
    all that the jaws leave free; cell edges lie on whole multiples of ``cell_mm``.

    Raises
    ------
    BadInput
        No fields, or fields of several beams.
    """
    if not cell_mm > 0.0:
        raise BadInput(f"cells of {cell_mm:g} mm; expected more than 0.")
    if len({field.beam_id for field in delivered_fields}) != 1:
        raise BadInput(f"expected the parts of one beam, got {[field.beam_id for field in delivered_fields]}.")
    jaws = np.array([field.jaws_mm for field in delivered_fields])
    x_edges = _cells(jaws[:, 0].min(), jaws[:, 1].max(), cell_mm)
    y_edges = _cells(jaws[:, 2].min(), jaws[:, 3].max(), cell_mm)
    first = (float(x_edges[0] + cell_mm / 2), float(y_edges[0] + cell_mm / 2))
    return first, _through_all(machine.head, delivered_fields, x_edges, y_edges)


def deviation(
    machine: Machine, field: Field, fluence_mu: NDArray[np.floating], delivered_fields: Sequence[DeliveredField]
) -> Deviation:
    """Compare what goes through with the wanted fluence, beamlet by beamlet, in the raster round the field."""
    wanted = checked_raster(field, fluence_mu)
    if not wanted.any():
        return Deviation(0.0, 0.0, 0.0)
    excess = _through_all(machine.head, delivered_fields, *raster_edges(field)) - wanted
    percent = 100.0 / wanted.sum()
    return Deviation(
        rms_mu=float(np.sqrt(np.mean(excess[field.is_open] ** 2))),
        surplus_percent=float(percent * np.maximum(excess, 0.0).sum()),
        deficit_percent=float(percent * np.maximum(-excess, 0.0).sum()),
    )


def _cells(low: float, high: float, cell_mm: float) -> NDArray[np.float64]:
    first, last = np.floor(low / cell_mm + ROUNDING_MM), np.ceil(high / cell_mm - ROUNDING_MM)
    return cell_mm * np.arange(first, last + 1)


def _through_all(
    head: Head, fields: Sequence[DeliveredField], x_edges: NDArray[np.float64], y_edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    total = np.zeros((len(y_edges) - 1, len(x_edges) - 1))
    for field in fields:
        total += _through(head, field, x_edges, y_edges)
    return total


def _through(
    head: Head, field: DeliveredField, x_edges: NDArray[np.float64], y_edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean fluence of one delivered field in the cells between edges, [y, x]."""
    x1, x2, y1, y2 = field.jaws_mm
    pairs = overlap(y_edges, head.leaf_edges_mm, (y1, y2), mean=False)
    used = pairs.any(axis=0)
    inside = np.clip(x_edges, x1, x2)
    half = head.dosimetric_gap_mm / 2
    mu = np.diff(field.metersets) * field.mu
    opened = _mu_mm_beyond(field.right_mm[:, used] + half, mu, inside)
    closed = _mu_mm_beyond(field.left_mm[:, used] - half, mu, inside)
    size = np.diff(x_edges)
    leaks = head.transmission * field.mu * np.diff(inside) / size
    return pairs[:, used] @ ((1.0 - head.transmission) * np.diff(closed - opened, axis=1) / size + leaks)


def _mu_mm_beyond(
    tips_mm: NDArray[np.float64], mu: NDArray[np.float64], x_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum over intervals of MU × mean of max(tip − x, 0), shape (pairs, x): falls by the MU a tip spends beyond x."""
    total = np.zeros((tips_mm.shape[1], len(x_mm)))
    for n in np.flatnonzero(mu > 0.0):
        low, high = np.minimum(tips_mm[n], tips_mm[n + 1])[:, None], np.maximum(tips_mm[n], tips_mm[n + 1])[:, None]
        from_low, from_high = np.maximum(low - x_mm, 0.0), np.maximum(high - x_mm, 0.0)
        share = (low > x_mm).astype(float)
        np.divide(from_high - from_low, high - low, out=share, where=high - low > ROUNDING_MM)
        total += mu[n] * share * (from_low + from_high) / 2
    return total
