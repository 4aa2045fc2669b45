"""The attempts of a run as they are told: what became of each beside the best one before it, and what was changed.

The one idea: the page and the terminal tell the same account; they differ only in how it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.analysis.story import Asking, Chapter, Exchange, Story
from agent.ledger import Ledger
from agent.observation import ObjectiveState
from agent.proposal import Decision, Field, Proposal
from agent.records import GoalResult, ModelCosts
from agent.report import tables
from agent.review import FIELD_WORD
from agent.talk import Message
from agent.trace import Decided, Evaluated, ModelAsked, Proposed, Reviewed, StageBegan, ToolUsed

_UNIT: Mapping[Field, str] = {"priority": "", "dose_gy": " Gy", "volume_percent": " %"}


@dataclass(frozen=True)
class ChangeRow:
    """One field of an objective, as it was and as it was proposed."""

    objective: str
    field: str
    before: str
    """Empty where the objective is not known."""
    after: str
    reason: str


@dataclass(frozen=True)
class Account:
    """One attempt, beside the best one before it."""

    chapter: Chapter
    stage: str
    compared_with: int | None
    """The best attempt before it; None for the first."""
    goals: tuple[tables.GoalRow, ...]
    """``first`` is the value of the best attempt before; no rows where the attempt came to no dose."""
    verdict: str
    """``best kept set-back unfinished``."""

    @property
    def moved(self) -> tuple[tables.GoalRow, ...]:
        """Goals with another status or a noticeably other value than before; in the first attempt all."""
        first = self.compared_with is None
        return tuple(row for row in self.goals if first or row.trend or row.status is not row.first_status)

    @property
    def still(self) -> tuple[tables.GoalRow, ...]:
        """The other goals."""
        return tuple(row for row in self.goals if row not in self.moved)


@dataclass(frozen=True)
class Request:
    """One request to a model, in a conversation."""

    exchange: Exchange
    known: int
    """So many of its messages are those of the request before."""

    @property
    def new(self) -> tuple[Message, ...]:
        return self.exchange.asked.messages[self.known :]


Moment = Request | ToolUsed | Asking | Reviewed


def accounts(story: Story) -> tuple[Account, ...]:
    """The attempts of a run, oldest first."""
    before = dict(_best_before(story))
    stages = {each.attempt: each.stage for each in story.evaluated}
    return tuple(
        Account(
            chapter,
            stages.get(chapter.number, ""),
            before[chapter.number][0] if chapter.number in before else None,
            _goal_rows(chapter.evaluated, before.get(chapter.number)),
            _verdict(chapter.decided, best_of(story)),
        )
        for chapter in story.chapters
    )


def best_of(story: Story) -> int | None:
    """The best attempt of the run, as far as it went; None where no attempt was decided on."""
    decided = [chapter.decided for chapter in story.chapters if chapter.decided is not None]
    return decided[-1].best if decided else None


def change_rows(story: Story, attempt: int, proposal: Proposal) -> tuple[ChangeRow, ...]:
    """What a proposal for an attempt changes, beside the objectives it starts from."""
    earlier = [each for each in story.evaluated if each.attempt < attempt]
    if proposal.start_from is not None:
        earlier = [each for each in earlier if each.attempt == proposal.start_from]
    states = {state.name: state for state in earlier[-1].objectives} if earlier else {}
    return tuple(
        ChangeRow(
            change.objective,
            FIELD_WORD[change.field],
            _value(states.get(change.objective), change.field),
            f"{change.value:g}{_UNIT[change.field]}",
            change.reason,
        )
        for change in proposal.changes
    )


def moments(chapter: Chapter) -> Iterator[Moment]:
    """What happened before an attempt was carried out, in the order of the trace."""
    exchanges, askings = iter(chapter.exchanges), iter(chapter.askings)
    known: tuple[Message, ...] = ()
    for told in chapter.told:
        match told.event:
            case ModelAsked():
                continued = told.event.messages[: len(known)] == known
                known, shown = told.event.messages, len(known) if continued else 0
                yield Request(next(exchanges), shown)
            case Proposed():
                yield next(askings)
            case ToolUsed() | Reviewed(what="proposal"):
                yield told.event


def plan_decisions(story: Story) -> tuple[Decision, ...]:
    """What a person said to the finished plan."""
    reviews = (review for chapter in story.chapters for review in chapter.reviews)
    return tuple(review.decision for review in reviews if review.what == "plan")


def costs(story: Story) -> tuple[ModelCosts, Mapping[str, int]]:
    """What the model cost, and how often a proposal was refused for which kind of fault."""
    ledger = Ledger()
    for told in story.told:
        ledger.note(told.event)
    return ledger.model, ledger.format_errors


def ending(story: Story) -> str:
    """How the run ended, in a sentence."""
    if story.ended is not None:
        return f"{story.ended.stop_reason.rstrip('.')}."
    if story.failed is not None:
        return f"The run failed with {story.failed.error}: {story.failed.message.rstrip('.')}."
    return "The trace has no end: the run was cut off."


def arm_lines(arm: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The arm entry by entry, ``blocks: history`` and what it is."""
    for key, value in arm.items():
        name = f"{path}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from arm_lines(value, f"{name}: ")
        else:
            yield name, _plain_word(value)


def _plain_word(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _verdict(decided: Decided | None, best: int | None) -> str:
    if decided is None:
        return "unfinished"
    if decided.attempt == best:
        return "best"
    return "kept" if decided.kept else "set-back"


def _best_before(story: Story) -> Iterator[tuple[int, tuple[int, tuple[GoalResult, ...]]]]:
    """Attempt -> the best attempt when it was made, and its goals as that stage measured them."""
    best: tuple[int, tuple[GoalResult, ...]] | None = None
    evaluated: Evaluated | None = None
    for told in story.told:
        match told.event:
            case StageBegan():
                best = (told.event.baseline, told.event.goals)
            case Evaluated():
                evaluated = told.event
                if best is not None:
                    yield evaluated.attempt, best
            case Decided(kept=True) if evaluated is not None:
                best = (evaluated.attempt, evaluated.goals)


def _goal_rows(
    evaluated: Evaluated | None, before: tuple[int, tuple[GoalResult, ...]] | None
) -> tuple[tables.GoalRow, ...]:
    if evaluated is None:
        return ()
    return tuple(tables.goal_rows(evaluated.goals, before[1] if before else ()))


def _value(state: ObjectiveState | None, field: Field) -> str:
    value = None if state is None else getattr(state, field)
    return "" if value is None else f"{value:g}{_UNIT[field]}"
