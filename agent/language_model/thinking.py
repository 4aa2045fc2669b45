"""Reasoning and answer told apart where a model writes both into one text, as ``<think>…</think>`` and the rest.

The one idea: the text comes in pieces of any length, so whatever might be the beginning of a tag is held back until it
is known.
"""

from __future__ import annotations

import re

_TAG = re.compile(r"</?think>")
_BEGUN_TAG = re.compile(r"<(/?(t(h(i(nk?)?)?)?)?)?$")

Piece = tuple[str, bool]
"""Text, and whether it is reasoning."""


class ThinkingSplitter:
    """Takes a text piece by piece; `reasoning` and `answer` hold what was told apart so far."""

    def __init__(self) -> None:
        self.reasoning = ""
        self.answer = ""
        self.is_open = False
        """A ``<think>`` was not closed yet."""
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are now known to be reasoning or answer."""
        text = self._held + text
        begun = _BEGUN_TAG.search(text)
        self._held = text[begun.start() :] if begun else ""
        return self._told_apart(text[: len(text) - len(self._held)])

    def close(self) -> list[Piece]:
        """What was held back: the text ended without completing a tag."""
        held, self._held = self._held, ""
        return self._told_apart(held)

    def _told_apart(self, text: str) -> list[Piece]:
        pieces, start = [], 0
        for tag in _TAG.finditer(text):
            pieces.append(self._taken(text[start : tag.start()]))
            self._turn(tag.group())
            start = tag.end()
        pieces.append(self._taken(text[start:]))
        return [piece for piece in pieces if piece[0]]

    def _taken(self, text: str) -> Piece:
        if self.is_open:
            self.reasoning += text
        else:
            self.answer += text
        return text, self.is_open

    def _turn(self, tag: str) -> None:
        if tag == "</think>" and not self.is_open:
            # Some servers put the opening tag into the prompt: all that came before the closing one was reasoning.
            self.reasoning, self.answer = self.reasoning + self.answer, ""
        self.is_open = tag == "<think>"
