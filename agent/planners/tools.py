"""Functions that a model may call before it answers: typed, read-only, computed from the last attempt.

The one idea: a tool is a Python function. Its docstring is the description, its annotations the schema, and bad
arguments come back as a text that says how to call it well. Only `what_if` is more: it ends the turn, because what it
asks for can be known only by optimising.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from agent.actions import ActionSpace
from agent.actions.answer import quoted
from agent.actions.naming import label, to_model
from agent.language_model.answers import read_answer
from agent.metrics import MetricError, parse_metric
from agent.observation import Observation
from agent.prompts.curves import NotInCurve, read_metric
from agent.prompts.figures import TrendLine, goal_lines, goal_trends, loss_trends, objective_lines
from agent.proposal import CheckFailure
from agent.talk import Reply, Tool

WHAT_IF = "what_if"
_MOST_PROBLEMS = 3
"""So many of the things that are wrong with a call are told, and the others counted."""
_LONGEST_METRIC = 40
"""Characters; three times what the longest sensible one takes."""
_WHAT_IF = (
    "Try changes without settling on them. The arguments are a whole answer. It is not free: the planning system "
    "optimises, and the trial is counted as an attempt. The result comes back as this function's answer."
)


class BadArguments(Exception):
    """A call that cannot be answered; the message says how to call."""


class Queries:
    """The read-only tools, about one observation."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation
        self._structures = {label(observation, name): name for name in observation.dvhs}

    def deviations(self) -> dict[str, Any]:
        """How far the last attempt is from each goal and from each objective.

        outside_by above 0: the goal is not met. beyond_by_gy above 0: the objective still pulls.
        """
        observation = self._observation
        goals = goal_lines(observation.last, observation.best_step, observation)
        objectives = objective_lines(observation.last, observation, to_model(observation))
        return {
            "attempt": observation.last.number,
            "goals": [
                {"goal": goal.text, "value": _rounded(goal.value), "outside_by": _rounded(goal.gap), "unit": goal.unit}
                for goal in goals
                if goal.value is not None
            ],
            "objectives": [
                {"objective": line.name, "asks": line.asks, "has_gy": _rounded(line.has_gy),
                 "beyond_by_gy": _rounded(line.gap_gy), "loss": line.loss}
                for line in objectives
            ],
        }  # fmt: skip

    def trends(self, structure: str | None = None, metric: str | None = None) -> dict[str, Any]:
        """How goals and weighted losses went over all attempts, oldest first; of one structure or one metric if given.

        The metric of an objective's loss is "loss".
        """
        goals = goal_trends(self._observation)
        losses = loss_trends(self._observation, to_model(self._observation))
        fitting = [
            line for line in (*goals, *losses) if structure in (None, line.structure) and metric in (None, line.metric)
        ]
        if not fitting:
            there = ", ".join(f"{line.structure} {line.metric}" for line in goals)
            asked = f"structure {_quoted(structure)} and metric {_quoted(metric)}"
            raise BadArguments(f"nothing has {asked}; there are: {there}.")
        return {"trends": [_trend(line) for line in fitting]}

    def query_metric(self, structure: str, metric: str) -> dict[str, Any]:
        """One metric of one structure in the last attempt, read from its dose-volume curve.

        Metrics are written D95%[Gy], D0.03cc[Gy], V20Gy[%], V12Gy[cc], Mean[Gy], Max[Gy] or Min[Gy]. Conformity and
        gradient cannot be asked here.
        """
        if structure not in self._structures:
            there = ", ".join(sorted(self._structures))
            raise BadArguments(f"no curve of {_quoted(structure)} is here; there are {there}.")
        if len(metric) > _LONGEST_METRIC:
            raise BadArguments(f"no metric is as long as {_quoted(metric)}; ask for one as described.")
        name, prescriptions = self._structures[structure], self._observation.prescriptions_gy
        prescription_gy = prescriptions.get(name, max(prescriptions.values()))
        try:
            parsed = parse_metric(metric)
        except MetricError as error:
            raise BadArguments(str(error)) from None
        try:
            value = read_metric(parsed, self._observation.dvhs[name], prescription_gy)
        except NotInCurve as error:
            return {"structure": structure, "metric": parsed.text, "value": None, "cannot_be_asked": str(error)}
        return {"structure": structure, "metric": parsed.text, "value": _rounded(value), "unit": parsed.unit}


@dataclass(frozen=True)
class Toolbox:
    """The tools on offer for one observation, and how a call is answered."""

    tools: tuple[Tool, ...]
    functions: Mapping[str, Callable[..., Any]]

    def answer(self, name: str, arguments: str) -> str:
        """What a read-only tool returns, as JSON.

        Raises
        ------
        BadArguments
            No such tool, broken JSON, or arguments that do not fit.
        """
        if name not in self.functions:
            there = ", ".join(tool.name for tool in self.tools)
            raise BadArguments(f"no function {_quoted(name)}; there are {there}.")
        try:
            value = _adapter(self.functions[name]).validate_json(arguments or "{}")
        except ValidationError as error:
            raise BadArguments(_how_to_call(name, self.functions[name], error)) from None
        return json.dumps(value, ensure_ascii=False)


def toolbox(observation: Observation, action: ActionSpace) -> Toolbox:
    """The tools for one observation; ``what_if`` takes what the action space takes as an answer."""
    queries = Queries(observation)
    functions: dict[str, Callable[..., Any]] = {
        function.__name__: function for function in (queries.deviations, queries.trends, queries.query_metric)
    }
    tools = [_tool(name, function) for name, function in functions.items()]
    return Toolbox((*tools, Tool(WHAT_IF, _WHAT_IF, action.schema(observation))), functions)


def what_if_arguments(arguments: str) -> Mapping[str, Any]:
    """The answer that a ``what_if`` holds, read as strictly as one that is given in words.

    Raises
    ------
    BadArguments
        Not a whole JSON object.
    """
    found = read_answer(Reply(arguments))
    if isinstance(found, CheckFailure):
        raise BadArguments(f"{WHAT_IF} takes a whole answer as its arguments: {found}")
    return found


def _adapter(function: Any) -> TypeAdapter[Any]:
    """Calls the function with arguments given as JSON, held against its annotations."""
    return TypeAdapter(function)


def _tool(name: str, function: Callable[..., Any]) -> Tool:
    return Tool(name, inspect.getdoc(function) or "", _adapter(function).json_schema())


def _how_to_call(name: str, function: Callable[..., Any], error: ValidationError) -> str:
    told = [_problem(item) for item in error.errors()[:_MOST_PROBLEMS]]
    if more := error.error_count() - len(told):
        told.append(f"and {more} more")
    return f"{name} cannot be called like that ({'; '.join(told)}); call {name}{inspect.signature(function)}."


def _problem(item: ErrorDetails) -> str:
    return f"{quoted('.'.join(map(str, item['loc']))) or 'arguments'}: {item['msg']}"


def _quoted(given: str | None) -> str:
    """What a model wrote, in quotes and not endlessly long."""
    return repr(given if given is None else quoted(given))


def _trend(line: TrendLine) -> dict[str, Any]:
    return {
        "of": line.name,
        "values": [_rounded(value) for value in line.values],
        "last_change": _rounded(line.last_change),
        "word": line.word,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
