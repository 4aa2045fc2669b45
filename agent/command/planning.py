"""`beamwright plan`: from the request to a finished run folder and an exit status.

The one idea: nothing is lost. The run is written before anything is shown, the first Ctrl-C keeps the best plan so far,
and every refusal is one sentence.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from agent import run_folder, trace
from agent.actions import ACTIONS, ActionError
from agent.command import console
from agent.command.cases import (
    OnServer,
    Request,
    UsageError,
    check_words,
    guess_protocol,
    load_protocol,
    patient_on_server,
)
from agent.command.exit_status import ExitStatus
from agent.command.reviewing import TerminalReviewer
from agent.goals import success
from agent.language_model import Chat, ModelError
from agent.language_model.openai_chat import OpenAiChat, settled
from agent.language_model.prices import PricesError, load_prices
from agent.loop import Budget, Options, RunError, first_observations, run
from agent.metrics import MetricError
from agent.observation import Observation
from agent.planners import Planner
from agent.planners.catalogue import MODEL_PLANNERS, REFINING, PlannerError, chosen_recipe, make_planner
from agent.planners.model_planner import offered_tools, shown_prompt
from agent.preparation import PreparationError, declares
from agent.proposal import Ending, Proposal, Review, Verdict
from agent.protocols import LoadedProtocol, ProtocolError
from agent.records import RunResult
from agent.report.page import write_report
from agent.review import ReviewError
from agent.run_folder import Run, RunFolderError, claim
from agent.trace import Tell
from agent.volumes import Volumes, fetch_reference, fetch_volumes
from bridge import errors, logs, model
from bridge.client import Session
from bridge.launch import LaunchFailed

RUNS = Path("runs")
_MISUSE = (UsageError, PlannerError, PricesError, ProtocolError, MetricError, RunFolderError)
_FAILURES = (PreparationError, ActionError, ModelError, ReviewError, RunError, LaunchFailed, errors.BridgeError)


def plan_case(request: Request) -> ExitStatus:
    """Carry out a request, tell the person at the terminal, and return the exit status."""
    logs.configure("warning")
    try:
        with logs.correlated():
            return _plan(request)
    except _MISUSE as error:
        return console.refuse(str(error), ExitStatus.USAGE)
    except errors.TokenInvalid as error:
        return console.refuse(
            f"{error} Give --token-file; the server names the file when it starts.", ExitStatus.FAILED
        )
    except _FAILURES as error:
        return console.refuse(str(error), ExitStatus.FAILED)
    except KeyboardInterrupt:
        return console.refuse("Interrupted; no plan was made.", ExitStatus.INTERRUPTED)


def trace_intact(path: Path) -> tuple[Path, trace.Verification]:
    """Check the trace of a run, given its file or its folder."""
    file = path / run_folder.TRACE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no trace at {file}; give a trace.jsonl or the folder of a run.")
    return file, trace.verify(file)


def _plan(request: Request) -> ExitStatus:
    check_words(request)
    named = load_protocol(request)
    if request.show_prompt:
        return _show_prompt(request, named)
    chat = _chat(request)
    with _claimed(request) as folder, patient_on_server(request, folder) as there:
        protocol = named or guess_protocol(there.client.structures(there.patient))
        review = _review(request, there.client.server_info())
        options = _options(request, there, protocol, review)
        with there.client.session(there.patient, model.SessionMode.READ_WRITE) as session:
            finished = _carried_out(request, there, session, protocol, folder, options, chat)
            if request.is_passing and _is_accepted(finished.result):
                _save(session, session.pending_changes(), "kept in the run's own data folder")
            console.show_outcome(finished, folder / run_folder.REPORT)
            if request.commit:
                _commit(session, finished.result)
    if request.open_report:
        webbrowser.open((folder / run_folder.REPORT).resolve().as_uri())
    return exit_status(finished.result)


def _chat(request: Request) -> Chat | None:
    """The language model, found and settled before anything is made; None for planners that ask none."""
    if request.planner not in MODEL_PLANNERS:
        return None
    with console.waiting("looking for the language model"):
        settings = settled(request.model)
    return OpenAiChat(settings, load_prices(request.prices))


def _review(request: Request, server: model.ServerInfo) -> Review:
    """What a person decides on; on a clinical server everything, unless they say otherwise."""
    if request.review is not None:
        return request.review
    return "each" if server.mode is model.ServerMode.CLINICAL else "none"


def _is_accepted(result: RunResult) -> bool:
    """Nobody was asked, or the person said yes."""
    return result.decision is None or result.decision.verdict is Verdict.ACCEPT


def _options(request: Request, there: OnServer, protocol: LoadedProtocol, review: Review) -> Options:
    attempts = protocol.protocol.agent.attempts if request.max_attempts is None else request.max_attempts
    return Options(
        budget=Budget(attempts, request.max_seconds, request.max_tps_calls),
        stages=request.planner in REFINING if request.stages is None else request.stages,
        start_seed=request.options.seed if request.random_start else None,
        review=review,
        commits=request.commit,
        case_seed=there.seed,
    )


def _carried_out(
    request: Request,
    there: OnServer,
    session: Session,
    protocol: LoadedProtocol,
    folder: Path,
    options: Options,
    chat: Chat | None,
) -> Run:
    """Plan, and leave the run and its report in the folder."""
    with console.Progress(request.title, protocol.protocol.title) as shown:
        reviewer = None
        if options.review != "none":
            reviewer = TerminalReviewer(console.console(), sys.stdin, shown.paused)
        with (
            trace.Trace(folder / run_folder.TRACE) as diary,
            stoppable(make_planner(request.planner, request.options, chat), shown.tell) as by,
        ):
            result = run(
                there.client,
                session,
                there.patient,
                protocol,
                by,
                trace=diary,
                options=options,
                reviewer=reviewer,
                on_event=shown.show,
            )
        shown.stage("reading dose, image and contours")
        finished = gather(session, there.patient, replace(result, case=request.title))
        shown.stage("writing the report")
        run_folder.write(finished, folder)
        write_report(folder)
    return finished


def _show_prompt(request: Request, named: LoadedProtocol | None) -> ExitStatus:
    """Print exactly what a model would be sent after the first attempt; nothing is sent, and nothing is left behind."""
    recipe = chosen_recipe(request.planner, request.options)
    with tempfile.TemporaryDirectory() as name, patient_on_server(request, Path(name)) as there:
        protocol = named or guess_protocol(there.client.structures(there.patient))
        options = _options(request, there, protocol, "none")
        with (
            console.waiting("making the first attempt, which the prompt tells of"),
            trace.Trace(Path(name) / run_folder.TRACE) as diary,
            there.client.session(there.patient, model.SessionMode.READ_WRITE) as session,
        ):
            shown = first_observations(there.client, session, there.patient, protocol, trace=diary, options=options)
    action = ACTIONS[recipe.action]
    for observation in shown:
        messages = shown_prompt(recipe, action, observation)
        tools = offered_tools(recipe, action, observation)
        console.show_messages(messages, observation.stage, action.schema(observation), tools)
    return ExitStatus.OK


def exit_status(result: RunResult) -> ExitStatus:
    """How a run that left a plan ends the command."""
    if result.stop_reason.startswith(run_folder.INTERRUPTED):
        return ExitStatus.INTERRUPTED
    if not _is_accepted(result):
        return ExitStatus.NOT_ACCEPTED
    if result.ending is Ending.BROKEN_OFF:
        return ExitStatus.BROKEN_OFF
    return ExitStatus.OK if success(result.best_attempt.goals) else ExitStatus.GOAL_MISSED


class _Stoppable:
    """A planner that says stop, once a person has asked for it."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._stopped = Proposal(
            f"{run_folder.INTERRUPTED} by the person at the terminal", stop=True, ending=Ending.PERSON
        )
        self.stop = False

    @property
    def name(self) -> str:
        return self._planner.name

    @property
    def arm(self) -> Mapping[str, Any]:
        return self._planner.arm

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        if self.stop:
            return self._stopped
        proposal = self._planner.propose(observation, tell)
        return self._stopped if self.stop else proposal


@contextmanager
def stoppable(planner: Planner, tell: Callable[[str], None]) -> Iterator[Planner]:
    """The planner, ending its run at the first Ctrl-C after the attempt at hand; a second one stops everything at once.

    So the best plan so far is restored and written like any other, and nothing is left half changed.
    """
    stopping = _Stoppable(planner)

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if stopping.stop:
            raise KeyboardInterrupt
        stopping.stop = True
        tell("Stopping after this attempt, with the best plan so far. Ctrl-C again stops at once, without a plan.")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, before)


def gather(session: Session, patient: str, result: RunResult) -> Run:
    """The run with everything its report needs, read while the plan is still there."""
    volumes: Volumes | None = None
    if model.Profile.VOLUME in result.server.profiles:
        volumes = fetch_volumes(session, patient, result.plan.name, result.structures)
    reference = fetch_reference(session, patient, result.structures)
    return Run(_with_every_curve(session, result), volumes, reference)


def _with_every_curve(session: Session, result: RunResult) -> RunResult:
    """The best attempt with DVHs of the organs without goals too; the plan in the session is that attempt."""
    best = result.best_attempt
    known = {curve.structure for curve in best.dvhs.values()}
    absent = [s for s in result.structures if s.name not in known and not s.empty and s.role in _SHOWN]
    dvhs = {**best.dvhs, **{s.label: session.dvh(result.plan.name, s.name) for s in absent}}
    attempts = tuple(replace(best, dvhs=dvhs) if each is best else each for each in result.attempts)
    return replace(result, attempts=attempts)


_SHOWN = (model.StructureRole.TARGET, model.StructureRole.OAR, model.StructureRole.EXTERNAL)


def _commit(session: Session, result: RunResult) -> None:
    """Save what a person agreed to: on the plan's sheet, or here."""
    pending, decision = session.pending_changes(), result.decision
    if not _is_accepted(result):
        console.say("Not saved, as the plan was not accepted; it is in the run folder all the same.")
        return
    if decision is not None and pending.digest != result.commit_digest:
        raise RunError("the plan on the server is not the one that was shown and accepted any more; nothing was saved.")
    by_person = declares(result.server, "commit.by-person")
    if decision is not None or console.agreed(pending, by_person=by_person):
        _save(session, pending, "confirmed at the terminal")
        console.say(_LEFT_TO_PERSON.format(tps=result.server.tps_name) if by_person else "Saved on the server.")
    else:
        console.say("Not saved; the plan is gone from the server, and in the run folder all the same.")


_LEFT_TO_PERSON = (
    "Not saved yet: the plan stands in the open window of {tps}. Save the patient there yourself before you close it; "
    "until then the plan can be lost."
)


def _save(session: Session, pending: model.PendingChanges, reason: str) -> None:
    session.confirm(pending.digest, reason=reason)
    session.commit(pending.digest, reason=reason)


@contextmanager
def _claimed(request: Request) -> Iterator[Path]:
    """The folder of the run; taken away again where nothing came to lie in it.

    A server's log and a trace without an attempt are something only where they may explain a failure, not where the
    person is told what to write.
    """
    folder = claim(request.out or _new_folder(request))
    try:
        yield folder
    except (UsageError, PreparationError):
        left = list(folder.iterdir())
        if {entry.name for entry in left} <= {run_folder.SERVER_LOG, run_folder.TRACE}:
            for entry in left:
                entry.unlink()
        raise
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()


def _new_folder(request: Request) -> Path:
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in request.title.replace(", seed ", "-"))
    moment = datetime.now().strftime("%Y%m%d-%H%M%S")
    return RUNS / f"{stem}-{request.planner}-{moment}"
