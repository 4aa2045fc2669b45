"""The story of a run as a page: every attempt is on it, what was said is data, and nothing comes from elsewhere."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from coarse import COARSE

from agent import protocols, run_folder
from agent.analysis.story import Story, Text
from agent.command.exit_status import ExitStatus
from agent.command.planning import gather
from agent.command.tracing import export_run, show_run
from agent.loop import Budget, Options, run
from agent.observation import Observation
from agent.proposal import Change, CheckFailure, Decision, Fault, Proposal
from agent.report.marked import marked
from agent.report.story import render_story, write_story
from agent.review import Sheet, accept, reject
from agent.run_folder import Run
from agent.talk import Message, Reply, Role, Usage
from agent.trace import ModelAnswered, ModelAsked, Proposed, Tell, ToolUsed, Trace
from bridge import INTENDED_USE, model, testing
from bridge.backends.simulator import Simulator
from sim_tps.cases import make_case

HOSTILE = "<script>alert('1')</script> {{7*7}} <img src=http://example.org/x.png>"


@dataclass
class Talking:
    """A planner that plays its proposals, and tells of a model behind each of them."""

    proposals: list[Proposal]
    arm: Mapping[str, Any] = field(default_factory=lambda: {"action": "priorities", "model": {"model": "scripted-1"}})
    name: str = "scripted"

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        attempt, proposal = observation.last.number + 1, self.proposals.pop(0)
        messages = (Message(Role.SYSTEM, "You plan."), Message(Role.USER, f"Attempt {attempt}: {HOSTILE}"))
        tell(ModelAsked(attempt, messages, None, ()))
        thought = "Core upper has priority 50. If I raise it to 90, the core should get less, but the target may lose."
        tell(ToolUsed(attempt, "trends", '{"goal": "<b>"}', "1, 2", ok=True))
        usage = Usage(1200, 90, 40)
        tell(ModelAnswered(attempt, Reply("{...}", f"{thought} {HOSTILE}", usage=usage, cost_usd=0.002, seconds=1.5)))
        return proposal


class Person:
    """Turns the first proposal down, and accepts the rest."""

    def __init__(self) -> None:
        self._asked = 0

    def decide(self, sheet: Sheet, problems: tuple[CheckFailure, ...] = ()) -> Decision:
        self._asked += 1
        return reject(sheet, f"Not the core. {HOSTILE}", by="test") if self._asked == 1 else accept(sheet, by="test")


PROPOSALS = (
    Proposal("Core upper goes to 70.", (Change("Core upper", "priority", 70.0, "The core is too hot."),)),
    Proposal("", unreadable=(CheckFailure(Fault.NO_JSON, "", "", None, "the answer holds no JSON", "one object"),)),
    Proposal(
        f"Core upper has priority 50 and a loss of 123456. We trade the core against the target. {HOSTILE}",
        (Change("Core upper", "priority", 90.0, f"Core D10% is over. {HOSTILE}"),),
    ),
    Proposal("Back to the start, and harder.", (Change("Core upper", "priority", 120.0, "more"),), start_from=1),
    Proposal("Nothing more is worth trying.", stop=True),
)


@dataclass
class Finished:
    story: Story
    run: Run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run with a rejection, an answer that could not be read, three attempts, and a stop."""
    folder = tmp_path_factory.mktemp("run")
    simulator = Simulator(folder / "tps")
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as client, Trace(folder / "trace.jsonl") as trace:
        case = client.patients()[0].name
        with client.session(case, model.SessionMode.READ_WRITE) as session:
            protocol = protocols.read(COARSE, "coarse.yaml")
            options = Options(Budget(attempts=6), review="each")
            planner = Talking(list(PROPOSALS))
            result = run(client, session, case, protocol, planner, trace=trace, options=options, reviewer=Person())
            whole = gather(session, case, result)
    run_folder.write(whole, folder)
    return Finished(Story.read(folder / "trace.jsonl"), run_folder.read(folder))


@pytest.fixture(scope="module")
def page(finished: Finished) -> str:
    return render_story(finished.story, finished.run)


class _Outline(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self._text).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_every_attempt_is_on_the_page(page: str, finished: Finished) -> None:
    """Three attempts with a dose, and the asking that ended the run, each under its own heading."""
    headings = re.findall(r'<h2 id="attempt-\d+">(.*?)</h2>', page)
    assert headings == ["Attempt 1", "Attempt 2", "Attempt 3", "Asked for attempt 4"]
    assert [chapter.number for chapter in finished.story.chapters] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "text",
    [
        INTENDED_USE,
        "Model scripted-1",
        "Nothing more is worth trying.",
        "5 requests",
        "0.0100 US$",
        "✗ refused by the checks",
        "no-json the answer holds no JSON; allowed: one object.",
        "A person reject Not the core.",
        "Core upper priority 50 → 90",
        "Proposal, from attempt 1 on",
        "Core upper priority 50 → 120",
        "1200 + 90 tokens (40 of them reasoning), 1.5 s",
        "A person, on the plan accept",
    ],
)
def test_the_page_says(page: str, text: str) -> None:
    """What was said, refused, decided, changed and spent stands on the page as text."""
    assert text in _spaced(page)


def test_numbers_are_marked_by_word_and_sign(page: str) -> None:
    """The priority that is recorded is a hit, the loss that nobody recorded is a miss."""
    hit = re.search(r'<span class="num hit" title="as recorded: [^"]*">50<sup>✓</sup>', page)
    miss = re.search(r'<span class="num miss" title="not as recorded: [^"]*">123456<sup>✗</sup>', page)
    assert hit
    assert miss


def test_marking_changes_no_word(finished: Finished) -> None:
    """The pieces together are the text; the 10 of D10% is part of a name, the 10 behind it a number."""
    said = "- Core D10%[Gy] <= 10 is missed!\n\n```json\n{}\n```\nCore D10% is 32.91 Gy, so trade off.\n"
    sentences = marked(finished.story, Text(2, "rationale", said, ()))
    pieces = [piece for sentence in sentences for piece in sentence.pieces]
    assert "".join(piece.text for piece in pieces) == said
    assert [piece.text for piece in pieces if piece.outcome] == ["10", "32.91"]
    assert [piece.text for piece in pieces][:2] == ["- ", "Core D10%[Gy] <= "]


def test_sentences_carry_their_codes(page: str) -> None:
    """The code stands behind the sentence that has it."""
    assert re.search(r"We trade the core against the target\.</span><span class=\"code\">Trade-off</span>", page)


def test_what_was_said_is_data(page: str) -> None:
    """Prompt, reasoning, rationale, tool arguments and a person's reason are shown, and become neither tag nor code."""
    outline = _Outline(page)
    assert not outline.all("script")
    assert "<script>alert('1')</script> {{7*7}}" in outline.text
    assert '<b>"' not in page


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    """Pictures are inside the page, nothing is linked, and its policy forbids loading and running."""
    outline = _Outline(page)
    assert all((image["src"] or "").startswith("data:image/") for image in outline.all("img"))
    assert not [value for _, attributes in outline.tags for value in attributes.values() if "http" in (value or "")]
    assert not re.findall(r"url\(|@import", page)
    policy = next(m["content"] for m in outline.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_curves_are_drawn_where_there_is_a_run_folder(finished: Finished, page: str, tmp_path: Path) -> None:
    """With the folder each attempt has its DVH; from the trace alone the page has the course, and no curve."""
    alone = write_story(finished.story, tmp_path / "story.html").read_text(encoding="utf-8")
    assert page.count("Dose-volume histograms of attempt") == len(finished.story.evaluated)
    assert "Dose-volume histograms of attempt" not in alone
    assert len(_Outline(alone).all("img")) == 2


def test_a_trace_that_cannot_be_relied_on_says_so(finished: Finished) -> None:
    """The warning stands at the head of the page."""
    page = render_story(finished.story, problem="trace.jsonl is not intact in line 7")
    assert "The trace of this run cannot be relied on.</b> trace.jsonl is not intact in line 7." in page


def test_a_run_that_was_cut_off_has_a_page(finished: Finished, tmp_path: Path) -> None:
    """The attempt at which the trace ends is there, and that it has no end is said."""
    told = finished.story.told
    cut = next(each.line for each in told if isinstance(each.event, Proposed) and each.event.attempt == 3)
    lines = finished.story.path.read_bytes().splitlines(keepends=True)
    (tmp_path / "trace.jsonl").write_bytes(b"".join(lines[:cut]))
    page = render_story(Story.read(tmp_path / "trace.jsonl"))
    assert "The trace has no end: the run was cut off." in page
    assert "not checked: the run ended" in page


def test_the_terminal_tells_the_same(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    """Every attempt, the refusal, the person's reason and the changes; nothing that was said moves the cursor."""
    assert show_run(finished.story.path.parent, full=True) is ExitStatus.OK
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "Attempt 1: kept",
        "Asked for attempt 4: no dose",
        "✗ no-json: the answer holds no JSON; allowed: one object.",
        "a person on the proposal: reject: “Not the core.",
        "Core upper: priority 50 → 90.",
        "From attempt 1 on: Back to the start, and harder.",
        INTENDED_USE,
    ):
        assert text in shown
    assert (finished.story.path.parent / "story.html").exists()


def test_tables_are_exported(finished: Finished, tmp_path: Path) -> None:
    """The CSV files of the analysis, in the folder that was named."""
    assert export_run(finished.story.path, tmp_path / "tables") is ExitStatus.OK
    assert (tmp_path / "tables" / "attempts.csv").exists()


def _spaced(page: str) -> str:
    """The page's words, with a space where a tag stands."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
