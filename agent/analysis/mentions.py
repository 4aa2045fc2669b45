"""What a sentence names, and which of its numbers are about which of these.

The one idea: a number is about the one thing named since the number before it. Where several things are named first and
numbers follow, or nothing is named, nobody can say what a number is about, and it is not said here either.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.analysis.facts import Fact, Facts, family

T = TypeVar("T")

_NUMBER = r"\d+(?:\.\d+)?"
_OUR_WORDS = rf"""
    (?P<skip> (?i:\b(?:attempt|stage|step|iteration|rank|try|plan|goal|rule|option))\s\#?\d+\b
            | (?i:\battempts)\s\d+(?:(?:,\s|\sand\s|\sto\s|\s?[-–]\s?)\d+)*(?![.\d]\d|\d|\s?(?:Gy|%|cc))
            | \#\d+\b
            | (?<![\w.])\d+\sof\s(?:the\s)?\d+\b
            | (?<![\w.])\d+\s(?i:(?:attempt|goal|objective|beam|fraction|organ|structure|step|point)s?|tries)\b )
  | (?P<metric> (?<![\w.])(?i:(?:DC|D|CV|V){_NUMBER}(?:\s?(?:%|cc\b|Gy\b))?(?:\[[^\]]*\])?)(?!\w)
            | (?<!\w)(?i:D_?(?:max|mean|min))(?!\w)
            | (?<!\w)(?:Mean|Max|Min|Median)\[[^\]]*\]
            | (?i:\b(?:mean|max(?:imum)?|min(?:imum)?|median)\sdoses?\b)
            | (?<!\w)(?:CI|HI|GI|R50)(?:\s(?:Paddick|RTOG|ICRU83))?(?!\w)
            | (?i:\b(?:conformity|gradient|homogeneity)\sindex\b) )
  | (?P<quantity> (?i:\b(?:priorit(?:y|ies)|weights?|lambda|doses?|volumes?|loss(?:es)?|tau)\b)
            | (?i:\b(?:normali[sz]ation|prescriptions?)\b)
            | λ | τ | (?<!\w)V(?!\w) )
  | (?P<number> (?<![\w.])(?P<digits>[+−-]?{_NUMBER})(?=[^\w.]|\.(?:\D|$)|$|Gy|cc|mm|x\b)
            \s?(?P<unit>Gy\b|%|percent\b|cc\b|mm\b)?(?P<of>\sof\b)? )
  | (?P<boundary> ;|—|\s–\s|(?i:\b(?:but|so|while|whereas|because|therefore|which|then|since|if)\b) )
"""
_NAMES, _QUANTITY = ("objective", "structure"), ("metric", "quantity")
_WORDS = (
    ("priorit", "priority"), ("weight", "priority"), ("lambda", "priority"), ("λ", "priority"), ("dose", "dose"),
    ("volume", "volume"), ("loss", "loss"), ("tau", "tau"), ("τ", "tau"), ("normali", "normalisation"),
    ("prescription", "prescription"), ("v", "V"),
)  # fmt: skip
"""How a word of quantity begins -> the quantity."""
_OF_THE_PLAN = ("normalisation", "prescription")
_METRIC_WORDS = (
    ("conformity", "CI"), ("gradient", "GI"), ("homogeneity", "HI"), ("median", "D50%"),
    ("mean", "Mean"), ("max", "Max"), ("min", "Min"), ("dmean", "Mean"), ("dmax", "Max"), ("dmin", "Min"),
)  # fmt: skip
"""How a metric in words begins -> the metric."""
_FOLLOWS = re.compile(
    r"(?:['’]s)?[\s(:,]*(?:(?:has|have|had|a|an|the|its|with|is|at|objective|goal|new|present|current)\s+)*",
    re.IGNORECASE,
)
"""Between a name and its quantity: ``PTV's D95%``, ``PTV lower (priority``."""
_PRECEDES = re.compile(r"\s*(?:of|for|in|on|to)\s+(?:the\s+)?", re.IGNORECASE)
"""Between a quantity and its name: ``D95% of the PTV``; between a number and what it is for."""


@dataclass(frozen=True)
class Thing:
    """One metric or objective that a sentence names; without facts where it is not plain which."""

    name: str
    facts: tuple[Fact, ...]
    is_objective: bool = False
    is_bare: bool = False
    """An objective without the quantity that is meant."""


@dataclass(frozen=True)
class Number:
    """A number as it was written."""

    text: str
    start: int
    end: int
    """Behind its unit."""
    unit: str
    is_share: bool = False
    """``95 % of ...``."""

    @property
    def value(self) -> float:
        """Without its sign, which only says in which direction."""
        return float(self.text.lstrip("+−-"))

    @property
    def is_signed(self) -> bool:
        return self.text[0] in "+−-"

    @property
    def decimals(self) -> int:
        return len(self.text.partition(".")[2])


@dataclass(frozen=True)
class _Token:
    kind: str
    """``objective structure metric quantity number skip boundary``."""
    text: str
    """Names: as the facts spell them."""
    start: int
    end: int
    number: Number | None = None
    thing: Thing | None = None


class Reader:
    """Reads sentences, knowing which names there are."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._names = {_folded(name): name for name in (*facts.structures, *facts.objectives)}
        kinds = (("objective", facts.objectives), ("structure", facts.structures))
        patterns = [f"(?P<{kind}>{_any_of(names)})" for kind, names in kinds if names]
        self._pattern = re.compile("|".join([*patterns, _OUR_WORDS]), re.VERBOSE)

    def numbers(self, sentence: str) -> Iterator[tuple[Number, Thing | None]]:
        """Every number with the one thing that it is about; None where that is not plain."""
        tokens = self._with_things(sentence, [self._token(match) for match in self._pattern.finditer(sentence)])
        things = {token.thing.name: token.thing for token in tokens if token.thing}
        named: dict[str, Thing] = {}
        is_list = False
        for index, token in enumerate(tokens):
            if token.thing:
                named = named if is_list else {}
                named[token.thing.name] = token.thing
            elif token.number:
                yield token.number, _named_next(sentence, tokens, index) or _only(named or things)
            is_list = token.thing is not None

    def _token(self, match: re.Match[str]) -> _Token:
        kind = str(match.lastgroup)
        if kind in _NAMES:
            return _Token(kind, self._names[_folded(match[0])], match.start(), match.end())
        if kind != "number":
            return _Token(kind, match[0], match.start(), match.end())
        unit = (match["unit"] or "").replace("percent", "%")
        end = match.end() - len(match["of"] or "")
        number = Number(match["digits"], match.start(), end, unit, is_share=unit == "%" and bool(match["of"]))
        return _Token(kind, match[0], match.start(), end, number)

    def _with_things(self, sentence: str, tokens: Sequence[_Token]) -> list[_Token]:
        """Names and quantities joined to the things they mean; only these, numbers and boundaries are left."""
        joined: list[_Token] = []
        name_of = _names_of_quantities(sentence, tokens)
        used = {name.text for name in name_of.values() if name}
        for token in tokens:
            if token.kind in _QUANTITY:
                name = name_of[token.start]
                start = min(token.start, name.start) if name else token.start
                joined.append(replace(token, start=start, thing=self._thing(token, name)))
            elif token.kind in ("number", "boundary"):
                joined.append(token)
            elif token.kind in _NAMES and token.text not in used:
                joined.append(replace(token, thing=self._bare(token)))
        return joined

    def _thing(self, quantity: _Token, name: _Token | None) -> Thing:
        if quantity.kind == "metric":
            return self._metric(_metric(quantity.text), name)
        word = next(meant for start, meant in _WORDS if quantity.text.lower().startswith(start))
        if word in _OF_THE_PLAN:
            return Thing(word, self._of("", word))
        if name is None:
            return Thing(word, ())
        objective = name.text if name.kind == "objective" else self._only_objective(name.text, word)
        facts = self._of(objective, word) if objective else ()
        return Thing(f"{objective or name.text} {word}", facts, is_objective=True)

    def _only_objective(self, structure: str, word: str) -> str:
        """The objective that a structure's name will do for; its dose or volume might be the structure's own."""
        objectives = [name for name, on in self._facts.objectives.items() if on == structure]
        return objectives[0] if len(objectives) == 1 and word not in ("dose", "volume") else ""

    def _metric(self, metric: str, name: _Token | None) -> Thing:
        facts = [fact for fact in self._facts.all if _is_metric(fact, metric)]
        if name is not None:
            structure = self._facts.objectives.get(name.text, name.text)
            facts = [fact for fact in facts if fact.subject == structure]
        kinds = {(fact.subject, fact.quantity) for fact in facts}
        if len(kinds) != 1:
            return Thing(metric if name is None else f"{name.text} {metric}", ())
        return Thing(" ".join(kinds.pop()), tuple(facts))

    def _bare(self, name: _Token) -> Thing:
        if name.kind == "structure":
            return Thing(name.text, ())
        facts = tuple(fact for fact in self._facts.all if fact.subject == name.text)
        return Thing(name.text, facts, is_objective=True, is_bare=True)

    def _of(self, subject: str, quantity: str) -> tuple[Fact, ...]:
        return tuple(fact for fact in self._facts.all if (fact.subject, fact.quantity) == (subject, quantity))


def _names_of_quantities(sentence: str, tokens: Sequence[_Token]) -> dict[int, _Token | None]:
    """Where a quantity starts -> its name: one beside it, that of the quantity before, else the only one around."""
    found: dict[int, _Token | None] = {}
    names = {token.text: token for token in tokens if token.kind in _NAMES}
    for clause in _clauses(tokens):
        here = {token.text: token for token in clause if token.kind in _NAMES} or names
        before: _Token | None = None
        for index, token in enumerate(clause):
            if token.kind in _QUANTITY:
                carried = found[before.start] if before and before.kind in _QUANTITY else _only(here)
                found[token.start] = _beside(sentence, clause, index) or carried
            if token.kind not in ("number", "skip"):
                before = token
    return found


def _clauses(tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
    clause: list[_Token] = []
    for token in tokens:
        if token.kind == "boundary":
            yield clause
            clause = []
        else:
            clause.append(token)
    yield clause


def _beside(sentence: str, clause: Sequence[_Token], index: int) -> _Token | None:
    """The name that follows a quantity with "of" and the like, or stands right before it."""
    quantity = clause[index]
    if index + 1 < len(clause) and clause[index + 1].kind in _NAMES:
        after = clause[index + 1]
        if _PRECEDES.fullmatch(sentence[quantity.end : after.start]):
            return after
    if index and clause[index - 1].kind in _NAMES:
        before = clause[index - 1]
        if _FOLLOWS.fullmatch(sentence[before.end : quantity.start]):
            return before
    return None


def _only(found: Mapping[str, T]) -> T | None:
    return next(iter(found.values())) if len(found) == 1 else None


def _named_next(sentence: str, tokens: Sequence[_Token], index: int) -> Thing | None:
    """The thing that directly follows with a word like "for": ``62 Gy for Brainstem D0.03cc``."""
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    if following is None or not _PRECEDES.fullmatch(sentence[tokens[index].end : following.start]):
        return None
    return following.thing


def _metric(text: str) -> str:
    """A metric as facts spell it; an index without its form where only that was written."""
    lower = text.lower().replace("_", "")
    for start, meant in _METRIC_WORDS:
        if lower.startswith(start):
            return meant
    if lower[0] in "dv" or lower.startswith("cv"):
        return family(text.replace(" ", "").upper().replace("GY", "Gy").replace("CC", "cc"))
    return text


def _is_metric(fact: Fact, metric: str) -> bool:
    return fact.quantity == metric or (metric in ("CI", "HI") and fact.quantity.startswith(f"{metric} "))


def _folded(name: str) -> str:
    return name.lower().replace("_", " ")


def _any_of(names: Collection[str]) -> str:
    """A pattern of whole names, in any case, ``_`` and space alike; ``PTV max`` is not the start of "PTV max dose"."""
    return "|".join(map(_pattern, sorted(names, key=len, reverse=True)))


def _pattern(name: str) -> str:
    words = r"[_\ ]".join(re.escape(word) for word in re.split(r"[_ ]", name))
    behind = r"(?!\w|\ dose)" if name.endswith((" max", " min", " mean")) else r"(?!\w)"
    return rf"(?<!\w)(?i:{words}){behind}"
