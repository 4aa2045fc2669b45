"""From beamlets to leaf pairs: what each pair shall let through, in parts that the leaf span can reach.

Leaves need not line up with beamlets: a pair takes the mean of the beamlet rows under it, weighted by overlap, over the
part of the leaf that the jaws leave free. So several narrow pairs do the same under one wide beamlet, and a wide outer
pair does the mean of several.

A field wider than the span is split where its neighbours overlap by `FEATHER_MM`: there one part's share falls in even
steps as the other's rises. Abutting parts would need fewer MU, but a leaf or jaw 1 mm off would draw a line of
nothing or of twice the fluence; feathered, it costs a few percent (Wu et al., Phys. Med. Biol. 45 (2000) 1731-1740).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sim_tps.delivery.head import ROUNDING_MM, Head, Jaws
from sim_tps.dose.fields import Field
from sim_tps.errors import BadInput

FEATHER_MM = 20.0
"""Overlap of neighbouring parts: four 5 mm beamlets, so that each step is a fifth."""


@dataclass(frozen=True, eq=False)
class Part:
    """What one delivered field shall let through."""

    wanted_mu: NDArray[np.float64]
    """[leaf pair, column]."""
    edges_mm: NDArray[np.float64]
    """Boundaries of the columns along x, rising."""
    jaws_mm: Jaws

    def mirrored(self) -> Part:
        x1, x2, y1, y2 = self.jaws_mm
        return Part(self.wanted_mu[:, ::-1], -self.edges_mm[::-1], (-x2, -x1, y1, y2))


def checked_raster(field: Field, fluence_mu: NDArray[np.floating]) -> NDArray[np.float64]:
    """The fluence on the field's raster [y, x], or what is wrong with it."""
    fluence = np.asarray(fluence_mu, np.float64)
    if fluence.shape != (field.beamlet_count,):
        raise BadInput(
            f"field {field.id!r}: fluence of shape {fluence.shape}, expected one number for each of its "
            f"{field.beamlet_count} beamlets."
        )
    if not np.all(np.isfinite(fluence)) or np.any(fluence < 0.0):
        worst = fluence[~np.isfinite(fluence) | (fluence < 0.0)][0]
        raise BadInput(f"field {field.id!r}: fluence holds {worst:g}; expected finite MU, 0 or more.")
    raster = np.zeros(field.is_open.shape)
    raster[field.is_open] = fluence
    return raster


def parts(head: Head, field: Field, raster: NDArray[np.float64]) -> Iterator[Part]:
    """The field's parts with fluence, from -x to +x; what is wanted of them adds up to what is wanted of the field."""
    if not raster.any():
        return
    x_edges, y_edges = raster_edges(field)
    columns, rows = _extent(raster, axis=1), _extent(raster, axis=0)
    low, high = float(y_edges[rows.start]), float(y_edges[rows.stop])
    opening = head.jaws_round((float(x_edges[columns.start]), float(x_edges[columns.stop]), low, high))
    wanted = overlap(head.leaf_edges_mm, y_edges, opening[2:], mean=True) @ raster
    for share in _shares(head, x_edges, columns):
        if (wanted * share).any():
            yield _fitted(head, Part(wanted * share, x_edges, (*opening[:2], low, high)))


def raster_edges(field: Field) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boundaries of the beamlets along x and y."""
    rows, columns = field.is_open.shape
    x, y = field.first_centre_mm
    side = field.beamlet_mm
    return x + side * (np.arange(columns + 1) - 0.5), y + side * (np.arange(rows + 1) - 0.5)


def overlap(
    to_edges: NDArray[np.float64], from_edges: NDArray[np.float64], window: tuple[float, float], *, mean: bool
) -> NDArray[np.float64]:
    """How much of each interval ``to`` lies on each interval ``from`` within a window, as a share of the former.

    With ``mean`` only the part of ``to`` inside the window counts as the whole. Shape (to, from).
    """
    inside = np.clip(to_edges, *window)
    low = np.maximum(inside[:-1, None], from_edges[None, :-1])
    high = np.minimum(inside[1:, None], from_edges[None, 1:])
    whole = np.diff(inside if mean else to_edges)[:, None]
    return np.asarray(np.divide(np.maximum(high - low, 0.0), whole, out=np.zeros(low.shape), where=whole > ROUNDING_MM))


def _shares(head: Head, x_edges: NDArray[np.float64], columns: slice) -> Iterator[NDArray[np.float64]]:
    """Each part's share of every column; over all parts they add up to 1."""
    side = x_edges[1] - x_edges[0]
    most = int((head.span_mm - head.smallest_opening_mm) / side + ROUNDING_MM)
    shared = round(FEATHER_MM / side)
    count = columns.stop - columns.start
    if count <= most:
        yield np.ones(len(x_edges) - 1)
        return
    if most <= shared:
        raise BadInput(f"beamlets of {side:g} mm are too wide to split a field for a leaf span of {head.span_mm:g} mm.")
    number = -(-(count - shared) // (most - shared))
    starts = columns.start + np.round(np.arange(number + 1) * (count - shared) / number).astype(int)
    rises = [np.clip((np.arange(len(x_edges) - 1) - s + 1) / (shared + 1), 0.0, 1.0) for s in starts[1:-1]]
    borders = [np.ones(len(x_edges) - 1), *rises, np.zeros(len(x_edges) - 1)]
    for begins, ends in pairwise(borders):
        yield begins - ends


def _fitted(head: Head, part: Part) -> Part:
    """Only the columns with fluence, and jaws round what is open; along y they stay on leaf or field edges."""
    columns, pairs = _extent(part.wanted_mu, axis=1), _extent(part.wanted_mu, axis=0)
    edges = part.edges_mm[columns.start : columns.stop + 1]
    low = max(float(head.leaf_edges_mm[pairs.start]), part.jaws_mm[2])
    high = min(float(head.leaf_edges_mm[pairs.stop]), part.jaws_mm[3])
    jaws = head.jaws_round((float(edges[0]), float(edges[-1]), low, high))
    return replace(part, wanted_mu=part.wanted_mu[:, columns], edges_mm=edges, jaws_mm=jaws)


def _extent(fluence: NDArray[np.float64], axis: int) -> slice:
    """From the first to the last row (axis 0) or column (axis 1) with fluence."""
    found = np.nonzero(fluence)[axis]
    return slice(int(found.min()), int(found.max()) + 1)
