"""Bound-constrained quasi-Newton descent: fluence cannot be negative.

L-BFGS-B, with the variables scaled so that a unit step in any beamlet changes the dose about equally. The solver knows
nothing of dose: it is given a function that returns a value and a gradient.

References
----------
Byrd, Lu, Nocedal and Zhu, SIAM J. Sci. Comput. 16 (1995) 1190-1208 (through scipy).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

_CORRECTIONS = 30
"""Pairs of steps that the quasi-Newton matrix remembers; 20 need a tenth more iterations, 50 hardly fewer."""

Evaluate = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.floating]]]


class StopReason(Enum):
    """Why the descent ended."""

    CONVERGED = "converged"
    MAX_ITERATIONS = "max iterations"
    MAX_SECONDS = "max seconds"
    CANCELLED = "cancelled"


@dataclass(frozen=True, eq=False)
class Descent:
    """Where the solver ended."""

    x: NDArray[np.float64]
    value: float
    iterations: int
    stop_reason: StopReason


@dataclass(frozen=True)
class Limits:
    """When to stop; converged is when a whole window of iterations gained next to nothing."""

    max_iterations: int
    max_seconds: float
    smallest_gain: float
    """In units of the value: less than this over a window is nothing, however small the value has become."""
    relative_gain: float = 5e-4
    """As a share of the value: less than this over a window is nothing."""
    window: int = 10


def descend(
    evaluate: Evaluate,
    start: NDArray[np.floating],
    limits: Limits,
    *,
    scale: NDArray[np.floating] | None = None,
    progress: Callable[[int, float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Descent:
    """Minimise over x ≥ 0 from ``start``.

    Parameters
    ----------
    evaluate
        Value and gradient at x.
    scale
        Typical size of a useful step in each variable; equal ones when absent.
    progress
        Told the iteration and its value, after each.
    cancelled
        Asked before every evaluation.
    """
    unit = np.ones(len(start)) if scale is None else np.asarray(scale, np.float64)
    run = _Run(evaluate, unit, limits, progress, cancelled, np.maximum(np.asarray(start, np.float64), 0.0))
    try:
        minimize(
            run.evaluate,
            run.x / unit,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, None)] * len(unit),
            callback=run.after_iteration,
            options={
                "maxiter": limits.max_iterations,
                "maxfun": 1_000_000,
                "ftol": 0.0,
                "gtol": 0.0,
                "maxcor": _CORRECTIONS,
            },
        )
    except _Stopped as stopped:
        return run.ended(stopped.reason)
    reached = run.iterations >= limits.max_iterations
    return run.ended(StopReason.MAX_ITERATIONS if reached else StopReason.CONVERGED)


class _Stopped(Exception):
    """Leaves scipy's loop."""

    def __init__(self, reason: StopReason) -> None:
        self.reason = reason


class _Run:
    """One descent: counts, watches the clock, and remembers the best iterate."""

    def __init__(
        self,
        evaluate: Evaluate,
        unit: NDArray[np.float64],
        limits: Limits,
        progress: Callable[[int, float], None] | None,
        cancelled: Callable[[], bool] | None,
        start: NDArray[np.float64],
    ) -> None:
        self.x = start
        self.iterations = 0
        self._evaluate = evaluate
        self._unit = unit
        self._limits = limits
        self._progress = progress
        self._cancelled = cancelled
        self._deadline = monotonic() + limits.max_seconds
        self._values: list[float] = []
        self._best = np.inf

    def evaluate(self, scaled: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        if self._cancelled is not None and self._cancelled():
            raise _Stopped(StopReason.CANCELLED)
        if monotonic() > self._deadline:
            raise _Stopped(StopReason.MAX_SECONDS)
        x = scaled * self._unit
        value, gradient = self._evaluate(x)
        if value < self._best:
            self._best, self.x = value, x
        if not self._values:
            self._values.append(value)
        return value, np.asarray(gradient, np.float64) * self._unit

    def after_iteration(self, intermediate_result: OptimizeResult) -> None:
        self.iterations += 1
        self._values.append(float(intermediate_result.fun))
        if self._progress is not None:
            self._progress(self.iterations, self._values[-1])
        window = self._limits.window
        if len(self._values) > window:
            before, now = self._values[-1 - window], self._values[-1]
            if before - now <= max(self._limits.smallest_gain, self._limits.relative_gain * now):
                raise _Stopped(StopReason.CONVERGED)

    def ended(self, reason: StopReason) -> Descent:
        return Descent(self.x, float(self._best), self.iterations, reason)
