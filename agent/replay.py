"""A recorded run, run again: the same protocol and planner, with models and people answered from the trace.

The one idea: a replay is a run like any other, with a trace of its own, and the two traces are compared. Whatever was
decided outside the planner is taken from the record: a model's replies, a person's decisions, and where a run ended
that ended by the clock or by hand. Times do not repeat, so only attempts are counted.

A person's decision names the digest of the sheet that was shown, and a sheet names etags of its server, which are new
in every run. So a recorded decision is given to the sheet of the same kind and attempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from agent import protocols
from agent.actions import ACTIONS, ActionError
from agent.analysis.story import Story
from agent.driver import EXACT_PERCENT, REOPTIMISED_PERCENT
from agent.goals import describe
from agent.language_model.recorded import RecordedChat
from agent.loop import Budget, Options, run
from agent.measuring import RunError, largest_difference_percent
from agent.observation import Observation
from agent.planners import Planner
from agent.planners.catalogue import MODEL_PLANNERS, PlannerError, PlannerOptions, make_planner
from agent.planners.model_planner import ModelPlanner
from agent.planners.recipes import RECIPES
from agent.preparation import PreparationError
from agent.prompts import Blocks
from agent.proposal import CheckFailure, Decision, Ending, Proposal, Verdict
from agent.records import GoalResult
from agent.review import Sheet
from agent.run_folder import INTERRUPTED
from agent.settings import ModelSettings
from agent.trace import Evaluated, Proposed, Reviewed, RunStarted, StageBegan, Tell, Trace, verify
from agent.wording import counted
from bridge import model
from bridge.client import Client, Session
from bridge.errors import BridgeError

_RECORD_ENDS = Proposal("The recorded run asked for nothing more here.", stop=True, ending=Ending.BROKEN_OFF)
_SEEDED = ("random", "bayes")
"""Planners that draw numbers."""
_EVERYTHING = "all"
"""Action space of a search in everything that may change."""
_NO_DECISION = "The trace holds no decision on this."
_RANDOM_START = re.compile(r"random, seed (\d+)")
_RUN_FAILS = (PreparationError, ActionError, RunError, BridgeError)
"""What ends a run, and stands in its trace."""


class ReplayError(ValueError):
    """A trace that cannot be replayed; the message says why."""


@dataclass(frozen=True)
class Replay:
    """How a replay compares with what was recorded."""

    attempts: int
    """Recorded, with a dose."""
    same_attempts: int
    proposals: int
    """Recorded."""
    same_proposals: int
    differences: tuple[str, ...]
    """What was not the same, one line each."""
    largest_difference_percent: float
    """Of any goal's value in any attempt, in percent of the recorded one (of 1 where that is smaller)."""
    tolerance_percent: float
    notes: tuple[str, ...] = ()
    """What to know besides: a run without its end, other versions."""

    @property
    def ok(self) -> bool:
        return not self.differences


def replay(
    client: Client, session: Session, case: str, trace_path: Path, *, trace: Trace, on_event: Tell | None = None
) -> Replay:
    """Run a session again from its trace, and compare proposal by proposal and goal by goal.

    Parameters
    ----------
    session
        A read-write session on ``case``, the patient as it was before the recorded run.
    trace_path
        Of the recorded run.
    trace
        Open and empty, for the replay; the caller closes it.

    Raises
    ------
    ReplayError
        The trace was changed, or does not tell enough to run again.
    agent.analysis.story.StoryError
        The trace is of another version.
    """
    notes = _checked(trace_path)
    recorded = Story.read(trace_path)
    started = recorded.started
    events = [told.event for told in recorded.told]
    options = _options(started)
    planner = _AsRecorded(_planner(started, events), recorded)
    with suppress(*_RUN_FAILS):
        run(
            client,
            session,
            case,
            protocols.read(started.protocol_text, started.protocol_file),
            planner,
            trace=trace,
            options=options,
            reviewer=None if options.review == "none" else RecordedReviewer(events),
            on_event=on_event,
        )
    return _compared(recorded, Story.read(trace.path), notes)


class RecordedReviewer:
    """Gives the recorded decisions, each on the sheet of its kind and attempt; stops where there is none."""

    def __init__(self, events: Sequence[object]) -> None:
        self._reviewed = [event for event in events if isinstance(event, Reviewed)]

    def decide(self, sheet: Sheet, problems: tuple[CheckFailure, ...] = ()) -> Decision:  # noqa: ARG002 - known already
        """The next recorded decision, as one on this sheet."""
        following = self._reviewed[0] if self._reviewed else None
        if following is None or (following.what, following.attempt) != (sheet.kind, sheet.attempt):
            return Decision(Verdict.STOP, sheet.digest, _NO_DECISION, by="trace")
        del self._reviewed[0]
        return replace(following.decision, digest=sheet.digest)


class _AsRecorded:
    """The planner, asked as often as it was then."""

    def __init__(self, planner: Planner, recorded: Story) -> None:
        self._planner = planner
        self._left = _asked_of_planner(recorded)

    @property
    def name(self) -> str:
        return self._planner.name

    @property
    def arm(self) -> Mapping[str, Any]:
        return self._planner.arm

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        """What the planner says now; the end, where the record has no more for this stage and attempt."""
        left = self._left.get((observation.stage, observation.last.number + 1), [])
        if not left:
            return _RECORD_ENDS
        then = left.pop(0)
        by_hand = then.stop and then.rationale.startswith(INTERRUPTED)
        return then if by_hand else self._planner.propose(observation, tell)


def _asked_of_planner(recorded: Story) -> dict[tuple[str, int], list[Proposal]]:
    """Stage and attempt -> the planner's proposals; what a person made of one in a review is none of them."""
    asked: dict[tuple[str, int], list[Proposal]] = {}
    stage, by_person = "", False
    for told in recorded.told:
        match told.event:
            case StageBegan():
                stage = told.event.stage
            case Reviewed():
                by_person = told.event.decision.verdict is Verdict.EDIT
            case Proposed():
                if not by_person:
                    asked.setdefault((stage, told.event.attempt), []).append(told.event.proposal)
                by_person = False
    return asked


def _checked(path: Path) -> tuple[str, ...]:
    """Refuse a trace that was changed; a note where only its end is missing."""
    found = verify(path)
    if found.ok:
        return ()
    if found.lines == 0 or found.lines < path.read_bytes().count(b"\n"):
        raise ReplayError(
            f"{path} is not intact in line {found.line}: {found.problem}. Only an intact trace is replayed; take the "
            "file that the run left behind."
        )
    return (
        f"The trace ends after line {found.lines}: the run was cut off, or lines are missing. It is replayed so far.",
    )


def _options(started: RunStarted) -> Options:
    attempts = started.budget.get("attempts")
    if attempts is None:
        raise ReplayError(
            f"the trace names no budget of attempts, found {dict(started.budget)}; it cannot be replayed."
        )
    return Options(
        budget=Budget(int(attempts)),
        stages=_of_arm(started, "stages"),
        start_seed=_start_seed(started),
        review=_of_arm(started, "review"),
        case_seed=started.seed,
    )


def _start_seed(started: RunStarted) -> int | None:
    start = _of_arm(started, "start")
    if start == "nominal":
        return None
    if found := _RANDOM_START.fullmatch(start):
        return int(found[1])
    raise ReplayError(f"the trace's arm has start {start!r}; expected 'nominal' or 'random, seed NUMBER'.")


def _planner(started: RunStarted, events: Sequence[object]) -> Planner:
    """The planner by its name, with the arm that was recorded."""
    name = started.planner
    try:
        if name in MODEL_PLANNERS:
            return _model_planner(started, events)
        return make_planner(name, _seeded(started) if name in _SEEDED else PlannerOptions())
    except (PlannerError, KeyError, TypeError, ValueError) as error:
        raise ReplayError(f"planner {name!r} cannot be made again from the trace's arm ({error}).") from error


def _model_planner(started: RunStarted, events: Sequence[object]) -> Planner:
    """Action space and blocks as they were, not as the planner has them by itself."""
    action, blocks = ACTIONS[_of_arm(started, "action")], Blocks(**_of_arm(started, "blocks"))
    recipe = replace(RECIPES[_of_arm(started, "recipe")], action=action.name, blocks=blocks)
    return ModelPlanner(recipe, action, RecordedChat(ModelSettings(**_of_arm(started, "model")), events))


def _seeded(started: RunStarted) -> PlannerOptions:
    action = _of_arm(started, "action")
    return PlannerOptions(None if action == _EVERYTHING else action, seed=_of_arm(started, "seed"))


def _of_arm(started: RunStarted, key: str) -> Any:
    if key not in started.arm:
        raise ReplayError(
            f"the trace's arm has no {key!r}, which a replay of planner {started.planner!r} needs; it has "
            f"{sorted(started.arm)}. It is of another version."
        )
    return started.arm[key]


def _compared(recorded: Story, repeated: Story, notes: tuple[str, ...]) -> Replay:
    proposals = [_proposal_difference(*pair) for pair in _proposals(recorded, repeated)]
    asked = sum(len(chapter.askings) for chapter in recorded.chapters)
    tolerance_percent = _tolerance_percent(recorded.started.server)
    measured = [_goal_difference(then, repeated, tolerance_percent) for then in recorded.evaluated]
    differences = (
        *proposals,
        *_decision_differences(recorded, repeated),
        *(text for text, _ in measured),
        *_end_differences(recorded, repeated),
    )
    return Replay(
        attempts=len(recorded.evaluated),
        same_attempts=sum(not text for text, _ in measured),
        proposals=asked,
        same_proposals=max(0, asked - sum(map(bool, proposals))),
        differences=tuple(text for text in differences if text),
        largest_difference_percent=max((percent for _, percent in measured), default=0.0),
        tolerance_percent=tolerance_percent,
        notes=(*notes, *_failure_notes(recorded), *_version_notes(recorded.started, repeated.started)),
    )


def _tolerance_percent(server: model.ServerInfo) -> float:
    """The simulated TPS repeats itself; of no other is that known."""
    return EXACT_PERCENT if server.mode is model.ServerMode.SIMULATED else REOPTIMISED_PERCENT


def _proposals(recorded: Story, repeated: Story) -> Iterator[tuple[str, Proposal | None, Proposal | None]]:
    """Where, what was proposed then, and what now."""
    again = {chapter.number: chapter.askings for chapter in repeated.chapters}
    for chapter in recorded.chapters:
        then = [asking.proposal for asking in chapter.askings]
        now = [asking.proposal for asking in again.get(chapter.number, ()) if asking.proposal != _RECORD_ENDS]
        for number, pair in enumerate(zip_longest(then, now), start=1):
            yield f"attempt {chapter.number}, proposal {number}", *pair


def _proposal_difference(where: str, then: Proposal | None, now: Proposal | None) -> str:
    if then == now:
        return ""
    if then is None:
        return f"{where} was made now, and is not recorded"
    if now is None:
        return f"{where} is recorded, and was not made again"
    return f"{where}, {_first_difference(then, now)}"


def _first_difference(then: object, now: object) -> str:
    """``changes 2, value 125.0 recorded, 130.0 now``."""
    if isinstance(then, tuple) and isinstance(now, tuple) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True), start=1)
        number, pair = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
        return f"{number}, {_first_difference(*pair)}"
    if is_dataclass(then) and type(then) is type(now):
        name = next(item.name for item in fields(then) if getattr(then, item.name) != getattr(now, item.name))
        return f"{name} {_first_difference(getattr(then, name), getattr(now, name))}"
    return f"{then!r} recorded, {now!r} now"


def _decision_differences(recorded: Story, repeated: Story) -> Iterator[str]:
    for then, now in zip_longest(_decisions(recorded), _decisions(repeated)):
        if then is not None and then != now:
            yield f"attempt {then.attempt}: the decision to {then.decision.verdict} the {then.what} was not asked for"


def _decisions(story: Story) -> list[Reviewed]:
    """Without the digests of what was shown."""
    reviewed = (told.event for told in story.told if isinstance(told.event, Reviewed))
    return [replace(event, decision=replace(event.decision, digest="")) for event in reviewed]


def _goal_difference(then: Evaluated, repeated: Story, tolerance_percent: float) -> tuple[str, float]:
    """What is not the same in one attempt (empty where all is), and the largest difference of a goal's value in it."""
    now = next((each for each in repeated.evaluated if each.attempt == then.attempt), None)
    if now is None:
        return f"attempt {then.attempt} was not reached again", 0.0
    if [_asked(goal) for goal in then.goals] != [_asked(goal) for goal in now.goals]:
        return f"attempt {then.attempt} has other goals", 0.0
    percents = [largest_difference_percent((a,), (b,)) for a, b in zip(then.goals, now.goals, strict=True)]
    largest = max(percents, default=0.0)
    if largest <= tolerance_percent:
        return "", largest
    goal, again = then.goals[percents.index(largest)], now.goals[percents.index(largest)]
    values = f"{goal.value!r} recorded, {again.value!r} now"
    return f"attempt {then.attempt}, {describe(goal)}: {values} ({largest:.3g} %)", largest


def _asked(goal: GoalResult) -> tuple[str, str, str, float]:
    return goal.structure, goal.metric, goal.comparator, goal.limit


def _end_differences(recorded: Story, repeated: Story) -> Iterator[str]:
    if repeated.failed is not None and repeated.failed != recorded.failed:
        yield f"the replay failed with {repeated.failed.error}: {repeated.failed.message}"
    if recorded.ended and repeated.ended and recorded.ended.best != repeated.ended.best:
        yield f"attempt {recorded.ended.best} was the best then, attempt {repeated.ended.best} now"


def _failure_notes(recorded: Story) -> Iterator[str]:
    if recorded.failed is not None:
        reached = counted(len(recorded.evaluated), "attempt")
        failure = f"{recorded.failed.error}: {recorded.failed.message.rstrip('.')}"
        yield f"The recorded run failed after {reached} with {failure}. It is replayed up to there."


def _version_notes(then: RunStarted, now: RunStarted) -> Iterator[str]:
    versions = [{**each.versions, each.server.tps_name: each.server.tps_version} for each in (then, now)]
    for name, version in versions[0].items():
        if versions[1].get(name) != version:
            yield f"{name} was {version} then, and is {versions[1].get(name, 'not there')} now."
