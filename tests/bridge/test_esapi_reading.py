"""What the adapter makes of answers that Eclipse may give in several ways, shown on stand-ins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge import errors, model
from bridge.backends.esapi.chart.records import PlanRecord
from bridge.backends.esapi.making import normalizing
from bridge.backends.esapi.reading import dose_info, plans
from bridge.backends.esapi.reading.fluences import fluence_of
from bridge.backends.esapi.working.optimizing import _Count


class Refusal(Exception):
    """What .NET throws."""


class ObjectDisposedException(Exception):
    """What .NET throws of a closed patient."""


@pytest.fixture(autouse=True)
def plain_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dose_info.access, "get", getattr)
    monkeypatch.setattr(dose_info.access, "items", getattr)
    monkeypatch.setattr(dose_info.access, "put", setattr)
    monkeypatch.setattr(dose_info.access, "enum", lambda _name, member: member)
    monkeypatch.setattr(dose_info.access, "enum_name", str)
    monkeypatch.setattr(dose_info.access, "net_errors", lambda: (Refusal, ObjectDisposedException))


@pytest.mark.parametrize(
    ("told", "iterations"),
    [([10, 10, 4], [10, 10, 4]), ([10, 20, 24], [10, 10, 4]), ([30, 40, 43], [10, 10, 3])],
    ids=["of the call", "since the start", "since a start before this one"],
)
def test_iterations_are_counted_in_either_reading(told: list[int], iterations: list[int]) -> None:
    count = _Count()
    assert [count.of(number, 10) for number in told] == iterations


def _value(amount: float, unit: str) -> Any:
    return SimpleNamespace(Dose=amount, Unit=unit)


class Locked:
    """A plan whose view cannot be set."""

    DoseValuePresentation = property(lambda _: "Relative")
    TotalDose = _value(5000.0, "cGy")

    def __setattr__(self, _name: str, _value: Any) -> None:
        raise Refusal("the plan is approved.")


def test_percent_is_of_the_total_dose_where_the_view_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dose_info.access, "put", lambda thing, name, value: thing.__setattr__(name, value))
    with dose_info.absolute(Locked()) as in_gy:
        assert in_gy(_value(107.0, "Percent")) == pytest.approx(53.5)
        assert in_gy(_value(float("nan"), "Percent")) is None
    Locked.TotalDose = _value(float("nan"), "cGy")
    with dose_info.absolute(Locked()) as in_gy, pytest.raises(errors.TpsRefused, match="no total dose"):
        in_gy(_value(107.0, "Percent"))


def test_the_view_is_as_it_was_before() -> None:
    plan = SimpleNamespace(DoseValuePresentation="Relative", TotalDose=None)
    with dose_info.absolute(plan) as in_gy:
        assert plan.DoseValuePresentation == "Absolute"
        assert in_gy(_value(200.0, "cGy")) == 2.0
    assert plan.DoseValuePresentation == "Relative"


def _beam(error: Exception | None, found: Any = None) -> Any:
    def answer() -> Any:
        if error is not None:
            raise error
        return found

    return SimpleNamespace(GetOptimalFluence=answer)


def test_no_fluence_is_null_or_an_exception() -> None:
    assert fluence_of(_beam(None)) is None
    assert fluence_of(_beam(Refusal("no fluence"))) is None
    assert fluence_of(_beam(None, "fluence")) == "fluence"
    with pytest.raises(ObjectDisposedException):
        fluence_of(_beam(ObjectDisposedException("closed")))


def test_nulls_are_answered() -> None:
    assert plans.meterset_mu(SimpleNamespace(Meterset=None)) is None
    assert plans.machine_id(SimpleNamespace(TreatmentUnit=None)) == ""
    assert plans.set_up(SimpleNamespace(OptimizationSetup=None), "Objectives") == []


def test_a_plan_that_cannot_be_read_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(_chart: Any, plan: Any) -> Any:
        if isinstance(plan, Exception):
            raise plan
        return plan

    monkeypatch.setattr(plans, "shown", shown)
    odd = [Refusal("odd"), AttributeError("null"), errors.TpsRefused("odd")]
    chart: Any = SimpleNamespace(plans=lambda: ["a", *odd, "b"], plan_name=str)
    assert plans.read_all(chart) == ["a", "b"]
    chart.plans = lambda: ["a", ObjectDisposedException("closed")]
    with pytest.raises(errors.TpsUnavailable):
        plans.read_all(chart)


COVERAGE = model.CoverageNormalization("patients/p/structures/T", 95.0, 50.0)


def _normalised(monkeypatch: pytest.MonkeyPatch, *, empty: bool = False) -> tuple[Any, Any, list[str]]:
    """A chart with one plan that is normalised to a coverage which its new dose cannot have; and what is told."""

    def refuse(_chart: Any, plan: Any, *_: Any) -> None:
        plan.PlanNormalizationValue = 3.0
        raise errors.TpsRefused("no dose that could be scaled.")

    monkeypatch.setattr(normalizing, "_to_coverage", refuse)
    plan = SimpleNamespace(PlanNormalizationValue=80.0, Dose="dose")
    record = PlanRecord(normalization=COVERAGE, normalization_value=80.0)
    structure = SimpleNamespace(IsEmpty=empty)
    chart: Any = SimpleNamespace(record=lambda _: record, structure=lambda _: structure)
    return chart, plan, []


def test_a_coverage_that_cannot_be_kept_is_forgotten_and_the_work_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    chart, plan, told = _normalised(monkeypatch)
    monitor: Any = SimpleNamespace(report=lambda progress: told.append(progress.stage))
    with normalizing.kept(chart, plan, "plan", monitor):
        pass
    record = chart.record(plan)
    assert (record.normalization, record.normalization_value) == (None, None)
    assert plan.PlanNormalizationValue == 80.0
    assert "no dose that could be scaled" in told[0]


def test_a_coverage_of_an_empty_structure_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    chart, plan, _ = _normalised(monkeypatch, empty=True)
    monitor: Any = None
    with pytest.raises(errors.TpsRefused, match="is empty"), normalizing.kept(chart, plan, "plan", monitor):
        raise AssertionError("the work began")
