"""Every scripted fault through the real command: what the loop did, what was counted, and whether the best plan stays.

The one idea: each model fails once, answers once, then fails for ever; so one run shows the repair and the end.
"""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tests.planners.faults import EVERY, LIGHT_PROTOCOL, Faulty
from tests.planners.running import RUNS, Ran, console, plan, write

_OPTIONS = ("--planner", "sage", "--tools", "--first-stage", "--max-attempts", "3")
_MODEL = ("--model", "scripted", "--model-retries", "1", "--model-seconds", "3")


def show() -> None:
    """Write ``build/model-faults.json``, and the same as a table."""
    RUNS.mkdir(parents=True, exist_ok=True)
    protocol = RUNS / "light.yaml"
    protocol.write_text(LIGHT_PROTOCOL)
    rows = [_row(faulty, _run(faulty, str(protocol))) for faulty in EVERY]
    write("model-faults.json", rows)
    table = Table(
        "what the model did", "what the loop did", "format errors", "retries", "best", "restored", "as it should"
    )
    for row in rows:
        counted = ", ".join(f"{kind} {count}" for kind, count in row["format_errors"].items()) or "–"
        restored = "verified" if row["restored_within_tolerance"] else "DIFFERS"
        right = "yes" if row["is_as_expected"] else "NO"
        did = f"{row['attempts']} attempts. {row['stop_reason'].split(', last:')[0]}"
        table.add_row(row["fault"], did, counted, str(row["retries"]), str(row["best_attempt"]), restored, right)
    console.print(table)


def _run(faulty: Faulty, protocol: str) -> Ran:
    folder = "fault-" + "".join(c if c.isalnum() else "-" for c in faulty.name)
    return plan(folder, "tg119", "--protocol", protocol, *_OPTIONS, *_MODEL, script=faulty.script())


def _row(faulty: Faulty, ran: Ran) -> dict[str, Any]:
    result = ran.result
    scores = {event["attempt"]: event["score"] for event in ran.events("Evaluated")}
    troubles = sorted({event["problem"] for event in ran.events("ModelTroubled")})
    return {
        "fault": faulty.name,
        "is_accepted": faulty.is_accepted,
        "attempts": result["attempts"],
        "stop_reason": result["stop_reason"],
        "format_errors": result["format_errors"],
        "expected_format_errors": faulty.format_errors,
        "troubles": troubles,
        "retries": result["model_costs"]["retries"],
        "best_attempt": result["best_attempt"],
        "best_is_smallest_score": scores[result["best_attempt"]] == min(scores.values()),
        "restoration": result["restoration"],
        "restored_within_tolerance": result["restoration"]["within"],
        "is_as_expected": result["format_errors"] == faulty.format_errors
        and troubles == ([faulty.trouble] if faulty.trouble else []),
        "folder": str(ran.folder),
    }
