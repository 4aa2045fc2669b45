"""Whether a head can deliver a field: every mechanical rule, checked on the control points alone.

Tips move evenly between control points, so gaps and distances there are never worse than at one of the two ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from sim_tps.delivery.delivered import DeliveredField, Technique, longest_moves_mm
from sim_tps.delivery.head import ROUNDING_MM, Head
from sim_tps.errors import BadInput
from sim_tps.machine import Machine

_SAME_SHARE = 1e-9
_SAME_MU = 1e-6


class Rule(Enum):
    """What the head demands."""

    METERSET = "meterset"
    """Shares rise from 0 to 1; the field has at least the smallest meterset."""
    GAP = "gap"
    SPAN = "span"
    SPEED = "speed"
    """At the lowest dose rate the leaves follow."""
    INTERDIGITATION = "interdigitation"
    JAWS = "jaws"
    """Within their travel, and open only where there are leaves."""
    SEGMENT = "segment"
    """Step-and-shoot: leaves rest while the beam is on, and every segment has the smallest MU or more."""


@dataclass(frozen=True)
class Finding:
    """One rule that a field breaks."""

    rule: Rule
    message: str


def check(machine: Machine, field: DeliveredField) -> tuple[Finding, ...]:
    """Every rule of the machine's head that a field breaks; empty when it can be delivered.

    Raises
    ------
    BadInput
        Positions that are not finite, or not one per leaf pair.
    """
    head, name = machine.head, f"beam {field.beam_id!r}, part {field.part}"
    _check_shape(head, field, name)
    checks = (
        (Rule.METERSET, _meterset),
        (Rule.GAP, _gap),
        (Rule.SPAN, _span),
        (Rule.SPEED, _speed),
        (Rule.INTERDIGITATION, _interdigitation),
        (Rule.JAWS, _jaws),
        (Rule.SEGMENT, _segment),
    )
    return tuple(Finding(rule, f"{name}: {text}") for rule, broken in checks for text in broken(head, field))


def _check_shape(head: Head, field: DeliveredField, name: str) -> None:
    if len(field.control_points) < 2:
        raise BadInput(f"{name}: {len(field.control_points)} control points; expected 2 or more.")
    for point in field.control_points:
        for bank in (point.left_mm, point.right_mm):
            if bank.shape != (head.pair_count,) or not np.all(np.isfinite(bank)):
                raise BadInput(f"{name}: expected {head.pair_count} finite positions per bank in every control point.")


def _meterset(head: Head, field: DeliveredField) -> Iterator[str]:
    shares = field.metersets
    if not (shares[0] == 0.0 and abs(shares[-1] - 1.0) <= _SAME_SHARE and np.all(np.diff(shares) >= 0.0)):
        yield f"metersets go from {shares[0]:g} to {shares[-1]:g}; they must rise from 0 to 1."
    if not field.mu >= head.smallest_meterset_mu - _SAME_MU:
        yield f"{field.mu:g} MU; the machine gives {head.smallest_meterset_mu:g} MU or more."


def _gap(head: Head, field: DeliveredField) -> Iterator[str]:
    gap = float((field.right_mm - field.left_mm).min())
    if gap < head.smallest_gap_mm - ROUNDING_MM:
        yield f"tips come as near as {gap:.3f} mm; the smallest gap is {head.smallest_gap_mm:g} mm."


def _span(head: Head, field: DeliveredField) -> Iterator[str]:
    span = max(float(np.ptp(bank, axis=1).max()) for bank in (field.left_mm, field.right_mm))
    if span > head.span_mm + ROUNDING_MM:
        yield f"tips of one bank are {span:.1f} mm apart; the leaves span {head.span_mm:g} mm."


def _speed(head: Head, field: DeliveredField) -> Iterator[str]:
    mu, moves = np.diff(field.metersets) * field.mu, longest_moves_mm(field)
    lowest = head.dose_rates_mu_per_min[0]
    farthest = mu * 60.0 / lowest * head.leaf_speed_mm_per_s
    if np.any((moves > farthest + ROUNDING_MM) & (mu > _SAME_MU)):
        yield f"leaves at {head.leaf_speed_mm_per_s:g} mm/s cannot follow even at {lowest:g} MU/min."


def _interdigitation(head: Head, field: DeliveredField) -> Iterator[str]:
    left, right = field.left_mm, field.right_mm
    nearest = float(min((right[:, 1:] - left[:, :-1]).min(), (right[:, :-1] - left[:, 1:]).min()))
    if not head.interdigitates and nearest < head.smallest_gap_mm - ROUNDING_MM:
        yield f"opposed tips of neighbours come to {nearest:.3f} mm; the smallest is {head.smallest_gap_mm:g} mm."


def _jaws(head: Head, field: DeliveredField) -> Iterator[str]:
    x1, x2, y1, y2 = field.jaws_mm
    travels = ((-x1, head.x_jaws, "x1"), (x2, head.x_jaws, "x2"), (-y1, head.y_jaws, "y1"), (y2, head.y_jaws, "y2"))
    for outward, travel, name in travels:
        if not -travel.over_mm - ROUNDING_MM <= outward <= travel.open_mm + ROUNDING_MM:
            yield f"jaw {name} lies {outward:g} mm outward; it goes from {-travel.over_mm:g} to {travel.open_mm:g} mm."
    if x2 <= x1 or y2 <= y1:
        yield f"jaws x {x1:g} to {x2:g} mm, y {y1:g} to {y2:g} mm leave nothing free."
    low, high = head.leaf_edges_mm[[0, -1]]
    if y1 < low - ROUNDING_MM or y2 > high + ROUNDING_MM:
        yield f"jaws are open from y {y1:g} to {y2:g} mm; leaves lie from {low:g} to {high:g} mm."


def _segment(head: Head, field: DeliveredField) -> Iterator[str]:
    if field.technique is not Technique.STEP_AND_SHOOT:
        return
    mu, moves = np.diff(field.metersets) * field.mu, longest_moves_mm(field)
    on = mu > _SAME_MU
    if np.any(moves[on] > ROUNDING_MM):
        yield "leaves move while the beam is on."
    if np.any(mu[on] < head.smallest_segment_mu - _SAME_MU):
        yield f"a segment has {mu[on].min():g} MU; the smallest is {head.smallest_segment_mu:g} MU."
