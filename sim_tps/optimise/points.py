"""Where a plan's objectives are judged: sample points drawn as structures come, and all voxels where that is needed.

The optimiser looks at the sample points. Constraints look at every voxel of their structures, for a maximum must hold
between the samples too. And when the optimiser has ended, the dose on the whole grid shows what the thinning of the
samples has hidden; where that is too much, `Points.refine` makes the next draw denser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim_tps.geometry import Grid
from sim_tps.optimise.constraints import Constraint, StackedOperator
from sim_tps.optimise.objectives import Operator, Penalty, Region, check_objective
from sim_tps.optimise.sampling import Samples, sample, share_on, target_distance
from sim_tps.optimise.terms import Terms
from sim_tps.patient import Patient, Structure
from sim_tps.plan import Objective

_FINEST = 4
"""15 mm far from the targets become 4 mm, next to the voxels of a usual grid."""

OperatorOn = Callable[[NDArray[np.float64]], Operator]
"""Makes the dose operator for points, shape (points, 3)."""


class Points:
    """The points of one plan geometry.

    Parameters
    ----------
    targets
        Points are dense round these.
    grid
        The optimisation grid.
    """

    def __init__(self, targets: Sequence[Structure], grid: Grid, seed: int) -> None:
        self._targets, self._grid, self._seed = targets, grid, seed
        self._fineness = 1
        self._drawn: _Drawn | None = None
        self._wholes: dict[str, _Whole] = {}

    def terms(self, objectives: Sequence[Objective], patient: Patient, operator_on: OperatorOn) -> Terms:
        """The objectives on their points; new points are drawn where a structure has not been seen yet."""
        for objective in objectives:
            check_objective(objective)
        drawn = self._with({o.structure: patient.structure(o.structure) for o in objectives}, operator_on)
        regions = drawn.samples.regions
        penalties = [Penalty(o, regions[o.structure]) for o in objectives if o.priority > 0.0]
        constrained = [o for o in objectives if o.relation is not None]
        operator, everywhere = self._everywhere(constrained, patient, drawn, operator_on)
        strength = max(1.0, sum(o.priority for o in objectives))
        return Terms(operator, penalties, [Constraint(o, everywhere[o.structure], strength) for o in constrained])

    def whole_values(
        self, objectives: Sequence[Objective], patient: Patient, dose_gy: NDArray[np.floating]
    ) -> dict[str, float]:
        """Weighted values of the objectives on every voxel of a dose on the grid.

        Structures that the samples do not thin (they have points finer than the grid) are left out.
        """
        drawn = self._drawn
        assert drawn is not None
        flat = dose_gy.ravel()
        return {
            o.id: Penalty(o, self._whole(patient.structure(o.structure)).region).evaluate(flat)[0]
            for o in objectives
            if o.priority > 0.0 and o.structure not in drawn.samples.finer_than_grid
        }

    def refine(self) -> bool:
        """Halve the distance between sample points from the next draw on; False where they are dense already."""
        if self._fineness >= _FINEST:
            return False
        self._fineness *= 2
        self._drawn = None
        return True

    def _with(self, wanted: Mapping[str, Structure], operator_on: OperatorOn) -> _Drawn:
        known = self._drawn.structures if self._drawn is not None else {}
        if self._drawn is None or any(known.get(name) is not structure for name, structure in wanted.items()):
            everything = {**known, **wanted}
            samples = sample(list(everything.values()), self._targets, self._grid, self._seed, self._fineness)
            self._drawn = _Drawn(everything, samples, operator_on(samples.points_mm))
        return self._drawn

    def _everywhere(
        self, constrained: Sequence[Objective], patient: Patient, drawn: _Drawn, operator_on: OperatorOn
    ) -> tuple[Operator, Mapping[str, Region]]:
        """The sample points, and after them all voxels of the constrained structures that are thinned in them."""
        regions, parts = dict(drawn.samples.regions), [drawn.operator]
        for name in {o.structure: None for o in constrained}:
            whole = self._whole(patient.structure(name))
            voxels = whole.region.index
            if name in drawn.samples.finer_than_grid or len(regions[name].index) >= len(voxels):
                continue
            if whole.operator is None:
                whole.operator = operator_on(self._grid.centres_mm(voxels))
            first = sum(part.shape[0] for part in parts)
            regions[name] = replace(whole.region, index=np.arange(len(voxels)) + first)
            parts.append(whole.operator)
        return drawn.operator if len(parts) == 1 else StackedOperator(parts), regions

    def _whole(self, structure: Structure) -> _Whole:
        known = self._wholes.get(structure.name)
        if known is None or known.structure is not structure:
            share = share_on(structure, self._grid).ravel()
            inside = np.flatnonzero(share)
            weight = share[inside].astype(np.float64)
            distance = target_distance(self._targets, self._grid).ravel()[inside].astype(np.float64)
            known = _Whole(structure, Region(inside, weight / weight.sum(), distance))
            self._wholes[structure.name] = known
        return known


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Sample points and the dose operator on them."""

    structures: Mapping[str, Structure]
    samples: Samples
    operator: Operator


@dataclass(eq=False)
class _Whole:
    """A structure with all its voxels: their flat indices on the grid, and, once asked for, the operator on them."""

    structure: Structure
    region: Region
    operator: Operator | None = None
