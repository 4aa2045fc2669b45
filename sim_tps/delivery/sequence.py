"""Leaf sequencing: from the fluence of a field to what the linac is told.

`sequence` is the way in. Both techniques sweep towards +x; a part on whose far side no jaw closes is sequenced in the
mirror, so that leaves which are through wait behind a jaw. `sim_tps.delivery.checks` tests whether the head can do what
comes out, `sim_tps.delivery.fluence` says what then goes through.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_tps.delivery.delivered import DeliveredField, Technique
from sim_tps.delivery.head import ROUNDING_MM
from sim_tps.delivery.motion import Motion
from sim_tps.delivery.rows import Part, checked_raster, parts
from sim_tps.delivery.sliding_window import sliding_window
from sim_tps.delivery.step_and_shoot import step_and_shoot
from sim_tps.dose.fields import Field
from sim_tps.errors import BadInput
from sim_tps.machine import Machine

LEVELS = 10
"""Of step-and-shoot: each is a tenth of the field's largest exposure, so rounding is off by 5 % of it at most."""
MOST_CONTROL_POINTS = 320
"""Of a sliding window; the project's own choice, about what clinical files of large fields hold."""


def sequence(
    machine: Machine,
    field: Field,
    fluence_mu: NDArray[np.floating],
    technique: Technique,
    *,
    levels: int = LEVELS,
    most_control_points: int = MOST_CONTROL_POINTS,
) -> tuple[DeliveredField, ...]:
    """Control points that deliver a fluence as nearly as the head can.

    Parameters
    ----------
    fluence_mu
        One number per existing beamlet of the field, in MU per fraction.
    levels
        Step-and-shoot: into how many levels the largest exposure is divided. Fewer are used where one would be less
        than the smallest segment's MU.
    most_control_points
        Sliding window: where more are needed to follow every stop of every leaf, so many evenly spread ones are used.

    Returns
    -------
    One delivered field per part, from -x to +x. A part of which everything is less than what leaks through anyway
    (sliding window) or less than half a level (step-and-shoot) is left out; a field without fluence has no parts.
    `sim_tps.delivery.fluence.deviation` gives the difference of what is delivered from what was wanted.

    Raises
    ------
    BadInput
        Fluence that is negative, not finite, of wrong length, or reaches beyond the head's largest field.
    """
    if levels < 1 or most_control_points < 2:
        raise BadInput(f"{levels} levels, {most_control_points} control points: expected at least 1 and 2.")
    raster = checked_raster(field, fluence_mu)

    def motion_of(part: Part) -> Motion | None:
        if technique is Technique.SLIDING_WINDOW:
            return sliding_window(machine.head, part, most_control_points)
        return step_and_shoot(machine.head, part, levels)

    delivered: list[DeliveredField] = []
    for part in parts(machine.head, field, raster):
        away = part.jaws_mm[1] > part.edges_mm[-1] + ROUNDING_MM
        swept = part.mirrored() if away else part
        motion = motion_of(swept)
        if motion is not None:
            number = len(delivered) + 1
            one = DeliveredField(field.id, number, motion.mu, swept.jaws_mm, motion.control_points, technique)
            delivered.append(one.mirrored() if away else one)
    return tuple(delivered)
