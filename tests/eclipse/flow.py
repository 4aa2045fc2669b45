"""A session from inside the emulated Eclipse, recorded: what was said, line by line, and what a person saw.

The one idea: the same session twice, since a window has no lines and lines are no picture. Once with the plug-in's
console, whose lines make the transcript; once with its form on a virtual display, where the mouse presses the buttons
and pictures are taken. Both times the agent is started from the plug-in, plans the open plan and keeps its copy, and
the person saves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.backends.emulated_eclipse import intake
from bridge.backends.emulated_eclipse.options import Options
from tests.eclipse.emulated import PHANTOM, PLAN, Eclipse, Profile, models

PROFILE = Profile("in-eclipse", "18.0", "Gy")
PROGRAMS = ("Xvfb", "xdotool", "import")
INSTALL = "apt-get install -y --no-install-recommends xvfb xdotool imagemagick libgdiplus fonts-dejavu-core"
BEAMS_DEG = (0, 40, 80, 120, 160, 200, 240, 280, 320)
TITLE = "agent session"
LIMIT_S = 240.0
OPTIMISING_S = 5
"""An optimisation takes at least this long, so that there is something to see."""


def missing() -> str:
    """What the pictures need and this machine lacks; empty where nothing is."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(absent)} not installed. As root: {INSTALL}" if absent else ""


def record(folder: Path) -> list[str]:
    """Write ``transcript.txt`` and pictures into ``folder``; what was not as it should be, as sentences."""
    if lacking := missing():
        return [lacking]
    with tempfile.TemporaryDirectory() as passing:
        wrong = _transcript(Path(passing) / "console", folder / "transcript.txt")
        wrong += _pictures(Path(passing) / "form", folder)
    return wrong


def _transcript(place: Path, path: Path) -> list[str]:
    with _site(place) as site:
        site.start(after="save")
        site.say("start")
        _until(lambda: any("agent has ended" in line for line in site.said), "the agent's end")
        site.close_window()
        site.event("ended", LIMIT_S)
        path.write_text("\n".join(map(_line, site.events)) + "\n", "utf-8")
        return _not_saved(site)


def _pictures(place: Path, folder: Path) -> list[str]:
    with _display(), _site(place) as site:
        site.window, site.stay_s = "form", 10
        site.launch(after="save")
        _until(_window, "the plug-in's window")
        time.sleep(2.0)
        _shot(folder / "1-idle.png")
        _press(from_right=200)
        _until((place / "run" / "trace.jsonl").exists, "the agent's trace")
        time.sleep(OPTIMISING_S / 2)
        _shot(folder / "2-optimising.png")
        _until((place / "run" / "report.html").exists, "the agent's report")
        time.sleep(4.0)
        _shot(folder / "3-agent-ended.png")
        _press(from_right=60)
        time.sleep(4.0)
        _shot(folder / "4-session-ended.png")
        _press(from_right=60)
        site.event("ended", LIMIT_S)
        return _not_saved(site)


@contextmanager
def _site(place: Path) -> Iterator[Eclipse]:
    """An emulated Eclipse with the TG-119 phantom and a nine-beam plan open, and an agent that rules plan for."""
    hospital = place / "hospital"
    hospital.mkdir(parents=True)
    intake.write_options(hospital, Options(beamlet_mm=7.0, optimization_grid_mm=5.0, iterations=80))
    intake.make_patient(hospital, "tg119", PHANTOM)
    intake.add_plan(
        hospital, PHANTOM, PLAN, target="OuterTarget", gantry_deg=BEAMS_DEG, dose_grid_mm=4.0, models=models("18.0")
    )
    site = Eclipse(PROFILE, place)
    site.set(optimise_seconds=OPTIMISING_S)
    plan = "-m agent.cli plan {patient} --endpoint {endpoint} --token-file {token_file} --protocol tg119"
    options = f"--planner rules --max-attempts 2 --commit --out {place / 'run'}"
    site.agent_command = f'sh -c "echo y | {sys.executable} {plan} {options}"'  # the person at its terminal agrees
    try:
        yield site
    finally:
        site.kill()


def _not_saved(site: Eclipse) -> list[str]:
    """The person saved: the agent's copy must lie in the database, unapproved, beside the plan it is of."""
    courses = {course["id"]: course["plans"] for course in site.saved()["courses"]}
    made = courses.get("BW_AGENT", [])
    if [plan["id"] for plan in courses["C1"]] != [PLAN]:
        return [f"course C1 holds {[plan['id'] for plan in courses['C1']]}, expected {[PLAN]}"]
    if len(made) != 1 or made[0]["dose_kind"] != "final" or made[0]["approval"] != "UnApproved":
        return [f"course BW_AGENT holds {made}, expected one unapproved plan with a final dose"]
    return []


def _line(event: dict[str, Any]) -> str:
    """An event of the emulated Eclipse as a line of the transcript."""
    kind = event.pop("event")
    if kind == "plug-in":
        return f"plug-in   {event['line']}"
    return f"Eclipse   {kind}: " + ", ".join(f"{key} {value}" for key, value in event.items())


@contextmanager
def _display() -> Iterator[None]:
    """A virtual display for the block, and for what is started in it."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "820x680x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL)
    os.close(write)
    before = os.environ.get("DISPLAY")
    try:
        with os.fdopen(read) as answer:
            os.environ["DISPLAY"] = f":{answer.readline().strip()}"
        yield
    finally:
        os.environ.pop("DISPLAY")
        if before is not None:
            os.environ["DISPLAY"] = before
        server.kill()
        server.wait(10)


def _window() -> str:
    """The X id of the plug-in's window; empty while there is none."""
    found = subprocess.run(["xdotool", "search", "--name", TITLE], capture_output=True, text=True, check=False)
    return found.stdout.split()[-1] if found.stdout.split() else ""


def _press(from_right: int, from_bottom: int = 28) -> None:
    """Press the button that lies there in the plug-in's window."""
    shell = subprocess.run(
        ["xdotool", "getwindowgeometry", "--shell", _window()], capture_output=True, text=True, check=True
    ).stdout
    place = {key: int(value) for key, value in (line.split("=") for line in shell.split())}
    x, y = place["X"] + place["WIDTH"] - from_right, place["Y"] + place["HEIGHT"] - from_bottom
    subprocess.run(["xdotool", "mousemove", str(x), str(y), "click", "1"], check=True)


def _shot(path: Path) -> None:
    subprocess.run(["import", "-window", "root", str(path)], check=True, timeout=30)


def _until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} in {LIMIT_S:g} s")
        time.sleep(0.2)
