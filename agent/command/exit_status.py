"""With which status `beamwright` ends; a script reads the outcome of a run from it."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses; those of `plan` tell how the run came out."""

    OK = 0
    FAILED = 1
    USAGE = 2
    GOAL_MISSED = 3
    NOT_ACCEPTED = 4
    BROKEN_OFF = 5
    INTERRUPTED = 130


MEANING = (
    f"Exit status of plan: {ExitStatus.OK:d} every rank-1 goal that can be evaluated is met or acceptable; "
    f"{ExitStatus.GOAL_MISSED:d} a plan was made, but a rank-1 goal is missed; "
    f"{ExitStatus.NOT_ACCEPTED:d} the reviewing person did not accept the plan; "
    f"{ExitStatus.BROKEN_OFF:d} the planner could not go on (no model answered, or its proposals were refused), and "
    f"the best plan so far was kept; {ExitStatus.USAGE:d} the command was "
    f"not understood; {ExitStatus.FAILED:d} it failed; {ExitStatus.INTERRUPTED:d} it was interrupted (the best plan so "
    "far is written when there is one)."
)
"""The statuses as `--help` tells them."""
