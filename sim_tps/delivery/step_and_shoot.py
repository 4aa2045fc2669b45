"""Step-and-shoot: a handful of shapes, each given its MU with leaves at rest.

The exposure is rounded to whole levels and delivered by the sweep of `sim_tps.delivery.sweep` with leaves that move
while the beam is off: level by level, the columns opened and not yet closed are one shape, and equal shapes in a row
are one segment (Bortfeld et al., Int. J. Radiat. Oncol. 28 (1994) 723-730). Where tips may pass their neighbours' no
sequence needs fewer MU. A level is never less than the smallest segment's MU, so none is too weak to be kept: a weak
field is rounded more coarsely instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_tps.delivery.delivered import ControlPoint
from sim_tps.delivery.head import Head
from sim_tps.delivery.motion import Motion, at_tips, kept_apart, moving_pairs, total_mu, without_transmission
from sim_tps.delivery.rows import Part
from sim_tps.delivery.sweep import Sweep, sweep


def step_and_shoot(head: Head, part: Part, level_count: int) -> Motion | None:
    """Segments in their order from -x to +x; None where the fluence rounds to nothing."""
    moving = moving_pairs(head, part)

    def sweep_of(exposure: NDArray[np.float64]) -> Sweep:
        at_once = np.zeros(exposure.shape[1])
        return sweep(exposure[moving], at_once, 0.0, interdigitates=head.interdigitates)

    mu = total_mu(lambda mu: sweep_of(without_transmission(head, part, mu)).total_mu)
    exposure = without_transmission(head, part, mu)
    level_mu = max(exposure.max() / level_count, head.smallest_segment_mu, head.smallest_meterset_mu)
    levels = np.rint(exposure / level_mu)
    if not levels.any():
        return None
    begins, ends, counts = _shapes(sweep_of(levels))
    return Motion(float(level_mu * counts.sum()), _segments(head, part, moving, begins, ends, counts))


def _shapes(motion: Sweep) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Edge at which each pair's opening begins and ends, shape (shapes, pairs), and how many levels it stays so."""
    levels = np.arange(round(motion.total_mu))[:, None, None] + 0.5
    begins = (motion.trail_leaves[:, :-1] <= levels).sum(axis=2)
    ends = (motion.lead_leaves[:, :-1] <= levels).sum(axis=2)
    both = np.concatenate([begins, ends], axis=1)
    first = np.flatnonzero(np.concatenate([[True], (both[1:] != both[:-1]).any(axis=1)]))
    return begins[first], ends[first], np.diff(first, append=len(both))


def _segments(
    head: Head,
    part: Part,
    moving: NDArray[np.bool_],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[ControlPoint, ...]:
    """Two control points per shape; closed pairs wait behind the last edge where they may pass their neighbours."""
    last = len(part.edges_mm) - 1
    left, right = np.full((2, len(counts), head.pair_count), last)
    left[:, moving], right[:, moving] = begins, ends
    if head.interdigitates:
        closed = left == right
        left[closed] = right[closed] = last
    left_mm, right_mm = part.edges_mm[np.repeat(left, 2, axis=0)], part.edges_mm[np.repeat(right, 2, axis=0)]
    given = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    metersets = np.repeat(given, 2)[1:-1]
    return at_tips(head, metersets, left_mm, kept_apart(head, left_mm, right_mm))
