"""What a folder of emulated patients says about all of them: `options.json`, each key with a default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from sim_tps.errors import BadInput

FILE = "options.json"


@dataclass(frozen=True)
class Options:
    """How the emulated department calculates."""

    beamlet_mm: float = 5.0
    optimization_grid_mm: float | None = None
    """None: the dose grid."""
    machine: Mapping[str, str] = field(default_factory=lambda: {"TrueBeam1": "generic-5mm"})
    """Treatment unit of a beam -> machine of the simulator."""
    iterations: int = 300
    """Where an optimisation is not told how many."""
    grid_option: str = "CalculationGridSizeInCM"
    """Calculation option of the dose model that holds the grid's voxel size in cm."""


def read_options(folder: Path) -> Options:
    """The folder's options; the defaults where it has no such file."""
    path = folder / FILE
    if not path.is_file():
        return Options()
    content = json.loads(path.read_text("utf-8"))
    known = {option.name for option in fields(Options)}
    unknown = sorted(set(content) - known)
    if unknown:
        raise BadInput(f"{path}: unknown option {unknown[0]!r}; expected {', '.join(sorted(known))}.")
    return Options(**content)
