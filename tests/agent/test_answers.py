"""Whatever a model answers is either one JSON object that can be relied on, or a failure of the right kind."""

from __future__ import annotations

from typing import Any

import pytest

from agent.language_model.answers import read_answer
from agent.proposal import CheckFailure, Fault
from agent.talk import Reply

ANSWER = '{"rationale": "Dmax 21.3 Gy is {too} high.", "changes": [{"objective": "PTV lower", "priority": 80}]}'
READ = {"rationale": "Dmax 21.3 Gy is {too} high.", "changes": [{"objective": "PTV lower", "priority": 80}]}


def failure(answer: str, **reply: Any) -> CheckFailure:
    found = read_answer(Reply(answer, **reply))
    assert isinstance(found, CheckFailure)
    return found


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ANSWER, id="plain"),
        pytest.param(f"\n\n{ANSWER}\n", id="among blank lines"),
        pytest.param(f"```json\n{ANSWER}\n```", id="fenced"),
        pytest.param(f"```\n{ANSWER}\n```\nThis should lower the hot spot.", id="fenced before prose"),
        pytest.param(f"```json {ANSWER}```", id="fenced in one line"),
        pytest.param(f"Here you are:\n```json\n{ANSWER}", id="fence never closed"),
        pytest.param(f"The hot spot [1] lies in {{PTV}}. So I propose {ANSWER} and wait.", id="bare within prose"),
        pytest.param(f'First {{"rationale": "a draft"}}, then better: {ANSWER}', id="a draft before"),
        pytest.param(f'```json\n{{"rationale": "a draft"}}\n```\nBetter:\n```json\n{ANSWER}\n```', id="a fenced draft"),
        pytest.param(f'```json\n{ANSWER}\n```\nas before it was {{"priority": 3}}', id="fenced goes before bare"),
        pytest.param(f"```json\n{ANSWER}\n```\n```python\nx = max(a, b)\n```", id="another fence after"),
    ],
)
def test_the_object_is_found_wherever_it_stands(answer: str) -> None:
    """The same answer is read from plain text, fences and prose; braces in strings and in prose do no harm."""
    assert read_answer(Reply(answer)) == READ


def test_quotes_and_braces_within_strings_do_no_harm() -> None:
    """Escaped quotes and lone braces do not end an object early."""
    text = r'Thus {"rationale": "a 5\" {spot \\", "priority": 3} it is.'
    assert read_answer(Reply(text)) == {"rationale": 'a 5" {spot \\', "priority": 3}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        pytest.param("", Fault.EMPTY, id="empty"),
        pytest.param(" \n\t", Fault.EMPTY, id="blank"),
        pytest.param("I would raise the priority of the target to 80.", Fault.NO_JSON, id="prose"),
        pytest.param("The set {PTV, Body} and {} stay.", Fault.NO_JSON, id="braces that are no JSON"),
        pytest.param(ANSWER[:-1], Fault.BROKEN_JSON, id="last brace missing"),
        pytest.param(ANSWER[:-4], Fault.BROKEN_JSON, id="cut within a number"),
        pytest.param(ANSWER[:40], Fault.BROKEN_JSON, id="cut within a string"),
        pytest.param(f"```json\n{ANSWER[:-6]}\n```", Fault.BROKEN_JSON, id="broken in a fence"),
        pytest.param(f"{ANSWER} No, better {ANSWER[:-3]}", Fault.BROKEN_JSON, id="whole draft, cut answer"),
        pytest.param(f"```json\n{ANSWER}\n```\nNo, {ANSWER[:30]}", Fault.BROKEN_JSON, id="fenced draft, cut answer"),
        pytest.param('{"changes": [{"priority": 3,}, {"priority": 4}]}', Fault.BROKEN_JSON, id="trailing comma inside"),
        pytest.param('{"priority": 3} or {"priority": 4,}', Fault.BROKEN_JSON, id="whole draft, broken answer"),
        pytest.param("{'priority': 3}", Fault.BROKEN_JSON, id="single quotes"),
        pytest.param('{"priority": 3, "priority": 4}', Fault.BROKEN_JSON, id="key twice"),
        pytest.param('{"a": {"priority": 3, "priority": 3}}', Fault.BROKEN_JSON, id="key twice, deeper"),
        pytest.param('{"priority": NaN}', Fault.BROKEN_JSON, id="NaN"),
        pytest.param('{"priority": -Infinity}', Fault.BROKEN_JSON, id="infinity"),
        pytest.param('{"priority": 1e999}', Fault.BROKEN_JSON, id="beyond every float"),
        pytest.param('{"a": ' * 100_000 + "1" + "}" * 100_000, Fault.BROKEN_JSON, id="too deep"),
        pytest.param('{"priority": ' + "9" * 5000 + "}", Fault.BROKEN_JSON, id="too many digits"),
        pytest.param('[{"priority": 3}]', Fault.SCHEMA, id="a list"),
        pytest.param('[{"priority": 3}, {"priority": 4}', Fault.BROKEN_JSON, id="a list that is cut off"),
        pytest.param('"80"', Fault.SCHEMA, id="a string"),
    ],
)
def test_what_cannot_be_relied_on_is_a_failure_of_its_kind(answer: str, fault: Fault) -> None:
    """No part of a broken answer is taken for the whole, and each failure says what is allowed."""
    found = failure(answer)
    assert found.fault is fault
    assert "one JSON object" in found.allowed


def test_an_answer_that_was_cut_off_is_told_so() -> None:
    """The model learns that it must be shorter, and not that it forgot a brace."""
    assert "cut off" in failure(ANSWER[:50], finish="length").rule
    assert "cut off" not in failure(ANSWER[:50]).rule
    assert "cut off" in failure("", finish="length").rule


def test_reasoning_that_never_ended_is_no_answer() -> None:
    """Not even where JSON stands in the reasoning."""
    found = failure("", reasoning=f"Maybe {ANSWER}", reasoning_closed=False)
    assert found.fault is Fault.UNCLOSED_REASONING


def test_a_refusal_is_told_apart_from_prose() -> None:
    """The field made for refusals, and the server's filter, count as refusals."""
    assert failure("", refusal="I cannot help with this.").fault is Fault.REFUSAL
    assert failure("", finish="content_filter").fault is Fault.REFUSAL


def test_endless_repetition_is_told_even_where_json_stands_in_it() -> None:
    """An answer that was cut off by us is never read."""
    assert failure(ANSWER * 40, finish="repetition").fault is Fault.REPETITION


def test_a_failure_shows_the_beginning_only() -> None:
    """A long answer does not fill the next prompt."""
    assert len(str(failure("words " * 10_000))) < 300


def test_half_a_character_in_a_string_is_replaced() -> None:
    """A lone surrogate that JSON escapes hide becomes U+FFFD, in keys and deep values too; a pair stays a character."""
    found = read_answer(Reply(r'{"rationale": "\ud83d\ude00 \ud800", "a\udfff": [{"b": "\udc00"}]}'))
    assert found == {"rationale": "\U0001f600 \ufffd", "a\ufffd": [{"b": "\ufffd"}]}


@pytest.mark.parametrize("value", ["9" * 5000, "1e" + "9" * 5000])
def test_a_long_key_or_number_does_not_fill_the_refusal(value: str) -> None:
    """What is quoted of a broken answer stays short."""
    key = "k" * 5000
    assert len(str(failure(f'{{"{key}": 1, "{key}": 2}}'))) < 400
    assert len(str(failure(f'{{"priority": {value}}}'))) < 400
