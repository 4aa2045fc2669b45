"""Dataclasses as plain JSON values and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest

from agent.plain import from_plain, to_plain
from bridge import model


@pytest.mark.parametrize(
    "function",
    [
        model.DoseVolumePoint(model.Bound.UPPER, 20.0, 30.0),
        model.MaxDose(45.0),
        model.MeanDose(45.0),
        model.Geud(model.Bound.LOWER, 60.0, -8.0),
        model.NormalTissueFalloff(automatic=True),
        model.VendorFunction("NTO", "as the TPS writes it"),
    ],
)
def test_an_objective_keeps_its_kind(function: model.ObjectiveFunction) -> None:
    """Functions with the same fields (max and mean dose) are told apart after a round trip through JSON."""
    spec = model.ObjectiveSpec("patients/P1/structures/1", function, 100.0)
    assert from_plain(model.ObjectiveSpec, json.loads(json.dumps(to_plain(spec)))) == spec


def test_server_info_survives_json() -> None:
    """Sets of enums, mappings, nested and optional dataclasses come back equal."""
    info = model.ServerInfo(
        "1.0.0",
        "beamwright",
        "0.1",
        "simulator",
        "0.1",
        model.ServerState.READY,
        model.ServerMode.SIMULATED,
        frozenset({model.Profile.READER, model.Profile.VOLUME}),
        {"plan.create": "YES"},
        model.Limits(500, 600.0, 100, 200, 120.0, 200.0, 1.0),
        model.PriorityScale(model.PriorityScaleKind.LINEAR, 0.0, 1000.0, 100.0, 10.0, 300.0, False),
        None,
        False,
    )
    assert from_plain(model.ServerInfo, json.loads(json.dumps(to_plain(info)))) == info


def test_times_and_arrays_survive() -> None:
    """A moment keeps its zone, a curve its numbers to the last bit."""
    snapshot = model.Snapshot("s", "p", "one", datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), "e1")
    curve = model.Dvh(
        "s", model.DoseInfo(model.DoseKind.FINAL), 1.5, np.array([0.0, 0.1, 1 / 3]), np.array([100.0, 2, 0])
    )
    again = from_plain(model.Dvh, json.loads(json.dumps(to_plain(curve))))
    assert from_plain(model.Snapshot, to_plain(snapshot)) == snapshot
    assert np.array_equal(again.dose_gy, curve.dose_gy)


@dataclass(frozen=True)
class _Point:
    x: float
    label: str | None = None


@pytest.mark.parametrize(
    ("plain", "complaint"),
    [
        ({"type": "Line", "x": 1.0}, "expected _Point"),
        ({"type": "_Point", "x": 1.0, "y": 2.0}, r"has no \['y'\]"),
        ({"type": "_Point", "x": "one"}, "found 'one'"),
    ],
)
def test_what_does_not_fit_is_named(plain: object, complaint: str) -> None:
    """Another type, an unknown field and a wrong value are refused with what was found."""
    with pytest.raises(ValueError, match=complaint):
        from_plain(_Point, plain)


def test_values_without_a_plain_form_are_refused() -> None:
    """An object that is no data is an error, not its repr."""
    with pytest.raises(TypeError, match="object"):
        to_plain({"a": object()})
