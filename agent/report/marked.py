"""A planner's words with what the analysis found in them: the codes of sentences, what the record says of numbers.

The one idea: nothing is rewritten. The pieces, put together again, are the text as it was said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.analysis.coding import code, code_book
from agent.analysis.facts import facts_for
from agent.analysis.faithfulness import Outcome, Statement, check_statements
from agent.analysis.story import Story, Text

OUTCOME_SIGN = {Outcome.HIT: "✓", Outcome.MISS: "✗", Outcome.NOT_CHECKABLE: "?"}
OUTCOME_WORD = {
    Outcome.HIT: "as recorded",
    Outcome.MISS: "not as recorded",
    Outcome.NOT_CHECKABLE: "not checkable",
}


@dataclass(frozen=True)
class Piece:
    """A part of a sentence: a number that was checked, or what stands between."""

    text: str
    outcome: Outcome | None = None
    """None: no checked number."""
    why: str = ""


@dataclass(frozen=True)
class Sentence:
    """A sentence, or what stands between two."""

    pieces: tuple[Piece, ...]
    codes: tuple[str, ...] = ()
    """Titles of its codes."""


def marked(story: Story, text: Text) -> tuple[Sentence, ...]:
    """A text of a run, sentence by sentence, each number against what was recorded when it was said."""
    titles = {each.id: each.title for each in code_book().codes}
    facts = facts_for(story, text)
    found: list[Sentence] = []
    at = 0
    for coded in code(text.text):
        start = text.text.index(coded.text, at)
        found += _between(text.text[at:start])
        pieces = tuple(_pieces(coded.text, check_statements(coded.text, facts)))
        found.append(Sentence(pieces, tuple(titles[each] for each in coded.codes)))
        at = start + len(coded.text)
    return (*found, *_between(text.text[at:]))


def _between(text: str) -> Iterator[Sentence]:
    """What is no sentence: line ends, bullets, fenced data."""
    if text:
        yield Sentence((Piece(text),))


def _pieces(sentence: str, statements: Sequence[Statement]) -> Iterator[Piece]:
    """The sentence cut at its checked numbers, which stand in it in the order of the statements."""
    at = 0
    for statement in statements:
        number = re.compile(rf"(?<![\w.]){re.escape(statement.number)}(?!\.?\d)").search(sentence, at)
        if number is None:
            continue
        if number.start() > at:
            yield Piece(sentence[at : number.start()])
        yield Piece(number[0], statement.outcome, statement.why)
        at = number.end()
    if at < len(sentence):
        yield Piece(sentence[at:])
