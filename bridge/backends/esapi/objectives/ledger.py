"""The names of a plan's objectives, which ESAPI does not have.

The one idea: a name follows its objective by content. After every look at the plan, an objective that is as it was
keeps its name, one that nobody named gets a new one, and a name whose objective is gone is never used again. Two
objectives that are alike have two names, and which of them is which makes no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.backends.esapi.objectives.functions import Content


@dataclass(eq=False)
class ObjectiveLedger:
    """The names of a plan's objectives, in the order in which they are shown."""

    entries: list[tuple[str, Content]] = field(default_factory=list)
    issued: int = 0
    """How many names were ever given."""

    def follow(self, present: Sequence[Content]) -> list[tuple[str, Content]]:
        """Names for what the plan has now: kept by content, as often as it occurs; new ones at the end."""
        left = list(present)
        kept = []
        for name, content in self.entries:
            match = next((each for each in left if each.is_like(content)), None)
            if match is not None:
                left.remove(match)
                kept.append((name, match))
        self.entries = kept
        for content in left:
            self.append(content)
        return list(self.entries)

    def append(self, content: Content) -> str:
        """A new name, for an objective at the end."""
        self.issued += 1
        name = f"objective-{self.issued}"
        self.entries.append((name, content))
        return name

    def change(self, name: str, content: Content) -> None:
        """What a name stands for from now on."""
        self.entries = [(each, content if each == name else before) for each, before in self.entries]

    def put(self, entries: Sequence[tuple[str, Content]]) -> None:
        """These and no others; the names were issued here."""
        self.entries = list(entries)

    def remove(self, name: str) -> None:
        self.entries = [(each, content) for each, content in self.entries if each != name]

    def clear(self) -> None:
        """No objectives; their names are not used again."""
        self.entries = []
