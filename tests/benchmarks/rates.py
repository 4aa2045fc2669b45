"""How fast the inner loops run, as a share of what this machine's memory can deliver.

The loops read a point's view of a beam once, and the beam's image again and again; the image stays in the cache. So
two rates are told: bytes that must come from memory, and all bytes that the loop touches. pyRadPlan's sparse products
are set beside them: there every byte of the matrix comes from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from sim_tps.cases import make_case
from sim_tps.dose.density import density_map
from sim_tps.dose.fields import field_for_target
from sim_tps.dose.lateral import LateralMaps
from sim_tps.dose.operator import DoseOperator, field_depths
from sim_tps.machine import machines
from sim_tps.plan import Beam
from tests.benchmarks.cases import NINE, Case
from tests.benchmarks.measuring import best_of
from tests.benchmarks.peer import Peer

REPEATS = 10
VIEW_BYTES = 5 * 4
"""Column, row and three depth terms, float32, for each point and beam."""
IMAGE_BYTES = 16 * 3 * 4
"""4 × 4 pixels of three float32 coefficients."""
NONZERO_BYTES = 4 + 8
"""pyRadPlan's float32 value and int64 row."""


@dataclass(frozen=True)
class Loop:
    """One loop at work."""

    name: str
    seconds: float
    million_per_s: float
    """Points × beams, or nonzeros."""
    memory_gb_s: float
    touched_gb_s: float
    share_of_bandwidth: float
    """``memory_gb_s`` over the machine's read bandwidth."""


def ours(bandwidth_gb_s: float) -> list[Loop]:
    """Gather and scatter of the built-in TG-119 with nine beams, every voxel of the External."""
    operator, maps, count = _operator()
    images = maps.images(np.ones(maps.beamlet_count))
    values = np.ones(operator.shape[0], np.float32)
    gather_s = best_of(REPEATS, lambda: operator.gather(images))
    collect_s = best_of(REPEATS, lambda: maps.weights(images))
    scatter_s = best_of(REPEATS, lambda: operator.adjoint(values)) - collect_s
    return [
        _loop("gather", gather_s, count, VIEW_BYTES, VIEW_BYTES + IMAGE_BYTES, bandwidth_gb_s),
        _loop("scatter", scatter_s, count, VIEW_BYTES, VIEW_BYTES + 2 * IMAGE_BYTES, bandwidth_gb_s),
    ]


def peers(case: Case, bandwidth_gb_s: float) -> Loop:
    """pyRadPlan's evaluation: the matrix once forward, once back."""
    peer = Peer.load(case)
    seconds = peer.seconds("objectives") / len(peer.figures["objectives_history"])
    nonzeros = 2 * int(peer.figures["nonzeros"])
    return _loop(f"pyRadPlan, {case.name}", seconds, nonzeros, NONZERO_BYTES, NONZERO_BYTES, bandwidth_gb_s)


def as_json(loops: list[Loop]) -> list[Mapping[str, object]]:
    return [asdict(loop) for loop in loops]


def show(loops: list[Loop], bandwidth_gb_s: Mapping[str, float], console: Console) -> None:
    measured = ", ".join(f"{name} {rate:.1f} GB/s" for name, rate in bandwidth_gb_s.items())
    table = Table(title="Inner loops", caption=f"memory bandwidth, all threads: {measured}")
    table.add_column("loop", no_wrap=True)
    for heading in ("ms", "10⁶ a second", "GB/s from memory", "GB/s touched", "share of bandwidth"):
        table.add_column(heading, justify="right")
    for loop in loops:
        numbers = (1000 * loop.seconds, loop.million_per_s, loop.memory_gb_s, loop.touched_gb_s)
        table.add_row(loop.name, *(f"{number:,.1f}" for number in numbers), f"{loop.share_of_bandwidth:.0%}")
    console.print(table)


def _loop(name: str, seconds: float, count: int, memory: int, touched: int, bandwidth_gb_s: float) -> Loop:
    rate = count / seconds
    from_memory = 1e-9 * memory * rate
    return Loop(name, seconds, 1e-6 * rate, from_memory, 1e-9 * touched * rate, from_memory / bandwidth_gb_s)


def _operator() -> tuple[DoseOperator, LateralMaps, int]:
    """Operator and maps, and how many pairs of point and beam they work on."""
    patient, machine = make_case("tg119"), machines()["generic-5mm"]
    density = density_map(patient)
    target = patient.structure("OuterTarget")
    inside = patient.grid.centres_mm(np.flatnonzero(target.mask()))
    beams = [Beam(f"{angle:g}", target.centre_mm(), angle) for angle in NINE]
    fields = [field_for_target(beam, machine, 5.0, inside) for beam in beams]
    corners = np.array(np.meshgrid(*((axis[0], axis[-1]) for axis in density.grid.axes_mm))).reshape(3, 8).T
    maps = LateralMaps(machine, fields, [machine.kernels[0]] * len(fields), corners)
    points = density.grid.centres_mm(np.flatnonzero(density.values))
    depths = field_depths(density, fields, points)
    return DoseOperator(machine, maps, points, depths), maps, int(np.count_nonzero(depths))
