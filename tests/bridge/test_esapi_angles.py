"""Angles against a table of the three scales, written down as numbers and not as a formula.

The one idea: adapter and emulation would agree about a wrong formula. The table is what the scales are known as:
gantry up is 0 in IEC 61217 and 180 in Varian Standard; Varian IEC is IEC 61217 but for the couch, which counts the
other way.
"""

from __future__ import annotations

from typing import Any

import pytest

from bridge.backends.esapi.chart import angles
from bridge.backends.esapi.reach.site import SiteSettings

Angles = tuple[float, float, float]
TABLE: list[tuple[Angles, Angles, Angles]] = [
    # IEC 61217, then Varian IEC, then Varian Standard: gantry, collimator, couch
    ((30, 10, 20), (30, 10, 340), (150, 170, 160)),
    ((0, 0, 0), (0, 0, 0), (180, 180, 180)),
    ((180, 180, 180), (180, 180, 180), (0, 0, 0)),
    ((90, 90, 90), (90, 90, 270), (90, 90, 90)),
    ((270, 270, 270), (270, 270, 90), (270, 270, 270)),
    ((181, 350, 345), (181, 350, 15), (359, 190, 195)),
    ((359.5, 0.5, 0.5), (359.5, 0.5, 359.5), (180.5, 179.5, 179.5)),
]
SCALES = ("IEC61217", "VarianIEC", "VarianStandard")


@pytest.mark.parametrize("column", range(3), ids=SCALES)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: "{}-{}-{}".format(*row[0]))
def test_each_scale_reads_and_writes_as_the_table(row: tuple[Angles, ...], column: int) -> None:
    scale: Any = SCALES[column]
    site = SiteSettings(angles=scale)
    assert _mapped(site, row[0]) == pytest.approx(row[column])
    assert _mapped(site, row[column]) == pytest.approx(row[0])


@pytest.mark.parametrize("scale", SCALES)
def test_angles_stay_below_360(scale: Any) -> None:
    site = SiteSettings(angles=scale)
    for degrees in (0.0, 180.0, 359.9, 360.0, -10.0):
        assert all(0.0 <= each < 360.0 for each in _mapped(site, (degrees, degrees, degrees)))


def _mapped(site: SiteSettings, beam: Angles) -> Angles:
    return angles.gantry(site, beam[0]), angles.collimator(site, beam[1]), angles.couch(site, beam[2])
