"""One long call into Eclipse: what it says meanwhile, and why it failed.

The one idea: Eclipse blocks until it is done and then says only whether it succeeded. Lines that it traces meanwhile
are told on as the text of the stage, cleaned and bounded; when it failed, its logs are asked why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge import errors, model
from bridge.backend import Monitor
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.working import logs

_KEPT_LINES = 20

Failure = type[errors.TpsRefused] | type[errors.NotDeliverable]


@dataclass(frozen=True)
class Stage:
    """What is being done to which plan."""

    name: str
    """As progress tells it."""
    doing: str
    """The same as a verb: "calculate the dose of"."""
    chart: Chart
    plan: Any
    plan_name: str
    monitor: Monitor
    iteration: int | None = None
    """Where it begins."""


def answered(stage: Stage, call: Callable[[], Any], failure: Failure = errors.TpsRefused) -> Any:
    """Eclipse's answer to a call, or a refusal with the reasons that can be found.

    Raises
    ------
    TpsRefused
        The call threw, or somebody removed the plan meanwhile.
    TpsUnavailable
        The patient, or Eclipse, went away meanwhile.
    failure
        Eclipse says that it did not succeed.
    """
    traced: deque[str] = deque(maxlen=_KEPT_LINES)

    def hear(text: str) -> None:
        line = logs.short(text)
        if line:
            traced.append(line)
            stage.monitor.report(model.Progress(f"{stage.name}: {line}", iteration=stage.iteration))

    what = f"{stage.doing} plan {stage.plan_name!r}"
    stage.monitor.report(model.Progress(stage.name, iteration=stage.iteration))
    try:
        with translated(what):
            with access.trace_lines(hear):
                answer = call()
            stage.chart.look_anew()  # in Eclipse a person may have gone on meanwhile
            if answer is None or not access.get(answer, "Success"):
                raise failure(f"Eclipse did not manage to {what}.")
    except (errors.TpsRefused, errors.NotDeliverable) as refusal:
        with translated("read the calculation logs"):
            reasons = logs.reasons(stage.plan, list(traced))
        raise type(refusal)(f"{refusal.message.rstrip('.')}. {reasons}") from refusal
    except errors.TpsUnavailable as gone:
        if _is_removed(stage):
            raise errors.TpsRefused(
                f"plan {stage.plan_name!r} was removed in Eclipse meanwhile; list plans again."
            ) from gone
        raise
    return answer


def _is_removed(stage: Stage) -> bool:
    """Whether only the plan is gone, and the patient still open."""
    try:
        with translated("look for the plan"):
            return not stage.chart.has_plan(stage.plan_name)
    except errors.BridgeError:
        return False
