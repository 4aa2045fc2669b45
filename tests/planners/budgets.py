"""Planners without a model on the same cases with the same budget: what each reached, and how soon.

The one idea: the curves are read from the traces, so a planner is judged by what the record says and not by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from rich.table import Table

from agent.goals import badness, score
from agent.records import GoalStatus
from tests.planners.running import BUILD, Ran, Wrong, broken, console, goals_in, plan, say, write

mpl.use("Agg")
from matplotlib import pyplot as plt

PLANNERS = ("rules", "random", "static", "bayes")
CASES: Mapping[str, tuple[str, ...]] = {
    "brain-srs": ("brain-srs",),
    "head-and-neck": ("head-and-neck",),
    "prostate-79.2": ("prostate", "--protocol", "prostate-79.2"),
    "prostate-m2m-7": ("prostate", "--protocol", "prostate-m2m-7"),
}
"""Case -> how the command is told of it."""
ATTEMPTS, TPS_CALLS, SECONDS = 8, 200, 300
_COLOURS = {"rules": "#0072b2", "random": "#999999", "static": "#d55e00", "bayes": "#009e73"}
_BUDGET = (
    "--max-attempts", str(ATTEMPTS), "--max-tps-calls", str(TPS_CALLS), "--max-seconds", str(SECONDS)
)  # fmt: skip


def show() -> Wrong:
    """Write ``build/equal-budget.json`` and ``.png``, and the same as a table."""
    ran = {
        case: {planner: plan(f"budget-{case}-{planner}", *told, "--planner", planner, *_BUDGET) for planner in PLANNERS}
        for case, told in CASES.items()
    }
    rows = [{**one.facts, "case": case, "curve": curve(one)} for case, ones in ran.items() for one in ones.values()]
    budget = {"attempts": ATTEMPTS, "tps_calls": TPS_CALLS, "seconds": SECONDS}
    write("equal-budget.json", {"budget": budget, "runs": rows})
    console.print(_table(rows))
    _draw(rows)
    return [f"{row['case']}, {row['planner']}: not so: {what}" for row in rows for what in broken(_checks(row))]


def _checks(row: Mapping[str, Any]) -> Mapping[str, bool]:
    left = [point["badness"] for point in row["curve"]]
    return {
        "the trace verifies": row["trace_verifies"],
        "the best plan came back": row["restoration"]["within"],
        "no more attempts than the budget has": row["attempts"] <= ATTEMPTS,
        "not worse than the first attempt": left[-1] <= left[0],
    }


def curve(ran: Ran) -> list[dict[str, float]]:
    """After each attempt: TPS calls and seconds spent, and the best so far."""
    calls, points, best = 0, [], None
    for line in ran.told:
        if line["event"] == "RunStarted":
            began = datetime.fromisoformat(line["time"])
        elif line["event"] == "TpsCalled":
            calls += 1
        elif line["event"] == "Evaluated":
            goals = goals_in(line["data"])
            best = goals if best is None or score(goals) < score(best) else best
            seconds = (datetime.fromisoformat(line["time"]) - began).total_seconds()
            met = sum(goal.status is GoalStatus.MET for goal in best)
            points.append({"tps_calls": calls, "seconds": seconds, "met": met, "badness": round(badness(best), 4)})
    return points


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    budget = f"{ATTEMPTS} attempts, {TPS_CALLS} TPS calls, {SECONDS} s"
    columns = ("case", "planner", "rank 1", "rank 2", "rank 3", "score", "badness", "attempts", "TPS calls", "seconds")
    table = Table(*columns, title=f"The same budget for all: {budget}, whichever ends first")
    for row in rows:
        met = [row["goals"].get(rank, "–") for rank in "123"]
        points = f"{row['score']['met']} of {row['score']['of']}" if row["score"] else "–"
        spent = (str(row["attempts"]), str(row["tps_calls"]), f"{row['seconds']:.0f}")
        table.add_row(
            row["case"], row["planner"], *met, points, f"{row['curve'][-1]['badness']:.2f}", *spent,
            end_section=row["planner"] == PLANNERS[-1],
        )  # fmt: skip
    return table


def _draw(rows: Sequence[Mapping[str, Any]]) -> None:
    """One column for each case: best so far against TPS calls above, against seconds below."""
    axes_of = {"tps_calls": "TPS calls", "seconds": "seconds"}
    figure, axes = plt.subplots(2, len(CASES), figsize=(4.2 * len(CASES), 7.0), sharey="col", layout="constrained")
    for column, case in enumerate(CASES):
        for line, (key, label) in enumerate(axes_of.items()):
            axis = axes[line][column]
            shown = [row for row in rows if row["case"] == case]
            for row in shown:
                _draw_curve(axis, row, key)
            axis.set_xlabel(label)
            axis.set_xlim(0.0, 1.25 * max(point[key] for row in shown for point in row["curve"]))
            axis.set_ylim(0.0, 1.15 * max(point["badness"] for row in shown for point in row["curve"]) or 1.0)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0][column].set_title(case, loc="left")
    for line in (0, 1):
        axes[line][0].set_ylabel("open goals of the best so far, weighted\n(0: every goal is met)")
    figure.savefig(BUILD / "equal-budget.png", dpi=130)
    plt.close(figure)
    say(f"written: {BUILD / 'equal-budget.png'}", done=True)


def _draw_curve(axis: Axes, row: Mapping[str, Any], key: str) -> None:
    spent = [point[key] for point in row["curve"]]
    left = [point["badness"] for point in row["curve"]]
    colour = _COLOURS[row["planner"]]
    axis.step(spent, left, where="post", color=colour, marker=".", linewidth=1.6)
    offset = 9 * (PLANNERS.index(row["planner"]) - 1.5)
    axis.annotate(
        row["planner"], (spent[-1], left[-1]), xytext=(6, offset), textcoords="offset points", color=colour, fontsize=9,
        va="center",
    )  # fmt: skip
