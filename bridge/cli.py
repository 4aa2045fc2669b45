"""The commands around the simulated TPS: `serve`, `import`, `export`, `patients`, `cases`, `proto`; and `eclipse`.

The place where backend and server come together, and the part of the command `beamwright` that needs no agent. Heavy
imports live inside the commands, so that asking for help stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import typer

from bridge import INTENDED_USE

if TYPE_CHECKING:
    from bridge.backends.simulator import Simulator
    from sim_tps.patient import Patient

app = typer.Typer(
    name="beamwright-bridge",
    help=f"A simulated treatment planning system behind the beamwright contract. {INTENDED_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

eclipse_app = typer.Typer(
    help="Plan in Eclipse: a server in front of it, and a look at what an installation offers.", no_args_is_help=True
)
app.add_typer(eclipse_app, name="eclipse")

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], typer.Option(help="The least serious messages shown.")
]
Config = Annotated[
    Path,
    typer.Option(
        help="The clinic's configuration, an ini file (see esapi_scripts/README.md).", exists=True, dir_okay=False
    ),
]
Patients = Annotated[
    list[str] | None,
    typer.Option("--patient", metavar="ID", help="Offer this patient only, by Eclipse's id; may be given again."),
]
Series = Annotated[
    str | None,
    typer.Option("--series", metavar="UID", help="Which CT series to take, where a DICOM folder holds several."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder in which patients and plans are kept. Without it: $BEAMWRIGHT_DATA_DIR, or your own data folder.",
        file_okay=False,
    ),
]


class _Named(TypedDict):
    patient: str | None
    seed: int | None


@app.command()
def serve(
    case: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="First take in this patient: a built-in case, a DICOM folder or an npz file."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Which patient of the built-in case to make.")] = None,
    series: Series = None,
    data_dir: DataDir = None,
    keep_nothing: Annotated[
        bool, typer.Option("--keep-nothing", help="Forget patients and plans when the server stops.")
    ] = False,
    port: Port = 0,
    writable: Annotated[
        bool,
        typer.Option(
            "--writable",
            help="Let sessions make plans and change their own. Without it everything can be read and nothing changed.",
        ),
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(help="Where to write the access token, readable by you only. Without it: in the data folder."),
    ] = None,
    announce: Annotated[
        bool,
        typer.Option(
            "--announce",
            help="For programs: print endpoint and token as one JSON line, write no token file, and stop when "
            "stdin closes.",
        ),
    ] = False,
    log_level: LogLevel = "info",
) -> None:
    """Run the simulated TPS, so that planning programs on this machine can talk to it.

    It listens on this machine only, and only to callers that know the token. Ctrl-C stops it: committed plans stay,
    everything uncommitted is forgotten. Needs Linux or macOS.
    """
    from bridge import logs

    if keep_nothing and data_dir is not None:
        raise typer.BadParameter("choose --keep-nothing or --data-dir, not both.")
    if seed is not None and case is None:
        raise typer.BadParameter("--seed chooses a patient of a built-in case; name it with --case.")
    if series is not None and case is None:
        raise typer.BadParameter("--series chooses a CT of a DICOM folder; name the folder with --case.")
    logs.configure(log_level)
    with _refusals_shown(announced=announce), _data_folder(data_dir, keep_nothing) as folder, ExitStack() as stack:
        from bridge.backends.simulator import Simulator
        from bridge.commands import serving  # after the lock, so that a second server is refused without delay
        from sim_tps.store import DATABASE

        simulator = Simulator(folder)
        patient = _taken_in(simulator, case, seed, series) if case is not None else None
        if announce:
            ready = partial(serving.announce, **_named(patient))
        else:
            path = token_file or folder / "token"
            ready = partial(_tell, path, stack.enter_context(serving.token_file(path)))
        serving.run(simulator, folder / DATABASE, ready, port=port, read_only=not writable, until_stdin_closes=announce)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A DICOM folder (CT and RTSTRUCT) or an npz file.", exists=True)],
    data_dir: DataDir = None,
    patient_id: Annotated[
        str | None, typer.Option("--id", help="Id under which to keep the patient. Without it: made from the data.")
    ] = None,
    series: Series = None,
) -> None:
    """Take a patient into the data folder, and say what was found and what was done about it."""
    from bridge.commands import intake, tables
    from sim_tps.store import Store
    from sim_tps.tps import Tps

    with _refusals_shown(), _data_folder(data_dir) as folder:
        patient = intake.read_case(str(path), patient_id=patient_id, series=series)
        tps = Tps(Store(folder))
        new = intake.take_in(tps, patient)
        tps.close()
        tables.show_import(patient, folder, new=new)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", exists=True, file_okay=False)],
    dicom: Annotated[Path, typer.Option("--dicom", metavar="DIR", help="Folder for the files: a new or an empty one.")],
    plan: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Another plan of the same patient, such as plan-2. Without it: the one the run reports.",
        ),
    ] = None,
    data_dir: DataDir = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR.")] = False,
) -> None:
    """Write the plan of a run as DICOM: CT, structures, dose and, where it is sequenced, the plan with control points.

    The files are for research and marked so; the plan in them is never approved.
    """
    from bridge.commands import export as exporting
    from bridge.commands import tables
    from sim_tps.store import Store
    from sim_tps.tps import Tps

    with _refusals_shown():
        source = exporting.run_plan(run, data_dir)
        with _data_folder(source.data_folder) as folder:
            tps = Tps(Store(folder))
            try:
                written = exporting.export(tps, source, plan, dicom, overwrite=overwrite)
            finally:
                tps.close()
        tables.show_export(written, dicom)


@app.command()
def patients(data_dir: DataDir = None) -> None:
    """List the patients in the data folder, with their plans."""
    from bridge.commands import tables
    from sim_tps.store import Store
    from sim_tps.tps import Tps

    with _refusals_shown(), _data_folder(data_dir) as folder:
        tps = Tps(Store(folder))
        tables.show_patients(tps, folder)
        tps.close()


@app.command()
def cases() -> None:
    """List the built-in cases, which need no data of yours."""
    from bridge.commands import tables
    from sim_tps.cases import CASES

    tables.show_cases(CASES)


@app.command()
def proto(
    folder: Annotated[Path, typer.Argument(help="Where to write them.", file_okay=False)],
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Write the contract for a TPS vendor: the .proto files and their specification."""
    from bridge.commands import proto_files

    with _refusals_shown():
        written = proto_files.write_contract(folder, force=force)
    typer.echo(f"{len(written)} files in {folder}; start with {folder / 'README.md'}.")
    typer.secho(INTENDED_USE, dim=True)


@eclipse_app.command("serve")
def eclipse_serve(
    config: Config,
    patient: Patients = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port on this machine. Without it: the configuration's.")
    ] = None,
    writable: Annotated[
        bool,
        typer.Option(
            "--writable", help="Let sessions make plans and change their own, also where the configuration does not."
        ),
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Folder for the journal of operations and saves. Without it: the journal goes with the server.",
            file_okay=False,
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="Where to write the access token, readable by you only. Without it: in your data folder."),
    ] = None,
    announce: Annotated[
        bool,
        typer.Option(
            "--announce",
            help="For programs: print endpoint and token as one JSON line, write no token file, and stop when "
            "stdin closes.",
        ),
    ] = False,
    log_level: LogLevel = "info",
) -> None:
    """Run a server in front of Eclipse, which it starts by itself and without a window.

    It opens one patient at a time, saves only what a session commits, and never approves a plan. Ctrl-C stops it:
    everything uncommitted is lost. It listens on this machine only, and only to callers that know the token.
    """
    from bridge import logs

    logs.configure(log_level)
    with _refusals_shown(announced=announce):
        from bridge.commands import eclipse, serving

        site = eclipse.site_for(config, patient or [], writable=writable)
        folder = data_dir or eclipse.data_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = eclipse.patient_key(site, folder)
        offered = eclipse.names_of(site, key)
        with eclipse.stand_alone(site) as thread, ExitStack() as stack:
            backend = eclipse.backend(thread, lambda: eclipse.host(site), site, key, folder)
            if announce:
                ready = partial(serving.announce, patient=offered[0][1] if len(offered) == 1 else None)
            else:
                path = token_file or folder / eclipse.TOKEN_FILE
                ready = partial(_tell_eclipse, path, offered, stack.enter_context(serving.token_file(path)))
            serving.run(
                backend,
                data_dir / eclipse.JOURNAL_FILE if data_dir is not None else None,
                ready,
                port=site.port if port is None else port,
                read_only=not site.writable,
                until_stdin_closes=announce,
            )


@eclipse_app.command("check")
def eclipse_check(config: Config, patient: Patients = None, log_level: LogLevel = "warning") -> None:
    """Look at an Eclipse installation: what it offers, and what is missing and how to mend it. Changes nothing."""
    from bridge import logs

    logs.configure(log_level)
    with _refusals_shown():
        from bridge.commands import eclipse, tables

        found = eclipse.check(eclipse.site_for(config, patient or [], writable=False))
        tables.show_checkup(found)
    if any(line.remedy for line in found):
        raise typer.Exit(1)


def _taken_in(simulator: Simulator, case: str, seed: int | None, series: str | None) -> Patient:
    from bridge.commands import intake

    patient = intake.read_case(case, seed=seed, series=series)
    intake.take_in(simulator.tps, patient)
    return patient


def _named(patient: Patient | None) -> _Named:
    """What an announcement says of a patient; only built-in cases have a seed."""
    if patient is None:
        return {"patient": None, "seed": None}
    seed = patient.provenance.get("seed")
    return {"patient": f"patients/{patient.id}", "seed": int(seed) if seed is not None else None}


def _tell(path: Path, write_token: Callable[[str], None], endpoint: str, token: str) -> None:
    write_token(token)
    typer.echo(
        f"The simulated TPS listens at {endpoint}; its access token is in {path}.\nCtrl-C stops it. {INTENDED_USE}"
    )


def _tell_eclipse(
    path: Path, offered: list[tuple[str, str]], write_token: Callable[[str], None], endpoint: str, token: str
) -> None:
    write_token(token)
    typer.echo(f"Eclipse is served at {endpoint}; the access token is in {path}.")
    for patient_id, name in offered:
        typer.echo(f"Patient {patient_id!r} is {name} there.")
    typer.echo(f"Ctrl-C stops it. {INTENDED_USE}")


@contextmanager
def _data_folder(chosen: Path | None, keep_nothing: bool = False) -> Iterator[Path]:
    import tempfile

    from bridge import data_folder

    if keep_nothing:
        data_folder.require_posix()
        with tempfile.TemporaryDirectory(prefix="beamwright-") as folder:
            yield Path(folder)
        return
    with data_folder.held(chosen or data_folder.default_folder()) as held:
        yield held


@contextmanager
def _refusals_shown(*, announced: bool = False) -> Iterator[None]:
    """What a person can mend is told in a sentence; anything else is a bug and keeps its traceback."""
    from bridge import launch
    from bridge.backends.esapi.reach.site import SiteRefused
    from bridge.commands import CommandRefused
    from bridge.data_folder import FolderInUse, NeedsPosix
    from bridge.errors import BridgeError
    from sim_tps.errors import TpsError

    try:
        yield
    except (CommandRefused, SiteRefused, TpsError, BridgeError, FolderInUse, NeedsPosix, FileExistsError) as refusal:
        if announced:
            typer.echo(launch.refusal_line(str(refusal)))
        typer.secho(str(refusal), err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
