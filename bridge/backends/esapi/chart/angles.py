"""Angles cross the border here: IEC 61217 inside, the scale that ESAPI speaks in Eclipse.

The one idea: ESAPI gives numbers without a scale, so the site says which it is (``angles`` in section [site]). Varian
IEC has the couch the other way round; Varian Standard has gantry, collimator and couch the other way round, from 180.
Each map is its own inverse, so one function serves both ways.
"""

from __future__ import annotations

from bridge.backends.esapi.reach.site import SiteSettings

IEC61217 = "IEC61217"
VARIAN_IEC = "VarianIEC"
VARIAN_STANDARD = "VarianStandard"


def gantry(site: SiteSettings, degrees: float) -> float:
    return _from_180(degrees) if site.angles == VARIAN_STANDARD else degrees % 360.0


def collimator(site: SiteSettings, degrees: float) -> float:
    return _from_180(degrees) if site.angles == VARIAN_STANDARD else degrees % 360.0


def couch(site: SiteSettings, degrees: float) -> float:
    if site.angles == VARIAN_STANDARD:
        return _from_180(degrees)
    return (360.0 - degrees if site.angles == VARIAN_IEC else degrees) % 360.0


def _from_180(degrees: float) -> float:
    return (180.0 - degrees) % 360.0
