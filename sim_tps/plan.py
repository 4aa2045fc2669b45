"""What is planned: beams, prescription, objectives, and the dose they led to.

Everything is plain, frozen data; `sim_tps.tps` changes a plan by replacing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from sim_tps.delivery.delivered import Technique
from sim_tps.geometry import Grid, Vector


class ObjectiveType(Enum):
    """The penalties the optimiser knows; `sim_tps.optimise.objectives` gives their formulas."""

    LOWER = "lower"
    """Dose-volume: at least ``volume_percent`` of the structure gets ``dose_gy``."""
    UPPER = "upper"
    """Dose-volume: at most ``volume_percent`` of the structure gets more than ``dose_gy``."""
    MAX = "max"
    MIN = "min"
    MEAN = "mean"
    """Upper limit of the mean dose."""
    EUD_UPPER = "eud-upper"
    EUD_LOWER = "eud-lower"
    UNIFORM = "uniform"
    FALL_OFF = "fall-off"
    """Normal-tissue fall-off from the targets' edge."""
    HOT_FRACTION = "hot-fraction"
    """Mean squared excess over ``dose_gy`` in the hottest ``volume_percent`` of the structure."""


class Relation(Enum):
    """What a constraint demands of the quantity that its type speaks of."""

    AT_LEAST = "at least"
    AT_MOST = "at most"
    EXACTLY = "exactly"


class Problem(Enum):
    """The mathematical problems the optimiser solves."""

    QUADRATIC_PENALTY = "quadratic penalty"
    """Weighted sum of penalties; `sim_tps.optimise.constraints` keeps the constraints."""
    HOT_FRACTION = "hot fraction"
    """HOT_FRACTION objectives, targets held by exact dose-volume constraints; see `sim_tps.optimise.hot_fraction`."""


@dataclass(frozen=True)
class Objective:
    """One term of the optimiser's sum, or a constraint on it; dose in Gy (plan total)."""

    id: str
    type: ObjectiveType
    structure: str
    priority: float
    """0..1000; 0 for a constraint, which is not weighed."""
    dose_gy: float
    volume_percent: float | None = None
    """LOWER, UPPER and HOT_FRACTION only."""
    a: float | None = None
    """EUD only: gEUD = (mean of dose^a)^(1/a)."""
    end_dose_gy: float | None = None
    """FALL_OFF only: the dose far away; ``dose_gy`` is the dose at ``distance_mm`` from the target."""
    distance_mm: float | None = None
    fall_off_per_mm: float | None = None
    relation: Relation | None = None
    """Given: a constraint, kept whatever it costs."""


@dataclass(frozen=True)
class Beam:
    """One static field, angles in IEC 61217 degrees."""

    id: str
    isocentre_mm: Vector
    gantry_deg: float
    collimator_deg: float = 0.0
    couch_deg: float = 0.0
    label: str = ""


@dataclass(frozen=True)
class TargetDose:
    """What one target is prescribed over all fractions."""

    structure: str
    total_gy: float


@dataclass(frozen=True)
class Prescription:
    fraction_count: int
    targets: tuple[TargetDose, ...]

    @property
    def highest_gy(self) -> float:
        """The highest of the targets' doses; 0 where nothing is prescribed."""
        return max((target.total_gy for target in self.targets), default=0.0)


@dataclass(frozen=True)
class TargetCoverage:
    """Scale the dose so that ``volume_percent`` of ``structure`` gets exactly ``dose_gy``."""

    structure: str
    volume_percent: float
    dose_gy: float


@dataclass(frozen=True)
class Percent:
    """Multiply the optimiser's dose by ``percent`` / 100."""

    percent: float


Normalization = TargetCoverage | Percent | None


@dataclass(frozen=True)
class PlanSettings:
    """Everything about a plan that a person chose; the arrays that follow from it are in `Plan`."""

    id: str
    label: str
    patient: str
    machine: str
    beams: tuple[Beam, ...]
    prescription: Prescription
    dose_grid_mm: float | None
    """None: the image's own voxels."""
    optimization_grid_mm: float | None
    """None: the dose grid."""
    beamlet_mm: float
    objectives: tuple[Objective, ...] = ()
    normalization: Normalization = None
    made_by: tuple[tuple[str, str], ...] = ()
    """Who made it from what, as (key, value) pairs of the caller's own."""
    technique: Technique = Technique.SLIDING_WINDOW
    """How its fluence is delivered."""


@dataclass(frozen=True, eq=False)
class Dose:
    """A dose distribution and what it is."""

    gy: NDArray[np.float32]
    """Plan total, [z, y, x]."""
    grid: Grid
    kind: str
    """``intermediate`` (ideal fluence), ``final`` (control points) or ``imported``."""
    algorithm: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A plan as it stands: settings, the fluence found for them, and the dose of that fluence."""

    settings: PlanSettings
    revision: int
    """Grows with every change, also when an earlier state is restored."""
    fluence: NDArray[np.floating] | None = None
    """One weight per beamlet, beams in order; where a warm start begins."""
    raw_dose: Dose | None = None
    """Dose of ``fluence``, or of the control points made from it, before normalisation."""
    dose_revision: int | None = None
    """The plan's revision when ``raw_dose`` was computed."""
    scale: float = 1.0
    """Normalised dose = ``scale`` x ``raw_dose``, and MU likewise."""
    values: tuple[tuple[str, float], ...] = ()
    """After the last optimisation: objective id -> weighted value, constraint id -> Gy by which it is missed."""
    raw_beam_mu: tuple[float, ...] = ()
    """MU of each beam per fraction before normalisation; empty where ``raw_dose`` is not of control points."""
    findings: tuple[str, ...] = ()
    """Rules of the machine's head that the control points break with their normalised MU."""

    @property
    def beam_mu(self) -> tuple[float, ...]:
        """MU of each beam per fraction; empty where they are not known."""
        return tuple(self.scale * mu for mu in self.raw_beam_mu)

    @property
    def deliverable(self) -> bool:
        """The dose is that of control points which the head can follow."""
        return self.raw_dose is not None and self.raw_dose.kind == "final" and not self.findings
