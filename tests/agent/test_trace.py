"""The trace: whatever is done to it afterwards is found, and the line is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.records import ModelCosts
from agent.trace import Decided, Ended, Trace, read, verify

LINES = 6


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A finished trace of six lines."""
    path = tmp_path / "trace.jsonl"
    with Trace(path, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC)) as written:
        for number in range(1, LINES):
            written.write(Decided(number, kept=True, best=number, reason="better"))
        written.write(
            Ended(
                best=5,
                stop_reason="Every goal is met.",
                seconds=1.5,
                tps_calls=70,
                format_errors={},
                model_costs=ModelCosts(),
            )
        )
    return path


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_an_untouched_trace_is_good(trace: Path) -> None:
    """Verification counts every line and gives the last seal."""
    found = verify(trace)
    assert (found.ok, found.lines) == (True, LINES)
    assert verify(trace, expected_head=found.head).ok


@given(position=st.integers(min_value=0), character=st.characters(min_codepoint=32, max_codepoint=126))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_changed_character_is_found(trace: Path, position: int, character: str) -> None:
    """Replacing any one byte of the file is found, in the line where it was done or the one after."""
    content = trace.read_bytes()
    position %= len(content)
    if content[position : position + 1] in (character.encode(), b"\n"):
        return
    touched = trace.parent / "touched.jsonl"
    touched.write_bytes(content[:position] + character.encode() + content[position + 1 :])
    found = verify(touched)
    assert not found.ok
    assert found.line == content[:position].count(b"\n") + 1


@pytest.mark.parametrize("number", range(1, LINES))
def test_a_dropped_line_is_found_where_it_was(trace: Path, number: int) -> None:
    """Without line n, the line now in its place is named."""
    kept = lines_of(trace)
    del kept[number - 1]
    trace.write_bytes(b"".join(kept))
    found = verify(trace)
    assert (found.ok, found.line) == (False, number)


def test_swapped_lines_are_found(trace: Path) -> None:
    """Lines 2 and 3 in each other's place: line 2 is named."""
    lines = lines_of(trace)
    lines[1], lines[2] = lines[2], lines[1]
    trace.write_bytes(b"".join(lines))
    assert verify(trace).line == 2


@pytest.mark.parametrize("kept", range(LINES))
def test_a_cut_off_end_is_found(trace: Path, kept: int) -> None:
    """A trace that ends before its last event says so, whole lines or not."""
    trace.write_bytes(b"".join(lines_of(trace)[:kept]))
    found = verify(trace)
    assert (found.ok, found.line) == (False, kept + 1)
    assert "without its end" in found.problem


def test_a_half_written_line_is_found_and_left_out_of_reading(trace: Path) -> None:
    """After a crash in the middle of a write, all lines before it can still be read."""
    content = trace.read_bytes()
    trace.write_bytes(content[:-20])
    assert (verify(trace).line, verify(trace).problem) == (LINES, "the line is cut off")
    assert len(read(trace)) == LINES - 1


def test_a_line_edited_and_resealed_breaks_the_next(trace: Path) -> None:
    """A forger who seals line 2 anew is found at line 3, which still carries the old seal."""
    lines = lines_of(trace)
    forged = json.loads(lines[1])
    other = trace.parent / "other.jsonl"
    with Trace(other, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC)) as written:
        written.write(Decided(1, kept=True, best=1, reason="better"))
        written.write(Decided(2, kept=False, best=1, reason="worse"))
    lines[1] = lines_of(other)[1]
    assert json.loads(lines[1])["previous"] == forged["previous"]
    trace.write_bytes(b"".join(lines))
    assert verify(trace).line == 3


def test_a_trace_rewritten_whole_is_found_by_its_kept_head(trace: Path, tmp_path: Path) -> None:
    """Only the seal kept elsewhere can tell that a consistent file is not the one that was written."""
    kept_head = verify(trace).head
    rewritten = tmp_path / "rewritten.jsonl"
    with Trace(rewritten) as written:
        written.write(
            Ended(
                best=1,
                stop_reason="Every goal is met.",
                seconds=1.0,
                tps_calls=9,
                format_errors={},
                model_costs=ModelCosts(),
            )
        )
    assert verify(rewritten).ok
    assert not verify(rewritten, expected_head=kept_head).ok


def test_a_trace_is_never_written_over(trace: Path) -> None:
    """A second run cannot take an existing file."""
    with pytest.raises(FileExistsError):
        Trace(trace)


def test_every_line_is_on_disk_before_the_run_goes_on(tmp_path: Path) -> None:
    """What was written can be read by others at once, so a killed run leaves all it did."""
    with Trace(tmp_path / "t.jsonl") as written:
        written.write(Decided(1, kept=True, best=1, reason="better"))
        assert len(read(tmp_path / "t.jsonl")) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace(b'"best":5', b'"best":NaN'),
        lambda line: line.replace(b"Every goal", b"\\ud800 goal"),
        lambda line: line.replace(b'"best":5', b'"best":' + b"[" * 5000 + b"]" * 5000),
        lambda line: line.replace(b'"previous"', b'"before"'),
        lambda line: line + line,
    ],
    ids=["NaN", "half a character", "deeply nested", "no previous", "a line more"],
)
def test_an_edit_that_no_trace_could_hold_is_found(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    """Whatever was done to a line, verify answers and does not fall over."""
    path = tmp_path / "trace.jsonl"
    with Trace(path) as written:
        written.write(Ended(5, "Every goal is met.", 1.5, 70, {}, ModelCosts()))
    path.write_bytes(spoil(path.read_bytes()))
    assert not verify(path).ok


def test_an_event_that_cannot_be_written_leaves_the_chain_whole(tmp_path: Path) -> None:
    """After a refused event the next one continues the chain."""
    path = tmp_path / "trace.jsonl"
    with Trace(path) as written:
        with pytest.raises(ValueError, match="JSON"):
            written.write(Ended(1, "half", float("nan"), 1, {}, ModelCosts()))
        written.write(Ended(1, "done", 1.0, 1, {}, ModelCosts()))
    assert verify(path).ok
