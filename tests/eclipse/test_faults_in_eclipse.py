"""What a person at Eclipse can do to a session that runs there, and what its failures do to Eclipse: nothing.

The one idea: every test ends with an Eclipse that lives, a thread that was given back, and a patient in whom nothing
is left that nobody committed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bridge import errors, model
from bridge.client import Client, Retry, Session, connect
from tests.eclipse.conftest import find
from tests.eclipse.emulated import PHANTOM, PLAN, Eclipse, Profile
from tests.eclipse.working import by_label, copied, dosed, plan_named, usual, writing

IN_ECLIPSE = Profile("in-eclipse", "18.0", "Gy")
WORK_S = 2.0
"""How long Eclipse optimises here: time enough for a person to do something meanwhile."""
ENDED = (model.OperationState.SUCCEEDED, model.OperationState.CANCELLED)


class Attended(Eclipse):
    """An Eclipse whose person stays at it when the plug-in has ended, and may start it again."""

    _kept: str | None = None

    def start_again(self) -> None:
        """Click on the script once more; it runs until its window is closed."""
        self._running.say("run")

    def serves_again(self, runs_before: int) -> None:
        """Wait until a later run of the plug-in serves."""
        self._running.wait_for(
            lambda _: len(self._shown_since(runs_before, "endpoint")) > 0, "endpoint of a later run", 60.0
        )
        self.endpoint = self._shown_since(runs_before, "endpoint")[0]
        self.token = Path(self._shown_since(runs_before, "token file")[0]).read_text("utf-8").strip()

    def returned(self, run: int) -> dict[str, Any]:
        """The event that the script came back to Eclipse, whichever way."""
        self._running.wait_for(lambda _: len(self._ends()) >= run, f"end of run {run}", 60.0)
        return self._ends()[run - 1]

    def keep_configuration(self, content: str) -> None:
        """Start with this configuration file, whatever is wrong with it."""
        self._kept = content

    def configure(self, **site: str) -> None:
        super().configure(**site)
        if self._kept is not None:
            self.ini_file.write_text(self._kept, "utf-8")

    def _ends(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] in ("returned", "thrown")]

    def _shown_since(self, runs_before: int, what: str) -> list[str]:
        starts = [index for index, event in enumerate(self.events) if event["event"] == "execute"]
        if len(starts) <= runs_before:
            return []
        lines = [str(event.get("line", "")) for event in self.events[starts[runs_before] :]]
        return [line.removeprefix(f"{what}: ") for line in lines if line.startswith(f"{what}: ")]

    def _command(self, after: str, runs: int) -> list[str]:
        return [*super()._command(after, runs), "--stay", "300"]


class Watch(threading.Thread):
    """Follows an operation to its end, as a client does that only looks on."""

    def __init__(self, eclipse: Eclipse, session: Session, operation: str) -> None:
        super().__init__(daemon=True)
        self.session = session
        """The one whose operation it is."""
        self.seen: list[model.Operation] = []
        self.running = threading.Event()
        self._eclipse = eclipse
        self._operation = operation
        self.start()

    def run(self) -> None:
        with alone(self._eclipse) as client, suppress(errors.BridgeError):
            for state in client.watch(self._operation):
                self.seen.append(state)
                if state.state is model.OperationState.RUNNING:
                    self.running.set()

    def ended(self, timeout_s: float = 30.0) -> model.Operation:
        """The last that was told of it."""
        self.join(timeout_s)
        assert not self.is_alive(), f"the operation is still {self.seen[-1].state.name}"
        return self.seen[-1]


@pytest.fixture
def attended(esapi: None, tmp_path: Path) -> Iterator[Callable[..., Attended]]:
    """Makes Eclipses with a person: ``attended(settings={...}, started=False, ...)``."""
    with ExitStack() as stack:

        def make(*, started: bool = True, settings: dict[str, Any] | None = None, **options: Any) -> Attended:
            folder = tmp_path / "site"
            folder.mkdir()
            made = Attended(IN_ECLIPSE, folder, **options)
            stack.callback(made.kill)
            made.set(**(settings or {}))
            if started:
                made.start()
            return made

        yield make


# ------------------------------------------------------------------------------------------ the window is closed


def test_closing_the_window_during_a_run_ends_it_in_order(attended: Callable[..., Attended]) -> None:
    """The run ends, what is uncommitted is taken back, the server goes, Eclipse lives, and a second start works."""
    used = attended(settings={"optimise_seconds": WORK_S})
    before = used.saved(PHANTOM)
    with optimising(used) as watch:
        used.close_window()
        assert watch.ended().state in ENDED
        assert used.returned(1)["event"] == "returned"
        with alone(used) as client, pytest.raises(errors.TpsUnavailable):
            client.server_info()
    assert any("Nothing that it made is left in Eclipse" in line for line in used.said)
    used.start_again()
    used.serves_again(1)
    with used.client() as client, writing(client, find(client, PHANTOM)) as session:
        patient = find(client, PHANTOM)
        assert [plan.label for plan in session.plans(patient)] == [PLAN]
        assert dosed(session, patient).dose.kind is model.DoseKind.FINAL
    used.close_window()
    assert used.returned(2)["event"] == "returned"
    assert used.saved(PHANTOM) == before
    leaves_nothing(used)


@pytest.mark.slow
def test_leaving_eclipse_during_a_session_ends_it_in_order(attended: Callable[..., Attended]) -> None:
    """The person quits Eclipse: the plug-in ends as if its window had been closed, and the database is as it was."""
    used = attended()
    before = used.saved(PHANTOM)
    with used.client() as client, writing(client, find(client, PHANTOM)) as session:
        ready(session, find(client, PHANTOM))
        used.user("quit")
        assert used.returned(1)["event"] == "returned"
        assert used.stop() == 0
    assert used.saved(PHANTOM) == before


@pytest.mark.slow
def test_an_eclipse_that_crashes_takes_what_was_not_saved_with_it(attended: Callable[..., Attended]) -> None:
    """The process is gone in the middle of a run: clients get TPS_UNAVAILABLE, the database is as it was."""
    used = attended(settings={"optimise_seconds": 30})
    before = used.saved(PHANTOM)
    with optimising(used):
        used.kill()
        with alone(used) as client, pytest.raises(errors.TpsUnavailable) as refusal:
            client.plans("patients/any")
    assert used.endpoint in str(refusal.value)
    assert used.saved(PHANTOM) == before


# ------------------------------------------------------------------------------------------ the person goes on working


@pytest.mark.slow
@pytest.mark.parametrize("after_close", ["throws", "stale"])
def test_a_patient_closed_during_a_run_is_gone_and_eclipse_is_not(
    after_close: str, attended: Callable[..., Attended]
) -> None:
    """Both readings of dead objects: no success for a dead patient, no more writes, the window says what to do."""
    used = attended(settings={"optimise_seconds": WORK_S, "switches": {"after_close": after_close}})
    before = used.saved(PHANTOM)
    with optimising(used) as watch:
        used.user("force close-patient")
        ended = watch.ended()
        with pytest.raises(errors.TpsUnavailable) as refusal:
            copied(watch.session, watch.session.patient, "another")
    assert used.alive
    used.close_window()
    assert used.returned(1)["event"] == "returned"
    assert (ended.state, ended.error_reason) == (model.OperationState.FAILED, "TPS_UNAVAILABLE")
    for message in (ended.error_message or "", str(refusal.value)):
        assert "the patient in it, is gone" in message
    (told,) = [line for line in used.said if "The patient was closed in Eclipse during the session" in line]
    assert "plan BW_AGENT / copy" in told
    assert "structure zGone" in told
    assert used.saved(PHANTOM) == before
    used.user("quit")
    assert used.stop() == 0


@pytest.mark.slow
def test_a_plan_changed_at_eclipse_is_another_plan_for_the_agent(attended: Callable[..., Attended]) -> None:
    """The person changes the open plan while its copy is optimised: the copy is not touched, the old etag is void."""
    used = attended(settings={"optimise_seconds": WORK_S})
    with used.client() as client:
        clinic = plan_named(client, find(client, PHANTOM))
        with optimising(used) as watch, used.client() as onlooker:
            used.user("change-plan")
            done = watch.ended()
            now = plan_named(onlooker, find(onlooker, PHANTOM))
        assert done.state is model.OperationState.SUCCEEDED
        assert now.etag != clinic.etag
        assert now.normalization != clinic.normalization
        with writing(client, find(client, PHANTOM)) as session:
            with pytest.raises(errors.EtagMismatch) as refusal:
                session.copy_plan(clinic.name, "copy", etag=clinic.etag)
            assert [plan.label for plan in session.plans(find(client, PHANTOM))] == [PLAN]
            assert session.copy_plan(clinic.name, "copy").normalization == now.normalization
    assert "again" in str(refusal.value)


# ------------------------------------------------------------------------------------------ the plug-in cannot start


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("venv", "/nowhere", ("[python] venv", "'/nowhere'", "is not a virtual environment")),
        ("dll", "/nowhere.so", ("[python] dll", "'/nowhere.so'", "no such file")),
        ("machine", "TrueBeam1\nno_such_key = 1", ("[site]", "'no_such_key'", "known are")),
        ("writable", "perhaps", ("[server]", "writable", "'perhaps'")),
    ],
    ids=["venv", "dll", "unknown-key", "bad-value"],
)
def test_a_mistake_in_the_configuration_is_told_and_mended_without_leaving_eclipse(
    key: str, value: str, words: tuple[str, ...], attended: Callable[..., Attended]
) -> None:
    """A sentence with file, section, key and value; Execute returns; the corrected file works at the next start."""
    used = attended(started=False)
    used.configure()
    right = used.ini_file.read_text("utf-8")
    used.keep_configuration(re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", right))
    used.launch()
    assert used.returned(1)["event"] == "returned"
    told = " ".join(used.said)
    for word in words:
        assert word in told, told
    used.ini_file.write_text(right, "utf-8")
    used.start_again()
    used.serves_again(1)
    with used.client() as client:
        assert plan_named(client, find(client, PHANTOM))
    used.close_window()
    assert used.returned(2)["event"] == "returned"
    leaves_nothing(used)


@pytest.mark.slow
def test_without_an_open_plan_nothing_starts(attended: Callable[..., Attended]) -> None:
    """The sentence says what to open; Python is not even started."""
    used = attended(started=False, plan="")
    used.launch()
    assert used.returned(1)["event"] == "returned"
    assert any("Open the plan to work from, then start the script again" in line for line in used.said)
    leaves_nothing(used)


# ------------------------------------------------------------------------------------------ Python fails inside Eclipse


@pytest.mark.slow
def test_a_virtual_environment_without_beamwright_says_what_to_install(
    attended: Callable[..., Attended], tmp_path: Path
) -> None:
    """No traceback at the person: the module, the environment, what to do; Eclipse lives."""
    venv = tmp_path / "empty-venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    used = attended(started=False)
    used.configure()
    used.keep_configuration(re.sub(r"(?m)^venv = .*$", f"venv = {venv}", used.ini_file.read_text("utf-8")))
    used.launch()
    assert used.returned(1)["event"] == "returned"
    assert any("Install beamwright in the virtual environment" in line for line in used.said), used.said
    leaves_nothing(used)


@pytest.mark.slow
def test_a_defect_in_python_ends_the_session_and_not_eclipse(
    attended: Callable[..., Attended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception nobody expected, in mid-session: its work is taken back, Execute returns, one sentence is shown."""
    trigger = tmp_path / "fail-now"
    (tmp_path / "sitecustomize.py").write_text(SABOTAGE.format(trigger=str(trigger)), "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    used = attended()
    before = used.saved(PHANTOM)
    with used.client() as client, writing(client, find(client, PHANTOM)) as session:
        ready(session, find(client, PHANTOM))
        trigger.touch()
        assert used.returned(1)["event"] == "returned"
    assert any("defect in beamwright" in line and "Check in Eclipse" in line for line in used.said), used.said
    assert any("told to fail" in line for line in used.said)
    used.start_again()
    used.serves_again(1)
    with used.client() as client:
        assert [plan.label for plan in client.plans(find(client, PHANTOM))] == [PLAN]
    used.close_window()
    assert used.returned(2)["event"] == "returned"
    assert used.saved(PHANTOM) == before
    leaves_nothing(used)


SABOTAGE = """
import asyncio, pathlib, sys

sleep = asyncio.sleep

async def failing(delay, *rest):
    trigger = pathlib.Path({trigger!r})
    if sys._getframe(1).f_code.co_name == "_until_closed" and trigger.exists():
        trigger.unlink()
        raise RuntimeError("told to fail")
    return await sleep(delay, *rest)

asyncio.sleep = failing
"""
"""Python code that every interpreter runs first: it lets the session's server fail while it waits for the window."""


# ------------------------------------------------------------------------------------------ how they are watched


@contextmanager
def optimising(used: Eclipse) -> Iterator[Watch]:
    """A session whose working copy Eclipse optimises when the block begins."""
    with alone(used) as client, writing(client, find(client, PHANTOM)) as session:
        patient = find(client, PHANTOM)
        target = by_label(session, patient)["OuterTarget"].name
        session.create_structure("zGone", model.Derivation(model.DerivationKind.MARGIN, (target,), outer_mm=3.0))
        started = session.start_optimize(ready(session, patient), model.OptimizeSpec(max_iterations=5))
        watch = Watch(used, session, started.name)
        assert watch.running.wait(30.0)
        yield watch


@contextmanager
def alone(used: Eclipse) -> Iterator[Client]:
    """A client that asks once."""
    with connect(used.endpoint, used.token, deadline_s=30.0, retry=Retry(attempts=1)) as client:
        yield client


def ready(session: Session, patient: str) -> str:
    """A working copy with objectives; its name."""
    plan = copied(session, patient).name
    session.replace_objectives(plan, usual(by_label(session, patient)))
    return plan


def leaves_nothing(used: Attended) -> None:
    """The person leaves Eclipse, in which nobody has left a plan or a structure."""
    used.user("quit")
    unsaved = used.event("unsaved")
    assert (unsaved["new_plans"], unsaved["new_structures"]) == ([], [])
    assert used.stop() == 0
