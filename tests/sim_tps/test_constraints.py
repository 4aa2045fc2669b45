"""Hard constraints: gradients, known optima, what is exactly kept, and what cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from water import water_cube

from sim_tps.engine import PlanEngine, Solution
from sim_tps.errors import BadInput, Unsupported
from sim_tps.machine import machines
from sim_tps.optimise.constraints import Constraint, StackedOperator, descend_within
from sim_tps.optimise.objectives import Penalty, Region, check_objective
from sim_tps.optimise.solver import Limits, StopReason
from sim_tps.plan import Beam, Objective, ObjectiveType, Relation

MOST, LEAST, EXACTLY = Relation.AT_MOST, Relation.AT_LEAST, Relation.EXACTLY
TYPE = ObjectiveType
EVERY = [
    Objective("c", TYPE.MAX, "S", 0.0, 50.0, relation=MOST),
    Objective("c", TYPE.MIN, "S", 0.0, 50.0, relation=LEAST),
    Objective("c", TYPE.MEAN, "S", 0.0, 50.0, relation=MOST),
    Objective("c", TYPE.MEAN, "S", 0.0, 50.0, relation=LEAST),
    Objective("c", TYPE.MEAN, "S", 0.0, 50.0, relation=EXACTLY),
    Objective("c", TYPE.LOWER, "S", 0.0, 50.0, volume_percent=90.0, relation=LEAST),
    Objective("c", TYPE.UPPER, "S", 0.0, 50.0, volume_percent=20.0, relation=MOST),
    Objective("c", TYPE.LOWER, "S", 0.0, 50.0, volume_percent=90.0, relation=EXACTLY),
    Objective("c", TYPE.EUD_UPPER, "S", 0.0, 50.0, a=8.0, relation=MOST),
    Objective("c", TYPE.EUD_LOWER, "S", 0.0, 50.0, a=-10.0, relation=LEAST),
    Objective("c", TYPE.UNIFORM, "S", 0.0, 50.0, relation=EXACTLY),
    Objective("c", TYPE.FALL_OFF, "S", 0.0, 50.0, None, None, 20.0, 3.0, 0.1, MOST),
]
LIMITS = Limits(max_iterations=5000, max_seconds=60.0, smallest_gain=1e-9, relative_gain=1e-6)
PRESCRIBED_GY = 60.0
COVER = Objective("D95", TYPE.LOWER, "T", 0.0, PRESCRIBED_GY, volume_percent=95.0, relation=EXACTLY)
AIMS = (Objective("even", TYPE.UNIFORM, "T", 10.0, 60.0), Objective("spare", TYPE.UNIFORM, "O", 5.0, 0.0))


class Matrix:
    """An explicit matrix as operator; the first half of its points is the target T, the rest the organ O."""

    def __init__(self, seed: int, points: int = 60, beamlets: int = 20) -> None:
        rng = np.random.default_rng(seed)
        self.matrix = rng.random((points, beamlets)) * 120.0 / beamlets
        self.matrix[points // 2 :] *= 0.7
        self.shape = self.matrix.shape
        self.regions = {"T": _share(rng, 0, points // 2), "O": _share(rng, points // 2, points)}

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.matrix @ x

    def adjoint(self, values: np.ndarray) -> np.ndarray:
        return self.matrix.T @ values

    def sum_of(self, terms: list[Penalty | Constraint]):
        """Value and gradient of these terms at x."""

        def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
            dose, slope, total = self.forward(x), np.zeros(self.shape[0]), 0.0
            for term in terms:
                value, gradient = term.evaluate(dose)
                total += value
                slope[term.region.index] += gradient
            return total, self.adjoint(slope)

        return evaluate

    def penalties(self) -> list[Penalty]:
        return [Penalty(aim, self.regions[aim.structure]) for aim in AIMS]

    def kept(self, *constraints: Objective, limits: Limits = LIMITS, **listeners):
        """Descend from a flat start with the aims above and these constraints."""
        terms = [Constraint(c, self.regions[c.structure], 15.0) for c in constraints]
        problem = self.sum_of([*self.penalties(), *terms])
        found = descend_within(problem, terms, self.forward, np.ones(self.shape[1]), limits, **listeners)
        return found, terms


@pytest.mark.parametrize("constraint", EVERY, ids=lambda c: f"{c.type.value} {c.relation.value}")
@pytest.mark.parametrize("middle", [42.0, 50.0 - 1e-3, 50.0 + 1e-3, 58.0])
def test_gradient_is_the_slope(constraint: Objective, middle: float) -> None:
    """Central differences agree with the gradient below, around and above the limit, before and after learning."""
    rng = np.random.default_rng(3)
    region = replace(_share(rng, 0, 30), target_distance_mm=rng.uniform(0.0, 40.0, 30))
    term = Constraint(constraint, region, 7.0)
    spread = 1e-3 if abs(middle - 50.0) < 1.0 else 10.0
    dose = middle + spread * rng.uniform(-0.9, 0.9, 30)
    _assert_gradient(term, dose)
    term.learn(rng.uniform(30.0, 70.0, 30))
    _assert_gradient(term, dose)


def test_violations_by_hand() -> None:
    """What four equal points at 40, 50, 60 and 70 Gy miss each constraint by."""
    dose = np.array([40.0, 50.0, 60.0, 70.0])
    region = Region(np.arange(4), np.full(4, 0.25), np.ones(4))
    wanted = [
        (TYPE.MAX, 62.0, None, MOST, 8.0),
        (TYPE.MIN, 45.0, None, LEAST, 5.0),
        (TYPE.MEAN, 52.0, None, MOST, 3.0),
        (TYPE.MEAN, 57.0, None, EXACTLY, 2.0),
        (TYPE.LOWER, 55.0, 75.0, LEAST, 5.0),
        (TYPE.LOWER, 55.0, 50.0, LEAST, 0.0),
        (TYPE.LOWER, 60.0, 50.0, EXACTLY, 0.0),
        (TYPE.LOWER, 45.0, 75.0, EXACTLY, 0.0),
        (TYPE.LOWER, 38.0, 75.0, EXACTLY, 2.0),
        (TYPE.UPPER, 55.0, 25.0, MOST, 5.0),
        (TYPE.UPPER, 55.0, 50.0, MOST, 0.0),
        (TYPE.UNIFORM, 50.0, None, EXACTLY, 20.0),
    ]
    for kind, limit, percent, relation, missed in wanted:
        constraint = Objective("c", kind, "S", 0.0, limit, volume_percent=percent, relation=relation)
        assert Constraint(constraint, region).violation_gy(dose) == pytest.approx(missed), constraint


@pytest.mark.parametrize("seed", range(4))
def test_convex_constraints_reach_the_known_optimum(seed: int) -> None:
    """A maximum, a minimum and a mean together: the objectives end where a method of another kind ends."""
    case = Matrix(seed)
    most = Objective("most", TYPE.MAX, "T", 0.0, 66.0, relation=MOST)
    mean = Objective("mean", TYPE.MEAN, "O", 0.0, 40.0, relation=MOST)
    least = Objective("least", TYPE.MIN, "T", 0.0, 35.0, relation=LEAST)
    found, terms = case.kept(most, mean, least)
    dose = case.forward(found.x)
    target, organ = case.regions["T"], case.regions["O"]
    oracle = _slsqp(
        case,
        [
            (case.matrix[target.index], -np.inf, 66.0),
            (case.matrix[target.index], 35.0, np.inf),
            ((organ.weight @ case.matrix[organ.index])[None], -np.inf, 40.0),
        ],
    )
    assert found.stop_reason is StopReason.CONVERGED
    assert all(term.kept_at(term.violation_gy(dose)) for term in terms)
    assert case.sum_of(case.penalties())(found.x)[0] == pytest.approx(oracle, rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_d95_equals_the_prescription(seed: int) -> None:
    """A dose at a volume is exactly prescribed, and a maximum kept beside it, to 0.1 % of each."""
    case = Matrix(seed)
    most = Objective("most", TYPE.MAX, "T", 0.0, 110.0, relation=MOST)
    found, _ = case.kept(COVER, most)
    target = case.regions["T"]
    dose = case.forward(found.x)[target.index]
    assert _dose_at(dose, target.weight, 0.95) == pytest.approx(PRESCRIBED_GY, rel=1e-3)
    assert dose.max() <= 110.0 * 1.001


def test_a_constraint_that_does_not_bind_changes_nothing() -> None:
    """Where the unconstrained optimum keeps the constraint, it stays the optimum."""
    case = Matrix(1)
    free, _ = case.kept()
    bound, _ = case.kept(Objective("most", TYPE.MAX, "T", 0.0, 500.0, relation=MOST))
    assert bound.value == pytest.approx(free.value, rel=1e-4)


def test_contradicting_constraints_end_finite_and_named() -> None:
    """A minimum above a maximum ends with a finite fluence, and both say by how much they are missed."""
    case = Matrix(2)
    low = Objective("at most 40", TYPE.MAX, "T", 0.0, 40.0, relation=MOST)
    high = Objective("at least 60", TYPE.MIN, "T", 0.0, 60.0, relation=LEAST)
    found, terms = case.kept(low, high)
    dose = case.forward(found.x)
    assert found.stop_reason is StopReason.CONVERGED
    assert np.isfinite(found.x).all()
    assert sum(term.violation_gy(dose) for term in terms) >= 20.0
    assert not any(term.kept_at(term.violation_gy(dose)) for term in terms)


def test_limits_and_cancel_hold_over_all_rounds() -> None:
    """Iterations are counted through the rounds, and a cancel ends the last of them."""
    case, told = Matrix(3), []
    few, _ = case.kept(COVER, limits=replace(LIMITS, max_iterations=70), progress=lambda n, _: told.append(n))
    assert (few.iterations, few.stop_reason) == (70, StopReason.MAX_ITERATIONS)
    assert told == list(range(1, 71))
    stopped, _ = case.kept(COVER, progress=lambda n, _: told.append(n), cancelled=lambda: len(told) >= 120)
    assert (stopped.iterations, stopped.stop_reason) == (50, StopReason.CANCELLED)


def test_same_input_same_result() -> None:
    """Two runs give the same fluence, bit by bit."""
    assert np.array_equal(Matrix(4).kept(COVER)[0].x, Matrix(4).kept(COVER)[0].x)


def test_stacked_operators_are_one() -> None:
    """Forward and adjoint of two operators in a row are those of the matrix with all their rows."""
    rng = np.random.default_rng(0)
    first, second = Matrix(5), Matrix(6, points=10)
    stacked, matrix = StackedOperator([first, second]), np.concatenate([first.matrix, second.matrix])
    x, values = rng.random(20), rng.random(70)
    assert stacked.shape == matrix.shape
    assert stacked.forward(x) == pytest.approx(matrix @ x)
    assert stacked.adjoint(values) == pytest.approx(matrix.T @ values)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"priority": 5.0}, BadInput, "'D95'.*priority 5"),
        ({"type": TYPE.MAX}, Unsupported, "'D95'.*'exactly'; it can be 'at most'"),
        ({"relation": MOST}, Unsupported, "it can be 'at least' or 'exactly'"),
        ({"type": TYPE.HOT_FRACTION}, Unsupported, "an objective, never a constraint"),
    ],
)
def test_meaningless_constraints_are_refused(change: dict[str, object], error: type[Exception], words: str) -> None:
    """The constraint, and what it can be instead, are named."""
    with pytest.raises(error, match=words):
        check_objective(replace(COVER, **change))


@pytest.fixture(scope="module")
def planned() -> tuple[PlanEngine, Solution]:
    """Five fields on a ball in water, its D95 and the body's maximum constrained."""
    patient = water_cube()
    beams = [Beam(f"g{angle}", (0.0, 0.0, 0.0), float(angle)) for angle in range(0, 360, 72)]
    grids = {"dose_grid": patient.grid, "optimization_grid": patient.grid}
    engine = PlanEngine(patient, beams, machines()["generic-5mm"], ["PTV"], beamlet_mm=5.0, **grids)
    objectives = [
        Objective("even", TYPE.UNIFORM, "PTV", 100.0, 51.0),
        Objective("spare", TYPE.MEAN, "Organ", 50.0, 5.0),
        Objective("D95", TYPE.LOWER, "PTV", 0.0, 50.0, volume_percent=95.0, relation=EXACTLY),
        Objective("body", TYPE.MAX, "External", 0.0, 53.0, relation=MOST),
    ]
    return engine, engine.optimise(objectives)


def test_a_plan_keeps_its_constraints_in_every_voxel(planned: tuple[PlanEngine, Solution]) -> None:
    """On the optimisation grid D95 is the prescription and no voxel of the body, sampled or not, is above the limit."""
    engine, solution = planned
    dose = engine.dose(solution.fluence, engine.optimization_grid)
    inside = engine.patient.structure("External").mask()
    target = engine.patient.structure("PTV").mask()
    assert solution.converged
    assert not solution.unmet
    assert dose[inside].max() <= 53.0 * 1.0011
    assert np.percentile(dose[target], 5) == pytest.approx(50.0, rel=0.01)


def test_a_plan_says_what_each_constraint_is_missed_by(planned: tuple[PlanEngine, Solution]) -> None:
    """Constraints have a value in Gy that is not part of the total, and an impossible one is named as unmet."""
    engine, solution = planned
    assert solution.total == pytest.approx(solution.values["even"] + solution.values["spare"])
    assert solution.values["body"] <= 0.053
    impossible = [
        Objective("low", TYPE.MAX, "External", 0.0, 10.0, relation=MOST),
        Objective("high", TYPE.MIN, "PTV", 0.0, 50.0, relation=LEAST),
    ]
    missed = engine.optimise(impossible, max_iterations=200)
    assert np.isfinite(missed.fluence).all()
    assert not missed.converged
    assert missed.unmet.keys() <= {"low", "high"}
    assert sum(missed.unmet.values()) >= 39.0
    assert {k: missed.values[k] for k in missed.unmet} == dict(missed.unmet)


def _share(rng: np.random.Generator, first: int, last: int) -> Region:
    weight = rng.uniform(0.5, 1.5, last - first)
    return Region(np.arange(first, last), weight / weight.sum(), np.ones(last - first))


def _dose_at(dose: np.ndarray, weight: np.ndarray, part: float) -> float:
    """Highest dose that at least this part of the weight gets."""
    return max(d for d in dose if weight[dose >= d].sum() >= part - 1e-9)


def _slsqp(case: Matrix, linear: list[tuple[np.ndarray, float, float]]) -> float:
    """Smallest sum of the case's penalties under low ≤ rows · x ≤ high and x ≥ 0."""
    evaluate = case.sum_of(case.penalties())
    rows = [sign * r for r, low, high in linear for sign, bound in ((1.0, low), (-1.0, high)) if np.isfinite(bound)]
    bounds = [sign * b for _, low, high in linear for sign, b in ((1.0, low), (-1.0, high)) if np.isfinite(b)]
    matrix = np.concatenate(rows)
    least = np.concatenate([np.full(len(r), bound) for r, bound in zip(rows, bounds, strict=True)])
    start = np.full(case.shape[1], 0.8)
    scale = evaluate(start)[0]
    found = minimize(
        lambda x: tuple(part / scale for part in evaluate(x)),
        start,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, None)] * len(start),
        constraints={"type": "ineq", "fun": lambda x: matrix @ x - least, "jac": lambda _: matrix},
        options={"maxiter": 2000, "ftol": 1e-10},
    )
    assert found.success, found.message
    return float(found.fun * scale)


def _assert_gradient(term: Constraint, dose: np.ndarray) -> None:
    _, gradient = term.evaluate(dose)
    step = 1e-6
    for i in range(len(dose)):
        shift = np.zeros(len(dose))
        shift[i] = step
        slope = (term.evaluate(dose + shift)[0] - term.evaluate(dose - shift)[0]) / (2 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-6 + 1e-5 * float(np.abs(gradient).max()))
