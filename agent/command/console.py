"""What a person at the terminal sees: progress while it works, tables when it is done.

The one idea: what a TPS, a model or a file says is shown sign by sign. It is made visible and escaped before rich sees
it, so no such text can style, hide or link anything, nor steer the terminal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer
from rich import box
from rich import progress as rich_progress
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent.command.doctor import Check, Health
from agent.command.exit_status import ExitStatus
from agent.protocols import LoadedProtocol, load, packaged
from agent.records import Attempt, Conflict, GoalResult, GoalStatus, RunResult
from agent.report import tables
from agent.report.palette import STATUS_SIGN, STATUS_WORD
from agent.run_folder import Run
from agent.talk import Message, Tool
from agent.trace import (
    Applied,
    Checked,
    Decided,
    Evaluated,
    Event,
    ModelAnswered,
    ModelAsked,
    ModelSaid,
    ModelTroubled,
    Passing,
    PlanPrepared,
    Progressed,
    Proposed,
    Restored,
    StageBegan,
    ToolUsed,
    Verification,
)
from agent.wording import counted, visible
from bridge import INTENDED_USE, model

if TYPE_CHECKING:
    from agent.report.compare import Comparison

_STYLE = {
    GoalStatus.MET: "green",
    GoalStatus.ACCEPTABLE: "yellow",
    GoalStatus.MISSED: "bold red",
    GoalStatus.NOT_EVALUABLE: "dim",
}
_STAGE = {
    "optimize": "optimising",
    "calculate_dose": "calculating the dose",
}
_HEALTH = {
    Health.GOOD: "[green]good[/green]",
    Health.OPTIONAL: "[yellow]optional[/yellow]",
    Health.BAD: "[bold red]bad[/bold red]",
}


def console() -> Console:
    return Console(highlight=False, emoji=False)


def say(text: str) -> None:
    console().print(_shown(text))


def _shown(text: str) -> str:
    """Foreign text inside rich's markup: one line that is nothing but its signs."""
    return escape(visible(text))


def refuse(message: str, status: ExitStatus) -> ExitStatus:
    """Tell what went wrong on stderr and hand back the exit status."""
    _on_stderr(message, "red")
    return status


def warn_of_trace(folder: Path, problem: str) -> None:
    """Say on stderr that the trace of a run cannot be relied on; nothing where ``problem`` is empty."""
    if problem:
        _on_stderr(f"{folder}: {problem}. What is shown is the run as its other files tell it.", "yellow")


def _on_stderr(text: str, style: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(visible(text, keeps_lines=True), style))


@contextmanager
def waiting(what: str) -> Iterator[None]:
    with console().status(Text(visible(what))):
        yield


class _Clock(rich_progress.ProgressColumn):
    """Time since the run began; rich's own stands still once a step has come to 100 %."""

    def render(self, task: rich_progress.Task) -> Text:
        began = task.get_time() if task.start_time is None else task.start_time
        return Text(str(timedelta(seconds=int(task.get_time() - began))), style="progress.elapsed")


class Progress:
    """Live progress of one run: what happens now, and one line for every attempt that is done."""

    def __init__(self, case: str, protocol: str) -> None:
        self._console = console()
        self._console.print(f"[bold]{_shown(case)}[/bold]: {_shown(protocol)}")
        self._bar = rich_progress.Progress(
            rich_progress.SpinnerColumn(),
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=24),
            _Clock(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("preparing the plan", total=None)
        self._attempt = 1
        self._evaluated: Evaluated | None = None
        self._began = time.monotonic()
        self._words = _Words(self._console)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stage(self, text: str) -> None:
        """Say what happens now."""
        self._bar.update(self._task, description=visible(text), total=None)

    def tell(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"[yellow]{_shown(text)}[/yellow]")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The bar out of the way, while a person is asked."""
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def show(self, event: Event | Passing) -> None:
        """Listen to the loop."""
        match event:
            case ModelSaid() | ModelAsked() | ModelAnswered() | ModelTroubled() | ToolUsed():
                self._show_model(event)
            case Proposed():
                if self._words.spoken and not event.proposal.unreadable:
                    rationale = visible(event.proposal.rationale, keeps_lines=True)
                    self._console.print(Padding(Text(rationale, "cyan"), (0, 0, 0, 2), expand=False))
            case Checked() if event.failures and self._words.spoken:
                for failure in event.failures:
                    self._console.print(f"  [yellow]Refused: {_shown(str(failure))}[/yellow]")
            case StageBegan():
                self._console.print(f"[bold]Stage {_shown(event.stage)}[/bold], from attempt {event.baseline}")
            case Progressed(call, progress):
                self._show_progress(call, progress)
            case PlanPrepared():
                beams, objectives = len(event.beams), len(event.objectives)
                self._console.print(f"[dim]{beams} beams, {objectives} objectives[/dim]")
            case Applied():
                self._attempt = event.attempt
            case Evaluated():
                self._evaluated = event
            case Decided() if self._evaluated is not None:
                now = time.monotonic()
                self._console.print(_attempt_line(event, self._evaluated.goals, now - self._began))
                self._attempt, self._began = event.attempt + 1, now
            case Restored():
                self.stage(f"back to attempt {event.attempt}, the best")

    def _show_model(self, event: ModelSaid | ModelAsked | ModelAnswered | ModelTroubled | ToolUsed) -> None:
        match event:
            case ModelSaid():
                self._words.hear(event)
            case ModelAsked():
                self.stage(f"attempt {event.attempt} · the model thinks")
            case ModelAnswered():
                self._words.end()
            case ModelTroubled():
                then = "" if event.waits_s is None else f"; again in {event.waits_s:.1f} s"
                self._console.print(f"  [yellow]Model: {_shown(event.message)}{then}[/yellow]")
            case ToolUsed():
                self._console.print(f"  [dim]The model uses {_shown(event.name)} {_shown(event.arguments)}[/dim]")

    def _show_progress(self, call: str, progress: model.Progress) -> None:
        parts = [f"attempt {self._attempt}", progress.stage or _STAGE.get(call, call)]
        if progress.iteration is not None:
            parts.append(f"iteration {progress.iteration}")
        if progress.objective_value is not None:
            parts.append(f"objective {progress.objective_value:.4g}")
        self._bar.update(
            self._task,
            description=visible(" · ".join(parts)),
            total=None if progress.percent is None else 100.0,
            completed=progress.percent or 0.0,
        )


class _Words:
    """A model's words as they come: whole lines of its thinking; the JSON of its answer is not for reading."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._line = ""
        self._in_json = False
        self.spoken = False
        """A model takes part in this run."""

    def hear(self, said: ModelSaid) -> None:
        self.spoken = True
        if not said.is_reasoning and "{" in said.text:
            self._in_json = True
        if self._in_json:
            return
        *lines, self._line = (self._line + said.text).split("\n")
        for line in lines:
            self._print(line)

    def end(self) -> None:
        self.spoken = True
        self._print(self._line)
        self._line, self._in_json = "", False

    def _print(self, line: str) -> None:
        if line.strip():
            self._out.print(f"  [dim italic]{_shown(line.strip())}[/dim italic]")


def show_messages(messages: Sequence[Message], stage: str, schema: Mapping[str, Any], tools: Sequence[Tool]) -> None:
    """A request, exactly as it would be sent: the words, the form of the answer, and the tools."""
    out, where = console(), f", stage {stage}" if stage else ""
    parts = [(message.role.value, message.content) for message in messages]
    parts.append(("form of the answer (JSON schema)", json.dumps(schema, indent=1)))
    parts += [(f"tool {tool.name}", f"{tool.description}\n{json.dumps(tool.parameters)}") for tool in tools]
    for title, text in parts:
        out.rule(Text(visible(f"{title}{where}")), align="left")
        out.print(Text(visible(text, keeps_lines=True)), soft_wrap=True)


def show_outcome(run: Run, page: Path) -> None:
    """The goal table, what conflicts, where the maximum is, and where the report lies."""
    from agent.report.page import hottest

    result = run.result
    out = console()
    out.print(goal_table(result.attempts[0], result.best_attempt))
    for goal in result.best_attempt.goals:
        if goal.status is GoalStatus.NOT_EVALUABLE:
            out.print(f"[dim]Not evaluable: {_shown(tables.goal_text(goal))}, {_shown(goal.note)}[/dim]")
    out.print(f"Hottest point of the dose grid: {_shown(hottest(run))}")
    if changes := tables.sequencing_lines(result.best_attempt):
        out.print(f"Leaf sequencing, before normalisation: {_shown(', '.join(changes))}")
    for conflict in result.conflicts:
        out.print(_conflict(conflict))
    for line in tables.planner_lines(result):
        out.print(_shown(line))
    out.print(_shown(_ended(result)))
    out.print(f"Report: [bold]{_shown(str(page))}[/bold]", soft_wrap=True)
    out.print(f"[dim]{_shown(_dose_note(result))} {INTENDED_USE}[/dim]")


def goal_table(first: Attempt, best: Attempt) -> Table:
    """The goals that could be evaluated, from the first attempt to the best, by rank."""
    table = Table(title="Goals", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("Rank")
    table.add_column("Structure", overflow="fold")
    table.add_column("Metric", no_wrap=True)
    for heading in ("Goal", "First", f"Best ({best.number})"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    last_rank = 0
    for row in _evaluable(first, best):
        table.add_row(
            f"{row.rank}" if row.rank != last_rank else "",
            _shown(row.structure),
            _shown(row.metric),
            _shown(row.limit),
            _styled(_bare(row.first), row.first_status),
            _styled(_bare(row.best), row.status),
            _styled(f"{STATUS_SIGN[row.status]} {STATUS_WORD[row.status]}", row.status),
        )
        last_rank = row.rank
    return table


def _evaluable(first: Attempt, best: Attempt) -> list[tables.GoalRow]:
    rows = tables.goal_rows(best.goals, first.goals)
    return [row for row in rows if row.status is not GoalStatus.NOT_EVALUABLE]


def show_comparison(comparison: Comparison) -> None:
    """Goal values of two runs side by side, and where the page with the curves lies."""
    table = Table("Structure", "Metric", title="Goals of two runs", title_justify="left", title_style="bold")
    for heading in ("Goal", f"A: {comparison.names[0]}", f"B: {comparison.names[1]}"):
        table.add_column(_shown(heading), justify="right", overflow="fold")
    one, other = (run.result.best_attempt for run in (comparison.run_a, comparison.run_b))
    for row in tables.paired_goals(one, other):
        table.add_row(
            _shown(row.structure),
            _shown(row.metric),
            _shown(row.limit),
            *(_styled(answer.text, answer.status or GoalStatus.NOT_EVALUABLE) for answer in (row.a, row.b)),
        )
    out = console()
    for difference in comparison.differences:
        out.print(f"[yellow]Different {_shown(difference)}[/yellow]")
    out.print(table)
    out.print(f"Comparison: {_shown(str(comparison.page))}", soft_wrap=True)
    _say_intended_use(out)


def show_protocols() -> None:
    table = Table("Protocol", "What it is", "Targets", "Goals", "Beams")
    for name in packaged():
        protocol = load(name).protocol
        targets = ", ".join(f"{n} {gy:g} Gy" for n, gy in protocol.prescription.targets_gy.items())
        beams = sum(len(group.angles_deg) for group in protocol.plan.beams)
        table.add_row(name, _shown(protocol.title), _shown(targets), str(len(protocol.goals)), str(beams))
    out = console()
    out.print(table)
    out.print("[dim]beamwright protocols show NAME shows one.[/dim]")
    _say_intended_use(out)


def show_protocol(loaded: LoadedProtocol) -> None:
    """A protocol in the order in which a clinician asks: dose, goals, objectives, beams, notes."""
    protocol, out = loaded.protocol, console()
    out.print(f"[bold]{_shown(protocol.title)}[/bold]  [dim]{_shown(loaded.file)}[/dim]")
    fractions = protocol.prescription.fractions
    for name, dose_gy in protocol.prescription.targets_gy.items():
        out.print(f"  {_shown(name)}: {dose_gy:g} Gy in {fractions} × {dose_gy / fractions:.3g} Gy")
    point = protocol.normalise
    out.print(f"  normalised so that {point.volume_percent:g} % of {_shown(point.structure)} gets {point.dose_gy:g} Gy")
    goals = Table("Rank", "Structure", "Goal", "Acceptable", "Source", title="Goals", title_justify="left")
    for goal in protocol.goals:
        rank = f"{goal.rank}" if goal.others_rank is None else f"{goal.rank}, others {goal.others_rank}"
        acceptable = "" if goal.acceptable is None else f"{goal.acceptable:g}"
        where = " or ".join(goal.structures)
        goals.add_row(rank, _shown(where), _shown(goal.goal), acceptable, _shown(goal.source))
    out.print(goals)
    objectives = Table("Structure", "Objective", "Priority", title="Objectives to start from", title_justify="left")
    for rule in protocol.objectives:
        share = "" if rule.volume_percent is None else f" at {rule.volume_percent:g} %"
        objectives.add_row(_shown(rule.structure), f"{rule.type} {rule.dose_gy:g} Gy{share}", f"{rule.priority:g}")
    out.print(objectives)
    for group in protocol.plan.beams:
        angles = " ".join(f"{angle:g}" for angle in group.angles_deg)
        out.print(f"  beams at couch {group.couch_deg:g}°: gantry {angles}")
    for note in protocol.notes:
        out.print(f"  [dim]{_shown(note)}[/dim]")
    out.print(f"[dim]{_shown(protocol.intended_use)}[/dim]")


def show_verification(file: Path, found: Verification) -> bool:
    """Say whether a trace is intact; True where it is."""
    out = console()
    if found.ok:
        out.print(f"[green]{_shown(str(file))} is whole: {found.lines} lines, none changed.[/green]")
        out.print(f"[dim]Seal of the last line: {found.head}[/dim]", soft_wrap=True)
    else:
        place = "" if found.line is None else f" in line {found.line}"
        out.print(f"[bold red]{_shown(str(file))} is not intact{place}: {_shown(found.problem)}.[/bold red]")
        out.print(f"{found.lines} lines before it are sound.")
    return found.ok


def show_checks(examine: Callable[[], Iterable[Check]]) -> bool:
    """Show each check as it comes in; True when none is bad."""
    out, sound = console(), True
    checks = iter(examine())
    while True:
        with out.status("looking"):
            check = next(checks, None)
        if check is None:
            break
        out.print(
            f"{_HEALTH[check.health]}  [bold]{_shown(check.subject)}[/bold]: {_shown(check.finding)}", soft_wrap=True
        )
        if check.remedy:
            out.print(f"      → {_shown(check.remedy)}", soft_wrap=True)
        sound = sound and check.health is not Health.BAD
    out.print("Everything that planning needs works." if sound else "[red]Planning will not work yet.[/red]")
    _say_intended_use(out)
    return sound


def agreed(pending: model.PendingChanges, *, by_person: bool = False) -> bool:
    """Show what a commit would save and ask.

    Parameters
    ----------
    by_person
        The commit only leaves it in the TPS's open window, where the person saves it.
    """
    out = console()
    out.print("To be left in the TPS's open window, for you to save:" if by_person else "To be saved on the server:")
    for change in pending.changes:
        out.print(f"  {_shown(change.summary)}  [dim]{_shown(change.resource)}[/dim]")
    try:
        return typer.confirm("Leave these changes there?" if by_person else "Save these changes?", default=False)
    except typer.Abort:  # nobody there to answer
        return False


def _say_intended_use(out: Console) -> None:
    out.print(f"[dim]{INTENDED_USE}[/dim]", soft_wrap=True)


def _attempt_line(decided: Decided, goals: Sequence[GoalResult], seconds: float) -> str:
    counts = {status: sum(goal.status is status for goal in goals) for status in GoalStatus}
    parts = [
        f"[{_STYLE[status]}]{STATUS_SIGN[status]} {count} {STATUS_WORD[status]}[/{_STYLE[status]}]"
        for status, count in counts.items()
        if count
    ]
    verdict = "best so far" if decided.kept else f"set back, attempt {decided.best} stays the best"
    return f"Attempt {decided.attempt}:  {'  '.join(parts)}  [dim]{seconds:.0f} s, {verdict}[/dim]"


def _bare(measured: str) -> str:
    """A value without its unit, which the metric names."""
    return measured.partition(" ")[0]


def _styled(text: str, status: GoalStatus) -> str:
    return f"[{_STYLE[status]}]{_shown(text)}[/{_STYLE[status]}]"


def _conflict(conflict: Conflict) -> str:
    goals = " against ".join(conflict.goals)
    return f"[bold]Conflict:[/bold] {_shown(goals)}. {_shown(conflict.explanation)}"


def _ended(result: RunResult) -> str:
    attempts, calls = counted(len(result.attempts), "attempt"), counted(result.tps_calls, "call")
    return f"{result.stop_reason.rstrip('.')}. {attempts}, {result.seconds:.0f} s, {calls} to the TPS."


def _dose_note(result: RunResult) -> str:
    dose = result.best_attempt.dose
    units = "" if result.mu_per_fraction is None else f", {tables.number(result.mu_per_fraction, 0)} MU a fraction"
    return f"Judged on the {dose.kind.name} dose{units}{'' if dose.deliverable else '; the plan is not deliverable'}."
