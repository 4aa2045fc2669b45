"""A trace, and copies of it in which one byte, one line or the order was changed: whether `trace verify` finds each.

The one idea: the copies are made by someone who knows nothing of seals, as an editor or a bad disk would.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from agent.replay import replay
from agent.trace import Trace
from bridge import model, testing
from bridge.backends.simulator import Simulator
from sim_tps.cases import make_case
from tests.agent.coarse import COARSE
from tests.planners.running import RUNS, beamwright, console, plan, say, write
from tests.planners.sensible import sensible

Lines = list[bytes]


def show() -> None:
    """Write ``build/trace-checks.json``, and the same as a table."""
    RUNS.mkdir(parents=True, exist_ok=True)
    protocol = RUNS / "coarse.yaml"
    protocol.write_text(COARSE)
    options = ("--protocol", str(protocol), "--planner", "sage", "--max-attempts", "3", "--model", "scripted")
    ran = plan("trace", "tg119", *options, script=sensible("field"))
    rows = [_verified(name, ran.trace, change) for name, change in CHANGES.items()]
    again = _replayed(ran.trace)
    write("trace-checks.json", {"verify": rows, "replay": again})
    table = Table("trace", "trace verify", "exit status", "as it should")
    for row in rows:
        table.add_row(row["copy"], row["said"], str(row["exit_status"]), "yes" if row["is_as_expected"] else "NO")
    table.add_row("replay", again["said"], "", "yes" if again["ok"] else "NO")
    console.print(table)


def _one_byte_changed(lines: Lines) -> Lines:
    """A digit in the middle of the trace, inside a value."""
    number = len(lines) // 2
    line = bytearray(lines[number])
    place = next(i for i in range(len(line) // 2, len(line)) if chr(line[i]).isdigit())
    line[place] = ord("1") if line[place] != ord("1") else ord("2")
    return [*lines[:number], bytes(line), *lines[number + 1 :]]


def _one_line_dropped(lines: Lines) -> Lines:
    number = len(lines) // 2
    return [*lines[:number], *lines[number + 1 :]]


def _two_lines_swapped(lines: Lines) -> Lines:
    number = len(lines) // 2
    return [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]


def _end_cut_off(lines: Lines) -> Lines:
    return lines[:-1]


CHANGES: Mapping[str, Callable[[Lines], Lines]] = {
    "as written": list,
    "one byte changed": _one_byte_changed,
    "one line dropped": _one_line_dropped,
    "two lines swapped": _two_lines_swapped,
    "last line missing": _end_cut_off,
}


def _verified(name: str, trace: Path, change: Callable[[Lines], Lines]) -> dict[str, Any]:
    """The real command on a copy."""
    folder = RUNS / "trace-copies"
    folder.mkdir(exist_ok=True)
    copy = folder / f"{name.replace(' ', '-')}.jsonl"
    copy.write_bytes(b"".join(change(trace.read_bytes().splitlines(keepends=True))))
    done = beamwright("trace", "verify", str(copy))
    return {
        "copy": name,
        "exit_status": done.returncode,
        "said": " ".join((done.stdout + done.stderr).replace(str(copy), "").split()),
        "is_as_expected": (done.returncode == 0) == (name == "as written"),
    }


def _replayed(trace: Path) -> dict[str, Any]:
    """The same run again, its model answered from the record."""
    say("trace: replay")
    folder = RUNS / "replay"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    simulator = Simulator(folder / "tps")
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as client, Trace(folder / "trace.jsonl") as diary:
        patient = client.patients()[0].name
        with client.session(patient, model.SessionMode.READ_WRITE) as session:
            found = replay(client, session, patient, trace, trace=diary)
    said = (
        f"{found.same_proposals} of {found.proposals} proposals the same, {found.attempts} attempts, "
        f"largest difference {found.largest_difference_percent:g} % (allowed {found.tolerance_percent:g} %)"
    )
    return {"ok": found.ok, "said": said, "differences": list(found.differences), "notes": list(found.notes)}
