"""What a command says about itself."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import structlog

from bridge import errors, logs
from bridge.testing import serve
from tests.bridge.toy_backend import ToyBackend

PROGRAM = """
import logging, structlog
from bridge import logs
logs.configure("info")
with logs.correlated("work-7"):
    structlog.get_logger("ours").info("begun", beams=9)
    structlog.get_logger("ours").debug("unseen")
    logging.getLogger("theirs").warning("slow")
"""


def test_a_program_reads_json_lines_with_one_correlation_id() -> None:
    """Away from a terminal every line is JSON on stderr, ours and the libraries', and carries the work's id."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["logger"], line["correlation_id"]) for line in lines] == [
        ("begun", "ours", "work-7"),
        ("slow", "theirs", "work-7"),
    ]
    assert lines[0]["beams"] == 9
    assert done.stdout == ""


FAILURE = """
import logging, sys, structlog
from bridge import logs
sys.stderr.isatty = lambda: True
logs.configure("info")
def fail():
    request_body = "Must" + "ermann"
    raise KeyError("beam 3")
for failed in (structlog.get_logger("ours").exception, logging.getLogger("theirs").exception):
    try:
        fail()
    except KeyError:
        failed("broken")
"""


def test_a_traceback_on_a_terminal_shows_no_values() -> None:
    """It names the line that failed, ours or a library's, and not what the variables held: they may name a patient."""
    done = subprocess.run([sys.executable, "-c", FAILURE], capture_output=True, text=True, check=True)
    assert done.stderr.count("KeyError: 'beam 3'") == 2
    assert "Mustermann" not in done.stderr


class Broken(ToyBackend):
    """A toy whose beams cannot be read."""

    def beams(self, plan: str) -> Any:
        patient_name = "Must" + "ermann"
        raise KeyError(plan, len(patient_name))


def test_a_server_in_somebody_elses_program_shows_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody configured any logging, the server's own traceback still holds no values of variables."""
    structlog.reset_defaults()
    with serve(Broken()) as server, server.client() as client, pytest.raises(errors.ServerFault):
        client.beams("patients/P1/plans/clinical")
    shown = "".join(capsys.readouterr())
    assert "KeyError: ('patients/P1/plans/clinical', 10)" in shown
    assert "Mustermann" not in shown


def test_work_without_an_id_gets_one_and_keeps_it() -> None:
    """Outside of `correlated` every call is its own piece of work; inside they belong together."""
    assert logs.correlation_id() != logs.correlation_id()
    with logs.correlated() as correlation:
        assert logs.correlation_id() == correlation == logs.correlation_id()


def test_an_id_given_from_outside_is_kept() -> None:
    """A server goes on under the caller's id, and returns to its own afterwards."""
    with logs.correlated("outer"):
        with logs.correlated("inner"):
            assert logs.correlation_id() == "inner"
        assert logs.correlation_id() == "outer"


@pytest.mark.parametrize("level", ["verbose", "loud"])
def test_an_unknown_level_is_refused(level: str) -> None:
    """A misspelt level does not silence anything."""
    with pytest.raises(ValueError, match=level):
        logs.configure(level)
