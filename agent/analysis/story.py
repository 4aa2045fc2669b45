"""A trace read back as the story of a run: how it began, each attempt from the question to the decision, how it ended.

The one idea: the story is the trace's own typed events, in their order, gathered by attempt. Nothing is worked out
anew, so whoever shows, counts or checks a run reads the same thing. Seals are not looked at; that is `trace.verify`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

from agent import trace
from agent.plain import from_plain
from agent.proposal import Change, CheckFailure, Proposal
from agent.records import Conflict
from agent.talk import Reply
from agent.trace import (
    Applied,
    Checked,
    ConflictsFound,
    Decided,
    Ended,
    Evaluated,
    Event,
    Failed,
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
)

E = TypeVar("E")

_KINDS: Mapping[str, type] = {kind.__name__: kind for kind in get_args(Event)}
_OF_AN_ATTEMPT = (
    ModelAsked
    | ModelAnswered
    | ModelTroubled
    | ToolUsed
    | Reviewed
    | Proposed
    | Checked
    | Applied
    | Optimised
    | Evaluated
    | Decided
)


class StoryError(ValueError):
    """A trace that cannot be read as a run; the message names file and line."""


@dataclass(frozen=True)
class Told:
    """One event, and where and when it was written."""

    line: int
    time: datetime
    event: Event


@dataclass(frozen=True)
class Exchange:
    """One request to a model and what came of it."""

    asked: ModelAsked
    troubles: tuple[ModelTroubled, ...]
    reply: Reply | None
    """None: no reply could be had."""


@dataclass(frozen=True)
class Asking:
    """One proposal, and what the checks said to it."""

    proposal: Proposal
    failures: tuple[CheckFailure, ...] | None
    """None: the run ended before the checks."""


@dataclass(frozen=True)
class Text:
    """Words that a planner left behind, with the changes they were said about."""

    attempt: int
    source: str
    """``reasoning`` before an answer, ``rationale`` of a proposal, ``reason`` of one change."""
    text: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Chapter:
    """One attempt, or the asking that ended the run."""

    number: int
    told: tuple[Told, ...]

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Requests in order; troubles and reply go to the request before them."""
        found: list[Exchange] = []
        for told in self.told:
            match told.event:
                case ModelAsked():
                    found.append(Exchange(told.event, (), None))
                case ModelTroubled() if found:
                    last = found[-1]
                    found[-1] = Exchange(last.asked, (*last.troubles, told.event), last.reply)
                case ModelAnswered() if found:
                    found[-1] = Exchange(found[-1].asked, found[-1].troubles, told.event.reply)
        return tuple(found)

    @property
    def tools(self) -> tuple[ToolUsed, ...]:
        return _all(self.told, ToolUsed)

    @property
    def askings(self) -> tuple[Asking, ...]:
        """Proposals in order, each with the checks that followed it."""
        found: list[Asking] = []
        for told in self.told:
            match told.event:
                case Proposed():
                    found.append(Asking(told.event.proposal, None))
                case Checked() if found:
                    found[-1] = Asking(found[-1].proposal, told.event.failures)
        return tuple(found)

    @property
    def reviews(self) -> tuple[Reviewed, ...]:
        return _all(self.told, Reviewed)

    @property
    def applied(self) -> Applied | None:
        return _first(self.told, Applied)

    @property
    def optimised(self) -> Optimised | None:
        """The attempt's own optimisation, not one that brought its plan back at the end."""
        return _first(self.told, Optimised)

    @property
    def evaluated(self) -> Evaluated | None:
        return _first(self.told, Evaluated)

    @property
    def decided(self) -> Decided | None:
        return _first(self.told, Decided)

    @property
    def proposal(self) -> Proposal | None:
        """The last one asked for."""
        askings = self.askings
        return askings[-1].proposal if askings else None

    @property
    def texts(self) -> tuple[Text, ...]:
        """What was said towards this attempt: first all reasoning, then each proposal's rationale and reasons."""
        proposals = [asking.proposal for asking in self.askings]
        proposed = tuple(change for proposal in proposals for change in proposal.changes)
        reasoning = [each.reply.reasoning for each in self.exchanges if each.reply is not None]
        texts = [Text(self.number, "reasoning", text, proposed) for text in reasoning]
        for proposal in proposals:
            texts.append(Text(self.number, "rationale", proposal.rationale, proposal.changes))
            texts += [Text(self.number, "reason", change.reason, proposal.changes) for change in proposal.changes]
        return tuple(text for text in texts if text.text.strip())


@dataclass(frozen=True)
class Story:
    """A whole run, finished or not."""

    path: Path
    told: tuple[Told, ...]
    """Every event in the order of the trace."""
    chapters: tuple[Chapter, ...]
    """By attempt, ascending."""

    @classmethod
    def read(cls, path: Path) -> Story:
        """The story that a trace tells.

        Raises
        ------
        StoryError
            The file cannot be read, is no trace of this version, or tells of no run that began.
        """
        told = tuple(_told(path, number, line) for number, line in enumerate(_lines(path), start=1))
        if _first(told, RunStarted) is None:
            failed = _first(told, Failed)
            why = f"it failed before it began: {failed.message}" if failed else "it is a piece of a trace, or empty"
            raise StoryError(f"{path} tells of no run ({why}); give the trace.jsonl of one that began.")
        return cls(path, told, _chapters(told))

    @property
    def started(self) -> RunStarted:
        return _all(self.told, RunStarted)[0]

    @property
    def prepared(self) -> PlanPrepared | None:
        return _first(self.told, PlanPrepared)

    @property
    def stages(self) -> tuple[StageBegan, ...]:
        return _all(self.told, StageBegan)

    @property
    def tps_calls(self) -> tuple[TpsCalled, ...]:
        return _all(self.told, TpsCalled)

    @property
    def evaluated(self) -> tuple[Evaluated, ...]:
        """Every attempt that came to a dose, oldest first."""
        return _all(self.told, Evaluated)

    @property
    def texts(self) -> tuple[Text, ...]:
        """Everything that was said, attempt by attempt."""
        return tuple(text for chapter in self.chapters for text in chapter.texts)

    @property
    def restored(self) -> Restored | None:
        return _first(self.told, Restored)

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        found = _first(self.told, ConflictsFound)
        return found.conflicts if found else ()

    @property
    def ended(self) -> Ended | None:
        """None with `failed` None: the run was cut off."""
        return _first(self.told, Ended)

    @property
    def failed(self) -> Failed | None:
        return _first(self.told, Failed)

    def chapter(self, number: int) -> Chapter:
        """That attempt; a `KeyError` lists those there are."""
        for chapter in self.chapters:
            if chapter.number == number:
                return chapter
        raise KeyError(f"{self.path} has no attempt {number}; it has {[each.number for each in self.chapters]}.")


def _lines(path: Path) -> tuple[Mapping[str, Any], ...]:
    try:
        return trace.read(path)
    except OSError as error:
        raise StoryError(f"{path} cannot be read ({error.strerror}); give the trace.jsonl of a run.") from error
    except ValueError as error:
        raise StoryError(
            f"{path} is not a trace: a line is not JSON ({error}). Give the trace.jsonl of a run."
        ) from error


def _told(path: Path, number: int, line: Mapping[str, Any]) -> Told:
    if not isinstance(line, dict) or line.get("format") != trace.FORMAT:
        found = line.get("format") if isinstance(line, dict) else line
        raise StoryError(f"{path}:{number}: format {found!r}; this version reads {trace.FORMAT!r}.")
    name = str(line.get("event"))
    if name not in _KINDS:
        raise StoryError(f"{path}:{number}: unknown event {name!r}; known are {', '.join(_KINDS)}.")
    try:
        event = from_plain(_KINDS[name], {"type": name, **line["data"]})
        return Told(number, datetime.fromisoformat(line["time"]), event)
    except (KeyError, TypeError, ValueError) as error:
        message = (
            f"{path}:{number}: {name} is not as this version writes it ({error}). Read it with the version that did."
        )
        raise StoryError(message) from error


def _chapters(told: Iterable[Told]) -> tuple[Chapter, ...]:
    by_attempt: dict[int, list[Told]] = {}
    for each in told:
        if isinstance(each.event, _OF_AN_ATTEMPT):
            by_attempt.setdefault(each.event.attempt, []).append(each)
    return tuple(Chapter(number, tuple(by_attempt[number])) for number in sorted(by_attempt))


def _all(told: Iterable[Told], kind: type[E]) -> tuple[E, ...]:
    return tuple(each.event for each in told if isinstance(each.event, kind))


def _first(told: Iterable[Told], kind: type[E]) -> E | None:
    return next(iter(_all(told, kind)), None)
