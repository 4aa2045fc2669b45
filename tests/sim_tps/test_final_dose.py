"""The final dose: what a plan's control points and monitor units give, and that it says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from water import water_cube

from sim_tps.delivery.checks import Rule
from sim_tps.delivery.delivered import ControlPoint, DeliveredField, Technique
from sim_tps.engine import PlanEngine
from sim_tps.errors import Cancelled, Refused
from sim_tps.geometry import Grid
from sim_tps.machine import Machine, machines
from sim_tps.plan import (
    Beam,
    Objective,
    ObjectiveType,
    Percent,
    Plan,
    PlanSettings,
    Prescription,
    TargetCoverage,
    TargetDose,
)
from sim_tps.store import Store
from sim_tps.tps import Tps

FRACTIONS = 25
FIVE = tuple(Beam(f"g{angle}", (0.0, 0.0, 0.0), float(angle)) for angle in range(0, 360, 72))
SETTINGS = PlanSettings(
    "plan",
    "five fields",
    "water",
    "generic-5mm",
    FIVE,
    Prescription(FRACTIONS, (TargetDose("PTV", 50.0),)),
    dose_grid_mm=None,
    optimization_grid_mm=None,
    beamlet_mm=5.0,
    objectives=(
        Objective("cover", ObjectiveType.LOWER, "PTV", 200.0, 50.0, volume_percent=99.0),
        Objective("even", ObjectiveType.UPPER, "PTV", 100.0, 53.0, volume_percent=0.0),
        Objective("spare", ObjectiveType.MEAN, "Organ", 50.0, 10.0),
        Objective("hot", ObjectiveType.MAX, "External", 1000.0, 54.0),
    ),
)


def ignore(stage: str, percent: float | None, iteration: int | None, value: float | None) -> None:
    """Progress nobody looks at."""


def optimised(tps: Tps, settings: PlanSettings = SETTINGS, iterations: int = 60) -> Plan:
    """A plan of its own with fluence and the optimiser's dose."""
    tps.create_plan(settings)
    plan, _ = tps.optimise(
        settings.patient,
        settings.id,
        warm=False,
        max_iterations=iterations,
        max_seconds=60.0,
        seed=0,
        report=ignore,
        cancelled=lambda: False,
    )
    return plan


def calculated(tps: Tps, plan_id: str = "plan") -> Plan:
    return tps.calculate_dose("water", plan_id, None, ignore, lambda: False)


def gy(plan: Plan) -> np.ndarray:
    assert plan.raw_dose is not None
    return plan.scale * plan.raw_dose.gy


@pytest.fixture
def tps(tmp_path: Path) -> Iterator[Tps]:
    made = Tps(Store(tmp_path))
    made.add_patient(water_cube())
    yield made
    made.close()


def open_field(machine: Machine, mu: float, half_mm: float = 50.0) -> DeliveredField:
    """A square that the jaws alone shape."""
    away = np.full(machine.head.pair_count, half_mm + 10.0)
    points = tuple(ControlPoint(share, -away, away) for share in (0.0, 1.0))
    jaws = (-half_mm, half_mm, -half_mm, half_mm)
    return DeliveredField("reference", 1, mu, jaws, points, Technique.SLIDING_WINDOW)


@pytest.mark.parametrize("name", sorted(machines()))
def test_hundred_mu_are_one_gray_under_the_reference_condition(name: str) -> None:
    """10 × 10 cm² at the isocentre, 5 cm deep in water, skin distance 95 cm: 250 MU a fraction are 2.5 Gy, thrice 7.5.

    The leaves are out of the field, so neither they nor their transmission count; the field's output is the beam's own.
    """
    patient, machine = water_cube(240.0, 8.0), machines()[name]
    assert "100 × 100 mm²" in machine.unit
    assert "50 mm deep" in machine.unit
    beam = Beam("reference", (0.0, -70.0, 0.0), 0.0)
    engine = PlanEngine(
        patient,
        [beam],
        machine,
        ["PTV"],
        dose_grid=patient.grid,
        optimization_grid=patient.grid,
        beamlet_mm=5.0,
    )
    point = Grid(beam.isocentre_mm, (1.0, 1.0, 1.0), (1, 1, 1))
    one = engine.delivered_dose([(open_field(machine, 250.0),)], 1, point)
    three = engine.delivered_dose([(open_field(machine, 250.0),)], 3, point)
    assert float(one.item()) == pytest.approx(2.5, rel=0.003)
    assert float(three.item()) == pytest.approx(3.0 * float(one.item()), rel=1e-6)


def test_final_dose_is_near_the_optimisers_but_another(tps: Tps) -> None:
    """For a smooth plan in water leaves cost a percent or two inside the target, and leak a little everywhere."""
    ideal = optimised(tps)
    final = calculated(tps)
    assert ideal.raw_dose is not None
    assert final.raw_dose is not None
    assert (ideal.raw_dose.kind, final.raw_dose.kind) == ("intermediate", "final")
    assert "not sequenced" in ideal.raw_dose.algorithm
    assert "sliding-window" in final.raw_dose.algorithm
    inside = tps.patient("water").structure("PTV").mask()
    difference = gy(final) - gy(ideal)
    assert 0.1 < np.abs(difference[inside]).max() < 1.5
    assert abs(difference[inside].mean()) < 0.5
    assert (ideal.deliverable, final.deliverable) == (False, True)


def test_step_and_shoot_is_coarser(tps: Tps) -> None:
    """Ten levels follow the fluence less well than a sliding window, by a few percent of the dose."""
    optimised(tps)
    window = calculated(tps)
    optimised(tps, replace(SETTINGS, id="shoot", technique=Technique.STEP_AND_SHOOT))
    shoot = calculated(tps, "shoot")
    assert shoot.raw_dose is not None
    assert "step-and-shoot" in shoot.raw_dose.algorithm
    assert 0.5 < np.abs(gy(shoot) - gy(window)).max() < 6.0
    worst = [max(d.rms_mu for d in tps.delivery("water", plan).deviations) for plan in ("shoot", "plan")]
    assert worst[0] > worst[1]


def test_delivery_gives_exactly_the_dose_shown(tps: Tps) -> None:
    """The control points and MU that are handed over, put through the engine anew, give the plan's normalised dose."""
    optimised(tps)
    calculated(tps)
    plan = tps.set_normalization("water", "plan", TargetCoverage("PTV", 95.0, 51.0))
    delivery = tps.delivery("water", "plan")
    assert plan.scale != 1.0
    assert delivery.beam_mu == pytest.approx(plan.beam_mu)
    assert delivery.findings == ()
    engine = PlanEngine(
        tps.patient("water"),
        FIVE,
        machines()["generic-5mm"],
        ["PTV"],
        dose_grid=tps.dose("water", "plan").grid,
        optimization_grid=tps.dose("water", "plan").grid,
        beamlet_mm=5.0,
    )
    again = engine.delivered_dose(delivery.parts, FRACTIONS, tps.dose("water", "plan").grid)
    assert np.allclose(again, tps.dose("water", "plan").gy, rtol=1e-5, atol=1e-5)


def test_the_same_plan_is_sequenced_the_same(tps: Tps, tmp_path: Path) -> None:
    """Calculated twice, or read from the store by another system, a plan has the same control points, MU and dose."""
    optimised(tps)
    first = calculated(tps)
    second = calculated(tps)
    assert np.array_equal(gy(first), gy(second))
    before = tps.delivery("water", "plan")
    tps.commit("water")
    tps.close()
    again = Tps(Store(tmp_path))
    stored, after = again.plan("water", "plan"), again.delivery("water", "plan")
    assert stored.raw_dose is not None
    assert (stored.raw_dose.kind, stored.beam_mu, stored.deliverable) == ("final", second.beam_mu, True)
    assert after.beam_mu == before.beam_mu
    for one, other in zip(before.fields, after.fields, strict=True):
        assert np.array_equal(one.metersets, other.metersets)
        assert np.array_equal(one.left_mm, other.left_mm)
        assert np.array_equal(one.right_mm, other.right_mm)
    again.close()


def test_normalisation_scales_monitor_units_and_is_checked(tps: Tps) -> None:
    """MU follow the dose; too few of them are found, named, and take deliverability away until they are back."""
    optimised(tps)
    whole = calculated(tps)
    half = tps.set_normalization("water", "plan", Percent(50.0))
    assert half.beam_mu == pytest.approx([0.5 * mu for mu in whole.beam_mu])
    assert half.deliverable
    faint = tps.set_normalization("water", "plan", Percent(0.5))
    assert not faint.deliverable
    assert "1 MU or more" in faint.findings[0]
    assert {finding.rule for finding in tps.delivery("water", "plan").findings} >= {Rule.METERSET}
    assert tps.set_normalization("water", "plan", None).deliverable


def test_copies_and_snapshots_keep_control_points(tps: Tps) -> None:
    """A copy of a calculated plan, and a restored one, are delivered by the same MU."""
    optimised(tps)
    plan = calculated(tps)
    snapshot = tps.create_snapshot("water", "plan", "calculated")
    copy = tps.copy_plan("water", "plan", "copy", "a copy", {})
    tps.optimise(
        "water",
        "plan",
        warm=True,
        max_iterations=5,
        max_seconds=9.0,
        seed=0,
        report=ignore,
        cancelled=lambda: False,
    )
    assert tps.plan("water", "plan").beam_mu == ()
    restored = tps.restore_snapshot("water", "plan", snapshot.id)
    assert copy.beam_mu == restored.beam_mu == plan.beam_mu
    assert tps.delivery("water", "copy").beam_mu == tps.delivery("water", "plan").beam_mu == plan.beam_mu


def test_without_control_points_there_is_no_delivery(tps: Tps) -> None:
    """Refused: before the dose is calculated, and for a plan whose many beams stand for an arc."""
    optimised(tps, iterations=3)
    with pytest.raises(Refused, match="calculate its dose"):
        tps.delivery("water", "plan")
    many = tuple(Beam(f"g{n}", (0.0, 0.0, 0.0), 15.0 * n) for n in range(21))
    optimised(tps, replace(SETTINGS, id="arc", beams=many), iterations=3)
    arc = calculated(tps, "arc")
    assert arc.raw_dose is not None
    assert (arc.raw_dose.kind, arc.deliverable, arc.beam_mu) == ("intermediate", False, ())
    assert "21 beams stand for an arc" in arc.raw_dose.algorithm
    with pytest.raises(Refused, match="21 beams stand for an arc"):
        tps.delivery("water", "arc")


def test_a_plan_without_dose_is_given_no_mu(tps: Tps) -> None:
    """Objectives that ask for nothing end in beams that deliver nothing: 0 MU, 0 Gy, and the algorithm says so."""
    spare = (Objective("spare", ObjectiveType.MAX, "External", 100.0, 0.0),)
    optimised(tps, replace(SETTINGS, objectives=spare))
    plan = calculated(tps)
    assert plan.raw_dose is not None
    assert plan.beam_mu == (0.0,) * len(FIVE)
    assert gy(plan).max() == 0.0
    assert "5 of 5 beams deliver nothing" in plan.raw_dose.algorithm


def test_sequencing_can_be_cancelled(tps: Tps) -> None:
    """A cancel while leaves are sequenced leaves the plan as it was."""
    before = optimised(tps, iterations=3)
    stages: list[str] = []

    def report(stage: str, percent: float | None, iteration: int | None, value: float | None) -> None:
        stages.append(stage)

    with pytest.raises(Cancelled):
        tps.calculate_dose("water", "plan", None, report, lambda: "sequencing leaves" in stages)
    assert stages == ["sequencing leaves"]
    assert tps.plan("water", "plan") is before
