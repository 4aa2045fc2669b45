"""Why Eclipse failed: its results say only that it did.

The one idea: reasons are looked for where a physicist would look: the calculation logs of the beams, and the last lines
that Eclipse traced while it worked. They are text from the TPS: cleaned, bounded, and quoted as what it said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import clean

_SPEAKS_OF_TROUBLE = re.compile(
    r"\b(error|fail\w*|cannot|can't|could not|unable|invalid|not (?:allowed|possible|found|supported|set|defined)|"
    r"missing|exceed\w*|abort\w*|exception|outside|refus\w*|too (?:large|small|many|few))\b",
    re.IGNORECASE,
)
_MOST_LOG_LINES = 4
_MOST_TRACE_LINES = 2
_LONGEST_LINE = 120


def reasons(plan: Any, trace: Sequence[str] = ()) -> str:
    """One sentence with what the logs of a plan's beams, and the trace, say about a failure."""
    said = [*_from_logs(plan), *_lines(trace)[-_MOST_TRACE_LINES:]]
    if not said:
        return "Neither its calculation logs nor its trace says why; look at the plan in Eclipse."
    return f"It says: {' | '.join(dict.fromkeys(said))}"


def short(text: str) -> str:
    """A line of the TPS's as it may be shown: cleaned, and not long."""
    return clean(text, _LONGEST_LINE)


def _from_logs(plan: Any) -> list[str]:
    """What logs say, each line once with the beams that it is about.

    Lines that speak of trouble; where none does, the last of each beam, which is how far it came.
    """
    logs = list(_logs(plan))
    troubles = [(beam, line) for beam, lines in logs for line in lines if _SPEAKS_OF_TROUBLE.search(line)]
    last = {beam: lines[-1] for beam, lines in logs if lines}
    beams: dict[str, list[str]] = {}
    for beam, line in troubles or last.items():
        beams.setdefault(line, []).append(beam)
    return [f"{short(', '.join(dict.fromkeys(named)))}: {line}" for line, named in beams.items()][:_MOST_LOG_LINES]


def _logs(plan: Any) -> Iterator[tuple[str, list[str]]]:
    """Beam and lines of every log."""
    for beam in access.items(plan, "Beams"):
        for log in access.items(beam, "CalculationLogs"):
            yield str(access.get(beam, "Id")), _lines(str(line) for line in access.items(log, "MessageLines"))


def _lines(texts: Iterable[str]) -> list[str]:
    return [line for line in map(short, texts) if line]
