"""The planning loop: observe, propose, check, review, apply, optimise, dose, evaluate, record; keep the best.

    ask (propose, check, review) ─▶ change ─▶ carry out ─▶ evaluate ─▶ record ─▶ goals met, or budget spent?
     ▲                                                                           │ no
     └─────────────────────────────── observation ◀──────────────────────────────┘   at the end: restore the best

The one idea: the loop knows nothing of planning and the planner nothing of the TPS. A planner sees an `Observation` and
answers with a `Proposal`; everything reaches the TPS through the contract's client; the plan left behind is the best
attempt, restored and measured again, never simply the last. A protocol's later stages refine: there an attempt that
makes anything worse than the plan the stage began with is never kept.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata

from agent import goals as goal_rules
from agent.asking import MAX_REPAIRS, Asking
from agent.calls import Calls
from agent.checks import apply
from agent.conflicts import find_conflicts
from agent.driver import Driver, Outcome
from agent.measuring import RunError
from agent.observation import ObjectiveState, Observation, Remark, Step
from agent.planners import Planner
from agent.preparation import BoundStage, Prepared, prepare
from agent.proposal import Change, CheckFailure, Decision, Ending, Proposal, Review
from agent.protocols import LoadedProtocol
from agent.records import Attempt, Conflict, GoalResult, Restoration, RunResult
from agent.review import Reviewer, plan_sheet
from agent.trace import (
    Applied,
    ConflictsFound,
    Decided,
    Ended,
    Evaluated,
    Failed,
    PlanPrepared,
    Restored,
    RunStarted,
    StageBegan,
    Tell,
    Trace,
)
from agent.wording import counted
from bridge import SPEC_VERSION, model
from bridge.client import Client, Session

__all__ = ["MAX_REPAIRS", "Budget", "Options", "RunError", "run"]

FIRST_STAGE_SHARE = 2 / 3
"""Of the attempts, where a refinement is to follow (own choice); seconds and TPS calls are not shared out."""


@dataclass(frozen=True)
class Budget:
    """When to stop at the latest."""

    attempts: int = 12
    seconds: float | None = None
    tps_calls: int | None = None


@dataclass(frozen=True)
class Options:
    """What else a run may be told."""

    budget: Budget = Budget()
    stages: bool = False
    """Go on to the protocol's later stages once a plan is acceptable."""
    start_seed: int | None = None
    """Draw the first parameters from the protocol's ranges for random starts."""
    review: Review = "none"
    """``each``: a person decides on every proposal and on the plan; ``final``: on the plan."""
    commits: bool = False
    """The caller will commit the plan when the reviewing person accepts it."""
    case_seed: int | None = None
    """Written into the records: which patient of a built-in case this is."""


def run(
    client: Client,
    session: Session,
    case: str,
    protocol: LoadedProtocol,
    planner: Planner,
    *,
    trace: Trace,
    options: Options = Options(),
    reviewer: Reviewer | None = None,
    on_event: Tell | None = None,
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
    reviewer
        Who decides, where ``options.review`` asks for it.
    on_event
        Told of every event of the trace, of progress inside operations, and of a model's streamed words.

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
    asking = Asking(call, planner, options.review, reviewer)
    started = time.monotonic()
    try:
        server = call(client.server_info)
        patient = next(found for found in call(client.patients) if found.name == case)
        arm = {
            **planner.arm, "stages": options.stages, "review": options.review,
            "start": "nominal" if options.start_seed is None else f"random, seed {options.start_seed}",
        }  # fmt: skip
        versions = {**_versions(), "protocol_sha256": protocol.sha256}
        call.tell(
            RunStarted(
                case, protocol.protocol.id, protocol.file, planner.name, options.case_seed, _limits(options.budget),
                versions, server, protocol.text, arm,
            )
        )  # fmt: skip
        prepared = prepare(call, session, case, protocol.protocol, server, options.start_seed)
        driver = Driver(call, session, server, prepared)
        going = _Run(call, session, server, prepared, driver, options, started)
        end = going.go(asking)
        return RunResult(
            case=case,
            protocol=protocol.protocol.id,
            planner=planner.name,
            seed=options.case_seed,
            attempts=tuple(going.attempts),
            best=going.best,
            stop_reason=end.reason,
            ending=end.kind,
            first_stage_goals=going.first_stage_goals,
            conflicts=going.conflicts,
            seconds=time.monotonic() - started,
            tps_calls=call.count,
            plan=going.left,
            beams=going.beams,
            structures=prepared.structures,
            findings=patient.findings,
            server=server,
            versions=versions,
            notes=(*_prescription_note(patient), *prepared.notes),
            arm=arm,
            format_errors=dict(call.ledger.format_errors),
            model_costs=call.ledger.model,
            restoration=going.restoration,
            decision=going.decision,
            commit_digest=going.commit_digest,
        )
    except (Exception, KeyboardInterrupt) as error:
        call.tell(Failed(type(error).__name__, str(error)))
        raise


def first_observations(
    client: Client, session: Session, case: str, protocol: LoadedProtocol, *, trace: Trace, options: Options = Options()
) -> tuple[Observation, ...]:
    """What a planner would be shown after the first attempt: in the first stage, and in each that follows.

    The plan that was made for it is left in the session, uncommitted.
    """
    call = Calls(trace)
    server = call(client.server_info)
    prepared = prepare(call, session, case, protocol.protocol, server, options.start_seed)
    going = _Run(call, session, server, prepared, Driver(call, session, server, prepared), options, time.monotonic())
    going.begin()
    going.attempt(Proposal("The protocol's own objectives."))
    shown = [going.observation()]
    for stage in going.stages[1:]:
        going.refine(stage)
        shown.append(going.observation())
    return tuple(shown)


@dataclass(frozen=True)
class _End:
    """Why a stage or the run ended, in words and in kind."""

    reason: str
    kind: Ending


@dataclass
class _Run:
    """One run while it happens."""

    call: Calls
    session: Session
    server: model.ServerInfo
    prepared: Prepared
    driver: Driver
    options: Options
    started: float
    attempts: list[Attempt] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    """The attempts again, as planners see them."""
    best: int = 0
    present: int = 0
    """The attempt that the plan on the TPS is at."""
    baseline: int | None = None
    """In a later stage: the attempt whose coverage and organs none may be worse than."""
    unrefined: tuple[BoundStage, tuple[Step, ...], Attempt] | None = None
    """The stage before, its attempts, and the baseline as that stage judged it."""
    first_stage_goals: tuple[GoalResult, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    restoration: Restoration | None = None
    decision: Decision | None = None
    """Of the reviewing person, on the plan."""
    commit_digest: str = ""
    """Of the pending changes that the person was shown."""

    def __post_init__(self) -> None:
        self.left, self.beams = self.prepared.plan, self.prepared.beams
        self.stages = self.prepared.stages if self.options.stages else self.prepared.stages[:1]
        self.stage = self.stages[0]

    def go(self, asking: Asking) -> _End:
        """The whole run; answers why it stopped."""
        self.begin()
        end = self.plan_stage(asking, Proposal("The protocol's own objectives."))
        for stage in self.stages[1:]:
            if not self.may_refine(end):
                break
            self.refine(stage)
            end = self.plan_stage(asking)
        if self.baseline == self.best:
            end = _End(f"{end.reason} The refinement found nothing better.", end.kind)
            self.forget_refinement()
        self.restore_best()
        self.conflicts = find_conflicts(self.observation())
        self.call.tell(ConflictsFound(self.conflicts))
        self.review_plan(asking)
        seconds, ledger = round(time.monotonic() - self.started, 3), self.call.ledger
        self.call.tell(
            Ended(
                self.best, end.reason, seconds, self.call.count, dict(ledger.format_errors), ledger.model, end.kind,
                self.first_stage_goals,
            )
        )  # fmt: skip
        return end

    def begin(self) -> None:
        """Give the prepared plan the protocol's objectives."""
        prepared = self.prepared
        stored = self.driver.begin()
        self.call.tell(
            PlanPrepared(
                self.driver.plan, prepared.origin, prepared.plan.prescription, prepared.labels,
                prepared.told_as, prepared.beams, stored, prepared.objectives, prepared.notes,
            )
        )  # fmt: skip

    def plan_stage(self, asking: Asking, proposal: Proposal | None = None) -> _End:
        """Attempt after attempt, until the stage's goals are met or its budget is spent; answers which."""
        while True:
            if proposal is not None:
                self.attempt(proposal)
            if end := self.finished():
                return end
            proposal = asking.next_proposal(self.observation)
            if proposal.stop:
                return _End(proposal.rationale, proposal.ending)
            if end := self.limit_reached():
                return end

    def may_refine(self, end: _End) -> bool:
        """Only an acceptable plan is refined, and nothing goes on that a person, a limit or a failure ended."""
        missed = [goal for goal in goal_rules.unmet(self.step(self.best).goals, 1, 2) if goal.status == "missed"]
        return not missed and end.kind.leaves_room and len(self.attempts) < self.options.budget.attempts

    def refine(self, stage: BoundStage) -> None:
        """Begin a later stage from the best plan so far, judged by the stage's own goals."""
        best, attempt = self.step(self.best), self.attempts[self.best - 1]
        self.unrefined = (self.stage, tuple(self.steps), attempt)
        self.stage, self.baseline = stage, self.best
        self.go_back(self.best)
        self.driver.make_again(self.best)
        goals = self.driver.measured(stage.goals)
        self.steps[self.best - 1] = replace(best, goals=goals, score=goal_rules.score(goals))
        self.steps = [replace(step, objectives=tuple(map(self.released, step.objectives))) for step in self.steps]
        self.attempts[self.best - 1] = replace(attempt, goals=goals)
        self.call.tell(StageBegan(stage.id, self.best, goals))

    def forget_refinement(self) -> None:
        """The baseline stays the best: it is judged again by the goals that it was made for."""
        if self.unrefined is None:
            return
        self.stage, steps, attempt = self.unrefined
        self.steps[: len(steps)] = steps
        self.attempts[self.best - 1] = attempt
        self.baseline = None

    def new_goals(self) -> tuple[str, ...]:
        """What this stage asks for that the one before did not."""
        if self.unrefined is None or self.baseline is None:
            return ()
        before = {goal_rules.describe(goal) for goal in self.unrefined[1][self.baseline - 1].goals}
        return tuple(
            text for goal in self.step(self.baseline).goals if (text := goal_rules.describe(goal)) not in before
        )

    def go_back(self, number: int) -> None:
        """Bring the plan on the TPS to an attempt, if it is not there already."""
        if number != self.present:
            self.driver.go_back(self.attempts[number - 1].snapshot, self.step(number).objectives)
            self.present = number

    def released(self, state: ObjectiveState) -> ObjectiveState:
        """An objective that the agent may change from this stage on."""
        if state.name not in self.stage.released or state.may_change:
            return state
        fields = next(s.may_change for s in self.prepared.objectives if s.may_change)
        return replace(state, may_change=fields)

    def attempt(self, proposal: Proposal) -> None:
        """Apply, carry out, record."""
        started, calls_before, number = time.monotonic(), self.call.count, len(self.attempts) + 1
        changes = self.readable(proposal)
        objectives = self.apply(number, proposal, changes)
        outcome = self.driver.carry_out(number, self.stage.goals, objectives)
        lost = self.lost(outcome.goals)
        score = goal_rules.score(outcome.goals)
        kept = not self.steps or (not lost and score < self.step(self.best).score)
        self.attempts.append(
            Attempt(
                number=number,
                rationale=proposal.rationale,
                changes=changes,
                objectives=outcome.stored,
                goals=outcome.goals,
                dvhs=outcome.dvhs,
                dose=outcome.dose,
                iterations=outcome.iterations,
                total_value=outcome.total_value,
                seconds=time.monotonic() - started,
                tps_calls=self.call.count - calls_before,
                snapshot=outcome.snapshot,
                kept=kept,
                normalization_percent=outcome.normalization_percent,
                reported=outcome.reported,
                sequencing=outcome.sequencing,
                stage=self.stage.id,
                lost=lost,
                is_trial=proposal.is_trial,
                structure_values=outcome.structure_losses,
            )
        )
        states = _as_they_came_out(objectives, outcome)
        self.steps.append(
            Step(
                number, proposal.start_from, proposal.changes, outcome.goals, states, score, kept,
                outcome.normalization_percent, proposal.rationale, self.stage.id, lost, proposal.is_trial,
                tuple(outcome.structure_losses.items()),
            )
        )  # fmt: skip
        self.present = number
        self.record(number, outcome, states, score, lost)
        self.decide(number, kept, lost)

    def lost(self, goals: tuple[GoalResult, ...]) -> tuple[str, ...]:
        """What became worse than the plan that a refinement began with; nothing in the first stage."""
        if self.baseline is None:
            return ()
        return goal_rules.lost(self.step(self.baseline).goals, goals, self.prepared.prescriptions_gy)

    def apply(self, number: int, proposal: Proposal, changes: tuple[str, ...]) -> tuple[ObjectiveState, ...]:
        """Go back to the attempt the proposal starts from, and change the objectives there."""
        if not self.steps:
            return self.prepared.objectives
        base = self.base(proposal)
        self.go_back(base.number)
        after = apply(proposal.changes, base.objectives)
        self.call.tell(Applied(number, changes, self.driver.change(base.objectives, after)))
        return after

    def record(
        self,
        number: int,
        outcome: Outcome,
        states: tuple[ObjectiveState, ...],
        score: tuple[float, ...],
        lost: tuple[str, ...],
    ) -> None:
        self.call.tell(
            Evaluated(
                number, outcome.goals, outcome.reported, outcome.sequencing, outcome.normalization_percent,
                outcome.dose, score, outcome.snapshot, states, self.stage.id, lost, outcome.structure_losses,
            )
        )  # fmt: skip

    def decide(self, number: int, kept: bool, lost: tuple[str, ...]) -> None:
        if kept:
            self.best = number
        reason = "better than every attempt before" if kept else f"not better than attempt {self.best}"
        if lost:
            reason = f"worse than attempt {self.baseline}: {'; '.join(lost)}"
        self.call.tell(Decided(number, kept, self.best, reason))

    def finished(self) -> _End | None:
        """Why the stage ends here; None when it goes on."""
        if not goal_rules.unmet(self.step(self.best).goals, 1, 2, 3):
            return _End("Every goal that can be evaluated is met.", Ending.GOALS_MET)
        if len(self.attempts) >= self.attempts_allowed:
            return _End(f"The budget of {counted(self.attempts_allowed, 'attempt')} is spent.", Ending.ATTEMPTS_SPENT)
        return self.limit_reached()

    def limit_reached(self) -> _End | None:
        """Time or TPS calls spent; those end the run."""
        seconds, budget = time.monotonic() - self.started, self.options.budget
        if budget.tps_calls is not None and self.call.count >= budget.tps_calls:
            return _End(f"The budget of {counted(budget.tps_calls, 'TPS call')} is spent.", Ending.CALLS_SPENT)
        if budget.seconds is not None and seconds >= budget.seconds:
            return _End(f"The budget of {budget.seconds:g} s is spent.", Ending.TIME_SPENT)
        return None

    @property
    def attempts_allowed(self) -> int:
        """Up to the end of this stage."""
        attempts = self.options.budget.attempts
        return attempts if self.stage is self.stages[-1] else math.ceil(attempts * FIRST_STAGE_SHARE)

    def review_plan(self, asking: Asking) -> None:
        """Show the best plan and hear what the person says of it."""
        if self.options.review == "none":
            return
        if self.options.commits:
            self.commit_digest = self.call(self.session.pending_changes).digest
        sheet = plan_sheet(self.steps[0], self.step(self.best), self.left.etag, self.commit_digest)
        self.decision = asking.decision(sheet)

    def observation(self, rejected: tuple[CheckFailure, ...] = (), remarks: tuple[Remark, ...] = ()) -> Observation:
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
            attempts_left=self.attempts_allowed - len(self.attempts),
            task=prepared.task,
            stage=self.stage.id,
            baseline=self.baseline,
            labels=prepared.told_as,
            knowledge=prepared.knowledge,
            fixed_set=prepared.fixed_set,
            remarks=remarks,
            new_goals=self.new_goals(),
            rejected=rejected,
        )

    def restore_best(self) -> None:
        """Bring the best attempt back and measure it again."""
        best = self.attempts[self.best - 1]
        restored, self.restoration = self.driver.bring_back(best, self.stage.goals)
        if restored is not best:
            self.attempts[self.best - 1] = restored
            score = goal_rules.score(restored.goals)
            self.steps[self.best - 1] = replace(self.step(self.best), goals=restored.goals, score=score)
        if self.baseline is not None:
            self.first_stage_goals = self.driver.measured(self.stages[0].goals)
        self.left, self.beams = self.driver.present()
        self.call.tell(Restored(best.number, best.snapshot, self.restoration))

    def readable(self, proposal: Proposal) -> tuple[str, ...]:
        """The changes as a person reads them: ``Core upper: priority 50 → 125. Core D10%[Gy] <= 25 is at 30.00.``"""
        if not proposal.changes:
            return ()
        before = {state.name: state for state in self.base(proposal).objectives}
        return tuple(_readable(change, before[change.objective]) for change in proposal.changes)

    def base(self, proposal: Proposal) -> Step:
        """The attempt whose objectives a proposal changes."""
        shown = len(self.attempts) if self.baseline is None else self.best
        return self.step(shown if proposal.start_from is None else proposal.start_from)

    def step(self, number: int) -> Step:
        return self.steps[number - 1]


def _as_they_came_out(objectives: Sequence[ObjectiveState], outcome: Outcome) -> tuple[ObjectiveState, ...]:
    """The objectives with their weighted losses, and the doses that the plan has where they ask."""
    return tuple(
        replace(state, value=outcome.losses.get(state.name), has_gy=outcome.objectives_gy.get(state.name))
        for state in objectives
    )


def _readable(change: Change, before: ObjectiveState) -> str:
    word = change.field.removesuffix("_gy").removesuffix("_percent")
    return (
        f"{change.objective}: {word} {getattr(before, change.field):.4g} → {change.value:.4g}. {change.reason}".strip()
    )


def _limits(budget: Budget) -> Mapping[str, float | None]:
    return {"attempts": budget.attempts, "seconds": budget.seconds, "tps_calls": budget.tps_calls}


def _prescription_note(patient: model.Patient) -> tuple[str, ...]:
    note = patient.prescription_note
    return (f"The patient's own data say: {note.rstrip('.')}. The protocol's prescription is used.",) if note else ()


def _versions() -> Mapping[str, str]:
    return {
        "beamwright": metadata.version("beamwright"),
        "spec": SPEC_VERSION,
        "python": platform.python_version(),
    }
