"""A whole plan as it is delivered: every planned beam sequenced, with what the head says to it.

The one idea: 100 MU are 1 Gy under the reference condition that `Machine.unit` states, so a beamlet of fluence w (plan
total) wants 100 · w / fractions MU each day. The output of the head is part of the beam's kernel, transmission part of
the sequence; nothing else stands between MU and dose. All of it is linear: scaling a plan scales its MU and leaves its
control points as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim_tps.delivery.checks import Finding, check
from sim_tps.delivery.delivered import DeliveredField, Technique
from sim_tps.delivery.fluence import Deviation, deviation
from sim_tps.delivery.sequence import sequence
from sim_tps.dose.fields import Field
from sim_tps.machine import Machine
from sim_tps.progress import IsCancelled, Report, heed

MU_PER_UNIT = 100.0
"""Monitor units in one unit of fluence: the usual calibration, 1 cGy per MU under the reference condition."""

Parts = tuple[DeliveredField, ...]
"""What is delivered for one planned beam: nothing, one field, or several where it is wide."""


@dataclass(frozen=True, eq=False)
class Delivery:
    """Control points and MU of a plan, and how well they do."""

    technique: Technique
    parts: tuple[Parts, ...]
    """One entry per planned beam; empty where all of its fluence is too weak to be delivered."""
    deviations: tuple[Deviation, ...]
    """Per planned beam, delivered against wanted fluence."""
    findings: tuple[Finding, ...]
    """Every rule of the head that a field breaks; none where the plan can be delivered."""

    @property
    def fields(self) -> tuple[DeliveredField, ...]:
        return tuple(field for parts in self.parts for field in parts)

    @property
    def beam_mu(self) -> tuple[float, ...]:
        """MU per fraction of each planned beam."""
        return tuple(sum(field.mu for field in parts) for parts in self.parts)

    def scaled(self, machine: Machine, factor: float) -> Delivery:
        """The same control points with ``factor`` times the MU, checked again."""
        parts = tuple(tuple(replace(field, mu=factor * field.mu) for field in beam) for beam in self.parts)
        deviations = tuple(replace(d, rms_mu=factor * d.rms_mu) for d in self.deviations)
        return Delivery(self.technique, parts, deviations, _findings(machine, parts))


def deliver(
    machine: Machine,
    fields: Sequence[Field],
    fluence: NDArray[np.floating],
    fraction_count: int,
    technique: Technique,
    *,
    report: Report,
    cancelled: IsCancelled,
) -> Delivery:
    """Sequence every field of a plan.

    Parameters
    ----------
    fluence
        Plan total in units of `Machine.unit`, one number per beamlet, all fields in a row.

    Raises
    ------
    BadInput
        Fluence that no head of this kind delivers, see `sim_tps.delivery.sequence.sequence`.
    Cancelled
    """
    ends = np.cumsum([field.beamlet_count for field in fields])
    wanted = np.split(MU_PER_UNIT / fraction_count * np.asarray(fluence, np.float64), ends[:-1])
    made: list[Parts] = []
    for done, (field, mu) in enumerate(zip(fields, wanted, strict=True), start=1):
        heed(cancelled, "leaf sequencing")
        made.append(sequence(machine, field, mu, technique))
        report("sequencing leaves", 100.0 * done / len(fields), None, None)
    deviations = (deviation(machine, *each) for each in zip(fields, wanted, made, strict=True))
    return Delivery(technique, tuple(made), tuple(deviations), _findings(machine, made))


def _findings(machine: Machine, parts: Sequence[Parts]) -> tuple[Finding, ...]:
    return tuple(finding for beam in parts for field in beam for finding in check(machine, field))
