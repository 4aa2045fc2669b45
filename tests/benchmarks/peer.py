"""pyRadPlan's run of a case, and the judge of ours: its own dose matrix and its own voxels.

The peer runs in its own environment (`.peers`, built by ``make bench``) and leaves its matrix on disk. Here it is only
multiplied with: the objective of a fluence is what pyRadPlan would say of it, which `Peer.check` proves on the peer's
own plan.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from sim_tps.geometry import Grid
from sim_tps.plan import Objective, ObjectiveType
from tests.benchmarks.cases import Case, write

FOLDER = Path("build/peers")
PYTHON = Path(".peers/bin/python")
SCRIPT = Path("tests/benchmarks/peers/pyradplan_run.py")
CENTRE_SHIFT_MM = -0.25
"""pyRadPlan samples a beamlet half a pixel (of 0.5 mm) off the position it states, along both axes."""
CUT_OFF_MM = 50.0
"""Beyond this distance from its ray, on the isocentre plane, a pyRadPlan beamlet gives no dose."""
SAD_MM = 1000.0
WITHIN = 1.01
"""Two plans are as good as each other when the objective of one is at most 1 % above the other's."""


def run(case: Case, say: Callable[[str], None]) -> None:
    """Plan a case with pyRadPlan, in a process of its own, with one BLAS thread (its fair best)."""
    folder = FOLDER / case.name
    write(case, folder / "case.npz")
    (folder / "result.npz").unlink(missing_ok=True)
    command = [str(PYTHON), str(SCRIPT), str(folder / "case.npz"), str(folder)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("pyRadPlan: "):
                say(line.strip())
    if process.wait() != 0:
        raise SystemExit(f"pyRadPlan failed on {case.name}; its output is in {folder / 'log.txt'}")


def has_run(case: Case) -> bool:
    return (FOLDER / case.name / "result.npz").is_file()


@dataclass(frozen=True, eq=False)
class Peer:
    """What a run left behind."""

    folder: Path
    figures: dict[str, NDArray[np.generic]]

    @classmethod
    def load(cls, case: Case) -> Peer:
        folder = FOLDER / case.name
        with np.load(folder / "result.npz") as file:
            return cls(folder, dict(file))

    def seconds(self, name: str) -> float:
        return float(self.figures[f"{name}_s"])

    def mebibytes(self, name: str) -> float:
        return float(self.figures[f"{name}_mib"])

    @property
    def versions(self) -> dict[str, str]:
        return json.loads(str(self.figures["versions"]))

    @property
    def grid(self) -> Grid:
        """The dose grid."""
        x0, y0, z0 = map(float, self.figures["grid_origin_mm"])
        x, y, z = map(float, self.figures["grid_spacing_mm"])
        nz, ny, nx = map(int, self.figures["grid_shape"])
        return Grid((x0, y0, z0), (x, y, z), (nz, ny, nx))

    def final(self, name: str = "objectives") -> float:
        """Objective of the plan it ended with."""
        return float(np.min(self.figures[f"{name}_history"]))

    def seconds_within(self, name: str = "objectives") -> float:
        """When it first came as near to its own final objective as ours has to; its evaluations take equal times."""
        history = self.figures[f"{name}_history"]
        first = int(np.argmax(history <= WITHIN * self.final(name)))
        return self.seconds(name) * (first + 1) / len(history)

    @cached_property
    def matrix(self) -> csc_array:
        """Gy per unit of weight, (dose grid voxels, bixels)."""
        data, indices, indptr = (self._array(name) for name in ("data", "indices", "indptr"))
        return csc_array((data, indices, indptr.astype(np.int32)), shape=(self.grid.size, len(indptr) - 1))

    def objective(self, objectives: Sequence[Objective], weights: NDArray[np.floating]) -> float:
        """What pyRadPlan says of a plan, from its matrix and its voxels."""
        dose = self.matrix @ weights.astype(np.float32)
        return sum(o.priority * _violation(o, dose[self.figures[f"rows_{o.structure}"]]) for o in objectives)

    def check(self, case: Case) -> None:
        """Refuse to judge unless the peer's own plan gets the objective that the peer itself reported."""
        found = self.objective(case.objectives, self.figures["objectives_weights"])
        if abs(found / self.final() - 1.0) > 1e-4:
            raise SystemExit(f"{case.name}: objective {found:.4f} by the saved matrix, {self.final():.4f} by pyRadPlan")

    def weights(self, fluence: NDArray[np.floating]) -> NDArray[np.float64]:
        """Our fluence in the peer's unit and order."""
        return fluence[self._own_order] / self._size

    def fluence(self, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """The peer's weights as our fluence; the inverse of `weights`."""
        found = np.empty(len(weights))
        found[self._own_order] = weights * self._size
        return found

    def rasters(self, beamlet_mm: float) -> list[tuple[tuple[float, float], NDArray[np.bool_]]]:
        """Per beam: isocentre-plane position (x, y) of raster element [0, 0], and which elements exist."""
        beams = self.figures["bixel_beam"]
        found = []
        for beam in np.unique(beams):
            place = np.rint(self.figures["bixel_mm"][beams == beam] / beamlet_mm).astype(int)
            first = place.min(0)
            columns, rows = place.max(0) - first + 1
            is_open = np.zeros((rows, columns), bool)
            is_open[place[:, 1] - first[1], place[:, 0] - first[0]] = True
            centre = (float(first[0]) * beamlet_mm + CENTRE_SHIFT_MM, float(first[1]) * beamlet_mm + CENTRE_SHIFT_MM)
            found.append((centre, is_open))
        return found

    def _array(self, name: str) -> NDArray[np.generic]:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    @cached_property
    def _size(self) -> NDArray[np.float64]:
        """Area of each of its beamlets on the isocentre plane, in units of ours: they are squares across their rays."""
        slope = self.figures["bixel_mm"] / SAD_MM
        return (1.0 + (slope**2).sum(1)) ** 1.5

    @cached_property
    def _own_order(self) -> NDArray[np.intp]:
        """For each of its bixels the number of our beamlet, which run beam by beam, row by row."""
        x, y = np.rint(self.figures["bixel_mm"] * 1000).astype(int).T
        ours = np.lexsort((x, y, self.figures["bixel_beam"]))
        return np.argsort(ours)


def _violation(objective: Objective, dose: NDArray[np.floating]) -> float:
    above = dose - objective.dose_gy
    if objective.type is ObjectiveType.MIN:
        above = -above
    return float(np.mean(np.maximum(above, 0.0) ** 2))
