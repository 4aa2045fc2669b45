"""Who calls, and what they may do.

The one idea: a token, given to the server when it starts, carries a set of accesses; a call brings its token as
``authorization: Bearer <token>``. The principal it stands for is a fingerprint of the token, fit for audit and
provenance, from which the token cannot be had back.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from bridge.errors import NotAllowed, TokenInvalid
from bridge.model import Access

INCLUDES: Mapping[Access, Collection[Access]] = {Access.WRITE: (Access.READ, Access.PRIORITY)}


@dataclass(frozen=True)
class Caller:
    """Whom a call belongs to."""

    principal: str
    access: frozenset[Access]

    @classmethod
    def with_access(cls, principal: str, given: Collection[Access]) -> Caller:
        """Of this principal, with what is given and what that includes."""
        included = {access for each in given for access in INCLUDES.get(each, ())}
        return cls(principal, frozenset(given) | included)

    def require(self, access: Access, what: str) -> None:
        """Raise `NotAllowed` unless the caller's token carries this access."""
        if access not in self.access:
            raise NotAllowed(
                f"{what} needs the access {access.name}, which the call's token does not carry. Use one that does.",
                metadata={"access": access.name},
            )


ANYONE = Caller.with_access("anyone", frozenset(Access))
"""Every caller, where the server asks for no token."""

CALLER: ContextVar[Caller] = ContextVar("caller", default=ANYONE)
"""Whom the call at hand belongs to."""


class Auth:
    """Knows the tokens.

    Parameters
    ----------
    tokens : mapping or None
        Token -> what it allows; None lets everyone do everything.
    """

    def __init__(self, tokens: Mapping[str, Collection[Access]] | None) -> None:
        if tokens is not None and "" in tokens:
            raise ValueError("an empty token would let everyone in; give one that is hard to guess, or None.")
        self._callers = None if tokens is None else {t.encode(): _caller(t, access) for t, access in tokens.items()}

    def caller(self, metadata: Mapping[str, str | bytes]) -> Caller:
        """Whom the call's token stands for.

        Raises
        ------
        TokenInvalid
            The token is missing or none of those known.
        """
        if self._callers is None:
            return ANYONE
        given = metadata.get("authorization", "")
        given = given.encode() if isinstance(given, str) else given
        known = [who for token, who in self._callers.items() if hmac.compare_digest(given, b"Bearer " + token)]
        if not known:
            raise TokenInvalid("The call carries no valid token. Send metadata 'authorization: Bearer <token>'.")
        return known[0]


def _caller(token: str, access: Collection[Access]) -> Caller:
    return Caller.with_access(f"token-{hashlib.sha256(token.encode()).hexdigest()[:12]}", access)
