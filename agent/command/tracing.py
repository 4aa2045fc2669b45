"""`beamwright trace`: run again from a trace, tell its story, hand it on as tables.

The one idea: a trace is enough. What a run folder has besides (the data folder of its TPS, curves) is used where it is
there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent import run_folder, trace
from agent.analysis.story import Asking, Story, StoryError
from agent.analysis.tables import export_csv
from agent.command import console
from agent.command.cases import UsageError, find_patient
from agent.command.exit_status import ExitStatus
from agent.command.planning import trace_intact
from agent.proposal import Decision, Proposal
from agent.protocols import ProtocolError
from agent.records import GoalStatus
from agent.replay import Replay, ReplayError, replay
from agent.report.accounts import (
    Account,
    Request,
    accounts,
    best_of,
    change_rows,
    costs,
    ending,
    moments,
    plan_decisions,
)
from agent.report.palette import STATUS_SIGN
from agent.report.story import STORY, write_story
from agent.report.tables import GoalRow
from agent.run_folder import RunFolderError
from agent.talk import Reply
from agent.trace import Reviewed, ToolUsed
from agent.wording import counted, visible
from bridge import INTENDED_USE, errors, logs, model
from bridge.client import Client, connect
from bridge.launch import LaunchFailed, launch

FOLDED_LINES = 6
"""Of a model's reasoning, where not all of it is asked for."""
ANSWER_CHARACTERS = 160
"""Of a tool's answer."""
_STYLE = {
    GoalStatus.MET: "green",
    GoalStatus.ACCEPTABLE: "yellow",
    GoalStatus.MISSED: "bold red",
    GoalStatus.NOT_EVALUABLE: "dim",
}
_VERDICT = {
    "best": ("★ best of the run", "bold green"),
    "kept": ("kept", "green"),
    "set-back": ("set back", "yellow"),
    "unfinished": ("no dose", "dim"),
}


def replay_run(run: Path, *, endpoint: str | None = None, token_file: Path | None = None) -> ExitStatus:
    """Run again from the trace of a run, and say what was not the same.

    Parameters
    ----------
    run
        Folder of a run whose TPS was started for it; or, with ``endpoint``, any run's folder or trace.
    endpoint
        The server that holds the patient.
    """
    logs.configure("warning")
    try:
        file = _trace_of(run)
        with tempfile.TemporaryDirectory() as name, _server(run, Path(name), endpoint, token_file) as client:
            found = _replayed(client, file, Path(name) / run_folder.TRACE)
    except (UsageError, FileNotFoundError) as error:
        return console.refuse(str(error), ExitStatus.USAGE)
    except (ReplayError, StoryError, ProtocolError, LaunchFailed, errors.BridgeError) as error:
        return console.refuse(str(error), ExitStatus.FAILED)
    except KeyboardInterrupt:
        return console.refuse("Interrupted; nothing was compared.", ExitStatus.INTERRUPTED)
    _show_replay(console.console(), file, found)
    return ExitStatus.OK if found.ok else ExitStatus.FAILED


def show_run(run: Path, out: Path | None = None, *, full: bool = False) -> ExitStatus:
    """Tell the story of a run in the terminal, and write it as a page.

    Parameters
    ----------
    out
        The page; None: ``story.html`` beside the trace.
    full
        A model's whole reasoning, not its first lines.
    """
    try:
        file, verified = trace_intact(run)
        story = Story.read(file)
        finished = run_folder.read(file.parent) if (file.parent / run_folder.RESULT).exists() else None
    except (FileNotFoundError, StoryError, RunFolderError) as error:
        return console.refuse(str(error), ExitStatus.FAILED)
    problem = "" if verified.ok else f"{file.name} is not intact in line {verified.line}: {verified.problem}"
    if finished is not None:
        problem = finished.trace_problem
    _show_story(console.console(), story, problem, full=full)
    page = write_story(story, out or file.parent / STORY, finished, problem)
    console.say(f"Page: {page}")
    return ExitStatus.OK


def export_run(run: Path, folder: Path) -> ExitStatus:
    """Write the tables of a run as CSV files into a folder."""
    try:
        file, _ = trace_intact(run)
        written = export_csv(file, folder)
    except (FileNotFoundError, StoryError) as error:
        return console.refuse(str(error), ExitStatus.FAILED)
    for path in written:
        console.say(str(path))
    return ExitStatus.OK


def _trace_of(run: Path) -> Path:
    """The trace of a run; refused where the run's own record says that it is another."""
    file, _ = trace_intact(run)
    if (file.parent / run_folder.RESULT).exists() and (problem := run_folder.trace_problem(file.parent)):
        raise ReplayError(f"{file.parent}: {problem}. Only an intact trace is replayed.")
    return file


@contextmanager
def _server(run: Path, folder: Path, endpoint: str | None, token_file: Path | None) -> Iterator[Client]:
    """A server that holds the patient: the one that is named, or one on a copy of the run's own data folder."""
    with ExitStack() as stack:
        if endpoint is not None:
            token = token_file.read_text(encoding="utf-8").strip() if token_file else None
            yield stack.enter_context(connect(endpoint, token))
            return
        if token_file is not None:
            raise UsageError("--token-file belongs to --endpoint; the TPS started for a replay needs none.")
        data = run / run_folder.TPS_DATA
        if not data.is_dir():
            raise UsageError(
                f"{run} holds no data folder of a TPS, so its patient was on a server that stays: give --endpoint and "
                "--token-file of one that has the patient as it was."
            )
        copied = shutil.copytree(data, folder / run_folder.TPS_DATA, ignore=shutil.ignore_patterns("*.lock"))
        with console.waiting("starting a simulated TPS on a copy of the run's data"):
            server = stack.enter_context(launch(data_dir=copied))
        yield stack.enter_context(connect(server.endpoint, server.token))


def _replayed(client: Client, file: Path, again: Path) -> Replay:
    patient = find_patient(Story.read(file).started.case, client.patients())
    with (
        console.Progress(str(file), "replay") as shown,
        client.session(patient, model.SessionMode.READ_WRITE) as session,
        trace.Trace(again) as diary,
    ):
        return replay(client, session, patient, file, trace=diary, on_event=shown.show)


def _show_replay(out: Console, file: Path, found: Replay) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("Compared")
    for heading in ("recorded", "the same"):
        table.add_column(heading, justify="right")
    table.add_row("proposals", str(found.proposals), str(found.same_proposals))
    table.add_row("attempts with a dose", str(found.attempts), str(found.same_attempts))
    out.print(table)
    for note in found.notes:
        out.print(_line(note, "yellow"))
    for difference in found.differences:
        out.print(_line(f"✗ {difference}", "red"))
    largest = f"{found.largest_difference_percent:.2g} %, allowed are {found.tolerance_percent:g} %"
    out.print(_line(f"Largest difference of a goal's value: {largest}."))
    if found.ok:
        out.print(_line(f"✓ {file} is reproduced: the same proposals, and the same plans.", "green"))
    else:
        out.print(_line(f"✗ {file} is not reproduced.", "bold red"))
    out.print(_line(INTENDED_USE, "dim"))


def _show_story(out: Console, story: Story, problem: str, *, full: bool) -> None:
    started = story.started
    out.print(
        _line(f"{started.case.removeprefix('patients/')}: {started.protocol}, planned by {started.planner}", "bold")
    )
    if problem:
        out.print(_line(f"The trace cannot be relied on: {problem}.", "bold red"))
    for account in accounts(story):
        _show_account(out, story, account, full=full)
    out.rule(style="dim")
    best = best_of(story)
    out.print(_line(ending(story) + (f" Attempt {best} is the best." if best else "")))
    for decision in plan_decisions(story):
        _show_decision(out, decision, "the plan")
    spent, _ = costs(story)
    if spent.requests:
        cost = "" if spent.cost_usd is None else f", {spent.cost_usd:.4f} US$"
        tokens = f"{spent.prompt_tokens} + {spent.answer_tokens} tokens"
        out.print(
            _line(f"The model: {counted(spent.requests, 'request')}, {tokens}, {spent.seconds:.0f} s{cost}.", "dim")
        )
    out.print(_line(INTENDED_USE, "dim"))


def _show_account(out: Console, story: Story, account: Account, *, full: bool) -> None:
    number = account.chapter.number
    word, style = _VERDICT[account.verdict]
    stage = f", {account.stage}" if account.stage else ""
    title = f"Attempt {number}" if account.goals else f"Asked for attempt {number}"
    out.rule(Text.assemble((visible(f"{title}{stage}: "), "bold"), (word, style)), align="left", style="dim")
    for moment in moments(account.chapter):
        match moment:
            case Request():
                _show_request(out, moment, full=full)
            case ToolUsed():
                _show_tool(out, moment)
            case Asking():
                _show_asking(out, story, number, moment)
            case Reviewed():
                _show_decision(out, moment.decision, "the proposal")
    if account.goals:
        _show_goals(out, account)
    if account.chapter.decided is not None and account.compared_with is not None:
        out.print(_line(f"{account.chapter.decided.reason}", "dim"))


def _show_request(out: Console, request: Request, *, full: bool) -> None:
    """What the planner saw in short, what it cost, and what it thought."""
    new = sum(len(message.content) for message in request.new)
    known = f" after {request.known} known" if request.known else ""
    out.print(_line(f"asked: {counted(len(request.new), 'message')}{known}, {new} characters", "dim"))
    for trouble in request.exchange.troubles:
        out.print(_line(f"{trouble.problem}: {trouble.message}", "yellow"))
    reply = request.exchange.reply
    if reply is None:
        out.print(_line("no reply", "red"))
        return
    if reply.reasoning:
        thoughts = _folded(reply.reasoning, None if full else FOLDED_LINES)
        out.print(Padding(_line(thoughts, "dim italic", keeps_lines=True), (0, 0, 0, 2)))
    out.print(_line(_price(reply), "dim"))


def _show_tool(out: Console, tool: ToolUsed) -> None:
    answer = " ".join(tool.answer.split())
    shown = answer if len(answer) <= ANSWER_CHARACTERS else f"{answer[:ANSWER_CHARACTERS]}…"
    out.print(_line(f"called {tool.name}({tool.arguments}) → {shown}", "cyan" if tool.ok else "red"))


def _price(reply: Reply) -> str:
    usage = reply.usage
    tokens = "tokens not counted" if usage is None else f"{usage.prompt_tokens} + {usage.answer_tokens} tokens"
    return f"answered: {tokens}, {reply.seconds:.1f} s"


def _folded(text: str, lines: int | None) -> str:
    """The first lines of a text, and how many more there are."""
    every = [line for line in text.splitlines() if line.strip()]
    if lines is None or len(every) <= lines:
        return "\n".join(every)
    return "\n".join([*every[:lines], f"… {counted(len(every) - lines, 'line')} more (--full)"])


def _show_asking(out: Console, story: Story, number: int, asking: Asking) -> None:
    proposal = asking.proposal
    if proposal.rationale:
        out.print(_line(_begun(proposal) + proposal.rationale, keeps_lines=True))
    for failure in asking.failures or ():
        out.print(_line(f"  ✗ {failure.fault.value}: {str(failure).lstrip(': ')}", "red"))
    for change in change_rows(story, number, proposal):
        before = change.before or "?"
        out.print(_line(f"  {change.objective}: {change.field} {before} → {change.after}. {change.reason}".rstrip()))


def _begun(proposal: Proposal) -> str:
    if proposal.stop:
        return "Stop: "
    trial = "What if: " if proposal.is_trial else ""
    return trial if proposal.start_from is None else f"{trial}From attempt {proposal.start_from} on: "


def _show_decision(out: Console, decision: Decision, what: str) -> None:
    reason = f": “{decision.reason}”" if decision.reason else ""
    out.print(_line(f"a person on {what}: {decision.verdict.value}{reason}", "magenta"))


def _show_goals(out: Console, account: Account) -> None:
    """Goals that changed, with those of the best attempt before."""
    table = Table.grid(padding=(0, 2, 0, 2))
    for row in account.moved:
        table.add_row(*_goal_cells(row, first=account.compared_with is None))
    out.print(table)
    if account.still:
        out.print(_line(f"  {counted(len(account.still), 'goal')} as in attempt {account.compared_with}", "dim"))


def _goal_cells(row: GoalRow, *, first: bool) -> tuple[Text, ...]:
    trend = {1: ("▲", "green"), -1: ("▼", "yellow"), 0: ("", "")}[row.trend]
    return (
        Text(STATUS_SIGN[row.status], _STYLE[row.status]),
        Text(visible(f"{row.structure} {row.metric} {row.limit}")),
        Text("" if first else f"{row.first} →", _STYLE[row.first_status]),
        Text(row.best, _STYLE[row.status]),
        Text(*trend),
    )


def _line(text: str, style: str = "", *, keeps_lines: bool = False) -> Text:
    """A text as data: nothing in it styles, hides or moves anything."""
    return Text(visible(text, keeps_lines=keeps_lines), style)
