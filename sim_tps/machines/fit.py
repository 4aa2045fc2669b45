"""Fit the generic 6 MV beam to published measurements: ``python -m sim_tps.machines.fit FOLDER``.

FOLDER is ``referenceData`` of github.com/e0404/photonPencilBeamKernelCalc (commit c2296dd, MIT): ``tpr.dat`` and
``of.dat`` of a Siemens Artiste 6 MV, measured at DKFZ Heidelberg. The measurements are not part of this project, only
the fitted constants are. Of the table the depths and fields below are used, to three decimals.

On the axis of a square field of side A, with the point at the isocentre, dose is linear in the kernel weights:

    D(d, A) = Σ_c Σ_j w_cj · depth term_c(d) · erf(A / (2√2 s_j))²        s_j² = sigma_j² + source blur²

So for given attenuation, build-up constants and source blur the weights follow from linear least squares (relative
residuals, lightly damped); the five constants themselves from a simplex search. Measured is output factor × TPR, from
6 mm depth on: the electron contamination before that has no term in this model. What the collimator scatters is part of
the measured output factors, and so of the kernel.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import erf

from sim_tps.dose.kernels import GaussianKernel
from sim_tps.machine import Machine, heads

FOLDER = Path(__file__).parent
SIGMAS_MM = np.array([0.0, 3.0, 8.0, 20.0, 50.0, 110.0])
REFERENCE_DEPTH_MM = 50.0
DEPTHS_MM = (
    6,
    8,
    10,
    12,
    14,
    16,
    20,
    30,
    40,
    50,
    60,
    70,
    80,
    90,
    100,
    120,
    140,
    160,
    180,
    200,
    220,
    240,
    260,
    280,
    300,
)
SIDES_MM = (10, 20, 30, 40, 60, 100, 150, 200, 300, 400)
_START = (0.005, 0.3, 0.016, 0.006, 2.1)
"""Attenuation, three build-up constants (1/mm), source blur (mm): the order of magnitude of any 6 MV beam."""
_DAMPING = 1e-3
_SMALL_FIELD_WEIGHT = 3.0
"""Residuals of the output factors below 20 mm count this often: they fix the source blur."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """Dose on the axis at the isocentre, 1 for a 100 mm field at 50 mm depth."""

    depths_mm: NDArray[np.float64]
    sides_mm: NDArray[np.float64]
    dose: NDArray[np.float64]
    """Shape (depths, sides)."""
    small_sides_mm: NDArray[np.float64]
    small_dose: NDArray[np.float64]
    """Output factors of the fields below 20 mm that have no TPR of their own."""


def read_measurements(folder: Path) -> Measurements:
    """Output factor × TPR at the chosen depths and fields."""
    table, output = np.loadtxt(folder / "tpr.dat"), np.loadtxt(folder / "of.dat")
    output_sides, output_factors = _rounded(output[:, 0], 1), _rounded(output[:, 1], 3)
    rows = 1 + np.searchsorted(table[1:, 0], DEPTHS_MM)
    columns = 1 + np.searchsorted(table[0, 1:], SIDES_MM)
    ratio = _rounded(table[np.ix_(rows, columns)], 3)
    sides = np.array(SIDES_MM, float)
    dose = ratio * np.interp(sides, output_sides, output_factors)
    small = (output_sides < 19.0) & (np.abs(output_sides - 10.0) > 0.5)
    return Measurements(np.array(DEPTHS_MM, float), sides, dose, output_sides[small], output_factors[small])


def _rounded(values: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Rounded as decimal numbers are (numpy scales first, and so decides some halves otherwise)."""
    return np.array([round(float(value), decimals) for value in values.flat]).reshape(values.shape)


def fit(measured: Measurements) -> Machine:
    """The beam that follows the measurements best."""

    def misfit(logarithms: NDArray[np.float64]) -> float:
        return _weights(measured, np.exp(logarithms))[1]

    start: NDArray[np.float64] = np.log(np.array(_START))
    constants = np.exp(minimize(misfit, start, method="Nelder-Mead", tol=1e-6).x)
    return _machine(constants, _weights(measured, constants)[0])


def axis_dose(machine: Machine, depths_mm: NDArray[np.float64], sides_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """The model on the axis at the isocentre, shape (depths, sides)."""
    (kernel,) = machine.kernels
    assert isinstance(kernel, GaussianKernel)
    inside = _share_on_axis(sides_mm, kernel.sigmas_mm, machine.source_sigma_mm)
    return machine.depth_terms(depths_mm) @ kernel.weights @ inside


def main() -> None:
    """Fit, write ``generic_6mv.json``, and say how well it follows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder that holds tpr.dat and of.dat")
    measured = read_measurements(parser.parse_args().folder)
    machine = fit(measured)
    error = axis_dose(machine, measured.depths_mm, measured.sides_mm) / measured.dose - 1.0
    small = axis_dose(machine, np.array([REFERENCE_DEPTH_MM]), measured.small_sides_mm)[0] / measured.small_dose - 1.0
    (kernel,) = machine.kernels
    assert isinstance(kernel, GaussianKernel)
    content = {
        "energy": "6X",
        "sad_mm": machine.sad_mm,
        "attenuation_per_mm": round(machine.attenuation_per_mm, 8),
        "build_up_per_mm": [round(b, 8) for b in machine.build_up_per_mm],
        "source_sigma_mm": round(machine.source_sigma_mm, 4),
        "kernel": {
            "ssd_mm": 950.0,
            "sigmas_mm": kernel.sigmas_mm.tolist(),
            "weights": np.round(kernel.weights, 7).tolist(),
        },
        "unit": machine.unit,
        "sources": list(machine.sources),
        "fit": {
            "root_mean_square_percent": round(100 * float(np.sqrt((error**2).mean())), 2),
            "largest_percent": round(100 * float(np.abs(error).max()), 2),
            "small_fields_largest_percent": round(100 * float(np.abs(small).max()), 2),
        },
    }
    (FOLDER / "generic_6mv.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _weights(measured: Measurements, constants: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Best kernel weights for given constants, and the sum of squared residuals."""
    model = _machine(constants, np.zeros((3, len(SIGMAS_MM))))
    rows = [
        _design(model, measured.depths_mm, measured.sides_mm) / measured.dose.reshape(-1, 1),
        _design(model, np.array([REFERENCE_DEPTH_MM]), measured.small_sides_mm)
        / measured.small_dose[:, None]
        * _SMALL_FIELD_WEIGHT,
    ]
    wanted = np.concatenate([np.ones(len(rows[0])), np.full(len(rows[1]), _SMALL_FIELD_WEIGHT)])
    matrix = np.vstack(rows)
    count = matrix.shape[1]
    damping = _DAMPING * np.sqrt(len(wanted)) * np.eye(count)
    weights = np.linalg.lstsq(np.vstack([matrix, damping]), np.concatenate([wanted, np.zeros(count)]), rcond=None)[0]
    return weights.reshape(3, -1), float(((matrix @ weights - wanted) ** 2).sum())


def _design(model: Machine, depths_mm: NDArray[np.float64], sides_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dose per kernel weight, shape (depths × sides, 3 × Gaussians)."""
    inside = _share_on_axis(sides_mm, SIGMAS_MM, model.source_sigma_mm)
    design = np.einsum("dc,ja->dacj", model.depth_terms(depths_mm), inside)
    return np.asarray(design).reshape(len(depths_mm) * len(sides_mm), -1)


def _share_on_axis(
    sides_mm: NDArray[np.float64], sigmas_mm: NDArray[np.float64], source_sigma_mm: float
) -> NDArray[np.float64]:
    """A Gaussian ⊗ source ⊗ square field, on the axis, shape (Gaussians, sides)."""
    width = np.sqrt(sigmas_mm**2 + source_sigma_mm**2)
    return np.asarray(erf(sides_mm / (2 * np.sqrt(2) * width[:, None]))) ** 2


def _machine(constants: NDArray[np.float64], weights: NDArray[np.float64]) -> Machine:
    attenuation, b0, b1, b2, source_sigma = (float(c) for c in constants)
    return Machine(
        id="fit",
        label="fit",
        energies=("6X",),
        sad_mm=1000.0,
        attenuation_per_mm=attenuation,
        build_up_per_mm=(b0, b1, b2),
        source_sigma_mm=source_sigma,
        kernels=(GaussianKernel(weights, SIGMAS_MM),),
        kernel_ssd_mm=(950.0,),
        head=heads()["generic-5mm"],
        unit="1 Gy at the isocentre for a 100 × 100 mm² field of fluence 1, 50 mm deep in water, skin distance 950 mm",
        sources=(
            "beam: fitted by sim_tps/machines/fit.py to TPR and output factors of a Siemens Artiste 6 MV measured at "
            "DKFZ Heidelberg 2008-2009 (github.com/e0404/photonPencilBeamKernelCalc, commit c2296dd, MIT)",
        ),
    )


if __name__ == "__main__":
    main()
