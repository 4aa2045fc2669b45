"""Goals: their status, and which of two attempts is the better one."""

from __future__ import annotations

from dataclasses import replace

from agent.goals import BoundGoal, BoundMetric, deviation, evaluate, same_but_for_details, score, unmet
from agent.metrics import parse_goal
from agent.records import GoalResult, GoalStatus
from bridge import model


def goal(text: str, *, structure: str = "Core", rank: int = 1, acceptable: float | None = None) -> BoundGoal:
    parsed = parse_goal(text)
    metric = BoundMetric(structure, parsed.metric, 50.0, f"patients/p/structures/{structure}")
    return BoundGoal(metric, parsed, rank, acceptable, source="test")


def answer(
    bound: BoundGoal, value: float | None, status: model.MetricStatus = model.MetricStatus.OK
) -> model.MetricResult:
    query = bound.metric.query
    assert query is not None
    return model.MetricResult(query, status, model.MetricUnit.GY, value)


def result(text: str, value: float, *, rank: int = 1, acceptable: float | None = None) -> GoalResult:
    bound = goal(text, rank=rank, acceptable=acceptable)
    return evaluate([bound], [answer(bound, value)])[0]


def test_status_follows_limit_and_acceptable_variation() -> None:
    """On the limit is met, inside the variation acceptable, beyond it missed; for both comparators."""
    assert [result("D10%[Gy] <= 25", v, acceptable=27).status for v in (25.0, 26.9, 27.1)] == [
        GoalStatus.MET,
        GoalStatus.ACCEPTABLE,
        GoalStatus.MISSED,
    ]
    assert [result("D95%[Gy] >= 50", v, acceptable=47).status for v in (50.0, 47.0, 46.9)] == [
        GoalStatus.MET,
        GoalStatus.ACCEPTABLE,
        GoalStatus.MISSED,
    ]


def test_values_are_compared_as_printed() -> None:
    """A dose normalised to 50 Gy meets 50 Gy although float32 left it a hair below; 49.99 does not."""
    assert result("D95%[Gy] >= 50", 49.9996).status is GoalStatus.MET
    assert result("D95%[Gy] >= 50", 49.99).status is GoalStatus.MISSED


def test_what_cannot_be_evaluated_is_never_met() -> None:
    """An empty structure, a missing dose and an absent structure each say why, and have no value."""
    bound = goal("D10%[Gy] <= 25")
    absent = replace(bound, metric=replace(bound.metric, resource=None, absent_because="the patient has no Core"))
    empty = answer(bound, None, model.MetricStatus.EMPTY_STRUCTURE)
    results = evaluate([bound, absent], [empty, None])
    assert [r.status for r in results] == [GoalStatus.NOT_EVALUABLE] * 2
    assert [r.note for r in results] == ["the structure is empty", "the patient has no Core"]
    assert unmet(results, 1, 2, 3) == ()


def test_percent_goal_is_judged_in_percent_of_the_prescription() -> None:
    """D2%[%] <= 107 of 50 Gy is met at 53.4 Gy and missed at 53.6 Gy."""
    assert result("D2%[%] <= 107", 53.4).status is GoalStatus.MET
    assert result("D2%[%] <= 107", 53.6).status is GoalStatus.MISSED


def test_one_spared_gland_is_enough() -> None:
    """Of a pair the better one keeps the rank, the other takes the lower rank and says so."""
    pair = [replace(goal("Mean[Gy] <= 26", structure=s, rank=2), group=0, others_rank=3) for s in ("L", "R")]
    left, right = evaluate(pair, [answer(pair[0], 31.0), answer(pair[1], 22.0)])
    assert (left.rank, right.rank) == (3, 2)
    assert "the other side" in left.note


def test_deviation_is_a_share_of_the_limit() -> None:
    """2.5 Gy beyond 25 Gy is a tenth; inside the limit it is nothing."""
    assert deviation(result("D10%[Gy] <= 25", 27.5)) == 0.1
    assert deviation(result("D10%[Gy] <= 25", 20.0)) == 0.0


def test_a_missed_must_outweighs_any_number_of_shoulds() -> None:
    """An attempt with one missed rank-1 goal is worse than one with two missed rank-2 goals."""
    must = [result("D10%[Gy] <= 25", 25.1)]
    shoulds = [result("D10%[Gy] <= 25", 40.0, rank=2), result("D10%[Gy] <= 20", 40.0, rank=2)]
    assert score(shoulds) < score(must)


def test_a_missed_should_outweighs_a_must_inside_its_variation() -> None:
    """Acceptable means acceptable: it does not cost a rank-2 goal."""
    acceptable_must = [result("D95%[Gy] >= 50", 49.0, acceptable=47), result("D10%[Gy] <= 25", 25.0, rank=2)]
    missed_should = [result("D95%[Gy] >= 50", 50.0, acceptable=47), result("D10%[Gy] <= 25", 25.1, rank=2)]
    assert score(acceptable_must) < score(missed_should)


def test_of_two_attempts_with_equal_counts_the_nearer_one_wins() -> None:
    """With one goal missed in both, the smaller excess decides."""
    assert score([result("D10%[Gy] <= 25", 26.0)]) < score([result("D10%[Gy] <= 25", 27.0)])


def test_a_hairs_breadth_of_a_must_does_not_outweigh_another_goal() -> None:
    """Half a percent less on a missed rank-2 goal is not worth opening a rank-1 goal within its variation."""
    steady = [result("D10%[Gy] <= 25", 27.45, rank=2), result("D95%[Gy] >= 50", 50.0, acceptable=47)]
    greedy = [result("D10%[Gy] <= 25", 27.40, rank=2), result("D95%[Gy] >= 50", 49.0, acceptable=47)]
    assert score(steady) < score(greedy)
    finer = [result("D10%[Gy] <= 25", 27.40, rank=2), result("D95%[Gy] >= 50", 50.0, acceptable=47)]
    assert score(finer) < score(steady)
    assert same_but_for_details(score(finer), score(steady))
