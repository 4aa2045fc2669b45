"""Guardrails: every rule refuses what it should, says what is allowed, and lets the rest pass."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from observations import LIMITS, OBJECTIVES, goal, observation, step

from agent.checks import apply, check
from agent.proposal import Change, CheckFailure, Field, Proposal

OBSERVATION = observation(step(1, goal("Core", "D10%[Gy] <= 25", 30.0)))


def failures(*changes: tuple[str, Field, float]) -> tuple[CheckFailure, ...]:
    return check(Proposal("test", tuple(Change(*change, reason="test") for change in changes)), OBSERVATION)


@pytest.mark.parametrize(
    "change",
    [("Core upper", "priority", 150.0), ("Core upper", "dose_gy", 14.4), ("PTV upper", "priority", 150.0)],
)
def test_a_step_at_the_edge_of_what_is_allowed_passes(change: tuple[str, Field, float]) -> None:
    """Three times the priority, a fifth of the dose, half of the coverage priority: all just allowed."""
    assert failures(change) == ()


@pytest.mark.parametrize(
    ("change", "rule", "allowed"),
    [
        (("Core uper", "priority", 60.0), "no such objective", "Core upper"),
        (("Core upper", "volume_percent", 5.0), "not the agent's to change", "priority, dose_gy"),
        (("Core upper", "priority", math.nan), "not a finite number", "a number"),
        (("Core upper", "priority", 151.0), "too large a step from 50", "16.6667 to 150"),
        (("Core upper", "dose_gy", 14.0), "too large a step from 18", "14.4 to 21.6"),
        (("External upper", "priority", 1001.0), "outside its bounds", "0 to 1000"),
        (("Core upper", "dose_gy", 21.0), "outside its bounds", "5.4 to 20.7"),
        (("PTV upper", "priority", 151.0), "0.5 times that of 'PTV lower'", "at most 150"),
        (("zOuter upper", "dose_gy", 34.5), "", ""),
    ],
)
def test_a_rule_names_value_and_allowed(change: tuple[str, Field, float], rule: str, allowed: str) -> None:
    """A refused change comes back with objective, field, value, the rule and what is allowed."""
    found = failures(change)
    if not rule:
        assert found == ()
        return
    assert len(found) == 1
    assert (found[0].objective, found[0].field) == change[:2]
    assert rule in found[0].rule
    assert allowed in found[0].allowed


def test_ring_doses_fall_outwards() -> None:
    """An inner ring pulled below the outer one is refused, by the name of the outer one."""
    inner = replace(OBJECTIVES[3], dose_gy=31.0)
    tight = observation(
        step(1, goal("Core", "D10%[Gy] <= 25", 30.0), objectives=(*OBJECTIVES[:3], inner, *OBJECTIVES[4:]))
    )
    found = check(Proposal("test", (Change("zInner upper", "dose_gy", 29.0, "test"),)), tight)
    assert [failure.objective for failure in found] == ["zOuter upper"]


def test_whole_number_priorities_are_asked_for_where_the_server_has_them() -> None:
    """On an integer scale 60.5 is refused and 60 passes."""
    integers = replace(OBSERVATION, limits=replace(LIMITS, integer_priorities=True))
    for value, count in ((60.5, 1), (60.0, 0)):
        assert len(check(Proposal("test", (Change("Core upper", "priority", value, "test"),)), integers)) == count


def test_an_empty_or_doubled_proposal_is_refused() -> None:
    """A proposal changes something, and each field once; stopping needs no change."""
    assert "changes something" in failures()[0].rule
    assert "twice" in failures(("Core upper", "priority", 60.0), ("Core upper", "priority", 70.0))[0].rule
    assert check(Proposal("done", stop=True), OBSERVATION) == ()


def test_only_past_attempts_can_be_started_from() -> None:
    """Starting from attempt 7 of 1 is refused with the attempts there are."""
    change = (Change("Core upper", "priority", 60.0, "test"),)
    assert check(Proposal("test", change, start_from=7), OBSERVATION)[0].allowed == "one of [1]"


def test_apply_changes_only_what_is_named() -> None:
    """All other objectives stay as they were, in their order."""
    after = apply((Change("Core upper", "dose_gy", 16.0, "test"),), OBJECTIVES)
    assert [state.name for state in after] == [state.name for state in OBJECTIVES]
    assert [a for a, b in zip(after, OBJECTIVES, strict=True) if a != b] == [replace(OBJECTIVES[2], dose_gy=16.0)]
