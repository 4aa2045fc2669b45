"""The planning loop: observe, propose, check, apply, optimise, dose, normalise, evaluate, record; keep the best.

    propose ─▶ check ─▶ apply ─▶ optimise ─▶ dose ─▶ normalise ─▶ evaluate ─▶ record ─▶ goals met, or budget spent?
       ▲  repair │                                                                │ no
       └─────────┴────────────────────────── observation ◀────────────────────────┘      at the end: restore the best

The one idea: the loop knows nothing of planning and the planner nothing of the TPS. A planner sees an `Observation` and
answers with a `Proposal`; everything reaches the TPS through the contract's client; the plan left behind is the best
attempt, restored and measured again, never simply the last.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata

from agent import goals as goal_rules
from agent.calls import Calls, Listener
from agent.checks import apply, check
from agent.conflicts import find_conflicts
from agent.observation import ObjectiveState, Observation, Step
from agent.planners import Planner
from agent.preparation import Prepared, prepare, with_values
from agent.proposal import Change, CheckFailure, Proposal
from agent.protocols import LoadedProtocol
from agent.records import Attempt, GoalResult, ReportedMetric, RunResult
from agent.trace import (
    Applied,
    Checked,
    ConflictsFound,
    Decided,
    Ended,
    Evaluated,
    Failed,
    Optimised,
    PlanPrepared,
    Proposed,
    Restored,
    RunStarted,
    Trace,
)
from bridge import SPEC_VERSION, model
from bridge.client import Client, Session

MAX_REPAIRS = 3
"""How often a planner may repair a proposal that fails the checks, before the run ends with the best attempt."""
EXACT_PERCENT = 1e-3
"""A metric after a FULL restore differs from the recorded one by less than this."""
FULL_RESTORE = "FULL"


class RunError(Exception):
    """The run cannot go on; the message says what happened and what to do."""


@dataclass(frozen=True)
class Budget:
    """When to stop at the latest."""

    attempts: int = 12
    seconds: float | None = None
    tps_calls: int | None = None


def run(
    client: Client,
    session: Session,
    case: str,
    protocol: LoadedProtocol,
    planner: Planner,
    *,
    trace: Trace,
    budget: Budget = Budget(),
    seed: int | None = None,
    on_event: Listener | None = None,
) -> RunResult:
    """Plan one patient, and leave the best attempt as the session's uncommitted working plan.

    Parameters
    ----------
    session
        A read-write session on ``case``; whether to commit is the caller's decision.
    case
        The patient's resource name.
    trace
        Open and empty; the caller closes it.
    seed
        Written into the records: which patient of a built-in case this is.
    on_event
        Told of every event of the trace, and of progress inside operations.

    Raises
    ------
    agent.matching.PreparationError
        The patient or the server lacks what the protocol requires.
    bridge.errors.BridgeError
        What the server answered; the trace holds it too.
    """
    calls = Calls(trace, on_event)
    try:
        return _Run(calls, client, session, case, protocol, planner, budget, seed).go()
    except (Exception, KeyboardInterrupt) as error:
        calls.tell(Failed(type(error).__name__, str(error)))
        raise


class _Run:
    """One run while it happens."""

    def __init__(
        self,
        call: Calls,
        client: Client,
        session: Session,
        case: str,
        loaded: LoadedProtocol,
        planner: Planner,
        budget: Budget,
        seed: int | None,
    ) -> None:
        self.call, self.session, self.case, self.planner, self.budget, self.seed = (
            call, session, case, planner, budget, seed,
        )  # fmt: skip
        self.loaded, self.protocol = loaded, loaded.protocol
        self.started = time.monotonic()
        self.server = call(client.server_info)
        self.patient = next(p for p in call(client.patients) if p.name == case)
        self.attempts: list[Attempt] = []
        self.steps: list[Step] = []
        self.best = 0
        self.objective_names: dict[str, str] = {}
        """Our name of an objective -> the server's."""

    def go(self) -> RunResult:
        self.begin()
        proposal = Proposal("The protocol's own objectives.")
        while True:
            self.attempt(proposal)
            if reason := self.finished():
                break
            proposal = self.next_proposal()
            if proposal.stop:
                reason = proposal.rationale
                break
        plan = self.restore_best()
        return self.result(plan, reason)

    def begin(self) -> None:
        """Prepare the plan and give it the protocol's objectives."""
        self.call.tell(
            RunStarted(
                self.case, self.protocol.id, self.loaded.sha256, self.planner.name, self.seed,
                {"attempts": self.budget.attempts, "seconds": self.budget.seconds, "tps_calls": self.budget.tps_calls},
                _versions(), self.server,
            )
        )  # fmt: skip
        self.prepared: Prepared = prepare(self.call, self.session, self.case, self.protocol, self.server)
        self.plan = self.prepared.plan.name
        states = self.prepared.objectives
        stored = self.call(self.session.replace_objectives, self.plan, [self.prepared.spec(state) for state in states])
        self._name_objectives(states, stored)
        self.call.tell(
            PlanPrepared(
                self.plan, self.prepared.origin, _prescription(self.prepared.plan), self.prepared.labels,
                self.prepared.beams, tuple(stored), self.prepared.notes,
            )
        )  # fmt: skip

    def attempt(self, proposal: Proposal) -> None:
        """Apply, optimise, dose, normalise, evaluate, record."""
        started, calls_before = time.monotonic(), self.call.count
        number = len(self.attempts) + 1
        objectives = self.apply(number, proposal)
        optimisation = self.optimise(number)
        dose = self.call(self.session.calculate_dose, self.plan, on_progress=self.call.progress("calculate_dose")).dose
        normalization_percent = self.normalise()
        goals, reported = self.evaluate()
        dvhs = self.dvhs()
        plan = self.call(self.session.plan, self.plan)
        snapshot = self.call(self.session.create_snapshot, self.plan, f"attempt {number}")
        stored = tuple(self.call(self.session.objectives, self.plan))
        score = goal_rules.score(goals)
        kept = not self.steps or score < self._best_step().score
        self.attempts.append(
            Attempt(
                number=number,
                rationale=proposal.rationale,
                changes=tuple(self._readable(change, proposal.start_from) for change in proposal.changes),
                objectives=stored,
                goals=goals,
                dvhs=dvhs,
                dose=plan.dose if plan.dose.kind is not model.DoseKind.NONE else dose,
                iterations=optimisation.iterations,
                total_value=optimisation.total_value,
                seconds=time.monotonic() - started,
                tps_calls=self.call.count - calls_before,
                snapshot=snapshot.name,
                kept=kept,
                normalization_percent=normalization_percent,
                reported=reported,
            )
        )
        values = self._values(optimisation)
        self.steps.append(
            Step(
                number, proposal.start_from, proposal.changes, goals, with_values(objectives, values), score, kept,
                normalization_percent,
            )
        )  # fmt: skip
        self.call.tell(Evaluated(number, goals, reported, normalization_percent, plan.dose, score, snapshot.name))
        self.decide(number, kept)

    def apply(self, number: int, proposal: Proposal) -> tuple[ObjectiveState, ...]:
        """Go back to the attempt the proposal starts from, and change the objectives there."""
        if not self.steps:
            return self.prepared.objectives
        base = self.steps[-1] if proposal.start_from is None else self._step(proposal.start_from)
        if base is not self.steps[-1]:
            self.call(self.session.restore_snapshot, self.attempts[base.number - 1].snapshot)
            self._name_objectives(base.objectives, self.call(self.session.objectives, self.plan))
        after = apply(proposal.changes, base.objectives)
        for before, state in zip(base.objectives, after, strict=True):
            server_name = self.objective_names[state.name]
            if self.prepared.spec(state) == self.prepared.spec(before):
                continue
            if state == replace(before, priority=state.priority):
                self.call(self.session.set_priority, server_name, state.priority)
            else:
                self.call(self.session.update_objective, server_name, self.prepared.spec(state))
        plan = self.call(self.session.set_normalization, self.plan, None)
        changes = tuple(self._readable(change, proposal.start_from) for change in proposal.changes)
        self.call.tell(Applied(number, changes, plan.etag))
        return after

    def optimise(self, number: int) -> model.OptimizationResult:
        warm = number > 1 and "optimize.warm-start" in self.server.capabilities
        spec = model.OptimizeSpec(start=model.StartPoint.WARM if warm else model.StartPoint.COLD)
        result = self.call(self.session.optimize, self.plan, spec, on_progress=self.call.progress("optimize"))
        self.call.tell(Optimised(number, result))
        return result

    def normalise(self) -> float:
        """Scale so that the coverage point that needs most dose is met exactly; percent of the optimiser's dose."""
        points = self.prepared.normalisations
        queries = [
            model.MetricQuery(
                model.MetricKind.DOSE_AT_VOLUME,
                p.structure,
                volume=p.volume_percent,
                volume_unit=model.VolumeUnit.PERCENT,
            )
            for p in points
        ]
        answers = self.call(self.session.evaluate, self.plan, queries)
        factors = []
        for point, answer in zip(points, answers, strict=True):
            if not answer.value or answer.value <= 0.0:
                raise RunError(
                    f"{self.plan!r} cannot be normalised: D{point.volume_percent:g}% of {point.structure!r} is "
                    f"{answer.value} ({answer.status.name}). Does any beam reach it, and has it any objective?"
                )
            factors.append(point.dose_gy / answer.value)
        decisive = max(range(len(points)), key=lambda index: factors[index])
        self.call(self.session.set_normalization, self.plan, points[decisive])
        return 100.0 * factors[decisive]

    def evaluate(self) -> tuple[tuple[GoalResult, ...], tuple[ReportedMetric, ...]]:
        """Every goal and reported metric, in one call."""
        bound = [goal.metric for goal in self.prepared.goals] + list(self.prepared.reported)
        queries = [metric.query for metric in bound]
        asked = [query for query in queries if query is not None]
        results = iter(self.call(self.session.evaluate, self.plan, asked))
        answers = [None if query is None else next(results) for query in queries]
        count = len(self.prepared.goals)
        return (
            goal_rules.evaluate(self.prepared.goals, answers[:count]),
            goal_rules.report(self.prepared.reported, answers[count:]),
        )

    def dvhs(self) -> dict[str, model.Dvh]:
        """Curves of everything that is planned for or has a goal."""
        wanted = {*self.prepared.prescriptions_gy, self.protocol.external}
        wanted |= {goal.metric.structure for goal in self.prepared.goals if goal.metric.resource is not None}
        resources = self.prepared.resources
        return {
            shown: self.call(self.session.dvh, self.plan, name) for shown, name in resources.items() if shown in wanted
        }

    def decide(self, number: int, kept: bool) -> None:
        if kept:
            self.best = number
        reason = "better than every attempt before" if kept else f"not better than attempt {self.best}"
        self.call.tell(Decided(number, kept, self.best, reason))

    def finished(self) -> str:
        """Why the run ends here; empty when it goes on."""
        if not goal_rules.unmet(self.steps[-1].goals, 1, 2, 3):
            return "Every goal that can be evaluated is met."
        if len(self.attempts) >= self.budget.attempts:
            return f"The budget of {self.budget.attempts} attempts is spent."
        if self.budget.tps_calls is not None and self.call.count >= self.budget.tps_calls:
            return f"The budget of {self.budget.tps_calls} TPS calls is spent."
        seconds = time.monotonic() - self.started
        if self.budget.seconds is not None and seconds >= self.budget.seconds:
            return f"The budget of {self.budget.seconds:g} s is spent."
        return ""

    def next_proposal(self) -> Proposal:
        """Ask the planner; let it repair what the checks refuse."""
        failures: tuple[CheckFailure, ...] = ()
        for _ in range(1 + MAX_REPAIRS):
            observation = self.observation(failures)
            proposal = self.planner.propose(observation)
            number = len(self.attempts) + 1
            self.call.tell(Proposed(number, proposal))
            failures = check(proposal, observation)
            self.call.tell(Checked(number, failures))
            if not failures:
                return proposal
        why = f"The planner's proposal was refused {1 + MAX_REPAIRS} times, last: {'; '.join(map(str, failures))}"
        return Proposal(why, stop=True)

    def observation(self, rejected: tuple[CheckFailure, ...]) -> Observation:
        prepared = self.prepared
        return Observation(
            history=tuple(self.steps),
            best=self.best,
            limits=prepared.limits,
            places=prepared.places,
            targets=tuple(prepared.prescriptions_gy),
            normalised_target=self.protocol.normalise.structure,
            prescriptions_gy=prepared.prescriptions_gy,
            overlap_percent=prepared.overlap_percent,
            volumes_cc=prepared.volumes_cc,
            dvhs=self.attempts[-1].dvhs,
            hints=self.server.hints,
            attempts_left=self.budget.attempts - len(self.attempts),
            rejected=rejected,
        )

    def restore_best(self) -> model.Plan:
        """Bring the best attempt back and measure it again."""
        best = self.attempts[self.best - 1]
        self.call(self.session.restore_snapshot, best.snapshot)
        exact = self.server.capabilities.get("snapshot.restore") == FULL_RESTORE
        if not exact:
            self.optimise(best.number)
            self.call(self.session.calculate_dose, self.plan)
            self.normalise()
        goals, reported = self.evaluate()
        difference = _largest_difference_percent(best.goals, goals)
        if exact and difference > EXACT_PERCENT:
            raise RunError(
                f"attempt {best.number} was restored from {best.snapshot!r}, but its metrics differ by "
                f"{difference:.3g} % from those recorded; the plan left behind is not the one reported."
            )
        if not exact:
            self.attempts[self.best - 1] = replace(best, goals=goals, reported=reported, dvhs=self.dvhs())
        self.call.tell(Restored(best.number, best.snapshot, exact, difference))
        return self.call(self.session.plan, self.plan)

    def result(self, plan: model.Plan, reason: str) -> RunResult:
        conflicts = find_conflicts(self.observation(()))
        self.call.tell(ConflictsFound(conflicts))
        seconds = time.monotonic() - self.started
        self.call.tell(Ended(self.best, reason, round(seconds, 3), self.call.count))
        return RunResult(
            case=self.case,
            protocol=self.protocol.id,
            planner=self.planner.name,
            seed=self.seed,
            attempts=tuple(self.attempts),
            best=self.best,
            stop_reason=reason,
            conflicts=conflicts,
            seconds=seconds,
            tps_calls=self.call.count,
            plan=plan,
            beams=self.prepared.beams,
            structures=self.prepared.structures,
            findings=self.patient.findings,
            server=self.server,
            versions={**_versions(), "protocol_sha256": self.loaded.sha256},
            notes=self._notes(),
        )

    def _notes(self) -> tuple[str, ...]:
        note = self.patient.prescription_note
        own = (f"The patient's own data say: {note}. The protocol's prescription is used.",) if note else ()
        return (*own, *self.prepared.notes)

    def _name_objectives(self, states: tuple[ObjectiveState, ...], stored: Sequence[model.Objective]) -> None:
        """Remember the server's names; both lists are in the order in which we set them."""
        self.objective_names = {state.name: o.name for state, o in zip(states, stored, strict=True)}

    def _values(self, result: model.OptimizationResult) -> dict[str, float]:
        if result.granularity is not model.ValueGranularity.PER_OBJECTIVE:
            return {}
        return {ours: result.values[theirs] for ours, theirs in self.objective_names.items() if theirs in result.values}

    def _readable(self, change: Change, start_from: int | None) -> str:
        base = self.steps[-1] if start_from is None else self._step(start_from)
        before = next(state for state in base.objectives if state.name == change.objective)
        word = change.field.removesuffix("_gy").removesuffix("_percent")
        return f"{change.objective}: {word} {getattr(before, change.field):.4g} → {change.value:.4g}. {change.reason}"

    def _step(self, number: int) -> Step:
        return self.steps[number - 1]

    def _best_step(self) -> Step:
        return self._step(self.best)


def _prescription(plan: model.Plan) -> model.Prescription:
    if plan.prescription is None:
        raise RunError(f"{plan.name!r} states no prescription; the server must echo the one it was made with.")
    return plan.prescription


def _largest_difference_percent(recorded: tuple[GoalResult, ...], restored: tuple[GoalResult, ...]) -> float:
    """Largest difference of a goal's value, in percent of the recorded one (of 1 where that is smaller)."""
    largest = 0.0
    for before, after in zip(recorded, restored, strict=True):
        if before.value is None and after.value is None:
            continue
        if before.value is None or after.value is None:
            return float("inf")
        largest = max(largest, 100.0 * abs(after.value - before.value) / max(abs(before.value), 1.0))
    return largest


def _versions() -> Mapping[str, str]:
    return {
        "beamwright": metadata.version("beamwright"),
        "spec": SPEC_VERSION,
        "python": platform.python_version(),
    }
