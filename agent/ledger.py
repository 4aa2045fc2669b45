"""What a run has cost so far besides the TPS: refused proposals by kind, and the language model's tokens and money.

The one idea: the ledger reads the events that are traced anyway, so its sums and the trace cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from agent.records import ModelCosts
from agent.talk import Reply
from agent.trace import Checked, Event, ModelAnswered, ModelAsked, ModelTroubled, ToolUsed


class Ledger:
    """Sums over the events of one run."""

    def __init__(self) -> None:
        self.format_errors: Counter[str] = Counter()
        self.model = ModelCosts()
        self._unpriced = False

    def note(self, event: Event) -> None:
        """Add what an event tells."""
        match event:
            case Checked(by="planner"):
                self.format_errors.update(failure.fault.value for failure in event.failures)
            case ModelAsked():
                self.model = replace(self.model, requests=self.model.requests + 1)
            case ModelTroubled(waits_s=float() | int()):
                self.model = replace(self.model, retries=self.model.retries + 1)
            case ToolUsed():
                self.model = replace(self.model, tool_calls=self.model.tool_calls + 1)
            case ModelAnswered():
                self._answered(event.reply)
            case _:
                pass

    def _answered(self, reply: Reply) -> None:
        before, usage = self.model, reply.usage
        self._unpriced = self._unpriced or reply.cost_usd is None
        self.model = replace(
            before,
            seconds=round(before.seconds + reply.seconds, 3),
            cost_usd=None if self._unpriced else (before.cost_usd or 0.0) + (reply.cost_usd or 0.0),
            prompt_tokens=before.prompt_tokens + (usage.prompt_tokens if usage else 0),
            answer_tokens=before.answer_tokens + (usage.answer_tokens if usage else 0),
            reasoning_tokens=before.reasoning_tokens + (usage.reasoning_tokens if usage else 0),
        )
