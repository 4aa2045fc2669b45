"""The folder a run leaves behind, and how to read it back.

    trace.jsonl        every step, hash-chained           report.html, pictures/*.png   made from the files below
    result.json        the outcome, for people and programs; written last
    plan/plan.json     the whole run: plan, beams, structures, objectives and goals of every attempt
    plan/dvh.json      curves of every attempt, and of the plan that came with the patient
    plan/volumes.npz   image, best dose and structures
    tps/               data folder of the simulated TPS that was started for the run, with the best plan saved in it

The one idea: ``result.json`` appears last, whole, and carries the SHA-256 of the trace and of the files in ``plan/``,
which are the record; the report and its pictures are not, as they are made from it. A folder without it was
interrupted, one whose ``plan/`` does not fit it was changed; neither is ever taken for a finished run. A changed trace
takes nothing away from the plan, so such a run is read, and says so (`trace_problem`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import trace
from agent.goals import points, success
from agent.plain import from_plain, to_plain
from agent.proposal import Decision
from agent.records import Attempt, GoalResult, GoalStatus, Restoration, RunResult
from agent.volumes import ReferencePlan, Volumes, load_volumes, save_volumes
from bridge import INTENDED_USE, model

SCHEMA = "beamwright.result/1"
"""Version of ``result.json``: fields may be added under the same number, never changed or removed."""

RESULT, PLAN, DVH, VOLUMES, TRACE, REPORT = (
    "result.json",
    "plan/plan.json",
    "plan/dvh.json",
    "plan/volumes.npz",
    "trace.jsonl",
    "report.html",
)


SERVER_LOG = "server.log"
"""Log of the simulated TPS that was started for the run; no part of the record."""

TPS_DATA = "tps"
"""Data folder of that TPS, from which `beamwright export` takes the plan; no part of the record either."""


INTERRUPTED = "Interrupted"
"""How the stop reason of a run begins that a person stopped before its end."""


class RunFolderError(Exception):
    """A folder that is not a finished run, or may not be written to."""


@dataclass(frozen=True, eq=False)
class Run:
    """Everything a report is made from."""

    result: RunResult
    volumes: Volumes | None = None
    """None where the server streams no volumes."""
    reference: ReferencePlan | None = None
    trace_problem: str = ""
    """Why the folder's trace cannot be relied on; empty where it can. Found on reading, never written."""


def claim(folder: Path) -> Path:
    """Make a folder for a new run; one that holds anything but an old log is refused, so no run is written over."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(entry.name != SERVER_LOG for entry in folder.iterdir()):
        raise RunFolderError(f"{folder} is not empty; choose another folder with --out, or remove it first.")
    return folder


def write(run: Run, folder: Path) -> Path:
    """Write a run into its folder and return the path of ``result.json``, which is written last."""
    (folder / "plan").mkdir(parents=True, exist_ok=True)
    (folder / RESULT).unlink(missing_ok=True)
    curves, result = _without_curves(run.result)
    reference = None if run.reference is None else to_plain(run.reference)
    _write_json(folder / PLAN, to_plain(result))
    _write_json(folder / DVH, {"intended_use": INTENDED_USE, "attempts": curves, "reference": reference})
    volumes = run.volumes
    if volumes is not None:
        _replace(folder / VOLUMES, lambda path: save_volumes(volumes, path))
    parts = [name for name in (PLAN, DVH, VOLUMES, TRACE) if (folder / name).exists()]
    summary = {**summarise(run.result), "files": {name: _sha256(folder / name) for name in parts}}
    _write_json(folder / RESULT, summary)
    return folder / RESULT


def read(folder: Path) -> Run:
    """Read a finished run; a folder that is unfinished, changed or of another version is refused with the reason."""
    for name, digest in _summary(folder)["files"].items():
        if not (folder / name).exists():
            raise RunFolderError(f"{folder}: {name} is missing although result.json names it.")
        if name != TRACE and _sha256(folder / name) != digest:
            raise RunFolderError(f"{folder}: {name} was changed after the run; its SHA-256 is not the one recorded.")
    try:
        return _rebuilt(folder)
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{folder}: {error}") from error


def trace_problem(folder: Path) -> str:
    """What is wrong with the trace of a finished run, in a sentence; empty where it is the one that was recorded."""
    digest = _summary(folder)["files"].get(TRACE)
    if digest is None:
        return "" if not (folder / TRACE).exists() else f"{TRACE} does not belong to the run; result.json has none"
    found = trace.verify(folder / TRACE)
    if not found.ok:
        return f"{TRACE} is not intact in line {found.line}: {found.problem}"
    if _sha256(folder / TRACE) != digest:
        return f"{TRACE} was rewritten after the run; its SHA-256 is not the one recorded"
    return ""


def summarise(result: RunResult) -> dict[str, Any]:
    """``result.json`` without the list of files.

    ``goals`` holds every goal that could be evaluated on the best attempt, ``not_evaluable`` all others; each goal of
    the protocol is in exactly one of them. ``outcome`` is ``goals-met`` when every evaluable rank-1 goal is met or
    acceptable, else ``goal-missed``. ``attempts`` counts them; ``history`` has one entry for each.
    """
    best, first = result.best_attempt, result.attempts[0]
    first_values = {_identity(goal): goal for goal in first.goals}
    rows = [_goal_row(goal, first_values.get(_identity(goal))) for goal in best.goals]
    return {
        "schema": SCHEMA,
        "intended_use": result.intended_use,
        "case": result.case,
        "protocol": result.protocol,
        "planner": result.planner,
        "seed": result.seed,
        "plan": result.plan.name,
        "plan_etag": result.plan.etag,
        "outcome": "goals-met" if success(best.goals) else "goal-missed",
        "interrupted": result.stop_reason.startswith(INTERRUPTED),
        "ending": result.ending.value,
        "stop_reason": result.stop_reason,
        "dose_kind": best.dose.kind.name,
        "deliverable": best.dose.deliverable,
        "goals": [row for row in rows if row["status"] != GoalStatus.NOT_EVALUABLE.value],
        "not_evaluable": [row for row in rows if row["status"] == GoalStatus.NOT_EVALUABLE.value],
        "first_stage_goals": [_goal_row(goal, None) for goal in result.first_stage_goals],
        "reported": [
            {"structure": r.structure, "metric": r.metric, "value": r.value, "unit": r.unit} for r in best.reported
        ],
        "score": _score(best.goals),
        "mu_per_fraction": result.mu_per_fraction,
        "sequencing": [
            {"what": c.what, "before_gy": c.before_gy, "after_gy": c.after_gy, "change_percent": c.percent}
            for c in best.sequencing
        ],
        "conflicts": [{"goals": list(c.goals), "explanation": c.explanation} for c in result.conflicts],
        "notes": list(result.notes),
        "attempts": len(result.attempts),
        "best_attempt": result.best,
        "seconds": result.seconds,
        "tps_calls": result.tps_calls,
        "arm": dict(result.arm),
        "format_errors": dict(result.format_errors),
        "model_costs": dataclasses.asdict(result.model_costs),
        "restoration": _restoration(result.restoration),
        "review": None if result.decision is None else _review(result.decision),
        "history": [_history_row(attempt) for attempt in result.attempts],
        "max_dose_gy": best.dose.max_gy,
        "max_dose_position_mm": None if best.dose.max_position_mm is None else list(best.dose.max_position_mm),
        "algorithm": best.dose.algorithm,
        "tps": {"name": result.server.tps_name, "version": result.server.tps_version, "mode": result.server.mode.name},
        "versions": dict(result.versions),
    }


def _identity(goal: GoalResult) -> tuple[str, str, str, float]:
    return goal.structure, goal.metric, goal.comparator, goal.limit


def _goal_row(goal: GoalResult, first: GoalResult | None) -> dict[str, Any]:
    return {
        "structure": goal.structure,
        "metric": goal.metric,
        "comparator": goal.comparator,
        "limit": goal.limit,
        "acceptable": goal.acceptable,
        "unit": goal.unit,
        "rank": goal.rank,
        "status": goal.status.value,
        "value": goal.value,
        "first_value": None if first is None else first.value,
        "first_status": None if first is None else first.status.value,
        "note": goal.note,
        "source": goal.source,
    }


def _score(goals: Sequence[GoalResult]) -> dict[str, float] | None:
    """Points on the criteria of a study; None where the protocol scores nothing."""
    found = points(goals)
    return None if found is None else dataclasses.asdict(found)


def _restoration(restoration: Restoration | None) -> dict[str, Any] | None:
    return None if restoration is None else {**dataclasses.asdict(restoration), "within": restoration.within}


def _review(decision: Decision) -> dict[str, str]:
    """What a person said of the plan."""
    return {"verdict": decision.verdict.value, "reason": decision.reason, "digest": decision.digest}


def _history_row(attempt: Attempt) -> dict[str, Any]:
    counts = {status.value: sum(goal.status is status for goal in attempt.goals) for status in GoalStatus}
    return {
        "number": attempt.number,
        "stage": attempt.stage,
        "kept": attempt.kept,
        "lost": list(attempt.lost),
        "is_trial": attempt.is_trial,
        "score": _score(attempt.goals),
        "rationale": attempt.rationale,
        "changes": list(attempt.changes),
        "goals": counts,
        "iterations": attempt.iterations,
        "total_value": attempt.total_value,
        "normalization_percent": attempt.normalization_percent,
        "seconds": attempt.seconds,
        "tps_calls": attempt.tps_calls,
    }


def _without_curves(result: RunResult) -> tuple[dict[str, Any], RunResult]:
    """DVHs of every attempt by number, and the run without them."""
    curves = {str(attempt.number): to_plain(attempt.dvhs) for attempt in result.attempts}
    bare = tuple(dataclasses.replace(attempt, dvhs={}) for attempt in result.attempts)
    return curves, dataclasses.replace(result, attempts=bare)


def _rebuilt(folder: Path) -> Run:
    bare: RunResult = from_plain(RunResult, _read_json(folder / PLAN))
    curves = _read_json(folder / DVH)
    by_attempt = {number: from_plain(Mapping[str, model.Dvh], plain) for number, plain in curves["attempts"].items()}
    attempts = tuple(dataclasses.replace(a, dvhs=by_attempt[str(a.number)]) for a in bare.attempts)
    reference = None if curves["reference"] is None else from_plain(ReferencePlan, curves["reference"])
    volumes = load_volumes(folder / VOLUMES) if (folder / VOLUMES).exists() else None
    return Run(dataclasses.replace(bare, attempts=attempts), volumes, reference, trace_problem(folder))


def _summary(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is not a folder; give the folder that `beamwright plan` named at its end.")
    if not (folder / RESULT).exists():
        hint = "The run was interrupted before it ended." if (folder / TRACE).exists() else "It is not a run folder."
        raise RunFolderError(f"{folder} has no result.json. {hint}")
    summary: dict[str, Any] = _read_json(folder / RESULT)
    if summary.get("schema") != SCHEMA:
        raise RunFolderError(f"{folder}: result.json is {summary.get('schema')!r}; this version reads {SCHEMA!r}.")
    return summary


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}).") from error


def _write_json(path: Path, plain: Any) -> None:
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _replace(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    _replace(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_text`, for pictures."""
    _replace(path, lambda partial: partial.write_bytes(content))


def _replace(path: Path, fill: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        fill(partial)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
