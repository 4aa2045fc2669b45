"""Penalties: values by hand, gradients against central differences on both sides of every kink."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim_tps.errors import BadInput
from sim_tps.optimise.objectives import Penalty, Region, check_objective, fall_off_limit
from sim_tps.plan import Objective, ObjectiveType

EVERY = [
    Objective("o", ObjectiveType.LOWER, "S", 100.0, 50.0, volume_percent=90.0),
    Objective("o", ObjectiveType.UPPER, "S", 100.0, 50.0, volume_percent=20.0),
    Objective("o", ObjectiveType.UPPER, "S", 100.0, 50.0, volume_percent=0.0),
    Objective("o", ObjectiveType.MAX, "S", 100.0, 50.0),
    Objective("o", ObjectiveType.MIN, "S", 100.0, 50.0),
    Objective("o", ObjectiveType.MEAN, "S", 100.0, 40.0),
    Objective("o", ObjectiveType.EUD_UPPER, "S", 100.0, 40.0, a=8.0),
    Objective("o", ObjectiveType.EUD_UPPER, "S", 100.0, 40.0, a=1.0),
    Objective("o", ObjectiveType.EUD_LOWER, "S", 100.0, 60.0, a=-10.0),
    Objective("o", ObjectiveType.UNIFORM, "S", 100.0, 50.0),
    Objective("o", ObjectiveType.FALL_OFF, "S", 10.0, 50.0, end_dose_gy=20.0, distance_mm=3.0, fall_off_per_mm=0.1),
]


@pytest.mark.parametrize("objective", EVERY, ids=lambda o: f"{o.type.value}-{o.volume_percent}-{o.a}")
@pytest.mark.parametrize("seed", range(3))
def test_gradient_is_the_slope(objective: Objective, seed: int) -> None:
    """Central differences at random doses agree with the gradient, point by point."""
    rng = np.random.default_rng(seed)
    _assert_gradient(Penalty(objective, _region(40, rng)), rng.uniform(20.0, 80.0, 40))


@pytest.mark.parametrize("side", [-1e-3, 1e-3])
@pytest.mark.parametrize("objective", EVERY, ids=lambda o: f"{o.type.value}-{o.volume_percent}-{o.a}")
def test_gradient_on_both_sides_of_the_limit(objective: Objective, side: float) -> None:
    """Just below and just above the limit the gradient is still the slope."""
    rng = np.random.default_rng(11)
    dose = objective.dose_gy + side * (1.0 + rng.random(40))
    _assert_gradient(Penalty(objective, _region(40, rng)), dose)


def test_values_by_hand() -> None:
    """Four equal points at 40, 50, 60, 70 Gy, priority 10."""
    dose = np.array([40.0, 50.0, 60.0, 70.0])
    wanted = {
        ObjectiveType.MAX: 10 * (5**2 + 15**2) / 4,
        ObjectiveType.MIN: 10 * (15**2 + 5**2) / 4,
        ObjectiveType.MEAN: 0.0,
        ObjectiveType.UNIFORM: 10 * (15**2 + 5**2 + 5**2 + 15**2) / 4,
    }
    for kind, value in wanted.items():
        assert _value(Objective("o", kind, "S", 10.0, 55.0), dose) == pytest.approx(value)
    assert _value(Objective("o", ObjectiveType.MEAN, "S", 10.0, 45.0), dose) == pytest.approx(10 * 10**2)


def test_dose_volume_acts_between_the_limit_and_the_current_dose() -> None:
    """Of 40, 50, 60, 70 Gy with 25 % allowed above 55 Gy, only 60 Gy acts: 70 Gy is the excused quarter."""
    dose = np.array([40.0, 50.0, 60.0, 70.0])
    upper = Objective("o", ObjectiveType.UPPER, "S", 1.0, 55.0, volume_percent=25.0)
    lower = Objective("o", ObjectiveType.LOWER, "S", 1.0, 55.0, volume_percent=75.0)
    assert _value(upper, dose) == pytest.approx(5**2 / 4)
    assert _value(lower, dose) == pytest.approx(5**2 / 4)
    assert _value(replace(upper, volume_percent=50.0), dose) == 0.0


def test_dose_volume_counts_volume_not_points() -> None:
    """A point that stands for a tenth of the volume is excused by 10 %, whatever the number of points."""
    region = Region(np.arange(3), np.array([0.1, 0.3, 0.6]), np.zeros(3))
    objective = Objective("o", ObjectiveType.UPPER, "S", 1.0, 50.0, volume_percent=10.0)
    value, _ = Penalty(objective, region).evaluate(np.array([90.0, 60.0, 40.0]))
    assert value == pytest.approx(0.3 * 10**2)


def test_upper_at_nought_percent_is_a_maximum() -> None:
    """UPPER 0 % and MAX, LOWER 100 % and MIN are the same penalty."""
    dose = np.random.default_rng(1).uniform(30.0, 70.0, 50)
    for volume, kind, percent in (
        (ObjectiveType.UPPER, ObjectiveType.MAX, 0.0),
        (ObjectiveType.LOWER, ObjectiveType.MIN, 100.0),
    ):
        with_volume = Objective("o", volume, "S", 7.0, 50.0, volume_percent=percent)
        assert _value(with_volume, dose) == pytest.approx(_value(Objective("o", kind, "S", 7.0, 50.0), dose))


def test_dose_volume_is_continuous_where_points_change_places() -> None:
    """As one dose overtakes another the value does not jump."""
    objective = Objective("o", ObjectiveType.UPPER, "S", 1.0, 50.0, volume_percent=30.0)
    before = _value(objective, np.array([60.0, 70.0 - 1e-9, 70.0, 40.0]))
    after = _value(objective, np.array([60.0, 70.0 + 1e-9, 70.0, 40.0]))
    assert before == pytest.approx(after, rel=1e-6)


def test_eud_runs_from_mean_to_extremes() -> None:
    """a = 1 is the mean; a large one nears the maximum, a very negative one the minimum, without overflow."""
    dose = np.array([20.0, 40.0, 60.0])
    for a, limit in ((1.0, 40.0), (90.0, 60.0), (-90.0, 20.0)):
        value = _value(Objective("o", ObjectiveType.EUD_UPPER, "S", 1.0, 0.0, a=a), dose)
        assert np.sqrt(value) == pytest.approx(limit, rel=0.02)


def test_fall_off_limit() -> None:
    """Flat to the start distance, a share e⁻¹ of the drop after one length, the end dose far away."""
    objective = EVERY[-1]
    limit = fall_off_limit(objective, np.array([0.0, 3.0, 13.0, 1000.0]))
    assert limit == pytest.approx([50.0, 50.0, 20.0 + 30.0 / np.e, 20.0])


def test_fall_off_leaves_targets_alone() -> None:
    """Points inside a target may be as hot as they like."""
    region = Region(np.arange(2), np.array([0.5, 0.5]), np.array([0.0, 40.0]))
    value, gradient = Penalty(EVERY[-1], region).evaluate(np.array([70.0, 20.0]))
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"priority": -1.0}, "priority"),
        ({"priority": 1001.0}, "priority"),
        ({"priority": float("nan")}, "priority"),
        ({"dose_gy": -0.1}, "dose"),
        ({"dose_gy": float("nan")}, "dose"),
        ({"volume_percent": None}, "volume_percent"),
        ({"volume_percent": 101.0}, "volume_percent"),
        ({"type": ObjectiveType.EUD_UPPER}, "a is None"),
        ({"type": ObjectiveType.EUD_UPPER, "a": 0.0}, "a is 0, expected -100 to 100 without 0"),
        ({"type": ObjectiveType.FALL_OFF}, "end_dose_gy"),
    ],
)
def test_meaningless_numbers_are_refused(change: dict[str, object], words: str) -> None:
    """The objective and the number that cannot be used are named."""
    with pytest.raises(BadInput, match=words):
        check_objective(replace(EVERY[0], **change))


def _region(count: int, rng: np.random.Generator) -> Region:
    weight = rng.random(count)
    return Region(np.arange(count), weight / weight.sum(), rng.uniform(0.0, 40.0, count))


def _value(objective: Objective, dose: np.ndarray) -> float:
    count = len(dose)
    return Penalty(objective, Region(np.arange(count), np.full(count, 1 / count), np.ones(count))).evaluate(dose)[0]


def _assert_gradient(penalty: Penalty, dose: np.ndarray) -> None:
    _, gradient = penalty.evaluate(dose)
    step = 1e-5
    for i in range(len(dose)):
        shift = np.zeros(len(dose))
        shift[i] = step
        slope = (penalty.evaluate(dose + shift)[0] - penalty.evaluate(dose - shift)[0]) / (2 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-6 + 1e-5 * float(np.abs(gradient).max()))
