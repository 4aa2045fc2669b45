"""Colours that mean the same on every page: structures, isodoses, goal statuses.

The one idea: three families that cannot be taken for each other. Targets are red to orange, isodoses run from blue to
yellow, organs have what is left, each its own within a patient and as far as possible the same from case to case.
Structure colours are mid-toned, so that they read on a dark CT and on white paper.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping

from agent.records import GoalStatus
from bridge import model

STATUS_SIGN: Mapping[GoalStatus, str] = {
    GoalStatus.MET: "✓",
    GoalStatus.ACCEPTABLE: "≈",
    GoalStatus.MISSED: "✗",
    GoalStatus.NOT_EVALUABLE: "–",
}
STATUS_WORD: Mapping[GoalStatus, str] = {
    GoalStatus.MET: "met",
    GoalStatus.ACCEPTABLE: "acceptable",
    GoalStatus.MISSED: "missed",
    GoalStatus.NOT_EVALUABLE: "not evaluable",
}

ISODOSE_PERCENT = (120.0, 110.0, 105.0, 100.0, 95.0, 80.0, 65.0, 50.0, 30.0)
"""Percent of the highest prescription; those above the plan's maximum are not drawn."""
_RAMP = ("#fde725", "#bddf26", "#7ad151", "#44bf70", "#22a884", "#21918c", "#2a788e", "#355f8d", "#414487")
"""The upper four fifths of matplotlib's viridis: perceptually even, without red; what is below is too dark for a CT."""
ISODOSE_COLOUR: Mapping[float, str] = dict(zip(ISODOSE_PERCENT, _RAMP, strict=True))

_TARGETS = ("#f01a2c", "#f23fc0", "#ff8a1f", "#a3123f", "#ff8f9c", "#cc5a3a")
_EXTERNAL = "#8d99a6"
_ORGANS = (
    (r"brainstem", "#2ca02c"),
    (r"cord", "#1f77d4"),
    (r"parotid", "#12b5c9"),
    (r"chiasm", "#8e5bd0"),
    (r"optic", "#9c9a12"),
    (r"cochlea", "#3fc79f"),
    (r"lens", "#86b6f2"),
    (r"eye", "#5b2a9c"),
    (r"larynx", "#bd9cf0"),
    (r"mandible", "#c9a36b"),
    (r"esophagus", "#8a5a3c"),
    (r"oral", "#9d6f93"),
    (r"pharynx", "#1e6b34"),
    (r"thyroid", "#2f3f9e"),
    (r"submand", "#b7cf3a"),
    (r"brain", "#8fae86"),
    (r"lung", "#5f3d1f"),
    (r"rectum", "#8a5a3c"),
    (r"bladder", "#1f77d4"),
    (r"femur|femoral", "#9c9a12"),
    (r"penile", "#8e5bd0"),
    (r"bowel_large|colon", "#1e6b34"),
    (r"bowel", "#86cf6f"),
    (r"liver", "#c9a36b"),
    (r"kidney", "#12b5c9"),
    (r"stomach", "#bd9cf0"),
    (r"duodenum", "#9c9a12"),
    (r"spleen", "#6b7f99"),
    (r"heart", "#2f3f9e"),
    (r"core", "#1f77d4"),
)
"""Organs and the colour each has unless another of the same patient has it already."""
_SET = tuple(dict.fromkeys([colour for _, colour in _ORGANS] + ["#0b7a75", "#4d5560", "#c2b648"]))
_SIDE = re.compile(r"(_[lr]\b|^(left|right))")
_RIGHT = re.compile(r"(_r\b|^right)")
_RIGHT_SHIFT = 0.42
"""How far the right one of a pair is moved from its left one's colour, towards black or white."""


def structure_colours(structures: Iterable[model.Structure], highest_first: Iterable[str]) -> dict[str, str]:
    """Structure label -> colour; targets by falling prescription, organs by name, no two organs alike.

    The two of a pair of organs share a hue in two shades. A patient with more organs than the set has colours begins
    the set again.

    Parameters
    ----------
    highest_first : labels of the prescribed targets, highest dose first.
    """
    listed = list(structures)
    prescribed = [label for label in highest_first if any(s.label == label for s in listed)]
    others = [s.label for s in listed if s.role is model.StructureRole.TARGET and s.label not in prescribed]
    colours = {label: _TARGETS[i % len(_TARGETS)] for i, label in enumerate([*prescribed, *others])}
    organs = {s.label: (s.tg263_name or s.label).casefold() for s in listed if s.label not in colours}
    families = _family_colours({_family(name) for name in organs.values()})
    for structure in listed:
        if structure.role is model.StructureRole.EXTERNAL:
            colours[structure.label] = _EXTERNAL
        elif structure.label in organs:
            name = organs[structure.label]
            own = families[_family(name)]
            colours[structure.label] = _shifted(own) if _RIGHT.search(name) else own
    return colours


def _family(name: str) -> str:
    """What both of a pair of organs are called."""
    return _SIDE.sub("", name)


def _family_colours(families: set[str]) -> dict[str, str]:
    """A colour for each; well-known organs choose first, so that theirs does not depend on the company."""
    colours: dict[str, str] = {}
    known = [family for family in sorted(families) if _preferred(family) is not None]
    for family in [*known, *sorted(families.difference(known))]:
        wanted = _preferred(family) or _SET[zlib.crc32(family.encode()) % len(_SET)]
        start = _SET.index(wanted)
        used = list(colours.values())
        colours[family] = min((*_SET[start:], *_SET[:start]), key=used.count)
    return colours


def _preferred(family: str) -> str | None:
    return next((colour for pattern, colour in _ORGANS if re.search(pattern, family)), None)


def _shifted(colour: str) -> str:
    """Lighter where the colour is dark, darker where it is light."""
    own = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    towards = 255 if sum(own) < 3 * 128 else 0
    return "#" + "".join(f"{round(c + _RIGHT_SHIFT * (towards - c)):02x}" for c in own)
