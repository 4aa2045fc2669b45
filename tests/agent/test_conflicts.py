"""Conflicts: an open goal is explained by what was seen, with the numbers."""

from __future__ import annotations

from observations import goal, observation, step

from agent.conflicts import find_conflicts

COVERED = goal("PTV", "D95%[Gy] >= 50", 50.0)


def test_nothing_open_is_no_conflict() -> None:
    """A run that met every goal names none."""
    assert find_conflicts(observation(step(1, COVERED))) == ()


def test_a_dose_volume_that_grows_with_the_target_is_named_with_both_volumes() -> None:
    """V12Gy of the brain is set beside the target it holds."""
    asked = observation(step(1, COVERED, goal("Brain", "V12Gy[cc] <= 10", 28.0, rank=2)), volumes_cc={"PTV": 12.0})
    (conflict,) = find_conflicts(asked)
    assert conflict.goals == ("Brain V12Gy[cc] <= 10", "PTV D95%[Gy] >= 50")
    assert "28.0 cc" in conflict.explanation
    assert "12.0 cc of target" in conflict.explanation


def test_an_overlapped_organ_is_named_with_its_overlap() -> None:
    """An organ largely inside the target cannot be spared, and the share is told."""
    asked = observation(step(1, COVERED, goal("Core", "D10%[Gy] <= 25", 49.0)), overlap=40.0)
    assert "40 % of Core lies inside the targets" in find_conflicts(asked)[0].explanation


def test_goals_that_traded_off_are_named_together() -> None:
    """When the organ improved only as the hot spot got worse, both are named with their values."""
    best = step(1, goal("Core", "D10%[Gy] <= 10", 18.0, rank=3), goal("External", "D0.03cc[Gy] <= 57", 56.0, rank=2))
    other = step(2, goal("Core", "D10%[Gy] <= 10", 15.0, rank=3), goal("External", "D0.03cc[Gy] <= 57", 60.0, rank=2))
    (conflict,) = find_conflicts(observation(best, other))
    assert conflict.goals == ("Core D10%[Gy] <= 10", "External D0.03cc[Gy] <= 57")
    assert "came to 15.00" in conflict.explanation
    assert "was at 60.00 (best plan 56.00)" in conflict.explanation


def test_a_goal_that_nothing_moved_is_set_against_coverage() -> None:
    """Without any trade-off seen, the range over the attempts is told."""
    attempts = [step(n, COVERED, goal("Core", "D10%[Gy] <= 10", v, rank=3)) for n, v in ((1, 18.0), (2, 18.2))]
    (conflict,) = find_conflicts(observation(*attempts))
    assert "stayed between 18.00 and 18.20 over 2 attempts" in conflict.explanation
