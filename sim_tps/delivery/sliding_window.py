"""Sliding window: leaves sweep from one side to the other while the beam is on.

The motion is that of `sim_tps.delivery.sweep`, made for the opening the beam sees: transmission during the whole field
is taken off the wanted fluence first, and tips are set back by half the dosimetric gap at the end. Less than
transmission and the smallest opening let through cannot be had; `sim_tps.delivery.fluence.deviation` says how much
that is. Pairs that are through early wait behind the jaw where the sweep ends, so nothing leaks between their tips.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_tps.delivery.head import Head
from sim_tps.delivery.motion import Motion, at_tips, kept_apart, moving_pairs, total_mu, without_transmission
from sim_tps.delivery.rows import Part
from sim_tps.delivery.sweep import SAME_MU, Sweep, sweep


def sliding_window(head: Head, part: Part, most_control_points: int) -> Motion | None:
    """Sweep towards +x; None where even the smallest opening lets through more than is wanted anywhere."""
    least = head.smallest_opening_mm * head.mu_per_mm
    crossing = np.diff(part.edges_mm) * head.mu_per_mm
    moving = moving_pairs(head, part)

    def sweep_for(mu: float) -> Sweep:
        exposure = np.maximum(without_transmission(head, part, mu)[moving], least)
        return sweep(exposure, crossing, least, interdigitates=head.interdigitates)

    mu = total_mu(lambda mu: max(sweep_for(mu).total_mu, head.smallest_meterset_mu))
    if without_transmission(head, part, mu).max() <= least:
        return None
    motion = sweep_for(mu)
    times = _times(motion, mu, most_control_points)
    shape, rest = (len(times), head.pair_count), part.edges_mm[-1]
    left, right = np.full(shape, rest), np.full(shape, rest + head.smallest_opening_mm)
    left[:, moving], right[:, moving] = _openings(head, part.edges_mm, motion, times)
    return Motion(mu, at_tips(head, times / mu, left, kept_apart(head, left, right)))


def _times(motion: Sweep, mu: float, most: int) -> NDArray[np.float64]:
    """MU of the control points: where any tip starts or stops, or evenly spread where those are too many."""
    turns = np.sort(np.concatenate([times.ravel() for times in vars(motion).values()]))
    turns = turns[(np.diff(turns, prepend=0.0) > SAME_MU) & (turns < mu - SAME_MU)]
    if len(turns) + 2 > most:
        return np.linspace(0.0, mu, most)
    return np.concatenate([[0.0], turns, [mu]])


def _openings(
    head: Head, edges_mm: NDArray[np.float64], motion: Sweep, times: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Left and right edges of the moving pairs' openings at given MU, shape (times, pairs)."""
    width, least = head.smallest_opening_mm, head.smallest_opening_mm * head.mu_per_mm
    stops = np.repeat(edges_mm, 2)
    left, right = [], []
    for pair in range(len(motion.lead_leaves)):
        lead = np.stack([motion.lead_arrives[pair], motion.lead_leaves[pair]], axis=1).ravel()
        trail = np.stack([motion.trail_arrives[pair], motion.trail_leaves[pair]], axis=1).ravel()
        right.append(np.interp(times, [*lead, lead[-1] + least], [*stops, edges_mm[-1] + width]))
        left.append(np.interp(times, [trail[0] - least, *trail], [edges_mm[0] - width, *stops]))
    return np.stack(left, axis=1), np.stack(right, axis=1)
