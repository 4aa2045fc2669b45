"""Small rules for the words that a person reads: their English, and that they do nothing but stand there.

The one idea: foreign text is shown sign by sign. What would steer a terminal, hide or reorder is spelled out.
"""

from __future__ import annotations

import unicodedata

_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control and format characters, lone surrogates, line and paragraph separators."""


def counted(number: int, noun: str) -> str:
    """``1 attempt``, ``3 attempts``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def visible(text: str, *, keeps_lines: bool = False) -> str:
    r"""The text with every sign that a terminal would obey, or not show, spelled out: ``\x1b``, ``\u202e``.

    Parameters
    ----------
    keeps_lines
        Line feeds stay; otherwise they are spelled out too, and the text is one line.
    """
    return "".join(sign if keeps_lines and sign == "\n" else _visible(sign) for sign in text)


def _visible(sign: str) -> str:
    return sign.encode("unicode_escape").decode() if unicodedata.category(sign) in _STEERING else sign
