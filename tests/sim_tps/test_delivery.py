"""Leaf sequencing: what control points let through, and that a linac could deliver them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sim_tps.delivery.checks import Rule, check
from sim_tps.delivery.delivered import ControlPoint, DeliveredField, Technique, beam_on_s
from sim_tps.delivery.fluence import delivered_fluence, deviation
from sim_tps.delivery.sequence import sequence
from sim_tps.dose.fields import Field, field_for_target, open_field
from sim_tps.errors import BadInput
from sim_tps.geometry import beam_frame
from sim_tps.machine import Machine, machines
from sim_tps.plan import Beam

FRAME = beam_frame((0.0, 0.0, 0.0), 0.0, 0.0, 0.0, 1000.0)
SLIDING, SHOOT = Technique.SLIDING_WINDOW, Technique.STEP_AND_SHOOT
EVERY_STOP = 100_000
"""More control points than any field here needs."""

maps = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.floats(0.0, 40.0).map(lambda value: round(value, 3)),
)


def machine_with(name: str = "generic-5mm", **facts: object) -> Machine:
    """A built-in machine whose head differs in some facts."""
    machine = machines()[name]
    return replace(machine, head=replace(machine.head, **facts))


def ideal(name: str = "generic-5mm", **facts: object) -> Machine:
    """A head that lets nothing through and closes fully."""
    nothing = {
        "transmission": 0.0,
        "dosimetric_gap_mm": 0.0,
        "smallest_gap_mm": 0.0,
        "smallest_segment_mu": 1e-6,
        "smallest_meterset_mu": 0.0,
    }
    return machine_with(name, **(nothing | facts))


def field_of(shape: tuple[int, ...], beamlet_mm: float = 5.0, corner_mm: tuple[float, float] | None = None) -> Field:
    """A field whose beamlets begin at a corner; without one, about the axis with beamlet edges on it."""
    rows, columns = shape
    x, y = corner_mm or (-(columns // 2) * beamlet_mm, -(rows // 2) * beamlet_mm)
    return open_field(FRAME, beamlet_mm, (x + beamlet_mm / 2, y + beamlet_mm / 2), (rows, columns))


def smooth_map(rows: int, columns: int) -> NDArray[np.float64]:
    """Fluence from 8 to 30 MU that varies over some 30 mm, as optimised fields do."""
    rough = gaussian_filter(np.random.default_rng(3).random((rows, columns)), 2.0)
    return 8.0 + 22.0 * (rough - rough.min()) / np.ptp(rough)


def delivered_on(field: Field, machine: Machine, delivered: tuple[DeliveredField, ...]) -> NDArray[np.float64]:
    """Delivered fluence on the field's own beamlets, 0 where jaws are closed."""
    (x, y), raster = delivered_fluence(machine, delivered, field.beamlet_mm)
    column = round((field.first_centre_mm[0] - x) / field.beamlet_mm)
    row = round((field.first_centre_mm[1] - y) / field.beamlet_mm)
    padded = np.pad(raster, 100)
    rows, columns = field.is_open.shape
    return padded[100 + row : 100 + row + rows, 100 + column : 100 + column + columns]


@settings(max_examples=60, deadline=None)
@given(wanted=maps, interdigitates=st.booleans())
def test_a_sliding_window_is_exact_where_leaves_let_nothing_through(
    wanted: NDArray[np.float64], interdigitates: bool
) -> None:
    """Without transmission and gaps every beamlet gets its fluence to rounding, whether tips may pass or not."""
    machine, field = ideal(interdigitates=interdigitates), field_of(wanted.shape, corner_mm=(-20.0, -15.0))
    delivered = sequence(machine, field, wanted.ravel(), SLIDING, most_control_points=EVERY_STOP)
    if not wanted.any():
        assert delivered == ()
        return
    assert delivered_on(field, machine, delivered) == pytest.approx(wanted, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(wanted=maps, interdigitates=st.booleans())
def test_step_and_shoot_delivers_whole_levels_exactly(wanted: NDArray[np.float64], interdigitates: bool) -> None:
    """A matrix of whole numbers is the sum of its segments, whether tips may pass or not."""
    wanted = np.floor(wanted)
    if not wanted.any():
        wanted[0, 0] = 1.0
    machine, field = ideal(interdigitates=interdigitates), field_of(wanted.shape, corner_mm=(-20.0, -15.0))
    delivered = sequence(machine, field, wanted.ravel(), SHOOT, levels=int(wanted.max()))
    assert delivered_on(field, machine, delivered) == pytest.approx(wanted, abs=1e-9)
    assert deviation(machine, field, wanted.ravel(), delivered).rms_mu < 1e-9


def test_a_known_matrix_takes_the_fewest_mu() -> None:
    """Step-and-shoot needs the largest sum of rises of any row: here 4 + 3 in the second row."""
    wanted = np.array([[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 3.0, 1.0]])
    (delivered,) = sequence(ideal(), field_of(wanted.shape), wanted.ravel(), SHOOT, levels=4)
    assert delivered.mu == pytest.approx(7.0)


@settings(max_examples=80, deadline=None)
@given(
    wanted=maps,
    name=st.sampled_from(["generic-5mm", "generic-2.5mm"]),
    technique=st.sampled_from(Technique),
    interdigitates=st.booleans(),
    beamlet_mm=st.sampled_from([2.5, 4.0, 5.0, 10.0]),
    corner_mm=st.tuples(st.floats(-195.0, 105.0), st.floats(-105.0, 15.0)),
)
def test_every_sequence_can_be_delivered(
    wanted: NDArray[np.float64],
    name: str,
    technique: Technique,
    interdigitates: bool,
    beamlet_mm: float,
    corner_mm: tuple[float, float],
) -> None:
    """Any fluence anywhere in the field keeps every rule of both heads, at the full dose rate."""
    machine = machine_with(name, interdigitates=interdigitates)
    field = field_of(wanted.shape, beamlet_mm, corner_mm)
    for part in sequence(machine, field, wanted.ravel(), technique):
        assert check(machine, part) == ()
        assert beam_on_s(machine.head, part) == pytest.approx(part.mu / 10.0)


@pytest.mark.parametrize("technique", Technique)
@pytest.mark.parametrize("columns", [60, 75])
def test_a_field_wider_than_the_leaf_span_is_split(columns: int, technique: Technique) -> None:
    """Parts stay within the span, overlap with their neighbours, and add up to the whole."""
    machine, wanted = ideal(), np.round(smooth_map(6, columns))
    field = field_of(wanted.shape)
    delivered = sequence(machine, field, wanted.ravel(), technique, levels=300, most_control_points=EVERY_STOP)
    assert [part.part for part in delivered] == [1, 2, 3]
    assert all(check(machine, part) == () for part in delivered)
    for one, following in pairwise(delivered):
        assert following.jaws_mm[0] < one.jaws_mm[1]
    tolerance = 1e-8 if technique is SLIDING else 3 * 30.0 / 300 / 2
    assert delivered_on(field, machine, delivered) == pytest.approx(wanted, abs=tolerance)


def test_a_part_without_fluence_is_no_field() -> None:
    """Two islands 250 mm apart are two fields; nothing is delivered between them."""
    machine, wanted = machines()["generic-5mm"], np.zeros((4, 60))
    wanted[:, :5] = wanted[:, -5:] = 20.0
    delivered = sequence(machine, field_of(wanted.shape), wanted.ravel(), SLIDING)
    assert [(part.jaws_mm[0], part.jaws_mm[1]) for part in delivered] == [(-150.0, -20.0), (20.0, 150.0)]


@pytest.mark.parametrize("name", ["generic-5mm", "generic-2.5mm"])
@pytest.mark.parametrize(("technique", "rms_percent"), [(SLIDING, 0.1), (SHOOT, 4.0)])
def test_real_heads_deliver_a_smooth_field(name: str, technique: Technique, rms_percent: float) -> None:
    """With transmission and gaps taken into account, the rms is 0.1 % of the maximum, or 4 % with ten levels."""
    machine, wanted = machines()[name], smooth_map(20, 20)
    field = field_of(wanted.shape, machine.head.leaf_width_mm)
    found = deviation(machine, field, wanted.ravel(), sequence(machine, field, wanted.ravel(), technique))
    assert found.rms_mu < rms_percent / 100.0 * wanted.max()


def test_mu_of_a_uniform_field() -> None:
    """A window of 100 mm needs the fluence and what leaves block while they sweep; one shape needs the fluence."""
    machine, field = machines()["generic-5mm"], field_of((20, 20))
    head, flat = machine.head, np.full(400, 50.0)
    sweep_mu = 100.0 / head.leaf_speed_mm_per_s * head.dose_rates_mu_per_min[1] / 60.0
    assert sequence(machine, field, flat, SLIDING)[0].mu == pytest.approx(50.0 + (1 - head.transmission) * sweep_mu)
    (shot,) = sequence(machine, field, flat, SHOOT)
    assert (shot.mu, len(shot.control_points)) == (pytest.approx(50.0), 2)


def test_what_cannot_be_kept_out_is_reported() -> None:
    """An unwanted beamlet amid wanted ones gets transmission and the window's passage; `deviation` says so."""
    machine, field = machines()["generic-5mm"], field_of((3, 9))
    wanted = np.full((3, 9), 30.0)
    wanted[1, 4] = 0.0
    delivered = sequence(machine, field, wanted.ravel(), SLIDING, most_control_points=EVERY_STOP)
    head = machine.head
    passage = (head.smallest_gap_mm + head.dosimetric_gap_mm) / head.leaf_speed_mm_per_s * 10.0
    leak = head.transmission * delivered[0].mu + (1 - head.transmission) * passage
    assert delivered_on(field, machine, delivered)[1, 4] == pytest.approx(leak, rel=1e-6)
    found = deviation(machine, field, wanted.ravel(), delivered)
    assert found.surplus_percent == pytest.approx(100.0 * leak / wanted.sum(), rel=1e-4)
    assert found.deficit_percent < 1e-6


def test_fluence_too_weak_for_the_head_is_left_out_and_reported() -> None:
    """Half a MU is less than leaks through a window and less than half the smallest segment: nothing is delivered."""
    machine, field = machines()["generic-5mm"], field_of((4, 4))
    for technique in Technique:
        assert sequence(machine, field, np.full(16, 0.5), technique) == ()
    assert deviation(machine, field, np.full(16, 0.5), ()).deficit_percent == pytest.approx(100.0)


def test_no_fluence_needs_no_field() -> None:
    """Fluence of zero gives no parts, and nothing is missing."""
    machine, field = machines()["generic-5mm"], field_of((4, 4))
    for technique in Technique:
        assert sequence(machine, field, np.zeros(16), technique) == ()
    assert deviation(machine, field, np.zeros(16), ()).rms_mu == 0.0


@pytest.mark.parametrize("technique", Technique)
def test_a_single_beamlet(technique: Technique) -> None:
    """One beamlet among closed ones gets its fluence, and jaws close round it."""
    machine, field = machines()["generic-5mm"], field_of((5, 5))
    wanted = np.zeros((5, 5))
    wanted[3, 1] = 20.0
    delivered = sequence(machine, field, wanted.ravel(), technique)
    assert delivered[0].jaws_mm == pytest.approx((-5.0, 0.0, 5.0, 10.0))
    assert delivered_on(field, machine, delivered) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("technique", Technique)
def test_weak_fields_keep_the_smallest_segment(technique: Technique) -> None:
    """Where a tenth of the maximum is less than the smallest segment, levels are coarser, never segments weaker."""
    machine, wanted = machines()["generic-5mm"], smooth_map(8, 8) / 4.0
    field = field_of(wanted.shape)
    (delivered,) = sequence(machine, field, wanted.ravel(), technique)
    given = np.diff(delivered.metersets) * delivered.mu
    assert check(machine, delivered) == ()
    assert technique is SLIDING or given[given > 0.0].min() >= 2.0


def test_the_same_fluence_gives_the_same_control_points() -> None:
    """Two runs agree to the last bit."""
    machine, wanted = machines()["generic-2.5mm"], smooth_map(9, 30)
    field = field_of(wanted.shape, 2.5)
    for technique in Technique:
        one, other = (sequence(machine, field, wanted.ravel(), technique)[0] for _ in range(2))
        assert one.mu == other.mu
        assert np.array_equal(one.left_mm, other.left_mm) and np.array_equal(one.right_mm, other.right_mm)


def test_control_points_are_limited() -> None:
    """No more control points than asked for, at a cost that `deviation` shows."""
    machine, wanted = machines()["generic-5mm"], smooth_map(20, 20)
    field = field_of(wanted.shape)
    coarse = sequence(machine, field, wanted.ravel(), SLIDING, most_control_points=30)
    fine = sequence(machine, field, wanted.ravel(), SLIDING, most_control_points=300)
    assert (len(coarse[0].control_points), len(fine[0].control_points)) == (30, 300)
    errors = [deviation(machine, field, wanted.ravel(), delivered).rms_mu for delivered in (coarse, fine)]
    assert errors[1] < errors[0] < 1.0


def test_wide_outer_leaves_take_the_mean_of_their_beamlets() -> None:
    """Under a 10 mm leaf two 5 mm rows of 10 and 30 MU both get 20 MU."""
    machine, field = ideal(), field_of((2, 3), corner_mm=(-5.0, 110.0))
    wanted = np.repeat([[10.0], [30.0]], 3, axis=1)
    delivered = sequence(machine, field, wanted.ravel(), SLIDING)
    assert delivered_on(field, machine, delivered) == pytest.approx(np.full((2, 3), 20.0))


def test_leaves_narrower_than_beamlets_move_together() -> None:
    """10 mm beamlets over 5 and 2.5 mm leaves are exact."""
    wanted = np.array([[10.0, 20.0], [5.0, 0.0], [7.0, 9.0]])
    for name in ("generic-5mm", "generic-2.5mm"):
        machine, field = ideal(name), field_of((3, 2), 10.0, (-10.0, -10.0))
        delivered = sequence(machine, field, wanted.ravel(), SLIDING)
        assert delivered_on(field, machine, delivered) == pytest.approx(wanted)


def test_rows_between_leaves_are_averaged_by_overlap() -> None:
    """Rows 3 mm off the leaves: an inner leaf takes 2 mm of one and 3 mm of the next; jaws cut the outer ones."""
    machine, field = ideal(), field_of((2, 1), corner_mm=(0.0, 3.0))
    delivered = sequence(machine, field, np.array([10.0, 20.0]), SLIDING)
    assert delivered[0].jaws_mm[2:] == pytest.approx((3.0, 13.0))
    _, raster = delivered_fluence(machine, delivered, 1.0)
    assert raster[:, 0] == pytest.approx([10.0] * 2 + [(3 * 10.0 + 2 * 20.0) / 5] * 5 + [20.0] * 3)


@pytest.mark.parametrize("corner_x_mm", [-190.0, 60.0, 150.0])
@pytest.mark.parametrize("technique", Technique)
def test_fields_far_off_the_axis(corner_x_mm: float, technique: Technique) -> None:
    """A jaw that cannot follow leaves a side open; waiting leaves stand behind the other, so nothing leaks there."""
    machine, field = machine_with(transmission=0.0), field_of((6, 8), corner_mm=(corner_x_mm, -15.0))
    wanted = np.random.default_rng(1).integers(2, 10, (6, 8)) * 3.0
    delivered = sequence(machine, field, wanted.ravel(), technique, levels=9, most_control_points=EVERY_STOP)
    assert all(check(machine, part) == () for part in delivered)
    assert delivered_on(field, machine, delivered) == pytest.approx(wanted, abs=1e-6)
    _, raster = delivered_fluence(machine, delivered, 5.0)
    passage = 2.2 / 25.0 * 10.0
    outside = raster.sum() - wanted.sum()
    assert -1e-6 < outside <= 6 * passage


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_fluence_that_is_no_fluence_is_refused(bad: float) -> None:
    """Negative and non-finite numbers are refused by field and value."""
    with pytest.raises(BadInput, match=f"'open'.*{bad:g}"):
        sequence(machines()["generic-5mm"], field_of((2, 2)), np.array([1.0, bad, 1.0, 1.0]), SLIDING)


def test_fluence_of_another_field_is_refused() -> None:
    """The wrong number of beamlets, and beamlets beyond the head, are refused with what was expected."""
    machine = machines()["generic-2.5mm"]
    with pytest.raises(BadInput, match="4 beamlets"):
        sequence(machine, field_of((2, 2)), np.ones(5), SLIDING)
    with pytest.raises(BadInput, match="400 × 220 mm"):
        sequence(machine, field_of((2, 2), corner_mm=(0.0, 105.0)), np.full(4, 9.0), SLIDING)


def test_beamlets_end_where_the_head_does() -> None:
    """A target at the edge of the field has no beamlets beyond it, so its field can be sequenced."""
    machine = machines()["generic-2.5mm"]
    points = np.stack(np.meshgrid([0.0], [0.0], np.arange(-108.0, 109.0, 2.0)), axis=-1).reshape(-1, 3)
    field = field_for_target(Beam("b", (0.0, 0.0, 0.0), 0.0), machine, 5.0, points)
    assert len(sequence(machine, field, np.full(field.beamlet_count, 20.0), SLIDING)) == 1


def test_fluence_of_a_resting_opening() -> None:
    """10 mm between tips pass MU over 11.7 mm, transmission elsewhere, and nothing behind the jaws."""
    machine = machines()["generic-5mm"]
    field = _still(machine, left_mm=-5.0, right_mm=5.0, jaws_mm=(-20.0, 20.0, -5.0, 5.0))
    (x, y), raster = delivered_fluence(machine, [field], 2.5)
    leak = 0.015 * 100.0
    assert (x, y) == (-18.75, -3.75)
    assert raster[0, :2] == pytest.approx([leak, leak])
    assert raster.sum(axis=1) * 2.5 == pytest.approx(np.full(4, 11.7 * 100.0 + (40.0 - 11.7) * leak))
    assert raster.shape == (4, 16)


def test_fluence_of_a_sweeping_slit() -> None:
    """A slit of 5 mm that moves by 100 mm gives every point MU × (5 + dosimetric gap) / 100, and its transmission."""
    machine = machine_with(transmission=0.02)
    first = _still(machine, left_mm=-60.0, right_mm=-55.0, jaws_mm=(-30.0, 30.0, -10.0, 10.0))
    end = ControlPoint(1.0, np.full(60, 40.0), np.full(60, 45.0))
    slit = replace(first, control_points=(first.control_points[0], end))
    _, raster = delivered_fluence(machine, [slit], 1.0)
    assert raster == pytest.approx(np.full(raster.shape, 0.98 * 100.0 * 6.7 / 100.0 + 2.0))


def test_a_cell_is_the_mean_of_the_finer_ones_in_it() -> None:
    """Integration is exact: 5 mm cells are the mean of 1.25 mm cells to rounding."""
    machine, wanted = machines()["generic-5mm"], smooth_map(8, 8)
    delivered = sequence(machine, field_of(wanted.shape), wanted.ravel(), SLIDING)
    (_, fine), (_, coarse) = (delivered_fluence(machine, delivered, cell) for cell in (1.25, 5.0))
    assert fine.reshape(8, 4, 8, 4).mean(axis=(1, 3)) == pytest.approx(coarse, rel=1e-12)


def test_fluence_of_several_beams_is_refused() -> None:
    """Parts of different beams do not add up."""
    machine = machines()["generic-5mm"]
    one = _still(machine)
    with pytest.raises(BadInput, match="'still', 'other'"):
        delivered_fluence(machine, [one, replace(one, beam_id="other")])


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (Rule.METERSET, {"mu": 0.5}),
        (Rule.METERSET, {"mu": np.nan}),
        (Rule.METERSET, {"metersets": (0.0, 0.9)}),
        (Rule.METERSET, {"metersets": (0.1, 1.0)}),
        (Rule.GAP, {"right_mm": -5.2}),
        (Rule.SPAN, {"one_left_mm": -160.0}),
        (Rule.SPEED, {"end_right_mm": 50.0, "mu": 1.0, "leaf_speed_mm_per_s": 0.1}),
        (Rule.INTERDIGITATION, {"one_left_mm": -40.0, "one_right_mm": -20.0, "interdigitates": False}),
        (Rule.JAWS, {"jaws_mm": (25.0, 30.0, -5.0, 5.0)}),
        (Rule.JAWS, {"jaws_mm": (-201.0, 30.0, -5.0, 5.0)}),
        (Rule.JAWS, {"jaws_mm": (5.0, 5.0, -5.0, 5.0)}),
        (Rule.JAWS, {"jaws_mm": (-5.0, 5.0, -115.0, 5.0), "name": "generic-2.5mm"}),
        (Rule.SEGMENT, {"mu": 1.5, "technique": SHOOT}),
        (Rule.SEGMENT, {"end_right_mm": 6.0, "technique": SHOOT}),
    ],
)
def test_every_broken_rule_is_found(rule: Rule, change: dict[str, object]) -> None:
    """A field that breaks one rule gives that finding and no other."""
    facts = {name: change[name] for name in ("interdigitates", "leaf_speed_mm_per_s") if name in change}
    machine = machine_with(str(change.get("name", "generic-5mm")), **facts)
    change = {name: value for name, value in change.items() if name not in ("name", *facts)}
    assert check(machine, _still(machine)) == ()
    findings = check(machine, _still(machine, **change))
    assert [finding.rule for finding in findings] == [rule]
    assert "'still', part 1" in findings[0].message


def test_positions_for_another_head_are_refused() -> None:
    """Control points with the wrong number of leaves are no finding but bad input."""
    machine = machines()["generic-5mm"]
    short = ControlPoint(0.0, np.zeros(40), np.ones(40))
    with pytest.raises(BadInput, match="60 finite positions"):
        check(machine, replace(_still(machine), control_points=(short, replace(short, meterset=1.0))))


def test_a_slower_beam_gives_leaves_time() -> None:
    """Tips that move 100 mm during 10 MU need 4 s at 25 mm/s, more than the beam's 1 s."""
    machine = machines()["generic-5mm"]
    field = _still(machine, mu=10.0, end_right_mm=105.0)
    assert beam_on_s(machine.head, field) == pytest.approx(4.0)


def _still(
    machine: Machine,
    *,
    mu: float = 100.0,
    left_mm: float = -5.0,
    right_mm: float = 5.0,
    end_right_mm: float | None = None,
    one_left_mm: float | None = None,
    one_right_mm: float | None = None,
    jaws_mm: tuple[float, float, float, float] = (-5.0, 5.0, -5.0, 5.0),
    metersets: tuple[float, float] = (0.0, 1.0),
    technique: Technique = SLIDING,
) -> DeliveredField:
    """All pairs open alike and at rest, but for what is asked otherwise."""
    left, right = np.full(machine.head.pair_count, left_mm), np.full(machine.head.pair_count, right_mm)
    left[30] = left_mm if one_left_mm is None else one_left_mm
    right[30] = right_mm if one_right_mm is None else one_right_mm
    end = right if end_right_mm is None else np.full_like(right, end_right_mm)
    points = (ControlPoint(metersets[0], left, right), ControlPoint(metersets[1], left, end))
    return DeliveredField("still", 1, mu, jaws_mm, points, technique)
