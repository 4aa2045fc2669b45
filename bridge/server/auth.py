"""Who calls.

The one idea: on the loopback one token, given to the server when it starts, is the key to everything; a call carries it
as ``authorization: Bearer <token>``. The principal it stands for is a fingerprint of the token, fit for audit and
provenance, from which the token cannot be had back.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from contextvars import ContextVar

from bridge.errors import TokenInvalid

ANYONE = "anyone"
"""Principal of every caller where the server asks for no token."""

PRINCIPAL: ContextVar[str] = ContextVar("principal", default=ANYONE)
"""Whom the call at hand belongs to."""


class Auth:
    """Knows the token.

    Parameters
    ----------
    token : str or None
        What a call must carry; None lets everyone in.
    """

    def __init__(self, token: str | None) -> None:
        self._expected = f"Bearer {token}".encode() if token else None
        self._principal = f"token-{hashlib.sha256(token.encode()).hexdigest()[:12]}" if token else ANYONE

    def principal(self, metadata: Mapping[str, str | bytes]) -> str:
        """The caller's principal.

        Raises
        ------
        TokenInvalid
            The token is missing or another one.
        """
        if self._expected is None:
            return self._principal
        given = metadata.get("authorization", "")
        if not hmac.compare_digest(given.encode() if isinstance(given, str) else given, self._expected):
            raise TokenInvalid("The call carries no valid token. Send metadata 'authorization: Bearer <token>'.")
        return self._principal
