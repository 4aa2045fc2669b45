"""The one shape formula that needs a compiled loop: distance to a tube of many straight pieces.

Coordinates and radii in mm, ordered x, y, z; plain arrays, no checks.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, fastmath=True)
def tube_distance(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    z: NDArray[np.float32],
    path: NDArray[np.float64],
    radius: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Signed distance to the union of cones along a path (n, 3) with a radius (n,) at each point; [z, y, x]."""
    step = (path[1:] - path[:-1]).astype(np.float32)
    start, rim = path.astype(np.float32), radius.astype(np.float32)
    inverse_square = (1.0 / np.maximum((step * step).sum(axis=1), 1e-9)).astype(np.float32)
    out = np.empty((z.size, y.size, x.size), np.float32)
    for k in range(z.size):
        for j in range(y.size):
            row = out[k, j]
            row[:] = 1e9
            farthest = np.float32(1e9)
            for s in range(step.shape[0]):
                dy, dz = y[j] - start[s, 1], z[k] - start[s, 2]
                if _row_gap(dy, dz, step[s, 1], step[s, 2]) - max(rim[s], rim[s + 1]) > farthest:
                    continue  # no point of this row can be nearer to this piece than to an earlier one
                _nearer_cone(row, x - start[s, 0], dy, dz, step[s], inverse_square[s], rim[s], rim[s + 1] - rim[s])
                farthest = row.max()
    return out


@njit(cache=True, fastmath=True)
def _nearer_cone(
    row: NDArray[np.float32],
    dx: NDArray[np.float32],
    dy: float,
    dz: float,
    step: NDArray[np.float32],
    inverse_square: float,
    rim: float,
    widening: float,
) -> None:
    """Lower a row of distances to those of one cone, from the offsets to its start."""
    part = dy * step[1] + dz * step[2]
    for i in range(row.size):
        along = min(max((dx[i] * step[0] + part) * inverse_square, np.float32(0)), np.float32(1))
        ox, oy, oz = dx[i] - along * step[0], dy - along * step[1], dz - along * step[2]
        row[i] = min(row[i], np.sqrt(ox * ox + oy * oy + oz * oz) - rim - along * widening)


@njit(cache=True, fastmath=True)
def _row_gap(dy: float, dz: float, step_y: float, step_z: float) -> float:
    """Distance in the (y, z) plane from a row along x to the box round a piece."""
    gap_y = max(min(np.float32(0), step_y) - dy, dy - max(np.float32(0), step_y), np.float32(0))
    gap_z = max(min(np.float32(0), step_z) - dz, dz - max(np.float32(0), step_z), np.float32(0))
    return np.sqrt(gap_y * gap_y + gap_z * gap_z)
