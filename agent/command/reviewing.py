"""A person reviews at the terminal: what would change, what the goals are at, why; then accept, edit, reject or stop.

The one idea: nothing is agreed to by accident. Only a whole line typed after the sheet was shown is an answer; an empty
line asks again, what was typed ahead is thrown away, and the end of the input means stop.
"""

from __future__ import annotations

import difflib
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TextIO

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent import review
from agent.proposal import CheckFailure, Decision, Field
from agent.records import GoalStatus
from agent.report.palette import STATUS_SIGN, STATUS_WORD
from agent.report.tables import measured, number
from agent.review import FIELD_WORD, GoalChange, ObjectiveDiff, ReviewError, Sheet
from agent.wording import visible

PLACE = "terminal"
"""Who decides, as the trace names it."""
_SIGN = {"<=": "≤", ">=": "≥"}
_STYLE = {
    GoalStatus.MET: "green",
    GoalStatus.ACCEPTABLE: "yellow",
    GoalStatus.MISSED: "bold red",
    GoalStatus.NOT_EVALUABLE: "dim",
}
_ANSWERS = {
    "accept": "go on with exactly what is shown",
    "edit": "set other values in its place",
    "reject": "turn it down; your reason is told to the planner",
    "stop": "end here, without it",
}
_EDIT_HELP = (
    "One change a line: OBJECTIVE FIELD = VALUE, e.g. {example}. To take a change back, set the value from before. "
    "show: the sheet as edited; done: hand it in; cancel: back, without the edit."
)

_REASON_IS_SENT = (
    "Your reason is sent word for word to the planner, and to the language model that it may ask. Name no patient, and "
    "no date or number that tells who it is."
)


class _EndOfInput(Exception):
    """Nobody there to answer any more."""


class TerminalReviewer:
    """Asks the person at the terminal.

    Parameters
    ----------
    console
        Where the sheet and the questions are shown.
    stream
        Where the answers are read from, line by line.
    paused
        Gives the context in which nothing else is drawn on the console.

    Raises
    ------
    ReviewError
        ``stream`` is no terminal, so there is nobody to ask.
    """

    def __init__(
        self, console: Console, stream: TextIO, paused: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        if not stream.isatty():
            raise ReviewError(
                "a review needs a person at a terminal, but the input is none; run it in a terminal, or plan without "
                "a review: --review none."
            )
        self._console = console
        self._stream = stream
        self._paused = paused
        self._handed_in: tuple[str, Sheet] | None = None
        """The last edit, and the digest of the sheet that it edits."""

    def decide(self, sheet: Sheet, problems: tuple[CheckFailure, ...] = ()) -> Decision:
        """Show the sheet, and ask until there is an answer."""
        with self._paused():
            self._show(sheet)
            for problem in problems:
                self._say(f"Your edit was not accepted: {problem}", "red")
            _forget_typed_ahead(self._stream)
            try:
                return self._answer(sheet, has_problems=bool(problems))
            except _EndOfInput:
                self._console.print()
                self._say("The input ended; that counts as stop.", "yellow")
                return review.stop(sheet, by=PLACE, reason="The input ended.")

    def _answer(self, sheet: Sheet, *, has_problems: bool) -> Decision:
        offered = [answer for answer in _ANSWERS if answer != "edit" or sheet.kind == "proposal"]
        question = "  ".join(f"[{answer[0]}]{answer[1:]}" for answer in offered) + "  [?] help: "
        decision: Decision | None = None
        while decision is None:
            match _chosen(self._ask(question), offered):
                case "accept":
                    decision = review.accept(sheet, by=PLACE)
                case "edit":
                    decision = self._edit(sheet, self._draft(sheet) if has_problems else sheet)
                case "reject":
                    decision = self._reject(sheet)
                case "stop":
                    decision = review.stop(sheet, by=PLACE)
                case _:
                    for answer in offered:
                        self._say(f"  {answer[0]}  {answer}: {_ANSWERS[answer]}")
        return decision

    def _reject(self, sheet: Sheet) -> Decision | None:
        """A rejection; None where the person gives no reason after all."""
        if sheet.kind == "proposal":
            self._say(_REASON_IS_SENT, "yellow")
        try:
            return review.reject(sheet, self._ask("What should be different? "), by=PLACE)
        except ReviewError as error:
            self._say(f"Not rejected: {error}", "red")
            return None

    def _edit(self, sheet: Sheet, draft: Sheet) -> Decision | None:
        """An edit; None where the person takes it back."""
        names = _names(sheet)
        if not names:
            self._say("Nothing on this sheet may be changed.", "red")
            return None
        help_text = _EDIT_HELP.format(example=_example(names))
        self._say(help_text, "dim")
        while (line := self._ask("edit> ")) != "cancel":
            try:
                if line == "show":
                    self._console.print(_objective_table(draft))
                elif line == "done":
                    decision = review.edit(sheet, review.changes(draft), by=PLACE)
                    self._handed_in = (sheet.digest, draft)
                    return decision
                elif "=" in line:
                    draft = self._set(line, draft, names)
                else:
                    self._say(help_text, "dim")
            except ReviewError as error:
                self._say(str(error), "red")
        return None

    def _set(self, line: str, draft: Sheet, names: Mapping[str, ObjectiveDiff]) -> Sheet:
        """The draft with one more value, which is shown as it was understood."""
        name, value = _assignment(line)
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3) or names
            raise ReviewError(f"nothing called {name!r} may be changed; there is {_listed(near)}.")
        meant = names[name]
        draft = review.revised(draft, meant.objective, meant.field, value)
        for diff in draft.objectives:
            if (diff.objective, diff.field) == (meant.objective, meant.field):
                self._say(f"  {diff}")
        return draft

    def _draft(self, sheet: Sheet) -> Sheet:
        """Where the edit of this sheet was left, if it was this one."""
        if self._handed_in is not None and self._handed_in[0] == sheet.digest:
            return self._handed_in[1]
        return sheet

    def _ask(self, question: str) -> str:
        """The line that was typed; a line that is cut off by the end of the input is no answer."""
        while True:
            self._console.print(Text(question, style="bold"), end="", soft_wrap=True)
            try:
                line = self._stream.readline()
                line.encode()
            except UnicodeError:
                self._say("That could not be read as text; type it again.", "red")
                continue
            if not line.endswith("\n"):
                raise _EndOfInput
            return line.strip()

    def _show(self, sheet: Sheet) -> None:
        title = f"Review of attempt {sheet.attempt}, before it is made"
        if sheet.kind == "plan":
            title = f"Review of the plan, attempt {sheet.attempt}"
        self._console.print()
        self._say(title, "bold")
        self._console.print(_objective_table(sheet))
        for diff in sheet.objectives:
            if diff.changed and diff.reason:
                self._say(f"  {diff.objective}, {FIELD_WORD[diff.field]}: {diff.reason}", "dim")
        self._console.print(_goal_table(sheet))
        rationale = _literal(sheet.rationale or "None was given.", keeps_lines=True)
        self._console.print(Panel(rationale, title="Rationale", title_align="left"))
        for note in sheet.notes:
            self._say(note)
        self._say(f"Sheet {sheet.digest[:12]}, plan {sheet.plan_etag or 'as it stands'}.", "dim")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(_literal(text, style), soft_wrap=True)


def _chosen(line: str, offered: Iterable[str]) -> str | None:
    """The answer that a whole word or its first letter names."""
    return next((answer for answer in offered if line.casefold() in (answer, answer[0])), None)


def _names(sheet: Sheet) -> dict[str, ObjectiveDiff]:
    """What may be changed, as a person writes it: ``PTV lower priority``."""
    return {f"{diff.objective} {FIELD_WORD[diff.field]}": diff for diff in sheet.objectives if diff.may_change}


def _example(names: Mapping[str, ObjectiveDiff]) -> str:
    name, diff = next(iter(names.items()))
    return f"{name} = {diff.after:g}"


def _assignment(line: str) -> tuple[str, float]:
    name, _, value = (part.strip() for part in line.rpartition("="))
    try:
        return name, float(value)
    except ValueError:
        raise ReviewError(f"{value!r} is no number; write {name} = 12.5, without a unit.") from None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _objective_table(sheet: Sheet) -> Table:
    """One row for each objective, every value in it; what changes is marked."""
    after = "proposed" if sheet.kind == "proposal" else f"attempt {sheet.attempt}"
    table = _table(f"Objectives, attempt {sheet.base} → {after}")
    table.add_column("Objective", overflow="fold")
    for word in FIELD_WORD.values():
        table.add_column(word.capitalize(), no_wrap=True)
    for objective, diffs in _by_objective(sheet):
        changes = any(diff.changed for diff in diffs.values())
        cells = (_difference(diffs[field]) if field in diffs else Text("–", style="dim") for field in FIELD_WORD)
        table.add_row(_literal(objective, "" if changes else "dim"), *cells)
    return table


def _by_objective(sheet: Sheet) -> Iterator[tuple[str, dict[Field, ObjectiveDiff]]]:
    for objective in dict.fromkeys(diff.objective for diff in sheet.objectives):
        yield objective, {diff.field: diff for diff in sheet.objectives if diff.objective == objective}


def _difference(diff: ObjectiveDiff) -> Text:
    """``↑ 50 → 125``, or the value that stays."""
    unit = f" {diff.unit}" if diff.unit else ""
    if not diff.changed:
        return Text(f"{diff.before:g}{unit}", style="dim")
    arrow = "↑" if diff.after > diff.before else "↓"
    return Text(f"{arrow} {diff.before:g} → {diff.after:g}{unit}", style="bold")


def _goal_table(sheet: Sheet) -> Table:
    before, after = sheet.goals_of
    table = _table("Goals" if before is None else f"Goals, attempt {before} → {after}")
    table.add_column("Rank")
    table.add_column("Structure", overflow="fold")
    table.add_column("Metric", no_wrap=True)
    for heading in ("Goal", "–" if before is None else f"Attempt {before}", f"Attempt {after}"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    for goal in sheet.goals:
        table.add_row(*_goal_cells(goal))
    return table


def _goal_cells(goal: GoalChange) -> tuple[Text, ...]:
    return (
        Text(f"{goal.rank}"),
        _literal(goal.structure),
        _literal(goal.metric),
        Text(f"{_SIGN[goal.comparator]} {number(goal.limit)}"),
        _judged(goal.before, goal.status_before),
        _judged(goal.after, goal.status_after),
        _literal(_status(goal), _STYLE[goal.status_after]),
    )


def _judged(value: float | None, status: GoalStatus | None) -> Text:
    """A value with the sign of how it does; the metric names its unit."""
    if status is None:
        return Text("–", style="dim")
    return Text(f"{STATUS_SIGN[status]} {measured(value, '')}", style=_STYLE[status])


def _status(goal: GoalChange) -> str:
    word = STATUS_WORD[goal.status_after]
    return f"{word}: {goal.note}" if goal.note and goal.status_after is GoalStatus.NOT_EVALUABLE else word


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _literal(text: str, style: str = "", *, keeps_lines: bool = False) -> Text:
    """Text as it is: no markup, and nothing that would steer the terminal or hide."""
    return Text(visible(text, keeps_lines=keeps_lines), style=style)


def _forget_typed_ahead(stream: TextIO) -> None:
    """Throw away what was typed before the sheet was shown."""
    if sys.platform == "win32":
        import msvcrt

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios

        with suppress(io.UnsupportedOperation):
            termios.tcflush(stream.fileno(), termios.TCIFLUSH)
