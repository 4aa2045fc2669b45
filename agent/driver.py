"""Carries attempts out on the TPS: set objectives, change them, optimise, dose, normalise, measure, keep, bring back.

The one idea: the loop decides and the driver does. It knows the plan and the server, and nothing of goals met, budgets,
planners or people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent.calls import Calls
from agent.goals import BoundGoal
from agent.measuring import Measuring, RunError, dose_changes, largest_difference_percent
from agent.observation import ObjectiveState
from agent.preparation import Prepared, declares
from agent.records import Attempt, DoseChange, GoalResult, ReportedMetric, Restoration
from agent.trace import Optimised
from bridge import model
from bridge.client import Session

EXACT_PERCENT = 1e-3
"""A metric after a FULL restore differs from the recorded one by less than this."""
REOPTIMISED_PERCENT = 2.0
"""Where the TPS restores the configuration only, the plan optimised anew may differ from the recorded one by this."""


@dataclass(frozen=True)
class Outcome:
    """What came of one optimisation."""

    iterations: int
    total_value: float
    losses: Mapping[str, float]
    """Weighted loss by our objective name; empty where the TPS does not tell them apart."""
    structure_losses: Mapping[str, float]
    """Displayed structure -> the loss of all its objectives together, where that is all the TPS tells."""
    objectives_gy: Mapping[str, float | None]
    """Objective -> the dose that the plan has where it asks."""
    sequencing: tuple[DoseChange, ...]
    normalization_percent: float
    goals: tuple[GoalResult, ...]
    reported: tuple[ReportedMetric, ...]
    dvhs: Mapping[str, model.Dvh]
    dose: model.DoseInfo
    snapshot: str
    stored: tuple[model.Objective, ...]


class Driver:
    """One working plan, from its first objectives to the best attempt brought back."""

    def __init__(self, call: Calls, session: Session, server: model.ServerInfo, prepared: Prepared) -> None:
        self._call = call
        self._session = session
        self._server = server
        self._prepared = prepared
        self._measuring = Measuring(call, session, prepared)
        self._server_names: dict[str, str] = {}
        """Our name of an objective -> the server's."""
        self._restores_doses = server.capabilities.get("snapshot.restore") == "FULL"
        self.plan = prepared.plan.name

    def begin(self) -> tuple[model.Objective, ...]:
        """Give the prepared plan its first objectives; what the server stored."""
        states, prepared = self._prepared.objectives, self._prepared
        if prepared.plan.normalization is not None:
            self._call(self._session.set_normalization, self.plan, None)
        stored = self._call(self._session.replace_objectives, self.plan, [prepared.spec(state) for state in states])
        self._name_objectives(states, stored)
        return tuple(stored)

    def go_back(self, snapshot: str, objectives: Sequence[ObjectiveState]) -> None:
        """The plan as it stood, with the objectives it had."""
        self._call(self._session.restore_snapshot, snapshot)
        self._name_objectives(objectives, self._call(self._session.objectives, self.plan))

    def change(self, before: Sequence[ObjectiveState], after: Sequence[ObjectiveState]) -> str:
        """Write the objectives that differ; the plan's new etag."""
        for old, new in zip(before, after, strict=True):
            if new == old:
                continue
            if new == replace(old, priority=new.priority):
                self._call(self._session.set_priority, self._server_names[new.name], new.priority)
            else:
                self._call(self._session.update_objective, self._server_names[new.name], self._prepared.spec(new))
        return self._call(self._session.set_normalization, self.plan, None).etag

    def carry_out(self, number: int, goals: Sequence[BoundGoal], objectives: Sequence[ObjectiveState]) -> Outcome:
        """Optimise, dose, normalise, measure, keep a snapshot."""
        result = self._optimise(number)
        sequencing = self._calculate(result.dose)
        normalization_percent = self._measuring.normalise()
        measured = self._measuring.measure(goals, objectives)
        return Outcome(
            iterations=result.iterations,
            total_value=result.total_value,
            losses=self._losses(result),
            structure_losses=self._structure_losses(result),
            objectives_gy=measured.objectives_gy,
            sequencing=sequencing,
            normalization_percent=normalization_percent,
            goals=measured.goals,
            reported=measured.reported,
            dvhs=self._measuring.dvhs(),
            dose=self._call(self._session.plan, self.plan).dose,
            snapshot=self._call(self._session.create_snapshot, self.plan, f"attempt {number}").name,
            stored=tuple(self._call(self._session.objectives, self.plan)),
        )

    def measured(self, goals: Sequence[BoundGoal]) -> tuple[GoalResult, ...]:
        """The plan as it stands, against other goals."""
        return self._measuring.measure(goals).goals

    def make_again(self, number: int) -> None:
        """Optimise and dose the restored plan, where the TPS brings back its configuration only."""
        if self._restores_doses:
            return
        self._call(self._session.set_normalization, self.plan, None)
        self._calculate(self._optimise(number).dose)
        self._measuring.normalise()

    def bring_back(self, best: Attempt, goals: Sequence[BoundGoal]) -> tuple[Attempt, Restoration]:
        """Restore an attempt and measure it again; the attempt as it stands now, and how near it is to the recorded.

        Where the TPS can only bring back the configuration, the plan is optimised again, and what comes out then is
        what is reported.
        """
        self._call(self._session.restore_snapshot, best.snapshot)
        self.make_again(best.number)
        exact = self._restores_doses
        measured = self._measuring.measure(goals)
        difference = largest_difference_percent(best.goals, measured.goals)
        if not math.isfinite(difference):
            raise RunError(f"attempt {best.number} was restored from {best.snapshot!r}, but has no dose any more.")
        if exact and difference > EXACT_PERCENT:
            raise RunError(
                f"attempt {best.number} was restored from {best.snapshot!r}, but its metrics differ by "
                f"{difference:.3g} % from those recorded; the plan left behind is not the one reported."
            )
        restoration = Restoration(exact, difference, EXACT_PERCENT if exact else REOPTIMISED_PERCENT)
        if exact:
            return best, restoration
        again = replace(
            best,
            goals=measured.goals,
            reported=measured.reported,
            dvhs=self._measuring.dvhs(),
            dose=self._call(self._session.plan, self.plan).dose,
        )
        return again, restoration

    def present(self) -> tuple[model.Plan, tuple[model.Beam, ...]]:
        """The plan as it stands, and its beams with their MU."""
        return self._call(self._session.plan, self.plan), tuple(self._call(self._session.beams, self.plan))

    def _optimise(self, number: int) -> model.OptimizationResult:
        problem = self._prepared.problem
        is_quadratic = problem is model.OptimizationProblem.QUADRATIC_PENALTY
        can_warm = is_quadratic and declares(self._server, "optimize.warm-start")
        start = model.StartPoint.WARM if number > 1 and can_warm else model.StartPoint.COLD
        spec = model.OptimizeSpec(problem=problem, start=start)
        result = self._call(self._session.optimize, self.plan, spec, on_progress=self._call.progress("optimize"))
        self._call.tell(Optimised(number, result))
        return result

    def _calculate(self, ideal: model.DoseInfo) -> tuple[DoseChange, ...]:
        """Calculate the dose that is judged; answers what sequencing made of the optimiser's, where both are shown."""
        if self._prepared.judged_on_optimised:
            if ideal.kind is model.DoseKind.NONE:
                raise RunError(
                    f"the protocol judges the optimiser's own dose, and {self._server.tps_name!r} shows none after an "
                    "optimisation. Use a protocol that is judged on the delivered dose there."
                )
            return ()
        sequenced = self._server.capabilities.get("sequencing") == "SEPARATE"
        compared = sequenced and ideal.kind is model.DoseKind.INTERMEDIATE
        before = self._measuring.key_doses(ideal) if compared else {}
        shown = self._call.progress("calculate_dose")
        dose = self._call(self._session.calculate_dose, self.plan, on_progress=shown).dose
        if not compared or dose.kind is not model.DoseKind.FINAL:
            return ()
        return dose_changes(before, self._measuring.key_doses(dose))

    def _name_objectives(self, states: Sequence[ObjectiveState], stored: Sequence[model.Objective]) -> None:
        """Remember the server's names; both lists are in the order in which we set them."""
        self._server_names = {state.name: objective.name for state, objective in zip(states, stored, strict=True)}

    def _losses(self, result: model.OptimizationResult) -> Mapping[str, float]:
        if result.granularity is not model.ValueGranularity.PER_OBJECTIVE:
            return {}
        return {ours: result.values[theirs] for ours, theirs in self._server_names.items() if theirs in result.values}

    def _structure_losses(self, result: model.OptimizationResult) -> Mapping[str, float]:
        if result.granularity is not model.ValueGranularity.PER_STRUCTURE:
            return {}
        resources = self._prepared.resources
        return {shown: result.values[name] for shown, name in resources.items() if name in result.values}
