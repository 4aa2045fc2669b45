"""The trace read back, and what is exported of it: tables whole or not at all, counts that add up, clear refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import trace_builder
from coarse import COARSE
from trace_builder import ASKED, GOALS, PROPOSAL, REASONING, REFUSED, UNREADABLE, events, reply, started

from agent import protocols
from agent.analysis.coding import code_book
from agent.analysis.story import Asking, Story, StoryError
from agent.analysis.tables import COLUMNS, export_csv, summary
from agent.loop import Budget, Options, run
from agent.planners.rules import Rules
from agent.records import ModelCosts
from agent.trace import Decided, Ended, Failed, ModelAnswered, ModelTroubled, Proposed, TpsCalled, Trace, verify
from bridge import INTENDED_USE, model, testing
from bridge.backends.simulator import Simulator
from sim_tps.cases import make_case


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A finished run with a model."""
    return trace_builder.write(tmp_path / "trace.jsonl", *events())


def rows(path: Path) -> list[dict[str, str]]:
    """A table as any reader has it that leaves the first line out."""
    with path.open(encoding="utf-8", newline="") as file:
        next(file)
        return list(csv.DictReader(file))


def test_every_event_comes_back_as_it_was_written(trace: Path) -> None:
    """Reading a trace gives the typed events that were told, in their order, with their lines."""
    told = Story.read(trace).told
    assert tuple(each.event for each in told) == events()
    assert [each.line for each in told] == list(range(1, len(events()) + 1))


def test_a_story_gathers_what_belongs_to_an_attempt(trace: Path) -> None:
    """Questions with troubles and answers, proposals with their checks, the review, the outcome, the decision."""
    story = Story.read(trace)
    chapter = story.chapter(2)
    assert [each.number for each in story.chapters] == [1, 2, 3]
    assert [(len(e.troubles), e.reply.finish if e.reply else None) for e in chapter.exchanges] == [
        (1, "length"), (0, "stop"), (0, "stop"),
    ]  # fmt: skip
    assert [asking.failures for asking in chapter.askings] == [UNREADABLE.unreadable, (REFUSED,), ()]
    assert chapter.proposal == PROPOSAL
    assert (len(chapter.reviews), len(chapter.tools), chapter.applied is not None) == (1, 1, True)
    assert chapter.evaluated is not None and chapter.evaluated.goals == GOALS[1]
    assert chapter.decided is not None and chapter.decided.best == 2
    assert [(text.source, text.text) for text in chapter.texts][1] == ("reasoning", REASONING)
    assert story.chapter(3).evaluated is None
    assert story.ended is not None and story.restored is not None and story.failed is None
    assert [stage.stage for stage in story.stages] == ["refinement"]
    assert (len(story.conflicts), len(story.tps_calls)) == (1, 1)


def test_a_run_that_was_cut_off_is_read_as_far_as_it_went(tmp_path: Path) -> None:
    """A request without an answer and a proposal without its checks are told as such."""
    told = (
        *events()[:6],
        ASKED,
        ModelTroubled(2, "timeout", "no answer", None),
        ASKED,
        Proposed(2, PROPOSAL),
        Failed("OSError", "!"),
    )
    story = Story.read(trace_builder.write(tmp_path / "t.jsonl", *told))
    assert [each.reply for each in story.chapter(2).exchanges] == [None, None]
    assert story.chapter(2).askings == (Asking(PROPOSAL, None),)
    assert story.ended is None and story.failed == Failed("OSError", "!")


def test_an_unknown_attempt_lists_those_there_are(trace: Path) -> None:
    """Asking for an attempt that never was is answered with what can be asked for."""
    with pytest.raises(KeyError, match=r"no attempt 9; it has \[1, 2, 3\]"):
        Story.read(trace).chapter(9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"tells of no run \(it is a piece of a trace, or empty\)"),
        (b"\x89PNG\r\n\x1a\n", "is not a trace: a line is not JSON"),
        (b'{"a": 1}\n', "format None; this version reads 'beamwright-trace/1'"),
        (b"[1]\n", "format \\[1\\]"),
    ],
)
def test_a_foreign_file_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    """Empty, binary, and JSON of something else: the error names the file and what was found."""
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    with pytest.raises(StoryError, match=f"other.jsonl.*{message}"):
        Story.read(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    """Both say that the trace.jsonl of a run is wanted."""
    for path in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(StoryError, match=r"cannot be read .*; give the trace.jsonl of a run"):
            Story.read(path)


def test_a_trace_without_a_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A run that failed before it began says why; calls to the TPS before its start are none of a trace's faults."""
    asked = TpsCalled("server_info", 0.1, "ok")
    path = trace_builder.write(tmp_path / "t.jsonl", asked, Failed("NotFound", "no patient 'P9'"))
    with pytest.raises(StoryError, match=r"tells of no run \(it failed before it began: no patient 'P9'\)"):
        Story.read(path)
    begun = Story.read(trace_builder.write(tmp_path / "begun.jsonl", asked, started()))
    assert (begun.started, begun.chapters) == (started(), ())


@pytest.mark.parametrize(("old", "new", "message"), [
    ('"event":"Decided"', '"event":"Invented"', "unknown event 'Invented'"),
    ('"kept":true', '"kept":"yes"', "Decided is not as this version writes it"),
    ('"kept":true,', "", "Decided is not as this version writes it"),
])  # fmt: skip
def test_an_event_of_another_version_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    """An unknown event, a field of another type, a field that is missing."""
    path = trace_builder.write(tmp_path / "t.jsonl", started(), Decided(1, True, 1, "better"))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StoryError, match=f"t.jsonl:2: {message}"):
        Story.read(path)


def test_every_table_opens_with_the_intended_use_and_its_columns(trace: Path, tmp_path: Path) -> None:
    """Seven files, each with the line, a header, and at least one row of this run."""
    files = export_csv(trace, tmp_path / "new" / "csv")
    assert {path.stem for path in files} == set(COLUMNS)
    for path in files:
        first, header = path.read_text(encoding="utf-8").splitlines()[:2]
        assert first == f"# {INTENDED_USE}"
        assert tuple(next(csv.reader([header]))) == COLUMNS[path.stem]
        assert rows(path)


def test_the_tables_hold_the_run(trace: Path, tmp_path: Path) -> None:
    """Goals of every attempt, objectives, model calls, refusals and decisions, as they were recorded."""
    tables = {path.stem: rows(path) for path in export_csv(trace, tmp_path / "csv")}
    assert [(r["attempt"], r["structure"], r["value"], r["status"], r["acceptable"]) for r in tables["attempts"]] == [
        ("1", "PTV", "49.23", "acceptable", "49.0"),
        ("1", "Core", "18.42", "missed", ""),
        ("2", "PTV", "50.11", "met", "49.0"),
        ("2", "Core", "17.66", "met", ""),
    ]
    lower = [r for r in tables["objectives"] if r["objective"] == "PTV lower"]
    assert [(r["attempt"], r["priority"], r["loss"]) for r in lower] == [("1", "300.0", "2.5"), ("2", "400.0", "2.5")]
    calls = tables["model_calls"]
    assert [(r["call"], r["finish"], r["troubles"], r["answer_tokens"]) for r in calls] == [
        ("1", "length", "1", "10"),
        ("2", "stop", "0", "60"),
        ("3", "stop", "0", "70"),
    ]
    assert [(r["asking"], r["fault"], r["value"]) for r in tables["format_errors"]] == [
        ("1", "no-json", "Sure!"),
        ("2", "out-of-range", "4000.0"),
    ]
    assert [(r["attempt"], r["by"], r["verdict"]) for r in tables["decisions"]] == [
        ("1", "loop", "kept"),
        ("2", "terminal", "accept"),
        ("2", "loop", "kept"),
    ]


def test_sentences_and_numbers_are_exported_with_their_verdicts(trace: Path, tmp_path: Path) -> None:
    """What was coded and what was checked can be followed sentence by sentence."""
    tables = {path.stem: rows(path) for path in export_csv(trace, tmp_path / "csv")}
    coded = {r["sentence"]: r["codes"] for r in tables["codes"]}
    assert coded["Wait, the rule caps that priority at 150."] == "self-correction"
    assert coded["PTV upper must stay below 150."] == "constraint-verification"
    (miss,) = [r for r in tables["statements"] if r["outcome"] == "miss"]
    assert (miss["sentence"], miss["number"], miss["about"]) == ("Core D0.03cc is 17.0 Gy.", "17.0", "Core D0.03cc")


def test_texts_are_quoted_so_that_no_sign_in_them_is_a_comment(tmp_path: Path) -> None:
    """A hash, a comma, a quote and a line end in a text stay in its cell, with comments skipped or not."""
    reason = 'worse, see #2: "no"\nstop'
    told = (*events()[:6], Decided(2, False, 1, reason))
    files = export_csv(trace_builder.write(tmp_path / "t.jsonl", *told), tmp_path / "csv")
    (decisions,) = [path for path in files if path.stem == "decisions"]
    assert rows(decisions)[-1]["reason"] == reason
    assert '"worse, see #2: ""no""\nstop"' in decisions.read_text(encoding="utf-8")


def test_a_trace_that_cannot_be_read_leaves_nothing(trace: Path, tmp_path: Path) -> None:
    """An earlier export stays as it was, and a new folder is not even made."""
    trace.write_text(trace.read_text().replace('"event":"Ended"', '"event":"Invented"'))
    with pytest.raises(StoryError):
        export_csv(trace, tmp_path / "csv")
    assert not (tmp_path / "csv").exists()


def test_the_same_trace_gives_the_same_files(trace: Path, tmp_path: Path) -> None:
    """Nothing but the trace goes into the tables, and an export replaces an earlier one."""
    first = [path.read_bytes() for path in export_csv(trace, tmp_path / "csv")]
    assert [path.read_bytes() for path in export_csv(trace, tmp_path / "csv")] == first


def test_the_summary_counts_the_run(trace: Path) -> None:
    """Codes, statements, faults, tokens, cost and seconds, as JSON that can be written as it is."""
    found = summary(trace)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["intended_use"] == INTENDED_USE
    assert (found["planner"], found["attempts"], found["best"], found["seconds"]) == ("sage", 2, 2, 12.5)
    assert found["trace"] == {"ok": True, "problem": "", "head": verify(trace).head}
    assert found["format_errors"] == {"no-json": 1, "out-of-range": 1}
    assert found["model_calls"] == {
        "calls": 3, "answered": 3, "troubles": 1, "tool_calls": 0, "prompt_tokens": 3000, "answer_tokens": 140,
        "reasoning_tokens": 70, "cost_usd": pytest.approx(0.03), "seconds": 6.0,
    }  # fmt: skip
    assert set(found["codes"]["reasoning"]) == {each.id for each in code_book().codes}
    assert found["codes"]["reasoning"]["self-correction"] == 1
    assert found["codes"]["rationale"]["trade-off"] == 1
    assert found["statements"]["reasoning"] == {"hit": 3, "miss": 1, "not-checkable": 2, "derived": 1}
    assert [miss["sentence"] for miss in found["misses"]] == ["Core D0.03cc is 17.0 Gy."]


def test_the_summary_agrees_with_the_tables(trace: Path, tmp_path: Path) -> None:
    """Every statement and every code of the tables is counted once, by source and by attempt."""
    found, tables = summary(trace), {path.stem: rows(path) for path in export_csv(trace, tmp_path / "csv")}
    outcomes = ("hit", "miss", "not-checkable")
    for counts in (found["statements"], found["statements_by_attempt"]):
        assert sum(of[outcome] for of in counts.values() for outcome in outcomes) == len(tables["statements"])
    coded = sum(len(row["codes"].split("; ")) for row in tables["codes"] if row["codes"])
    assert sum(sum(of.values()) for of in found["codes"].values()) == coded
    assert sum(found["sentences"].values()) == len(tables["codes"])


def test_unknown_costs_are_not_added_up(tmp_path: Path) -> None:
    """One reply without a count makes the sum unknown, not smaller."""
    told = (*events()[:10], ASKED, ModelAnswered(2, reply()))
    found = summary(trace_builder.write(tmp_path / "t.jsonl", *told))["model_calls"]
    assert (found["answered"], found["prompt_tokens"], found["cost_usd"], found["seconds"]) == (2, None, None, 4.0)


def test_a_changed_or_unfinished_trace_says_so_in_its_summary(trace: Path, tmp_path: Path) -> None:
    """The counts of a trace that does not verify carry what is wrong with it."""
    trace.write_text(trace.read_text().replace("You plan.", "You lie.", 1))
    found = summary(trace)["trace"]
    assert (found["ok"], "edited" in found["problem"]) == (False, True)
    unfinished = trace_builder.write(tmp_path / "u.jsonl", *events()[:4])
    assert "without its end" in summary(unfinished)["trace"]["problem"]
    assert summary(unfinished)["best"] is None


def test_a_run_without_a_model_has_empty_tables_not_missing_ones(tmp_path: Path) -> None:
    """Rules say little and ask nobody; whoever reads the files finds all of them."""
    told = (*events()[:6], Ended(1, "done", 1.0, 9, {}, ModelCosts()))
    path = trace_builder.write(tmp_path / "t.jsonl", *told)
    tables = {file.stem: rows(file) for file in export_csv(path, tmp_path / "csv")}
    assert [name for name in COLUMNS if not tables[name]] == ["model_calls", "format_errors", "codes", "statements"]
    assert summary(path)["codes"] == {}


def test_a_real_run_is_told_checked_and_exported(tmp_path: Path) -> None:
    """What the loop writes on the simulated TPS comes back whole, and the rules say nothing that was not recorded."""
    simulator, path = Simulator(tmp_path / "tps"), tmp_path / "trace.jsonl"
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as client, Trace(path) as written:
        case = client.patients()[0].name
        with client.session(case, model.SessionMode.READ_WRITE) as session:
            protocol, options = protocols.read(COARSE, "coarse.yaml"), Options(budget=Budget(attempts=2))
            result = run(client, session, case, protocol, Rules(), trace=written, options=options)
    story, found = Story.read(path), summary(path)
    assert [each.goals for each in story.evaluated] == [attempt.goals for attempt in result.attempts]
    assert (found["attempts"], found["best"], found["tps_calls"]) == (2, result.best, result.tps_calls)
    assert found["statements"]["rationale"]["hit"] > 0
    assert found["misses"] == []
    assert len(export_csv(path, tmp_path / "csv")) == len(COLUMNS)
