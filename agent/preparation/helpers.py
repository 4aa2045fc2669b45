"""Makes the protocol's helper structures through the contract: rings, cropped organs, PRVs, the union of the targets.

The one idea: a helper is a recipe, and the TPS cooks it. One whose source the patient lacks, or that comes out empty,
is left out and reported; nothing is made up in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.calls import Calls
from agent.preparation.labels import free_label, helper_label
from agent.preparation.matching import Matches
from agent.protocols.schema import TARGETS, Helper, Protocol
from bridge import model
from bridge.client import Session

SURROUNDINGS_MM = 20.0
"""With several targets, a target's isodose volume is counted within this distance of it (own choice)."""


@dataclass(frozen=True)
class Helpers:
    """What was made for this patient."""

    targets: model.Structure
    """All targets together; the target itself where there is one."""
    made: Mapping[str, model.Structure]
    left_out: Mapping[str, str]
    """Helper -> why there is none."""
    surroundings: Mapping[str, str]
    """Target's resource name -> the structure in which its isodose is counted; only with several targets."""
    overlap_percent: Mapping[str, float]
    """Organ -> share of it inside the targets."""
    notes: tuple[str, ...]


def make_helpers(
    call: Calls,
    session: Session,
    protocol: Protocol,
    matches: Matches,
    *,
    can_make_structures: bool,
    longest_label: int = 64,
) -> Helpers:
    """Every helper of the protocol that this patient can have, under labels of at most ``longest_label`` characters."""
    targets = [structure for name in protocol.targets for structure in matches.found.get(name, ())]
    if not can_make_structures:
        why = "the server makes no structures"
        left_out = dict.fromkeys(protocol.helpers, why)
        return Helpers(targets[0], {}, left_out, {}, {}, ("The server makes no helper structures; none are used.",))
    kitchen = _Maker(call, session, protocol, matches, longest_label)
    union = targets[0] if len(targets) == 1 else kitchen.cook("zTargets", model.DerivationKind.UNION, targets)
    left_out = kitchen.make_all(union)
    surroundings = kitchen.surroundings(targets) if _share_a_dose(protocol, matches) else {}
    return Helpers(union, kitchen.made, left_out, surroundings, kitchen.overlaps(union), tuple(kitchen.notes))


class _Maker:
    def __init__(self, call: Calls, session: Session, protocol: Protocol, matches: Matches, longest: int) -> None:
        self._call = call
        self._session = session
        self._protocol = protocol
        self._matches = matches
        self._labels = set(matches.labels)
        self._longest = longest
        self.made: dict[str, model.Structure] = {}
        self.notes: list[str] = []
        """About helpers that came out empty or lie under another label; an absent source is told by the matching."""

    def make_all(self, union: model.Structure) -> dict[str, str]:
        """Make the helpers in the protocol's order; return those left out, with the reason."""
        left_out: dict[str, str] = {}
        for name, helper in self._protocol.helpers.items():
            missing = self._missing(helper)
            if missing:
                left_out[name] = f"the patient has no {missing}"
                continue
            structure = self._make(name, helper, union)
            if structure.empty:
                self._discard(structure)
                left_out[name] = f"nothing of {helper.source} is left outside {', '.join(helper.without) or 'the rest'}"
                self.notes.append(f"Helper {name} left out: {left_out[name]}.")
            else:
                self.made[name] = structure
                if structure.label != helper_label(name):
                    self.notes.append(f"Helper {name} is called {structure.label!r} in the planning system.")
        return left_out

    def cook(
        self,
        label: str,
        kind: model.DerivationKind,
        sources: Iterable[model.Structure],
        inner_mm: float = 0.0,
        outer_mm: float = 0.0,
    ) -> model.Structure:
        free = free_label(helper_label(label, self._longest), self._labels, self._longest)
        self._labels.add(free)
        recipe = model.Derivation(kind, tuple(source.name for source in sources), inner_mm, outer_mm)
        return self._call(self._session.create_structure, free, recipe)

    def surroundings(self, targets: list[model.Structure]) -> dict[str, str]:
        return {
            target.name: self.cook(
                f"zNear_{number}", model.DerivationKind.MARGIN, [target], outer_mm=SURROUNDINGS_MM
            ).name
            for number, target in enumerate(targets, start=1)
        }

    def overlaps(self, union: model.Structure) -> dict[str, float]:
        """Share of each organ with a goal that lies inside the targets."""
        organs = {self._organ(name) for goal in self._protocol.goals for name in goal.structures}
        shares: dict[str, float] = {}
        for name in self._protocol.structures:
            if name in organs and self._protocol.structures[name].kind == "organ" and name in self._matches.found:
                organ = self._matches.found[name][0]
                common = self.cook("zOverlap", model.DerivationKind.INTERSECTION, [organ, union])
                shares[name] = 100.0 * common.volume_cc / organ.volume_cc
                self._discard(common)
        return shares

    def _discard(self, structure: model.Structure) -> None:
        self._call(self._session.delete_structure, structure.name)
        self._labels.discard(structure.label)

    def _organ(self, name: str) -> str:
        helper = self._protocol.helpers.get(name)
        return name if helper is None else self._organ(helper.source)

    def _make(self, name: str, helper: Helper, union: model.Structure) -> model.Structure:
        source = self._sources(helper.source, union)
        if helper.ring is not None:
            return self.cook(name, model.DerivationKind.RING, source, helper.from_mm, helper.to_mm)
        if helper.grow is not None:
            return self.cook(name, model.DerivationKind.MARGIN, source, outer_mm=helper.by_mm)
        cut = [structure for other in helper.without for structure in self._sources(other, union)]
        return self.cook(name, model.DerivationKind.DIFFERENCE, [*source, *cut], outer_mm=helper.margin_mm)

    def _sources(self, name: str, union: model.Structure) -> tuple[model.Structure, ...]:
        if name == TARGETS:
            return (union,)
        if name in self.made:
            return (self.made[name],)
        return self._matches.found.get(name, ())

    def _missing(self, helper: Helper) -> str:
        """What the recipe needs and the patient lacks; of what is cut away, one is enough."""
        present = {*self._matches.found, *self.made, TARGETS}
        if helper.source not in present:
            return helper.source
        if helper.without and not present.intersection(helper.without):
            return " or ".join(helper.without)
        return ""


def _share_a_dose(protocol: Protocol, matches: Matches) -> bool:
    """Whether several separate targets have one prescribed dose, so that their isodose volumes must be told apart."""
    return any(len(matches.found.get(name, ())) > 1 for name in protocol.targets)
