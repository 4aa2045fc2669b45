"""Text that neither the agent nor the protocol wrote, made fit to stand in a prompt.

The one idea: foreign text is data. It is shown one line each inside a fence that says so, and can neither break out of
the fence nor fill the prompt.
"""

from __future__ import annotations

import re
import unicodedata

TEXT_CHARACTERS = 400
"""A text is cut after so many, with a word that says so."""
TEXTS = 12
"""So many texts at most."""
_FENCE = re.compile(r"<{3,}|>{3,}|`{3,}|~{3,}")


def fenced(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The texts, one line each: no control characters, nothing that looks like a fence, not endlessly long."""
    lines = [_one_line(text) for text in texts[:TEXTS]]
    if left := len(texts) - len(lines):
        lines.append(f"({left} more left out)")
    return tuple(lines)


def cut(text: str, characters: int) -> str:
    """The beginning of a text that is longer, with a mark that says so; otherwise the text."""
    return text if len(text) <= characters else f"{text[:characters]} (cut here)"


def _one_line(text: str) -> str:
    visible = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    line = _FENCE.sub(" ", " ".join(visible.split()))
    return cut(line, TEXT_CHARACTERS)
