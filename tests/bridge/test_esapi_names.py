"""Resource names of Eclipse's objects: safe, stable, never two of one, and without a patient's id."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.backends.esapi.chart import names
from bridge.errors import NotFound

SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
HOSTILE = [
    "PTV 70",
    "a/b",
    "..",
    "-",
    "",
    "--",
    "Größe",
    "\x00",
    "PTV\u202e07",
    "名前" * 8,
    "A" * 16,
    "a.b",
    "~x",
    "%2F",
]


@given(st.text(max_size=16))
def test_any_text_becomes_a_safe_segment(text: str) -> None:
    assert SEGMENT.match(names.encode(text))


@given(st.text(max_size=16), st.text(max_size=16))
def test_two_texts_never_share_a_name(one: str, other: str) -> None:
    assert (names.encode(one, 31) == names.encode(other, 31)) == (one == other)


@given(st.text(max_size=5))
def test_what_is_not_too_long_is_read_back(text: str) -> None:
    assert names.decode(names.encode(text)) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_ids(text: str) -> None:
    assert SEGMENT.match(names.encode(text))
    assert SEGMENT.match(names.plan_name("patients/p1", text, text).rsplit("/", 1)[1])


def test_course_and_plan_cannot_be_mixed_up() -> None:
    assert names.plan_name("patients/p", "a", "b.c") != names.plan_name("patients/p", "a.b", "c")


def test_decode_refuses_what_encode_never_made() -> None:
    for name in ("a b", "a-4", "-zz", "-FF", names.encode("名" * 30)):
        with pytest.raises(NotFound):
            names.decode(name)


def test_a_patient_is_hidden_behind_the_key() -> None:
    name = names.patient_name(b"key", "12345")
    assert name == names.patient_name(b"key", "12345")
    assert name not in (names.patient_name(b"other", "12345"), names.patient_name(b"key", "12346"))
    assert "12345" not in name
    assert all(SEGMENT.match(part) for part in name.split("/"))


def test_whose_something_is() -> None:
    plan = names.plan_name("patients/p", "C 1", "Plan")
    objective = f"{plan}/objectives/objective-1"
    assert names.patient_of(objective) == "patients/p"
    assert names.plan_of(objective) == names.plan_of(plan) == plan
    for name in ("patients", "plans/a/b/c", "patients/p/structures/PTV"):
        with pytest.raises(NotFound):
            names.plan_of(name)


def test_numbers_go_on_after_the_highest() -> None:
    assert names.next_id("objective", ["objective-2", "objective-10", "other-99", "objective-x"]) == "objective-11"
    assert names.next_id("snapshot", []) == "snapshot-1"
