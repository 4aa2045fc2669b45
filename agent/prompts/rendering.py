"""From what is shown to the messages that are sent.

The one idea: wording lives in templates, one for each planner and stage, made of shared parts. A template can use only
the fields of `Shown`; a misspelt one is an error here, not a gap in a prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from agent.actions import ActionSpace
from agent.actions.naming import to_model, told_rule
from agent.observation import Observation
from agent.prompts.fence import cut
from agent.prompts.figures import ObjectiveLine
from agent.prompts.shown import Shown
from agent.proposal import CheckFailure
from agent.talk import Message, Role
from agent.wording import counted

MOST_FAILURES = 10
"""So many rules that an answer breaks are told one by one; the others are counted."""
REASON_CHARACTERS = 600
"""A reason given earlier is cut after so many, with a word that says so."""


def opening(template: str, shown: Shown) -> tuple[Message, Message]:
    """The two messages that begin a conversation: who the model is, and what the plan looks like."""
    return (
        Message(Role.SYSTEM, _render(template, "system", shown)),
        Message(Role.USER, _render(template, "user", shown)),
    )


def outcome(shown: Shown) -> str:
    """What came of a trial, with the new state."""
    return _render("outcome.md.j2", "user", shown)


def repair_message(failures: Sequence[CheckFailure], observation: Observation, action: ActionSpace) -> str:
    """What is wrong with an answer, as JSON in the words of such answers, and that the whole answer is wanted again."""
    told = [_failure(action.refusal(failure, observation), observation) for failure in failures[:MOST_FAILURES]]
    lines = ",\n".join(f"  {json.dumps(failure, ensure_ascii=False)}" for failure in told)
    more = f"\n\nand {len(failures) - MOST_FAILURES} more." if len(failures) > MOST_FAILURES else ""
    return (
        f"Your answer was not used: {counted(len(failures), 'rule')} broken.\n\n```json\n[\n{lines}\n]\n```{more}\n\n"
        "Correct this and give the whole answer again, in the same form, not only what changes."
    )


def _failure(failure: CheckFailure, observation: Observation) -> dict[str, object]:
    """Field by field; the value is the model's own and stays as it wrote it."""
    return {
        "kind": failure.fault.value,
        "objective": to_model(observation).get(failure.objective, ""),
        "field": failure.field,
        "value": failure.value,
        "rule": told_rule(failure.rule, observation),
        "allowed": told_rule(failure.allowed, observation),
    }


def _render(template: str, block: str, shown: Shown) -> str:
    loaded = _environment().get_template(template)
    text = "".join(loaded.blocks[block](loaded.new_context({"shown": shown})))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("agent.prompts", ""),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "num": _num, "loss": _loss, "rough": _rough, "one": _one, "two": _two, "span": _span,
        "share": _share, "signed": _signed, "away": _away, "has": _has, "through": _through, "cut": _cut,
    }  # fmt: skip
    environment.globals["counted"] = counted
    return environment


def _num(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _rough(value: float) -> str:
    return f"{value:.2g}"


def _one(value: float) -> str:
    return f"{value:.1f}"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _span(low: float, high: float) -> str:
    """``0.6 to 1``; one number where both are the same."""
    return _num(low) if low == high else f"{_num(low)} to {_num(high)}"


def _share(percent: float | None) -> str:
    return "–" if percent is None else f"{percent:.1f} %"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 2) + 0.0:+.2f}"


def _away(gap: float, unit: str) -> str:
    """``1.20 Gy outside``; a gap that two decimals do not show is inside."""
    where = "outside" if round(gap, 2) > 0.0 else "inside"
    return f"{abs(gap):.2f}{' ' + unit if unit else ''} {where}"


def _has(line: ObjectiveLine) -> str:
    """``51.20 Gy, 1.20 over``: what the plan has at the objective's point, and by how much that misses or keeps it."""
    if line.has_gy is None or line.gap_gy is None:
        return "–"
    if line.type == "hold":
        return f"{line.has_gy:.2f} Gy"
    words = ("short", "more") if line.type in ("lower", "min") else ("over", "under")
    return f"{line.has_gy:.2f} Gy, {abs(line.gap_gy):.2f} {words[0] if line.gap_gy > 0.0 else words[1]}"


def _through(names: Sequence[str]) -> str:
    """`` (through PTV lower, PTV upper)``; nothing where there are none."""
    return f" (through {', '.join(names)})" if names else ""


def _cut(text: str) -> str:
    return cut(" ".join(text.split()), REASON_CHARACTERS)
