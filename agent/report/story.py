"""The story of a run as one page: attempt by attempt what was asked, thought, said, checked, decided, changed, gained.

The one idea: the page is a function of the trace, in the trace's own order. A run folder adds what a trace has not:
curves, and the patient's labels and colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agent.analysis.story import Asking, Chapter, Story, Text
from agent.goals import NOTICEABLE_PERCENT, badness
from agent.records import Attempt, GoalResult, GoalStatus, ModelCosts
from agent.report import tables
from agent.report.accounts import (
    Account,
    Moment,
    Request,
    accounts,
    arm_lines,
    best_of,
    change_rows,
    costs,
    ending,
    moments,
    plan_decisions,
)
from agent.report.dvh_plot import Curves, dvh_figure
from agent.report.marked import OUTCOME_SIGN, OUTCOME_WORD, marked
from agent.report.page import TEMPLATES, colours_of, data_uri, environment, prescription_gy, target_labels
from agent.report.pictures import rendered
from agent.run_folder import Run, write_text
from agent.trace import Reviewed, ToolUsed
from agent.wording import counted

STORY = "story.html"
_DIM, _RULE, _ACCENT = "#5b6672", "#e3e8ee", "#0f5c7a"
_VERDICT_WORD = {"best": "★ best of the run", "kept": "kept", "set-back": "set back", "unfinished": "no dose"}
_COURSE_INCH = (5.6, 2.6)
_COURSE_ATTEMPTS = 2
"""Fewer have no course."""


def write_story(story: Story, out: Path, run: Run | None = None, problem: str = "") -> Path:
    """Write the page and return its path.

    Parameters
    ----------
    run
        The run that the trace belongs to, for its curves; None where there is only the trace.
    problem
        Why the trace cannot be relied on; empty where it can.
    """
    write_text(out, render_story(story, run, problem))
    return out


def render_story(story: Story, run: Run | None = None, problem: str = "") -> str:
    """The page as text; parameters as for `write_story`."""
    return environment().get_template("story.html.j2").render(_context(story, run, problem))


def course_figures(story: Story) -> tuple[bytes, ...]:
    """Two small plots over the attempts, as SVG: goals met, and how far the open ones are from being met."""
    goals = [each.goals for each in story.evaluated]
    if len(goals) < _COURSE_ATTEMPTS:
        return ()
    return (
        _course(story, "Goals met", [_met(each) for each in goals]),
        _course(story, "Open goals, weighted by rank (0: all met)", [badness(each) for each in goals]),
    )


def _course(story: Story, title: str, values: Sequence[float]) -> bytes:
    """One value over the attempts; full marks for attempts that were kept, a line for each stage that begins."""
    figure = Figure(figsize=_COURSE_INCH, facecolor="white")
    axes = figure.add_axes((0.075, 0.19, 0.9, 0.65))
    evaluated = story.evaluated
    numbers = [each.attempt for each in evaluated]
    kept = {chapter.number for chapter in story.chapters if chapter.decided and chapter.decided.kept}
    axes.plot(numbers, values, color=_ACCENT, linewidth=1.4, alpha=0.45)
    for number, value in zip(numbers, values, strict=True):
        colour = _ACCENT if number in kept else "white"
        axes.plot(
            [number], [value], "o", markersize=6.5, markerfacecolor=colour, markeredgecolor=_ACCENT, clip_on=False
        )
    for before, after in pairwise(evaluated):
        if before.stage != after.stage:
            axes.axvline((before.attempt + after.attempt) / 2, color=_DIM, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.set_title(title, loc="left", fontsize=10, color=_DIM)
    axes.set_xlabel("Attempt", fontsize=9, color=_DIM)
    axes.set_ylim(0, 1.12 * max(*values, 1e-9))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if all(isinstance(value, int) for value in values):
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=_RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_DIM, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#aab4bf")
    return rendered(figure, "svg")


def _context(story: Story, run: Run | None, problem: str) -> dict[str, Any]:
    started, told = story.started, accounts(story)
    style = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "story.css"))
    model_costs, format_errors = costs(story)
    return {
        "style": Markup(style),
        "started": started,
        "case": (run.result.case if run else started.case).removeprefix("patients/"),
        "made": story.told[0].time.strftime("%Y-%m-%d %H:%M UTC"),
        "model": _model_named(story),
        "problem": problem,
        "ending": ending(story),
        "best": best_of(story),
        "cards": list(_cards(story, model_costs, format_errors)),
        "arm": list(arm_lines(started.arm)),
        "format_errors": format_errors,
        "courses": [data_uri(svg, "image/svg+xml") for svg in course_figures(story)]
        if len(story.evaluated) > 1
        else [],
        "passages": [_passage(story, account, run) for account in told],
        "plan_decisions": plan_decisions(story),
        "conflicts": story.conflicts,
        "restored": story.restored,
        "colours": colours_of(run) if run else {},
        "label_of": lambda structure: tables.label_of(structure, run.result) if run else structure,
        "outcome_sign": OUTCOME_SIGN,
        "outcome_word": OUTCOME_WORD,
        "verdict_word": _VERDICT_WORD,
        "noticeable": tables.number(NOTICEABLE_PERCENT),
    }


def _model_named(story: Story) -> str:
    """As the server named it, else as it was asked for; empty where no model was asked."""
    replies = [each.reply for chapter in story.chapters for each in chapter.exchanges if each.reply is not None]
    asked_for = str(story.started.arm.get("model", {}).get("model", ""))
    return next((reply.model for reply in replies if reply.model), asked_for)


def _cards(story: Story, model_costs: ModelCosts, format_errors: Mapping[str, int]) -> Iterator[dict[str, str]]:
    if story.evaluated:
        first = story.evaluated[0]
        best = next((each for each in story.evaluated if each.attempt == best_of(story)), first)
        evaluable = sum(goal.status is not GoalStatus.NOT_EVALUABLE for goal in best.goals)
        yield {"value": f"{_met(best.goals)} of {evaluable}", "name": f"goals met (first attempt: {_met(first.goals)})"}
    calls = counted(len(story.tps_calls), "TPS call")
    yield {"value": str(len(story.evaluated)), "name": f"attempts that came to a dose, {calls}"}
    seconds = (story.told[-1].time - story.told[0].time).total_seconds()
    yield {"value": f"{seconds:.0f} s", "name": "from the trace's first line to its last"}
    yield {"value": str(sum(format_errors.values())), "name": "breaches of rules, each told to the planner"}
    if model_costs.requests:
        tokens = f"{model_costs.prompt_tokens:,} + {model_costs.answer_tokens:,}".replace(",", "\u202f")
        asked = counted(model_costs.requests, "request")
        yield {"value": tokens, "name": f"tokens in + out, {asked}, {model_costs.seconds:.0f} s"}
        cost = "not known" if model_costs.cost_usd is None else f"{model_costs.cost_usd:.4f} US$"
        yield {"value": cost, "name": "cost of the model"}


def _met(goals: Sequence[GoalResult]) -> int:
    return sum(goal.status is GoalStatus.MET for goal in goals)


def _passage(story: Story, account: Account, run: Run | None) -> dict[str, Any]:
    return {
        "account": account,
        "number": account.chapter.number,
        "trial": account.chapter.proposal is not None and account.chapter.proposal.is_trial,
        "moments": [_moment(story, account.chapter, moment) for moment in moments(account.chapter)],
        "decided": account.chapter.decided,
        "lost": account.chapter.evaluated.lost if account.chapter.evaluated else (),
        "dvh": _dvh_uri(account, run),
    }


def _moment(story: Story, chapter: Chapter, moment: Moment) -> dict[str, Any]:
    """One moment of an attempt, as the template draws it."""
    match moment:
        case Request():
            return {"kind": "exchange", **_request(story, chapter, moment)}
        case ToolUsed():
            return {"kind": "tool", "tool": moment}
        case Reviewed():
            return {"kind": "review", "decision": moment.decision}
        case Asking():
            text = Text(chapter.number, "rationale", moment.proposal.rationale, moment.proposal.changes)
            return {
                "kind": "proposal",
                "proposal": moment.proposal,
                "failures": moment.failures,
                "rationale": marked(story, text),
                "changes": change_rows(story, chapter.number, moment.proposal),
            }


def _request(story: Story, chapter: Chapter, request: Request) -> dict[str, Any]:
    exchange = request.exchange
    changes = tuple(change for asking in chapter.askings for change in asking.proposal.changes)
    reasoning = exchange.reply.reasoning if exchange.reply else ""
    return {
        "messages": request.new,
        "continued": request.known,
        "offered": [tool.name for tool in exchange.asked.tools],
        "troubles": exchange.troubles,
        "reply": exchange.reply,
        "reasoning": marked(story, Text(chapter.number, "reasoning", reasoning, changes)),
    }


def _dvh_uri(account: Account, run: Run | None) -> str:
    """The attempt's curves against those of the best attempt before; empty where there are none."""
    if run is None or account.chapter.evaluated is None:
        return ""
    result = run.result
    by_number = {attempt.number: attempt for attempt in result.attempts}
    shown = [by_number[number] for number in (account.chapter.number, account.compared_with) if number in by_number]
    if not shown or shown[0].number != account.chapter.number:
        return ""
    goals = [_labelled(goal, run) for goal in account.chapter.evaluated.goals]
    figure = dvh_figure(
        _curves(shown, run), goals, colours_of(run), target_labels(result), prescription_gy(result), "svg"
    )
    return data_uri(figure, "image/svg+xml")


def _curves(attempts: Sequence[Attempt], run: Run) -> list[Curves]:
    """The attempt solid, the one it is compared with dashed."""
    now, *before = attempts
    drawn = [Curves(f"attempt {now.number}", tables.curves(now, run.result), "-")]
    return drawn + [Curves(f"attempt {b.number}, the best before", tables.curves(b, run.result), "--") for b in before]


def _labelled(goal: GoalResult, run: Run) -> GoalResult:
    """The goal under the TPS's label of its structure, as the curves have it."""
    return replace(goal, structure=tables.label_of(goal.structure, run.result))
