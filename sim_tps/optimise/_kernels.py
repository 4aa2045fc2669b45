"""The loops of the penalties, on plain arrays, compiled by numba and cached on disk."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def squared_violation(dose, index, weight, floor, ceiling):
    """Weighted sum of squares of what lies below the floor or above the ceiling, and its gradient on the points."""
    gradient = np.empty(len(index))
    total = 0.0
    for k in range(len(index)):
        gy = np.float64(dose[index[k]])
        violation = max(gy - ceiling, 0.0) - max(floor - gy, 0.0)
        slope = weight[k] * violation
        total += slope * violation
        gradient[k] = 2.0 * slope
    return total, gradient


@njit(nogil=True, cache=True)
def add_at(values, index, added):
    """``values[index] += added``, each point once."""
    for k in range(len(index)):
        values[index[k]] += added[k]


@njit(nogil=True, cache=True)
def squared_differences(values, one, other, gradient):
    """Sum of squared differences between pairs of values; their gradient is added into ``gradient``."""
    total = 0.0
    for k in range(len(one)):
        difference = values[one[k]] - values[other[k]]
        total += difference * difference
        gradient[one[k]] += 2.0 * difference
        gradient[other[k]] -= 2.0 * difference
    return total
