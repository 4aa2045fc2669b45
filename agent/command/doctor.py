"""What works on this machine, and how to mend what does not.

The one idea: every check does the real thing once (compiles a kernel, starts a server and calls it, draws a picture)
and answers with a sentence; a check that fails says what to do.
"""

from __future__ import annotations

import importlib.util
import io
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "grpcio",
    "protobuf",
    "pydantic",
    "pydicom",
    "matplotlib",
    "typer",
    "rich",
    "openai",
    "optuna",
)
OLDEST_PYTHON = (3, 11)
_ENOUGH_DISK_GB = 2.0


class Health(Enum):
    """How a check came out."""

    GOOD = "good"
    OPTIONAL = "optional"
    """Absent, and not needed for planning on the simulated TPS."""
    BAD = "bad"


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    subject: str
    health: Health
    finding: str
    remedy: str = ""


def version_line() -> str:
    """``beamwright 0.1.0 (contract 1.0.0, Python 3.11.9)``."""
    from bridge import SPEC_VERSION

    return f"beamwright {_version_of('beamwright')} (contract {SPEC_VERSION}, Python {platform.python_version()})"


def examine() -> Iterator[Check]:
    """Every check in turn; the slow ones (compiling, starting a server) come last."""
    for check in (
        _python,
        _packages,
        _processors,
        _disk,
        _fonts,
        _data_folder,
        _language_model,
        _eclipse,
        _kernels,
        _round_trip,
    ):
        yield check()


def _python() -> Check:
    found = f"Python {platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("Python", Health.BAD, found, "Install Python 3.11 or newer and make a new environment with it.")
    return Check("Python", Health.GOOD, found)


def _packages() -> Check:
    versions = {name: _version_of(name) for name in PACKAGES}
    absent = [name for name, version in versions.items() if version == "absent"]
    finding = ", ".join(f"{name} {version}" for name, version in versions.items())
    if absent:
        return Check("Packages", Health.BAD, finding, f"Install {', '.join(absent)}: pip install beamwright.")
    return Check("Packages", Health.GOOD, finding)


def _processors() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("Processors", Health.GOOD, f"{usable} usable, {platform.machine()}, {platform.system()}")


def _disk() -> Check:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    finding = f"{free_gb:.1f} GB free here"
    if free_gb < _ENOUGH_DISK_GB:
        return Check("Disk", Health.BAD, finding, f"Free some space: a run takes up to {_ENOUGH_DISK_GB:g} GB.")
    return Check("Disk", Health.GOOD, finding)


def _fonts() -> Check:
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.text(0.5, 0.5, "95 % ≥ 66.5 Gy")
    FigureCanvasAgg(figure)
    figure.savefig(io.BytesIO(), format="png")
    font = Path(font_manager.findfont(font_manager.FontProperties(family=["sans-serif"]))).stem
    return Check("Pictures", Health.GOOD, f"matplotlib draws, with {font}")


def _data_folder() -> Check:
    from bridge.data_folder import FolderInUse, default_folder, held

    folder = default_folder()
    try:
        with held(folder), tempfile.TemporaryFile(dir=folder):
            return Check("Data folder", Health.GOOD, f"{folder} can be written to")
    except FolderInUse as error:
        return Check(
            "Data folder", Health.OPTIONAL, str(error), "Built-in cases and files can be planned all the same."
        )
    except OSError as error:
        remedy = "Set BEAMWRIGHT_DATA_DIR to a folder of your own."
        return Check("Data folder", Health.BAD, f"{folder} cannot be written to ({error.strerror})", remedy)


def _language_model() -> Check:
    from agent.language_model import ModelError
    from agent.language_model.openai_chat import settled
    from agent.settings import ModelSettings

    subject = "Language model"
    base_url, model = os.environ.get("BEAMWRIGHT_BASE_URL"), os.environ.get("BEAMWRIGHT_MODEL", "")
    if base_url is None and "OPENAI_API_KEY" not in os.environ:
        remedy = (
            "Needed only by the planners sage, zero-shot and m2m: set BEAMWRIGHT_BASE_URL to an OpenAI-compatible "
            "address (http://localhost:11434/v1 for Ollama), or OPENAI_API_KEY."
        )
        return Check(subject, Health.OPTIONAL, "none is named in the environment", remedy)
    try:
        found = settled(ModelSettings(model=model, base_url=base_url, timeout_s=5.0))
    except ModelError as error:
        return Check(subject, Health.OPTIONAL, str(error), "Needed only by the planners sage, zero-shot and m2m.")
    return Check(subject, Health.GOOD, f"{found.model} answers at {base_url or 'the address of OpenAI'}")


def _eclipse() -> Check:
    mono, pythonnet = shutil.which("mono"), importlib.util.find_spec("pythonnet")
    finding = f"mono {'found' if mono else 'absent'}, pythonnet {'found' if pythonnet else 'absent'}"
    if mono and pythonnet:
        return Check("Eclipse bridge", Health.GOOD, finding)
    return Check(
        "Eclipse bridge", Health.OPTIONAL, finding, "Needed only to drive Eclipse scripts, not for planning here."
    )


def _kernels() -> Check:
    import numba
    import numpy as np

    @numba.njit(parallel=True)
    def sum_of_squares(values):  # type: ignore[no-untyped-def]  # numba infers the types
        return np.sum(values * values)

    remedy = "Reinstall numba (pip install --force-reinstall numba), and install an OpenMP runtime (libgomp1)."
    try:
        exact = sum_of_squares(np.arange(1000.0)) == 332833500.0
        layer = getattr(numba, "threading_layer")()  # noqa: B009 - numba's own export list leaves it out
    except (ValueError, ImportError, numba.errors.NumbaError) as error:
        return Check("Compiled kernels", Health.BAD, f"numba fails: {error}", remedy)
    finding = f"threading layer {layer}, {numba.get_num_threads()} threads, compiled code {_kept()}"
    if not exact:
        return Check("Compiled kernels", Health.BAD, f"{finding}; a parallel sum is wrong", remedy)
    if layer == "workqueue":
        slower = "The layer workqueue cannot run two calculations at once; install an OpenMP runtime (libgomp1)."
        return Check("Compiled kernels", Health.OPTIONAL, finding, slower)
    return Check("Compiled kernels", Health.GOOD, finding)


def _kept() -> str:
    """Where numba keeps what it compiled, so that the next start is quick."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return f"kept in {named}"
    source = importlib.util.find_spec("sim_tps")
    beside = source is not None and source.origin is not None and os.access(Path(source.origin).parent, os.W_OK)
    return "kept beside the source" if beside else "kept in the user's cache folder"


def _round_trip() -> Check:
    import time

    from bridge.client import connect
    from bridge.errors import BridgeError
    from bridge.launch import LaunchFailed, launch

    remedy = "Check that a firewall lets this machine talk to itself (127.0.0.1), and that no proxy is set for it."
    started = time.monotonic()
    try:
        with launch(keep_nothing=True) as server, connect(server.endpoint, server.token) as client:
            ready = time.monotonic() - started
            info = client.server_info()
    except LaunchFailed as error:
        return Check(
            "Simulated TPS", Health.BAD, str(error), "The log above tells why; reinstall beamwright otherwise."
        )
    except BridgeError as error:
        return Check("Simulated TPS", Health.BAD, f"no answer over gRPC: {error}", remedy)
    finding = f"{info.tps_name} {info.tps_version} answered over gRPC, {ready:.1f} s after its start"
    return Check("Simulated TPS", Health.GOOD, finding)


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
