"""The contract's nouns in clinical words, as frozen dataclasses.

Backends return these, the client returns these, and `bridge.convert` is the only module that turns them into wire
messages and back. Units are in the names: Gy are plan totals unless ``_per_fraction_gy``; percent is 0..100; mm are
DICOM patient coordinates (LPS), ordered x, y, z; angles are IEC 61217 degrees; arrays are indexed [z, y, x].

A ``name`` is issued by the server, stable, and made of safe characters (``patients/P1/plans/plan-3``). A ``label`` is
free text from the TPS: data to show, never an instruction to follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]

# ------------------------------------------------------------------------------------------ the server


class ServerState(Enum):
    STARTING = 1
    READY = 2
    BUSY = 3
    DEGRADED = 4
    LOST = 5


class ServerMode(Enum):
    """How much a server may be trusted with; CLINICAL switches reflection off."""

    SIMULATED = 1
    RESEARCH = 2
    CLINICAL = 3


class Profile(Enum):
    """What a server claims to implement whole."""

    READER = 1
    PLANNER = 2
    AUTHOR = 3
    VOLUME = 4


class Access(Enum):
    """What a caller may do. WRITE includes READ and PRIORITY; CONFIRM is included in nothing."""

    READ = 1
    PRIORITY = 2
    WRITE = 3
    CONFIRM = 4


class PriorityScaleKind(Enum):
    """How a priority acts on its objective's penalty."""

    LINEAR = 1
    VENDOR = 2


@dataclass(frozen=True)
class PriorityScale:
    """The TPS's own priority numbers; they are never rescaled."""

    kind: PriorityScaleKind
    minimum: float
    maximum: float
    default: float
    typical_minimum: float
    typical_maximum: float
    integer: bool


@dataclass(frozen=True)
class Limits:
    """What this server refuses to go beyond."""

    max_iterations: int
    max_seconds: float
    max_objectives: int
    max_beams: int
    max_lease_s: float
    max_dose_gy: float
    min_grid_mm: float
    max_plan_label_length: int = 64
    max_structure_label_length: int = 64


class PenaltyForm(Enum):
    MEAN_SQUARED_VIOLATION = 1
    SUM_SQUARED_VIOLATION = 2
    VENDOR = 3


@dataclass(frozen=True)
class PlanningHints:
    """What a planner should know about this TPS's optimiser: typed facts first, then short texts."""

    penalty_form: PenaltyForm
    normalised_by_structure_volume: bool
    """Whether a priority means the same for a small and a large structure."""
    dose_between_objective_and_goal_percent: float | None
    """How far below the wanted dose an upper objective is usefully set, in percent of the wanted dose."""
    warm_start_keeps_fluence: bool
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerInfo:
    spec_version: str
    product: str
    product_version: str
    tps_name: str
    tps_version: str
    state: ServerState
    mode: ServerMode
    profiles: frozenset[Profile]
    capabilities: Mapping[str, str]
    """Registry id -> value (``YES`` for plain ones); an id that is absent is not supported."""
    limits: Limits
    priority_scale: PriorityScale
    hints: PlanningHints | None
    read_only: bool


# ------------------------------------------------------------------------------------------ sessions


class SessionMode(Enum):
    READ_ONLY = 1
    READ_WRITE = 2


@dataclass(frozen=True)
class ClientInfo:
    """Who asks: for provenance and audit."""

    product: str
    version: str
    model_id: str | None = None
    """The language model behind the planner, if any."""


@dataclass(frozen=True)
class Session:
    name: str
    patient: str
    mode: SessionMode
    expires: datetime


class ChangeKind(Enum):
    PLAN_CREATED = 1
    PLAN_COPIED = 2
    PLAN_CHANGED = 3
    STRUCTURE_CREATED = 4
    PLAN_DELETED = 5
    STRUCTURE_DELETED = 6


@dataclass(frozen=True)
class Change:
    """One difference that a commit would save."""

    kind: ChangeKind
    resource: str
    summary: str


@dataclass(frozen=True)
class PendingChanges:
    changes: tuple[Change, ...]
    digest: str
    """SHA-256 over the changed plans and structures as they stand; a commit must name it."""
    confirmed: bool


# ------------------------------------------------------------------------------------------ patients, structures


@dataclass(frozen=True)
class Finding:
    """Something the import did or noticed."""

    code: str
    message: str
    structure: str | None = None
    """Structure name, when it concerns one."""


@dataclass(frozen=True)
class Patient:
    name: str
    label: str
    findings: tuple[Finding, ...] = ()
    prescription_note: str | None = None
    """The prescription found in the patient's own data, in words."""


class StructureRole(Enum):
    TARGET = 1
    OAR = 2
    EXTERNAL = 3
    SUPPORT = 4
    HELPER = 5


@dataclass(frozen=True)
class Structure:
    name: str
    label: str
    role: StructureRole
    volume_cc: float
    centre_mm: Vector | None
    empty: bool
    tg263_name: str | None = None
    cut_by_image_edge: bool = False


class DerivationKind(Enum):
    """How a helper structure is made from others."""

    MARGIN = 1
    RING = 2
    UNION = 3
    INTERSECTION = 4
    DIFFERENCE = 5


@dataclass(frozen=True)
class Derivation:
    """A recipe for a helper structure; the result is always kept inside the External.

    MARGIN: union of ``sources`` grown by ``outer_mm`` (negative shrinks).
    RING: union grown by ``outer_mm`` less union grown by ``inner_mm``.
    UNION, INTERSECTION: of ``sources``. DIFFERENCE: first source less (union of the others grown by ``outer_mm``).
    """

    kind: DerivationKind
    sources: tuple[str, ...]
    inner_mm: float = 0.0
    outer_mm: float = 0.0


# ------------------------------------------------------------------------------------------ plans


class PlanState(Enum):
    EDITABLE = 1
    LOCKED = 2
    APPROVED = 3
    TREATED = 4
    RETIRED = 5


class Technique(Enum):
    IMRT = 1
    VMAT = 2
    CONFORMAL = 3
    OTHER = 4


@dataclass(frozen=True)
class TargetPrescription:
    structure: str
    total_gy: float


@dataclass(frozen=True)
class Prescription:
    fraction_count: int
    targets: tuple[TargetPrescription, ...]


@dataclass(frozen=True)
class PercentNormalization:
    """Every dose is multiplied by ``percent`` / 100 with respect to the optimiser's dose."""

    percent: float


@dataclass(frozen=True)
class CoverageNormalization:
    """Dose scaled so that ``volume_percent`` of ``structure`` gets exactly ``dose_gy``."""

    structure: str
    volume_percent: float
    dose_gy: float


Normalization = PercentNormalization | CoverageNormalization | None


class DoseKind(Enum):
    """What a dose is; only FINAL comes from a deliverable plan."""

    NONE = 1
    INTERMEDIATE = 2
    APPROXIMATE = 3
    FINAL = 4
    IMPORTED = 5


@dataclass(frozen=True)
class Grid:
    """Equal voxels along the patient's axes."""

    origin_mm: Vector
    spacing_mm: Vector
    size: tuple[int, int, int]
    """Voxel counts along x, y, z."""


@dataclass(frozen=True)
class DoseInfo:
    """What a dose is; DVHs and metrics carry the same."""

    kind: DoseKind
    stale: bool = False
    """The plan changed after the dose was computed."""
    deliverable: bool = False
    algorithm: str = ""
    grid: Grid | None = None
    plan_etag: str | None = None
    max_gy: float | None = None
    max_position_mm: Vector | None = None


@dataclass(frozen=True)
class Provenance:
    """Where a plan that the bridge made comes from."""

    source_plan: str | None
    source_etag: str | None
    principal: str
    client: str
    model_id: str | None
    created: datetime
    bridge_version: str


@dataclass(frozen=True)
class Plan:
    name: str
    patient: str
    label: str
    state: PlanState
    vendor_state: str
    prescription: Prescription | None
    normalization: Normalization
    technique: Technique
    deliverable: bool
    working_copy: bool
    """Made by the bridge, so it may be written to inside a read-write session."""
    dose: DoseInfo
    etag: str
    provenance: Provenance | None = None


@dataclass(frozen=True)
class Beam:
    name: str
    label: str
    machine: str
    energy: str
    isocentre_mm: Vector
    gantry_deg: float
    collimator_deg: float
    couch_deg: float
    gantry_stop_deg: float | None = None
    """Arcs only."""
    meterset_mu: float | None = None


@dataclass(frozen=True)
class BeamSpec:
    """A beam to be made."""

    gantry_deg: float
    collimator_deg: float = 0.0
    couch_deg: float = 0.0
    isocentre_mm: Vector | None = None
    """Absent: the centre of ``isocentre_structure``."""
    isocentre_structure: str | None = None
    label: str = ""


@dataclass(frozen=True)
class PlanSpec:
    """A plan to be made; absent values mean the server's defaults, which the made plan shows."""

    label: str
    prescription: Prescription
    beams: tuple[BeamSpec, ...]
    machine: str | None = None
    energy: str | None = None
    dose_grid_mm: float | None = None
    optimization_grid_mm: float | None = None
    beamlet_mm: float | None = None


@dataclass(frozen=True)
class Machine:
    name: str
    label: str
    energies: tuple[str, ...]
    leaf_width_mm: float
    max_field_mm: tuple[float, float]
    """Largest field along x (leaf travel) and y at the isocentre."""


@dataclass(frozen=True)
class Snapshot:
    """A plan as it stood, to be gone back to; belongs to the working plan and goes with it."""

    name: str
    plan: str
    label: str
    created: datetime
    plan_etag: str


# ------------------------------------------------------------------------------------------ objectives


class ObjectiveRole(Enum):
    OBJECTIVE = 1
    CONSTRAINT = 2


class Bound(Enum):
    LOWER = 1
    UPPER = 2


class Relation(Enum):
    """Constraints only."""

    GREATER_OR_EQUAL = 1
    LESS_OR_EQUAL = 2
    EQUAL = 3


class Fidelity(Enum):
    """How closely the server keeps what was asked."""

    EXACT = 1
    APPROXIMATED = 2
    VENDOR = 3


@dataclass(frozen=True)
class DoseVolumePoint:
    """LOWER: at least ``volume_percent`` gets ``dose_gy``. UPPER: at most ``volume_percent`` gets more."""

    bound: Bound
    dose_gy: float
    volume_percent: float


@dataclass(frozen=True)
class MaxDose:
    dose_gy: float


@dataclass(frozen=True)
class MinDose:
    dose_gy: float


@dataclass(frozen=True)
class MeanDose:
    """Upper limit of the structure's mean dose."""

    dose_gy: float


@dataclass(frozen=True)
class Geud:
    """Generalised EUD, (mean of dose^a)^(1/a)."""

    bound: Bound
    dose_gy: float
    a: float


@dataclass(frozen=True)
class UniformDose:
    dose_gy: float


@dataclass(frozen=True)
class DoseFallOff:
    """Linear fall from ``high_gy`` at the target's edge to ``low_gy`` at ``distance_mm``."""

    high_gy: float
    low_gy: float
    distance_mm: float


@dataclass(frozen=True)
class NormalTissueFalloff:
    """Exponential fall-off outside all targets: from ``start_percent`` at ``distance_mm`` to ``end_percent`` far away.

    Percent of the highest prescribed dose. With ``automatic`` the server chooses the numbers and echoes them.
    """

    automatic: bool
    distance_mm: float | None = None
    start_percent: float | None = None
    end_percent: float | None = None
    fall_off_per_mm: float | None = None


@dataclass(frozen=True)
class HotFraction:
    """Mean squared excess over ``dose_gy`` in the hottest ``hottest_percent`` of the structure (100: every voxel)."""

    dose_gy: float
    hottest_percent: float


@dataclass(frozen=True)
class VendorFunction:
    """A function of the TPS's own that the contract has no words for; readable, not writable."""

    kind: str
    text: str


ObjectiveFunction = (
    DoseVolumePoint
    | MaxDose
    | MinDose
    | MeanDose
    | Geud
    | UniformDose
    | DoseFallOff
    | NormalTissueFalloff
    | HotFraction
    | VendorFunction
)


@dataclass(frozen=True)
class ObjectiveSpec:
    """What a client asks for."""

    structure: str
    function: ObjectiveFunction
    priority: float | None
    """Absent for a constraint."""
    role: ObjectiveRole = ObjectiveRole.OBJECTIVE
    relation: Relation | None = None


@dataclass(frozen=True)
class Objective:
    """What the server stored, which may differ from what was asked: see ``fidelity``."""

    name: str
    spec: ObjectiveSpec
    fidelity: Fidelity = Fidelity.EXACT
    fidelity_note: str = ""
    value: float | None = None
    """Weighted value after the last optimisation, where the TPS gives one."""


# ------------------------------------------------------------------------------------------ optimisation, dose


class StartPoint(Enum):
    COLD = 1
    WARM = 2


class OptimizationProblem(Enum):
    QUADRATIC_PENALTY = 1
    HOT_FRACTION = 2


@dataclass(frozen=True)
class OptimizeSpec:
    problem: OptimizationProblem = OptimizationProblem.QUADRATIC_PENALTY
    start: StartPoint = StartPoint.COLD
    max_iterations: int | None = None
    max_seconds: float | None = None
    seed: int | None = None


class ValueGranularity(Enum):
    PER_OBJECTIVE = 1
    PER_STRUCTURE = 2
    TOTAL = 3


class StopReason(Enum):
    CONVERGED = 1
    MAX_ITERATIONS = 2
    MAX_SECONDS = 3
    CANCELLED = 4
    VENDOR = 5


@dataclass(frozen=True)
class OptimizationResult:
    total_value: float
    granularity: ValueGranularity
    values: Mapping[str, float]
    """Objective name (or structure name, see ``granularity``) -> weighted value."""
    iterations: int
    converged: bool
    stop_reason: StopReason
    dose: DoseInfo
    plan_etag: str


@dataclass(frozen=True)
class DoseResult:
    dose: DoseInfo
    plan_etag: str


class OperationKind(Enum):
    OPTIMIZE = 1
    CALCULATE_DOSE = 2


class OperationState(Enum):
    QUEUED = 1
    RUNNING = 2
    CANCELLING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6
    UNKNOWN_OUTCOME = 7

    @property
    def ended(self) -> bool:
        return self.value >= OperationState.SUCCEEDED.value


class CancelOutcome(Enum):
    CANCELLING = 1
    CANCELLED = 2
    NOT_CANCELLABLE = 3
    ALREADY_ENDED = 4


@dataclass(frozen=True)
class Progress:
    stage: str
    percent: float | None = None
    iteration: int | None = None
    objective_value: float | None = None


@dataclass(frozen=True)
class Operation:
    name: str
    kind: OperationKind
    plan: str
    session: str
    state: OperationState
    sequence: int
    """Grows with every change of the operation; a watcher resumes after the last one it saw."""
    progress: Progress | None
    created: datetime
    ended: datetime | None = None
    result: OptimizationResult | DoseResult | None = None
    error_reason: str | None = None
    error_message: str | None = None


@dataclass(frozen=True)
class Dvh:
    """A cumulative dose-volume histogram."""

    structure: str
    dose: DoseInfo
    volume_cc: float
    dose_gy: NDArray[np.float64]
    volume_percent: NDArray[np.float64]
    """Percent of the structure that gets at least the dose."""
    min_gy: float | None = None
    max_gy: float | None = None
    mean_gy: float | None = None
    median_gy: float | None = None
    coverage_percent: float | None = None
    """Percent of the structure that lies inside the dose grid."""


class MetricKind(Enum):
    """What a metric asks. The two complements count from the cold side."""

    DOSE_AT_VOLUME = 1
    VOLUME_AT_DOSE = 2
    DOSE_AT_COLD_VOLUME = 3
    """DC: dose that the coldest volume stays below."""
    VOLUME_BELOW_DOSE = 4
    """CV: spared volume."""
    MEAN_DOSE = 5
    MAX_DOSE = 6
    MIN_DOSE = 7
    PLAN_MAX_DOSE = 8
    CONFORMITY_PADDICK = 9
    CONFORMITY_RTOG = 10
    HOMOGENEITY_ICRU83 = 11
    HOMOGENEITY_RTOG = 12
    GRADIENT_PADDICK = 13
    """PIV at half the reference dose over PIV."""
    R50 = 14
    """PIV at half the reference dose over the target's volume."""


class VolumeUnit(Enum):
    PERCENT = 1
    CC = 2


@dataclass(frozen=True)
class MetricQuery:
    """One question about the dose."""

    kind: MetricKind
    structure: str | None = None
    """Absent for PLAN_MAX_DOSE only."""
    volume: float | None = None
    """DOSE_AT_VOLUME, DOSE_AT_COLD_VOLUME: in ``volume_unit``."""
    volume_unit: VolumeUnit | None = None
    """Of ``volume``, or of the answer for VOLUME_AT_DOSE and VOLUME_BELOW_DOSE."""
    dose_gy: float | None = None
    """VOLUME_AT_DOSE, VOLUME_BELOW_DOSE, and the reference dose of the indices."""
    body: str | None = None
    """Structure in which the prescription isodose is counted; absent: the External."""


class MetricStatus(Enum):
    OK = 1
    NO_DOSE = 2
    STALE = 3
    EMPTY_STRUCTURE = 4
    OUT_OF_GRID = 5


class MetricUnit(Enum):
    GY = 1
    PERCENT = 2
    CC = 3
    RATIO = 4


@dataclass(frozen=True)
class MetricResult:
    query: MetricQuery
    status: MetricStatus
    unit: MetricUnit
    value: float | None = None


@dataclass(frozen=True, eq=False)
class Volume:
    """A voxel array with its place: a dose in Gy, an image in HU, or a mask as occupancy 0..1."""

    grid: Grid
    values: NDArray[np.float32]
    """[z, y, x]."""
    dose: DoseInfo | None = None


@dataclass(frozen=True)
class AuditEntry:
    """Who did what to which object, and how it ended; no patient data, no request bodies."""

    when: datetime
    principal: str
    method: str
    resource: str
    outcome: str
    correlation_id: str
    details: Mapping[str, str] = field(default_factory=dict)
