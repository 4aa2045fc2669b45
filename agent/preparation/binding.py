"""Binds the protocol's names to one patient's structures: goals, objectives, limits.

The one idea: a name of the protocol may mean one structure of the patient, several (each brain metastasis is a
``PTV``), a helper, or none; everything bound here says which, so nothing later has to ask again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.goals import BoundGoal, BoundMetric
from agent.metrics import Metric
from agent.observation import Limits, ObjectiveState, Place, Task
from agent.preparation.helpers import Helpers
from agent.preparation.matching import Matches
from agent.proposal import Change, Field
from agent.protocols.schema import TARGETS, Goal, ObjectiveRule, Protocol, RandomStart
from bridge import model
from bridge.model import MetricKind, VolumeUnit


@dataclass(frozen=True)
class BoundStage:
    """A stage of the protocol for this patient."""

    id: str
    """Empty for the first."""
    title: str
    goals: tuple[BoundGoal, ...]
    released: frozenset[str]
    """Objectives that the agent may change in it."""


class Binding:
    """The protocol's goals, objectives and limits in terms of one patient."""

    def __init__(self, protocol: Protocol, matches: Matches, helpers: Helpers, server: model.ServerInfo) -> None:
        self._protocol = protocol
        self._matches = matches
        self._helpers = helpers
        self._server = server

    def names(self) -> tuple[str, ...]:
        return (*self._protocol.structures, *self._protocol.helpers)

    def structures(self, name: str) -> tuple[tuple[str, model.Structure], ...]:
        """(displayed name, structure); the patient's label is shown where the protocol's name means several."""
        if name in self._helpers.made:
            return ((name, self._helpers.made[name]),)
        found = self._matches.found.get(name, ())
        return tuple((name if len(found) == 1 else structure.label, structure) for structure in found)

    def resources(self) -> dict[str, str]:
        return {shown: structure.name for name in self.names() for shown, structure in self.structures(name)}

    def places(self) -> dict[str, Place]:
        return {shown: self._place(name, shown) for name in self.names() for shown, _ in self.structures(name)}

    def prescriptions_gy(self) -> dict[str, float]:
        doses = self._protocol.prescription.targets_gy
        return {shown: dose_gy for name, dose_gy in doses.items() for shown, _ in self.structures(name)}

    def normalisations(self) -> tuple[model.CoverageNormalization, ...]:
        rule = self._protocol.normalise
        return tuple(
            model.CoverageNormalization(structure.name, rule.volume_percent, rule.dose_gy)
            for _, structure in self.structures(rule.structure)
        )

    def stages(self) -> tuple[BoundStage, ...]:
        """The first stage, whose id is empty, and those that follow."""
        goals, released = list(self._protocol.goals), self._names_of(None)
        stages = [BoundStage("", self._protocol.title, self._bound(goals), released)]
        for stage in self._protocol.stages:
            goals = _replaced(goals, stage.goals)
            released |= self._names_of(stage.id)
            stages.append(BoundStage(stage.id, stage.title, self._bound(goals), released))
        return tuple(stages)

    def _names_of(self, stage: str | None) -> frozenset[str]:
        """Objectives that the agent may change from this stage on."""
        rules = zip(self._protocol.objectives, self._protocol.objective_names(), strict=True)
        return frozenset(
            shown + name[len(rule.structure) :]
            for rule, name in rules
            if rule.stage == stage and _is_free(rule)
            for shown, _ in self.structures(rule.structure)
        )

    def _bound(self, goals: Sequence[Goal]) -> tuple[BoundGoal, ...]:
        bound: list[BoundGoal] = []
        for index, goal in enumerate(goals):
            for name in goal.structures:
                for metric, structure in self._metrics(name, goal.parsed.metric):
                    volume_cc = structure.volume_cc if structure else None
                    if not _fits(volume_cc, goal.min_volume_cc, goal.max_volume_cc):
                        continue
                    bound.append(
                        BoundGoal(
                            metric=metric,
                            text=goal.parsed,
                            rank=goal.rank,
                            acceptable=goal.acceptable,
                            source=goal.source,
                            note=self._note(name, structure, goal.parsed.metric),
                            ramp=goal.ramp,
                            group=index if goal.one_of else None,
                            others_rank=goal.others_rank,
                        )
                    )
        return tuple(bound)

    def with_curves(self) -> tuple[str, ...]:
        wanted = {*self.prescriptions_gy(), self._protocol.external}
        goals = [goal for stage in self.stages() for goal in stage.goals]
        wanted |= {goal.metric.structure for goal in goals if goal.metric.resource is not None}
        return tuple(shown for name in self.names() for shown, _ in self.structures(name) if shown in wanted)

    def reported(self) -> tuple[BoundMetric, ...]:
        pairs = [pair for item in self._protocol.report for pair in self._metrics(item.structure, item.parsed)]
        return tuple(metric for metric, structure in pairs if structure is not None)

    def objectives(self) -> tuple[ObjectiveState, ...]:
        states = []
        for rule, name in zip(self._protocol.objectives, self._protocol.objective_names(), strict=True):
            for shown, _ in self.structures(rule.structure):
                states.append(self._objective(rule, shown + name[len(rule.structure) :], shown))
        return tuple(states)

    def random_ranges(self) -> dict[str, RandomStart]:
        """Objective -> from where to where its numbers are drawn for a random start."""
        rules = zip(self._protocol.objectives, self._protocol.objective_names(), strict=True)
        return {
            shown + name[len(rule.structure) :]: rule.random_start
            for rule, name in rules
            if rule.random_start is not None
            for shown, _ in self.structures(rule.structure)
        }

    def limits(self, objectives: tuple[ObjectiveState, ...]) -> Limits:
        agent = self._protocol.agent
        return Limits(
            priority_factor_per_step=agent.priority_factor_per_step,
            dose_step_percent=agent.dose_step_percent,
            volume_step_percent=agent.volume_step_percent,
            integer_priorities=self._server.priority_scale.integer,
            ratios=self._ratios(objectives),
            falling_doses=tuple(self._chain(chain, objectives) for chain in agent.falling_doses),
        )

    def _ratios(self, objectives: tuple[ObjectiveState, ...]) -> tuple[tuple[str, float, str], ...]:
        """Each ratio for each target it means: ``PTV_1 upper`` is held against ``PTV_1 lower``."""
        rules = self._protocol.agent.ratios
        templates = dict(zip(self._protocol.objective_names(), self._protocol.objectives, strict=True))
        pairs = []
        for ratio in rules:
            limited = self._instances(ratio.objective, templates[ratio.objective], objectives)
            references = self._instances(ratio.of, templates[ratio.of], objectives)
            for state in limited:
                same = [other for other in references if other.structure == state.structure] or references
                pairs += [(state.name, ratio.at_most, other.name) for other in same]
        return tuple(pairs)

    def _instances(
        self, name: str, rule: ObjectiveRule, objectives: tuple[ObjectiveState, ...]
    ) -> list[ObjectiveState]:
        names = {shown + name[len(rule.structure) :] for shown, _ in self.structures(rule.structure)}
        return [state for state in objectives if state.name in names]

    def _chain(self, structures: list[str], objectives: tuple[ObjectiveState, ...]) -> tuple[str, ...]:
        uppers = [state for state in objectives if state.type in ("upper", "max")]
        return tuple(state.name for name in structures for state in uppers if state.structure == name)

    def _objective(self, rule: ObjectiveRule, name: str, shown: str) -> ObjectiveState:
        place = self._place(rule.structure, shown)
        low, high = (0.94, 1.06) if place.region == "target" else (0.30, 1.15)
        scale = self._server.priority_scale
        may_change = self._protocol.agent.may_change if rule.stage is None and _is_free(rule) else ()
        return ObjectiveState(
            name=name,
            structure=shown,
            type=rule.type,
            dose_gy=rule.dose_gy,
            volume_percent=rule.volume_percent,
            priority=rule.priority,
            value=None,
            place=place,
            dose_bounds_gy=rule.dose_bounds_gy or (rule.dose_gy * low, rule.dose_gy * high),
            priority_bounds=(max(rule.priority_bounds[0], scale.minimum), min(rule.priority_bounds[1], scale.maximum)),
            may_change=tuple(may_change),
            volume_bounds_percent=rule.volume_bounds_percent,
        )

    def labels(self) -> dict[str, str]:
        """Displayed name -> the protocol's name, numbered where it means several; never the patient's own label."""
        named: dict[str, str] = {}
        for name in self.names():
            found = self.structures(name)
            numbered = len(found) > 1
            named |= {shown: f"{name}_{n}" if numbered else name for n, (shown, _) in enumerate(found, start=1)}
            named.setdefault(name, name)
        return named

    def fixed_set(self) -> tuple[Change, ...]:
        """The protocol's fixed parameter set as changes; only of objectives that this patient has."""
        if self._protocol.fixed_set is None:
            return ()
        rules = dict(zip(self._protocol.objective_names(), self._protocol.objectives, strict=True))
        reason = self._protocol.fixed_set.source
        fields: tuple[Field, ...] = ("dose_gy", "volume_percent", "priority")
        return tuple(
            Change(shown + value.objective[len(rules[value.objective].structure) :], field, number, reason)
            for value in self._protocol.fixed_set.values
            for shown, _ in self.structures(rules[value.objective].structure)
            for field in fields
            if (number := getattr(value, field)) is not None
        )

    def task(self) -> Task:
        point, is_hot = self._protocol.normalise, self._protocol.plan.problem == "hot-fraction"
        return Task(
            site=self._protocol.site,
            fractions=self._protocol.prescription.fractions,
            coverage=f"D{point.volume_percent:g}% of {point.structure} = {point.dose_gy:g} Gy",
            beams=sum(len(group.angles_deg) for group in self._protocol.plan.beams),
            hot_fraction=is_hot,
            upper_points=not is_hot and any(rule.type == "hot" for rule in self._protocol.objectives),
        )

    def _place(self, name: str, shown: str) -> Place:
        """Follow a helper's recipe back to where it lies."""
        rule = self._protocol.structures.get(name)
        if rule is not None:
            return Place("organ" if rule.kind == "organ" else rule.kind, shown)
        helper = self._protocol.helpers[name]
        if helper.ring is not None:
            return Place("ring", name, helper.from_mm)
        source = Place("target", name) if helper.source == TARGETS else self._place(helper.source, helper.source)
        if source.region in ("external", "ring"):
            return Place("ring", name, max(source.distance_mm, helper.margin_mm))
        return source

    def _metrics(self, name: str, metric: Metric) -> list[tuple[BoundMetric, model.Structure | None]]:
        """The metric for each structure the name means; one without a resource where there is none."""
        prescriptions = self.prescriptions_gy()
        highest_gy = self._protocol.highest_gy
        found = self.structures(name)
        if not found:
            why = self._helpers.left_out.get(name) or self._matches.absent_because(name)
            return [(BoundMetric(name, metric, highest_gy, None, absent_because=why), None)]
        return [
            (
                BoundMetric(
                    shown,
                    metric,
                    prescriptions.get(shown, highest_gy),
                    structure.name,
                    self._helpers.surroundings.get(structure.name),
                ),
                structure,
            )
            for shown, structure in found
        ]

    def _is_organ(self, name: str) -> bool:
        return any(self._place(name, shown).region == "organ" for shown, _ in self.structures(name))

    def _note(self, name: str, structure: model.Structure | None, metric: Metric) -> str:
        parts = []
        overlap = self._helpers.overlap_percent.get(name, 0.0)
        if overlap >= 0.5:
            parts.append(f"{overlap:.0f} % of it lies inside the targets")
        is_share = metric.volume_unit is not VolumeUnit.CC and metric.kind is not MetricKind.MAX_DOSE
        if structure is not None and structure.cut_by_image_edge and is_share and self._is_organ(name):
            parts.append("cut by the end of the scan, so a share of it is not comparable")
        return "; ".join(parts)


def _is_free(rule: ObjectiveRule) -> bool:
    """Whether the agent may ever change it."""
    return rule.type != "hold" and not rule.fixed


def _replaced(goals: Sequence[Goal], by: Sequence[Goal]) -> list[Goal]:
    """The goals with those of a later stage in the place of the ones they stand for, new ones at the end."""
    new = {_place_of(goal): goal for goal in by}
    kept = [new.pop(_place_of(goal), goal) for goal in goals]
    return [*kept, *new.values()]


def _place_of(goal: Goal) -> tuple[object, ...]:
    return goal.structures, goal.parsed.metric.text, goal.min_volume_cc, goal.max_volume_cc


def _fits(volume_cc: float | None, minimum: float | None, maximum: float | None) -> bool:
    if volume_cc is None:
        return True
    return (minimum is None or volume_cc >= minimum) and (maximum is None or volume_cc < maximum)
