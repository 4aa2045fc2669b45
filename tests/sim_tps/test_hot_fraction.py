"""The hot-fraction problem: values by hand, a known optimum, exact coverage, and what only ratios change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from water import water_cube

from sim_tps.engine import PlanEngine
from sim_tps.errors import BadInput, Refused
from sim_tps.machine import machines
from sim_tps.optimise.hot_fraction import MOST_ITERATIONS, Held, solve_hot_fraction
from sim_tps.optimise.objectives import Penalty, Region, check_objective, problem_of
from sim_tps.optimise.solver import Limits, StopReason
from sim_tps.plan import Beam, Objective, ObjectiveType, Problem, Relation

TYPE = ObjectiveType
LIMITS = Limits(max_iterations=1000, max_seconds=60.0, smallest_gain=0.0)
COVER = Objective("D95", TYPE.LOWER, "T", 0.0, 60.0, volume_percent=95.0, relation=Relation.EXACTLY)
EVEN = Objective("even", TYPE.HOT_FRACTION, "T", 20.0, 60.0, volume_percent=10.0)
SPARE = Objective("spare", TYPE.HOT_FRACTION, "O", 1.0, 20.0, volume_percent=100.0)


class Matrix:
    """An explicit matrix as operator; the first half of its points is the target T, the rest the organ O."""

    def __init__(self, seed: int, points: int = 200, beamlets: int = 20) -> None:
        rng = np.random.default_rng(seed)
        self.matrix = rng.random((points, beamlets)) * 120.0 / beamlets
        self.matrix[points // 2 :] *= rng.random(beamlets)
        self.shape = self.matrix.shape
        half = points // 2
        self.regions = {
            "T": Region(np.arange(half), np.full(half, 1.0 / half), np.zeros(half)),
            "O": Region(np.arange(half, points), np.full(half, 1.0 / half), np.full(half, 9.0)),
        }

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.matrix @ x

    def adjoint(self, values: np.ndarray) -> np.ndarray:
        return self.matrix.T @ values

    def solved(self, *objectives: Objective, cover: Objective = COVER, limits: Limits = LIMITS, **listeners):
        hot = [Penalty(o, self.regions[o.structure]) for o in objectives]
        held = [Held(cover, self.regions[cover.structure])]
        return solve_hot_fraction(self, hot, held, np.ones(self.shape[1]), limits, **listeners)


def test_value_by_hand() -> None:
    """Of the hottest half, 60 and 70 Gy, both exceed 55 Gy; of the whole only they do, so the mean is the same."""
    dose = np.array([40.0, 50.0, 60.0, 70.0])
    wanted = {50.0: (5**2 + 15**2) / 2, 100.0: (5**2 + 15**2) / 2, 25.0: 15**2, 10.0: 15**2}
    for percent, value in wanted.items():
        objective = Objective("h", TYPE.HOT_FRACTION, "S", 3.0, 55.0, volume_percent=percent)
        assert _penalty(objective, 4).evaluate(dose)[0] == pytest.approx(3.0 * value)
    assert _penalty(replace(objective, dose_gy=70.0), 4).evaluate(dose)[0] == 0.0


@pytest.mark.parametrize("percent", [10.0, 35.0, 100.0])
@pytest.mark.parametrize("side", [-1e-3, 1e-3])
def test_gradient_is_the_slope_between_jumps(percent: float, side: float) -> None:
    """Near the limit, on both sides, and away from it, the gradient is the slope while no point crosses the limit."""
    rng = np.random.default_rng(5)
    penalty = _penalty(Objective("h", TYPE.HOT_FRACTION, "S", 3.0, 50.0, volume_percent=percent), 30)
    for dose in (50.0 + side * (1.0 + rng.random(30)), rng.uniform(30.0, 70.0, 30)):
        gradient = penalty.evaluate(dose)[1]
        for i in range(30):
            shift = np.zeros(30)
            shift[i] = 1e-7
            slope = (penalty.evaluate(dose + shift)[0] - penalty.evaluate(dose - shift)[0]) / 2e-7
            assert gradient[i] == pytest.approx(slope, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_coverage_is_exact(seed: int) -> None:
    """D95 of the target is the prescription to rounding, whatever else was reached."""
    case = Matrix(seed)
    found = case.solved(EVEN, SPARE)
    dose = np.sort(case.forward(found.x)[:100])
    assert dose[round(0.05 * 100)] == pytest.approx(60.0, rel=1e-9)
    assert found.x.min() >= 0.0
    assert found.iterations <= MOST_ITERATIONS


@pytest.mark.parametrize(("first", "second"), [(0.1, 0.1), (0.1, 0.02), (0.01, 0.05)])
def test_known_optimum(first: float, second: float) -> None:
    """Two beamlets reach the target alike and an organ each: they share the dose by the other's weighted slope."""
    case = Matrix(0, points=40, beamlets=2)
    case.matrix[:20] = 1.0
    case.matrix[20:] = 0.0
    case.matrix[20:30, 0], case.matrix[30:, 1] = 0.8, 0.5
    for name, start in (("A", 20), ("B", 30)):
        case.regions[name] = Region(np.arange(start, start + 10), np.full(10, 0.1), np.ones(10))
    a = replace(SPARE, id="a", structure="A", dose_gy=0.0, priority=first)
    b = replace(SPARE, id="b", structure="B", dose_gy=0.0, priority=second)
    found = case.solved(replace(EVEN, priority=1.0), a, b)
    share = second * 0.5**2 / (first * 0.8**2 + second * 0.5**2)
    assert found.stop_reason is StopReason.CONVERGED
    assert found.x == pytest.approx([60.0 * share, 60.0 * (1.0 - share)], rel=0.03)


def test_only_ratios_of_priorities_act() -> None:
    """All priorities times a constant give the same fluence; another ratio gives another."""
    case = Matrix(1)
    first = case.solved(EVEN, SPARE)
    again = case.solved(replace(EVEN, priority=160.0), replace(SPARE, priority=8.0))
    other = case.solved(EVEN, replace(SPARE, priority=8.0))
    assert np.array_equal(again.x, first.x)
    assert not np.allclose(other.x, first.x, rtol=1e-3)


def test_a_heavier_organ_gets_less() -> None:
    """Raising the organ's priority lowers its mean excess and raises the target's."""
    case = Matrix(2)
    penalties = [_on(case, EVEN), _on(case, SPARE)]

    def excess(priority: float) -> list[float]:
        dose = case.forward(case.solved(EVEN, replace(SPARE, priority=priority)).x)
        return [penalty.evaluate(dose)[0] for penalty in penalties]

    (even_light, spare_light), (even_heavy, spare_heavy) = excess(0.2), excess(20.0)
    assert spare_heavy < spare_light
    assert even_heavy > even_light


def test_it_stops_when_told() -> None:
    """Iterations are told and limited, and a cancel or a late hour still gives the prescription exactly."""
    case, told = Matrix(3), []
    few = case.solved(EVEN, SPARE, limits=replace(LIMITS, max_iterations=3), progress=lambda n, _: told.append(n))
    assert (few.iterations, few.stop_reason, told) == (3, StopReason.MAX_ITERATIONS, [1, 2, 3])
    cancelled = case.solved(EVEN, SPARE, cancelled=lambda: True)
    late = case.solved(EVEN, SPARE, limits=replace(LIMITS, max_seconds=-1.0))
    assert (cancelled.stop_reason, late.stop_reason) == (StopReason.CANCELLED, StopReason.MAX_SECONDS)
    assert np.sort(case.forward(late.x)[:100])[5] == pytest.approx(60.0)


def test_a_target_without_dose_is_refused() -> None:
    """Where no beamlet reaches the target the constraint is named."""
    case = Matrix(0)
    case.matrix[:100] = 0.0
    with pytest.raises(Refused, match=r"'D95'.*no dose"):
        case.solved(EVEN, SPARE)


def test_the_objectives_say_which_problem_they_pose() -> None:
    """HOT_FRACTION objectives with held targets are one problem, everything without them the other."""
    assert problem_of([EVEN, SPARE, COVER]) is Problem.HOT_FRACTION
    assert problem_of([Objective("o", TYPE.MAX, "T", 1.0, 60.0), COVER]) is Problem.QUADRATIC_PENALTY


@pytest.mark.parametrize(
    ("objectives", "words"),
    [
        ([EVEN, Objective("top", TYPE.MAX, "T", 1.0, 60.0), COVER], "the penalties 'top'"),
        ([EVEN, SPARE], "found none"),
        ([EVEN, replace(COVER, relation=Relation.AT_LEAST)], r"'D95' \(lower, at least\)"),
        ([EVEN, COVER, Objective("most", TYPE.MAX, "O", 0.0, 9.0, relation=Relation.AT_MOST)], "'most'"),
        ([EVEN, replace(COVER, dose_gy=0.0)], "'D95'"),
        ([EVEN, replace(COVER, volume_percent=0.0)], "'D95'"),
    ],
)
def test_other_mixtures_are_refused(objectives: list[Objective], words: str) -> None:
    """What does not belong is named."""
    with pytest.raises(BadInput, match=words):
        problem_of(objectives)


def test_a_part_of_nothing_is_refused() -> None:
    """The hottest 0 % has no mean."""
    with pytest.raises(BadInput, match="volume_percent is 0"):
        check_objective(replace(EVEN, volume_percent=0.0))


def test_a_plan_of_hot_fractions() -> None:
    """On a ball in water D95 is exact, the organ gets less than from a flat fluence, and two runs are identical."""
    patient = water_cube()
    beams = [Beam(f"g{angle}", (0.0, 0.0, 0.0), float(angle)) for angle in range(0, 360, 72)]
    grids = {"dose_grid": patient.grid, "optimization_grid": patient.grid}
    engine = PlanEngine(patient, beams, machines()["generic-5mm"], ["PTV"], beamlet_mm=5.0, **grids)
    objectives = [
        replace(EVEN, structure="PTV", dose_gy=50.0, priority=10.0),
        replace(SPARE, structure="Organ", dose_gy=5.0),
        replace(COVER, structure="PTV", dose_gy=50.0),
    ]
    solution, again = engine.optimise(objectives), engine.optimise(objectives)
    flat = engine.optimise(objectives, max_iterations=1)
    assert not solution.unmet
    assert solution.values["D95"] == pytest.approx(0.0, abs=1e-3)
    assert solution.values["spare"] < flat.values["spare"]
    assert np.array_equal(solution.fluence, again.fluence)


def _penalty(objective: Objective, count: int) -> Penalty:
    return Penalty(objective, Region(np.arange(count), np.full(count, 1.0 / count), np.ones(count)))


def _on(case: Matrix, objective: Objective) -> Penalty:
    return Penalty(objective, case.regions[objective.structure])
