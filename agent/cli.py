"""The command `beamwright`: plan, look at plans, serve, and say what works on this machine.

The one idea: each command is a few lines that hand over to a module imported only then, so that asking for help is
quick. The commands around the simulated TPS come from `bridge.cli` and stand beside ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.command.exit_status import MEANING, ExitStatus
from agent.proposal import Review
from agent.settings import Output
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
trace_app = typer.Typer(help="Check, read, repeat and export the diary of a run.", no_args_is_help=True)
_PLANNER, _PROMPT, _MODEL = "Planner", "What a language model is shown", "Language model"
_BUDGET, _REVIEW = "Budget", "Review"


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
    planner: Annotated[
        str,
        typer.Option(
            help="Who decides what to try next: rules (a written-down routine), sage, zero-shot or m2m (language "
            "models), random, bayes or static (baselines)."
        ),
    ] = "rules",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Without it: a new one in ./runs.", file_okay=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Which patient of a built-in case to make.")] = None,
    max_attempts: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many attempts.", rich_help_panel=_BUDGET)
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=1, help="Start no new attempt after this time.", rich_help_panel=_BUDGET)
    ] = None,
    max_tps_calls: Annotated[
        int | None,
        typer.Option(min=1, help="Start no new attempt after so many calls to the TPS.", rich_help_panel=_BUDGET),
    ] = None,
    stages: Annotated[
        bool | None,
        typer.Option(
            "--stages/--first-stage",
            help="Go on to the protocol's refinement once a plan is acceptable. Without either: sage does, others not.",
            rich_help_panel=_PLANNER,
        ),
    ] = None,
    actions: Annotated[
        str | None,
        typer.Option(
            help="What the planner may turn: priorities, doses, parameters (hot-fraction protocols) or discrete (named "
            "moves). Each planner has its own; any may have any.",
            rich_help_panel=_PLANNER,
        ),
    ] = None,
    planner_seed: Annotated[
        int, typer.Option(min=0, help="Seed of random, bayes, a random start, and the model.", rich_help_panel=_PLANNER)
    ] = 0,
    random_start: Annotated[
        bool,
        typer.Option(
            "--random-start",
            help="Start from random parameters, drawn from the protocol's ranges by --planner-seed.",
            rich_help_panel=_PLANNER,
        ),
    ] = False,
    history: Annotated[
        int | None,
        typer.Option(min=0, help="Show the model at most so many earlier attempts.", rich_help_panel=_PROMPT),
    ] = None,
    priors: Annotated[
        bool | None,
        typer.Option(
            "--priors/--no-priors",
            help="Tell the model how this optimiser behaves; without, the TPS's hints are left out too.",
            rich_help_panel=_PROMPT,
        ),
    ] = None,
    hints: Annotated[
        bool | None,
        typer.Option("--hints/--no-hints", help="Tell the model what the TPS says of itself.", rich_help_panel=_PROMPT),
    ] = None,
    knowledge: Annotated[
        bool | None,
        typer.Option(
            "--knowledge/--no-knowledge",
            help="Tell the model where good parameters have been found.",
            rich_help_panel=_PROMPT,
        ),
    ] = None,
    tools: Annotated[
        bool | None,
        typer.Option(
            "--tools/--no-tools", help="Let the model ask for trends, metrics and trials.", rich_help_panel=_PROMPT
        ),
    ] = None,
    dvh_samples: Annotated[
        int | None, typer.Option(min=0, help="Points of each DVH that the model is shown.", rich_help_panel=_PROMPT)
    ] = None,
    show_prompt: Annotated[
        bool,
        typer.Option(
            "--show-prompt",
            help="Print exactly what the model would be sent after the first attempt, and send nothing.",
            rich_help_panel=_PROMPT,
        ),
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            envvar="BEAMWRIGHT_MODEL",
            help="Language model. Without it: the only one the server has.",
            rich_help_panel=_MODEL,
        ),
    ] = "",
    base_url: Annotated[
        str | None,
        typer.Option(
            envvar="BEAMWRIGHT_BASE_URL",
            help="OpenAI-compatible address, e.g. http://localhost:11434/v1. Without it: OpenAI.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    key_variable: Annotated[
        str,
        typer.Option(help="Environment variable that holds the key; local servers need none.", rich_help_panel=_MODEL),
    ] = "OPENAI_API_KEY",
    temperature: Annotated[
        float,
        typer.Option(min=-1, max=2, help="Below 0: not sent, as some models refuse it.", rich_help_panel=_MODEL),
    ] = 0.4,
    top_k: Annotated[int | None, typer.Option(min=1, help="For servers that know it.", rich_help_panel=_MODEL)] = None,
    max_answer_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer, reasoning included.", rich_help_panel=_MODEL)
    ] = None,
    model_seconds: Annotated[
        float, typer.Option(min=0.1, help="Longest wait for one answer.", rich_help_panel=_MODEL)
    ] = 300.0,
    model_retries: Annotated[
        int, typer.Option(min=0, help="So often a failed request is repeated.", rich_help_panel=_MODEL)
    ] = 4,
    output: Annotated[
        Output,
        typer.Option(
            help="How the answer's form is asked for: auto, json_schema, json_object or text.", rich_help_panel=_MODEL
        ),
    ] = "auto",
    stream: Annotated[
        bool, typer.Option("--stream/--no-stream", help="Show the model's words as they come.", rich_help_panel=_MODEL)
    ] = True,
    prices: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of prices, so that the run can tell what it cost.", dir_okay=False, rich_help_panel=_MODEL
        ),
    ] = None,
    review: Annotated[
        Review | None,
        typer.Option(
            help="What you decide on at the terminal: each (proposal, and the plan), final (the plan) or none. Without "
            "it: each on a clinical server, none on a simulated one.",
            rich_help_panel=_REVIEW,
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Plan on this server. Without it, a simulated TPS is started."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the access token of the server at --endpoint.", dir_okay=False)
    ] = None,
    commit: Annotated[
        bool,
        typer.Option(
            "--commit",
            help="Offer to save the plan on the server at the end; you are shown what and asked.",
            rich_help_panel=_REVIEW,
        ),
    ] = False,
    open_report: Annotated[bool, typer.Option("--open", help="Show the report in the browser at the end.")] = False,
) -> None:
    """Plan a patient, and leave a folder with the report, the goals, the pictures and the whole trace."""
    from agent.command.cases import Request
    from agent.command.planning import plan_case
    from agent.planners.catalogue import PlannerOptions
    from agent.settings import ModelSettings

    request = Request(
        case=case,
        protocol=protocol,
        planner=planner,
        out=out,
        seed=seed,
        max_attempts=max_attempts,
        max_seconds=max_seconds,
        max_tps_calls=max_tps_calls,
        options=PlannerOptions(actions, history, priors, hints, knowledge, tools, dvh_samples, planner_seed),
        model=ModelSettings(
            model=model,
            base_url=base_url,
            key_variable=key_variable,
            temperature=None if temperature < 0 else temperature,
            top_k=top_k,
            seed=planner_seed,
            max_answer_tokens=max_answer_tokens,
            timeout_s=model_seconds,
            retries=model_retries,
            output=output,
            stream=stream,
        ),
        prices=prices,
        stages=stages,
        random_start=random_start,
        review=review,
        show_prompt=show_prompt,
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


@trace_app.command("show")
def show_trace(
    run: Annotated[Path, typer.Argument(metavar="FILE|RUN", help="A trace.jsonl, or the folder of a run.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML file for the story. Without it: story.html beside the trace.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Every prompt and every word, not the first lines.")] = False,
) -> None:
    """Tell the story of a run: prompts, thoughts, tools, checks, decisions, changes, DVHs; writes a page of it too."""
    from agent.command.tracing import show_run

    with _refusals_shown():
        raise typer.Exit(show_run(run, out, full=full))


@trace_app.command("replay")
def replay_trace(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Server with the patient, for runs that were made on one."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the access token of the server at --endpoint.", dir_okay=False)
    ] = None,
) -> None:
    """Run a session again from its trace and compare; models and people answer as recorded.

    Exit status 1 where it differs.
    """
    from agent.command.tracing import replay_run

    with _refusals_shown():
        raise typer.Exit(replay_run(run, endpoint=endpoint, token_file=token_file))


@trace_app.command("export")
def export_trace(
    run: Annotated[Path, typer.Argument(metavar="FILE|RUN", help="A trace.jsonl, or the folder of a run.")],
    csv: Annotated[Path, typer.Option("--csv", help="Folder for the tables.", file_okay=False)],
) -> None:
    """Write a run as CSV tables: goals, objectives, model calls, faults, decisions, coded sentences and numbers."""
    from agent.command.tracing import export_run

    with _refusals_shown():
        raise typer.Exit(export_run(run, csv))


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
app.registered_groups.extend(bridge_app.registered_groups)


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
