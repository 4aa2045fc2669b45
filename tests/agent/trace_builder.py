"""A small run with a model, written as a real trace: one repaired proposal, one miss, a review, a retry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from observations import OBJECTIVES, goal
from run_builder import make_run

from agent.proposal import Change, CheckFailure, Decision, Fault, Proposal, Verdict
from agent.records import Conflict, GoalResult, ModelCosts, ReportedMetric, Restoration
from agent.talk import Message, Reply, Role, Tool, Usage
from agent.trace import (
    Applied,
    Checked,
    ConflictsFound,
    Decided,
    Ended,
    Evaluated,
    Event,
    ModelAnswered,
    ModelAsked,
    ModelTroubled,
    Optimised,
    PlanPrepared,
    Proposed,
    Restored,
    Reviewed,
    RunStarted,
    StageBegan,
    ToolUsed,
    TpsCalled,
    Trace,
)
from bridge import model

REASONING = (
    "PTV D95% is 49.2 Gy, 0.8 Gy below its limit of 50 Gy, because the organ pulls.\n"
    "Wait, the rule caps that priority at 150.\n"
    "Core D0.03cc is 17.0 Gy."
)
RATIONALE = (
    "PTV D95% is 49.2 Gy, so I raise the priority of PTV lower from 300 to 400 while keeping Core below its limit."
)
PROPOSAL = Proposal(RATIONALE, (Change("PTV lower", "priority", 400.0, "Coverage is 0.8 Gy short."),))
REFUSED = CheckFailure(Fault.OUT_OF_RANGE, "PTV lower", "priority", 4000.0, "outside its bounds", "0 to 1000")
UNREADABLE = Proposal(
    "", unreadable=(CheckFailure(Fault.NO_JSON, "", "answer", "Sure!", "no JSON", "one JSON object"),)
)
DOSE = model.DoseInfo(model.DoseKind.INTERMEDIATE, max_gy=54.5)
GOALS = (
    (goal("PTV", "D95%[Gy] >= 50", 49.23, acceptable=49.0), goal("Core", "D0.03cc[Gy] <= 18", 18.42)),
    (goal("PTV", "D95%[Gy] >= 50", 50.11, acceptable=49.0), goal("Core", "D0.03cc[Gy] <= 18", 17.66)),
)
ASKED = ModelAsked(
    2,
    (Message(Role.SYSTEM, "You plan."), Message(Role.USER, "PTV D95% is 49.23 Gy.")),
    {"type": "object"},
    (Tool("trends", "Trends.", {"type": "object"}),),
)


def reply(reasoning: str = "", *, usage: Usage | None = None, finish: str = "stop") -> Reply:
    """An answer whose reasoning is what matters here."""
    cost = None if usage is None else 0.01
    return Reply(
        "{}", reasoning, usage=usage, cost_usd=cost, seconds=2.0, finish=finish, output="json_schema", model="m"
    )


def attempt(number: int, goals: tuple[GoalResult, ...], *, priority: float = 300.0) -> tuple[Event, ...]:
    """What the loop tells of one attempt once its proposal has passed."""
    objectives = (replace(OBJECTIVES[0], priority=priority, value=2.5), *OBJECTIVES[1:])
    optimised = model.OptimizationResult(
        9.0, model.ValueGranularity.PER_OBJECTIVE, {}, 40, True, model.StopReason.CONVERGED, DOSE, f"e{number}"
    )
    reported = (ReportedMetric("Brain", "V12Gy[cc]", 8.5, "cc"),)
    return (
        Optimised(number, optimised),
        Evaluated(number, goals, reported, (), 100.5, DOSE, (0.0,), f"snapshots/{number}", objectives),
        Decided(number, True, number, "better than every attempt before"),
    )


def started() -> RunStarted:
    server = make_run().result.server
    return RunStarted(
        "patients/P1", "test-50", "test-50.yaml", "sage", 7, {"attempts": 3.0, "seconds": None},
        {"beamwright": "0.1.0"}, server, "id: test-50\n", {"space": "priorities", "temperature": 0.4},
    )  # fmt: skip


def events() -> tuple[Event, ...]:
    """The whole run, from its start to its end."""
    prescription = model.Prescription(25, (model.TargetPrescription("structures/PTV", 50.0),))
    conflict = Conflict(("PTV D95%[Gy] >= 50",), "They overlap.")
    return (
        started(),
        PlanPrepared(
            "plans/1", "created", prescription, {"PTV": "PTV 50"}, {"PTV": "PTV"}, (), (), OBJECTIVES, ("A note.",)
        ),
        TpsCalled("optimize", 1.5, "ok"),
        *attempt(1, GOALS[0]),
        ASKED,
        ModelTroubled(2, "rate-limit", "429", 1.0),
        ModelAnswered(2, reply(usage=Usage(900, 10), finish="length")),
        Proposed(2, UNREADABLE),
        Checked(2, UNREADABLE.unreadable),
        ASKED,
        ModelAnswered(2, reply("PTV upper must stay below 150.", usage=Usage(1000, 60, 30))),
        Proposed(
            2, replace(PROPOSAL, rationale="Far more.", changes=(Change("PTV lower", "priority", 4000.0, "More."),))
        ),
        Checked(2, (REFUSED,)),
        ASKED,
        ToolUsed(2, "trends", "{}", "rising", True),
        ModelAnswered(2, reply(REASONING, usage=Usage(1100, 70, 40))),
        Proposed(2, PROPOSAL),
        Checked(2, ()),
        Reviewed(2, "proposal", Decision(Verdict.ACCEPT, "abc", by="terminal")),
        Applied(2, ("PTV lower priority 300 -> 400",), "e1"),
        *attempt(2, GOALS[1], priority=400.0),
        StageBegan("refinement", 2, GOALS[1]),
        Proposed(3, Proposal("Every goal is met.", stop=True)),
        Checked(3, ()),
        Restored(2, "snapshots/2", Restoration(True, 0.0, 0.001)),
        ConflictsFound((conflict,)),
        Ended(2, "Every goal is met.", 12.5, 61, {"no-json": 1, "out-of-range": 1}, ModelCosts(3, 1)),
    )


def write(path: Path, *told: Event) -> Path:
    """A trace of these events."""
    with Trace(path) as trace:
        for event in told:
            trace.write(event)
    return path
