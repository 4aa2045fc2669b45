"""Two runs side by side: one table of goals, one DVH plot with both.

The one idea: runs are comparable as far as they share goals and structures; what only one of them has is shown as
absent, and differences of case, protocol or prescription are said first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.records import RunResult
from agent.report import tables
from agent.report.dvh_plot import Curves, dvh_figure
from agent.report.page import colours_of, data_uri, environment, hottest, prescription_gy, target_labels
from agent.run_folder import Run, claim, read, write_bytes, write_text

COMPARISONS = Path("comparisons")


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was written, and from what."""

    run_a: Run
    run_b: Run
    names: tuple[str, str]
    """The folders as the page and the terminal name them."""
    page: Path
    picture: Path

    @property
    def differences(self) -> list[str]:
        return differences(self.run_a.result, self.run_b.result)


def write_comparison(folder_a: Path, folder_b: Path, out: Path | None = None) -> Comparison:
    """Read two run folders and write ``comparison.html`` and ``dvh.png`` into a folder of their own.

    Without ``out`` it is one in ``./comparisons`` named after both; a folder that holds anything is refused.
    """
    run_a, run_b = read(folder_a), read(folder_b)
    names = folder_names(folder_a, folder_b)
    folder = claim(out or COMPARISONS / "-and-".join(names).replace("/", "-"))
    page, picture = folder / "comparison.html", folder / "dvh.png"
    write_bytes(picture, both_dvhs(run_a, run_b, names, "png"))
    write_text(page, render_comparison(run_a, run_b, names))
    return Comparison(run_a, run_b, names, page, picture)


def folder_names(folder_a: Path, folder_b: Path) -> tuple[str, str]:
    """What to call the two: the folders' names, with those of the folders they lie in where they are alike."""
    a, b = folder_a.resolve(), folder_b.resolve()
    return (a.name, b.name) if a.name != b.name else (f"{a.parent.name}/{a.name}", f"{b.parent.name}/{b.name}")


def render_comparison(run_a: Run, run_b: Run, names: tuple[str, str]) -> str:
    """The page as text."""
    a, b = run_a.result, run_b.result
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            a=a,
            b=b,
            names=names,
            differences=differences(a, b),
            goals=tables.paired_goals(a.best_attempt, b.best_attempt),
            facts=_facts(run_a, run_b, names),
            colours=colours_of(run_a, run_b),
            label_of=lambda structure: tables.label_of(structure, a),
            dvh=data_uri(both_dvhs(run_a, run_b, names, "svg"), "image/svg+xml"),
        )
    )


def both_dvhs(run_a: Run, run_b: Run, names: tuple[str, str], image_format: str) -> bytes:
    """DVHs of both best attempts, A solid and B dashed, with the goal marks of A."""
    a, b = run_a.result, run_b.result
    curves = [
        Curves(f"A: {names[0]}", tables.curves(a.best_attempt, a), "-"),
        Curves(f"B: {names[1]}", tables.curves(b.best_attempt, b), "--"),
    ]
    goals = [replace(goal, structure=tables.label_of(goal.structure, a)) for goal in a.best_attempt.goals]
    colours = colours_of(run_a, run_b)
    return dvh_figure(curves, goals, colours, [*target_labels(a), *target_labels(b)], prescription_gy(a), image_format)


def differences(a: RunResult, b: RunResult) -> list[str]:
    """What makes the two runs less than fully comparable."""
    pairs = [
        ("patient", a.plan.patient.removeprefix("patients/"), b.plan.patient.removeprefix("patients/")),
        ("case", a.case, b.case),
        ("protocol", a.protocol, b.protocol),
        ("highest prescription", f"{prescription_gy(a):g} Gy", f"{prescription_gy(b):g} Gy"),
        ("dose", a.best_attempt.dose.kind.name, b.best_attempt.dose.kind.name),
        ("algorithm", a.best_attempt.dose.algorithm, b.best_attempt.dose.algorithm),
        ("number of beams", str(len(a.beams)), str(len(b.beams))),
        ("TPS", f"{a.server.tps_name} {a.server.tps_version}", f"{b.server.tps_name} {b.server.tps_version}"),
    ]
    return [f"{what}: {in_a} in A, {in_b} in B" for what, in_a, in_b in pairs if in_a != in_b]


def _facts(run_a: Run, run_b: Run, names: tuple[str, str]) -> list[dict[str, Any]]:
    rows = []
    for run, name in zip((run_a, run_b), names, strict=True):
        result = run.result
        rows.append(
            {
                "Folder": name,
                "Planner": result.planner,
                "Case": result.case,
                "Protocol": result.protocol,
                "Attempts (best)": f"{len(result.attempts)} ({result.best})",
                "Time": f"{result.seconds:.0f} s",
                "TPS calls": str(result.tps_calls),
                "Hottest point of the dose grid": hottest(run),
                "Ended because": result.stop_reason,
            }
        )
    return [{"name": name, "a": rows[0][name], "b": rows[1][name]} for name in rows[0]]
