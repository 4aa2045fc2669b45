"""How long work tells of itself and hears that it is to stop."""

from __future__ import annotations

from collections.abc import Callable

from sim_tps.errors import Cancelled

Report = Callable[[str, float | None, int | None, float | None], None]
"""Told (stage, percent, iteration, objective value), each where it applies."""
IsCancelled = Callable[[], bool]


def silent(stage: str, percent: float | None, iteration: int | None, value: float | None) -> None:
    """Progress nobody listens to."""


def heed(cancelled: IsCancelled | None, work: str) -> None:
    """Stop here if this was wished."""
    if cancelled is not None and cancelled():
        raise Cancelled(f"{work} was cancelled.")


def heeding(report: Report, cancelled: IsCancelled | None) -> Report:
    """Reports, and then hears whether this was reason to cancel."""

    def say(stage: str, percent: float | None, iteration: int | None, value: float | None) -> None:
        report(stage, percent, iteration, value)
        heed(cancelled, stage)

    return say
