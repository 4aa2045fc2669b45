"""`beamwright plan`: from a word on the command line to a finished run folder.

The one idea: whatever CASE is, it becomes a patient on a server, and from there on everything is the same. Without an
endpoint the server is a simulated TPS started for this run; built-in cases and files live in it only as long as the
run, patients of the user's data folder stay there.
"""

from __future__ import annotations

import difflib
import os
import signal
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import FrameType

from agent import console, run_folder, trace
from agent.goals import success
from agent.loop import Budget, RunError, run
from agent.matching import PreparationError, match
from agent.metrics import MetricError
from agent.observation import Observation
from agent.planners import PLANNERS, Planner, make_planner
from agent.proposal import Proposal
from agent.protocols import LoadedProtocol, ProtocolError, load, packaged
from agent.records import RunResult
from agent.report.page import write_report
from agent.run_folder import Run, RunFolderError, claim
from agent.volumes import Volumes, fetch_reference, fetch_volumes
from bridge import errors, logs, model
from bridge.client import Client, Session, connect
from bridge.launch import LaunchFailed, launch

BUILT_IN_PROTOCOL = {
    "brain-srs": "brain-srs",
    "head-and-neck": "hn-70-63-56",
    "prostate": "prostate-79.2",
    "liver": "liver-50x5",
    "tg119": "tg119",
}
"""Built-in case -> the protocol it is planned with when none is named."""
RUNS = Path("runs")
INTERRUPTED = "Interrupted"
"""How the stop reason of an interrupted run begins."""
OK, FAILED, USAGE, GOAL_MISSED, INTERRUPT = 0, 1, 2, 3, 130


class UsageError(Exception):
    """The command cannot be carried out as it was written; the message says how to write it."""


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    case: str
    protocol: str | None = None
    planner: str = "rules"
    out: Path | None = None
    seed: int | None = None
    max_attempts: int | None = None
    max_seconds: float | None = None
    endpoint: str | None = None
    token_file: Path | None = None
    open_report: bool = False
    commit: bool = False

    @property
    def is_built_in(self) -> bool:
        return self.endpoint is None and self.case in BUILT_IN_PROTOCOL

    @property
    def is_file(self) -> bool:
        return self.endpoint is None and not self.is_built_in and Path(self.case).exists()

    @property
    def title(self) -> str:
        """The case as the report names it."""
        if self.is_file:
            return Path(self.case).resolve().name
        return self.case if self.seed is None else f"{self.case}, seed {self.seed}"


def plan_case(request: Request) -> int:
    """Carry out a request, tell the person at the terminal, and return the exit status."""
    logs.configure("warning")
    try:
        with logs.correlated():
            return _plan(request)
    except (UsageError, ProtocolError, MetricError, RunFolderError) as error:
        return console.refuse(str(error), USAGE)
    except (PreparationError, RunError, LaunchFailed, errors.BridgeError) as error:
        return console.refuse(str(error), FAILED)
    except KeyboardInterrupt:
        return console.refuse("Interrupted; no plan was made.", INTERRUPT)


def trace_intact(path: Path) -> tuple[Path, trace.Verification]:
    """Check the trace of a run, given its file or its folder."""
    file = path / run_folder.TRACE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no trace at {file}; give a trace.jsonl or the folder of a run.")
    return file, trace.verify(file)


def _plan(request: Request) -> int:
    _check_words(request)
    named = load_protocol(request)
    planner = make_planner(request.planner)
    folder = claim(request.out or _new_folder(request))
    with _patient(request, folder) as (client, patient):
        protocol = named or guess_protocol(client.structures(patient))
        with client.session(patient) as session:
            budget = Budget(seconds=request.max_seconds)
            budget = budget if request.max_attempts is None else replace(budget, attempts=request.max_attempts)
            with console.Progress(request.title, protocol.protocol.title) as shown:
                with trace.Trace(folder / run_folder.TRACE) as diary, stoppable(planner, shown.tell) as stopping:
                    result = run(
                        client, session, patient, protocol, stopping,
                        trace=diary, budget=budget, seed=request.seed, on_event=shown.show,
                    )  # fmt: skip
                shown.stage("reading dose, image and contours")
                written = gather(session, patient, replace(result, case=request.title))
                shown.stage("writing the report")
                run_folder.write(written, folder)
                page = write_report(folder)
            console.show_outcome(written, page)
            if request.commit:
                _commit(session)
    if request.open_report:
        webbrowser.open(page.resolve().as_uri())
    return exit_status(result)


def exit_status(result: RunResult) -> int:
    """0, 3 or 130; see `beamwright plan --help`."""
    if result.stop_reason.startswith(INTERRUPTED):
        return INTERRUPT
    return OK if success(result.best_attempt.goals) else GOAL_MISSED


class _Stoppable:
    """A planner that says stop, once a person has asked for it."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.stop = False

    @property
    def name(self) -> str:
        return self._planner.name

    def propose(self, observation: Observation) -> Proposal:
        if self.stop:
            return Proposal(f"{INTERRUPTED} by the person at the terminal", stop=True)
        return self._planner.propose(observation)


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
    return Run(result, volumes, fetch_reference(session, patient, result.structures))


def load_protocol(request: Request) -> LoadedProtocol | None:
    """The protocol that was named or belongs to the built-in case; None where it is still to be found."""
    name = request.protocol or (BUILT_IN_PROTOCOL[request.case] if request.is_built_in else None)
    try:
        return None if name is None else load(name)
    except FileNotFoundError as error:
        raise UsageError(f"--protocol: {error}") from None


def guess_protocol(structures: Sequence[model.Structure]) -> LoadedProtocol:
    """The one packaged protocol whose required structures the patient has; none or several are a `UsageError`."""
    fitting = [loaded for name in packaged() if _fits(loaded := load(name), structures)]
    if len(fitting) == 1:
        return fitting[0]
    found = [loaded.protocol.id for loaded in fitting]
    why = f"{', '.join(found)} fit this patient" if found else "none of them fits this patient by its structures' names"
    raise UsageError(
        f"Name a protocol with --protocol. There are {', '.join(packaged())}, or a file of your own; {why}."
    )


def _fits(loaded: LoadedProtocol, structures: Sequence[model.Structure]) -> bool:
    try:
        found = match(loaded.protocol, structures).found
    except PreparationError:
        return False
    return all(target in found for target in loaded.protocol.prescription.targets_gy)


def _check_words(request: Request) -> None:
    """What can be refused before anything is started."""
    if request.planner not in PLANNERS:
        raise UsageError(f"--planner: there is no {request.planner!r}; there are {', '.join(sorted(PLANNERS))}.")
    if request.endpoint is None:
        if request.token_file is not None:
            raise UsageError("--token-file belongs to --endpoint; the TPS started for this run needs none.")
        if request.seed is not None and not request.is_built_in:
            raise UsageError(
                f"--seed makes another built-in case; {request.case!r} is none of {', '.join(BUILT_IN_PROTOCOL)}."
            )
        if not request.is_built_in and not request.is_file and _looks_like_path(request.case):
            raise UsageError(f"there is no file or folder {request.case!r}.")
        return
    if Path(request.case).exists() or _looks_like_path(request.case):
        raise UsageError(
            f"{request.case!r} is a path on this machine, and the server at {request.endpoint} plans only patients it "
            f"holds. Take it in there first (stop that server, beamwright import {request.case}, start it again) and "
            "name the patient; or leave out --endpoint."
        )
    if request.token_file is not None and not request.token_file.is_file():
        raise UsageError(f"--token-file: there is no file {str(request.token_file)!r}.")


def _looks_like_path(case: str) -> bool:
    if case.startswith("patients/"):
        return False
    return os.sep in case or case.endswith((".npz", ".dcm")) or case.startswith((".", "~"))


@contextmanager
def _patient(request: Request, folder: Path) -> Iterator[tuple[Client, str]]:
    """A client of the server that holds the patient, and the patient's name there."""
    with ExitStack() as stack:
        if request.endpoint is not None:
            token = request.token_file.read_text(encoding="utf-8").strip() if request.token_file else None
            client = stack.enter_context(connect(request.endpoint, token))
            yield client, find_patient(request.case, client.patients())
            return
        passing = request.is_built_in or request.is_file
        with console.waiting(f"starting a simulated TPS{' and reading the patient' if passing else ''}"):
            server = stack.enter_context(
                launch(
                    Path(request.case) if request.is_file else None,
                    case=request.case if request.is_built_in else None,
                    seed=request.seed,
                    keep_nothing=passing,
                    log=folder / run_folder.SERVER_LOG,
                )
            )
        client = stack.enter_context(connect(server.endpoint, server.token))
        yield client, server.patient or find_patient(request.case, client.patients())


def find_patient(case: str, patients: Sequence[model.Patient]) -> str:
    """The patient with that name, id or label; a `UsageError` lists those there are."""
    for patient in patients:
        if case in (patient.name, patient.name.removeprefix("patients/"), patient.label):
            return patient.name
    ids = [patient.name.removeprefix("patients/") for patient in patients]
    close = difflib.get_close_matches(case, [*ids, *BUILT_IN_PROTOCOL], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    there = (
        f"patients there are {', '.join(ids)}" if ids else "there are no patients; bring one in with beamwright import"
    )
    raise UsageError(
        f"{case!r} is no built-in case ({', '.join(BUILT_IN_PROTOCOL)}), no file or folder, and no patient: "
        f"{there}.{hint}"
    )


def _commit(session: Session) -> None:
    pending = session.pending_changes()
    if console.agreed(pending):
        session.confirm(pending.digest, reason="confirmed at the terminal")
        session.commit(pending.digest, reason="beamwright plan --commit")
        console.say("Saved on the server.")


def _new_folder(request: Request) -> Path:
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in request.title.replace(", seed ", "-"))
    moment = datetime.now().strftime("%Y%m%d-%H%M%S")
    return RUNS / f"{stem}-{request.planner}-{moment}"
