"""The planners by name, and what may be chosen about them.

The one idea: what a planner may turn (the action space) and what a language model is shown (the prompt blocks) are two
choices of their own; a name stands for one published or usual combination, from which a person may depart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.actions import ACTIONS
from agent.language_model import Chat
from agent.planners import Planner
from agent.planners.bayes import Bayes
from agent.planners.chance import Random
from agent.planners.model_planner import ModelPlanner
from agent.planners.recipes import RECIPES, Recipe, with_overrides
from agent.planners.rules import Rules
from agent.planners.static import Static

PLANNERS: Mapping[str, str] = {
    "rules": "a dosimetrist's routine, written down; needs no network",
    "sage": "language model, integer priorities, with a refinement stage (SAGE, arXiv 2512.20586)",
    "zero-shot": "language model, objective doses, with optimisation priors (arXiv 2510.11754)",
    "m2m": "language model, weights, volumes and thresholds, with learned knowledge (M2M, arXiv 2606.00922)",
    "random": "independent draws around the protocol's own numbers",
    "bayes": "a search that models which numbers do well (optuna, TPE)",
    "static": "the protocol's fixed parameter set, in one solve",
}
"""Name -> what it is."""
MODEL_PLANNERS = ("sage", "zero-shot", "m2m")
BLOCKS = ("history", "priors", "hints", "knowledge", "tools", "dvh_samples")
"""Parts of a prompt that a person may choose, as `PlannerOptions` names them."""
REFINING = ("sage",)
"""Planners that go on to a protocol's later stages unless told otherwise."""


class PlannerError(ValueError):
    """Options that do not belong to the planner; the message says what does."""


@dataclass(frozen=True)
class PlannerOptions:
    """What a person may choose; None is the planner's own choice."""

    actions: str | None = None
    history: int | None = None
    priors: bool | None = None
    hints: bool | None = None
    knowledge: bool | None = None
    tools: bool | None = None
    dvh_samples: int | None = None
    seed: int = 0
    """Of planners that draw numbers."""


def check_options(name: str, options: PlannerOptions) -> None:
    """Refuse an unknown name, and options that the planner has no use for.

    Raises
    ------
    PlannerError
        Naming the option and the planners that take it.
    """
    if name not in PLANNERS:
        raise PlannerError(f"--planner: there is no {name!r}; there are {', '.join(PLANNERS)}.")
    if options.actions is not None and options.actions not in ACTIONS:
        raise PlannerError(f"--actions: there is no {options.actions!r}; there are {', '.join(ACTIONS)}.")
    if options.actions is not None and name in ("rules", "static"):
        raise PlannerError(f"--actions: {name} has a way of its own; it is for {', '.join(_with_actions())}.")
    if name in MODEL_PLANNERS:
        return
    for block in BLOCKS:
        if getattr(options, block) is not None:
            word = block.replace("_", "-")
            raise PlannerError(
                f"{word} is part of a prompt, and {name} has none; it is for {', '.join(MODEL_PLANNERS)}."
            )


def make_planner(name: str, options: PlannerOptions, chat: Chat | None = None) -> Planner:
    """The planner of that name.

    Parameters
    ----------
    chat
        The language model, for the planners that ask one.

    Raises
    ------
    PlannerError
        As `check_options`, and where a model is needed and none is given.
    """
    check_options(name, options)
    if name == "rules":
        return Rules()
    if name == "static":
        return Static()
    if name in ("random", "bayes"):
        action = None if options.actions is None else ACTIONS[options.actions]
        return Random(action, options.seed) if name == "random" else Bayes(action, options.seed)
    if chat is None:
        raise PlannerError(f"{name} asks a language model, and none was given.")
    recipe = chosen_recipe(name, options)
    return ModelPlanner(recipe, ACTIONS[recipe.action], chat)


def chosen_recipe(name: str, options: PlannerOptions) -> Recipe:
    """The recipe of a planner that asks a model, with the person's departures from it."""
    blocks = {block: value for block in BLOCKS if (value := getattr(options, block)) is not None}
    return with_overrides(RECIPES[name], action=options.actions, **blocks)


def _with_actions() -> list[str]:
    return [*MODEL_PLANNERS, "random", "bayes"]
