"""A whole plan: TG-119's C shape with nine beams, pyRadPlan's dose against ours.

Both doses come from the plan that pyRadPlan's own optimiser found: its fluence, on beamlets at the same places (shifted
as it shifts them, ending where it cuts them off), with its machine file. Patient, grid and engine are those of
``make bench``, so the accuracy is that of the speed figures. What still differs is real: we trace rays through the CT
itself, pyRadPlan through the CT sampled anew on its dose grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pymedphys
from numpy.typing import NDArray

from sim_tps.geometry import Grid
from sim_tps.machine import matrad_machine
from tests.accuracy.checks import Check
from tests.benchmarks import peer as peers
from tests.benchmarks.cases import Case, tg119
from tests.benchmarks.ours import PHOTONS, cut_machine, on_given_beamlets

DOSE_PERCENT, DISTANCE_MM, THRESHOLD_PERCENT = 1.0, 1.0, 10.0
PASSING_LIMIT_PERCENT = 99.0

_STEPS_PER_DISTANCE = 10
"""Points per mm of the search; pymedphys's own default."""
_LARGEST_GAMMA = 2.0
_MARGIN_VOXELS = 3


@dataclass(frozen=True, eq=False)
class PlanResult:
    """Two doses of one plan on one grid; arrays are [z, y, x]."""

    case: Case
    grid: Grid
    reference_gy: NDArray[np.float32]
    ours_gy: NDArray[np.float32]
    gamma: NDArray[np.float64]
    """NaN where the reference is below the threshold; not searched beyond 2."""
    uncut_gy: NDArray[np.float32]
    """Ours with whole kernels, as the engine computes for everybody else: shown, not judged."""
    versions: dict[str, str]

    @property
    def judged_voxels(self) -> int:
        return int(np.isfinite(self.gamma).sum())

    @property
    def passing_percent(self) -> float:
        return 100.0 * float((self.gamma[np.isfinite(self.gamma)] <= 1.0).mean())

    @property
    def difference_percent(self) -> NDArray[np.float32]:
        """Ours minus reference, percent of the reference's maximum."""
        return 100.0 * (self.ours_gy - self.reference_gy) / self.reference_gy.max()

    @property
    def judged_difference_percent(self) -> NDArray[np.float32]:
        """The same in the voxels gamma judges, in no order."""
        return self.difference_percent[np.isfinite(self.gamma)]

    def share_beyond(self, percent: float) -> float:
        """Share 0..1 of the judged voxels that differ by more than some percent of the maximum."""
        return float((np.abs(self.judged_difference_percent) > percent).mean())

    @property
    def cut_off_costs_percent(self) -> float:
        """Mean dose that pyRadPlan's cut-off takes away in the judged voxels, percent of the maximum."""
        lost = (self.uncut_gy - self.ours_gy)[np.isfinite(self.gamma)]
        return 100.0 * float(lost.mean(dtype=np.float64)) / float(self.reference_gy.max())

    @property
    def checks(self) -> tuple[Check, ...]:
        what = f"TG-119, 9 beams: gamma {DOSE_PERCENT:g} %/{DISTANCE_MM:g} mm"
        return (Check(what, self.passing_percent, PASSING_LIMIT_PERCENT, "% of voxels", at_least=True),)


def peer_is_there() -> bool:
    """Whether pyRadPlan has planned the case already, or can do so now."""
    return peers.has_run(tg119()) or peers.PYTHON.is_file()


def compare_plan(say: Callable[[str], None]) -> PlanResult:
    """Both doses and their gamma; pyRadPlan plans the case first (minutes) where ``make bench`` has not left a plan."""
    case = tg119()
    if not peers.has_run(case):
        peers.run(case, say)
    peer = peers.Peer.load(case)
    peer.check(case)
    weights = peer.figures["objectives_weights"].astype(np.float64)
    fluence = peer.fluence(weights)
    reference = (peer.matrix @ weights.astype(np.float32)).reshape(peer.grid.shape)
    say("our dose, and gamma")
    ours = on_given_beamlets(case, cut_machine(), peer).dose(fluence, peer.grid)
    gamma = _gamma(peer.grid, reference, ours)
    uncut = on_given_beamlets(case, matrad_machine(PHOTONS), peer).dose(fluence, peer.grid)
    return PlanResult(case, peer.grid, reference, ours, gamma, uncut, peer.versions)


def _gamma(grid: Grid, reference: NDArray[np.float32], ours: NDArray[np.float32]) -> NDArray[np.float64]:
    """Global gamma, on the box that holds the judged dose."""
    judged = reference >= THRESHOLD_PERCENT / 100.0 * reference.max()
    box = tuple(
        slice(max(0, places.min() - _MARGIN_VOXELS), places.max() + _MARGIN_VOXELS + 1) for places in np.nonzero(judged)
    )
    axes = tuple(axis[part] for axis, part in zip(reversed(grid.axes_mm), box, strict=True))
    gamma = np.full(grid.shape, np.nan)
    gamma[box] = pymedphys.gamma(
        axes,
        reference[box],
        axes,
        ours[box],
        dose_percent_threshold=DOSE_PERCENT,
        distance_mm_threshold=DISTANCE_MM,
        lower_percent_dose_cutoff=THRESHOLD_PERCENT,
        interp_fraction=_STEPS_PER_DISTANCE,
        max_gamma=_LARGEST_GAMMA,
        global_normalisation=float(reference.max()),
    )
    return gamma
