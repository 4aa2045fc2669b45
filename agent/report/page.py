"""The report of a run: one HTML file that opens offline and prints, made from the run folder alone.

The one idea: the page is a function of `agent.run_folder.Run`. Everything that comes from a TPS or a protocol is
escaped by the template engine; the page may load nothing and run nothing, and says so in its own policy.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agent.goals import NOTICEABLE_PERCENT, success
from agent.records import Attempt, GoalResult, GoalStatus, RunResult
from agent.report import tables
from agent.report.anatomy import HotSpot, hot_spot, in_brain, overlap_percent
from agent.report.dvh_plot import Curves, dvh_figure
from agent.report.palette import STATUS_SIGN, STATUS_WORD, structure_colours
from agent.report.pictures import BRAIN, SOFT_TISSUE, Scene, Window, planes_png
from agent.report.planes import ORIENTATIONS, around_body, close_up
from agent.run_folder import REPORT, Run, read, write_bytes, write_text
from agent.wording import counted
from bridge import INTENDED_USE, model

TEMPLATES = Path(__file__).parent / "templates"
PICTURES = "pictures"

DOSE_KIND_TEXT: Mapping[model.DoseKind, str] = {
    model.DoseKind.NONE: "The plan has no dose.",
    model.DoseKind.INTERMEDIATE: "It follows from the optimised fluence, before any leaf sequence; a deliverable plan "
    "of these objectives will be somewhat worse.",
    model.DoseKind.APPROXIMATE: "It was computed with a faster, less exact method than the TPS's final one.",
    model.DoseKind.FINAL: "It was computed by the TPS for the plan as it would be delivered.",
    model.DoseKind.IMPORTED: "It came with the patient and was not computed here.",
}
_PENCIL_BEAM_LIMITS = (
    "A pencil beam scales depth by the density along each ray and knows nothing of how scatter spreads sideways in it. "
    "Expect too high a dose in and behind lung and air cavities and at their edges, most for small fields, and "
    "errors at bone and metal. Recalculate with convolution or Monte Carlo before you conclude anything there."
)


@dataclass(frozen=True)
class Picture:
    """A picture with the words that stand for it."""

    file: str
    title: str
    caption: str
    alt: str
    png: bytes

    @property
    def uri(self) -> str:
        return data_uri(self.png, "image/png")


def write_report(folder: Path) -> Path:
    """Make ``report.html`` and ``pictures/`` of a run folder anew and return the page's path."""
    run = read(folder)
    pictures = _pictures(run)
    for picture in pictures:
        write_bytes(folder / PICTURES / picture.file, picture.png)
    write_bytes(folder / PICTURES / "dvh.png", dvh(run, "png"))
    write_text(folder / REPORT, render(run, pictures))
    return folder / REPORT


def render(run: Run, pictures: Sequence[Picture] | None = None) -> str:
    """The page as text; pictures already made may be given."""
    drawn = _pictures(run) if pictures is None else pictures
    return environment().get_template("report.html.j2").render(_context(run, drawn))


def environment() -> Environment:
    """Templates with escaping switched on: labels are data from elsewhere, whatever they look like."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        intended_use=INTENDED_USE,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        sign=STATUS_SIGN,
        word=STATUS_WORD,
        rank_word=tables.RANK_WORD,
        position=tables.position,
        number=tables.number,
        counted=counted,
    )
    return made


def data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def colours_of(*runs: Run) -> dict[str, str]:
    """Structure label -> colour, the same in every picture and table of the run, or of runs shown together."""
    shown: dict[str, model.Structure] = {}
    prescribed_gy: dict[str, float] = {}
    for run in runs:
        for structure in run.result.structures:
            if structure.role not in _WITHOUT_COLOUR:
                shown.setdefault(structure.label, structure)
        names, prescription = tables.labels(run.result), run.result.plan.prescription
        for target in prescription.targets if prescription else ():
            if target.structure in names:
                prescribed_gy.setdefault(names[target.structure], target.total_gy)
    return structure_colours(shown.values(), sorted(prescribed_gy, key=lambda label: -prescribed_gy[label]))


_WITHOUT_COLOUR = (model.StructureRole.HELPER, model.StructureRole.SUPPORT)


def prescription_gy(result: RunResult) -> float:
    """The highest prescribed dose, which is 100 % of every picture."""
    if result.plan.prescription is None:
        return max(result.best_attempt.dose.max_gy or 0.0, 1.0)
    return max(target.total_gy for target in result.plan.prescription.targets)


def dvh(run: Run, image_format: str) -> bytes:
    """The DVH of the best attempt with goal marks, and of the reference plan where there is one."""
    best, colours = run.result.best_attempt, colours_of(run)
    drawn = [Curves(f"plan (attempt {best.number})", tables.curves(best, run.result), "-")]
    if run.reference is not None:
        drawn.append(Curves(f"imported: {run.reference.label}", run.reference.dvhs, "--"))
    goals = [replace(goal, structure=tables.label_of(goal.structure, run.result)) for goal in best.goals]
    return dvh_figure(drawn, goals, colours, target_labels(run.result), prescription_gy(run.result), image_format)


def target_labels(result: RunResult) -> list[str]:
    return [s.label for s in result.structures if s.role is model.StructureRole.TARGET]


def _pictures(run: Run) -> list[Picture]:
    """Planes through the isocentre and through the hot spot; none where the server streamed no volumes."""
    if run.volumes is None:
        return []
    result, volumes = run.result, run.volumes
    colours = colours_of(run)
    drawn = [s for s in result.structures if s.label in volumes.masks and s.label in colours]
    scene = Scene(volumes, drawn, colours, prescription_gy(result), _window(run))
    spot = hot_spot(volumes, result.structures, result.best_attempt.dose)
    pictures = []
    if result.beams:
        isocentre = result.beams[0].isocentre_mm
        body = next((volumes.masks[s.label] for s in drawn if s.role is model.StructureRole.EXTERNAL), None)
        boxes = [around_body(volumes, body, each, isocentre[each.normal]) for each in ORIENTATIONS]
        where = tables.position(isocentre)
        pictures.append(
            Picture(
                "isocentre.png",
                "Through the isocentre",
                f"({where}).",
                f"Axial, coronal and sagittal CT through the isocentre ({where}) with contours and isodose lines.",
                planes_png(scene, isocentre, boxes),
            )
        )
    words = hot_spot_text(spot, prescription_gy(result))
    pictures.append(
        Picture(
            "hot-spot.png",
            "Through the hottest point of the dose grid:",
            words,
            f"Axial, coronal and sagittal CT through the highest dose with contours and isodose lines. {words}",
            planes_png(scene, spot.position_mm, [close_up(volumes, drawn, spot.position_mm)] * len(ORIENTATIONS)),
        )
    )
    return pictures


def _window(run: Run) -> Window:
    """Narrow where all targets lie in the brain, so that grey and white matter differ; else for soft tissue."""
    return BRAIN if run.volumes is not None and in_brain(run.volumes, run.result.structures) else SOFT_TISSUE


def hot_spot_text(spot: HotSpot, prescription: float) -> str:
    """Where the highest dose is, in a sentence."""
    percent = 100.0 * spot.dose_gy / prescription
    inside = f"inside {', '.join(spot.inside)}" if spot.inside else "in no contoured organ"
    away = "" if not spot.distance_mm else f", {spot.distance_mm:.1f} mm outside {spot.target}"
    where = tables.position(spot.position_mm)
    return f"{spot.dose_gy:.1f} Gy ({percent:.1f} % of {tables.number(prescription)} Gy) {inside}{away}, at {where}."


def _context(run: Run, pictures: Sequence[Picture]) -> dict[str, Any]:
    result, best, first = run.result, run.result.best_attempt, run.result.attempts[0]
    names = tables.labels(result)
    rows = tables.goal_rows(best.goals, first.goals)
    evaluable = [row for row in rows if row.status is not GoalStatus.NOT_EVALUABLE]
    overlapping = {} if run.volumes is None else overlap_percent(run.volumes, result.structures)
    return {
        "run": result,
        "trace_problem": run.trace_problem,
        "best": best,
        "made": result.plan.provenance.created.strftime("%Y-%m-%d %H:%M UTC") if result.plan.provenance else "",
        "dose_kind_text": DOSE_KIND_TEXT[best.dose.kind],
        "verdict": _verdict(best),
        "planner_lines": tables.planner_lines(result),
        "stop_reason": result.stop_reason.rstrip(".") + ".",
        "noticeable": tables.number(NOTICEABLE_PERCENT),
        "cards": _cards(result),
        "goals": [(rank, list(group)) for rank, group in groupby(evaluable, key=lambda row: row.rank)],
        "not_evaluable": [row for row in rows if row.status is GoalStatus.NOT_EVALUABLE],
        "reported": [
            {"name": f"{item.structure} {item.metric}", "value": tables.measured(item.value, item.unit)}
            for item in best.reported
        ],
        "gained": [row for row in evaluable if row.trend > 0],
        "given": [row for row in evaluable if row.trend < 0],
        "colours": colours_of(run),
        "label_of": lambda structure: tables.label_of(structure, result),
        "pictures": pictures,
        "no_pictures": "The TPS does not stream volumes, so there is nothing to draw.",
        "prescription": f"{tables.number(prescription_gy(result))} Gy",
        "dvh": {"uri": data_uri(dvh(run, "svg"), "image/svg+xml"), "alt": _dvh_alt(run)},
        "reference": run.reference,
        "window": _window(run),
        "synthetic": next((f.message for f in result.findings if f.code == _SYNTHETIC), ""),
        "external_max": _external_max(run),
        "attempts": [_attempt(attempt) for attempt in result.attempts],
        "history": [
            {
                "goal": f"{goal.structure} {goal.metric}",
                "limit": tables.limit_text(goal),
                "rank": goal.rank,
                "cells": [_cell(each) for each in over],
            }
            for goal, over in tables.goal_history(result.attempts)
        ],
        "objectives": tables.objective_rows(best, first, names),
        "structure_values": tables.structure_value_lines(best),
        "prescription_lines": tables.prescription_lines(result.plan, names),
        "normalization": tables.normalization_text(result.plan.normalization, names),
        "hottest": hottest(run),
        "sequencing": tables.sequencing_lines(best),
        "dose_grid": _grid(best.dose.grid),
        "algorithm_limits": _algorithm_limits(best.dose.algorithm),
        "structures": tables.structure_rows(result.structures, tables.curves(best, result), overlapping),
        "findings": [
            {
                "structure": names.get(f.structure, f.structure) if f.structure else "",
                "message": f.message,
                "code": f.code,
            }
            for f in result.findings
        ],
    }


def _verdict(best: Attempt) -> dict[str, Any]:
    musts = [goal for goal in best.goals if goal.rank == 1 and goal.status is not GoalStatus.NOT_EVALUABLE]
    missed = [goal for goal in musts if goal.status is GoalStatus.MISSED]
    unknown = sum(goal.rank == 1 and goal.status is GoalStatus.NOT_EVALUABLE for goal in best.goals)
    if success(best.goals):
        headline = f"All {len(musts)} rank-1 goals are met or acceptable"
    else:
        headline = f"{len(missed)} of {len(musts)} rank-1 goals {'is' if len(missed) == 1 else 'are'} missed"
    sentences = []
    if missed:
        values = (f"{tables.goal_text(goal)} is {tables.measured(goal.value, goal.unit)}" for goal in missed)
        sentences.append(f"{'; '.join(values)}.")
    if unknown:
        sentences.append(f"Rank-1 goals that could not be evaluated, and do not count as met: {unknown}.")
    return {"success": success(best.goals), "headline": headline, "detail": " ".join(sentences)}


def _cards(result: RunResult) -> list[dict[str, str]]:
    counts, before = tables.status_counts(result.best_attempt), tables.status_counts(result.attempts[0])
    evaluable = sum(counts.values()) - counts[GoalStatus.NOT_EVALUABLE]
    met = counts[GoalStatus.MET]
    return [
        {"value": f"{met} of {evaluable}", "name": f"goals met (first attempt: {before[GoalStatus.MET]})"},
        {"value": str(counts[GoalStatus.ACCEPTABLE]), "name": "acceptable"},
        {"value": str(counts[GoalStatus.MISSED]), "name": f"missed (first attempt: {before[GoalStatus.MISSED]})"},
        {"value": str(counts[GoalStatus.NOT_EVALUABLE]), "name": "not evaluable"},
        {"value": tables.gy(result.best_attempt.dose.max_gy), "name": "hottest point of the dose grid"},
        {
            "value": f"{result.seconds:.0f} s",
            "name": f"for {counted(len(result.attempts), 'attempt')}, {counted(result.tps_calls, 'TPS call')}",
        },
    ]


def _cell(goal: GoalResult | None) -> dict[str, str]:
    if goal is None:
        return {"status": GoalStatus.NOT_EVALUABLE.value, "text": "–"}
    return {"status": goal.status.value, "text": tables.measured(goal.value, "")}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    scale = attempt.normalization_percent
    return {
        "number": attempt.number,
        "kept": attempt.kept,
        "counts": tables.status_counts(attempt),
        "total": f"{attempt.total_value:.4g}",
        "iterations": attempt.iterations,
        "seconds": f"{attempt.seconds:.1f} s",
        "normalised": "–" if scale is None else f"{scale:.2f} %",
        "rationale": attempt.rationale,
        "changes": attempt.changes,
        "stage": attempt.stage,
        "lost": attempt.lost,
    }


def hottest(run: Run) -> str:
    """How high the highest dose is and where, as far as the run can tell."""
    info, prescribed = run.result.best_attempt.dose, prescription_gy(run.result)
    if run.volumes is not None:
        return hot_spot_text(hot_spot(run.volumes, run.result.structures, info), prescribed)
    if info.max_gy is None:
        return "not told by the TPS"
    return f"{info.max_gy:.1f} Gy ({100 * info.max_gy / prescribed:.1f} %), at {tables.position(info.max_position_mm)}"


_SYNTHETIC = "synthetic-patient"
"""Code of the finding by which a TPS says that a patient was made by a program."""


def _external_max(run: Run) -> str:
    """The maximum that goals and DVH give for the whole patient; empty where there is no such curve."""
    shown = tables.curves(run.result.best_attempt, run.result)
    bodies = [s.label for s in run.result.structures if s.role is model.StructureRole.EXTERNAL and s.label in shown]
    return tables.gy(shown[bodies[0]].max_gy) if bodies else ""


def _grid(grid: model.Grid | None) -> str:
    if grid is None:
        return "not told by the TPS"
    spacing = " × ".join(tables.number(step, 2) for step in grid.spacing_mm)
    return f"{spacing} mm (x, y, z), {' × '.join(str(count) for count in grid.size)} voxels"


def _algorithm_limits(algorithm: str) -> str:
    if "pencil" in algorithm.casefold():
        return _PENCIL_BEAM_LIMITS
    return "Not known to this report; see the documentation of the TPS."


def _dvh_alt(run: Run) -> str:
    """The curves in words: mean and highest dose of every structure shown."""
    shown = tables.curves(run.result.best_attempt, run.result)
    parts = [f"{label} mean {tables.gy(d.mean_gy)}, max {tables.gy(d.max_gy)}" for label, d in shown.items()]
    return f"Dose-volume histogram. {'; '.join(parts)}."
