"""The run's diary: typed events, one JSON object a line, each line sealed to the one before.

The one idea: a line carries the SHA-256 of the line before it and of itself, and a whole trace ends with an ``ended``
event. So an edit, a dropped or swapped line, and a cut-off end can each be found, and `verify` names the line. (Whoever
rewrites the whole file can seal it anew; keep `Trace.head` elsewhere to find that too.) Every line is flushed to disk
before the run goes on: after a crash the trace is whole up to the crash, and says that it is not finished.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from agent.observation import ObjectiveState, Score
from agent.plain import to_plain
from agent.proposal import CheckFailure, Decision, Ending, Proposal
from agent.records import Conflict, DoseChange, GoalResult, ModelCosts, ReportedMetric, Restoration
from agent.talk import Message, Reply, Tool
from bridge import INTENDED_USE, model

FORMAT = "beamwright-trace/1"
_NO_LINE_BEFORE = "0" * 64


@dataclass(frozen=True)
class RunStarted:
    case: str
    protocol: str
    protocol_file: str
    planner: str
    seed: int | None
    budget: Mapping[str, float | None]
    versions: Mapping[str, str]
    server: model.ServerInfo
    protocol_text: str
    arm: Mapping[str, Any]
    """What the planner was allowed and shown: action space, prompt blocks, model and its settings, stages, start."""
    intended_use: str = INTENDED_USE


@dataclass(frozen=True)
class PlanPrepared:
    plan: str
    plan_origin: str
    """``created``, or the plan it was copied from."""
    prescription: model.Prescription | None
    structures: Mapping[str, str]
    """The protocol's name -> the patient's label."""
    told_as: Mapping[str, str]
    """Structure, as goals and objectives name it -> the name that a model is told."""
    beams: tuple[model.Beam, ...]
    objectives: tuple[model.Objective, ...]
    """As the server stored them."""
    states: tuple[ObjectiveState, ...]
    """The same as planners see them."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StageBegan:
    """A later stage of the protocol: other goals, and a plan that none may be worse than."""

    stage: str
    baseline: int
    goals: tuple[GoalResult, ...]
    """The baseline's, by the goals of this stage."""


@dataclass(frozen=True)
class TpsCalled:
    call: str
    seconds: float
    outcome: str
    """``ok``, or the error's reason."""


@dataclass(frozen=True)
class Progressed:
    """Shown while an operation runs; not written to the trace."""

    call: str
    progress: model.Progress


@dataclass(frozen=True)
class ModelAsked:
    """One request, exactly as it was sent."""

    attempt: int
    """The attempt that the answer is for."""
    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None
    tools: tuple[Tool, ...]


@dataclass(frozen=True)
class ModelAnswered:
    attempt: int
    reply: Reply


@dataclass(frozen=True)
class ModelTroubled:
    """A request that failed, and what was done about it."""

    attempt: int
    problem: str
    """``timeout connection rate-limit server-error key-refused not-understood``."""
    message: str
    waits_s: float | None
    """Seconds until the next try; None: given up, or asked again in another way."""


@dataclass(frozen=True)
class ModelSaid:
    """A piece of a streamed answer; shown while it comes, not written to the trace."""

    text: str
    is_reasoning: bool


@dataclass(frozen=True)
class ToolUsed:
    attempt: int
    name: str
    arguments: str
    answer: str
    ok: bool


@dataclass(frozen=True)
class Reviewed:
    """What a person was shown (by digest) and said."""

    attempt: int
    what: str
    """``proposal`` or ``plan``."""
    decision: Decision


@dataclass(frozen=True)
class Proposed:
    attempt: int
    proposal: Proposal


@dataclass(frozen=True)
class Checked:
    attempt: int
    failures: tuple[CheckFailure, ...]
    by: str = "planner"
    """Whose proposal it was: ``planner``, or ``person`` for an edit; only a planner's faults are counted."""


@dataclass(frozen=True)
class Applied:
    attempt: int
    changes: tuple[str, ...]
    plan_etag: str


@dataclass(frozen=True)
class Optimised:
    attempt: int
    result: model.OptimizationResult


@dataclass(frozen=True)
class Evaluated:
    attempt: int
    goals: tuple[GoalResult, ...]
    reported: tuple[ReportedMetric, ...]
    sequencing: tuple[DoseChange, ...]
    normalization_percent: float | None
    dose: model.DoseInfo
    score: Score
    snapshot: str
    objectives: tuple[ObjectiveState, ...]
    """With their weighted losses."""
    stage: str = ""
    lost: tuple[str, ...] = ()
    structure_losses: Mapping[str, float] = field(default_factory=dict)
    """Structure -> weighted loss of all its objectives, where the TPS tells no more than that."""


@dataclass(frozen=True)
class Decided:
    attempt: int
    kept: bool
    best: int
    reason: str


@dataclass(frozen=True)
class Restored:
    attempt: int
    snapshot: str
    restoration: Restoration


@dataclass(frozen=True)
class ConflictsFound:
    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True)
class Ended:
    best: int
    stop_reason: str
    seconds: float
    tps_calls: int
    format_errors: Mapping[str, int]
    model_costs: ModelCosts
    ending: Ending = Ending.PLANNER_DONE
    first_stage_goals: tuple[GoalResult, ...] = ()
    """Of the plan left behind, where a refinement judged it by other goals."""


@dataclass(frozen=True)
class Failed:
    error: str
    message: str


Event = (
    RunStarted
    | PlanPrepared
    | StageBegan
    | TpsCalled
    | ModelAsked
    | ModelAnswered
    | ModelTroubled
    | ToolUsed
    | Reviewed
    | Proposed
    | Checked
    | Applied
    | Optimised
    | Evaluated
    | Decided
    | Restored
    | ConflictsFound
    | Ended
    | Failed
)
Passing = Progressed | ModelSaid
"""Shown while it happens, never written."""
Tell = Callable[[Event | Passing], None]
"""To whoever listens; what is an event is written to the trace too."""
_LAST_EVENTS = (Ended.__name__, Failed.__name__)


class Trace:
    """Appends events to a new file; a context manager that closes it."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self.head = _NO_LINE_BEFORE
        """Seal of the last line; keep it elsewhere to find a file that was rewritten as a whole."""
        self._clock = clock
        self._count = 0
        self._file: BinaryIO = path.open("xb")

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, event: Event) -> None:
        """Append one event; it is on the disk when this returns."""
        data = to_plain(event)
        body = {
            "format": FORMAT,
            "line": self._count + 1,
            "time": self._clock().isoformat(),
            "event": data.pop("type"),
            "data": data,
            "previous": self.head,
        }
        seal = _seal(body)
        line = _canonical({**body, "seal": seal}).encode()
        self._file.write(line + b"\n")
        self._count, self.head = self._count + 1, seal
        self._file.flush()
        os.fsync(self._file.fileno())


@dataclass(frozen=True)
class Verification:
    """What `verify` found."""

    ok: bool
    lines: int
    """Lines that are whole and in their place, counted from the first."""
    line: int | None = None
    """The first line where something is wrong."""
    problem: str = ""
    head: str = ""
    """Seal of the last good line."""


@dataclass
class _Chain:
    """Where the checking of a trace stands."""

    lines: int = 0
    head: str = _NO_LINE_BEFORE
    last_event: str = ""


def verify(path: Path, *, expected_head: str | None = None) -> Verification:
    """Check a trace from its first line to its last.

    Parameters
    ----------
    expected_head
        The seal its last line had when it was written, where that was kept elsewhere.
    """
    chain = _Chain()
    content = path.read_bytes()
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        problem = _line_problem(line, number, chain)
        if problem:
            return Verification(False, chain.lines, number, problem, chain.head)
    if chain.last_event not in _LAST_EVENTS:
        problem = "the trace stops here without its end: lines are missing, or the run was cut off"
        return Verification(False, chain.lines, chain.lines + 1, problem, chain.head)
    if expected_head is not None and chain.head != expected_head:
        problem = "the last seal is not the one that was kept: the file was rewritten"
        return Verification(False, chain.lines, chain.lines, problem, chain.head)
    return Verification(True, chain.lines, head=chain.head)


def read(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The lines of a trace as plain data, unverified; a half-written last line is left out."""
    lines = path.read_bytes().splitlines(keepends=True)
    return tuple(json.loads(line) for line in lines if line.endswith(b"\n"))


def _line_problem(line: bytes, number: int, chain: _Chain) -> str:
    """What is wrong with one line; moves the chain on when nothing is."""
    if not line.endswith(b"\n"):
        return "the line is cut off"
    try:
        written = json.loads(line)
    except (ValueError, RecursionError):
        return "the line is not JSON"
    if not isinstance(written, dict) or written.get("format") != FORMAT:
        return f"the line is not of format {FORMAT!r}"
    if chain.last_event in _LAST_EVENTS:
        return f"a line after the end ({chain.last_event}) of the trace"
    if written.get("line") != number:
        return f"the line calls itself number {written.get('line')!r}: lines were dropped, added or swapped"
    seal = written.pop("seal", None)
    if not _is_sealed(written, seal, line):
        return "the line was edited: its content does not fit its seal"
    if written.get("previous") != chain.head:
        return "the line does not follow the one before: that one was replaced"
    chain.lines, chain.head, chain.last_event = number, str(seal), str(written.get("event"))
    return ""


def _is_sealed(body: Mapping[str, Any], seal: object, line: bytes) -> bool:
    """Whether a line's content fits its seal; what no trace could have written does not."""
    try:
        return _seal(body) == seal and _canonical({**body, "seal": seal}).encode() + b"\n" == line
    except (ValueError, RecursionError):
        return False


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _seal(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()
