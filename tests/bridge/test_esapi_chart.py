"""What the adapter decides before it asks Eclipse: which structure set, which unit, what is remembered and forgotten.

The stand-ins have ESAPI's accessors and nothing else.
"""

from __future__ import annotations

from typing import Any

import pytest

from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.chart.records import Records
from bridge.backends.esapi.reach import faults
from bridge.backends.esapi.reach.hosts import chosen_structure_set
from bridge.backends.esapi.reach.site import SiteSettings
from bridge.backends.esapi.recall import MOST_ANSWERS, Recall
from bridge.errors import NotFound, TpsBusy, TpsRefused


class _Thing:
    """Answers ``get_X()`` for what it was made with."""

    def __new__(cls, **members: Any) -> Any:
        getters = {f"get_{name}": lambda _self, value=value: value for name, value in members.items()}
        return object.__new__(type("Thing", (object,), getters))


class _Word:
    """An enum's member."""

    def __init__(self, word: str) -> None:
        self._word = word

    def ToString(self) -> str:  # noqa: N802 - .NET's name
        return self._word


class _Host:
    in_eclipse = False

    def __init__(self, *units: str) -> None:
        self._plans = [_Thing(DosePerFraction=_Thing(Dose=2.0, Unit=_Word(unit)), TotalDose=None) for unit in units]

    def plans(self, _patient: Any) -> list[tuple[Any, Any]]:
        return [(None, plan) for plan in self._plans]


def _set(identity: str, image: str) -> Any:
    return _Thing(Id=identity, Image=_Thing(Id=image))


def _chart(host: Any, site: SiteSettings) -> Chart:
    return Chart(host, site, "patients/p", None, None, Records())


def test_the_only_structure_set_is_taken() -> None:
    only = _set("CT", "CT 1")
    assert chosen_structure_set([only], SiteSettings()) is only


def test_sets_of_one_id_are_told_apart_by_their_image() -> None:
    offered = [_set("CT", "CT 1"), _set("CT", "CT 2"), _set("MR", "MR 1")]
    assert chosen_structure_set(offered, SiteSettings(structure_set="MR")) is offered[2]
    site = SiteSettings(structure_set="CT", structure_set_image="CT 2")
    assert chosen_structure_set(offered, site) is offered[1]


@pytest.mark.parametrize("site", [SiteSettings(), SiteSettings(structure_set="CT"), SiteSettings(structure_set="X")])
def test_a_choice_that_is_not_clear_is_refused_with_the_list(site: SiteSettings) -> None:
    offered = [_set("CT", "CT 1"), _set("CT", "CT 2")]
    with pytest.raises(TpsRefused, match=r"'CT' on image 'CT 1', 'CT' on image 'CT 2'.*structure_set"):
        chosen_structure_set(offered, site)


def test_a_patient_without_structures_is_refused() -> None:
    with pytest.raises(TpsRefused, match="there are: none"):
        chosen_structure_set([], SiteSettings())


@pytest.mark.parametrize("unit", ["Gy", "cGy"])
def test_the_unit_is_what_the_plans_tell(unit: str) -> None:
    assert _chart(_Host("Unknown", unit), SiteSettings()).unit == unit


def test_the_configured_unit_counts_where_no_plan_tells() -> None:
    assert _chart(_Host(), SiteSettings(dose_unit="cGy")).unit == "cGy"
    with pytest.raises(TpsRefused, match="dose_unit"):
        _ = _chart(_Host("Unknown"), SiteSettings()).unit


def test_a_configured_unit_that_plans_contradict_is_refused() -> None:
    with pytest.raises(TpsRefused, match=r"'cGy'.*'Gy'"):
        _ = _chart(_Host("Gy"), SiteSettings(dose_unit="cGy")).unit


def test_what_was_not_asked_before_is_not_made_up() -> None:
    recall = Recall()
    recall.keep("plans", ["a"])
    assert recall.answer("plans") == ["a"]
    with pytest.raises(TpsBusy):
        recall.answer("structures")
    recall.forget()
    with pytest.raises(TpsBusy):
        recall.answer("plans")


def test_the_memory_has_an_end() -> None:
    recall = Recall()
    for number in range(MOST_ANSWERS + 1):
        recall.keep(number, number)
    with pytest.raises(TpsBusy):
        recall.answer(0)
    assert recall.answer(MOST_ANSWERS) == MOST_ANSWERS


def test_uncommitted_work_is_forgotten_and_committed_work_is_not() -> None:
    records = Records()
    records.plan("kept").committed = False
    records.made_structures.add("zKept")
    records.commit()
    records.plan("gone").committed = False
    records.made_structures.add("zGone")
    assert records.uncommitted_plans() == ["gone"]
    assert records.uncommitted_structures() == {"zGone"}
    records.forget_uncommitted()
    assert set(records.plans) == {"kept"}
    assert records.made_structures == {"zKept"}


def test_what_eclipse_says_is_cleaned_and_names_nobody() -> None:
    faults.hide(["AB-123", "Doe", "7", "J"])
    try:
        said = "Patient\x07 AB-123 (DOE, J) has 7\nfields\u202e"
        assert faults.clean(said) == "Patient (the patient) ((the patient), J) has 7 fields"
    finally:
        faults.hide([])
    assert len(faults.clean("x" * 1000)) == faults.LONGEST_TEXT


@pytest.mark.parametrize(
    ("said", "cleaned"),
    [
        ("患者李明已锁定", "患者(the patient)已锁定"),
        ("Smith_John2 and Smithson", "(the patient)2 and Smithson"),
        ("Berg, van der", "(the patient)"),
        ("An error for An Smith", "An error for (the patient)"),
        ("Patient An is locked by an 'An'", "Patient (the patient) is locked by an '(the patient)'"),
        ("AB-1234 is not AB-123", "AB-1234 is not (the patient)"),
    ],
)
def test_parts_of_names_and_other_scripts_are_hidden_too(said: str, cleaned: str) -> None:
    faults.hide(["AB-123", "李", "明", "van der Berg", "Smith", "John", "An", ""])
    try:
        assert faults.clean(said) == cleaned
    finally:
        faults.hide([])


def test_structure_sets_called_after_the_patient_are_listed_without_the_name() -> None:
    faults.hide(["Smith"])
    try:
        with pytest.raises(TpsRefused, match=r"'\(the patient\) CT' on image 'CT 1'"):
            chosen_structure_set([_set("Smith CT", "CT 1"), _set("MR", "CT 1")], SiteSettings())
    finally:
        faults.hide([])


def test_structures_are_looked_at_once_in_a_call() -> None:
    chart = _chart(_Host(), SiteSettings())
    looks: list[int] = []
    a, b = _Thing(Id="A"), _Thing(Id="B")
    object.__setattr__(chart, "structures", lambda: looks.append(1) or [a, b])
    assert chart.structure("patients/p/structures/A") is a
    assert chart.structure("patients/p/structures/B") is b
    assert len(looks) == 1
    chart.look_anew()
    assert chart.structure("patients/p/structures/B") is b
    assert len(looks) == 2
    with pytest.raises(NotFound):
        chart.structure("patients/p/structures/C")
