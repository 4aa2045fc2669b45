"""Smooth fluence: a small price on differences between neighbouring beamlets.

Objectives alone do not care whether one beamlet carries what two could share, but leaves do: monitor units grow with
every rise of the fluence along a leaf's way, and leakage with them. So the optimiser also pays

    strength × (sum over neighbours along x and y of (x_i − x_j)²) / number of beamlets

in units of fluence squared. It is no objective: it is not reported as one and never part of a plan's total. The
hot-fraction problem does without it, as published.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim_tps.dose.fields import Field, beamlet_count
from sim_tps.optimise import _kernels

USUAL_STRENGTH = 1.0
"""Halves the monitor units of the built-in brain case and takes a quarter off the prostate's, with the same goals met;
ten times as much takes another quarter and costs the brain case attempts."""


class Smoothness:
    """The price of a fluence's roughness, and its gradient."""

    def __init__(self, fields: Sequence[Field], strength: float) -> None:
        self._one, self._other = _neighbours(fields)
        self._factor = strength / beamlet_count(fields)

    def evaluate(self, fluence: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        gradient = np.zeros(len(fluence))
        total = _kernels.squared_differences(fluence, self._one, self._other, gradient)
        return self._factor * total, self._factor * gradient


def _neighbours(fields: Sequence[Field]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of beamlets next to each other in the same field, as numbers in the whole fluence."""
    ones, others, first = [], [], 0
    for field in fields:
        number = np.full(field.is_open.shape, -1, np.intp)
        number[field.is_open] = np.arange(field.beamlet_count) + first
        for one, other in ((number[:, :-1], number[:, 1:]), (number[:-1], number[1:])):
            both = (one >= 0) & (other >= 0)
            ones.append(one[both])
            others.append(other[both])
        first += field.beamlet_count
    return np.concatenate(ones), np.concatenate(others)
