"""Colours that mean the same on every page: structures, isodoses, goal statuses.

The one idea: an organ keeps its colour from case to case, in the planes, the DVH and the tables. Structure colours are
mid-toned so that they read on a dark CT and on white paper; targets are warm, organs are not.
"""

from __future__ import annotations

import re
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

_TARGETS = ("#e0263c", "#f07814", "#e3b505", "#d6408f", "#a8201a", "#f2a65a")
_EXTERNAL = "#8d99a6"
_ORGANS = (
    (r"brainstem", "#2f9e62"),
    (r"cord", "#1f78d1"),
    (r"parotid", "#18a7b5"),
    (r"chiasm", "#c056c9"),
    (r"optic", "#7f9d0a"),
    (r"cochlea", "#00a884"),
    (r"lens", "#7ea6d9"),
    (r"eye", "#4b9fc7"),
    (r"larynx", "#d08cc0"),
    (r"mandible", "#9c7a55"),
    (r"esophagus", "#a4732c"),
    (r"oral", "#c78a8a"),
    (r"pharynx", "#7f9c6b"),
    (r"rectum", "#8a5a2b"),
    (r"bladder", "#3d8bd4"),
    (r"femur|femoral", "#6d8f5e"),
    (r"penile", "#8577b8"),
    (r"liver", "#8c6d46"),
    (r"kidney", "#3aa0a0"),
    (r"stomach", "#b98ad1"),
    (r"duodenum", "#4f9d69"),
    (r"bowel", "#6f7fd6"),
    (r"heart", "#a05195"),
    (r"lung", "#5b9bd5"),
    (r"brain", "#6fb39a"),
    (r"core", "#2f7fd0"),
)
_RIGHT = re.compile(r"(_r\b|^r(igh)?t)")
_TOWARDS_VIOLET = 0.55
"""How far the right one of a pair of organs is turned from its left one's colour."""
_OTHERS = ("#2a9d8f", "#5e72c9", "#7c9a3c", "#a565b3", "#3f8fb0", "#8f7d5a", "#4d9e4d", "#7d6fae")


def structure_colours(structures: Iterable[model.Structure], highest_first: Iterable[str]) -> dict[str, str]:
    """Structure label -> colour; targets by falling prescription, organs by name, the rest in order.

    Parameters
    ----------
    highest_first : labels of the prescribed targets, highest dose first.
    """
    listed = list(structures)
    prescribed = [label for label in highest_first if any(s.label == label for s in listed)]
    others = [s.label for s in listed if s.role is model.StructureRole.TARGET and s.label not in prescribed]
    colours = {label: _TARGETS[i % len(_TARGETS)] for i, label in enumerate([*prescribed, *others])}
    unnamed = 0
    for structure in listed:
        if structure.label in colours:
            continue
        if structure.role is model.StructureRole.EXTERNAL:
            colours[structure.label] = _EXTERNAL
            continue
        known = _by_name(structure.tg263_name or structure.label)
        colours[structure.label] = known or _OTHERS[unnamed % len(_OTHERS)]
        unnamed += known is None
    return colours


def _by_name(name: str) -> str | None:
    """The colour of an organ; the right one of a pair has its own."""
    plain = name.casefold()
    colour = next((colour for pattern, colour in _ORGANS if re.search(pattern, plain)), None)
    return _turned(colour) if colour is not None and _RIGHT.search(plain) else colour


def _turned(colour: str) -> str:
    violet = (0x7A, 0x5B, 0xD0)
    own = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    mixed = (round((1 - _TOWARDS_VIOLET) * c + _TOWARDS_VIOLET * v) for c, v in zip(own, violet, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
