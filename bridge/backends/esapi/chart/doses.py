"""Doses cross the border here, and only here: Gy inside, the site's unit in Eclipse.

The one idea: a dose of ESAPI carries its unit, and that one is believed; a site's unit is found by looking at such a
dose and never assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from bridge.backends.esapi.reach import access
from bridge.errors import TpsRefused

GY = "Gy"
CGY = "cGy"
_GY_PER_UNIT = {GY: 1.0, CGY: 0.01}


def gy(dose_value: Any) -> float | None:
    """Gy of an absolute DoseValue; None for an undefined one.

    Raises
    ------
    TpsRefused
        It is in percent, or in a unit that is not known here.
    """
    if dose_value is None:
        return None
    unit = unit_of(dose_value)
    amount = float(access.get(dose_value, "Dose"))
    if math.isnan(amount) or unit == "Unknown":
        return None
    if unit not in _GY_PER_UNIT:
        raise TpsRefused(f"Eclipse gave a dose in {unit!r}; Gy or cGy was expected. Show doses as absolute in Eclipse.")
    return amount * _GY_PER_UNIT[unit]


def unit_of(dose_value: Any) -> str:
    """``Gy``, ``cGy``, ``Percent`` or ``Unknown``."""
    return access.enum_name(access.get(dose_value, "Unit"))


def in_gy(amount: float, unit: str) -> float:
    """A number that is known to be in ``unit``."""
    return amount * _GY_PER_UNIT[unit]


def from_gy(dose_gy: float, unit: str) -> float:
    """The number that stands for ``dose_gy`` in ``unit``."""
    return dose_gy / _GY_PER_UNIT[unit]


def dose_value(dose_gy: float, unit: str) -> Any:
    """A DoseValue in the site's unit."""
    return access.dose(from_gy(dose_gy, unit), unit)


def site_unit(plans: Iterable[Any]) -> str | None:
    """The unit in which Eclipse speaks of these plans' doses; None where no dose tells."""
    for plan in plans:
        for name in ("DosePerFraction", "TotalDose"):
            found = access.get(plan, name)
            if found is not None and unit_of(found) in _GY_PER_UNIT:
                return unit_of(found)
    return None
