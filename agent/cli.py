"""The command `beamwright`: plan, look at plans, serve, and say what works on this machine.

The one idea: each command is a few lines that hand over to a module imported only then, so that asking for help is
quick. The commands around the simulated TPS come from `bridge.cli` and stand beside ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.command.exit_status import MEANING, ExitStatus
from bridge import INTENDED_USE
from bridge.cli import app as bridge_app

app = typer.Typer(
    name="beamwright",
    help=f"Plan radiotherapy with an agent that drives a treatment planning system. {INTENDED_USE}\n\n"
    "Start with: beamwright plan tg119",
    epilog=MEANING,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
protocols_app = typer.Typer(
    help="Show the clinical protocols that come with beamwright.", invoke_without_command=True, no_args_is_help=False
)
trace_app = typer.Typer(help="Check the diary of a run.", no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
        from agent.command.doctor import version_line

        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def beamwright(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is, and stop.")
    ] = False,
) -> None:
    """Plan radiotherapy with an agent that drives a treatment planning system."""


@app.command(epilog=MEANING)
def plan(
    case: Annotated[
        str,
        typer.Argument(
            metavar="CASE",
            help="What to plan: a built-in case (brain-srs, head-and-neck, prostate, liver, tg119), a DICOM folder, an "
            "npz file, or a patient: of your data folder, or of the server at --endpoint.",
        ),
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Clinical protocol: a name (see 'beamwright protocols') or your own YAML file. A built-in case has "
            "its own; for other patients it is chosen where only one fits."
        ),
    ] = None,
    planner: Annotated[str, typer.Option(help="Who decides what to try next: rules.")] = "rules",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Without it: a new one in ./runs.", file_okay=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Which patient of a built-in case to make.")] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, help="Stop after this many attempts.")] = None,
    max_seconds: Annotated[float | None, typer.Option(min=1, help="Start no new attempt after this time.")] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Plan on this server. Without it, a simulated TPS is started."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the access token of the server at --endpoint.", dir_okay=False)
    ] = None,
    commit: Annotated[
        bool,
        typer.Option("--commit", help="Offer to save the plan on the server at the end; you are shown what and asked."),
    ] = False,
    open_report: Annotated[bool, typer.Option("--open", help="Show the report in the browser at the end.")] = False,
) -> None:
    """Plan a patient, and leave a folder with the report, the goals, the pictures and the whole trace."""
    from agent.command.cases import Request
    from agent.command.planning import plan_case

    request = Request(
        case=case,
        protocol=protocol,
        planner=planner,
        out=out,
        seed=seed,
        max_attempts=max_attempts,
        max_seconds=max_seconds,
        endpoint=endpoint,
        token_file=token_file,
        commit=commit,
        open_report=open_report,
    )
    raise typer.Exit(plan_case(request))


@app.command()
def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]) -> None:
    """Make the report of a run anew, from its folder alone."""
    from agent.command import console
    from agent.report.page import write_report
    from agent.run_folder import trace_problem

    with _refusals_shown():
        page = write_report(run)
        console.warn_of_trace(run, trace_problem(run))
        typer.echo(page)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of another run.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the page and the picture. Without it: one in ./comparisons.", file_okay=False),
    ] = None,
) -> None:
    """Set two runs side by side: their goals, and their DVHs in one plot."""
    from agent.command import console
    from agent.report.compare import write_comparison

    with _refusals_shown():
        comparison = write_comparison(first, second, out)
        for folder, run in ((first, comparison.run_a), (second, comparison.run_b)):
            console.warn_of_trace(folder, run.trace_problem)
        console.show_comparison(comparison)


@protocols_app.callback()
def protocols(context: typer.Context) -> None:
    """List the clinical protocols that come with beamwright; 'protocols show NAME' shows one."""
    if context.invoked_subcommand is None:
        from agent.command import console

        console.show_protocols()


@protocols_app.command("show")
def show_protocol(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A packaged protocol, or a YAML file of your own.")],
) -> None:
    """Show a protocol as a clinician reads it; a file of your own is checked on the way."""
    from agent.command import console
    from agent.protocols import load

    with _refusals_shown():
        console.show_protocol(load(name))


@trace_app.command("verify")
def verify_trace(
    file: Annotated[Path, typer.Argument(metavar="FILE|RUN", help="A trace.jsonl, or the folder of a run.")],
) -> None:
    """Check that no line of a trace was changed, dropped or added; exit status 1 where one was."""
    from agent.command import console
    from agent.command.planning import trace_intact

    with _refusals_shown():
        if not console.show_verification(*trace_intact(file)):
            raise typer.Exit(ExitStatus.FAILED)


@app.command()
def doctor() -> None:
    """Say what works on this machine, and how to mend what does not; exit status 1 where planning cannot work."""
    from agent.command import console
    from agent.command.doctor import examine

    if not console.show_checks(examine):
        raise typer.Exit(ExitStatus.FAILED)


app.add_typer(protocols_app, name="protocols")
app.add_typer(trace_app, name="trace")
app.registered_commands.extend(bridge_app.registered_commands)


def main() -> None:
    """Run the command line."""
    app(prog_name="beamwright")


class _refusals_shown:  # noqa: N801 - reads as a verb in a with statement
    """What a person can mend is told in a sentence; anything else is a bug and keeps its traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from agent.protocols import ProtocolError
        from agent.run_folder import RunFolderError

        if isinstance(error, RunFolderError | ProtocolError | FileNotFoundError):
            typer.secho(str(error), err=True, fg=typer.colors.RED)
            raise typer.Exit(ExitStatus.FAILED)


if __name__ == "__main__":
    main()
