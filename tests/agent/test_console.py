"""What a person at the terminal sees: nothing that a TPS, a model or a file says styles, hides or steers anything."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import trace_builder
from run_builder import make_run

from agent.command import console
from agent.command.exit_status import ExitStatus
from agent.command.tracing import show_run
from agent.proposal import CheckFailure, Fault, Proposal
from agent.run_folder import Run
from agent.talk import Message, Reply, Role, Tool
from agent.trace import (
    Checked,
    Event,
    ModelAnswered,
    ModelSaid,
    ModelTroubled,
    Progressed,
    Proposed,
    StageBegan,
    ToolUsed,
    Verification,
)
from agent.wording import visible
from bridge import model

HOSTILE = "[bold]x[/bold][link=http://a]:smile:\x1b[2J\x1b]0;t\x07\x9b1m\r\u202e\u2028\ud800"
SHOWN = r"[bold]x[/bold][link=http://a]:smile:\x1b[2J\x1b]0;t\x07\x9b1m\r\u202e\u2028\ud800"
WRITTEN, WRITTEN_SHOWN = HOSTILE.replace("\ud800", ""), SHOWN.replace(r"\ud800", "")
"""As a trace can hold it: without half a character."""
HEARD = ModelSaid(".", is_reasoning=True)
"""So the console knows that a model takes part."""


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is folded in the middle of what is looked for."""
    monkeypatch.setenv("COLUMNS", "600")


def seen(screen: pytest.CaptureFixture[str]) -> str:
    """What came to the screen, which holds nothing but text in lines."""
    captured = screen.readouterr()
    text = captured.out + captured.err
    steering = [sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert set(steering) <= {"\n"}
    return text


def test_what_steers_a_terminal_is_spelled_out() -> None:
    """Control, format and surrogate characters and separators become text; the rest stays; lines stay where asked."""
    assert visible(HOSTILE) == SHOWN
    assert visible("Größe 5 µm, ≤ 3 √\t😀") == r"Größe 5 µm, ≤ 3 √\t😀"
    assert (visible("a\nb"), visible("a\nb", keeps_lines=True)) == (r"a\nb", "a\nb")


@pytest.mark.parametrize(
    "told",
    [
        (ModelSaid(f"{HOSTILE} is what I think\n", is_reasoning=True),),
        tuple(ModelSaid(sign, is_reasoning=True) for sign in f"so {HOSTILE}.\n"),
        (ModelSaid(f"so {HOSTILE}.", is_reasoning=False), ModelAnswered(2, Reply("{}"))),
        (ModelTroubled(2, "server-error", HOSTILE, 0.5),),
        (ToolUsed(2, f"query {HOSTILE}", "{}", "", ok=True),),
        (ToolUsed(2, "query", HOSTILE, "", ok=False),),
        (HEARD, Proposed(2, Proposal(HOSTILE))),
        (HEARD, Checked(2, (CheckFailure(Fault.SCHEMA, "", "answer", None, HOSTILE, "a number"),))),
        (StageBegan(HOSTILE, 1, ()),),
    ],
)
def test_what_a_model_and_its_server_say_is_shown_sign_by_sign(
    told: tuple[Event, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Words that stream in, also in single signs, troubles, tool calls, proposals and refusals, and names of stages."""
    shown = console.Progress("case", "protocol")
    for event in told:
        shown.show(event)
    assert SHOWN in seen(capsys)


def test_a_rationale_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """They are set in, so none of them looks like a line of the program's own."""
    shown = console.Progress("case", "protocol")
    for event in (HEARD, Proposed(2, Proposal("The core is hot.\nAttempt 9:  all met"))):
        shown.show(event)
    assert [line.rstrip() for line in seen(capsys).splitlines()[1:]] == ["  The core is hot.", "  Attempt 9:  all met"]


def test_what_is_done_now_is_shown_sign_by_sign(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal the live line, with the stage that a server names, obeys nothing but its own drawing."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    shown = console.Progress(HOSTILE, HOSTILE)
    with shown:
        shown.show(Progressed("optimize", model.Progress(HOSTILE)))
        shown.tell(HOSTILE)
    text = capsys.readouterr().out
    assert f"attempt 1 · {SHOWN}" in text
    assert text.count(SHOWN) >= 4
    assert not any(command in text for command in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e", "\x1b[bold"))


def test_messages_are_shown_sign_by_sign(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said, refused and warned of; a refusal keeps its lines."""
    console.say(HOSTILE)
    assert console.refuse(f"first\n{HOSTILE}", ExitStatus.FAILED) is ExitStatus.FAILED
    console.warn_of_trace(Path("run"), HOSTILE)
    console.show_verification(Path("trace.jsonl"), Verification(False, 3, 4, HOSTILE))
    text = seen(capsys)
    assert text.count(SHOWN) == 4
    assert f"first\n{SHOWN}" in text


def test_a_prompt_is_shown_sign_by_sign(capsys: pytest.CaptureFixture[str]) -> None:
    """Message, form of the answer and tools, with their lines."""
    tool = Tool("trends", HOSTILE, {})
    console.show_messages([Message(Role.USER, f"Plan.\n{HOSTILE}")], "", {"type": "object"}, [tool])
    text = seen(capsys)
    assert text.count(SHOWN) == 2
    assert "Plan.\n" in text


def test_the_outcome_is_shown_sign_by_sign(capsys: pytest.CaptureFixture[str]) -> None:
    """Labels of the TPS in goals and conflicts, and what a model gave as its reason to stop."""
    made = make_run(label=HOSTILE)
    run = Run(replace(made.result, stop_reason=HOSTILE), made.volumes, made.reference)
    console.show_outcome(run, Path("report.html"))
    assert seen(capsys).count(SHOWN) >= 3


def saying(said: str, event: Event) -> Event:
    """The event with these words in it, where it has a model's or its server's."""
    match event:
        case ModelTroubled():
            return replace(event, message=said)
        case ToolUsed():
            return replace(event, arguments=said)
        case ModelAnswered():
            return replace(event, reply=replace(event.reply, reasoning=said))
        case Proposed():
            return replace(event, proposal=replace(event.proposal, rationale=said))
        case _:
            return event


def test_a_story_is_told_sign_by_sign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Troubles, tool calls, thoughts and rationales of a recorded run; thoughts and rationales keep their lines."""
    said = f"{WRITTEN}\nsecond"
    told = [saying(said, event) for event in trace_builder.events()]
    assert show_run(trace_builder.write(tmp_path / "trace.jsonl", *told)) is ExitStatus.OK
    text = seen(capsys)
    assert rf"rate-limit: {WRITTEN_SHOWN}\nsecond" in text
    assert rf"called trends({WRITTEN_SHOWN}\nsecond)" in text
    assert f"{WRITTEN_SHOWN}\nsecond" in text
