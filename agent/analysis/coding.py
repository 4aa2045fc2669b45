"""Content coding: which kinds of things a planner's text says, sentence by sentence, after a published code book.

The one idea: the code book is data, and its own examples are its test. It holds for each code what it means, what
belongs to it and what does not, examples of both, and the patterns that decide; whoever disagrees with a count can see
which words made it. Patterns count words, not thoughts: a model may think without saying so, and say so without
thinking.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*•>#]+|\(?\d{1,2}[.)])\s+")
_END = re.compile(r"(?<=[.!?])[\"')\]*]*\s+(?=[^a-z\s])")
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|vs|approx|cf|resp|fig|max|min)\.$", re.IGNORECASE)


class _Part(BaseModel):
    """Base of all parts: frozen, nothing coerced, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Code(_Part):
    """One kind of thing that a sentence may say."""

    id: str
    title: str
    definition: str
    include: tuple[str, ...] = Field(min_length=1, strict=False)
    exclude: tuple[str, ...] = Field(min_length=1, strict=False)
    patterns: tuple[str, ...] = Field(min_length=1, strict=False)
    """Any of them gives the code."""
    unless: tuple[str, ...] = Field(default=(), strict=False)
    """Any of them takes it away."""
    positive: tuple[str, ...] = Field(min_length=1, strict=False)
    negative: tuple[str, ...] = Field(min_length=1, strict=False)


class CodeBook(_Part):
    """All codes; counts of different editions cannot be compared."""

    edition: int = Field(ge=1)
    codes: tuple[Code, ...] = Field(min_length=1, strict=False)


@dataclass(frozen=True)
class Hit:
    """One code of a sentence, and why it has it."""

    code: str
    words: str
    """Of the sentence, that the pattern found."""
    pattern: str


@dataclass(frozen=True)
class CodedSentence:
    """A sentence and its codes; one code counts once a sentence."""

    text: str
    hits: tuple[Hit, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(hit.code for hit in self.hits)


@cache
def code_book() -> CodeBook:
    """The code book that comes with the agent."""
    text = resources.files("agent.analysis").joinpath("code_book.yaml").read_text(encoding="utf-8")
    return CodeBook.model_validate(yaml.safe_load(text))


def code(text: str) -> tuple[CodedSentence, ...]:
    """Every sentence of a text with its codes, in the order of the code book."""
    return tuple(CodedSentence(sentence, tuple(_hits(sentence))) for sentence in sentences(text))


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text.

    A sentence ends with its line, or with a full stop, question or exclamation mark before a space and no small letter.
    Fenced blocks are data and left out, as are bullets, numbers of list items, and lines without a word.
    """
    lines = (_BULLET.sub("", line).strip() for line in _FENCED.sub("\n", text).splitlines())
    return tuple(sentence for line in lines for sentence in _split(line) if re.search(r"[^\W\d_]{2}|\d\s*=", sentence))


def page() -> str:
    """The code book as a page (Markdown), as `docs/code-book.md` publishes it."""
    book = code_book()
    return "\n".join([_INTRODUCTION.format(edition=book.edition), *map(_section, book.codes)])


def _hits(sentence: str) -> Iterator[Hit]:
    for each in code_book().codes:
        if any(re.search(pattern, sentence, re.IGNORECASE) for pattern in each.unless):
            continue
        for pattern in each.patterns:
            if match := re.search(pattern, sentence, re.IGNORECASE):
                yield Hit(each.id, match[0].strip(), pattern)
                break


def _split(line: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(line):
        if not _ABBREVIATED.search(line[start : match.start()]):
            yield line[start : match.end()].strip()
            start = match.end()
    yield line[start:].strip()


def _section(each: Code) -> str:
    parts = [f"## {each.title}", f"`{each.id}`. {each.definition}"]
    parts += [_list("Belongs to it", each.include), _list("Does not", each.exclude)]
    parts += [_list("Coded", each.positive), _list("Not coded", each.negative)]
    parts += [_list("Patterns", [f"`{pattern}`" for pattern in each.patterns])]
    if each.unless:
        parts.append(_list("Unless", [f"`{pattern}`" for pattern in each.unless]))
    return "\n\n".join(parts) + "\n"


def _list(title: str, items: tuple[str, ...] | list[str]) -> str:
    return "\n".join([f"{title}:", "", *(f"- {item}" for item in items)])


_INTRODUCTION = """\
# Code book of the content coding

Edition {edition}. Made from `agent/analysis/code_book.yaml` by `agent.analysis.coding.page()`; change that file, not
this page.

SAGE (arXiv 2512.20586) counted what kinds of things two models said while they planned. It names five categories; the
definitions, patterns and examples behind its counts were not published. Those here are **our own**, and so is the sixth
category, arithmetic. Our counts can be compared with each other within one edition, not with the paper's.

- What is coded: the reasoning that came before an answer, the rationale of each proposal, and the reason of each
  change, refused proposals included. They are counted apart (`source`).
- The unit is the sentence: a line, or a part of one up to `.`, `!` or `?`. A sentence has any number of codes, each at
  most once. Fenced blocks are data and are left out.
- A code is given where one of its patterns is found and none of its exceptions ("unless"). The table `codes.csv` says
  which words gave it.
- **Counts are of words, not of thoughts.** A pattern finds a way of speaking. A model may weigh two aims without the
  words for it, and use the words without weighing anything; a planner that is a program has its sentences from a
  programmer. No second reader has coded the same texts, so there is no figure for agreement.
- Patterns are for English.
"""
