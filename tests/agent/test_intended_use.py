"""The intended-use line, wherever a person or a program may meet what a run made."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest
from run_builder import make_run
from typer.testing import CliRunner

from agent import run_folder
from agent.cli import app
from agent.command import console
from agent.command.doctor import Check, Health
from agent.records import ModelCosts
from agent.report.page import write_report
from agent.trace import Ended, RunStarted, Trace
from bridge import INTENDED_USE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run folder."""
    made, run = tmp_path_factory.mktemp("run"), make_run()
    with Trace(made / "trace.jsonl") as trace:
        trace.write(RunStarted("patients/P1", "test-60", "test-60.yaml", "rules", 7, {}, {}, run.result.server, "", {}))
        trace.write(Ended(2, "done", 12.5, 61, {}, ModelCosts()))
    run_folder.write(run, made)
    write_report(made)
    return made


def test_every_file_of_a_run_carries_the_line(folder: Path) -> None:
    """Whichever file is handed on alone, it says what it is for."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert kinds == {".html", ".json", ".jsonl", ".npz", ".png"}
    assert [path.name for path in files if INTENDED_USE not in _text(path)] == []


def test_comparisons_carry_the_line(folder: Path, tmp_path: Path) -> None:
    """Page, picture and the last line at the terminal."""
    output = _output("compare", folder, folder, "--out", tmp_path)
    assert output[-1] == INTENDED_USE
    assert [path.name for path in tmp_path.iterdir() if INTENDED_USE not in _text(path)] == []


def test_the_list_of_protocols_ends_with_the_line() -> None:
    """Limits are read off it, so it says what they are for."""
    assert _output("protocols")[-1] == INTENDED_USE


def test_doctor_ends_with_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Also a machine on which everything works is not thereby fit for the clinic."""
    console.show_checks(lambda: iter([Check("A", Health.GOOD, "works")]))
    assert capsys.readouterr().out.splitlines()[-1] == INTENDED_USE


def _output(*words: object) -> list[str]:
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def _text(path: Path) -> str:
    """What a reader of the file finds in words."""
    if path.suffix == ".npz":
        with np.load(path) as stored:
            return str(json.loads(str(stored["header"])))
    return html.unescape(path.read_bytes().decode("latin-1"))
