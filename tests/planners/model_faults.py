"""Every scripted fault through the real command: what the loop did, what was counted, and whether the best plan stays.

The one idea: each model fails once, answers once, then fails for ever; so one run shows the repair and the end.
"""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tests.planners.faults import EVERY, LIGHT_PROTOCOL, Faulty
from tests.planners.running import RUNS, Ran, Wrong, as_it_should, broken, console, plan, write

ATTEMPTS = 3
_OPTIONS = ("--planner", "sage", "--tools", "--first-stage", "--max-attempts", str(ATTEMPTS))
_MODEL = ("--model", "scripted", "--model-retries", "1", "--model-seconds", "3")


def show() -> Wrong:
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
        did = f"{row['attempts']} attempts. {row['stop_reason'].split(', last:')[0]}"
        table.add_row(
            row["fault"],
            did,
            counted,
            str(row["retries"]),
            str(row["best_attempt"]),
            restored,
            as_it_should(row["wrong"]),
        )
    console.print(table)
    return [f"{row['fault']}: not so: {what}" for row in rows for what in row["wrong"]]


def _run(faulty: Faulty, protocol: str) -> Ran:
    folder = "fault-" + "".join(c if c.isalnum() else "-" for c in faulty.name)
    return plan(folder, "tg119", "--protocol", protocol, *_OPTIONS, *_MODEL, script=faulty.script())


def _row(faulty: Faulty, ran: Ran) -> dict[str, Any]:
    result = ran.result
    scores = {event["attempt"]: event["score"] for event in ran.events("Evaluated")}
    troubles = sorted({event["problem"] for event in ran.events("ModelTroubled")})
    checks = {
        "the errors are counted by kind": result["format_errors"] == faulty.format_errors,
        "the trace names the trouble": troubles == ([faulty.trouble] if faulty.trouble else []),
        "as many attempts as could be made": result["attempts"]
        == (ATTEMPTS if faulty.is_accepted else faulty.attempts),
        "the best attempt has the smallest score": scores[result["best_attempt"]] == min(scores.values()),
        "the best plan came back": result["restoration"]["within"],
    }
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
        "restoration": result["restoration"],
        "restored_within_tolerance": result["restoration"]["within"],
        "wrong": broken(checks),
        "folder": str(ran.folder),
    }
