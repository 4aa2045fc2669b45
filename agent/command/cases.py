"""CASE and what it means: a built-in case, a file, or a patient; the protocol it is planned with; the server it is on.

The one idea: whatever CASE is, it becomes a patient on a server. Without an endpoint that is a simulated TPS started
for this run; built-in cases and files live in the run's own folder, patients of the user's data folder stay there.
"""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.command import console
from agent.planners.catalogue import MODEL_PLANNERS, PlannerOptions, check_options
from agent.preparation import PreparationError, match
from agent.proposal import Review
from agent.protocols import LoadedProtocol, load, packaged
from agent.run_folder import SERVER_LOG, TPS_DATA
from agent.settings import ModelSettings
from bridge import model
from bridge.client import Client, connect
from bridge.launch import launch

BUILT_IN_PROTOCOL = {
    "brain-srs": "brain-srs",
    "head-and-neck": "hn-70-63-56",
    "prostate": "prostate-79.2",
    "liver": "liver-50x5",
    "tg119": "tg119",
}
"""Built-in case -> the protocol it is planned with when none is named."""


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
    max_tps_calls: int | None = None
    open_report: bool = False
    commit: bool = False
    options: PlannerOptions = field(default_factory=PlannerOptions)
    model: ModelSettings = field(default_factory=ModelSettings)
    prices: Path | None = None
    stages: bool | None = None
    """None: as the planner has it."""
    random_start: bool = False
    review: Review | None = None
    """None: on a clinical server each, elsewhere none."""
    show_prompt: bool = False

    @property
    def is_built_in(self) -> bool:
        return self.endpoint is None and self.case in BUILT_IN_PROTOCOL

    @property
    def is_file(self) -> bool:
        return self.endpoint is None and not self.is_built_in and Path(self.case).exists()

    @property
    def is_passing(self) -> bool:
        """The patient is on a server that is started for this run, with a data folder of the run's own."""
        return self.is_built_in or self.is_file

    @property
    def title(self) -> str:
        """The case as the report names it."""
        if self.is_file:
            return Path(self.case).resolve().name
        return self.case if self.seed is None else f"{self.case}, seed {self.seed}"


def check_words(request: Request) -> None:
    """What can be refused before anything is started."""
    check_options(request.planner, request.options)
    if request.show_prompt and request.planner not in MODEL_PLANNERS:
        raise UsageError(f"--show-prompt: {request.planner} has no prompt; it is for {', '.join(MODEL_PLANNERS)}.")
    if request.endpoint is None:
        if request.token_file is not None:
            raise UsageError("--token-file belongs to --endpoint; the TPS started for this run needs none.")
        if request.seed is not None and not request.is_built_in:
            raise UsageError(
                f"--seed makes another built-in case; {request.case!r} is none of {', '.join(BUILT_IN_PROTOCOL)}."
            )
        if not request.is_built_in and not request.is_file and _looks_like_path(request.case):
            raise UsageError(f"there is no file or folder {request.case!r}.")
        if request.commit and request.is_passing:
            raise UsageError(
                "--commit saves on a server that stays: give --endpoint, or import the patient and name it. The TPS "
                f"started for {request.case!r} forgets it at the end; the plan is in the run folder all the same."
            )
        return
    if request.seed is not None:
        raise UsageError(
            f"--seed makes a built-in case; the server at {request.endpoint} plans only patients it holds."
        )
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


@dataclass(frozen=True)
class OnServer:
    """The patient where it is planned."""

    client: Client
    patient: str
    """The patient's resource name."""
    seed: int | None = None
    """Which patient of a built-in case it is; None for any other."""


@contextmanager
def patient_on_server(request: Request, folder: Path) -> Iterator[OnServer]:
    """The patient on the server that holds it; without an endpoint the server lives as long as the block."""
    with ExitStack() as stack:
        if request.endpoint is not None:
            token = request.token_file.read_text(encoding="utf-8").strip() if request.token_file else None
            client = stack.enter_context(connect(request.endpoint, token))
            yield OnServer(client, find_patient(request.case, client.patients()))
            return
        data_dir = stack.enter_context(_own_data(folder / TPS_DATA)) if request.is_passing else None
        reading = " and reading the patient" if request.is_passing else ""
        with console.waiting(f"starting a simulated TPS{reading}"):
            server = stack.enter_context(
                launch(
                    Path(request.case) if request.is_file else None,
                    case=request.case if request.is_built_in else None,
                    seed=request.seed,
                    data_dir=data_dir,
                    log=folder / SERVER_LOG,
                )
            )
        client = stack.enter_context(connect(server.endpoint, server.token))
        patient = server.patient or find_patient(request.case, client.patients())
        yield OnServer(client, patient, server.seed)


@contextmanager
def _own_data(folder: Path) -> Iterator[Path]:
    """A data folder for this run alone; taken away again where the run fails."""
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def find_patient(case: str, patients: Sequence[model.Patient]) -> str:
    """The patient with that name, id or label; a `UsageError` lists those there are."""
    for patient in patients:
        if case in (patient.name, patient.name.removeprefix("patients/"), patient.label):
            return patient.name
    ids = [patient.name.removeprefix("patients/") for patient in patients]
    known = [name for name in (*ids, *BUILT_IN_PROTOCOL) if name != case]
    close = difflib.get_close_matches(case, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    there = (
        f"patients there are {', '.join(ids)}" if ids else "there are no patients; bring one in with beamwright import"
    )
    raise UsageError(
        f"{case!r} is no built-in case ({', '.join(BUILT_IN_PROTOCOL)}), no file or folder, and no patient: "
        f"{there}.{hint}"
    )


def load_protocol(request: Request) -> LoadedProtocol | None:
    """The protocol that was named or belongs to the built-in case; None where it is still to be found."""
    name = request.protocol or (BUILT_IN_PROTOCOL[request.case] if request.is_built_in else None)
    try:
        return None if name is None else load(name)
    except FileNotFoundError as error:
        raise UsageError(f"--protocol: {error}") from None


def guess_protocol(structures: Sequence[model.Structure]) -> LoadedProtocol:
    """The one packaged protocol whose required structures the patient has; none or several are a `UsageError`."""
    clinical = [loaded for name in packaged() if not (loaded := load(name)).protocol.study]
    fitting = [loaded for loaded in clinical if _fits(loaded, structures)]
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
