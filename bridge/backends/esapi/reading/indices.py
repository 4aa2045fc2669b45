"""Plan indices: how well a dose fits its target, each with its formula and where it is from.

The one idea: every index is a ratio of a few volumes and doses that the TPS gives, so nothing here knows a TPS. TV is
the target's volume, PIV the volume of the body that gets at least the reference dose, TV_PIV the target's part of it.
"""

from __future__ import annotations

from bridge import errors


def conformity_paddick(tv_cc: float, piv_cc: float, tv_piv_cc: float) -> float:
    """TV_PIV² / (TV · PIV); 1 is ideal, 0 a dose that misses.

    References
    ----------
    Paddick, J. Neurosurg. 93 Suppl. 3 (2000) 219-222; ICRU Report 91 (2014).
    """
    return 0.0 if piv_cc <= 0.0 else tv_piv_cc**2 / (tv_cc * piv_cc)


def conformity_rtog(tv_cc: float, piv_cc: float) -> float:
    """PIV / TV; 1 is ideal, more is spill; blind to where the isodose lies.

    References
    ----------
    Shaw et al., Int. J. Radiat. Oncol. Biol. Phys. 27 (1993) 1231-1239.
    """
    return piv_cc / tv_cc


def gradient_paddick(piv_cc: float, half_piv_cc: float, reference_gy: float) -> float:
    """PIV at half the reference dose over PIV; about 3 or less is steep.

    References
    ----------
    Paddick and Lippitz, J. Neurosurg. 105 Suppl. (2006) 194-201.
    """
    if piv_cc <= 0.0:
        raise errors.InvalidField(
            f"gradient index: no volume of the body gets the reference dose of {reference_gy:g} Gy; normalise the plan "
            "or lower the reference dose."
        )
    return half_piv_cc / piv_cc


def r50(tv_cc: float, half_piv_cc: float) -> float:
    """PIV at half the reference dose over TV.

    References
    ----------
    RTOG 0915 protocol (Videtic et al., Int. J. Radiat. Oncol. Biol. Phys. 93 (2015) 757-764).
    """
    return half_piv_cc / tv_cc


def homogeneity_icru83(d2_gy: float, d98_gy: float, d50_gy: float) -> float:
    """(D2% - D98%) / D50%; 0 is ideal.

    References
    ----------
    ICRU Report 83, J. ICRU 10 (2010), section 3.7.1.
    """
    if d50_gy <= 0.0:
        raise errors.InvalidField(
            "homogeneity index: the structure's median dose is 0 Gy, so the ratio has no meaning; choose a target."
        )
    return (d2_gy - d98_gy) / d50_gy


def homogeneity_rtog(max_gy: float, reference_gy: float) -> float:
    """Highest dose in the target over the reference dose; up to 2 is usual in radiosurgery.

    References
    ----------
    Shaw et al., Int. J. Radiat. Oncol. Biol. Phys. 27 (1993) 1231-1239.
    """
    if reference_gy <= 0.0:
        raise errors.InvalidField(f"homogeneity index: reference dose {reference_gy:g} Gy, expected above 0.")
    return max_gy / reference_gy
