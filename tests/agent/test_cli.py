"""The command `beamwright`: what it answers, what it refuses, and with which exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from run_builder import make_run
from typer.testing import CliRunner, Result

from agent import run_folder
from agent.cli import app
from agent.command.cases import Request, UsageError, find_patient, guess_protocol, patient_on_server
from agent.command.exit_status import ExitStatus
from agent.command.planning import exit_status, stoppable
from agent.planners.rules import Rules
from agent.records import ModelCosts
from agent.report.page import write_report
from agent.trace import Ended, Trace
from bridge import INTENDED_USE, model
from bridge.data_folder import ENVIRONMENT_VARIABLE


def call(*words: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run_folder.write(make_run(), folder)
    return folder


def test_asking_for_help_loads_nothing_heavy() -> None:
    """Help stays quick because numpy, matplotlib, grpc, numba and pydantic are imported by the commands only."""
    program = (
        "import sys; from typer.testing import CliRunner; from agent.cli import app; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "print([m for m in ('numpy', 'matplotlib', 'grpc', 'numba', 'pydantic', 'scipy') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_help_names_every_command_and_exit_status() -> None:
    """Commands around the server stand beside the agent's own, and the exit statuses of plan are told."""
    text = call("--help").output
    for command in (
        "plan",
        "report",
        "compare",
        "doctor",
        "protocols",
        "trace",
        "serve",
        "import",
        "export",
        "cases",
        "proto",
    ):
        assert f" {command} " in text
    told = " ".join(call("plan", "--help").output.split())
    assert "0 every rank-1 goal that can be evaluated is met or acceptable" in told
    assert "3 a plan was made, but a rank-1 goal is missed" in told
    assert "130 it was interrupted (the best plan so far is written when there is one)" in told
    assert INTENDED_USE in " ".join(text.split())


def test_version_names_program_contract_and_python() -> None:
    """One line that belongs into every report of a problem."""
    result = call("--version")
    assert result.exit_code == 0
    assert result.output.startswith("beamwright ")
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in result.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tg119", "--planner", "oracle"], "there is no 'oracle'; there are rules"),
        (["tg119", "--protocol", "tg120"], "no protocol 'tg120'; packaged ones are brain-srs"),
        (["tg119", "--protocol", "absent.yaml"], "no protocol file 'absent.yaml'"),
        (["scans/absent.npz"], "there is no file or folder 'scans/absent.npz'"),
        (["tg119", "--token-file", "token"], "--token-file belongs to --endpoint"),
        (["prostata", "--seed", "3"], "--seed makes another built-in case"),
        (["tg119", "--seed", "-1"], "Invalid value for '--seed'"),
        (["P1", "--seed", "3", "--endpoint", "localhost:1"], "--seed makes a built-in case"),
        (["tests", "--endpoint", "localhost:1"], "is a path on this machine"),
        (["P1", "--endpoint", "localhost:1", "--token-file", "absent"], "there is no file 'absent'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(words: list[str], told: str, tmp_path: Path) -> None:
    """A wrong word ends with status 2 and a sentence, and leaves no folder behind."""
    out = tmp_path / "out"
    result = call("plan", *words, "--out", out)
    assert result.exit_code == 2
    assert told in result.output
    assert not out.exists()


def test_a_run_is_never_written_over(finished_run: Path) -> None:
    """--out with a folder that holds a run is refused with status 2."""
    result = call("plan", "tg119", "--out", finished_run)
    assert result.exit_code == 2
    assert "is not empty" in result.output


def test_a_server_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """Status 1, not a traceback, when nobody answers at the endpoint."""
    result = call("plan", "P1", "--endpoint", "127.0.0.1:9", "--protocol", "tg119", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "127.0.0.1:9" in result.output
    assert not (tmp_path / "out").exists()


def test_a_built_in_case_knows_its_seed_without_being_asked(tmp_path: Path) -> None:
    """The patient that was made by default can be made again from the record."""
    with patient_on_server(Request("tg119"), tmp_path) as there:
        assert there.seed == 0
        assert there.patient in {patient.name for patient in there.client.patients()}


def test_a_misspelt_case_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that had to be asked for its patients wrote a log; it goes with the folder."""
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "data"))
    result = call("plan", "tg191", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "Did you mean 'tg119'?" in result.output
    assert not (tmp_path / "out").exists()


def test_commit_is_refused_where_nothing_would_be_kept(tmp_path: Path) -> None:
    """A server that forgets at the end saves nothing, so the promise is refused before planning starts."""
    result = call("plan", "tg119", "--commit", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "--commit saves on a server that stays" in result.output
    assert not (tmp_path / "out").exists()


def test_report_rebuilds_the_page(finished_run: Path) -> None:
    """The page is made again from the folder, and its path is told."""
    result = call("report", finished_run)
    assert result.exit_code == 0
    assert (finished_run / "report.html").exists()
    assert result.output.strip().endswith("report.html")


def test_report_warns_of_a_changed_trace(tmp_path: Path) -> None:
    """The page is made all the same, and both it and stderr say that the trace cannot be relied on."""
    with Trace(tmp_path / "trace.jsonl") as trace:
        trace.write(Ended(2, "done", 1.0, 61, {}, ModelCosts()))
    run_folder.write(make_run(), tmp_path)
    assert call("report", tmp_path).stderr == ""
    text = (tmp_path / "trace.jsonl").read_text()
    (tmp_path / "trace.jsonl").write_text(text.replace('"tps_calls":61', '"tps_calls":60'))
    result = call("report", tmp_path)
    assert result.exit_code == 0
    assert "trace.jsonl is not intact in line 1: the line was edited" in result.stderr
    assert "The trace of this run cannot be relied on." in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """Status 1 and the reason."""
    result = call("report", tmp_path)
    assert result.exit_code == 1
    assert "no result.json" in result.output


def test_compare_shows_both_runs(finished_run: Path, tmp_path: Path) -> None:
    """Both values of each goal stand side by side, at the terminal and in the page."""
    other = tmp_path / "other"
    run_folder.write(make_run(missed=True), other)
    result = call("compare", finished_run, other, "--out", tmp_path / "comparison")
    assert result.exit_code == 0
    row = next(line for line in result.output.splitlines() if "SpinalCord" in line)
    assert "41.30" in row
    assert "46.10" in row
    page = (tmp_path / "comparison" / "comparison.html").read_text(encoding="utf-8")
    assert "41.30 Gy" in page
    assert "46.10 Gy" in page
    assert (tmp_path / "comparison" / "dvh.png").read_bytes().startswith(b"\x89PNG")


def test_compare_says_what_else_differs(tmp_path: Path) -> None:
    """Runs of two protocols are compared, and the page warns that they are."""
    run = make_run()
    run_folder.write(run, tmp_path / "a")
    run_folder.write(replace(run, result=replace(run.result, protocol="test-66")), tmp_path / "b")
    call("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    assert "protocol: test-60 in A, test-66 in B" in (tmp_path / "c" / "comparison.html").read_text(encoding="utf-8")


def test_trace_verify_tells_an_intact_trace_from_an_edited_one(tmp_path: Path) -> None:
    """Status 0 for a trace as it was written, 1 with the line for an edited one."""
    with Trace(tmp_path / "trace.jsonl") as trace:
        trace.write(Ended(1, "done", 1.0, 3, {}, ModelCosts()))
    assert call("trace", "verify", tmp_path).exit_code == 0
    text = (tmp_path / "trace.jsonl").read_text()
    (tmp_path / "trace.jsonl").write_text(text.replace('"tps_calls":3', '"tps_calls":2'))
    result = call("trace", "verify", tmp_path / "trace.jsonl")
    assert result.exit_code == 1
    assert "not intact in line 1" in result.output


def test_trace_verify_without_a_trace_is_refused(tmp_path: Path) -> None:
    """A folder without a trace is a sentence and status 1."""
    result = call("trace", "verify", tmp_path)
    assert result.exit_code == 1
    assert "there is no trace at" in result.output


def test_protocols_are_listed_and_shown() -> None:
    """Each packaged protocol is in the list, and shown with its goals, objectives and beams."""
    assert "hn-70-63-56" in call("protocols").output
    shown = call("protocols", "show", "tg119").output
    for part in ("OuterTarget: 50 Gy in 25", "D95%[Gy] >= 50", "zRing_3_10", "gantry 0 40 80", INTENDED_USE):
        assert part in shown


def test_a_wrong_protocol_file_is_told_with_its_line(tmp_path: Path) -> None:
    """A site's own file is checked by showing it."""
    file = tmp_path / "mine.yaml"
    file.write_text("id: mine\ntitle: Mine\n")
    result = call("protocols", "show", file)
    assert result.exit_code == 1
    assert "mine.yaml:1" in result.output


def test_the_exit_status_follows_the_outcome() -> None:
    """0 for met or acceptable, 3 for a missed rank-1 goal, 130 for an interrupted run."""
    good, bad = make_run().result, make_run(missed=True).result
    assert exit_status(good) is ExitStatus.OK
    assert exit_status(bad) is ExitStatus.GOAL_MISSED
    interrupted = replace(good, stop_reason="Interrupted by the person at the terminal")
    assert exit_status(interrupted) is ExitStatus.INTERRUPTED


def test_a_patient_is_found_by_name_id_or_label() -> None:
    """patients/P1, P1 and its label mean the same; anything else lists the patients there are."""
    patients = [model.Patient("patients/P1", "H&N study 4"), model.Patient("patients/P2", "other")]
    assert {find_patient(word, patients) for word in ("patients/P1", "P1", "H&N study 4")} == {"patients/P1"}
    with pytest.raises(UsageError, match=r"patients there are P1, P2\. Did you mean 'P1'\?"):
        find_patient("P11", patients)


def test_a_protocol_is_chosen_only_where_one_fits() -> None:
    """The phantom's structures fit one packaged protocol; a patient of a bare PTV fits several, and is asked about."""
    phantom = [_structure("OuterTarget", "TARGET"), _structure("Core", "OAR"), _structure("BODY", "EXTERNAL")]
    assert guess_protocol(phantom).protocol.id == "tg119"
    with pytest.raises(UsageError, match="Name a protocol with --protocol"):
        guess_protocol([_structure("Blob", "TARGET")])


def _structure(label: str, role: str) -> model.Structure:
    return model.Structure(f"patients/P/structures/{label}", label, model.StructureRole[role], 5.0, (0, 0, 0), False)


def test_the_first_interrupt_ends_the_run_politely() -> None:
    """After one Ctrl-C the planner stops at its next turn; the run is told why; the old handler comes back."""
    told: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with stoppable(Rules(), told.append) as planner:
        os.kill(os.getpid(), signal.SIGINT)
        proposal = planner.propose(None, print)  # type: ignore[arg-type]
    assert proposal.stop
    assert proposal.rationale.startswith("Interrupted")
    assert "Ctrl-C again stops at once" in told[0]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_interrupt_stops_at_once() -> None:
    """A person who presses Ctrl-C twice is not kept waiting."""
    with pytest.raises(KeyboardInterrupt), stoppable(Rules(), lambda _: None):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_planning_the_phantom_over_the_wire(tmp_path: Path) -> None:
    """One attempt at tg119: its rank-1 goals are met, and the folder holds a readable, intact run."""
    out = tmp_path / "out"
    result = call("plan", "tg119", "--max-attempts", 1, "--out", out)
    assert result.exit_code == 0, result.output
    run = run_folder.read(out)
    assert run.result.best_attempt.dose.kind is model.DoseKind.FINAL
    assert (run.result.seed, run.trace_problem) == (0, "")
    assert run.volumes is not None
    assert (out / "report.html").read_text(encoding="utf-8") == write_report(out).read_text(encoding="utf-8")
    assert call("trace", "verify", out).exit_code == 0
