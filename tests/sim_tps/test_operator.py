"""The dose operator: against its closed form and against its own adjoint.

`test_accuracy` holds it against another engine's doses.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.special import erf

from sim_tps.dose.fields import Field, open_field, project
from sim_tps.dose.lateral import LateralMaps
from sim_tps.dose.operator import DoseOperator
from sim_tps.geometry import beam_frame
from sim_tps.machine import Machine, machines

CORNERS = np.array([(x, y, z) for x in (-130.0, 130.0) for y in (-110.0, 210.0) for z in (-130.0, 130.0)])


@pytest.fixture
def machine() -> Machine:
    return machines()["generic-5mm"]


def test_dose_is_the_closed_form(machine: Machine) -> None:
    """With Gaussian kernels a square beamlet's dose is known exactly: images and interpolation cost under 0.2 %."""
    field = _square(5.0, 4)
    points = np.random.default_rng(3).uniform([-40, -90, -40], [40, 190, 40], size=(2000, 3))
    depths = (points[:, 1] + 100.0).astype(np.float32)[None]
    weights = np.random.default_rng(4).random(field.beamlet_count)
    dose = _operator(machine, [field], points, depths).forward(weights)
    exact = _closed_form(machine, field, points, depths[0], weights)
    assert np.abs(dose - exact).max() < 2e-3 * exact.max()


@pytest.mark.parametrize("beamlet_mm", [2.5, 10.0])
def test_other_beamlet_sizes_are_as_exact(machine: Machine, beamlet_mm: float) -> None:
    """The image step adapts to the beamlet, not the accuracy to it."""
    field = _square(beamlet_mm, 3)
    points = np.random.default_rng(5).uniform([-30, -50, -30], [30, 150, 30], size=(1000, 3))
    depths = (points[:, 1] + 100.0).astype(np.float32)[None]
    weights = np.ones(field.beamlet_count)
    dose = _operator(machine, [field], points, depths).forward(weights)
    exact = _closed_form(machine, field, points, depths[0], weights)
    assert np.abs(dose - exact).max() < 2e-3 * exact.max()


@pytest.mark.parametrize("seed", range(5))
def test_adjoint_is_the_transpose(machine: Machine, seed: int) -> None:
    """⟨Ax, y⟩ = ⟨x, Aᵀy⟩ to float32 precision, scaled by the vectors' lengths."""
    operator = _two_beams(machine)
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=operator.shape[1]), rng.normal(size=operator.shape[0])
    forward, back = operator.forward(x).astype(float), operator.adjoint(y).astype(float)
    assert abs(forward @ y - x @ back) < 2e-6 * np.linalg.norm(forward) * np.linalg.norm(y)


def test_single_entries_of_the_adjoint(machine: Machine) -> None:
    """Row by row: at the surface, at the field's edge, far outside, for first and last beamlet."""
    operator = _two_beams(machine)
    matrix = operator.as_matrix()
    for point in (0, 1, 2, 3, operator.shape[0] - 1):
        unit = np.zeros(operator.shape[0])
        unit[point] = 1.0
        assert operator.adjoint(unit) == pytest.approx(matrix[point], abs=1e-6 * float(matrix.max()))


def test_matrix_and_superposition(machine: Machine) -> None:
    """The dose of a sum of beamlets is the sum of their doses."""
    operator = _two_beams(machine)
    weights = np.random.default_rng(7).random(operator.shape[1])
    assert operator.forward(weights) == pytest.approx(operator.as_matrix() @ weights, rel=1e-4, abs=1e-6)


def test_inverse_square(machine: Machine) -> None:
    """At equal radiological depth and equal projection, dose falls with the squared distance from the source."""
    field = _square(5.0, 3)
    points = np.array([[0.0, -100.0, 0.0], [0.0, 0.0, 0.0], [0.0, 150.0, 0.0]])
    dose = _operator(machine, [field], points, np.full((1, 3), 50.0, np.float32)).forward(np.ones(9))
    assert dose * np.array([0.9, 1.0, 1.15]) ** 2 == pytest.approx(np.full(3, dose[1]), rel=1e-5)


def test_direction_does_not_matter(machine: Machine) -> None:
    """The same points in the field's own axes get the same dose from any gantry, couch and collimator angle."""
    own = np.random.default_rng(8).uniform(-40, 40, size=(200, 3))
    depths = np.full((1, 200), 60.0, np.float32)
    weights = np.random.default_rng(9).random(20)
    doses = []
    for gantry, collimator, couch in ((0, 0, 0), (90, 0, 0), (140, 30, 0), (225, 0, 90), (30, 75, 315)):
        frame = beam_frame((5.0, -3.0, 2.0), gantry, collimator, couch, 1000.0)
        field = open_field(frame, 5.0, (-10.0, -7.5), (4, 5))
        axes = np.array([frame.x_axis, frame.y_axis, frame.z_axis])
        points = own @ axes + np.array(frame.isocentre_mm)
        doses.append(_operator(machine, [field], points, depths).forward(weights))
    for other in doses[1:]:
        assert other == pytest.approx(doses[0], rel=2e-4, abs=1e-5)


def test_reference_condition(machine: Machine) -> None:
    """A 100 mm field of fluence 1 gives 1 Gy at the isocentre, 50 mm deep, skin distance 950 mm."""
    field = _square(5.0, 20)
    point = np.zeros((1, 3))
    dose = _operator(machine, [field], point, np.full((1, 1), 50.0, np.float32)).forward(np.ones(400))
    assert dose == pytest.approx([1.0], rel=0.01)


def test_no_dose_where_nothing_was_passed(machine: Machine) -> None:
    """Radiological depth 0 (air before the skin) means no dose."""
    operator = _operator(machine, [_square(5.0, 3)], np.zeros((2, 3)), np.array([[0.0, 10.0]], np.float32))
    dose = operator.forward(np.ones(9))
    assert dose[0] == 0.0 < dose[1]


def test_far_from_the_field_dose_fades_but_is_not_cut(machine: Machine) -> None:
    """80 and 120 mm beside a field there is scatter, less with distance, and never negative enough to matter."""
    points = np.array([[80.0, 0.0, 0.0], [120.0, 0.0, 0.0]])
    dose = _operator(machine, [_square(5.0, 8)], points, np.full((1, 2), 100.0, np.float32)).forward(np.ones(64))
    assert 0.05 > dose[0] > dose[1] > 1e-3


def test_calls_from_several_threads(machine: Machine) -> None:
    """Passes asked for at the same time from four threads give what they give one by one."""
    operator = _two_beams(machine)
    weights = np.random.default_rng(10).random((8, operator.shape[1]))
    one_by_one = [operator.adjoint(operator.forward(w)) for w in weights]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda w: operator.adjoint(operator.forward(w)), weights))
    assert np.array_equal(one_by_one, together)


def _square(beamlet_mm: float, count: int) -> Field:
    first = -0.5 * beamlet_mm * (count - 1)
    return open_field(beam_frame((0, 0, 0), 0, 0, 0, 1000.0), beamlet_mm, (first, first), (count, count))


def _operator(machine: Machine, fields: list[Field], points: np.ndarray, depths: np.ndarray) -> DoseOperator:
    maps = LateralMaps(machine, fields, [machine.kernel_at(900.0)] * len(fields), CORNERS)
    return DoseOperator(machine, maps, points, depths)


def _two_beams(machine: Machine) -> DoseOperator:
    """Points: at the surface, at the field's edge, far outside, on the axis, then anywhere."""
    fields = [
        open_field(beam_frame((0, 0, 0), gantry, 10.0, couch, 1000.0), 5.0, (-10.0, -5.0), (3, 5))
        for gantry, couch in ((0.0, 0.0), (70.0, 30.0))
    ]
    special = np.array([[0.0, -99.9, 0.0], [12.5, 0.0, 0.0], [90.0, 50.0, -80.0], [0.0, 0.0, 0.0]])
    points = np.concatenate([special, np.random.default_rng(6).uniform(-60, 60, size=(300, 3))])
    depths = np.random.default_rng(7).uniform(0.1, 200.0, size=(2, len(points))).astype(np.float32)
    return _operator(machine, fields, points, depths)


def _closed_form(
    machine: Machine, field: Field, points: np.ndarray, depths: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The readable twin: each beamlet, each Gaussian, one product of error functions."""
    u, v = project(field.frame, machine.sad_mm, points)
    distance = np.linalg.norm(points - np.array(field.frame.source_mm), axis=1)
    terms = machine.depth_terms(depths)
    kernel = machine.kernels[0]
    rows, columns = np.nonzero(field.is_open)
    total = np.zeros(len(points))
    for weight, row, column in zip(weights, rows, columns, strict=True):
        x = u - field.first_centre_mm[0] - column * field.beamlet_mm
        y = v - field.first_centre_mm[1] - row * field.beamlet_mm
        for j, sigma in enumerate(kernel.sigmas_mm):
            width = np.sqrt(2.0) * np.hypot(sigma, machine.source_sigma_mm)
            share = 0.25 * _edges(x, field.beamlet_mm, width) * _edges(y, field.beamlet_mm, width)
            total += weight * (terms @ kernel.weights[:, j]) * share
    return total * (machine.sad_mm / distance) ** 2


def _edges(position: np.ndarray, side: float, width: float) -> np.ndarray:
    return erf((position + side / 2) / width) - erf((position - side / 2) / width)
