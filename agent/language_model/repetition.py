"""Finds a model that says the same again and again, while it still speaks.

The one idea: text repeats with a period when it equals itself moved by that period, and the period is the distance to
the last time the text ended as it ends now.
"""

from __future__ import annotations

LONGEST_CHARACTERS = 400_000
"""About 100 000 tokens; nothing that an answer here needs comes near it."""
_TAIL_CHARACTERS = 8_000
_END_CHARACTERS = 60
_FEWEST_REPEATS = 4
_SHORTEST_SPAN_CHARACTERS = 3_000
"""So much must repeat: rows of dashes and tables of equal numbers are shorter."""


class RepetitionWatch:
    """Takes a text piece by piece and says when it has become endless."""

    def __init__(self) -> None:
        self._tail = ""
        self._characters = 0

    def feed(self, text: str) -> None:
        self._characters += len(text)
        self._tail = (self._tail + text)[-_TAIL_CHARACTERS:]

    @property
    def is_endless(self) -> bool:
        return self._characters > LONGEST_CHARACTERS or _repeats(self._tail)


def _repeats(tail: str) -> bool:
    end_start = len(tail) - _END_CHARACTERS
    before = tail.rfind(tail[-_END_CHARACTERS:], 0, len(tail) - 1)
    if before < 0:
        return False
    period = end_start - before
    span = max(_SHORTEST_SPAN_CHARACTERS, _FEWEST_REPEATS * period)
    return len(tail) >= span and tail[-span:-period] == tail[len(tail) - span + period :]
