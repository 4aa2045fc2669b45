"""The last answers, for whoever asks while Eclipse is at work.

The one idea: during an optimisation ESAPI answers nobody, but nothing that could be read before it began has changed
unless we changed it. So answers are kept as they are given, all of them forgotten at every write, and handed out only
while the ESAPI thread is held. The questions outlive the answers: what was asked once is likely to be asked again.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any

from bridge.errors import TpsBusy

RETRY_AFTER_S = 2.0
MOST_ANSWERS = 2000
MISSING = object()


class Recall:
    """Question -> last answer."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, Any] = {}
        self._questions: dict[Hashable, None] = {}
        self._lock = threading.Lock()

    def keep(self, question: Hashable, answer: Any) -> None:
        with self._lock:
            self._answers.pop(question, None)
            self._answers[question] = answer
            self._questions.pop(question, None)
            self._questions[question] = None
            for full in (self._answers, self._questions):
                if len(full) > MOST_ANSWERS:
                    del full[next(iter(full))]

    def forget(self) -> None:
        """The answers; not what was asked."""
        with self._lock:
            self._answers.clear()

    def questions(self) -> tuple[Hashable, ...]:
        """What was asked so far, the latest last."""
        with self._lock:
            return tuple(self._questions)

    def answer(self, question: Hashable) -> Any:
        """The last answer.

        Raises
        ------
        TpsBusy
            It was not asked before Eclipse got to work.
        """
        with self._lock:
            found = self._answers.get(question, MISSING)
        if found is MISSING:
            raise TpsBusy(
                "Eclipse is at work, and this was not read before it began. Try again when the operation has ended.",
                retry_after_s=RETRY_AFTER_S,
            )
        return found
