"""Clocks, memory and the facts of the machine that every figure is quoted with."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
from numba import get_num_threads, njit, prange

_ELEMENTS = 20_000_000
"""160 MB an array: five times the largest cache of common machines."""


def seconds(action: Callable[[], object]) -> float:
    start = perf_counter()
    action()
    return perf_counter() - start


def best_of(count: int, action: Callable[[], object]) -> float:
    return min(seconds(action) for _ in range(count))


def memory_mib(field: str) -> float:
    """``VmRSS``: resident memory now; ``VmHWM``: its highest since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def reset_peak_memory() -> float:
    """Start a new high-water mark; what the process holds now, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mib("VmRSS")


def child(module: str, *arguments: str) -> str:
    """Output of a module run in a fresh process; what it says on stderr passes through."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def machine_facts() -> dict[str, object]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "numba_threads": get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "scipy", "numba")},
    }


def bandwidth_gb_s() -> dict[str, float]:
    """Main memory, all threads: triad a = b + s·c (24 bytes an element) and reading b·c (16)."""
    a, b, c = (np.ones(_ELEMENTS) for _ in range(3))
    _triad(a, b, c, 2.0)
    _product(b, c)
    return {
        "triad": 24e-9 * _ELEMENTS / best_of(5, lambda: _triad(a, b, c, 2.0)),
        "read": 16e-9 * _ELEMENTS / best_of(5, lambda: _product(b, c)),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


@njit(parallel=True, fastmath=True)
def _triad(a, b, c, s):
    for i in prange(a.size):
        a[i] = b[i] + s * c[i]


@njit(parallel=True, fastmath=True)
def _product(b, c):
    total = 0.0
    for i in prange(b.size):
        total += b[i] * c[i]
    return total
