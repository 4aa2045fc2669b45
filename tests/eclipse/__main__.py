"""The adapter for Eclipse at work against the emulation: figures and pictures under ``build/``.

    python -m tests.eclipse                  everything
    python -m tests.eclipse stress flow      only these parts

stress    eclipse-stress.json     answers from gRPC while the ESAPI thread is blocked, 20 times, in both hosts
overhead  eclipse-overhead.json   what the adapter costs on top of ESAPI
flow      eclipse-flow/           a plan made from inside Eclipse: transcript and screenshots

Where something is not as it should be, the exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bridge import model
from bridge.client import Client
from tests.eclipse import emulated, flow, overhead, stress
from tests.eclipse.conftest import find
from tests.eclipse.emulated import PHANTOM, REPOSITORY, Eclipse, Profile
from tests.eclipse.working import by_label, copied, plan_named, usual, writing

BUILD = REPOSITORY / "build"
REPEATS = 20
BLOCKED_S = 8
console = Console()

Wrong = list[str]


def main(words: Sequence[str] | None = None) -> int:
    """The parts asked for; what was not as it should be; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    chosen = parser.parse_args(words).parts or [*PARTS]
    if unknown := [part for part in chosen if part not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if lacking := emulated.missing():
        console.print(f"[bold red]{lacking}[/]")
        return 1
    BUILD.mkdir(exist_ok=True)
    wrong = [f"{part}: {what}" for part in chosen for what in PARTS[part]()]
    for what in wrong:
        console.print(f"[bold red]Not as it should be:[/] {what}", soft_wrap=True)
    return 1 if wrong else 0


def _stress() -> Wrong:
    """Twenty optimisations in each host, with ten thousand calls during each."""
    figures: dict[str, Any] = {"callers": stress.CALLERS, "aim_worst_ms": stress.AIM_MS, "hosts": {}}
    wrong: Wrong = []
    for host in emulated.HOSTS:
        rows = []
        with (
            _passing_folder() as folder,
            emulated.eclipse(Profile(host, "18.0", "Gy"), folder, settings={"optimise_seconds": BLOCKED_S}) as site,
        ):
            for repeat in range(1, REPEATS + 1):
                answers = _stressed(site)
                rows.append(answers.figures())
                wrong += [f"{host}, repeat {repeat}: {what}" for what in stress.as_it_should_be(answers)]
                console.print(
                    f"{host} {repeat}/{REPEATS}: {rows[-1]['calls']} calls in {answers.seconds:.1f} s, "
                    f"worst {answers.worst_ms:.1f} ms"
                )
        figures["hosts"][host] = {
            "repeats": len(rows),
            "calls": sum(row["calls"] for row in rows),
            "worst_ms": max(row["worst_ms"] for row in rows),
            "each": rows,
        }
        _write("eclipse-stress.json", figures)
    return wrong


def _stressed(site: Eclipse) -> stress.Answers:
    """One optimisation that blocks the ESAPI thread, and the calls meanwhile; waits for its end."""
    with site.client() as client:
        patient = find(client, PHANTOM)
        clinic = plan_named(client, patient)
        client.plan(clinic.name), client.objectives(clinic.name)  # what was asked once is remembered
        with writing(client, patient) as session:
            plan = copied(session, patient, "stress")
            session.replace_objectives(plan.name, usual(by_label(session, patient)))
            operation = session.start_optimize(plan.name, model.OptimizeSpec()).name
            _until_running(client, operation)
            answers = asyncio.run(stress.ask(site.endpoint, site.token, operation, clinic.name))
            *_, ended = client.watch(operation)
            if ended.state is not model.OperationState.SUCCEEDED:
                raise RuntimeError(f"the optimisation ended {ended.state.name}: {ended.error_message}")
    return answers


def _until_running(client: Client, operation: str) -> None:
    for seen in client.watch(operation):
        if seen.progress is not None or seen.state.ended:
            return


def _overhead() -> Wrong:
    with _passing_folder() as folder:
        figures = overhead.measure(folder)
    _write("eclipse-overhead.json", figures)
    console.print_json(data=figures)
    return []


def _flow() -> Wrong:
    folder = BUILD / "eclipse-flow"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wrong = flow.record(folder)
    console.print(f"transcript and pictures in {folder.relative_to(REPOSITORY)}")
    return wrong


class _passing_folder(tempfile.TemporaryDirectory[str]):  # noqa: N801 - reads as a noun in a with statement
    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__()) / "site"


def _write(name: str, figures: Mapping[str, Any]) -> None:
    (BUILD / name).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    console.print(f"build/{name}")


PARTS: Mapping[str, Callable[[], Wrong]] = {"stress": _stress, "overhead": _overhead, "flow": _flow}

if __name__ == "__main__":
    sys.exit(main())
