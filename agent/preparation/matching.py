"""Finds the protocol's structures among the patient's, by TG-263 name, alias or label.

The one idea: a match is exact once case, spaces, hyphens and underscores are ignored; nothing is guessed. What is
required and absent is an error that lists what the patient has; what is optional and absent is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.protocols.schema import Protocol, StructureRule
from bridge import model


class PreparationError(Exception):
    """This patient cannot be planned with this protocol on this server; the message says why and what to do."""


@dataclass(frozen=True)
class Matches:
    """The patient's structures under the protocol's names."""

    found: Mapping[str, tuple[model.Structure, ...]]
    """Protocol name -> the patient's structures (several only where the protocol says so)."""
    labels: frozenset[str]
    """Every label in use in this patient."""
    notes: tuple[str, ...]

    def absent_because(self, name: str) -> str:
        return f"the patient has no {name}"


def match(protocol: Protocol, structures: Sequence[model.Structure]) -> Matches:
    """Match every structure the protocol declares.

    Raises
    ------
    PreparationError
        A required structure, or the target of the highest dose, is absent or empty; two structures fit one name.
    """
    found: dict[str, tuple[model.Structure, ...]] = {}
    notes: list[str] = []
    for name, rule in protocol.structures.items():
        candidates = tuple(_candidates(name, rule, structures))
        usable = tuple(structure for structure in candidates if not structure.empty)
        notes += [f"{name}: the patient's {s.label!r} is empty and left out." for s in candidates if s.empty]
        if not usable:
            _refuse_absent(protocol, name, rule, structures, empty=bool(candidates))
            if not candidates:
                notes.append(f"{name}: not in this patient; its goals cannot be evaluated.")
            continue
        if len(usable) > 1 and not rule.several:
            labels = [structure.label for structure in usable]
            raise PreparationError(f"{name} fits several structures: {labels}; rename or remove all but one.")
        found[name] = usable
        notes += [f"{name} is the patient's {s.label!r}." for s in usable if s.label != name and not rule.several]
    return Matches(found, frozenset(structure.label for structure in structures), tuple(notes))


def _candidates(name: str, rule: StructureRule, structures: Sequence[model.Structure]) -> Iterator[model.Structure]:
    """Structures whose name, TG-263 name or label fits; the protocol's own name goes before its aliases."""
    own = [structure for structure in structures if structure.role is not model.StructureRole.HELPER]
    for wanted in ([name], rule.aliases):
        keys = {_key(word) for word in wanted}
        hits = [s for s in own if _key(s.label) in keys or (s.tg263_name is not None and _key(s.tg263_name) in keys)]
        if rule.several:
            numbered = [s for s in own if any(_is_numbered(s.label, word) for word in wanted)]
            hits = [s for s in own if s in hits or s in numbered]
        if hits:
            yield from hits
            return
    if rule.kind == "external":
        yield from (s for s in own if s.role is model.StructureRole.EXTERNAL)


def _refuse_absent(
    protocol: Protocol, name: str, rule: StructureRule, structures: Sequence[model.Structure], *, empty: bool
) -> None:
    highest = protocol.prescription.targets_gy.get(name) == protocol.highest_gy
    if not (rule.required or highest):
        return
    what = "is empty (zero volume)" if empty else "is not in this patient"
    labels = sorted(structure.label for structure in structures)
    raise PreparationError(
        f"{name}, which protocol {protocol.id!r} requires, {what}. The patient has {labels}. "
        f"Contour it, or add the name it goes by to the aliases of {name} in a protocol of your own."
    )


def _key(text: str) -> str:
    return "".join(character for character in text.casefold() if character not in " _-")


def _is_numbered(label: str, name: str) -> bool:
    """``PTV_1``, ``PTV2``, ``PTV-03`` for ``PTV``."""
    key, stem = _key(label), _key(name)
    return key.startswith(stem) and key[len(stem) :].isdigit()
