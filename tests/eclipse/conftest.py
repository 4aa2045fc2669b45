"""Emulated Eclipses for tests: one for each profile and session, and new ones for tests that break theirs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from bridge import model
from bridge.client import Client
from tests.eclipse import emulated
from tests.eclipse.emulated import ALL, FULL, HOSTS, SMOKE, Eclipse, Profile

_skipped: list[str] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``eclipse``: the full profile, and slow the others. ``smoke``: some of those too. ``stand_alone``: that host."""
    if "running" in metafunc.fixturenames:
        quick = SMOKE if "smoke" in metafunc.fixturenames else (FULL,)
        hosts = ("stand-alone",) if "stand_alone" in metafunc.fixturenames else HOSTS
        wanted = [profile for profile in ALL if profile.host in hosts]
        marked = [pytest.param(p, id=str(p), marks=() if p in quick else pytest.mark.slow) for p in wanted]
        metafunc.parametrize("running", marked, indirect=True, scope="session")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A run that left Eclipse out says so, and how to put it in."""
    if _skipped:
        terminalreporter.section("Eclipse was NOT tested", red=True, bold=True)
        terminalreporter.line(_skipped[0])


@pytest.fixture(scope="session")
def esapi() -> None:
    """What an emulated Eclipse needs; without it the test skips, and in CI fails."""
    lacking = emulated.missing()
    if not lacking:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{lacking} In CI nothing of this may be left out.", pytrace=False)
    _skipped.append(lacking)
    pytest.skip(lacking)


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest, esapi: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Eclipse]:
    """The emulated Eclipse that the tests of one profile share."""
    profile: Profile = request.param
    with emulated.eclipse(profile, tmp_path_factory.mktemp(str(profile)) / "site", started=False) as made:
        yield made


@pytest.fixture
def eclipse(running: Eclipse) -> Eclipse:
    """The shared one, serving, with its settings as they were at first."""
    running.set()
    if not running.alive:
        running.kill()
        running.start()
    return running


@pytest.fixture
def smoke(eclipse: Eclipse) -> Eclipse:
    """The same, on the profiles that get a quick look."""
    return eclipse


@pytest.fixture
def stand_alone(eclipse: Eclipse) -> Eclipse:
    """The same, on the profiles of that host: for what a person's open patient does not allow."""
    return eclipse


@pytest.fixture
def client(eclipse: Eclipse) -> Iterator[Client]:
    with eclipse.client() as connected:
        yield connected


@pytest.fixture
def own_eclipse(esapi: None, tmp_path: Path) -> Iterator[Callable[..., Eclipse]]:
    """Starts emulated Eclipses of the test's own: ``own_eclipse(profile, settings={...}, after="save", ...)``."""
    with ExitStack() as stack:
        count = 0

        def start(profile: Profile = FULL, folder: Path | None = None, **options: Any) -> Eclipse:
            nonlocal count
            count += 1
            return stack.enter_context(emulated.eclipse(profile, folder or tmp_path / f"site-{count}", **options))

        yield start


Writing = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def patient(eclipse: Eclipse, client: Client) -> str:
    """Resource name of the TG-119 phantom, which is the one that is open in Eclipse."""
    return find(client, emulated.PHANTOM)


@pytest.fixture
def clinic(client: Client, patient: str) -> model.Plan:
    """Its plan."""
    return next(plan for plan in client.plans(patient) if plan.label == emulated.PLAN)


@pytest.fixture
def structures(client: Client, patient: str) -> dict[str, model.Structure]:
    """Its structures by label."""
    return {structure.label: structure for structure in client.structures(patient)}


def find(client: Client, label: str) -> str:
    """The patient of that label."""
    found = {patient.label: patient.name for patient in client.patients()}
    assert label in found, f"no patient {label!r} among {sorted(found)}"
    return found[label]
