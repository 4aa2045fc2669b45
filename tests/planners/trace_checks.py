"""A trace, and copies of it in which a byte, a line or the order was changed: whether `trace verify` finds each.

The one idea: the copies are made as an editor or a bad disk would, and one by somebody who knows of seals. Each is
found where it is, and with a sentence.
"""

from __future__ import annotations

import hashlib
import json
import re
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
from tests.planners.running import RUNS, Wrong, beamwright, console, plan, say, write
from tests.planners.sensible import sensible

Lines = list[bytes]
_NOT_INTACT = 1
"""Exit status of `trace verify`."""


def show() -> Wrong:
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
    wrong = [f"{row['copy']}: {row['said']}" for row in rows if not row["is_as_expected"]]
    return wrong if again["ok"] else [*wrong, f"replay: {again['said']}"]


def _one_byte_changed(lines: Lines) -> Lines:
    """A digit in the middle of the trace, inside a value."""
    number = len(lines) // 2
    line = bytearray(lines[number])
    place = next(i for i in range(len(line) // 2, len(line)) if chr(line[i]).isdigit())
    line[place] = ord("1") if line[place] != ord("1") else ord("2")
    return _changed(lines, number, bytes(line))


def _one_line_dropped(lines: Lines) -> Lines:
    number = len(lines) // 2
    return [*lines[:number], *lines[number + 1 :]]


def _two_lines_swapped(lines: Lines) -> Lines:
    number = len(lines) // 2
    return [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]


def _end_cut_off(lines: Lines) -> Lines:
    return lines[:-1]


def _one_line_more(lines: Lines) -> Lines:
    return [*lines, lines[-1]]


def _half_a_character(lines: Lines) -> Lines:
    """Part of a word becomes half of a UTF-16 pair, which no file can hold."""
    number = _with(lines, b'"stop_reason":"')
    return _changed(lines, number, lines[number].replace(b'"stop_reason":"', b'"stop_reason":"\\ud800', 1))


def _no_number(lines: Lines) -> Lines:
    number = _with(lines, b'"seconds":')
    return _changed(lines, number, re.sub(rb'"seconds":[0-9.e+-]+', b'"seconds":NaN', lines[number], count=1))


def _resealed_without_previous(lines: Lines) -> Lines:
    """By someone who does know of seals: the line fits its own, and names none before it."""
    number = len(lines) // 2
    body = {key: value for key, value in json.loads(lines[number]).items() if key not in ("seal", "previous")}
    seal = hashlib.sha256(_written(body)).hexdigest()
    return _changed(lines, number, _written({**body, "seal": seal}) + b"\n")


def _with(lines: Lines, part: bytes) -> int:
    return next(number for number, line in enumerate(lines) if part in line)


def _changed(lines: Lines, number: int, line: bytes) -> Lines:
    return [*lines[:number], line, *lines[number + 1 :]]


def _written(body: Mapping[str, Any]) -> bytes:
    """As a trace writes it."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


CHANGES: Mapping[str, Callable[[Lines], Lines]] = {
    "as written": list,
    "one byte changed": _one_byte_changed,
    "one line dropped": _one_line_dropped,
    "two lines swapped": _two_lines_swapped,
    "last line missing": _end_cut_off,
    "one line more": _one_line_more,
    "half a character": _half_a_character,
    "NaN": _no_number,
    "sealed again without the line before": _resealed_without_previous,
}


def _verified(name: str, trace: Path, change: Callable[[Lines], Lines]) -> dict[str, Any]:
    """The real command on a copy."""
    folder = RUNS / "trace-copies"
    folder.mkdir(exist_ok=True)
    copy = folder / f"{name.replace(' ', '-')}.jsonl"
    copy.write_bytes(b"".join(change(trace.read_bytes().splitlines(keepends=True))))
    done = beamwright("trace", "verify", str(copy))
    said = " ".join((done.stdout + done.stderr).replace(str(copy), "").split())
    status, word = (0, "is whole") if name == "as written" else (_NOT_INTACT, "is not intact")
    return {
        "copy": name,
        "exit_status": done.returncode,
        "said": said,
        "is_as_expected": done.returncode == status and word in said,
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
