"""The agent's way to the planning system: every call is counted, timed and traced.

The one idea: nothing else in the agent talks to a session, so the number of TPS calls of a run is true, and the trace
holds every one of them with its outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from agent.ledger import Ledger
from agent.trace import Event, ModelSaid, Passing, Progressed, Tell, TpsCalled, Trace
from bridge import errors, model

P = ParamSpec("P")
T = TypeVar("T")


class Calls:
    """Counts and traces calls; tells a listener of everything that happens."""

    def __init__(self, trace: Trace, listener: Tell | None = None) -> None:
        self.count = 0
        self.ledger = Ledger()
        self._trace = trace
        self._listener = listener

    def __call__(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the client or session, and write down how it went."""
        name = getattr(method, "__name__", "call")
        self.count += 1
        started = time.monotonic()
        outcome = "UNEXPECTED"
        try:
            answer = method(*args, **kwargs)
            outcome = "ok"
            return answer
        except errors.BridgeError as error:
            outcome = error.reason
            raise
        finally:
            self.tell(TpsCalled(name, round(time.monotonic() - started, 3), outcome))

    def tell(self, event: Event | Passing) -> None:
        """Write an event to the trace, unless it only passes by, and show it to the listener."""
        if not isinstance(event, Progressed | ModelSaid):
            self._trace.write(event)
            self.ledger.note(event)
        if self._listener:
            self._listener(event)

    def progress(self, call: str) -> Callable[[model.Progress], None]:
        """An ``on_progress`` that shows an operation's progress to the listener."""

        def show(progress: model.Progress) -> None:
            if self._listener:
                self._listener(Progressed(call, progress))

        return show
