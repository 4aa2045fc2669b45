"""Percent or ratio: what Eclipse's answers to a probe prove, and that nothing else is taken for an answer."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import errors
from bridge.backends.esapi.chart.records import SiteFacts
from bridge.backends.esapi.objectives import point_volumes
from bridge.backends.esapi.objectives.point_volumes import PERCENT, RATIO


class Refusal(Exception):
    """What .NET throws."""


class Setup:
    """An OptimizationSetup that keeps what a reading of the volume makes of it."""

    def __init__(self, kept: Callable[[float], float], refused_calls: tuple[int, ...] = ()) -> None:
        self._kept, self._refused_calls = kept, refused_calls
        self.calls = 0
        self.objectives: list[SimpleNamespace] = []

    def AddPointObjective(self, structure: Any, operator: Any, dose: Any, volume: float, priority: float) -> Any:  # noqa: N802
        self.calls += 1
        if self.calls in self._refused_calls:
            raise Refusal("the licence server did not answer.")
        made = SimpleNamespace(Volume=self._kept(volume))
        self.objectives.append(made)
        return made

    def RemoveObjective(self, made: Any) -> None:  # noqa: N802
        self.objectives.remove(made)


def percent(volume: float) -> float:
    return volume


def ratio(volume: float) -> float:
    if volume > 1.0:
        raise Refusal("volume is out of range.")
    return volume


@pytest.fixture(autouse=True)
def plain_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_volumes.access, "get", getattr)
    monkeypatch.setattr(point_volumes.access, "items", getattr)
    monkeypatch.setattr(point_volumes.access, "enum", lambda _name, member: member)
    monkeypatch.setattr(point_volumes.access, "net_errors", lambda: (Refusal,))
    monkeypatch.setattr(point_volumes.doses, "dose_value", lambda dose_gy, _unit: dose_gy)


def chart(*seen: Any) -> Any:
    setup = SimpleNamespace(Objectives=list(seen))
    plan = SimpleNamespace(OptimizationSetup=setup)
    return SimpleNamespace(facts=SiteFacts(), unit="Gy", plans=lambda: [plan])


class OptimizationPointObjective:
    def __init__(self, volume: float) -> None:
        self.Volume = volume


def test_volume_above_one_in_any_plan_proves_percent() -> None:
    assert point_volumes.known(chart(OptimizationPointObjective(0.5), OptimizationPointObjective(95.0))) == PERCENT


def test_small_volumes_prove_nothing() -> None:
    assert point_volumes.known(chart(OptimizationPointObjective(0.5), OptimizationPointObjective(1.0))) is None


@pytest.mark.parametrize(("reading", "expected"), [(percent, PERCENT), (ratio, RATIO)])
def test_probe_tells_and_leaves_nothing_behind(reading: Callable[[float], float], expected: float) -> None:
    open_chart, setup = chart(), Setup(reading)
    assert point_volumes.found_out(open_chart, setup, None) == expected
    assert setup.objectives == []
    calls = setup.calls
    assert point_volumes.found_out(open_chart, setup, None) == expected
    assert setup.calls == calls


def test_refusal_that_passes_is_not_taken_for_a_ratio() -> None:
    assert point_volumes.found_out(chart(), Setup(percent, refused_calls=(1,)), None) == PERCENT


def test_refusal_of_everything_is_handed_on() -> None:
    setup = Setup(percent, refused_calls=(1, 2, 3))
    with pytest.raises(errors.TpsRefused, match="licence server"):
        point_volumes.found_out(chart(), setup, None)


def test_probe_that_cannot_be_read_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(percent)

    def unreadable(thing: Any, name: str) -> Any:
        if name == "Volume":
            raise Refusal("the service did not answer.")
        return getattr(thing, name)

    monkeypatch.setattr(point_volumes.access, "get", unreadable)
    with pytest.raises(Refusal):
        point_volumes.found_out(chart(), setup, None)
    assert setup.objectives == []


def test_probe_that_cannot_be_removed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(percent)

    def refuse(_made: Any) -> None:
        raise Refusal("objectives are locked.")

    monkeypatch.setattr(setup, "RemoveObjective", refuse)
    with pytest.raises(errors.TpsRefused, match="an objective of 1 Gy at priority 0"):
        point_volumes.found_out(chart(), setup, None)


@pytest.mark.parametrize("odd", [lambda volume: min(volume, 1.0), lambda volume: volume / 100.0])
def test_answers_that_fit_neither_reading_are_refused(odd: Callable[[float], float]) -> None:
    open_chart, setup = chart(), Setup(odd)
    with pytest.raises(errors.TpsRefused, match="percent or as a ratio is not known"):
        point_volumes.found_out(open_chart, setup, None)
    assert setup.objectives == []
    assert open_chart.facts.point_volume_per_percent is None
