"""What a running command says about itself: to stderr, for a person on a terminal, as JSON lines otherwise.

The one idea: a *correlation id* follows one piece of work from the command through every call to the operation it
starts. It lives in structlog's context variables, so every log line carries it and nobody passes it along. Patient data
and request bodies are never logged; that is why a traceback never shows the values of local variables.
"""

from __future__ import annotations

import logging
import sys
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

LEVELS = ("debug", "info", "warning", "error")
CORRELATION_ID = "correlation_id"
CORRELATION_HEADER = "x-correlation-id"
"""gRPC metadata key that carries the correlation id over the wire."""


def configure(level: str = "info") -> None:
    """Send structlog's and the standard library's logging to stderr, in one form.

    Parameters
    ----------
    level : str
        The least serious level shown: ``debug``, ``info``, ``warning`` or ``error``.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} is not one of {', '.join(LEVELS)}.")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = _ToStderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_for_people() if sys.stderr.isatty() else _for_machines()),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def correlation_id() -> str:
    """The id of the work at hand, or a new one when none has been set with `correlated`."""
    current = structlog.contextvars.get_contextvars().get(CORRELATION_ID)
    return str(current) if current else uuid.uuid4().hex


@contextmanager
def correlated(correlation: str | None = None) -> Iterator[str]:
    """Everything inside belongs together under one correlation id; absent, a new one is made."""
    chosen = correlation or uuid.uuid4().hex
    with structlog.contextvars.bound_contextvars(**{CORRELATION_ID: chosen}):
        yield chosen


def traceback_text() -> str:
    """The exception at hand as text, for the key ``stack`` of a log line.

    How ``log.exception`` shows one is up to whoever configured structlog; unconfigured, it shows local variables.
    """
    return traceback.format_exc()


class _ToStderr(logging.Handler):
    """Writes to whatever stderr is at the moment: progress displays and test runners put another in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except (OSError, ValueError):
            self.handleError(record)


def _for_people() -> list[structlog.typing.Processor]:
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _for_machines() -> list[structlog.typing.Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
