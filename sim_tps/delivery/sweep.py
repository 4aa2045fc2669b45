"""The unidirectional sweep both techniques rest on: when each pair's tips pass each column.

The leading tip opens a column, the trailing tip closes it; the MU between are the column's exposure. Where exposure
rises the trailing tip waits, where it falls the leading tip waits, and otherwise both go as fast as they can. No other
motion in one direction needs fewer MU (Spirou and Chui, Med. Phys. 21 (1994) 1031-1041; Convery and Rosenbloom, Phys.
Med. Biol. 37 (1992) 1359-1374; with infinite speed, Bortfeld et al., Int. J. Radiat. Oncol. 28 (1994) 723-730).

Where tips may not pass their neighbours' opposed tips, both tips of a pair that is ahead wait as long as needed, which
leaves its exposure as it is (Kamath et al., Phys. Med. Biol. 48 (2003) 307-324).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME_MU = 1e-9
"""MU closer than this are the same."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """MU after which tips arrive at and leave column edges, all of shape (leaf pairs, edges)."""

    lead_arrives: NDArray[np.float64]
    lead_leaves: NDArray[np.float64]
    trail_arrives: NDArray[np.float64]
    trail_leaves: NDArray[np.float64]

    @property
    def total_mu(self) -> float:
        return float(self.trail_leaves[:, -1].max())


def sweep(
    exposure_mu: NDArray[np.float64],
    crossing_mu: NDArray[np.float64],
    least_mu: float,
    *,
    interdigitates: bool,
) -> Sweep:
    """Let every pair sweep from the first edge to the last.

    Parameters
    ----------
    exposure_mu
        Shape (leaf pairs, columns), nowhere below ``least_mu``.
    crossing_mu
        What a tip at full speed needs for each column.
    least_mu
        Exposure by the smallest opening at full speed: what the window gives before and after the columns.
    """
    steps = np.diff(exposure_mu, axis=1, prepend=least_mu, append=least_mu)
    lead_waits, trail_waits = np.maximum(-steps, 0.0), np.maximum(steps, 0.0)
    travel = np.concatenate([[0.0], np.cumsum(crossing_mu)])
    lead_leaves = travel + np.cumsum(lead_waits, axis=1)
    trail_leaves = least_mu + travel + np.cumsum(trail_waits, axis=1)
    delays = np.zeros(lead_leaves.shape) if interdigitates else _delays(lead_leaves, trail_leaves)
    added = np.diff(delays, axis=1, prepend=0.0)
    added_to_trail = np.concatenate([np.zeros((len(added), 1)), added[:, 1:]], axis=1)
    return Sweep(
        lead_leaves + delays - lead_waits - added,
        lead_leaves + delays,
        trail_leaves + delays - trail_waits - added_to_trail,
        trail_leaves + delays,
    )


def _delays(lead: NDArray[np.float64], trail: NDArray[np.float64]) -> NDArray[np.float64]:
    """How long each pair waits up to each edge, so that no trailing tip passes a neighbour's leading tip.

    That is so when a pair's trailing tip leaves an edge no earlier than both neighbours' leading tips. At one edge no
    pair waits for longer than the latest leading tip, so the search ends. On the last edge trailing tips stop.
    """
    delays = np.zeros(lead.shape)
    waited = np.zeros(len(lead))
    for edge in range(lead.shape[1] - 1):
        while True:
            needed = latest_neighbour(lead[:, edge] + waited) - trail[:, edge]
            late = needed > waited + SAME_MU
            if not late.any():
                break
            waited = np.where(late, needed, waited)
        delays[:, edge:] = waited[:, None]
    return delays


def latest_neighbour(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each leaf pair (first axis) the larger of its neighbours' values; -inf where there is none."""
    nothing = np.full((1, *values.shape[1:]), -np.inf)
    return np.asarray(np.maximum(np.concatenate([nothing, values[:-1]]), np.concatenate([values[1:], nothing])))
