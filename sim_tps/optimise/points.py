"""Where a plan's objectives are judged: sample points drawn as structures come, and all voxels where that is needed.

The optimiser looks at the sample points. Constraints look at every voxel of their structures, for a maximum must hold
between the samples too. And when the optimiser has ended, the dose on the whole grid shows what the thinning of the
samples has hidden; where that is too much, a draw of more ``fineness`` is denser.

What is drawn depends on nothing but the structures, the fineness and the seed, so equal questions have equal answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from sim_tps.geometry import Grid
from sim_tps.optimise.constraints import Constraint, StackedOperator
from sim_tps.optimise.objectives import Operator, Penalty, Region
from sim_tps.optimise.sampling import SMALL_VOXELS, Samples, sample, share_on, target_distance
from sim_tps.optimise.terms import Terms
from sim_tps.patient import Patient, Structure
from sim_tps.plan import Objective

FINEST = 4
"""15 mm far from the targets become 4 mm, next to the voxels of a usual grid."""
_DRAWS_KEPT = 2

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
        self._draws: list[_Drawn] = []
        self._wholes: dict[str, _Whole] = {}
        self._turn = RLock()

    def terms(
        self, objectives: Sequence[Objective], patient: Patient, operator_on: OperatorOn, fineness: int = 1
    ) -> Terms:
        """The objectives on their points; points are drawn where these structures have not been asked for lately."""
        wanted = {o.structure: patient.structure(o.structure) for o in objectives}
        constrained = [o for o in objectives if o.relation is not None]
        with self._turn:
            drawn = self._draw(dict(sorted(wanted.items())), fineness, operator_on)
            operator, everywhere = self._everywhere(constrained, patient, drawn, operator_on)
        regions = drawn.samples.regions
        penalties = [Penalty(o, regions[o.structure]) for o in objectives if o.priority > 0.0]
        strength = max(1.0, sum(o.priority for o in objectives))
        return Terms(operator, penalties, [Constraint(o, everywhere[o.structure], strength) for o in constrained])

    def whole_values(
        self, objectives: Sequence[Objective], patient: Patient, dose_gy: NDArray[np.floating]
    ) -> dict[str, float]:
        """Weighted values of the objectives on every voxel of a dose on the grid.

        Structures that the samples do not thin (they have points finer than the grid) are left out.
        """
        flat = dose_gy.ravel()
        weighed = [(o, self._whole(patient.structure(o.structure))) for o in objectives if o.priority > 0.0]
        return {o.id: Penalty(o, whole.region).evaluate(flat)[0] for o, whole in weighed if not whole.is_small}

    def _draw(self, wanted: Mapping[str, Structure], fineness: int, operator_on: OperatorOn) -> _Drawn:
        for drawn in self._draws:
            if drawn.answers(wanted, fineness):
                return drawn
        samples = sample(list(wanted.values()), self._targets, self._grid, self._seed, fineness)
        drawn = _Drawn(wanted, fineness, samples, operator_on(samples.points_mm))
        self._draws = [drawn, *self._draws][:_DRAWS_KEPT]
        return drawn

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
        with self._turn:
            known = self._wholes.get(structure.name)
            if known is None or known.structure is not structure:
                known = self._all_voxels(structure)
                self._wholes[structure.name] = known
            return known

    def _all_voxels(self, structure: Structure) -> _Whole:
        share = share_on(structure, self._grid).ravel()
        inside = np.flatnonzero(share)
        weight = share[inside].astype(np.float64)
        region = Region(inside, weight / weight.sum(), self._distance[inside])
        return _Whole(structure, region, bool(weight.sum() < SMALL_VOXELS))

    @cached_property
    def _distance(self) -> NDArray[np.float64]:
        """Of each voxel of the grid from the targets, mm."""
        return target_distance(self._targets, self._grid).ravel().astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Sample points and the dose operator on them."""

    structures: Mapping[str, Structure]
    fineness: int
    samples: Samples
    operator: Operator

    def answers(self, wanted: Mapping[str, Structure], fineness: int) -> bool:
        """Whether just these structures were drawn, as they are now."""
        same = self.structures.keys() == wanted.keys() and fineness == self.fineness
        return same and all(self.structures[name] is structure for name, structure in wanted.items())


@dataclass(eq=False)
class _Whole:
    """A structure with all its voxels: their flat indices on the grid, and, once asked for, the operator on them."""

    structure: Structure
    region: Region
    is_small: bool
    """It is judged on points finer than the grid."""
    operator: Operator | None = None
