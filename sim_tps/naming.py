"""What a structure is called and what it is for, read from the name alone.

The one idea: a name is split into words, a side and an organ ("Lt_femoral_head" is left + femoral head), and the organ
is looked up in one list of spellings. What is not in the list has no TG-263 name and keeps its own: guessing further
would give an organ another organ's limits.

References
----------
AAPM TG-263: Mayo et al., Int. J. Radiat. Oncol. Biol. Phys. 100 (2018) 1057-1066.
"""

from __future__ import annotations

import re
import unicodedata

from sim_tps.patient import Role

MAX_NAME_LENGTH = 64

_PAIRED = {
    "Parotid": "parotid parotidgland glndparotid parotis",
    "Glnd_Submand": "glndsubmand submandibular submandibulargland submand smg subman",
    "Glnd_Lacrimal": "glndlacrimal lacrimal lacrimalgland",
    "Eye": "eye eyeball orbit globe",
    "Lens": "lens lense",
    "OpticNrv": "opticnrv opticnerve opticn nervusopticus optnerve opticnrve on",
    "Cochlea": "cochlea innerear",
    "Hippocampus": "hippocampus hippo",
    "BrachialPlex": "brachialplex brachialplexus plexus",
    "Lung": "lung",
    "Kidney": "kidney",
    "Femur_Head": "femurhead femoralhead headoffemur femhead fh",
    "Femur": "femur",
    "Breast": "breast",
    "TemporalLobe": "temporallobe lobetemporal",
}
"""Organs with a left and a right: TG-263 name without the side -> spellings, lower case, letters only."""

_PLURALS = {
    "Parotids": "parotids parotidglands",
    "Lungs": "lungs totallung lungstotal bothlungs",
    "Kidneys": "kidneys",
    "Eyes": "eyes",
    "Lenses": "lenses",
    "Femurs": "femurs",
    "OpticNrvs": "opticnrvs opticnerves",
    "Cochleas": "cochleas cochleae",
}

_SINGLE = {
    "External": "external body outline outercontour externalderived externalcontour patientoutline",
    "Skin": "skin",
    "Brain": "brain wholebrain",
    "Brainstem": "brainstem brstem bstem brainstm hirnstamm",
    "OpticChiasm": "opticchiasm chiasm chiasma opticchiasma optchiasm",
    "Pituitary": "pituitary pituitarygland hypophysis",
    "SpinalCord": "spinalcord cord spinalcanalcord myelon",
    "SpinalCanal": "spinalcanal canalspinal",
    "Bone_Mandible": "bonemandible mandible mandibula jaw",
    "Cavity_Oral": "cavityoral oralcavity oralcav",
    "Larynx": "larynx",
    "Larynx_SG": "larynxsg larynxsupraglottic supraglottis supraglotticlarynx",
    "Pharynx": "pharynx",
    "Musc_Constrict": "muscconstrict constrictor pharyngealconstrictor constrictors constrictormuscle",
    "Musc_Constrict_S": "muscconstricts superiorconstrictor constrictorsuperior",
    "Glnd_Thyroid": "glndthyroid thyroid thyroidgland",
    "Esophagus": "esophagus oesophagus esoph",
    "Trachea": "trachea",
    "Lips": "lips lip",
    "Heart": "heart cor",
    "Liver": "liver hepar",
    "Spleen": "spleen",
    "Stomach": "stomach",
    "Duodenum": "duodenum",
    "Pancreas": "pancreas",
    "Gallbladder": "gallbladder",
    "GreatVes": "greatves greatvessels",
    "Chestwall": "chestwall",
    "Bowel_Small": "bowelsmall smallbowel smallintestine",
    "Bowel_Large": "bowellarge largebowel colon largeintestine",
    "Bag_Bowel": "bagbowel bowelbag bowel",
    "Bladder": "bladder urinarybladder blase",
    "Rectum": "rectum",
    "Canal_Anal": "canalanal analcanal anus",
    "Prostate": "prostate",
    "SeminalVes": "seminalves seminalvesicles seminalvesicle sv",
    "PenileBulb": "penilebulb bulbpenile",
    "Urethra": "urethra",
    "CouchSurface": "couchsurface",
    "CouchInterior": "couchinterior",
}


def _by_spelling(organs: dict[str, str]) -> dict[str, str]:
    return {spelling: name for name, spellings in organs.items() for spelling in spellings.split()}


_PAIRED_BY_SPELLING = _by_spelling(_PAIRED)
_SINGLE_BY_SPELLING = _by_spelling(_SINGLE) | _by_spelling(_PLURALS)

_SIDES = {"l": "L", "lt": "L", "left": "L", "li": "L", "r": "R", "rt": "R", "right": "R", "re": "R"}

_TARGET = re.compile(r"^(IGTV|ICTV|GTV|CTV|ITV|PTV)(?![a-z]{3})", re.IGNORECASE)
_TARGET_LEVEL = re.compile(
    r"^(?P<kind>IGTV|ICTV|GTV|CTV|ITV|PTV)[ _-]*(?P<dose>\d{4}|\d{2}(?:\.\d{1,2})?)[ _]*(?P<unit>c?Gy)?$", re.IGNORECASE
)
_TARGET_TG263 = re.compile(
    r"^(?P<kind>IGTV|ICTV|GTV|CTV|ITV|PTV)(?P<rest>!?(?:n|p|sb|par|v|vas)?\d?(?:_(?:High|Mid\d{0,2}|Low|\d{4}|\d{2,3}Gy))?(?:x\d{1,2})?(?:-\d{2})?)$",
    re.IGNORECASE,
)
_PRV = re.compile(r"^(?P<organ>.+?)[ _]*(?:_PRV|PRV|\+)[ _]*(?P<margin_mm>\d{1,2})[ _]*(?:mm)?$", re.IGNORECASE)
_HELPER = re.compile(r"^(?:z[A-Z_]|_|z?ring|opt[A-Z_]|dose[ _]*\d|nt[_ ]|avoid|~|shell|dummy|artifact)", re.IGNORECASE)
_ZED = re.compile(r"^z[A-Z_]")
_SUPPORT = re.compile(r"couch|table|support|baseplate|mask_?base|immobili[sz]ation|rail", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def tg263_name(name: str) -> str | None:
    """The TG-263 name of a structure, or None when it is not known.

    Examples: ``RightParotid`` -> ``Parotid_R``, ``PTV70`` -> ``PTV_7000``, ``Cord_PRV5mm`` -> ``SpinalCord_PRV05``.
    """
    name = name.strip()
    if _ZED.match(name) or name.startswith(("_", "~")):
        return None
    return _target_name(name) or _prv_name(name) or _organ_name(name)


def guess_role(name: str) -> Role:
    """What a structure of this name is most likely for; an unknown name is an organ at risk."""
    known = tg263_name(name)
    if known == "External":
        return Role.EXTERNAL
    if _SUPPORT.search(name):
        return Role.SUPPORT
    if _ZED.match(name) or (known is None and _HELPER.match(name)):
        return Role.HELPER
    if _TARGET.match(name) or "target" in [word.lower() for word in _WORD.findall(name)]:
        return Role.TARGET
    return Role.OAR


def clean_name(name: str) -> str:
    """The name without control and direction characters, and with ``_`` for what is no letter, digit or ``~^+-!.``."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c)[0] != "C")
    return re.sub(r"[^A-Za-z0-9_~^+\-!.]+", "_", visible.strip()).strip("_")[:MAX_NAME_LENGTH]


def _target_name(name: str) -> str | None:
    level = _TARGET_LEVEL.match(name)
    if level:
        dose, in_cgy = level["dose"], (level["unit"] or "").lower() == "cgy"
        cgy = int(dose) if len(dose) == 4 and "." not in dose else round(float(dose) * (1 if in_cgy else 100))
        return f"{level['kind'].upper()}_{cgy:04d}" if 1000 <= cgy <= 9999 else None
    whole = _TARGET_TG263.match(name)
    return whole["kind"].upper() + whole["rest"] if whole else None


def _prv_name(name: str) -> str | None:
    parts = _PRV.match(name)
    organ = parts and _organ_name(parts["organ"])
    return f"{organ}_PRV{int(parts['margin_mm']):02d}" if parts and organ else None


def _organ_name(name: str) -> str | None:
    words = [word.lower() for word in _WORD.findall(name)]
    whole = _SINGLE_BY_SPELLING.get("".join(words))
    if whole:
        return whole
    for rest, side in ((words[1:], words[:1]), (words[:-1], words[-1:])):
        organ = _PAIRED_BY_SPELLING.get("".join(rest))
        if organ and side[0] in _SIDES:
            return f"{organ}_{_SIDES[side[0]]}"
    return None
