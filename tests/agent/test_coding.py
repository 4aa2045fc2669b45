"""Content coding: the code book holds what its examples promise, and is published as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.analysis.coding import code, code_book, page, sentences

PAGE = Path(__file__).parents[2] / "docs" / "code-book.md"
CODES = code_book().codes


@pytest.mark.parametrize(("code_id", "sentence"), [(each.id, text) for each in CODES for text in each.positive])
def test_every_positive_example_is_coded(code_id: str, sentence: str) -> None:
    """A sentence that the book gives for a code is one sentence, and has that code."""
    (coded,) = code(sentence)
    assert code_id in coded.codes


@pytest.mark.parametrize(("code_id", "sentence"), [(each.id, text) for each in CODES for text in each.negative])
def test_no_negative_example_is_coded(code_id: str, sentence: str) -> None:
    """A sentence that the book excludes is read, and does not have the code."""
    (coded,) = code(sentence)
    assert code_id not in coded.codes


def test_every_pattern_is_used_by_some_text() -> None:
    """No pattern is dead: each finds words in at least one of the sentences below or in the book's examples."""
    texts = [text for each in CODES for text in each.positive]
    found = {hit.pattern for text in [*texts, *MORE] for sentence in code(text) for hit in sentence.hits}
    assert [pattern for each in CODES for pattern in each.patterns if pattern not in found] == []


MORE = (
    "There is a trade-off between coverage and sparing.",
    "Every priority respects its bounds.",
    "If the ring moves, coverage might suffer.",
    "The new dose would not exceed 54 Gy.",
    "It costs conformity at the expense of time.",
    "We balance coverage against sparing.",
    "No goal is compromised.",
    "I will not sacrifice coverage.",
    "This can be done without losing coverage.",
    "The gain outweighs the loss.",
    "This probably lowers the maximum.",
    "On second thought, the ring comes first.",
    "Let me reconsider.",
    "I was wrong about the ring.",
    "This is due to the overlap.",
    "Therefore the ring is tightened.",
    "That is why the cord is hot.",
    "60 times 2 is much.",
    "A margin of 2 Gy is left.",
)


def test_a_sentence_has_any_number_of_codes_each_once() -> None:
    """One sentence may weigh, explain and calculate; words of the same kind twice are one code."""
    (coded,) = code(
        "D95% is 0.8 Gy below the goal because of the cord and because of overlap, at the cost of coverage."
    )
    assert coded.codes == ("trade-off", "causal-explanation", "arithmetic")
    assert code("The plan has seven beams.")[0].codes == ()


def test_the_words_that_gave_a_code_are_kept() -> None:
    """Whoever doubts a count sees what was found, and by which pattern."""
    (hit,) = code("The maximum is high because the dose is lifted.")[0].hits
    assert (hit.code, hit.words, hit.pattern) == ("causal-explanation", "because", r"\bbecause\b")


def test_texts_are_split_into_sentences() -> None:
    """Decimal points and abbreviations end nothing, lines do; fenced data, bullets and bare numbers are left out."""
    text = """1. D0.03cc is 45.2 Gy, e.g. The cord. Is it high? Yes!
- **Then** lower it (max. 40 Gy).
```json
{"priority": 60}
```
42
"""
    assert sentences(text) == (
        "D0.03cc is 45.2 Gy, e.g. The cord.",
        "Is it high?",
        "Yes!",
        "**Then** lower it (max. 40 Gy).",
    )


def test_a_fence_that_never_closes_is_data_to_its_end() -> None:
    """A truncated answer does not turn its JSON into sentences."""
    assert sentences('Here it is.\n```json\n{"rationale": "because') == ("Here it is.",)


def test_the_published_page_is_the_code_book() -> None:
    """docs/code-book.md is what `agent.analysis.coding.page()` makes of the data; write it anew after a change."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("piece", ["hmm... ", "but, ", "1", "1.1", "- ", "must ", "if ", "wait wait "])
def test_endless_repetition_is_coded_to_its_end(piece: str) -> None:
    """A model that repeats itself cannot make a pattern run on."""
    assert "causal-explanation" in code(f"a {piece * 2000} because")[-1].codes
    assert "causal-explanation" in code(f"{piece * 2000} because")[-1].codes
