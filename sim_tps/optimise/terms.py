"""What is minimised: a plan's objectives and constraints on the points they are judged on, as a function of fluence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_tps.optimise import _kernels
from sim_tps.optimise.constraints import Constraint
from sim_tps.optimise.objectives import Operator, Penalty
from sim_tps.optimise.smoothing import Smoothness
from sim_tps.plan import Objective, ObjectiveType, Relation

_LOWER_TYPES = (ObjectiveType.LOWER, ObjectiveType.MIN, ObjectiveType.UNIFORM, ObjectiveType.EUD_LOWER)
_FAINTEST = 1e-3
"""A beamlet that objectives feel less than this share of the most felt one is scaled as if they felt so much."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Objectives and constraints with the operator that gives the dose at their points."""

    operator: Operator
    penalties: Sequence[Penalty]
    constraints: Sequence[Constraint]
    smoothness: Smoothness | None = None

    def __call__(self, fluence: NDArray[np.float64]) -> tuple[float, NDArray[np.floating]]:
        """Sum of all terms and of the fluence's roughness, and its gradient."""
        dose = self.operator.forward(fluence)
        slope = np.zeros(len(dose))
        total = 0.0
        for term in (*self.penalties, *self.constraints):
            value, gradient = term.evaluate(dose)
            total += value
            if value > 0.0:
                _kernels.add_at(slope, term.region.index, gradient)
        gradient = self.operator.adjoint(slope)
        if self.smoothness is None:
            return total, gradient
        roughness, uphill = self.smoothness.evaluate(fluence)
        return total + roughness, gradient + uphill

    def values(self, fluence: NDArray[np.floating]) -> tuple[dict[str, float], dict[str, float]]:
        """Objective id -> weighted value, and constraint id -> Gy by which it is missed (0 where it is kept)."""
        dose = self.operator.forward(fluence)
        values = {p.objective.id: p.evaluate(dose)[0] for p in self.penalties}
        return values, {c.objective.id: c.violation_gy(dose) for c in self.constraints}

    def unmet(self, missed_gy: Mapping[str, float]) -> dict[str, float]:
        """Those constraints that are missed by more than their tolerance."""
        ids = [c.objective.id for c in self.constraints if not c.kept_at(missed_gy[c.objective.id])]
        return {name: missed_gy[name] for name in ids}

    def first_fluence(self) -> NDArray[np.float64]:
        """Flat fluence, scaled so that the structures of lower objectives and constraints get their mean dose."""
        flat = np.ones(self.operator.shape[1])
        dose = self.operator.forward(flat)
        asking = [t for t in (*self.penalties, *self.constraints) if _asks_for_dose(t.objective)]
        means_gy = [float(term.region.weight @ dose[term.region.index]) for term in asking]
        ratios = [term.objective.dose_gy / mean for term, mean in zip(asking, means_gy, strict=True) if mean > 0.0]
        return flat * min((ratio for ratio in ratios if ratio > 0.0), default=0.0)

    def scale(self, fluence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Step sizes that change the sum about equally: 1/√(what the objectives feel of a beamlet).

        A quarter fewer iterations than with equal steps, on a part of TG-119's points.
        """
        weight = np.zeros(self.operator.shape[0])
        for penalty in self.penalties:
            _kernels.add_at(weight, penalty.region.index, penalty.objective.priority * penalty.region.weight)
        felt = np.asarray(self.operator.adjoint(weight), np.float64)
        steps = np.maximum(felt, max(_FAINTEST * float(felt.max()), 1e-30)) ** -0.5
        return steps / steps.mean() * max(float(fluence.mean()), 1e-6)


def _asks_for_dose(objective: Objective) -> bool:
    return objective.type in _LOWER_TYPES or objective.relation in (Relation.AT_LEAST, Relation.EXACTLY)
