"""The three planners with a sensible scripted model, each in its arms, on the cases of their papers.

The one idea: an arm is a line of options of the real command, so what is shown is what anybody can run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from agent.goals import lost
from tests.planners.running import Ran, RunFailed, console, goals_in, met_by_rank, plan, say, total, write
from tests.planners.sensible import sensible

_MODEL = ("--model", "scripted", "--no-stream")
_SHARED_DATA = Path(os.environ.get("BEAMWRIGHT_SHARED_DATA", "../shared/data"))
_OPENKBP = _SHARED_DATA / "openkbp" / "pt_251.npz"
_SRS_TARGETS = ("PTV",)
"""Of the built-in patient."""
_STUDIES: Mapping[str, tuple[tuple[str, ...], int]] = {
    "prostate-m2m-7": (("prostate",), 20),
    "liver-m2m": (("liver", "--seed", "9001"), 20),
    "prostate-m2m-180": (("prostate",), 6),
}
"""Protocol -> case, and attempts; the liver is one with a large lesion, where something is to be gained."""
_LARGEST = "prostate-m2m-180"
"""Not from random starts: one solve takes as long as a whole run of the others."""


def show() -> None:
    """Write ``build/planners.json``, and the same as tables."""
    sage, zero_shot, m2m = _sage(), _zero_shot(), _m2m()
    write("planners.json", {"sage": sage, "zero_shot": zero_shot, "m2m": m2m})
    for table in (_sage_table(sage), _zero_shot_table(zero_shot), _m2m_table(m2m)):
        console.print(table)


# SAGE


def _sage() -> list[dict[str, Any]]:
    """With a model that thinks first and with one that does not; and with one that tells wrong numbers."""
    arms = {"reasoning": sensible("think"), "plain": sensible(), "wrong numbers": sensible(tells_truth=False)}
    rows = []
    for arm, script in arms.items():
        attempts = "6" if arm == "wrong numbers" else "15"
        options = ("--planner", "sage", "--max-attempts", attempts, *_MODEL)
        ran = plan(f"sage-{arm.replace(' ', '-')}", "brain-srs", *options, script=script)
        rows.append({**ran.facts, "arm_shown": arm, **_refinement(ran), "numbers_said": _numbers(ran)})
    return rows


def _refinement(ran: Ran) -> dict[str, Any]:
    """What the refinement began with, and what it came to; empty where it never began."""
    began = ran.events("StageBegan")
    first = goals_in(ran.events("Evaluated")[0])
    told: dict[str, Any] = {"met_at_first": met_by_rank(first), "refined": bool(began)}
    if not began:
        return told
    before, after = goals_in(began[0]), ran.best_goals
    values = [{f"{g.structure} {g.metric}": g.value for g in goals if g.value is not None} for goals in (before, after)]
    return {
        **told,
        "refined_from_attempt": began[0]["baseline"],
        "values_before": values[0],
        "values_after": values[1],
        "ci_before_after": [_value(goals, "CI Paddick") for goals in values],
        "shell_before_after": [_value(goals, "V18Gy[%]", "zShell") for goals in values],
        "made_worse": list(lost(before, after, _SRS_TARGETS)),
        "attempts_not_kept": sum(bool(event["lost"]) for event in ran.events("Evaluated")),
    }


def _value(values: Mapping[str, float | None], metric: str, structure: str = "PTV") -> float | None:
    return next((v for name, v in values.items() if name.startswith(structure) and name.endswith(metric)), None)


def _numbers(ran: Ran) -> dict[str, int] | str:
    """Numbers that the model said, held against the record."""
    try:
        return ran.faithfulness
    except ValueError as error:
        return f"could not be checked: {error}"


def _sage_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("model", "first", "best", "refined", "CI before → after", "shell V18 before → after", "made worse")
    table = Table(*columns, "attempts", "numbers said", title="SAGE, brain-srs")
    for row in rows:
        ci, shell = (_arrow(row.get(key)) for key in ("ci_before_after", "shell_before_after"))
        worse = "; ".join(row.get("made_worse", ())) or ("nothing" if row["refined"] else "–")
        met, refined = (total(row["met_at_first"]), total(row["goals"])), "yes" if row["refined"] else "no"
        made = (str(row["attempts"]), str(row["numbers_said"]))
        table.add_row(row["arm_shown"], *met, refined, ci, shell, worse, *made)
    return table


def _arrow(pair: Sequence[float] | None) -> str:
    return "–" if pair is None else " → ".join(f"{value:.3f}" for value in pair)


# Zero-shot


def _zero_shot() -> list[dict[str, Any]]:
    """With and without the priors, on the built-in patient and on a real one."""
    cases = {"head-and-neck": ("head-and-neck",)}
    if _OPENKBP.is_file():
        cases["OpenKBP pt_251"] = (str(_OPENKBP), "--protocol", "hn-70-63-56")
    else:
        say(f"OpenKBP is left out: there is no {_OPENKBP}; set BEAMWRIGHT_SHARED_DATA")
    rows = []
    for case, told in cases.items():
        for arm, options in {"with priors": (), "without priors": ("--no-priors",)}.items():
            name = f"zero-shot-{case.split()[-1]}-{arm.replace(' ', '-')}"
            budget = ("--max-attempts", "8", *_MODEL)
            ran = plan(name, *told, "--planner", "zero-shot", *options, *budget, script=sensible("field"))
            first = met_by_rank(goals_in(ran.events("Evaluated")[0]))
            open_goals = [str(goal["metric"]) for goal in ran.result["goals"] if goal["status"] != "met"]
            row = {"shown_case": case, "arm_shown": arm, "met_at_first": first, "open": open_goals}
            rows.append({**ran.facts, **row, "numbers_said": _numbers(ran)})
    return rows


def _zero_shot_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("case", "arm", "first", "best", "rank 1", "rank 2", "rank 3", "attempts", "best attempt", "numbers said")
    table = Table(*columns, title="Zero-shot, goals met")
    for row in rows:
        ranks = [row["goals"].get(rank, "–") for rank in "123"]
        made = (str(row["attempts"]), str(row["best_attempt"]), str(row["numbers_said"]))
        table.add_row(
            row["shown_case"], row["arm_shown"], total(row["met_at_first"]), total(row["goals"]), *ranks, *made
        )
    return table


# M2M


def _m2m() -> list[dict[str, Any]]:
    """The fixed set, and the model with and without knowledge, from the nominal and from a random start."""
    arms: Mapping[str, tuple[str, ...]] = {
        "static": ("--planner", "static"),
        "with knowledge": ("--planner", "m2m", *_MODEL),
        "without knowledge": ("--planner", "m2m", "--no-knowledge", *_MODEL),
        "with knowledge, random start": ("--planner", "m2m", "--random-start", *_MODEL),
        "without knowledge, random start": ("--planner", "m2m", "--no-knowledge", "--random-start", *_MODEL),
    }
    return [
        _m2m_row(protocol, arm, case, ("--protocol", protocol, "--max-attempts", str(attempts), *options))
        for protocol, (case, attempts) in _STUDIES.items()
        for arm, options in arms.items()
        if "--random-start" not in options or protocol != _LARGEST
    ]


def _m2m_row(protocol: str, arm: str, case: tuple[str, ...], options: tuple[str, ...]) -> dict[str, Any]:
    name = f"{protocol}-{arm.replace(',', '').replace(' ', '-')}"
    try:
        ran = plan(name, *case, *options, script=None if arm == "static" else sensible())
    except RunFailed as failure:
        return {"protocol": protocol, "arm_shown": arm, "failed": str(failure)}
    scored = [event["score"] for event in ran.result["history"]]
    optimised = ran.events("Optimised")
    return {
        **ran.facts,
        "arm_shown": arm,
        "score_at_start": scored[0],
        "body_max_gy": ran.reported.get("External Max[Gy]"),
        "solves_that_converged": f"{sum(event['result']['converged'] for event in optimised)}/{len(optimised)}",
    }


def _m2m_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("protocol", "arm", "start", "best", "by ramp", "body max", "attempts", "best attempt", "converged")
    table = Table(*columns, title="M2M, criteria met")
    for row in rows:
        if "failed" in row:
            table.add_row(row["protocol"], row["arm_shown"], f"failed: {row['failed'][:80]}")
            continue
        start, best = row["score_at_start"], row["score"]
        body = "–" if row["body_max_gy"] is None else f"{row['body_max_gy']:.1f} Gy"
        made = (str(row["attempts"]), str(row["best_attempt"]), row["solves_that_converged"])
        scores = (f"{start['met']}/{start['of']}", f"{best['met']}/{best['of']}", f"{best['ramp']:.2f}")
        table.add_row(row["protocol"], row["arm_shown"], *scores, body, *made)
    return table
