"""How long a server asks to wait before the next request.

The one idea: Retry-After holds seconds or a date (RFC 9110, 10.2.3); ``retry-after-ms`` says the same more finely.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from now, never negative; None where the server asks for nothing that can be read.

    Parameters
    ----------
    headers
        Of the answer, with names in lower case or found in any case.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        written = headers.get(name, "").strip()
        if written.replace(".", "", 1).isdecimal():
            return float(written) * unit_s
    return _seconds_until(headers.get("retry-after", ""))


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
