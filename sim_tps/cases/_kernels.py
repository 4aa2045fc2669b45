"""The one shape formula that needs a compiled loop: distance to a tube of many straight pieces.

Coordinates and radii in mm, ordered x, y, z; plain arrays, no checks.
"""

from __future__ import annotations

import math

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
    step = path[1:] - path[:-1]
    squared_length = np.maximum((step * step).sum(axis=1), 1e-9)
    out = np.empty((z.size, y.size, x.size), np.float32)
    for k in range(z.size):
        for j in range(y.size):
            for i in range(x.size):
                nearest = 1e9
                for s in range(step.shape[0]):
                    dx, dy, dz = x[i] - path[s, 0], y[j] - path[s, 1], z[k] - path[s, 2]
                    along = (dx * step[s, 0] + dy * step[s, 1] + dz * step[s, 2]) / squared_length[s]
                    along = min(max(along, 0.0), 1.0)
                    dx -= along * step[s, 0]
                    dy -= along * step[s, 1]
                    dz -= along * step[s, 2]
                    rim = radius[s] + along * (radius[s + 1] - radius[s])
                    nearest = min(nearest, math.sqrt(dx * dx + dy * dy + dz * dz) - rim)
                out[k, j, i] = nearest
    return out
