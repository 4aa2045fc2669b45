"""An emulated Eclipse in a process of its own: built, furnished with patients, started, played with, and always ended.

The one idea: Mono hangs rather than fails. So every emulated Eclipse is a process that a watchdog kills after a while,
whatever becomes of the test that started it, and every wait for it has an end of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import util
from pathlib import Path
from typing import Any, Literal

from bridge.backends.emulated_eclipse import intake
from bridge.backends.emulated_eclipse.options import Options
from bridge.client import Client, connect

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "build" / "esapi"
INSTALL = "apt-get install -y --no-install-recommends mono-mcs mono-runtime libmono-2.0-1 mono-devel"
START_S = 120.0
"""How long an emulated Eclipse may take until it serves."""
BUILD_S = 300.0
ACTION_S = 30.0
"""How long a person's action may take to be carried out."""
LIFE_S = 1500
"""The watchdog kills it after this, whatever happens."""

Host = Literal["stand-alone", "in-eclipse"]
HOSTS: tuple[Host, ...] = ("stand-alone", "in-eclipse")
VERSIONS = ("15.6", "16.1", "18.0")
UNITS = ("Gy", "cGy")

PHANTOM, LYING, PRONE, ODD = "TG119", "ASYM", "PRONE", "ODD"
"""Patients: the TG-119 phantom with a plan, the asymmetric phantom supine and prone, and one with unusual plans."""
PLAN = "Clinic"
"""The ordinary plan of each patient, in course C1: three beams, 25 fractions of 2 Gy."""
_SUFFIX = {"15.6": "_15.6.06", "16.1": " 16.1.0", "18.0": "_18.0.1"}


@dataclass(frozen=True)
class Profile:
    """One emulated site."""

    host: Host
    version: str
    unit: str

    def __str__(self) -> str:
        return f"{self.host}-{self.version}-{self.unit}"


FULL = Profile("stand-alone", "18.0", "Gy")
"""The one that every test runs on."""
SMOKE = (
    Profile("in-eclipse", "18.0", "cGy"),
    Profile("stand-alone", "15.6", "cGy"),
    Profile("stand-alone", "16.1", "Gy"),
    Profile("in-eclipse", "15.6", "Gy"),
    Profile("in-eclipse", "16.1", "cGy"),
)
"""Every version in both hosts and both units at least once."""
ALL = (FULL, *SMOKE, *(
    profile
    for profile in (Profile(host, version, unit) for host in HOSTS for version in VERSIONS for unit in UNITS)
    if profile not in (FULL, *SMOKE)
))  # fmt: skip


class EclipseFailed(AssertionError):
    """The emulated Eclipse did not do what it was told in time; the message ends with what it said."""


def missing() -> str:
    """What this machine lacks for an emulated Eclipse, with the line that installs it; empty where nothing is."""
    if shutil.which("mcs") is None or shutil.which("mono") is None:
        return f"Mono is not installed. As root: {INSTALL}"
    if util.find_spec("pythonnet") is None:
        return f"pythonnet is not installed. {sys.executable} -m pip install pythonnet"
    return ""


@lru_cache
def build(version: str) -> Path:
    """The assemblies of one version, compiled where a source changed; their folder."""
    script = REPOSITORY / "esapi_scripts" / "build.sh"
    made = subprocess.run(
        ["sh", str(script), version],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    if made.returncode:
        raise EclipseFailed(f"{script.name} {version} ended with {made.returncode}.\n{made.stdout}\n{made.stderr}")
    return BUILD / version


def models(version: str) -> Mapping[str, str]:
    """The calculation models of an emulated site of that version, by kind."""
    names = {"PhotonVolumeDose": "AAA", "PhotonIMRTOptimization": "PO", "PhotonLeafMotions": "SMARTLMC"}
    return {kind: name + _SUFFIX[version] for kind, name in names.items()}


def furnish(folder: Path, version: str) -> None:
    """Write the patients of a small emulated department, whose calculations are coarse and so take about a second."""
    folder.mkdir(parents=True)
    intake.write_options(folder, Options(beamlet_mm=15.0, optimization_grid_mm=10.0, iterations=60))
    usual: dict[str, Any] = {"models": models(version), "dose_grid_mm": 8.0}
    intake.make_patient(folder, "tg119", PHANTOM, last_name="Phantom")
    intake.add_plan(folder, PHANTOM, PLAN, target="OuterTarget", **usual)
    intake.make_asymmetric_patient(folder, LYING)
    intake.make_asymmetric_patient(folder, PRONE, "HeadFirstProne")
    intake.make_asymmetric_patient(folder, ODD)
    for patient in (LYING, PRONE, ODD):
        intake.add_plan(folder, patient, PLAN, target="PTV", **usual)
    for name, unusual in ODD_PLANS.items():
        intake.add_plan(folder, ODD, name, target="PTV", **{**usual, **unusual})


ODD_PLANS: Mapping[str, Mapping[str, Any]] = {
    "Treated": {"treated": True, "approval": "TreatmentApproved"},
    "NoBeams": {"beams": []},
    "NoModel": {"models": {}},
    "NoFractions": {"fractions": None, "dose_per_fraction_gy": None},
}
"""Plans of the patient `ODD`, by what is unusual about each."""


class Process:
    """A child process whose output is read line by line, and which ends in any case."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.output: list[str] = []
        """Lines of its standard output, so far."""
        self._log_path = log
        self._heard = threading.Condition()
        self._log = log.open("wb")
        watchdog = ["timeout", "--signal=KILL", str(LIFE_S)]
        self._child = subprocess.Popen(
            [*watchdog, *command],
            cwd=REPOSITORY,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    @property
    def log(self) -> str:
        """What it wrote to its standard error."""
        return self._log_path.read_text("utf-8", errors="replace")

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def wait_for(self, found: Callable[[str], bool], what: str, timeout_s: float, start: int = 0) -> str:
        """The first line from ``start`` on for which ``found`` is true."""
        deadline = time.monotonic() + timeout_s
        with self._heard:
            while True:
                for line in self.output[start:]:
                    if found(line):
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or not self.alive:
                    ended = "" if self.alive else f"; it ended with status {self._child.poll()}"
                    raise EclipseFailed(f"no {what} in {timeout_s:g} s{ended}.\n{self.tail()}")
                self._heard.wait(min(left, 0.2))

    def ended(self, timeout_s: float) -> int:
        """Its exit status, once it ended by itself."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise EclipseFailed(f"it did not end in {timeout_s:g} s.\n{self.tail()}") from None

    def close_stdin(self) -> None:
        """The end of its standard input, which asks a server to stop."""
        assert self._child.stdin is not None
        if not self._child.stdin.closed:
            with suppress(BrokenPipeError):
                self._child.stdin.close()

    def kill(self) -> None:
        """End it and everything it started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(10)
        self.close_stdin()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._log.close()

    def tail(self, lines: int = 40) -> str:
        """What it said last."""
        log = self.log.splitlines()[-lines:]
        return "\n".join(["said:", *self.output[-lines:], "logged:", *log])

    def _listen(self) -> None:
        assert self._child.stdout is not None
        try:
            for line in self._child.stdout:
                with self._heard:
                    self.output.append(line.rstrip("\n"))
                    self._heard.notify_all()
        except ValueError:  # closed while it was read
            pass


class Eclipse:
    """A served emulated Eclipse.

    Parameters
    ----------
    folder
        Of this Eclipse alone: its patients (``hospital``), settings, configuration and log.
    patient, plan
        What a person has open; in Eclipse only.
    """

    def __init__(
        self, profile: Profile, folder: Path, *, patient: str = PHANTOM, plan: str = PLAN, **site: str
    ) -> None:
        self.profile = profile
        self.folder = folder
        self.hospital = folder / "hospital"
        self.open_patient = patient
        self.open_plan = plan
        self.endpoint = ""
        self.token = ""
        self.window: Literal["console", "form"] = "console"
        """What the plug-in shows a person: lines, or a window on the display."""
        self.agent_command = ""
        """What the plug-in's "Start the agent" runs."""
        self.stay_s = 0
        """In Eclipse: so long the person leaves it open when the plug-in has ended."""
        self._site = site
        self._process: Process | None = None
        self._assemblies = build(profile.version)
        if not self.hospital.is_dir():
            furnish(self.hospital, profile.version)
        self.set()

    @property
    def settings_file(self) -> Path:
        return self.folder / "emulation.json"

    @property
    def ini_file(self) -> Path:
        return self.folder / "beamwright.ini"

    @property
    def in_eclipse(self) -> bool:
        return self.profile.host == "in-eclipse"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def output(self) -> list[str]:
        return self._running.output

    @property
    def events(self) -> list[dict[str, Any]]:
        """What an emulated Eclipse with a person at it tells of."""
        return [json.loads(line) for line in self.output if line.startswith("{")]

    @property
    def said(self) -> list[str]:
        """What the plug-in's window showed."""
        return [event["line"] for event in self.events if event["event"] == "plug-in"]

    @property
    def log(self) -> str:
        return self._running.log

    def set(
        self, *, switches: Mapping[str, Any] | None = None, faults: Mapping[str, Any] | None = None, **settings: Any
    ) -> None:
        """Rewrite the emulation's settings; they hold from the next time that a patient is opened."""
        content = {
            "physics": [sys.executable, "-m", "bridge.backends.emulated_eclipse", str(self.hospital)],
            "dose_unit": self.profile.unit,
            "switches": dict(switches or {}),
            "faults": dict(faults or {}),
            **settings,
        }
        aside = self.settings_file.with_suffix(".new")
        aside.write_text(json.dumps(content, indent=1), "utf-8")
        aside.replace(self.settings_file)

    def configure(self, **site: str) -> None:
        """Write the configuration file, with other values in section [site] where given."""
        self._site = {**self._site, **site}
        chosen = {
            "patient_labels": "id",
            "patient_key": "emulated",
            "grid_option": "CalculationGridSizeInCM",
            "machine": "TrueBeam1",
            "energy": "6X",
            "leaf_width_mm": "5",
            "max_field_mm": "400, 400",
            **self._site,
        }
        library = Path(sysconfig.get_config_var("LIBDIR")) / sysconfig.get_config_var("INSTSONAME")
        sections: dict[str, Mapping[str, Any]] = {
            "esapi": {"dll_folder": self._assemblies},
            "server": {"writable": "true"},
            "python": {"dll": library, "venv": sys.prefix},
            "agent": {"output": "window", "command": self.agent_command},
            "window": {"kind": self.window, "eclipse_stays_usable": "yes"},
            "site": chosen,
        }
        lines = [
            line
            for section, values in sections.items()
            for line in (f"[{section}]", *(f"{key} = {value}" for key, value in values.items()))
        ]
        self.ini_file.write_text("\n".join(lines) + "\n", "utf-8")

    def start(self, after: str = "nothing", runs: int = 1) -> None:
        """Start it and wait until it serves.

        Parameters
        ----------
        after
            In Eclipse: what the person does when the plug-in has ended: save, discard or nothing.
        runs
            In Eclipse: how often the person starts the plug-in.
        """
        self.launch(after, runs)
        if self.in_eclipse:
            self.endpoint = self.shown("endpoint")
            self.token = Path(self.shown("token file")).read_text("utf-8").strip()
            return
        line = self._running.wait_for(lambda line: line.startswith("{"), "announcement", START_S)
        announced = json.loads(line)
        if "refused" in announced:
            raise EclipseFailed(f"the server refused to start: {announced['refused']}")
        self.endpoint, self.token = announced["endpoint"], announced["token"]

    def launch(self, after: str = "nothing", runs: int = 1) -> None:
        """Start it, and wait for nothing."""
        self.configure()
        environment = {
            **os.environ,
            "BEAMWRIGHT_EMULATION": str(self.settings_file),
            "BEAMWRIGHT_INI": str(self.ini_file),
            "BEAMWRIGHT_DATA_DIR": str(self.folder / "data"),
            "MONO_THREADS_SUSPEND": "preemptive",
            "GRPC_ENABLE_FORK_SUPPORT": "0",  # the emulation forks its physics, which gRPC's own handlers can spoil
            "NO_COLOR": "1",
        }
        self._process = Process(self._command(after, runs), environment, self.folder / "eclipse.log")

    def shown(self, what: str, timeout_s: float = START_S) -> str:
        """A fact in the plug-in's window, as soon as it is there."""
        head = f"{what}: "

        def is_it(line: str) -> bool:
            event = json.loads(line) if line.startswith("{") else {}
            return bool(str(event.get("line", "")).startswith(head))

        line = self._running.wait_for(is_it, f"{what!r} in the window", timeout_s)
        found: str = json.loads(line)["line"].removeprefix(head)
        return found

    def client(self, deadline_s: float = 60.0) -> Client:
        """A client; close it, or use ``with``."""
        return connect(self.endpoint, self.token, deadline_s=deadline_s)

    def user(self, action: str, timeout_s: float = ACTION_S) -> dict[str, Any]:
        """What a person at Eclipse does (``close-patient``, ``change-plan``, ``save``, ``quit``), once it happened."""
        start = len(self.output)
        self._running.say(action)

        def is_done(line: str) -> bool:
            event = json.loads(line) if line.startswith("{") else {}
            return event.get("event") == "action" and event.get("action") == action

        done: dict[str, Any] = json.loads(self._running.wait_for(is_done, f"{action!r} done", timeout_s, start))
        return done

    def say(self, line: str) -> None:
        """Type a line: ``start`` and ``close`` go to the plug-in, a person's actions to Eclipse."""
        self._running.say(line)

    def close_window(self) -> None:
        """Close the plug-in's window, as the person does who ends the session."""
        self._running.say("close")

    def event(self, kind: str, timeout_s: float = START_S) -> dict[str, Any]:
        """The first event of a kind, as soon as it is there."""
        line = self._running.wait_for(
            lambda line: line.startswith("{") and json.loads(line).get("event") == kind, f"event {kind!r}", timeout_s
        )
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self, timeout_s: float = 30.0) -> int:
        """Ask it to end, as whoever started it does; its exit status."""
        self._running.close_stdin()
        return self._running.ended(timeout_s)

    def kill(self) -> None:
        """End it at once; what was not saved is lost."""
        if self._process is not None:
            self._process.kill()

    def saved(self, patient: str | None = None) -> Any:
        """The patient's record as it lies in the department's database."""
        wanted = patient or self.open_patient
        for path in self.hospital.glob("*/record.json"):
            record = json.loads(path.read_text("utf-8"))
            if record["id"] == wanted:
                return record
        raise LookupError(f"no patient {wanted!r} in {self.hospital}.")

    @property
    def _running(self) -> Process:
        if self._process is None:
            raise EclipseFailed("this emulated Eclipse was not started.")
        return self._process

    def _command(self, after: str, runs: int) -> list[str]:
        if not self.in_eclipse:
            options = ["--announce", "--config", str(self.ini_file), "--data-dir", str(self.folder / "data")]
            return [sys.executable, "-m", "bridge.cli", "eclipse", "serve", *options]
        return [
            "mono", str(self._assemblies / "EclipseHost.exe"),
            "--patient", self.open_patient, "--course", "C1", "--plan", self.open_plan,
            "--plugin", str(self._assemblies / "beamwright.esapi.dll"), "--runs", str(runs), "--after", after,
            *(("--stay", str(self.stay_s)) if self.stay_s else ()),
        ]  # fmt: skip


@contextmanager
def eclipse(
    profile: Profile, folder: Path, *, after: str = "nothing", runs: int = 1, started: bool = True, **options: Any
) -> Iterator[Eclipse]:
    """An emulated Eclipse for the length of the block, and no longer.

    Parameters
    ----------
    started
        False: the block starts it, after its patients or settings were changed.
    options
        ``settings`` as for `Eclipse.set`, ``patient`` and ``plan`` that are open, and values of section [site].
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = options.pop("settings", {})
    made = Eclipse(profile, folder, **options)
    made.set(**settings)
    try:
        if started:
            made.start(after, runs)
        yield made
    finally:
        made.kill()
