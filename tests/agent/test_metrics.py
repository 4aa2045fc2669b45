"""Metric strings: what is understood, what is refused, and what the contract is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.metrics import EXAMPLES, MetricError, parse_goal, parse_metric
from bridge.model import MetricKind, VolumeUnit


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_are_read_back_as_written(text: str) -> None:
    """Every documented form parses, and its canonical spelling parses to the same metric."""
    metric = parse_metric(text)
    assert parse_metric(metric.text) == metric


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("Dmax", "Max[Gy]"),
        ("Dmean", "Mean[Gy]"),
        ("D95", "D95%[Gy]"),
        ("D10", "D10%[Gy]"),
        ("V20", "V20Gy[%]"),
        ("D0.03cc", "D0.03cc[Gy]"),
        ("Median[Gy]", "D50%[Gy]"),
    ],
)
def test_short_forms_mean_the_full_ones(short: str, full: str) -> None:
    """A clinician's shorthand is the same metric as the written-out form."""
    assert parse_metric(short) == parse_metric(full)


@given(st.floats(min_value=0.01, max_value=100.0).map(lambda x: round(x, 2)))
def test_volume_in_a_dose_metric_survives(volume: float) -> None:
    """The share in D<x>% reaches the query as the same number."""
    query = parse_metric(f"D{volume}%[Gy]").query("patients/p/structures/s", 70.0)
    assert (query.kind, query.volume, query.volume_unit) == (MetricKind.DOSE_AT_VOLUME, volume, VolumeUnit.PERCENT)


def test_percent_dose_is_taken_of_the_prescription() -> None:
    """V95% of a 60 Gy prescription asks for the volume at 57 Gy."""
    assert parse_metric("V95%[%]").query("s", 60.0).dose_gy == pytest.approx(57.0)


def test_percent_answer_is_of_the_prescription_for_doses_only() -> None:
    """D2%[%] turns Gy into percent of the prescription; V20Gy[%] keeps percent of volume."""
    assert parse_metric("D2%[%]").value(63.0, 60.0) == pytest.approx(105.0)
    assert parse_metric("V20Gy[%]").value(33.0, 60.0) == 33.0


def test_index_uses_the_prescription_as_reference_dose() -> None:
    """A conformity index is asked at the prescription, inside the body given."""
    query = parse_metric("CI Paddick").query("ptv", 18.0, body="near-ptv")
    assert (query.dose_gy, query.body) == (18.0, "near-ptv")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("D95[%Gy]", "Gy"),
        ("Maen[Gy]", "did you mean 'Mean\\[Gy\\]'"),
        ("V20Gy[Gy]", r"\[%\] or \[cc\]"),
        ("D95%[cGy]", "write \\[Gy\\]"),
        ("V2000Gy[%]", "looks like cGy; write Gy"),
        ("V2000cGy[%]", "V20Gy"),
        ("D120%[Gy]", "0 to 100"),
        ("D0.03[Gy]", r"write D0\.03cc\[Gy\] for cm³, or D0\.03%\[Gy\] for percent"),
        ("DC0.5", r"write DC0\.5cc\[Gy\]"),
        ("CI Paddik", "CI Paddick"),
    ],
)
def test_misspelt_metric_is_refused_with_the_fix(text: str, hint: str) -> None:
    """A metric that is not one, has a wrong unit, or is in cGy says how to write it."""
    with pytest.raises(MetricError, match=hint):
        parse_metric(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("D95%[Gy] > 70", "write <= or >="),
        ("D95%[Gy] >= 7000", "looks like cGy; write Gy \\(70\\)"),
        ("D95%[Gy] >= 70Gy", "not a number"),
        ("D95%[Gy] >= -2", "at least 0"),
        ("V20Gy[%] <= 120", "0 to 100"),
        ("D95%[Gy] 70", "is not a goal"),
        ("D95%[Gy] <= nan", "at least 0"),
    ],
)
def test_bad_goal_is_refused_with_the_fix(text: str, hint: str) -> None:
    """A goal with a wrong comparator or an impossible limit names what to write."""
    with pytest.raises(MetricError, match=hint):
        parse_goal(text)
