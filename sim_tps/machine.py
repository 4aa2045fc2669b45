"""The linear accelerator: what its photon beam does in water, and the head that shapes it.

A beam is three depth terms, each with its own lateral kernel (Bortfeld, Schlegel and Rhein 1993), and a Gaussian source
blur. The built-in machines share one 6 MV beam, fitted by `sim_tps.machines.fit` to published measurements; the same
class reads matRad's and pyRadPlan's photon machine files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from sim_tps.delivery.head import Head, JawTravel
from sim_tps.dose.kernels import GaussianKernel, LateralKernel, TabulatedKernel
from sim_tps.errors import BadInput

_FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))


@dataclass(frozen=True, eq=False)
class Machine:
    """One machine with one photon energy.

    One unit of fluence is what gives the dose stated in ``unit`` under its reference condition.
    """

    id: str
    label: str
    energies: tuple[str, ...]
    sad_mm: float
    attenuation_per_mm: float
    """m of the depth terms."""
    build_up_per_mm: tuple[float, float, float]
    """β of the three depth terms."""
    source_sigma_mm: float
    """Standard deviation of the source blur on the isocentre plane."""
    kernels: tuple[LateralKernel, ...]
    kernel_ssd_mm: tuple[float, ...]
    """Skin distance each kernel was made for, rising."""
    head: Head
    unit: str
    sources: tuple[str, ...]

    def kernel_at(self, ssd_mm: float) -> LateralKernel:
        """The kernel made for the skin distance nearest to this one."""
        return self.kernels[int(np.argmin(np.abs(np.asarray(self.kernel_ssd_mm) - ssd_mm)))]

    def depth_terms(self, depth_mm: NDArray[np.floating]) -> NDArray[np.float64]:
        """β/(β−m) · (e^{−m·d} − e^{−β·d}) for the three β, shape (*depths, 3).

        Written as β·d·e^{−m·d} · (1 − e^{−x})/x with x = (β−m)·d, which is exact however near β is to m (the third
        term of matRad's generic machine has β/m = 1.007).
        """
        depth = np.asarray(depth_mm, np.float64)[..., None]
        beta = np.asarray(self.build_up_per_mm)
        x = (beta - self.attenuation_per_mm) * depth
        tiny = np.abs(x) < 1e-12
        ratio = np.where(tiny, 1.0, -np.expm1(-np.where(tiny, 1.0, x)) / np.where(tiny, 1.0, x))
        return beta * depth * np.exp(-self.attenuation_per_mm * depth) * ratio


@cache
def machines() -> Mapping[str, Machine]:
    """The built-in machines, by id."""
    beam = _built_in_file("generic_6mv.json")
    return {facts["id"]: _built_in(facts, beam) for facts in _head_facts()}


@cache
def heads() -> Mapping[str, Head]:
    """The built-in heads, by the id of the machine they belong to."""
    return {facts["id"]: _head(facts) for facts in _head_facts()}


def matrad_machine(path: Path | str) -> Machine:
    """Read a photon machine file of matRad or pyRadPlan.

    Version 2 files hold kernels in 1/mm²; older ones in units of their (0.5 mm)² raster, so they are multiplied by 4.
    Such files say nothing about the head: the machine gets the built-in one with 5 mm leaves.
    """
    path = Path(path)
    content = _load(path)
    meta, data = _field(content, "meta", path), _field(content, "data", path)
    factor = 1.0 if float(content.get("version", 1)) >= 2 else 4.0
    rows = np.atleast_1d(_field(data, "kernel", path))
    radius = np.asarray(_field(data, "kernelPos", path), np.float64)
    beta = np.asarray(_field(data, "betas", path), np.float64)
    if beta.shape != (3,):
        raise BadInput(f"machine file {path.name!r}: betas has shape {beta.shape}, expected 3 numbers.")
    sad = float(_field(meta, "SAD", path))
    return Machine(
        id=f"matrad-{_field(meta, 'name', path)}".lower(),
        label=f"matRad {_field(meta, 'name', path)}",
        energies=(f"{_field(data, 'energy', path):g}X",),
        sad_mm=sad,
        attenuation_per_mm=float(_field(data, "m", path)),
        build_up_per_mm=(float(beta[0]), float(beta[1]), float(beta[2])),
        source_sigma_mm=float(_field(data, "penumbraFWHMatIso", path)) / _FWHM_PER_SIGMA,
        kernels=tuple(TabulatedKernel(radius, factor * _kernel_rows(row, path)) for row in rows),
        kernel_ssd_mm=tuple(float(_field(row, "SSD", path)) for row in rows),
        head=heads()["generic-5mm"],
        unit="the file's own: about 1 Gy at 50 mm depth for a 50 mm × 50 mm field at 900 mm skin distance",
        sources=(
            f"{path.name}: {meta.get('description', 'no description')}",
            "head: not in the file; that of the built-in machine with 5 mm leaves",
        ),
    )


def _built_in_file(name: str) -> Any:
    return json.loads((resources.files("sim_tps.machines") / name).read_text("utf-8"))


def _head_facts() -> list[dict[str, Any]]:
    """What is known of each head: its own facts, and those that all share."""
    content = _built_in_file("heads.json")
    common = content["common"]
    return [{**common, **own, "sources": own["sources"] + common["sources"]} for own in content["machines"]]


def _built_in(facts: Mapping[str, Any], beam: Mapping[str, Any]) -> Machine:
    kernel = GaussianKernel(np.array(beam["kernel"]["weights"]), np.array(beam["kernel"]["sigmas_mm"]))
    b0, b1, b2 = beam["build_up_per_mm"]
    return Machine(
        id=facts["id"],
        label=facts["label"],
        energies=(beam["energy"],),
        sad_mm=beam["sad_mm"],
        attenuation_per_mm=beam["attenuation_per_mm"],
        build_up_per_mm=(b0, b1, b2),
        source_sigma_mm=beam["source_sigma_mm"],
        kernels=(kernel,),
        kernel_ssd_mm=(beam["kernel"]["ssd_mm"],),
        head=heads()[facts["id"]],
        unit=beam["unit"],
        sources=(*beam["sources"], *facts["sources"]),
    )


def _head(facts: Mapping[str, Any]) -> Head:
    lowest, highest = facts["dose_rates_mu_per_min"]
    return Head(
        leaf_widths_mm=tuple((count, width) for count, width in facts["leaf_widths_mm"]),
        transmission=facts["transmission"],
        dosimetric_gap_mm=facts["dosimetric_gap_mm"],
        smallest_gap_mm=facts["smallest_gap_mm"],
        span_mm=facts["span_mm"],
        leaf_speed_mm_per_s=facts["leaf_speed_mm_per_s"],
        dose_rates_mu_per_min=(lowest, highest),
        x_jaws=JawTravel(**facts["x_jaws"]),
        y_jaws=JawTravel(**facts["y_jaws"]),
        interdigitates=facts["interdigitates"],
        smallest_segment_mu=facts["smallest_segment_mu"],
        smallest_meterset_mu=facts["smallest_meterset_mu"],
    )


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise BadInput(f"no machine file at {path}.")
    try:
        content = loadmat(path, simplify_cells=True)
    except (ValueError, NotImplementedError, OSError, TypeError) as error:
        raise BadInput(f"machine file {path.name!r} cannot be read as a MATLAB file (v7 or older): {error}") from error
    machine = _field(content, "machine", path)
    if not isinstance(machine, Mapping):
        raise BadInput(f"machine file {path.name!r}: 'machine' is not a structure.")
    return machine


def _field(content: Mapping[str, Any], name: str, path: Path) -> Any:
    if name not in content:
        raise BadInput(f"machine file {path.name!r}: field {name!r} is missing; it has {sorted(map(str, content))}.")
    return content[name]


def _kernel_rows(row: Mapping[str, Any], path: Path) -> NDArray[np.float64]:
    return np.stack([np.asarray(_field(row, f"kernel{c}", path), np.float64) for c in (1, 2, 3)])
