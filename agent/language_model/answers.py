"""Finds the JSON object in what a model answered, or says as a check failure why there is none.

The one idea: the last JSON in an answer is the answer, be it the whole text, a fenced block or a bare object after
prose. Where that last one is broken or cut off, no earlier draft and no object inside it is taken in its place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.language_model.received import writable
from agent.proposal import CheckFailure, Fault
from agent.talk import Reply

_ALLOWED = "one JSON object and nothing else, complete, each key once, plain numbers"
_FENCE = re.compile(r"```[\w-]*(.*?)(?:```|\Z)", re.DOTALL)
_JSON_BEGINS = re.compile(r"""\{\s*["']|\[\s*\{""")
_EXCERPT_CHARACTERS = 80
_BRACKETS = {"{": 1, "[": 1, "}": -1, "]": -1}


@dataclass(frozen=True)
class _Candidate:
    """The part of an answer that was meant as JSON."""

    text: str
    is_finished: bool = True
    """False: the answer ends within it."""


def read_answer(reply: Reply) -> Mapping[str, Any] | CheckFailure:
    """The object that the model answered with, or why there is none that can be relied on."""
    return _silence(reply) or _object(reply)


def _silence(reply: Reply) -> CheckFailure | None:
    """Why there is no answer to look into."""
    if reply.finish == "repetition":
        rule = "the answer repeated itself without end and was cut off"
        return _failure(Fault.REPETITION, reply.answer or reply.reasoning, rule)
    if not reply.reasoning_closed:
        rule = f"the reasoning in <think> never ended{_cut_off(reply)}, so there is no answer"
        return _failure(Fault.UNCLOSED_REASONING, reply.reasoning, rule, f"short reasoning, </think>, then {_ALLOWED}")
    if reply.refusal or reply.finish == "content_filter":
        rule = "this declines to answer; only numbers of an optimisation problem are asked for"
        return _failure(Fault.REFUSAL, reply.refusal or reply.answer, rule)
    if not reply.answer.strip():
        return _failure(Fault.EMPTY, "", f"the answer is empty{_cut_off(reply)}")
    return None


def _object(reply: Reply) -> Mapping[str, Any] | CheckFailure:
    candidate = _candidate(reply.answer.strip())
    if candidate is None:
        return _failure(Fault.NO_JSON, reply.answer, f"the answer holds no JSON object{_cut_off(reply)}")
    if not candidate.is_finished:
        return _failure(Fault.BROKEN_JSON, candidate.text, f"the JSON does not end{_cut_off(reply)}")
    try:
        value = _parsed(candidate.text)
    except (ValueError, RecursionError) as error:
        return _failure(Fault.BROKEN_JSON, candidate.text, f"the JSON cannot be read: {error}")
    if isinstance(value, dict):
        return value
    return _failure(Fault.SCHEMA, candidate.text, f"the answer is a JSON {type(value).__name__}, not an object")


def _candidate(answer: str) -> _Candidate | None:
    """What was meant as JSON: the whole text, otherwise in the last fenced block that holds any, otherwise bare."""
    if _is_json(answer):
        return _Candidate(answer)
    bare = _last_bare(answer)
    if bare is None or not bare.is_finished:
        return bare
    fenced = [block for block in _FENCE.findall(answer) if _JSON_BEGINS.search(block)]
    return _last_bare(fenced[-1]) if fenced else bare


def _last_bare(text: str) -> _Candidate | None:
    found, position = None, 0
    while begun := _JSON_BEGINS.search(text, position):
        end = _balanced_end(text, begun.start())
        found = _Candidate(text[begun.start() : end], is_finished=end is not None)
        position = len(text) if end is None else end
    return found


def _balanced_end(text: str, start: int) -> int | None:
    """Behind the bracket that closes the one at ``start``; None where none does."""
    depth, in_string, is_escaped = 0, False, False
    for position in range(start, len(text)):
        character = text[position]
        if in_string:
            in_string = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"':
            in_string = True
        else:
            depth += _BRACKETS.get(character, 0)
            if depth == 0:
                return position + 1
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(text: str) -> Any:
    return writable(
        json.loads(text, strict=False, object_pairs_hook=_each_key_once, parse_constant=_no_number, parse_float=_finite)
    )


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:_EXCERPT_CHARACTERS]!r} stands twice")
        found[key] = value
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word[:_EXCERPT_CHARACTERS]} is no number")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _no_number(digits)


def _cut_off(reply: Reply) -> str:
    return " because it was cut off at the longest answer allowed; be shorter" if reply.finish == "length" else ""


def _failure(fault: Fault, text: str, rule: str, allowed: str = _ALLOWED) -> CheckFailure:
    return CheckFailure(fault, "", "", text[:_EXCERPT_CHARACTERS] or None, rule, allowed)
