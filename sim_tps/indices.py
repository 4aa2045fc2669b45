"""Plan indices: how well a dose fits its target, each with its formula and where it is from.

TV is the target's volume, PIV the volume of the body that gets at least the reference dose, TV_PIV their overlap. The
body is whatever structure the isodose is counted in: the External, or a region around one of several targets, because
a PIV that also holds another target's isodose says nothing about this one.
"""

from __future__ import annotations

from sim_tps.dvh import DoseVolume
from sim_tps.errors import BadInput


def conformity_paddick(target: DoseVolume, body: DoseVolume, reference_gy: float) -> float:
    """TV_PIV² / (TV · PIV); 1 is ideal, 0 a dose that misses.

    References
    ----------
    Paddick, J. Neurosurg. 93 Suppl. 3 (2000) 219-222; ICRU Report 91 (2014).
    """
    piv_cc = body.volume_at(reference_gy)
    if piv_cc <= 0.0:
        return 0.0
    return target.volume_at(reference_gy) ** 2 / (target.volume_cc * piv_cc)


def conformity_rtog(target: DoseVolume, body: DoseVolume, reference_gy: float) -> float:
    """PIV / TV; 1 is ideal, more is spill; blind to where the isodose lies.

    References
    ----------
    Shaw et al., Int. J. Radiat. Oncol. Biol. Phys. 27 (1993) 1231-1239.
    """
    return body.volume_at(reference_gy) / target.volume_cc


def gradient_paddick(body: DoseVolume, reference_gy: float) -> float:
    """PIV at half the reference dose over PIV; about 3 or less is steep.

    References
    ----------
    Paddick and Lippitz, J. Neurosurg. 105 Suppl. (2006) 194-201.
    """
    piv_cc = body.volume_at(reference_gy)
    if piv_cc <= 0.0:
        raise BadInput(
            f"gradient index of {body.name!r}: no volume gets the reference dose of {reference_gy:g} Gy "
            f"(hottest {body.max:.2f} Gy); normalise the plan or lower the reference dose."
        )
    return body.volume_at(reference_gy / 2.0) / piv_cc


def r50(target: DoseVolume, body: DoseVolume, reference_gy: float) -> float:
    """PIV at half the reference dose over TV.

    References
    ----------
    RTOG 0915 protocol (Videtic et al., Int. J. Radiat. Oncol. Biol. Phys. 93 (2015) 757-764).
    """
    return body.volume_at(reference_gy / 2.0) / target.volume_cc


def homogeneity_icru83(target: DoseVolume) -> float:
    """(D2% - D98%) / D50%; 0 is ideal.

    References
    ----------
    ICRU Report 83, J. ICRU 10 (2010), section 3.7.1.
    """
    median_gy = target.dose_at_percent(50.0)
    if median_gy <= 0.0:
        raise BadInput(f"homogeneity index of {target.name!r}: its median dose is 0 Gy, so the ratio has no meaning.")
    return (target.dose_at_percent(2.0) - target.dose_at_percent(98.0)) / median_gy


def homogeneity_rtog(target: DoseVolume, reference_gy: float) -> float:
    """Highest dose in the target over the reference dose; up to 2 is usual in radiosurgery.

    References
    ----------
    Shaw et al., Int. J. Radiat. Oncol. Biol. Phys. 27 (1993) 1231-1239.
    """
    if reference_gy <= 0.0:
        raise BadInput(f"homogeneity index of {target.name!r}: reference dose {reference_gy:g} Gy, expected above 0.")
    return target.max / reference_gy
