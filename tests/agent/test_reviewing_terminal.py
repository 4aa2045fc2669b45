"""Review at the terminal: what the screen shows, which line is which answer, and no agreement by accident."""

from __future__ import annotations

import io
import os
import pty
import select
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TextIO

import pytest
from rich.console import Console

from agent.command.reviewing import TerminalReviewer
from agent.proposal import Change, CheckFailure, Decision, Fault, Verdict
from agent.records import GoalStatus
from agent.review import GoalChange, ObjectiveDiff, ReviewError, Sheet, judge

SHEET = Sheet(
    kind="proposal",
    attempt=3,
    rationale="The organ is spared;\nnow the target.",
    objectives=(
        ObjectiveDiff("PTV lower", "priority", 300.0, 250.0, "", True, "It is covered."),
        ObjectiveDiff("PTV lower", "dose_gy", 50.5, 50.5, "Gy", True),
        ObjectiveDiff("PTV lower", "volume_percent", 99.0, 99.0, "%", False),
        ObjectiveDiff("Core upper", "priority", 50.0, 125.0, "", True, "It is hot."),
        ObjectiveDiff("Core upper", "dose_gy", 18.0, 18.0, "Gy", True),
    ),
    goals=(
        GoalChange("PTV", "D95%[Gy]", ">=", 50.0, 50.0, 48.9, GoalStatus.MET, GoalStatus.ACCEPTABLE, 1),
        GoalChange("Core", "D10%[Gy]", "<=", 25.0, 30.0, 27.5, GoalStatus.MISSED, GoalStatus.MISSED, 1),
        GoalChange("Cord", "Max[Gy]", "<=", 45.0, None, None, None, GoalStatus.NOT_EVALUABLE, 2, "it is empty"),
    ),
    notes=("Not known before it is optimised.",),
    plan_etag="e7",
    commit_digest="",
    base=2,
    goals_of=(1, 2),
)
PLAN = replace(SHEET, kind="plan", attempt=2, commit_digest="c" * 64)
TOO_FAR = CheckFailure(Fault.STEP, "Core upper", "priority", 900.0, "too large a step from 50", "16.6667 to 150")


class Keyboard(io.StringIO):
    """Lines that a person types, one after the other."""

    def isatty(self) -> bool:
        return True


def reviewed(typed: str, sheet: Sheet = SHEET) -> tuple[Decision, str]:
    """The decision after these lines, and what was on the screen."""
    screen = io.StringIO()
    decision = TerminalReviewer(Console(file=screen, width=100), Keyboard(typed)).decide(sheet)
    judge(decision, sheet)
    return decision, screen.getvalue()


@pytest.mark.parametrize(
    ("typed", "verdict"),
    [("a\n", Verdict.ACCEPT), ("Accept\n", Verdict.ACCEPT), ("s\n", Verdict.STOP), ("STOP \n", Verdict.STOP)],
)
def test_a_letter_or_the_word_is_an_answer(typed: str, verdict: Verdict) -> None:
    """Both are understood, and the decision says where it was made."""
    decision, _ = reviewed(typed)
    assert (decision.verdict, decision.by, decision.changes) == (verdict, "terminal", ())


@pytest.mark.parametrize(
    "typed", ["", "\n", "a", "accept", "e\n", "e\nCore upper dose = 16\n", "r\n", "r\nbeca", "yes\n"]
)
def test_the_end_of_the_input_is_stop(typed: str) -> None:
    """Wherever the input ends, also in the middle of `accept` or of an edit, the answer is stop."""
    decision, screen = reviewed(typed)
    assert (decision.verdict, decision.changes) == (Verdict.STOP, ())
    assert "counts as stop" in screen


@pytest.mark.parametrize("typed", ["\n", "?\n", "yes\n", "y\n", "ac\n"])
def test_anything_else_is_no_answer(typed: str) -> None:
    """An empty line, a guess and a question mark get the help, and the question comes again."""
    decision, screen = reviewed(f"{typed}s\n")
    assert decision.verdict is Verdict.STOP
    assert "a  accept: go on with exactly what is shown" in screen
    assert screen.count("[a]ccept") == 2


def test_the_sheet_is_on_the_screen() -> None:
    """Objectives with arrows, every value that stays, goals with signs, reasons, notes and the digest can be read."""
    _, screen = reviewed("s\n")
    lines = [" ".join(line.split()) for line in screen.splitlines()]
    assert "PTV lower ↓ 300 → 250 50.5 Gy 99 %" in lines
    assert "Core upper ↑ 50 → 125 18 Gy –" in lines
    assert "1 PTV D95%[Gy] ≥ 50 ✓ 50.00 ≈ 48.90 acceptable" in lines
    assert "1 Core D10%[Gy] ≤ 25 ✗ 30.00 ✗ 27.50 missed" in lines
    assert "2 Cord Max[Gy] ≤ 45 – – – not evaluable: it is empty" in lines
    assert "Core upper, priority: It is hot." in lines
    assert "│ The organ is spared; │" in lines
    assert "│ now the target. │" in lines
    assert "Not known before it is optimised." in lines
    assert f"Sheet {SHEET.digest[:12]}, plan e7." in lines


def test_a_plan_is_accepted_rejected_or_stopped() -> None:
    """For a finished plan no edit is offered, and asking for one gets the help."""
    decision, screen = reviewed("e\na\n", PLAN)
    assert decision.verdict is Verdict.ACCEPT
    assert "Review of the plan, attempt 2" in screen
    assert "[a]ccept  [r]eject  [s]top" in screen
    assert "[e]dit" not in screen


def test_a_rejection_takes_its_reason() -> None:
    """Without a reason nothing is rejected and the question comes again; with one it is part of the decision."""
    decision, screen = reviewed("r\n   \nr\nspare the target\n")
    assert (decision.verdict, decision.reason) == (Verdict.REJECT, "spare the target")
    assert screen.count("Not rejected:") == 1


def test_before_a_reason_is_typed_the_person_hears_where_it_goes() -> None:
    """The reason for turning a proposal down reaches a model, so it must name no patient; a plan's stays here."""
    _, proposal = reviewed("r\nspare the target\n")
    warned, _, asked = " ".join(proposal.split()).partition("What should be different?")
    assert "Your reason is sent word for word" in warned
    assert "Name no patient" in warned
    assert "Name no patient" not in asked
    assert "Name no patient" not in reviewed("r\nspare the target\n", PLAN)[1]


def test_an_edit_yields_exactly_the_changes() -> None:
    """One change set, one taken back, one left as the planner wanted it: these make the decision, and nothing else."""
    decision, screen = reviewed("e\nCore upper dose = 16\nPTV lower priority = 300\nshow\ndone\n")
    assert decision.verdict is Verdict.EDIT
    assert decision.changes == (
        Change("Core upper", "priority", 125.0, "It is hot."),
        Change("Core upper", "dose_gy", 16.0, "Set in review."),
    )
    assert "Core upper: dose 18 → 16 Gy" in screen
    assert "Core upper ↑ 50 → 125 ↓ 18 → 16 Gy –" in [" ".join(line.split()) for line in screen.splitlines()]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Core uper dose = 16", "nothing called 'Core uper dose' may be changed; there is 'Core upper dose'"),
        ("PTV lower volume = 98", "nothing called 'PTV lower volume' may be changed"),
        ("Core upper dose = low", "'low' is no number; write Core upper dose = 12.5"),
        ("Core upper dose = 16 Gy", "'16 Gy' is no number"),
        ("Core upper dose = nan", "nan is not a finite number"),
        ("Core upper dose 16", "OBJECTIVE FIELD = VALUE"),
        ("done", "the edit is what was proposed"),
    ],
)
def test_a_line_that_cannot_be_meant_changes_nothing(line: str, problem: str) -> None:
    """The person is told what is wrong with a line, and the edit goes on without it."""
    decision, screen = reviewed(f"e\n{line}\nCore upper dose = 16\ndone\n")
    assert problem in screen
    assert [change.value for change in decision.changes] == [250.0, 125.0, 16.0]


def test_an_edit_can_be_taken_back() -> None:
    """After `cancel` the proposal is again what it was, and so is its next edit."""
    decision, _ = reviewed("e\nCore upper dose = 16\ncancel\ne\nPTV lower dose = 51\ndone\n")
    assert [change.value for change in decision.changes] == [250.0, 51.0, 125.0]


def test_an_edit_of_nothing_is_refused() -> None:
    """With every change taken back there is nothing to hand in."""
    decision, screen = reviewed("e\nPTV lower priority = 300\nCore upper priority = 50\ndone\ncancel\ns\n")
    assert "the edit names no change" in screen
    assert decision.verdict is Verdict.STOP


def test_after_a_refused_edit_the_person_goes_on_from_it() -> None:
    """Told why the checks refused it, the person mends the one value; the rest of the edit is still there."""
    screen = io.StringIO()
    typed = "e\nCore upper priority = 900\nCore upper dose = 16\ndone\ne\nCore upper priority = 150\ndone\n"
    reviewer = TerminalReviewer(Console(file=screen, width=100), Keyboard(typed))
    assert [change.value for change in reviewer.decide(SHEET).changes] == [250.0, 900.0, 16.0]
    mended = reviewer.decide(SHEET, (TOO_FAR,))
    assert [change.value for change in mended.changes] == [250.0, 150.0, 16.0]
    judge(mended, SHEET)
    assert f"Your edit was not accepted: {TOO_FAR}" in " ".join(screen.getvalue().split())


def test_another_sheet_knows_nothing_of_an_earlier_edit() -> None:
    """Problems with another sheet do not bring back the edit of the one before."""
    other = replace(SHEET, attempt=4)
    typed = "e\nCore upper dose = 16\ndone\ne\nPTV lower dose = 51\ndone\n"
    reviewer = TerminalReviewer(Console(file=io.StringIO()), Keyboard(typed))
    reviewer.decide(SHEET)
    assert [change.value for change in reviewer.decide(other, (TOO_FAR,)).changes] == [250.0, 51.0, 125.0]


def test_nothing_a_planner_or_a_label_says_can_style_or_hide() -> None:
    """Markup is shown letter by letter, and so is what would steer the terminal or begin a line of its own."""
    hostile = "[bold red]x[/bold red][link=http://a]:smile:\x1b[2J\u202e"
    shown = r"[bold red]x[/bold red][link=http://a]:smile:\x1b[2J\u202e"
    diff = replace(SHEET.objectives[0], objective=hostile, reason=f"{hostile}\nSheet accepted")
    goal = replace(SHEET.goals[0], structure=hostile)
    sheet = replace(SHEET, rationale=hostile, objectives=(diff,), goals=(goal,), notes=(hostile,))
    screen = io.StringIO()
    reviewer = TerminalReviewer(Console(file=screen, width=300, force_terminal=True), Keyboard("s\n"))
    reviewer.decide(sheet)
    assert screen.getvalue().count(shown) == 6
    assert "\x1b[2J" not in screen.getvalue()
    assert "\u202e" not in screen.getvalue()
    assert rf"{shown}\nSheet accepted" in screen.getvalue()


def test_the_caller_pauses_what_else_is_drawn() -> None:
    """Everything is shown and asked inside the context that the caller gives."""
    screen = io.StringIO()
    marks = []

    @contextmanager
    def paused() -> Iterator[None]:
        marks.append(screen.getvalue())
        yield
        marks.append(screen.getvalue())

    reviewer = TerminalReviewer(Console(file=screen), Keyboard("a\n"), paused)
    reviewer.decide(SHEET)
    assert marks[0] == ""
    assert marks[1] == screen.getvalue() != ""


def test_without_a_terminal_there_is_no_review() -> None:
    """Input from a file or pipe is refused before anything is planned, with what to do."""
    with pytest.raises(ReviewError, match="--review none"):
        TerminalReviewer(Console(file=io.StringIO()), io.StringIO("a\n"))


@dataclass
class Terminal:
    """A pseudo-terminal: the person's side of it, and the program's."""

    person: int
    keyboard: TextIO
    screen: TextIO

    def see(self, text: str) -> str:
        """Read the screen until it shows this."""
        seen = ""
        while text not in seen:
            ready, _, _ = select.select([self.person], [], [], 20.0)
            assert ready, f"{text!r} did not come; the screen shows {seen!r}"
            seen += os.read(self.person, 4096).decode(errors="replace")
        return seen

    def type(self, keys: bytes) -> None:
        os.write(self.person, keys)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    person, program = pty.openpty()
    with (
        os.fdopen(person, "r+b", buffering=0),
        os.fdopen(program, encoding="utf-8") as keyboard,
        os.fdopen(os.dup(program), "w", encoding="utf-8") as screen,
    ):
        yield Terminal(person, keyboard, screen)


@contextmanager
def deciding(terminal: Terminal, sheet: Sheet = SHEET) -> Iterator[Future[Decision]]:
    """A review that waits at the terminal while the test types; left unanswered, it is ended with Ctrl-D."""
    reviewer = TerminalReviewer(Console(file=terminal.screen, width=100), terminal.keyboard)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(reviewer.decide, sheet)
        try:
            yield answer
        finally:
            if not answer.done():
                terminal.type(b"\n\x04")


QUESTION = "[?] help: "


def test_a_person_at_a_terminal_answers(terminal: Terminal) -> None:
    """Accept, edit, reject with a reason, and stop, typed one after the other into a real terminal."""
    with deciding(terminal) as answer:
        terminal.see(QUESTION)
        terminal.type(b"a\n")
        assert answer.result(20).verdict is Verdict.ACCEPT
    with deciding(terminal) as answer:
        terminal.see(QUESTION)
        terminal.type(b"e\n")
        terminal.see("edit> ")
        terminal.type(b"Core upper dose = 16\n")
        terminal.see("18 → 16 Gy")
        terminal.type(b"done\n")
        assert [change.value for change in answer.result(20).changes] == [250.0, 125.0, 16.0]
    with deciding(terminal) as answer:
        terminal.see(QUESTION)
        terminal.type(b"r\n")
        terminal.see("What should be different? ")
        terminal.type("zu heiß\n".encode())
        assert answer.result(20).reason == "zu heiß"
    with deciding(terminal, PLAN) as answer:
        terminal.see(QUESTION)
        terminal.type(b"s\n")
        assert answer.result(20).verdict is Verdict.STOP


@pytest.mark.parametrize("keys", [b"\x04", b"a\x04\x04"])
def test_control_d_at_a_terminal_is_stop(terminal: Terminal, keys: bytes) -> None:
    """Ctrl-D ends the review, also after the letter that would have accepted."""
    with deciding(terminal) as answer:
        terminal.see(QUESTION)
        terminal.type(keys)
        assert answer.result(20).verdict is Verdict.STOP


def test_what_was_typed_ahead_is_no_answer(terminal: Terminal) -> None:
    """A line typed before the sheet was shown does not accept it."""
    terminal.type(b"a\n")
    assert select.select([terminal.keyboard], [], [], 20.0)[0]
    with deciding(terminal) as answer:
        terminal.see(QUESTION)
        terminal.type(b"s\n")
        assert answer.result(20).verdict is Verdict.STOP


def test_a_line_that_is_no_text_is_asked_for_again(terminal: Terminal) -> None:
    """Bytes that are no UTF-8 neither end the run nor become an answer."""
    with deciding(terminal) as answer:
        terminal.see(QUESTION)
        terminal.type(b"a\xff\n")
        terminal.see("type it again")
        terminal.type(b"s\n")
        assert answer.result(20).verdict is Verdict.STOP
