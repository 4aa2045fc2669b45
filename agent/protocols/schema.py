"""What a clinical protocol may say, as pydantic models: a YAML file of a site's intentions, units in the names.

The one idea: a protocol is complete and closed. Every structure that a helper, goal, objective or beam names is
declared under ``structures`` or ``helpers``, every number stands with its unit, and what cannot be meant is refused by
`agent.protocols.loader` with file, line and fix, before any planning system is asked for anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from agent.metrics import GoalText, Metric, check_gy, parse_goal, parse_metric

TARGETS = "targets"
"""In a helper or as the isocentre: the union of the protocol's targets that the patient has."""


def _plausible_gy(dose_gy: float) -> float:
    check_gy(dose_gy, f"{dose_gy:g}")
    return dose_gy


DoseGy = Annotated[float, Field(ge=0.0), AfterValidator(_plausible_gy)]
PositiveGy = Annotated[float, Field(gt=0.0), AfterValidator(_plausible_gy)]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Millimetres = Annotated[float, Field(ge=0.0, le=200.0)]
StepMillimetres = Annotated[float, Field(ge=0.5, le=20.0)]
"""A grid or leaf: below 0.5 mm no machine or dose model has meaning, above 20 mm no target is resolved."""
CubicCentimetres = Annotated[float, Field(gt=0.0)]
Priority = Annotated[float, Field(ge=0.0, le=1000.0)]
Rank = Annotated[int, Field(ge=1, le=3)]


class Section(BaseModel):
    """Base of all parts: frozen; nothing is coerced, and an unknown key or a number that is not finite is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class PrescriptionRule(Section):
    """What the targets are to get."""

    fractions: int = Field(ge=1, le=60)
    targets_gy: dict[str, PositiveGy] = Field(min_length=1)
    """Structure -> plan-total dose."""


class Normalisation(Section):
    """Last step of every attempt: scale so that ``volume_percent`` of ``structure`` gets exactly ``dose_gy``."""

    structure: str
    volume_percent: Percent
    dose_gy: PositiveGy


class BeamGroup(Section):
    """Static fields that share a couch angle, IEC 61217; either listed, or all round from 0 on."""

    gantry_deg: list[Annotated[float, Field(ge=0.0, lt=360.0)]] = []
    gantry_every_deg: float | None = Field(default=None, ge=1.0, le=180.0)
    couch_deg: float = Field(default=0.0, ge=0.0, lt=360.0)
    collimator_deg: float = Field(default=0.0, ge=0.0, lt=360.0)

    @model_validator(mode="after")
    def _one_way(self) -> BeamGroup:
        if bool(self.gantry_deg) == (self.gantry_every_deg is not None):
            raise ValueError("a beam group has either gantry_deg or gantry_every_deg; give exactly one of the two")
        return self

    @property
    def angles_deg(self) -> tuple[float, ...]:
        """Gantry angle of each field."""
        if self.gantry_every_deg is None:
            return tuple(self.gantry_deg)
        step = self.gantry_every_deg
        return tuple(index * step for index in range(math.ceil(360.0 / step)))


class FinerGrid(Section):
    """A finer dose grid for a small target."""

    target_below_cc: CubicCentimetres
    dose_grid_mm: StepMillimetres


class PlanRule(Section):
    """How the plan is set up where the server can make one; absent values are the server's."""

    beams: list[BeamGroup] = Field(min_length=1)
    isocentre: str = TARGETS
    leaf_width_mm: StepMillimetres | None = None
    energy: str | None = None
    dose_grid_mm: StepMillimetres | None = None
    finer_dose_grid: FinerGrid | None = None
    optimization_grid_mm: StepMillimetres | None = None
    beamlet_mm: StepMillimetres | None = None
    problem: Literal["quadratic-penalty", "hot-fraction"] = "quadratic-penalty"
    """What the optimiser solves. ``hot-fraction``: only objectives of type ``hot``, coverage by ``hold``.

    ``quadratic-penalty`` takes a ``hot`` of the whole structure only, which is an upper point at 0 %.
    """
    judged_on: Literal["delivered", "optimised"] = "delivered"
    """``optimised``: the optimiser's own dose, as in a study whose engine sequences no leaves."""


class StructureRule(Section):
    """A structure that the patient should bring, by TG-263 name and the other names it goes by."""

    required: bool = False
    several: bool = False
    """Every structure whose name starts with this one is meant (``PTV`` finds ``PTV_1``, ``PTV_2``)."""
    kind: Literal["target", "organ", "external"] = "organ"
    aliases: list[str] = []


class Helper(Section):
    """A recipe for a structure made through the contract; exactly one of ``ring grow keep`` is given.

    ``ring``: around the source, from ``from_mm`` to ``to_mm``. ``grow``: the source plus ``by_mm``. ``keep``: the
    source ``without`` others (grown by ``margin_mm`` first). An empty result is left out and reported.
    """

    ring: str | None = None
    from_mm: Millimetres = 0.0
    to_mm: Millimetres = 0.0
    grow: str | None = None
    by_mm: float = Field(default=0.0, ge=-50.0, le=200.0)
    keep: str | None = None
    without: list[str] = []
    margin_mm: Millimetres = 0.0

    @model_validator(mode="after")
    def _one_recipe(self) -> Helper:
        given = [word for word in ("ring", "grow", "keep") if getattr(self, word) is not None]
        if len(given) != 1:
            raise ValueError(f"a helper has exactly one of ring, grow, keep; this one has {given or 'none'}")
        if self.ring is not None and not self.from_mm < self.to_mm:
            raise ValueError(f"a ring runs outwards: from_mm {self.from_mm:g} must be less than to_mm {self.to_mm:g}")
        if self.keep is not None and not self.without:
            raise ValueError("keep needs without: the structures to be cut away")
        return self

    @property
    def source(self) -> str:
        return self.ring or self.grow or self.keep or ""

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source, *self.without)


class Goal(Section):
    """What the plan should reach for one structure, or for the best of several (``one_of``)."""

    goal: str
    """Metric, comparator, limit: ``D95%[Gy] >= 70``."""
    structure: str | None = None
    one_of: list[str] = []
    """The best of these takes ``rank``, the others ``others_rank``: sparing one gland of a pair is enough."""
    rank: Rank
    others_rank: Rank | None = None
    acceptable: float | None = Field(default=None, ge=0.0)
    source: str = ""
    min_volume_cc: CubicCentimetres | None = None
    """The goal holds for structures of at least this volume only."""
    max_volume_cc: CubicCentimetres | None = None
    """The goal holds for structures below this volume only."""
    ramp: tuple[float, float] | None = Field(default=None, strict=False)
    """Scored goals: a full point at the first value, none at the second, linear between (ProKnow)."""

    @field_validator("goal")
    @classmethod
    def _readable(cls, text: str) -> str:
        parse_goal(text)
        return text

    @model_validator(mode="after")
    def _consistent(self) -> Goal:
        if (self.structure is None) == (not self.one_of):
            raise ValueError("a goal is for one structure, or for one_of several; give exactly one of the two")
        if (self.others_rank is not None) != bool(self.one_of):
            raise ValueError("one_of and others_rank belong together")
        if self.acceptable is not None:
            looser = self.acceptable >= self.parsed.limit if self.parsed.comparator == "<=" else (
                self.acceptable <= self.parsed.limit
            )  # fmt: skip
            if not looser:
                raise ValueError(f"acceptable {self.acceptable:g} is stricter than the goal {self.goal!r}")
            if self.parsed.metric.unit == "Gy":
                check_gy(self.acceptable, f"acceptable {self.acceptable:g}")
        return self

    @cached_property
    def parsed(self) -> GoalText:
        return parse_goal(self.goal)

    @property
    def structures(self) -> tuple[str, ...]:
        return (self.structure,) if self.structure is not None else tuple(self.one_of)


class Reported(Section):
    """A metric that is written down without a limit."""

    structure: str
    metric: str

    @field_validator("metric")
    @classmethod
    def _readable(cls, text: str) -> str:
        parse_metric(text)
        return text

    @cached_property
    def parsed(self) -> Metric:
        return parse_metric(self.metric)


_WITH_VOLUME = ("lower", "upper", "hot", "hold")


class RandomStart(Section):
    """From where to where each number is drawn for a random start."""

    dose_gy: tuple[DoseGy, DoseGy] = Field(strict=False)
    volume_percent: tuple[Percent, Percent] = Field(strict=False)
    priority: tuple[Priority, Priority] = Field(strict=False)


class ObjectiveRule(Section):
    """One term the optimiser is given, and how far the agent may move it.

    ``hot``: mean squared excess over ``dose_gy`` in the hottest ``volume_percent``. ``hold``: a hard constraint,
    ``volume_percent`` gets exactly ``dose_gy``; it has no priority and nothing about it may be changed. ``fixed``: the
    same of any other type, which keeps its priority.
    """

    structure: str
    type: Literal["lower", "upper", "max", "min", "mean", "hot", "hold"]
    dose_gy: DoseGy
    volume_percent: Percent | None = None
    """Not for ``max min mean``. ``lower`` and ``upper``: at least / at most this share gets the dose."""
    priority: Priority = 0.0
    fixed: bool = False
    stage: str | None = None
    """The agent may change it from this stage on; absent: from the start."""
    random_start: RandomStart | None = None
    dose_bounds_gy: tuple[DoseGy, DoseGy] | None = Field(default=None, strict=False)  # the file has a list, no tuple
    """Absent: a target's doses within 6 % of ``dose_gy``, everything else from 30 % to 115 % of it."""
    volume_bounds_percent: tuple[Percent, Percent] = Field(default=(0.0, 100.0), strict=False)
    priority_bounds: tuple[Priority, Priority] = Field(default=(0.0, 1000.0), strict=False)

    @model_validator(mode="after")
    def _consistent(self) -> ObjectiveRule:
        if (self.volume_percent is not None) != (self.type in _WITH_VOLUME):
            raise ValueError(f"volume_percent belongs to {', '.join(_WITH_VOLUME)}; this one is {self.type}")
        if ("priority" in self.model_fields_set) == (self.type == "hold"):
            raise ValueError("every objective has a priority, and a hold, which is a constraint, has none")
        if self.dose_bounds_gy and not self.dose_bounds_gy[0] <= self.dose_gy <= self.dose_bounds_gy[1]:
            raise ValueError(f"dose_gy {self.dose_gy:g} lies outside its dose_bounds_gy {self.dose_bounds_gy}")
        if not self.volume_bounds_percent[0] <= (self.volume_percent or 0.0) <= self.volume_bounds_percent[1]:
            raise ValueError(f"volume_percent {self.volume_percent} lies outside {self.volume_bounds_percent}")
        if not self.priority_bounds[0] <= self.priority <= self.priority_bounds[1]:
            raise ValueError(f"priority {self.priority:g} lies outside its priority_bounds {self.priority_bounds}")
        return self


class PriorityRatio(Section):
    """``objective``'s priority is at most ``at_most`` times that of ``of``."""

    objective: str
    at_most: float = Field(gt=0.0)
    of: str


class AgentLimits(Section):
    """How far one proposal may go, whoever makes it."""

    may_change: list[Literal["priority", "dose_gy", "volume_percent"]] = ["priority", "dose_gy"]
    priority_factor_per_step: float = Field(default=3.0, gt=1.0)
    dose_step_percent: float = Field(default=20.0, gt=0.0, le=100.0)
    volume_step_percent: float = Field(default=5.0, gt=0.0, le=100.0)
    ratios: list[PriorityRatio] = []
    falling_doses: list[list[str]] = []
    """Chains of upper objectives' structures whose doses fall from the first to the last."""
    attempts: int = Field(default=12, ge=1)
    """How many attempts a run may make when nobody says otherwise."""


class Stage(Section):
    """What follows once a plan is acceptable: other goals, and nothing else may get worse."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    goals: list[Goal] = Field(min_length=1)
    """Each takes the place of the goal with the same structure and metric, or is added."""


class FixedValue(Section):
    """One objective of the fixed parameter set."""

    objective: str
    dose_gy: DoseGy | None = None
    volume_percent: Percent | None = None
    priority: Priority | None = None


class FixedSet(Section):
    """Parameters that one solve suffices to try: the baseline that any planner must beat."""

    source: str
    values: list[FixedValue] = Field(min_length=1)


class Protocol(Section):
    """A clinical protocol, whole."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    site: str
    intended_use: str
    prescription: PrescriptionRule
    normalise: Normalisation
    plan: PlanRule
    structures: dict[str, StructureRule]
    helpers: dict[str, Helper] = {}
    goals: list[Goal] = Field(min_length=1)
    report: list[Reported] = []
    objectives: list[ObjectiveRule] = Field(min_length=1)
    agent: AgentLimits = AgentLimits()
    stages: list[Stage] = []
    """What comes after the first acceptable plan, in order, for planners that refine."""
    fixed_set: FixedSet | None = None
    knowledge: str | None = None
    """Packaged table of where good parameters have been found to lie."""
    study: bool = False
    """Made to repeat a published study; never chosen for a patient unless named."""
    variant: str | None = None
    """The protocol that stands in for this one on a TPS that cannot solve its problem."""
    notes: list[str] = []
    """Limits of the numbers and of the model that a reader of the report must know."""

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(name for name, rule in self.structures.items() if rule.kind == "target")

    @property
    def external(self) -> str:
        return next(name for name, rule in self.structures.items() if rule.kind == "external")

    @property
    def highest_gy(self) -> float:
        return max(self.prescription.targets_gy.values())

    def objective_names(self) -> tuple[str, ...]:
        """One readable name per objective rule: ``PTV lower``, and ``Rectum upper 2`` where there are several."""
        plain = [f"{rule.structure} {rule.type}" for rule in self.objectives]
        return tuple(
            name if plain.count(name) == 1 else f"{name} {plain[: index + 1].count(name)}"
            for index, name in enumerate(plain)
        )

    def references(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every place that names a structure, as (path in the file, name)."""
        for name in self.prescription.targets_gy:
            yield ("prescription", "targets_gy", name), name
        yield ("normalise", "structure"), self.normalise.structure
        if self.plan.isocentre != TARGETS:
            yield ("plan", "isocentre"), self.plan.isocentre
        for name, helper in self.helpers.items():
            for source in helper.sources:
                if source != TARGETS:
                    yield ("helpers", name), source
        for index, goal in enumerate(self.goals):
            for name in goal.structures:
                yield ("goals", index, "structure" if goal.structure else "one_of"), name
        for index, stage in enumerate(self.stages):
            for number, goal in enumerate(stage.goals):
                for name in goal.structures:
                    yield ("stages", index, "goals", number), name
        for index, item in enumerate(self.report):
            yield ("report", index, "structure"), item.structure
        for index, rule in enumerate(self.objectives):
            yield ("objectives", index, "structure"), rule.structure
