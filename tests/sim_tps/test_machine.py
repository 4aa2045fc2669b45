"""Machine data: the built-in beam against the measurements it was fitted to, and others; matRad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from sim_tps.errors import BadInput
from sim_tps.machine import Machine, machines, matrad_machine
from sim_tps.machines.fit import DEPTHS_MM, SIDES_MM, Measurements, axis_dose, fit


@pytest.fixture
def machine() -> Machine:
    return machines()["generic-5mm"]


def test_beam_follows_the_beam_it_was_fitted_to(machine: Machine) -> None:
    """Output factors 50 mm deep of a Siemens Artiste 6 MV (DKFZ 2009; see the machine's sources), to 1.5 %."""
    sides, measured = np.array([10.1, 19.8, 50.0, 200.0]), np.array([0.705, 0.835, 0.925, 1.066])
    dose = axis_dose(machine, np.array([50.0]), np.append(sides, 100.0))[0]
    assert dose[:-1] / dose[-1] == pytest.approx(measured, rel=0.015)


def test_fit_finds_a_beam_again(machine: Machine) -> None:
    """Given the dose of a known beam as measurement, the fit follows it to 0.5 % at every depth and field."""
    depths, sides, small = np.array(DEPTHS_MM, float), np.array(SIDES_MM, float), np.array([6.0, 14.0])
    dose = axis_dose(machine, depths, sides)
    known = Measurements(depths, sides, dose, small, axis_dose(machine, np.array([50.0]), small)[0])
    assert axis_dose(fit(known), depths, sides) == pytest.approx(dose, rel=0.005)


def test_output_factors_of_other_machines_of_that_class(machine: Machine) -> None:
    """Followill et al. 2012 (doi:10.1120/jacmp.v13i5.3962), table 3, Siemens 6 MV, 10 cm deep: not used in the fit."""
    sides, measured = np.array([30.0, 40.0, 60.0]), np.array([0.820, 0.855, 0.914])
    dose = axis_dose(machine, np.array([100.0]), np.append(sides, 100.0))[0]
    assert dose[:-1] / dose[-1] == pytest.approx(measured, rel=0.02)


def test_beam_quality(machine: Machine) -> None:
    """TPR20,10 is the measured 0.682 within 1.5 %; PDD(10 cm), 10 × 10 cm², SSD 100 cm, is 6 MV's 66 to 67 %."""
    at_100, at_200 = axis_dose(machine, np.array([100.0, 200.0]), np.array([100.0]))[:, 0]
    assert at_200 / at_100 == pytest.approx(0.5761 / 0.8452, rel=0.015)
    depths = np.arange(5.0, 101.0, 0.5)
    curve = axis_dose(machine, depths, np.array([100.0]))[:, 0] * (1000.0 / (1000.0 + depths)) ** 2
    assert 65.5 < 100.0 * curve[-1] / curve.max() < 67.5


def test_both_heads_carry_the_same_beam_and_their_leaves_fill_the_field() -> None:
    """The heads differ in leaves only, and leaf widths add up to the field's length."""
    five, fine = machines()["generic-5mm"], machines()["generic-2.5mm"]
    assert five.attenuation_per_mm == fine.attenuation_per_mm
    assert (five.head.leaf_width_mm, fine.head.leaf_width_mm) == (5.0, 2.5)
    assert (five.head.max_field_mm, fine.head.max_field_mm) == ((400.0, 400.0), (400.0, 220.0))
    for machine in (five, fine):
        assert np.ptp(machine.head.leaf_edges_mm) == machine.head.max_field_mm[1]
        assert len(machine.head.leaf_edges_mm) == machine.head.pair_count + 1 == 61
        assert all(machine.sources)


@pytest.mark.parametrize("offset", [0.0, 1e-13, 1e-9, 1e-5])
def test_depth_terms_are_exact_where_build_up_meets_attenuation(machine: Machine, offset: float) -> None:
    """At β = m the term is m·d·e^{−m·d}; next to it, that plus the first correction."""
    m = 0.005
    near = _with_terms(machine, m, m * (1 + offset))
    depth = np.array([0.1, 10.0, 300.0])
    x = m * offset * depth
    exact = m * (1 + offset) * depth * np.exp(-m * depth) * (1 - x / 2)
    assert near.depth_terms(depth)[:, 2] == pytest.approx(exact, rel=1e-9)


def test_depth_terms_are_the_published_ones(machine: Machine) -> None:
    """Away from β = m the stable form equals β/(β−m)·(e^{−m·d} − e^{−β·d})."""
    depth = np.linspace(0.5, 300.0, 40)
    m, beta = machine.attenuation_per_mm, np.array(machine.build_up_per_mm)
    plain = beta / (beta - m) * (np.exp(-m * depth[:, None]) - np.exp(-beta * depth[:, None]))
    assert machine.depth_terms(depth) == pytest.approx(plain, rel=1e-10)


def test_old_matrad_kernels_are_multiplied_by_four(tmp_path: Path) -> None:
    """A version 1 file with a quarter of the kernel values is the same machine as a version 2 file."""
    new = matrad_machine(_matrad_file(tmp_path / "new.mat", version=2, factor=1.0))
    old = matrad_machine(_matrad_file(tmp_path / "old.mat", version=1, factor=0.25))
    for kernel_new, kernel_old in zip(new.kernels, old.kernels, strict=True):
        one, other = (kernel.profiles(2.1, 5.0, 2.5) for kernel in (kernel_new, kernel_old))
        assert one.values == pytest.approx(other.values)
        assert one.mix == pytest.approx(other.mix)


def test_kernel_nearest_to_the_skin_distance(tmp_path: Path) -> None:
    """Of kernels for 900 and 950 mm, 920 mm takes the first and 930 mm the second."""
    machine = matrad_machine(_matrad_file(tmp_path / "m.mat", version=2, factor=1.0))
    assert machine.kernel_at(920.0) is machine.kernels[0]
    assert machine.kernel_at(930.0) is machine.kernels[1]


def test_a_matrad_machine_gets_the_built_in_head(tmp_path: Path) -> None:
    """Such files know no leaves; the machine says whose it has."""
    machine = matrad_machine(_matrad_file(tmp_path / "m.mat", version=2, factor=1.0))
    assert machine.head == machines()["generic-5mm"].head
    assert any("head: not in the file" in source for source in machine.sources)


@pytest.mark.parametrize("missing", ["m", "betas", "kernel", "kernelPos", "penumbraFWHMatIso"])
def test_a_missing_field_is_named(tmp_path: Path, missing: str) -> None:
    """A machine file without a field is refused by that field's name."""
    with pytest.raises(BadInput, match=f"'{missing}' is missing"):
        matrad_machine(_matrad_file(tmp_path / "m.mat", version=2, factor=1.0, leave_out=missing))


def test_a_file_that_is_no_machine_is_refused(tmp_path: Path) -> None:
    """Text, an absent file, and a MATLAB file without a machine each say what is wrong."""
    text = tmp_path / "text.mat"
    text.write_text("not a machine " * 40)
    empty = tmp_path / "empty.mat"
    savemat(empty, {"something": 1})
    for path, words in ((text, "cannot be read"), (tmp_path / "no.mat", "no machine file"), (empty, "'machine'")):
        with pytest.raises(BadInput, match=words):
            matrad_machine(path)


@pytest.mark.data
def test_real_matrad_file(shared_data: Path) -> None:
    """The generic machine that matRad ships: 501 kernels, SAD 1000 mm, and its kernel integrals."""
    machine = matrad_machine(shared_data / "machines" / "photons_Generic.mat")
    assert (len(machine.kernels), machine.sad_mm, machine.kernel_ssd_mm[0]) == (501, 1000.0, 500.0)
    assert machine.source_sigma_mm == pytest.approx(5.0 / 2.354820, rel=1e-6)


def _with_terms(machine: Machine, m: float, beta: float) -> Machine:
    values = {name: getattr(machine, name) for name in Machine.__dataclass_fields__}
    return Machine(**(values | {"attenuation_per_mm": m, "build_up_per_mm": (0.3, 0.02, beta)}))


def _matrad_file(path: Path, *, version: int, factor: float, leave_out: str = "") -> Path:
    radius = np.arange(0.0, 20.0, 0.5)
    shape = factor * np.exp(-radius / 3.0)
    rows = [{"SSD": s, "kernel1": shape, "kernel2": 0.1 * shape, "kernel3": 0.2 * shape} for s in (900.0, 950.0)]
    data = {
        "energy": 6.0,
        "m": 0.005,
        "betas": np.array([0.3, 0.02, 0.006]),
        "penumbraFWHMatIso": 5.0,
        "kernelPos": radius,
        "kernel": rows,
    }
    data.pop(leave_out, None)
    machine = {"meta": {"SAD": 1000.0, "name": "Small"}, "data": data, "version": version}
    savemat(path, {"machine": machine})
    return path
