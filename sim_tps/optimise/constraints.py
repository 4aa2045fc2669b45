"""Hard constraints, kept whatever they cost the objectives: an augmented Lagrangian round the ordinary descent.

The one idea: a constraint is an excess r in Gy that must not be above 0 (dose less limit, or limit less dose; of every
point, or of the mean or gEUD), and it remembers a shift u ≥ 0 in Gy for each. A round of descent minimises

    objectives + Σ strength × Σ_i w_i · max(0, r_i + u_i)²

and afterwards u ← max(0, r + u): what the round did not reach is asked for on top in the next, until the shift alone
holds the dose at its limit and the term is the constraint's Lagrange multiplier, 2 · strength · w · u. A constraint
that gained too little in a round also becomes stronger. For dose at a volume, the worst of the shifted excesses are
excused, as many as the volume says (so this one is not convex, and the solution is a local one). ``EXACTLY`` is both
sides at once.

References
----------
Hestenes, J. Optim. Theory Appl. 4 (1969) 303-320; Powell, in Fletcher (ed.), Optimization (1969) 283-298
Nocedal and Wright, Numerical Optimization, 2nd ed. (2006), chapter 17
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from sim_tps.optimise.objectives import Doses, Operator, Region, fall_off_limit, generalised_eud, without_worst
from sim_tps.optimise.solver import Descent, Evaluate, Limits, StopReason, descend
from sim_tps.plan import Objective, ObjectiveType, Relation

TOLERANCE = 1e-3
"""A constraint missed by less than this share of its dose is kept: 0.06 Gy of 60."""
SMALLEST_TOLERANCE_GY = 0.01
"""The same where the dose is next to 0: what a dose calculation can tell."""
MOST_ROUNDS = 40
"""A solution that these do not bring within tolerance ends as one that ran out of iterations."""
ROUND_ITERATIONS = 40
"""Most iterations of descent in one round: a rough minimum is enough before the next shift."""
ROUND_GAIN = 5e-3
"""For the same reason a round may end at a gain (as `Limits.relative_gain`) ten times that of a single descent."""
_ENOUGH = 0.5
"""A constraint that a round brings below this share of what it was missed by keeps its strength."""
_STRONGER = 4.0
_STRONGEST = 1e6
"""× the strength at the start: beyond it the descent sees nothing but this constraint."""
_HOPELESS_ROUNDS = 8
"""So many rounds without a tenth gained on the worst constraint: they cannot all be kept."""
_ACTING = 1e-9
"""A share of a volume below this is rounding."""


class Constraint:
    """One hard constraint on its points: a term for the descent that learns from round to round."""

    def __init__(self, objective: Objective, region: Region, strength: float = 1.0) -> None:
        self.objective = objective
        self.region = region
        self._sides = tuple(_sides(objective, region, strength))

    @property
    def tolerance_gy(self) -> float:
        """Missed by no more, it is kept."""
        return max(TOLERANCE * self.objective.dose_gy, SMALLEST_TOLERANCE_GY)

    def kept_at(self, violation_gy: float) -> bool:
        return violation_gy <= self.tolerance_gy

    def evaluate(self, dose: NDArray[np.floating]) -> tuple[float, Doses]:
        """Value of the term, and its gradient on the region's own points, from the dose at all points in Gy."""
        own = self._own(dose)
        terms = [side.evaluate(own) for side in self._sides]
        return sum(value for value, _ in terms), np.sum([gradient for _, gradient in terms], axis=0)

    def violation_gy(self, dose: NDArray[np.floating]) -> float:
        """By how many Gy it is missed where it is missed most; 0 where it is kept."""
        own = self._own(dose)
        return max(side.violation_gy(own) for side in self._sides)

    def learn(self, dose: NDArray[np.floating]) -> float:
        """Take a round's dose into the shifts; returns how far from settled the constraint was, in Gy."""
        own = self._own(dose)
        return max(side.learn(own) for side in self._sides)

    def _own(self, dose: NDArray[np.floating]) -> Doses:
        return dose[self.region.index].astype(np.float64)


_Measure = Callable[[Doses], tuple[Doses, Callable[[Doses], Doses]]]
"""From a structure's doses, the excesses in Gy, and what carries a slope on them back to the doses."""


@dataclass(eq=False)
class _Side:
    """Excess that must not be above 0, point by point or one number for the structure."""

    measure: _Measure
    weight: Doses
    """Of each excess; sums to at most 1."""
    excused: float
    """Share of the weight that may exceed."""
    strength: float
    shift: Doses
    unsettled_gy: float = np.inf
    """After the last round."""

    def __post_init__(self) -> None:
        self.strongest = _STRONGEST * self.strength

    def evaluate(self, dose: Doses) -> tuple[float, Doses]:
        excess, carry_back = self.measure(dose)
        acting, shifted = self._acting(excess + self.shift)
        value = self.strength * float(acting @ shifted**2)
        return value, carry_back(2.0 * self.strength * acting * shifted)

    def violation_gy(self, dose: Doses) -> float:
        acting, exceeding = self._acting(self.measure(dose)[0])
        return float(exceeding[acting > _ACTING].max(initial=0.0))

    def learn(self, dose: Doses) -> float:
        excess, _ = self.measure(dose)
        acting, shifted = self._acting(excess + self.shift)
        counts = (self.weight > 0.0) & ((shifted == 0.0) | (acting > _ACTING))
        unsettled_gy = float(np.abs(np.maximum(excess, -self.shift))[counts].max(initial=0.0))
        self.shift = np.where(acting > _ACTING, shifted, 0.0)
        if unsettled_gy > _ENOUGH * self.unsettled_gy and self.strength < self.strongest:
            self.strength *= _STRONGER
            self.shift /= _STRONGER
        self.unsettled_gy = unsettled_gy
        return unsettled_gy

    def _acting(self, shifted_excess: Doses) -> tuple[Doses, Doses]:
        """Weights with the worst part excused, and what is above 0."""
        above = np.maximum(shifted_excess, 0.0)
        return (without_worst(above, self.weight, self.excused) if self.excused > 0.0 else self.weight), above


def _sides(constraint: Objective, region: Region, strength: float) -> Iterator[_Side]:
    if constraint.relation in (Relation.AT_MOST, Relation.EXACTLY):
        yield _side(constraint, region, strength, 1.0)
    if constraint.relation in (Relation.AT_LEAST, Relation.EXACTLY):
        yield _side(constraint, region, strength, -1.0)


def _side(constraint: Objective, region: Region, strength: float, sign: float) -> _Side:
    """``sign`` +1: the quantity must not be above its limit; -1: not below."""
    quantity = _quantity(constraint, region)
    if quantity is not None:
        measure = _of_structure(quantity, constraint.dose_gy, sign)
        return _Side(measure, np.ones(1), 0.0, strength, np.zeros(1))
    limit: float | Doses = constraint.dose_gy
    weight, excused = region.weight, 0.0
    if constraint.type is ObjectiveType.FALL_OFF:
        limit = fall_off_limit(constraint, region.target_distance_mm)
        weight = np.where(region.target_distance_mm > 0.0, weight, 0.0)
    elif constraint.volume_percent is not None:
        part = constraint.volume_percent / 100.0
        excused = part if sign > 0.0 else 1.0 - part
    return _Side(_of_points(limit, sign), weight, excused, strength, np.zeros(len(weight)))


def _quantity(constraint: Objective, region: Region) -> Callable[[Doses], tuple[float, Doses]] | None:
    """The one number of the structure that is constrained, with its gradient; None where every point is."""
    a = constraint.a
    if constraint.type is ObjectiveType.MEAN:
        return lambda dose: (float(region.weight @ dose), region.weight)
    if a is not None:
        return lambda dose: generalised_eud(dose, region.weight, a)
    return None


def _of_points(limit: float | Doses, sign: float) -> _Measure:
    return lambda dose: (sign * (dose - limit), lambda slope: sign * slope)


def _of_structure(quantity: Callable[[Doses], tuple[float, Doses]], limit: float, sign: float) -> _Measure:
    """``quantity`` gives one number for the structure, and its gradient."""

    def measure(dose: Doses) -> tuple[Doses, Callable[[Doses], Doses]]:
        value, gradient = quantity(dose)
        return np.array([sign * (value - limit)]), lambda slope: sign * slope[0] * gradient

    return measure


class StackedOperator:
    """Several operators of the same beamlets as one: their points in a row."""

    def __init__(self, parts: Sequence[Operator]) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([part.shape[0] for part in parts])

    @property
    def shape(self) -> tuple[int, int]:
        """(points, beamlets)."""
        return int(self._ends[-1]), self._parts[0].shape[1]

    def forward(self, weights: NDArray[np.floating]) -> NDArray[np.floating]:
        """Dose at the points, Gy."""
        return np.concatenate([part.forward(weights) for part in self._parts])

    def adjoint(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """For one number per point, one number per beamlet."""
        own = np.split(values, self._ends[:-1])
        return np.sum([part.adjoint(v) for part, v in zip(self._parts, own, strict=True)], axis=0)


def descend_within(
    problem: Evaluate,
    constraints: Sequence[Constraint],
    dose_of: Callable[[NDArray[np.float64]], NDArray[np.floating]],
    start: NDArray[np.floating],
    limits: Limits,
    *,
    scale: NDArray[np.floating] | None = None,
    progress: Callable[[int, float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Descent:
    """Minimise over x ≥ 0 with the constraints kept, in rounds of `sim_tps.optimise.solver.descend`.

    Ends CONVERGED when every constraint is kept and a round gains next to nothing, or when the constraints cannot all
    be kept; which of them are missed then, and by how much, each one's `Constraint.violation_gy` tells.

    Parameters
    ----------
    problem
        Value and gradient at x of everything: the objectives and the constraints' own terms.
    constraints
        With none this is one ordinary descent.
    dose_of
        Dose at all points in Gy.
    limits
        For all rounds together.
    """
    if not constraints:
        return descend(problem, start, limits, scale=scale, progress=progress, cancelled=cancelled)
    rounds = _Rounds(constraints)
    x, done, deadline = np.asarray(start, np.float64), 0, monotonic() + limits.max_seconds
    while True:
        round_limits = replace(
            limits,
            max_iterations=min(ROUND_ITERATIONS, limits.max_iterations - done),
            max_seconds=deadline - monotonic(),
            relative_gain=max(ROUND_GAIN, limits.relative_gain),
        )
        found = descend(
            problem,
            x,
            round_limits,
            scale=scale,
            progress=_counting_from(done, progress),
            cancelled=cancelled,
        )
        x, done = found.x, done + found.iterations
        if found.stop_reason in (StopReason.CANCELLED, StopReason.MAX_SECONDS):
            return replace(found, iterations=done)
        reason = rounds.reason_to_end(dose_of(x), found.stop_reason is StopReason.CONVERGED)
        if reason is not None:
            return replace(found, iterations=done, stop_reason=reason)
        if done >= limits.max_iterations:
            return replace(found, iterations=done, stop_reason=StopReason.MAX_ITERATIONS)


class _Rounds:
    """Learns after each round, and knows when to end."""

    def __init__(self, constraints: Sequence[Constraint]) -> None:
        self._constraints = constraints
        self._least = np.inf
        self._without_gain = 0
        self._count = 0

    def reason_to_end(self, dose: NDArray[np.floating], converged: bool) -> StopReason | None:
        """Learn from the dose that a round ended with; None to go on."""
        missed = max(c.violation_gy(dose) / c.tolerance_gy for c in self._constraints)
        unsettled = max(c.learn(dose) / c.tolerance_gy for c in self._constraints)
        self._count += 1
        if missed < 0.9 * self._least:
            self._least, self._without_gain = missed, 0
        else:
            self._without_gain += 1
        settled = missed <= 1.0 and unsettled <= 1.0 and converged
        hopeless = missed > 1.0 and self._without_gain >= _HOPELESS_ROUNDS
        if settled or hopeless:
            return StopReason.CONVERGED
        return StopReason.MAX_ITERATIONS if self._count >= MOST_ROUNDS else None


def _counting_from(before: int, progress: Callable[[int, float], None] | None) -> Callable[[int, float], None] | None:
    """Iterations of a round told as iterations of the whole."""
    return None if progress is None else lambda n, value: progress(before + n, value)
