"""Small rules of English for the sentences that a person reads."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 attempt``, ``3 attempts``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
