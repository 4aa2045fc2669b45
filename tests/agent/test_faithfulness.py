"""Faithfulness: a number that was said is held against the record, and only where it is plain what it is about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trace_builder
from observations import OBJECTIVES, goal

from agent.analysis.facts import Fact, Facts, facts_for
from agent.analysis.faithfulness import Outcome, check_statements, check_story
from agent.analysis.story import Story, Text
from agent.proposal import Change, Proposal
from agent.trace import Proposed

HIT, MISS, NOT_CHECKABLE = Outcome.HIT, Outcome.MISS, Outcome.NOT_CHECKABLE


def recorded(subject: str, quantity: str, unit: str, *values: float, limit: float | None = None) -> tuple[Fact, ...]:
    """A quantity over attempts 1, 2, ..., and its limit."""
    facts = [Fact(subject, quantity, value, unit, f"attempt {number}") for number, value in enumerate(values, start=1)]
    return (*facts, *([] if limit is None else [Fact(subject, quantity, limit, unit, "limit")]))


FACTS = Facts(
    (
        *recorded("PTV", "D95%", "Gy", 69.23, 69.81, limit=70.0),
        *recorded("PTV", "Max", "Gy", 75.4, 74.9, limit=74.0),
        *recorded("PTV", "CI Paddick", "", 0.81, 0.83, limit=0.8),
        *recorded("SpinalCord", "D0.03cc", "Gy", 46.31, 44.2, limit=45.0),
        *recorded("Parotid_L", "Mean", "Gy", 26.4, 25.1, limit=26.0),
        *recorded("Parotid_R", "Mean", "Gy", 20.4, 21.1, limit=26.0),
        *recorded("Brain", "V12Gy", "cc", 9.84, limit=10.0),
        *recorded("PTV lower", "priority", "", 100.0, 130.0),
        *recorded("PTV lower", "dose", "Gy", 71.0),
        *recorded("PTV lower", "volume", "%", 98.0),
        *recorded("PTV upper", "priority", "", 50.0, 65.0),
        *recorded("PTV upper", "dose", "Gy", 73.0),
        *recorded("SpinalCord upper", "priority", "", 40.0, 60.0),
        *recorded("SpinalCord upper", "dose", "Gy", 40.5),
        *recorded("", "normalisation", "%", 101.3),
        *recorded("", "prescription", "Gy", 70.0),
    ),
    frozenset({"PTV", "SpinalCord", "Parotid_L", "Parotid_R", "Brain"}),
    {"PTV lower": "PTV", "PTV upper": "PTV", "SpinalCord upper": "SpinalCord"},
)


def judged(sentence: str, facts: Facts = FACTS) -> list[tuple[str, str, Outcome]]:
    """Every number, what it is about, and the outcome."""
    return [(each.number, each.about, each.outcome) for each in check_statements(sentence, facts)]


@pytest.mark.parametrize(
    ("sentence", "about"),
    [
        ("PTV D95% is 69.2 Gy.", "PTV D95%"),
        ("PTV D95%[Gy] = 69.23", "PTV D95%"),
        ("D95 of the PTV is 69 Gy.", "PTV D95%"),
        ("The PTV's D95 is 69.8.", "PTV D95%"),
        ("ptv d95% was 70 Gy at most.", "PTV D95%"),
        ("The PTV is cold: its D95% is 69.2 Gy.", "PTV D95%"),
        ("CI is 0.81.", "PTV CI Paddick"),
        ("The conformity index of the PTV is 0.83.", "PTV CI Paddick"),
        ("PTV Dmax is 75.4 Gy.", "PTV Max"),
        ("The maximum dose in the PTV is 75.4 Gy.", "PTV Max"),
        ("Spinalcord D0.03cc is 46.3 Gy.", "SpinalCord D0.03cc"),
        ("The mean dose of Parotid L is 25.1 Gy.", "Parotid_L Mean"),
        ("Brain V12 is 9.8 cc.", "Brain V12Gy"),
        ("9.84 cc is the V12Gy of Brain.", "Brain V12Gy"),
        ("The priority of PTV lower is 130.", "PTV lower priority"),
        ("PTV lower's weight is 130.", "PTV lower priority"),
        ("PTV lower (dose 71 Gy).", "PTV lower dose"),
        ("I set PTV_lower to 130.", "PTV lower"),
        ("The SpinalCord priority is 60.", "SpinalCord upper priority"),
        ("The normalisation is 101.3 %.", "normalisation"),
        ("The prescription is 70 Gy.", "prescription"),
    ],
)
def test_a_recorded_value_is_a_hit_however_it_is_named(sentence: str, about: str) -> None:
    """Metrics and objectives are found in the loose forms in which they are written, rounded as they are written."""
    ((_, named, outcome),) = judged(sentence)
    assert (named, outcome) == (about, HIT)


@pytest.mark.parametrize(
    ("sentence", "about"),
    [
        ("PTV D95% is 68.9 Gy.", "PTV D95%"),
        ("PTV D95% is 69.3 Gy.", "PTV D95%"),
        ("PTV D95% is 69.24 Gy.", "PTV D95%"),
        ("CI is 0.71.", "PTV CI Paddick"),
        ("The mean dose of Parotid_L is 20.4 Gy.", "Parotid_L Mean"),
        ("I will raise the priority of PTV lower to 150.", "PTV lower priority"),
        ("The SpinalCord D0.03cc lies 3.3 Gy above its limit.", "SpinalCord D0.03cc"),
    ],
)
def test_another_value_is_a_miss(sentence: str, about: str) -> None:
    """A wrong digit, another structure's value, a change that is not the one made, a difference that is none."""
    ((_, named, outcome),) = judged(sentence)
    assert (named, outcome) == (about, MISS)


@pytest.mark.parametrize(
    "sentence",
    [
        "It is 69.2 Gy.",
        "SpinalCord is at 46.3 Gy.",
        "The priority goes to 130.",
        "The PTV priority is 130.",
        "The mean dose is 25.1 Gy.",
        "The target's D2% is 74 Gy.",
        "PTV D95% is 98.9 % of the prescription.",
        "PTV D95% is 12 cc.",
        "PTV D95% should reach 72 Gy.",
        "If the priority of PTV lower were 160, more would be covered.",
        "SpinalCord upper has the plan at 43.3 Gy.",
    ],
)
def test_what_is_not_plain_is_not_judged(sentence: str) -> None:
    """No name, several that it may mean, a share, another unit, the future, a thought: neither hit nor miss."""
    assert [outcome for _, _, outcome in judged(sentence)] == [NOT_CHECKABLE]


def test_a_list_of_things_before_a_list_of_numbers_is_not_judged() -> None:
    """Which number belongs to which is not guessed."""
    statements = judged("The mean doses of Parotid_L and Parotid_R are 25.1 and 33.3 Gy.")
    assert [(about, outcome) for _, about, outcome in statements] == [("", NOT_CHECKABLE)] * 2


def test_each_number_goes_to_the_thing_before_it() -> None:
    """In one sentence the same number is right of one thing and wrong of another."""
    sentence = "Parotid_L mean dose is 25.1 Gy and Parotid_R mean dose is 25.1 Gy."
    assert [(about, outcome) for _, about, outcome in judged(sentence)] == [
        ("Parotid_L Mean", HIT),
        ("Parotid_R Mean", MISS),
    ]
    assert judged("PTV D95% is 69.2 Gy, so the priority of PTV lower goes from 100 to 130.") == [
        ("69.2", "PTV D95%", HIT),
        ("100", "PTV lower priority", HIT),
        ("130", "PTV lower priority", HIT),
    ]


def test_a_name_is_carried_on_to_the_next_quantity() -> None:
    """A list of one structure's metrics, or of one objective's fields, names it once."""
    assert judged("PTV: D95% 69.8 Gy, Dmax 74.9 Gy, CI 0.83.") == [
        ("69.8", "PTV D95%", HIT),
        ("74.9", "PTV Max", HIT),
        ("0.83", "PTV CI Paddick", HIT),
    ]
    assert judged("PTV lower (priority 130, dose 71 Gy) and PTV upper (priority 65, dose 71 Gy).") == [
        ("130", "PTV lower priority", HIT),
        ("71", "PTV lower dose", HIT),
        ("65", "PTV upper priority", HIT),
        ("71", "PTV upper dose", MISS),
    ]


def test_a_number_before_its_thing_is_joined_by_a_small_word() -> None:
    """ "25.1 Gy for ..." belongs to what follows, not to what came before."""
    sentence = "25.1 Gy for Parotid_L mean dose and 21.1 Gy for Parotid_R mean dose."
    assert [(about, outcome) for _, about, outcome in judged(sentence)] == [
        ("Parotid_L Mean", HIT),
        ("Parotid_R Mean", HIT),
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "SpinalCord D0.03cc exceeds its limit by 1.3 Gy.",
        "PTV D95% is 0.2 Gy below the goal.",
        "PTV Dmax fell by 0.5 Gy.",
        "PTV Dmax changed: -0.5 Gy.",
        "The priority of PTV lower grows by 30 %.",
        "The priority of PTV lower is 1.3 times what it was.",
    ],
)
def test_differences_and_ratios_of_recorded_values_are_derived_hits(sentence: str) -> None:
    """They are told apart from recorded values, as more of them fit by chance."""
    (statement,) = check_statements(sentence, FACTS)
    assert (statement.outcome, statement.kind) == (HIT, "derived")


def test_a_difference_is_looked_for_only_beside_words_of_difference() -> None:
    """0.5 Gy is no dose of the target, although two of its doses are as far apart."""
    assert judged("PTV Dmax is 0.5 Gy.") == [("0.5", "PTV Max", MISS)]


def test_attempt_numbers_and_counts_are_no_statements() -> None:
    """Numbers that count or name something are not numbers of the plan; what stands beside them is still judged."""
    assert judged("In attempts 1, 2 and 3, 5 of 9 goals were met with 7 beams; rank 1 first.") == []
    assert judged("Parotid_L mean dose was 26.4 Gy in attempt 1 and 25.1 Gy in attempt 2.") == [
        ("26.4", "Parotid_L Mean", HIT),
        ("25.1", "Parotid_L Mean", HIT),
    ]


def test_a_value_shown_with_two_decimals_may_be_rounded_again() -> None:
    """69.249 is shown as 69.25, which is written as 69.3; 69.24 is not."""
    about = ("PTV D95%", "PTV")
    for value, outcome in ((69.249, HIT), (69.24, MISS)):
        facts = Facts(recorded("PTV", "D95%", "Gy", value), frozenset(about[1:]), {})
        assert judged("PTV D95% is 69.3 Gy.", facts) == [("69.3", about[0], outcome)]


def test_the_reason_names_the_fact_or_what_is_recorded_instead() -> None:
    """A reader can follow every verdict without opening the trace."""
    whys = [each.why for each in check_statements("PTV D95% is 69.2 Gy. PTV D95% is 68 Gy.", FACTS)]
    assert whys == ["attempt 1: 69.23 Gy", "recorded are 69.23 Gy, 69.81 Gy, 70 Gy"]


def test_a_run_is_checked_by_what_was_known_when_it_was_said(tmp_path: Path) -> None:
    """Hits and misses of reasoning, rationale and reasons; the attempt that the proposal leads to is not known yet."""
    story = Story.read(trace_builder.write(tmp_path / "t.jsonl", *trace_builder.events()))
    found = [
        (each.source, each.statement.number, each.statement.about, each.statement.outcome)
        for each in check_story(story)
    ]
    assert found == [
        ("reasoning", "150", "PTV upper", NOT_CHECKABLE),
        ("reasoning", "49.2", "PTV D95%", HIT),
        ("reasoning", "0.8", "PTV D95%", HIT),
        ("reasoning", "50", "PTV D95%", HIT),
        ("reasoning", "150", "priority", NOT_CHECKABLE),
        ("reasoning", "17.0", "Core D0.03cc", MISS),
        ("rationale", "49.2", "PTV D95%", HIT),
        ("rationale", "300", "PTV lower priority", HIT),
        ("rationale", "400", "PTV lower priority", HIT),
        ("reason", "0.8", "", NOT_CHECKABLE),
    ]
    later = facts_for(story, Text(3, "rationale", "", ()))
    assert judged("PTV D95% is 50.11 Gy.", later) == [("50.11", "PTV D95%", HIT)]
    assert judged("PTV D95% is 50.11 Gy.", facts_for(story, Text(2, "rationale", "", ())))[0][2] is MISS


def test_only_the_change_that_is_made_is_a_fact(tmp_path: Path) -> None:
    """A rationale that says 350 where its own change says 400 misses."""
    said = Proposal("PTV lower gets priority 350.", (Change("PTV lower", "priority", 400.0, "More."),))
    events = (*trace_builder.events()[:6], Proposed(2, said))
    (found,) = check_story(Story.read(trace_builder.write(tmp_path / "t.jsonl", *events)))
    assert (found.attempt, found.statement.about, found.statement.outcome) == (2, "PTV lower priority", MISS)


def test_the_parameters_of_the_hot_fraction_problem_have_names_of_their_own(tmp_path: Path) -> None:
    """Lambda is the priority, tau the dose as a share of the highest prescription, V the fraction."""
    hot = replace(OBJECTIVES[2], name="Core hot", type="hot", dose_gy=20.0, volume_percent=5.0, priority=3.5)
    prepared = replace(trace_builder.events()[1], states=(hot,))
    story = Story.read(trace_builder.write(tmp_path / "t.jsonl", trace_builder.started(), prepared))
    facts = facts_for(story, Text(2, "rationale", "", ()))
    assert judged("Core hot has lambda 3.5, tau 0.4 and V 0.05.", facts) == [
        ("3.5", "Core hot priority", HIT),
        ("0.4", "Core hot tau", HIT),
        ("0.05", "Core hot V", HIT),
    ]


def test_a_structure_is_known_by_the_name_that_the_model_was_told(tmp_path: Path) -> None:
    """The told name is the one that counts, for goals and objectives."""
    goals = (goal("PTV_70", "D95%[Gy] >= 50", 49.23),)
    lower = replace(OBJECTIVES[0], name="PTV_70 lower", structure="PTV_70")
    evaluated = trace_builder.attempt(1, goals)[1]
    prepared = replace(trace_builder.events()[1], told_as={"PTV_70": "PTV_1"})
    events = (trace_builder.started(), prepared, replace(evaluated, objectives=(lower,)))
    story = Story.read(trace_builder.write(tmp_path / "t.jsonl", *events))
    facts = facts_for(story, Text(2, "rationale", "", ()))
    assert judged("PTV_1 D95% is 49.2 Gy; PTV_1 lower priority is 300.", facts) == [
        ("49.2", "PTV_1 D95%", HIT),
        ("300", "PTV_1 lower priority", HIT),
    ]


def test_a_text_without_any_fact_is_read_all_the_same() -> None:
    """Before the first dose nothing is recorded, so nothing can be checked."""
    assert judged("PTV D95% is 69.2 Gy.", Facts((), frozenset(), {})) == [("69.2", "D95%", NOT_CHECKABLE)]


@pytest.mark.parametrize("piece", ["dose ", "PTV D95% ", "PTV lower, ", "1", "1.1.", "so ", "attempts 1, 2, "])
def test_endless_repetition_is_read_to_its_end(piece: str) -> None:
    """A model that repeats itself breaks neither the reading of numbers nor that of sentences."""
    statements = check_statements(f"{piece * 2000} PTV D95% is 69.2 Gy", FACTS)
    assert statements[-1].number == "69.2"
