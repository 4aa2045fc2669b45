"""The rules planner: it pulls the lever a dosimetrist would, within the checks, and knows when to stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from observations import OBJECTIVES, goal, observation, step

from agent.checks import check
from agent.observation import Observation
from agent.planners.rules import TRIES, Rules
from agent.proposal import Change, Proposal
from agent.records import GoalResult
from bridge import model

HOT_IN_TARGET = {"External upper", "PTV upper"}
MISSED_CORE = goal("Core", "D10%[Gy] <= 25", 30.0)


def propose(*goals: GoalResult, normalization_percent: float = 100.5) -> Proposal:
    return Rules().propose(observation(step(1, *goals, normalization_percent=normalization_percent)), print)


def changed(proposal: Proposal) -> set[str]:
    return {change.objective for change in proposal.changes}


@pytest.mark.parametrize(
    ("missed", "levers"),
    [
        (goal("PTV", "D99%[Gy] >= 48", 46.0), {"PTV lower"}),
        (goal("PTV", "D2%[Gy] <= 54", 56.0), {"PTV upper", "External upper"}),
        (goal("External", "D0.03cc[Gy] <= 55", 57.0), {"PTV upper", "External upper"}),
        (goal("PTV", "CI Paddick >= 0.8", 0.6), {"zInner upper", "zOuter upper"}),
        (goal("PTV", "GI <= 3.5", 4.0), {"zInner upper", "zOuter upper"}),
        (goal("Brain", "V12Gy[cc] <= 10", 14.0), {"zInner upper", "zOuter upper"}),
        (goal("zOuter", "D0.03cc[Gy] <= 25", 28.0), {"zOuter upper"}),
        (MISSED_CORE, {"Core upper"}),
    ],
)
def test_each_kind_of_goal_has_its_lever(missed: GoalResult, levers: set[str]) -> None:
    """Coverage pulls the target, hot spots the uppers, spill the rings, an organ its own objective."""
    assert changed(propose(missed)) == levers


def test_a_lifted_dose_is_answered_with_coverage() -> None:
    """When the normalisation lifts everything by 5 %, the coverage objective is raised along with the organ's."""
    assert "PTV lower" in changed(propose(MISSED_CORE, normalization_percent=105.0))


def test_an_objective_without_loss_is_given_a_lower_dose() -> None:
    """Priority cannot move an objective whose loss is zero; its dose can."""
    idle = tuple(replace(o, value=0.0) if o.name == "Core upper" else o for o in OBJECTIVES)
    asked = observation(step(1, goal("Core", "D10%[Gy] <= 25", 26.0), objectives=idle))
    (change,) = Rules().propose(asked, print).changes
    assert (change.field, change.value < 18.0) == ("dose_gy", True)


def test_the_further_off_the_stronger() -> None:
    """A goal off by a fifth is answered with a larger factor than one off by a hundredth."""
    far, near = (propose(goal("Core", "D10%[Gy] <= 25", value)).changes[0].value for value in (30.0, 25.3))
    assert far > near


def test_every_change_carries_its_numbers() -> None:
    """The reason names goal and value, so a person can check it."""
    (change,) = propose(MISSED_CORE).changes
    assert "Core D10%[Gy] <= 25 is at 30.00" in change.reason


def worse_tries(count: int) -> Observation:
    best = step(1, MISSED_CORE)
    worse = [step(number, goal("Core", "D10%[Gy] <= 25", 31.0)) for number in range(2, 2 + count)]
    return observation(best, *worse)


@pytest.mark.parametrize("count", range(len(TRIES)))
def test_all_tries_pass_the_checks(count: int) -> None:
    """Whatever the routine tries after failures, it stays inside bounds, steps and ratios."""
    asked = worse_tries(count)
    proposal = Rules().propose(asked, print)
    assert proposal.stop or check(proposal, asked) == ()


def test_after_a_worse_attempt_it_goes_back_to_the_best_more_gently() -> None:
    """The next try starts from the best attempt, with a smaller step."""
    first = Rules().propose(worse_tries(0), print).changes[0]
    second = Rules().propose(worse_tries(1), print)
    assert second.start_from == 1
    assert OBJECTIVES[2].priority < second.changes[0].value < first.value


def test_it_stops_when_its_tries_are_used_up_and_says_what_is_left() -> None:
    """After the last fruitless try the routine stops, naming the goal and its value."""
    proposal = Rules().propose(worse_tries(len(TRIES)), print)
    assert proposal.stop
    assert "Core D10%[Gy] <= 25 (30.00)" in proposal.rationale


def test_wishes_wait_until_musts_and_shoulds_are_met() -> None:
    """A rank-3 goal is left alone while a rank-2 goal is open."""
    wish = goal("Brain", "V12Gy[cc] <= 10", 14.0, rank=3)
    assert changed(propose(replace(MISSED_CORE, rank=2), wish)) == {"Core upper"}
    assert changed(propose(wish)) == {"zInner upper", "zOuter upper"}


def test_the_same_observation_gives_the_same_proposal() -> None:
    """The routine has no memory and no chance in it."""
    asked = worse_tries(2)
    assert Rules().propose(asked, print) == Rules().propose(asked, print)


def test_it_stops_when_attempts_bring_only_details() -> None:
    """Four attempts that each gain a hair are not worth a fifth."""
    slow = [step(number, goal("Core", "D10%[Gy] <= 25", 30.0 - 0.01 * number)) for number in range(1, 6)]
    assert "brought no goal nearer" in Rules().propose(observation(*slow), print).rationale
    steady = [step(number, goal("Core", "D10%[Gy] <= 25", 40.0 - number)) for number in range(1, 6)]
    assert not Rules().propose(observation(*steady), print).stop


@pytest.mark.parametrize(("body_max_gy", "pulled"), [(60.0, {"External upper", "zInner upper"}), (57.0, HOT_IN_TARGET)])
def test_a_hot_spot_is_pulled_where_it_lies(body_max_gy: float, pulled: set[str]) -> None:
    """A body maximum above every target's is the inner ring's; otherwise it is the target's own."""
    missed = goal("External", "D0.03cc[Gy] <= 55", 56.5)
    asked = observation(step(1, missed))
    curves = {"PTV": curve("PTV", 57.0), "External": curve("External", body_max_gy)}
    assert changed(Rules().propose(replace(asked, dvhs=curves), print)) == pulled


def curve(name: str, max_gy: float) -> model.Dvh:
    steps = np.array([0.0, max_gy])
    return model.Dvh(name, model.DoseInfo(model.DoseKind.INTERMEDIATE), 10.0, steps, 100.0 - steps, max_gy=max_gy)


def test_a_priority_that_moved_nothing_is_followed_by_a_dose() -> None:
    """When the last raise of a priority left the goal where it was, the objective's dose is lowered instead."""
    raised = Change("Core upper", "priority", 120.0, "test")
    second = step(2, goal("Core", "D10%[Gy] <= 25", 29.99), changes=(raised,))
    (change,) = Rules().propose(observation(step(1, MISSED_CORE), second), print).changes
    assert (change.objective, change.field) == ("Core upper", "dose_gy")
