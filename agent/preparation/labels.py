"""Labels for what the agent makes: short enough for this server, taken by nothing else, and never saying too much.

The one idea: a label that does not fit is made anew rather than cut where it happens to end, and whoever reads the run
is told under which label a thing lies in the planning system. Case does not tell two labels apart there.
"""

from __future__ import annotations

from collections.abc import Collection

from agent.preparation.matching import PreparationError

HELPER_LENGTH = 16
"""Structure names have at most 16 characters (AAPM TG-263, rule 1)."""
_OURS = "beamwright"
_VOWELS = "aeiouyAEIOUY"


def helper_label(name: str, longest: int = 64) -> str:
    """The label a helper gets on the server: it starts with ``z`` and has at most ``longest`` characters.

    TG-263 allows a PRV's margin one digit where two would be too long: ``SpinalCord_PRV05`` -> ``zSpinalCord_PRV5``.
    Where the server takes less than that, vowels go from the back of the name on, then its middle.
    """
    label = name if name.startswith("z") else f"z{name}"
    if len(label) > HELPER_LENGTH:
        label = label.replace("_PRV0", "_PRV")
    for index in range(len(label) - 1, 1, -1):
        if len(label) <= longest:
            return label
        if label[index] in _VOWELS:
            label = label[:index] + label[index + 1 :]
    return label if len(label) <= longest else label[: longest - longest // 3] + label[-(longest // 3) :]


def free_label(label: str, taken: Collection[str], longest: int) -> str:
    """The label, or the first of ``label_2``, ``label_3``, ... that nothing has; the number always stays whole."""
    used = {each.casefold() for each in taken}
    free, number = label[:longest], 1
    while free.casefold() in used:
        number += 1
        end = f"_{number}"
        if len(end) >= longest:
            raise PreparationError(
                f"every label like {label!r} of at most {longest} characters is taken; remove old ones in the TPS."
            )
        free = label[: longest - len(end)] + end
    return free


def plan_label(protocol: str, taken: Collection[str], longest: int) -> str:
    """``beamwright PROTOCOL`` where that fits; else ``beamwright`` alone: half a protocol's name misleads."""
    whole = f"{_OURS} {protocol}"
    return whole if len(whole) <= longest else free_label(_OURS, taken, longest)
