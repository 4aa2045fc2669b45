"""The hot-fraction problem: mean squared excess in the hottest parts, with D_v of the targets exactly as prescribed.

    minimise   Σ_s λ_s / λ_target · mean of (D − τ_s)² over the points of the hottest V_s of s with D > τ_s
    subject to D_v(target) = dose exactly, fluence ≥ 0

It is the problem of a published planning agent and of its engine (Abrar, Jia and Chi), in its published numbers, so
that what was learned there holds here. Only ratios of priorities act: all are divided by the target's.

The one idea: which points are hot is frozen for one outer iteration, and then everything is quadratic. ADMM gives each
target a dose y of its own, which is the target's dose lifted to the prescription but for the coldest part; a few steps
of conjugate gradients on the fluence draw the dose towards y and the hot points towards their limits; the difference
that stays is added to what is asked next. Fluence is clipped at 0 after each outer iteration; one last factor makes D_v
exact.

The problem knows nothing of normal tissue: always look at the body's maximum too.

References
----------
Boyd et al., Found. Trends Mach. Learn. 3 (2011) 1-122 (ADMM)
Abrar, Jia and Chi, https://arxiv.org/abs/2606.00922 and https://arxiv.org/abs/2502.00346 (the problem and its numbers)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import Refused
from sim_tps.optimise.objectives import Doses, Operator, Penalty, Region, hot_excess
from sim_tps.optimise.solver import Descent, Limits, StopReason
from sim_tps.plan import Objective

MOST_ITERATIONS = 40
"""Outer iterations."""
_GRADIENT_STEPS = 3
"""Conjugate-gradient steps in each."""
_BETA = 2.0
"""Weight of the mean squared distance between a target's dose and its y, where the target's own term weighs 1."""
_SMALLEST_CHANGE = 5e-3
"""Converged: the fluence changed by less than this share of itself."""


@dataclass(frozen=True, eq=False)
class Held:
    """A target whose dose at a volume is exactly prescribed."""

    constraint: Objective
    region: Region

    def dose_at_volume(self, dose: NDArray[np.floating]) -> float:
        """Highest dose that at least the constraint's share of the target gets, from the dose at all points."""
        own = dose[self.region.index].astype(np.float64)
        return float(own[~self.coldest(own)].min())

    def coldest(self, own: Doses) -> NDArray[np.bool_]:
        """The target's points that may stay below the prescription."""
        coldest_first = np.argsort(own, kind="stable")
        colder = np.cumsum(self.region.weight[coldest_first])
        inside = np.zeros(len(own), bool)
        inside[coldest_first] = colder <= 1.0 - (self.constraint.volume_percent or 0.0) / 100.0 + 1e-9
        return inside

    def lifted(self, own: Doses) -> Doses:
        """The target's doses with all but the coldest part at least at the prescription."""
        return np.where(self.coldest(own), own, np.maximum(own, self.constraint.dose_gy))


def solve_hot_fraction(
    operator: Operator,
    hot: Sequence[Penalty],
    held: Sequence[Held],
    start: NDArray[np.floating],
    limits: Limits,
    *,
    progress: Callable[[int, float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Descent:
    """Solve from ``start``, of which only the shape matters: it is scaled to the prescription first.

    Parameters
    ----------
    operator
        Its points are those that the regions of ``hot`` and ``held`` index.
    held
        At least one. The dose of the one with the highest prescription is exact in the end; that of the others is as
        the iterations left it.
    limits
        Iterations are outer ones; never more than `MOST_ITERATIONS` are done.
    progress
        Told the outer iteration and the weighted sum of the objectives, after each.
    cancelled
        Asked before each outer iteration.

    Raises
    ------
    Refused
        A target gets no dose, so no factor gives it the prescription.
    """
    exact = max(held, key=lambda target: target.constraint.dose_gy)
    run = _Run(operator, hot, held, _scaled(operator, exact, np.asarray(start, np.float64)))
    deadline, reason, done = monotonic() + limits.max_seconds, StopReason.MAX_ITERATIONS, 0
    while done < min(limits.max_iterations, MOST_ITERATIONS) and reason is StopReason.MAX_ITERATIONS:
        if cancelled is not None and cancelled():
            reason = StopReason.CANCELLED
        elif monotonic() > deadline:
            reason = StopReason.MAX_SECONDS
        else:
            if run.step() < _SMALLEST_CHANGE:
                reason = StopReason.CONVERGED
            done += 1
            if progress is not None:
                progress(done, run.value())
    fluence = _scaled(operator, exact, run.fluence)
    value = sum(penalty.evaluate(operator.forward(fluence))[0] for penalty in hot)
    return Descent(fluence, value, done, reason)


class _Run:
    """The state of the outer iterations."""

    def __init__(
        self, operator: Operator, hot: Sequence[Penalty], held: Sequence[Held], fluence: NDArray[np.float64]
    ) -> None:
        self.fluence = fluence
        self._operator = operator
        self._hot = hot
        self._held = held
        self._ratio = _ratios(hot, held)
        self._dose = operator.forward(fluence)
        self._shifts = [np.zeros(len(target.region.index)) for target in held]

    def value(self) -> float:
        """The weighted sum of the objectives at the present dose."""
        return sum(penalty.evaluate(self._dose)[0] for penalty in self._hot)

    def step(self) -> float:
        """One outer iteration; returns the share of the fluence that changed."""
        wanted = [
            target.lifted(self._own(target) + shift) for target, shift in zip(self._held, self._shifts, strict=True)
        ]
        slope, curvature = self._frozen(wanted)
        change = _conjugate_gradients(self._operator, slope, curvature)
        before = self.fluence
        self.fluence = np.maximum(before + change, 0.0)
        self._dose = self._operator.forward(self.fluence)
        for target, shift, goal in zip(self._held, self._shifts, wanted, strict=True):
            shift += self._own(target) - goal
        return float(np.linalg.norm(self.fluence - before) / np.linalg.norm(before))

    def _frozen(self, wanted: Sequence[Doses]) -> tuple[Doses, Doses]:
        """Slope and curvature, point by point, of the quadratic that the problem is while the hot points are frozen."""
        slope, curvature = np.zeros(len(self._dose)), np.zeros(len(self._dose))
        for penalty, ratio in zip(self._hot, self._ratio, strict=True):
            region = penalty.region
            excess, share = hot_excess(self._dose[region.index].astype(np.float64), region.weight, penalty.objective)
            slope[region.index] += ratio * share * excess
            curvature[region.index] += ratio * share
        for target, shift, goal in zip(self._held, self._shifts, wanted, strict=True):
            region = target.region
            slope[region.index] += _BETA * region.weight * (self._own(target) - goal + shift)
            curvature[region.index] += _BETA * region.weight
        return slope, curvature

    def _own(self, target: Held) -> Doses:
        return self._dose[target.region.index].astype(np.float64)


def _conjugate_gradients(operator: Operator, slope: Doses, curvature: Doses) -> NDArray[np.float64]:
    """A few steps towards the minimum of ½ cᵀ A c + bᵀ c, with A = Dᵀ·curvature·D and b = Dᵀ·slope."""
    change = np.zeros_like(residual := -np.asarray(operator.adjoint(slope), np.float64))
    direction, length = residual, float(residual @ residual)
    for _ in range(_GRADIENT_STEPS):
        along = operator.forward(direction)
        bend = float(curvature @ along.astype(np.float64) ** 2)
        if bend <= 0.0:
            break
        step = length / bend
        change = change + step * direction
        residual = residual - step * np.asarray(operator.adjoint(curvature * along), np.float64)
        before, length = length, float(residual @ residual)
        direction = residual + length / before * direction
    return change


def _ratios(hot: Sequence[Penalty], held: Sequence[Held]) -> list[float]:
    """Priorities by the target's: by the highest of those on a held target, or of all where none is on one."""
    targets = {target.constraint.structure for target in held}
    on_targets = [penalty.objective.priority for penalty in hot if penalty.objective.structure in targets]
    reference = max(on_targets or [penalty.objective.priority for penalty in hot], default=1.0)
    return [penalty.objective.priority / reference for penalty in hot]


def _scaled(operator: Operator, exact: Held, fluence: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fluence times the factor that gives a target its dose at the volume exactly."""
    reached = exact.dose_at_volume(operator.forward(fluence))
    if reached <= 0.0:
        raise Refused(
            f"constraint {exact.constraint.id!r}: {exact.constraint.volume_percent:g} % of "
            f"{exact.constraint.structure!r} gets no dose from these beams, so it cannot be brought to "
            f"{exact.constraint.dose_gy:g} Gy."
        )
    return fluence * (exact.constraint.dose_gy / reached)
