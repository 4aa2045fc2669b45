"""Long lists in pages; a page token is the place where the next page begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from bridge.errors import FieldViolation, InvalidField

Item = TypeVar("Item")

LIKED_SIZE = 100
"""Items of a page when the caller does not say."""


def page(items: Sequence[Item], size: int, token: str) -> tuple[Sequence[Item], str]:
    """The items of one page, and the token of the next ('' after the last)."""
    begin = _begin(token, len(items))
    end = begin + (size or LIKED_SIZE)
    return items[begin:end], str(end) if end < len(items) else ""


def _begin(token: str, count: int) -> int:
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and int(token) <= count):
        rule = "is not one that this server gave; begin again without"
        raise InvalidField(f"page_token {rule}.", violations=(FieldViolation("page_token", rule),))
    return int(token)
