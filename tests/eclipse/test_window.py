"""The plug-in's own window, as a person uses it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.eclipse import flow
from tests.eclipse.emulated import Eclipse, Profile


@pytest.mark.slow
@pytest.mark.usefixtures("esapi")
def test_a_person_plans_from_the_window_and_saves(tmp_path: Path) -> None:
    """Pressing the buttons of the plug-in's window plans the open plan; what the person saves is in the database."""
    if lacking := flow.missing():
        assert "CI" not in os.environ, lacking
        pytest.skip(lacking)
    assert flow.record(tmp_path) == []
    said = (tmp_path / "transcript.txt").read_text("utf-8")
    assert "Left in Eclipse, in memory only" in said
    assert len(list(tmp_path.glob("*.png"))) == 4


@pytest.mark.slow
def test_an_agent_that_cannot_be_started_is_told_and_eclipse_goes_on(own_eclipse: Callable[..., Eclipse]) -> None:
    """A program that is not there becomes a line of the window, and the session can be ended as ever."""
    site = own_eclipse(Profile("in-eclipse", "18.0", "Gy"), started=False)
    site.agent_command = "/nowhere/agent {patient}"
    site.start()
    site.say("start")
    assert "[agent] command" in site.shown("The agent's program /nowhere/agent cannot be started")
    site.close_window()
    assert "ui_turns" in site.event("ended")
