"""A trace as tables for other programs: CSV files of everything that was done and said, and one summary of counts.

The one idea: everything comes from the trace alone and is worked out before the first file is written, so a trace that
cannot be read leaves nothing behind. Every CSV opens with the intended-use line behind a ``#``; all texts are quoted,
and one that begins like a formula has an apostrophe before it.
In pandas: ``pandas.read_csv(file, comment="#")``, or ``skiprows=1``, which is right for any reader.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.analysis.coding import CodedSentence, code, code_book
from agent.analysis.faithfulness import Outcome, Said, check_story
from agent.analysis.story import Exchange, Story
from agent.run_folder import write_text
from agent.trace import verify
from bridge import INTENDED_USE

Row = Mapping[str, Any]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that spreadsheets take for a formula; models and TPS texts may begin with anything."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "attempts": (
        "attempt", "stage", "structure", "metric", "comparator", "limit", "acceptable", "unit", "rank", "value",
        "status", "normalization_percent", "kept", "best", "lost",
    ),
    "objectives": (
        "attempt", "objective", "structure", "type", "dose_gy", "volume_percent", "priority", "loss",
    ),
    "model_calls": (
        "attempt", "call", "model", "fingerprint", "output", "finish", "answered", "troubles", "tool_calls",
        "prompt_tokens", "answer_tokens", "reasoning_tokens", "cost_usd", "seconds",
    ),
    "format_errors": ("attempt", "asking", "fault", "objective", "field", "value", "rule", "allowed"),
    "decisions": ("attempt", "by", "what", "verdict", "best", "reason", "digest"),
    "codes": ("attempt", "source", "sentence", "codes", "words"),
    "statements": ("attempt", "source", "sentence", "number", "unit", "about", "outcome", "kind", "why"),
}  # fmt: skip
"""Table -> its columns; the file is the table's name with ``.csv``."""


def export_csv(trace: Path, folder: Path) -> tuple[Path, ...]:
    """Write every table of a run into a folder, which is made where there is none; earlier files are replaced.

    Raises
    ------
    agent.analysis.story.StoryError
        The trace cannot be read; then nothing was written.
    """
    story = Story.read(trace)
    rows = {
        "attempts": _attempts(story),
        "objectives": _objectives(story),
        "model_calls": _model_calls(story),
        "format_errors": _format_errors(story),
        "decisions": _decisions(story),
        "codes": _codes(story),
        "statements": _statements(check_story(story)),
    }
    texts = {folder / f"{name}.csv": _csv(COLUMNS[name], rows[name]) for name in COLUMNS}
    for path, text in texts.items():
        write_text(path, text)
    return tuple(texts)


def summary(trace: Path) -> dict[str, Any]:
    """The run in counts, as plain JSON values.

    ``codes``: source -> code -> sentences that have it, beside ``sentences`` that there are. ``statements``: source ->
    outcome -> numbers, with the hits that are differences or ratios again as ``derived``; ``statements_by_attempt``
    likewise, and ``misses`` lists the misses with their sentences. Sums over model calls are those of the replies that
    came; None where one of them has no count.
    """
    story, verification = Story.read(trace), verify(trace)
    said, calls = check_story(story), list(_model_calls(story))
    coded = [(text.source, sentence) for text in story.texts for sentence in code(text.text)]
    return {
        "intended_use": INTENDED_USE,
        "case": story.started.case,
        "protocol": story.started.protocol,
        "planner": story.started.planner,
        "arm": story.started.arm,
        "trace": {"ok": verification.ok, "problem": verification.problem, "head": verification.head},
        "attempts": len(story.evaluated),
        "best": story.ended.best if story.ended else None,
        "stop_reason": story.ended.stop_reason if story.ended else None,
        "seconds": story.ended.seconds if story.ended else None,
        "tps_calls": len(story.tps_calls),
        "code_book_edition": code_book().edition,
        "sentences": dict(Counter(source for source, _ in coded)),
        "codes": _code_counts(coded),
        "statements": _statement_counts((each.source, each) for each in said),
        "statements_by_attempt": _statement_counts((str(each.attempt), each) for each in said),
        "misses": [row for row in _statements(said) if row["outcome"] == Outcome.MISS.value],
        "format_errors": dict(Counter(str(row["fault"]) for row in _format_errors(story))),
        "model_calls": {
            "calls": len(calls),
            "answered": sum(row["answered"] for row in calls),
            "troubles": sum(row["troubles"] for row in calls),
            "tool_calls": sum(row["tool_calls"] for row in calls),
            **{
                name: _sum(row[name] for row in calls if row["answered"])
                for name in ("prompt_tokens", "answer_tokens", "reasoning_tokens", "cost_usd", "seconds")
            },
        },
    }


def _attempts(story: Story) -> Iterator[Row]:
    """One row for each attempt and goal."""
    for evaluated in story.evaluated:
        decided = story.chapter(evaluated.attempt).decided
        for goal in evaluated.goals:
            yield {
                "attempt": evaluated.attempt,
                "stage": evaluated.stage,
                "structure": goal.structure,
                "metric": goal.metric,
                "comparator": goal.comparator,
                "limit": goal.limit,
                "acceptable": goal.acceptable,
                "unit": goal.unit,
                "rank": goal.rank,
                "value": goal.value,
                "status": goal.status.value,
                "normalization_percent": evaluated.normalization_percent,
                "kept": decided.kept if decided else None,
                "best": decided.best if decided else None,
                "lost": "; ".join(evaluated.lost),
            }


def _objectives(story: Story) -> Iterator[Row]:
    for evaluated in story.evaluated:
        for state in evaluated.objectives:
            yield {
                "attempt": evaluated.attempt,
                "objective": state.name,
                "structure": state.structure,
                "type": state.type,
                "dose_gy": state.dose_gy,
                "volume_percent": state.volume_percent,
                "priority": state.priority,
                "loss": state.value,
            }


def _model_calls(story: Story) -> Iterator[Row]:
    for chapter in story.chapters:
        for number, exchange in enumerate(chapter.exchanges, start=1):
            yield {"attempt": chapter.number, "call": number, **_model_call(exchange)}


def _model_call(exchange: Exchange) -> Row:
    reply = exchange.reply
    usage = reply.usage if reply else None
    return {
        "model": reply.model if reply else None,
        "fingerprint": reply.fingerprint if reply else None,
        "output": reply.output if reply else None,
        "finish": reply.finish if reply else None,
        "answered": reply is not None,
        "troubles": len(exchange.troubles),
        "tool_calls": len(reply.tool_calls) if reply else 0,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "answer_tokens": usage.answer_tokens if usage else None,
        "reasoning_tokens": usage.reasoning_tokens if usage else None,
        "cost_usd": reply.cost_usd if reply else None,
        "seconds": reply.seconds if reply else None,
    }


def _format_errors(story: Story) -> Iterator[Row]:
    for chapter in story.chapters:
        for number, asking in enumerate(chapter.askings, start=1):
            for failure in asking.failures or ():
                yield {
                    "attempt": chapter.number,
                    "asking": number,
                    "fault": failure.fault.value,
                    "objective": failure.objective,
                    "field": failure.field,
                    "value": failure.value,
                    "rule": failure.rule,
                    "allowed": failure.allowed,
                }


def _decisions(story: Story) -> Iterator[Row]:
    """A person's on what was shown, and the loop's on what came out."""
    for chapter in story.chapters:
        for review in chapter.reviews:
            yield {
                "attempt": chapter.number,
                "by": review.decision.by or "person",
                "what": review.what,
                "verdict": review.decision.verdict.value,
                "best": None,
                "reason": review.decision.reason,
                "digest": review.decision.digest,
            }
        if decided := chapter.decided:
            yield {
                "attempt": chapter.number,
                "by": "loop",
                "what": "attempt",
                "verdict": "kept" if decided.kept else "not kept",
                "best": decided.best,
                "reason": decided.reason,
                "digest": None,
            }


def _codes(story: Story) -> Iterator[Row]:
    for text in story.texts:
        for sentence in code(text.text):
            yield {
                "attempt": text.attempt,
                "source": text.source,
                "sentence": sentence.text,
                "codes": "; ".join(sentence.codes),
                "words": "; ".join(hit.words for hit in sentence.hits),
            }


def _statements(said: Iterable[Said]) -> Iterator[Row]:
    for each in said:
        statement = each.statement
        yield {
            "attempt": each.attempt,
            "source": each.source,
            "sentence": statement.sentence,
            "number": statement.number,
            "unit": statement.unit,
            "about": statement.about,
            "outcome": statement.outcome.value,
            "kind": statement.kind,
            "why": statement.why,
        }


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    text.write(f"# {INTENDED_USE}\n")
    writer = csv.DictWriter(text, columns, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets the apostrophe that makes it text there."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _code_counts(coded: Iterable[tuple[str, CodedSentence]]) -> dict[str, dict[str, int]]:
    """Every code of the book for every source, zeros included."""
    counts: dict[str, dict[str, int]] = {}
    for source, sentence in coded:
        of_source = counts.setdefault(source, {each.id: 0 for each in code_book().codes})
        for found in sentence.codes:
            of_source[found] += 1
    return counts


def _statement_counts(said: Iterable[tuple[str, Said]]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for key, each in said:
        of_key = counts.setdefault(key, {**{outcome.value: 0 for outcome in Outcome}, "derived": 0})
        of_key[each.statement.outcome.value] += 1
        of_key["derived"] += each.statement.kind == "derived"
    return counts


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
