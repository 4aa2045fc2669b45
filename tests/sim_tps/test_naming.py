"""Names: from the many spellings to TG-263, and from the name to what a structure is for."""

from __future__ import annotations

import pytest

from sim_tps.naming import clean_name, guess_role, tg263_name
from sim_tps.patient import Role


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("PTV70", "PTV_7000"),
        ("PTV_68", "PTV_6800"),
        ("ptv 54.25", "PTV_5425"),
        ("PTV5600cGy", "PTV_5600"),
        ("PTV_70Gy", "PTV_7000"),
        ("CTV", "CTV"),
        ("gtv1", "GTV1"),
        ("PTVp_High", "PTVp_High"),
        ("RightParotid", "Parotid_R"),
        ("PAROTID_LT", "Parotid_L"),
        ("Parotids", "Parotids"),
        ("Mandible", "Bone_Mandible"),
        ("BRAIN_STEM", "Brainstem"),
        ("BRSTEM", "Brainstem"),
        ("Lt_femoral_head", "Femur_Head_L"),
        ("Femoral Head RT", "Femur_Head_R"),
        ("Optic Nerve-Lt", "OpticNrv_L"),
        ("Lens - right", "Lens_R"),
        ("Optic Chiasm", "OpticChiasm"),
        ("BODY", "External"),
        ("External_derived", "External"),
        ("SpinalCord_PRV05", "SpinalCord_PRV05"),
        ("Cord+5mm", "SpinalCord_PRV05"),
    ],
)
def test_spellings_of_one_name(spelling, name):
    """What clinics and data sets write comes out as the TG-263 name."""
    assert tg263_name(spelling) == name


@pytest.mark.parametrize(
    "name", ["External", "PTV_7000", "Parotid_L", "Bone_Mandible", "Glnd_Submand_R", "Larynx_SG", "OpticNrv_L"]
)
def test_a_tg263_name_stays_itself(name):
    """A name that is right already is not changed."""
    assert tg263_name(name) == name


@pytest.mark.parametrize(
    "name", ["Core", "OuterTarget", "zPTV_7000", "_Parotid_L", "Rectum-PTV", "Parotid", "Heart_L", "PTV01", ""]
)
def test_what_is_not_known_is_not_guessed(name):
    """Helpers, combinations, sides that are missing or make no sense: no TG-263 name."""
    assert tg263_name(name) is None


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("PTV70", Role.TARGET),
        ("OuterTarget", Role.TARGET),
        ("CTV_boost", Role.TARGET),
        ("Rectum", Role.OAR),
        ("SpinalCord_PRV05", Role.OAR),
        ("Core", Role.OAR),
        ("Rectum-PTV", Role.OAR),
        ("BODY", Role.EXTERNAL),
        ("CouchSurface", Role.SUPPORT),
        ("Table top", Role.SUPPORT),
        ("zRing_0_10", Role.HELPER),
        ("zPTV_56", Role.HELPER),
        ("Dose 5200[cGy]", Role.HELPER),
    ],
)
def test_roles_by_name(name, role):
    """What a structure is for, when only its name tells."""
    assert guess_role(name) is role


def test_cleaning_keeps_a_name_harmless():
    """Control and direction characters go, anything unusual becomes an underscore, and the length is bounded."""
    assert clean_name("Dose 5200[cGy]") == "Dose_5200_cGy"
    assert clean_name("PTV\u202e\x00 70") == "PTV_70"
    assert len(clean_name("x" * 500)) == 64
