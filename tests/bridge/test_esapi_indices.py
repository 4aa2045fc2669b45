"""Plan indices from volumes and doses: the simulator's numbers, and refusals where a ratio has no meaning."""

from __future__ import annotations

import numpy as np
import pytest

from bridge import errors
from bridge.backends.esapi.reading import indices
from sim_tps import indices as reference
from sim_tps.dvh import DoseVolume

REFERENCE_GY = 50.0


def volume(name: str, dose_gy: list[float], sample_cc: float) -> DoseVolume:
    doses = np.sort(np.array(dose_gy, np.float32))
    return DoseVolume(name, doses, np.full(doses.size, sample_cc, np.float32), 100.0, float(doses[-1]))


TARGET = volume("PTV", list(np.linspace(46.0, 56.0, 101)), 0.5)
BODY = volume("BODY", [*np.linspace(46.0, 56.0, 101), *np.linspace(0.0, 52.0, 400)], 0.5)


def test_conformity_is_the_simulators() -> None:
    tv_cc, piv_cc, tv_piv_cc = TARGET.volume_cc, BODY.volume_at(REFERENCE_GY), TARGET.volume_at(REFERENCE_GY)
    assert indices.conformity_paddick(tv_cc, piv_cc, tv_piv_cc) == pytest.approx(
        reference.conformity_paddick(TARGET, BODY, REFERENCE_GY)
    )
    assert indices.conformity_rtog(tv_cc, piv_cc) == pytest.approx(
        reference.conformity_rtog(TARGET, BODY, REFERENCE_GY)
    )


def test_fall_off_indices_are_the_simulators() -> None:
    piv_cc, half_cc = BODY.volume_at(REFERENCE_GY), BODY.volume_at(REFERENCE_GY / 2)
    assert indices.gradient_paddick(piv_cc, half_cc, REFERENCE_GY) == pytest.approx(
        reference.gradient_paddick(BODY, REFERENCE_GY)
    )
    assert indices.r50(TARGET.volume_cc, half_cc) == pytest.approx(reference.r50(TARGET, BODY, REFERENCE_GY))


def test_homogeneity_is_the_simulators() -> None:
    d2_gy, d98_gy, d50_gy = (TARGET.dose_at_percent(percent) for percent in (2.0, 98.0, 50.0))
    assert indices.homogeneity_icru83(d2_gy, d98_gy, d50_gy) == pytest.approx(reference.homogeneity_icru83(TARGET))
    assert indices.homogeneity_rtog(TARGET.max, REFERENCE_GY) == pytest.approx(
        reference.homogeneity_rtog(TARGET, REFERENCE_GY)
    )


def test_dose_that_misses_has_conformity_zero() -> None:
    assert indices.conformity_paddick(10.0, 0.0, 0.0) == 0.0
    assert indices.conformity_rtog(10.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("senseless", "words"),
    [
        (lambda: indices.gradient_paddick(0.0, 4.0, 50.0), "no volume of the body gets the reference dose of 50 Gy"),
        (lambda: indices.homogeneity_icru83(1.0, 0.0, 0.0), "median dose is 0 Gy"),
        (lambda: indices.homogeneity_rtog(60.0, 0.0), "expected above 0"),
    ],
)
def test_ratio_without_meaning_is_refused(senseless: object, words: str) -> None:
    with pytest.raises(errors.InvalidField, match=words):
        senseless()  # type: ignore[operator]
