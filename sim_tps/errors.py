"""What the simulated TPS refuses, and how it says so.

TpsError
├── BadInput      the caller's data or numbers cannot be used; says which, and what was expected
├── NotFound      no such patient, plan, structure, objective or machine
├── Refused       the object is in a state that does not allow this
├── Unsupported   this TPS cannot do that at all
└── Cancelled     the caller asked a running calculation to stop
"""

from __future__ import annotations


class TpsError(Exception):
    """A refusal by the simulated TPS; its text is meant for the person who asked."""


class BadInput(TpsError, ValueError):
    """Data or numbers that cannot be used."""


class NotFound(TpsError, KeyError):
    """Something was named that does not exist."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "not found"


class Refused(TpsError):
    """The object's state does not allow this."""


class Unsupported(TpsError):
    """A capability this TPS does not have."""


class Cancelled(TpsError):
    """A running calculation was stopped at the caller's request."""


class DamagedData(TpsError):
    """Stored data is missing or is not what was written."""
