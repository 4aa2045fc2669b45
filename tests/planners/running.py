"""One run of the real command, in a process of its own, and what it left behind.

The one idea: nothing is looked at but the run folder, as any reader of it would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from agent.analysis.faithfulness import check_story
from agent.analysis.story import Story
from agent.plain import from_plain
from agent.records import GoalResult, GoalStatus
from agent.trace import read, verify
from tests.agent.model_server import Script, serve_model

BUILD = Path("build")
RUNS = BUILD / "planners"
_COMMAND = Path(sys.executable).with_name("beamwright")
_NO_PLAN = 1
"""Exit status of a command that failed."""

console = Console(width=None if sys.stdout.isatty() else 160)


Wrong = list[str]
"""What is not as it should be, each by its name."""


class RunFailed(Exception):
    """The command left no plan; the message is what it said."""


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    folder: Path
    wall_s: float

    @cached_property
    def result(self) -> Any:
        """`result.json`."""
        return json.loads((self.folder / "result.json").read_text())

    @cached_property
    def told(self) -> tuple[Mapping[str, Any], ...]:
        """The lines of the trace."""
        return read(self.trace)

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """What the trace says of every event of a kind."""
        return [line["data"] for line in self.told if line["event"] == name]

    @property
    def trace(self) -> Path:
        return self.folder / "trace.jsonl"

    @property
    def best_goals(self) -> tuple[GoalResult, ...]:
        """Of the best attempt, by the goals of its stage."""
        return self.goals_of(self.result["best_attempt"])

    def goals_of(self, attempt: int) -> tuple[GoalResult, ...]:
        """As the trace has them; where a later stage began with that attempt, by the goals of that stage."""
        began = [stage for stage in self.events("StageBegan") if stage["baseline"] == attempt]
        made = [evaluated for evaluated in self.events("Evaluated") if evaluated["attempt"] == attempt]
        return goals_in((began or made)[-1])

    @property
    def reported(self) -> dict[str, float | None]:
        return {f"{entry['structure']} {entry['metric']}": entry["value"] for entry in self.result["reported"]}

    @property
    def asked(self) -> int:
        """Requests to the model."""
        return len(self.events("ModelAsked"))

    @property
    def facts(self) -> dict[str, Any]:
        """What every table tells of a run."""
        result = self.result
        return {
            "folder": str(self.folder),
            "case": result["case"],
            "protocol": result["protocol"],
            "planner": result["planner"],
            "arm": result["arm"],
            "attempts": result["attempts"],
            "best_attempt": result["best_attempt"],
            "goals": met_by_rank(self.best_goals),
            "score": result["score"],
            "tps_calls": result["tps_calls"],
            "seconds": round(result["seconds"], 1),
            "stop_reason": result["stop_reason"],
            "format_errors": result["format_errors"],
            "restoration": result["restoration"],
            "hottest_point_gy": round(result["max_dose_gy"], 2),
            "trace_verifies": verify(self.trace).ok,
        }

    @property
    def faithfulness(self) -> dict[str, int]:
        """Numbers that were said, by what the record says of them."""
        outcomes = [said.statement.outcome.value for said in check_story(Story.read(self.trace))]
        return {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}


def plan(name: str, case: str, *options: str, script: Script | None = None) -> Ran:
    """Run ``beamwright plan`` into ``build/planners/<name>``, against a scripted model where one is given.

    Raises
    ------
    RunFailed
        The command failed.
    """
    folder = RUNS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    say(f"{name}: plan {case} {' '.join(options)}")
    started = monotonic()
    with ExitStack() as stack:
        if script is not None:
            server = stack.enter_context(serve_model(script))
            options = (*options, "--base-url", server.base_url)
        done = beamwright("plan", case, *options, "--out", str(folder))
    wall_s = monotonic() - started
    if done.returncode == _NO_PLAN or not (folder / "result.json").exists():
        raise RunFailed(f"{name}: exit status {done.returncode}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
    ran = Ran(folder, wall_s)
    met = met_by_rank(ran.best_goals)
    say(f"{name}: {ran.result['attempts']} attempts, {total(met)} goals met, {wall_s:.0f} s", done=True)
    return ran


def show_prompt(case: str, *options: str) -> str:
    """What ``--show-prompt`` prints."""
    done = beamwright("plan", case, *options, "--show-prompt")
    if done.returncode:
        raise RunFailed(done.stderr[-1500:])
    return done.stdout


def broken(checks: Mapping[str, bool]) -> Wrong:
    """The checks that do not hold."""
    return [what for what, holds in checks.items() if not holds]


def as_it_should(wrong: Wrong) -> str:
    """Of one row, for a table."""
    return f"NO: not so: {'; '.join(wrong)}" if wrong else "yes"


def goals_in(event: Mapping[str, Any]) -> tuple[GoalResult, ...]:
    """The goals that an event of a trace tells."""
    return tuple(from_plain(GoalResult, goal) for goal in event["goals"])


def met_by_rank(goals: tuple[GoalResult, ...]) -> dict[str, str]:
    """Rank -> ``5/7``: of the goals that could be evaluated."""
    evaluable = [goal for goal in goals if goal.status is not GoalStatus.NOT_EVALUABLE]
    return {
        str(rank): f"{sum(g.status is GoalStatus.MET for g in group)}/{len(group)}"
        for rank in (1, 2, 3)
        if (group := [goal for goal in evaluable if goal.rank == rank])
    }


def total(met: Mapping[str, str]) -> str:
    """The same over all ranks."""
    pairs = [list(map(int, share.split("/"))) for share in met.values()]
    return "/".join(str(sum(column)) for column in zip(*pairs, strict=True))


def write(name: str, content: Any) -> None:
    """One of the files under ``build/``."""
    BUILD.mkdir(exist_ok=True)
    (BUILD / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    say(f"written: {BUILD / name}", done=True)


def say(text: str, *, done: bool = False) -> None:
    console.print(f"[dim]{'✓' if done else '…'} {text}[/]", highlight=False, soft_wrap=True)


def beamwright(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BEAMWRIGHT_MODELS": "loopback", "COLUMNS": "120"}
    return subprocess.run([_COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False)
