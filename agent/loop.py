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
from dataclasses import dataclass, field, replace
from importlib import metadata

from agent import goals as goal_rules
from agent.calls import Calls, Listener
from agent.checks import apply, check
from agent.conflicts import find_conflicts
from agent.measuring import Measuring, RunError, dose_changes, largest_difference_percent
from agent.observation import ObjectiveState, Observation, Step
from agent.planners import Planner
from agent.preparation import Prepared, prepare, with_values
from agent.proposal import Change, CheckFailure, Proposal
from agent.protocols import LoadedProtocol
from agent.records import Attempt, Conflict, DoseChange, RunResult
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
from agent.wording import counted
from bridge import SPEC_VERSION, model
from bridge.client import Client, Session

__all__ = ["Budget", "RunError", "run"]

MAX_REPAIRS = 3
"""How often a planner may repair a proposal that fails the checks, before the run ends with the best attempt."""
EXACT_PERCENT = 1e-3
"""A metric after a FULL restore differs from the recorded one by less than this."""


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
    agent.preparation.PreparationError
        The patient or the server lacks what the protocol requires.
    RunError
        A plan that cannot be normalised, or that came back other than it was recorded.
    bridge.errors.BridgeError
        What the server answered; the trace holds it too.
    """
    call = Calls(trace, on_event)
    started = time.monotonic()
    try:
        server = call(client.server_info)
        patient = next(found for found in call(client.patients) if found.name == case)
        limits = {"attempts": budget.attempts, "seconds": budget.seconds, "tps_calls": budget.tps_calls}
        versions = {**_versions(), "protocol_sha256": protocol.sha256}
        call.tell(RunStarted(case, protocol.protocol.id, protocol.file, planner.name, seed, limits, versions, server))
        prepared = prepare(call, session, case, protocol.protocol, server)
        going = _Run(call, session, server, prepared, planner, budget, started)
        stop_reason = going.go()
        return RunResult(
            case=case,
            protocol=protocol.protocol.id,
            planner=planner.name,
            seed=seed,
            attempts=tuple(going.attempts),
            best=going.best,
            stop_reason=stop_reason,
            conflicts=going.conflicts,
            seconds=time.monotonic() - started,
            tps_calls=call.count,
            plan=going.restored,
            beams=going.beams,
            structures=prepared.structures,
            findings=patient.findings,
            server=server,
            versions=versions,
            notes=(*_prescription_note(patient), *prepared.notes),
        )
    except (Exception, KeyboardInterrupt) as error:
        call.tell(Failed(type(error).__name__, str(error)))
        raise


@dataclass
class _Run:
    """One run while it happens."""

    call: Calls
    session: Session
    server: model.ServerInfo
    prepared: Prepared
    planner: Planner
    budget: Budget
    started: float
    attempts: list[Attempt] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    """The attempts again, as planners see them."""
    best: int = 0
    conflicts: tuple[Conflict, ...] = ()

    def __post_init__(self) -> None:
        self.plan = self.prepared.plan.name
        self.restored, self.beams = self.prepared.plan, self.prepared.beams
        self.measuring = Measuring(self.call, self.session, self.prepared)
        self.server_names: dict[str, str] = {}
        """Our name of an objective -> the server's."""

    def go(self) -> str:
        """The whole run; answers why it stopped."""
        self.set_objectives()
        proposal = Proposal("The protocol's own objectives.")
        while True:
            self.attempt(proposal)
            if reason := self.finished():
                break
            proposal = self.next_proposal()
            if proposal.stop:
                reason = proposal.rationale
                break
        self.restore_best()
        self.conflicts = find_conflicts(self.observation())
        self.call.tell(ConflictsFound(self.conflicts))
        self.call.tell(Ended(self.best, reason, round(time.monotonic() - self.started, 3), self.call.count))
        return reason

    def set_objectives(self) -> None:
        """Give the prepared plan the protocol's objectives."""
        states, prepared = self.prepared.objectives, self.prepared
        if prepared.plan.normalization is not None:
            self.call(self.session.set_normalization, self.plan, None)
        stored = self.call(self.session.replace_objectives, self.plan, [prepared.spec(state) for state in states])
        self.name_objectives(states, stored)
        self.call.tell(
            PlanPrepared(
                self.plan, prepared.origin, prepared.plan.prescription, prepared.labels, prepared.beams,
                tuple(stored), prepared.notes,
            )
        )  # fmt: skip

    def attempt(self, proposal: Proposal) -> None:
        """Apply, optimise, dose, normalise, evaluate, record."""
        started, calls_before, number = time.monotonic(), self.call.count, len(self.attempts) + 1
        objectives = self.apply(number, proposal)
        optimisation = self.optimise(number)
        sequencing = self.calculate(optimisation.dose)
        normalization_percent = self.measuring.normalise()
        goals, reported = self.measuring.goals()
        dvhs = self.measuring.dvhs()
        dose = self.call(self.session.plan, self.plan).dose
        snapshot = self.call(self.session.create_snapshot, self.plan, f"attempt {number}").name
        stored = tuple(self.call(self.session.objectives, self.plan))
        score = goal_rules.score(goals)
        kept = not self.steps or score < self.step(self.best).score
        self.attempts.append(
            Attempt(
                number=number,
                rationale=proposal.rationale,
                changes=self.readable(proposal),
                objectives=stored,
                goals=goals,
                dvhs=dvhs,
                dose=dose,
                iterations=optimisation.iterations,
                total_value=optimisation.total_value,
                seconds=time.monotonic() - started,
                tps_calls=self.call.count - calls_before,
                snapshot=snapshot,
                kept=kept,
                normalization_percent=normalization_percent,
                reported=reported,
                sequencing=sequencing,
            )
        )
        self.steps.append(
            Step(
                number, proposal.start_from, proposal.changes, goals,
                with_values(objectives, self.losses(optimisation)), score, kept, normalization_percent,
            )
        )  # fmt: skip
        self.call.tell(Evaluated(number, goals, reported, sequencing, normalization_percent, dose, score, snapshot))
        self.decide(number, kept)

    def apply(self, number: int, proposal: Proposal) -> tuple[ObjectiveState, ...]:
        """Go back to the attempt the proposal starts from, and change the objectives there."""
        if not self.steps:
            return self.prepared.objectives
        base = self.base(proposal)
        if base is not self.steps[-1]:
            self.call(self.session.restore_snapshot, self.attempts[base.number - 1].snapshot)
            self.name_objectives(base.objectives, self.call(self.session.objectives, self.plan))
        after = apply(proposal.changes, base.objectives)
        for before, state in zip(base.objectives, after, strict=True):
            if state == before:
                continue
            if state == replace(before, priority=state.priority):
                self.call(self.session.set_priority, self.server_names[state.name], state.priority)
            else:
                self.call(self.session.update_objective, self.server_names[state.name], self.prepared.spec(state))
        plan = self.call(self.session.set_normalization, self.plan, None)
        self.call.tell(Applied(number, self.readable(proposal), plan.etag))
        return after

    def optimise(self, number: int) -> model.OptimizationResult:
        warm = number > 1 and "optimize.warm-start" in self.server.capabilities
        spec = model.OptimizeSpec(start=model.StartPoint.WARM if warm else model.StartPoint.COLD)
        result = self.call(self.session.optimize, self.plan, spec, on_progress=self.call.progress("optimize"))
        self.call.tell(Optimised(number, result))
        return result

    def calculate(self, ideal: model.DoseInfo) -> tuple[DoseChange, ...]:
        """Calculate the dose that is judged; answers what sequencing made of the optimiser's, where both are shown."""
        sequenced = self.server.capabilities.get("sequencing") == "SEPARATE"
        compared = sequenced and ideal.kind is model.DoseKind.INTERMEDIATE
        before = self.measuring.key_doses(ideal) if compared else {}
        dose = self.call(self.session.calculate_dose, self.plan, on_progress=self.call.progress("calculate_dose")).dose
        if not compared or dose.kind is not model.DoseKind.FINAL:
            return ()
        return dose_changes(before, self.measuring.key_doses(dose))

    def decide(self, number: int, kept: bool) -> None:
        if kept:
            self.best = number
        reason = "better than every attempt before" if kept else f"not better than attempt {self.best}"
        self.call.tell(Decided(number, kept, self.best, reason))

    def finished(self) -> str:
        """Why the run ends here; empty when it goes on."""
        seconds, budget = time.monotonic() - self.started, self.budget
        if not goal_rules.unmet(self.steps[-1].goals, 1, 2, 3):
            return "Every goal that can be evaluated is met."
        if len(self.attempts) >= budget.attempts:
            return f"The budget of {counted(budget.attempts, 'attempt')} is spent."
        if budget.tps_calls is not None and self.call.count >= budget.tps_calls:
            return f"The budget of {counted(budget.tps_calls, 'TPS call')} is spent."
        if budget.seconds is not None and seconds >= budget.seconds:
            return f"The budget of {budget.seconds:g} s is spent."
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

    def observation(self, rejected: tuple[CheckFailure, ...] = ()) -> Observation:
        prepared = self.prepared
        return Observation(
            history=tuple(self.steps),
            best=self.best,
            limits=prepared.limits,
            places=prepared.places,
            targets=tuple(prepared.prescriptions_gy),
            prescriptions_gy=prepared.prescriptions_gy,
            overlap_percent=prepared.overlap_percent,
            volumes_cc=prepared.volumes_cc,
            dvhs=self.attempts[-1].dvhs,
            hints=self.server.hints,
            attempts_left=self.budget.attempts - len(self.attempts),
            rejected=rejected,
        )

    def restore_best(self) -> None:
        """Bring the best attempt back and measure it again.

        Where the TPS can only bring back the configuration, the plan is optimised again, and what comes out then is
        what is reported.
        """
        best = self.attempts[self.best - 1]
        self.call(self.session.restore_snapshot, best.snapshot)
        exact = self.server.capabilities.get("snapshot.restore") == "FULL"
        if not exact:
            self.call(self.session.set_normalization, self.plan, None)
            self.optimise(best.number)
            self.call(self.session.calculate_dose, self.plan, on_progress=self.call.progress("calculate_dose"))
            self.measuring.normalise()
        goals, reported = self.measuring.goals()
        difference = largest_difference_percent(best.goals, goals)
        if exact and difference > EXACT_PERCENT:
            raise RunError(
                f"attempt {best.number} was restored from {best.snapshot!r}, but its metrics differ by "
                f"{difference:.3g} % from those recorded; the plan left behind is not the one reported."
            )
        self.restored = self.call(self.session.plan, self.plan)
        self.beams = self.call(self.session.beams, self.plan)
        if not exact:
            measured = replace(
                best, goals=goals, reported=reported, dvhs=self.measuring.dvhs(), dose=self.restored.dose
            )
            self.attempts[self.best - 1] = measured
            self.steps[self.best - 1] = replace(self.step(self.best), goals=goals, score=goal_rules.score(goals))
        self.call.tell(Restored(best.number, best.snapshot, exact, difference))

    def name_objectives(self, states: Sequence[ObjectiveState], stored: Sequence[model.Objective]) -> None:
        """Remember the server's names; both lists are in the order in which we set them."""
        self.server_names = {state.name: objective.name for state, objective in zip(states, stored, strict=True)}

    def losses(self, result: model.OptimizationResult) -> dict[str, float]:
        """Weighted loss by our objective name; empty where the TPS does not tell them apart."""
        if result.granularity is not model.ValueGranularity.PER_OBJECTIVE:
            return {}
        return {ours: result.values[theirs] for ours, theirs in self.server_names.items() if theirs in result.values}

    def readable(self, proposal: Proposal) -> tuple[str, ...]:
        """The changes as a person reads them: ``Core upper: priority 50 → 125. Core D10%[Gy] <= 25 is at 30.00.``"""
        if not proposal.changes:
            return ()
        before = {state.name: state for state in self.base(proposal).objectives}
        return tuple(_readable(change, before[change.objective]) for change in proposal.changes)

    def base(self, proposal: Proposal) -> Step:
        """The attempt whose objectives a proposal changes."""
        number = len(self.attempts) if proposal.start_from is None else proposal.start_from
        return self.step(number)

    def step(self, number: int) -> Step:
        return self.steps[number - 1]


def _readable(change: Change, before: ObjectiveState) -> str:
    word = change.field.removesuffix("_gy").removesuffix("_percent")
    return f"{change.objective}: {word} {getattr(before, change.field):.4g} → {change.value:.4g}. {change.reason}"


def _prescription_note(patient: model.Patient) -> tuple[str, ...]:
    note = patient.prescription_note
    return (f"The patient's own data say: {note.rstrip('.')}. The protocol's prescription is used.",) if note else ()


def _versions() -> Mapping[str, str]:
    return {
        "beamwright": metadata.version("beamwright"),
        "spec": SPEC_VERSION,
        "python": platform.python_version(),
    }
