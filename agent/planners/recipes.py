"""The three published planners as data: an action space, a template for each stage, and the blocks that are shown.

The one idea: a planner is a recipe, and every part of it can be exchanged. An ablation of a paper is one block less,
and any recipe goes with any action space, so that what makes a planner good can be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.actions import ACTIONS
from agent.prompts import Blocks

FIRST_STAGE = ""


@dataclass(frozen=True)
class Recipe:
    """What a model planner is made of."""

    name: str
    action: str
    """Name of the action space."""
    templates: Mapping[str, str]
    """Id of the protocol's stage -> template; a stage without its own has that of the first."""
    blocks: Blocks

    def template(self, stage: str) -> str:
        """The template of a stage."""
        return self.templates.get(stage, self.templates[FIRST_STAGE])


SAGE = Recipe(
    name="sage",
    action="priorities",
    templates={FIRST_STAGE: "sage.md.j2", "refinement": "sage-refinement.md.j2"},
    blocks=Blocks(history=3, losses=False, deviations=False, trends=False, strategy=True, tools=False),
)
"""SAGE, arXiv 2512.20586. The paper decodes with temperature 0.4 and top-k 2; both belong to how a model is asked
(`agent.settings.ModelSettings`), where the temperature is the default and top-k is left to the server."""
ZERO_SHOT = Recipe(
    name="zero-shot",
    action="doses",
    templates={FIRST_STAGE: "zero-shot.md.j2"},
    blocks=Blocks(history=None, losses=True, deviations=True, trends=True, strategy=True, priors=True, hints=True),
)
"""The zero-shot agent, arXiv 2510.11754."""
M2M = Recipe(
    name="m2m",
    action="parameters",
    templates={FIRST_STAGE: "m2m.md.j2"},
    blocks=Blocks(
        history=None,
        losses=False,
        deviations=False,
        trends=False,
        strategy=False,
        knowledge=True,
        dvh_samples=11,
        tools=False,
    ),
)
"""M2M, arXiv 2606.00922."""
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (SAGE, ZERO_SHOT, M2M)}
"""Name -> recipe."""


def with_overrides(
    recipe: Recipe,
    *,
    action: str | None = None,
    history: int | None = None,
    priors: bool | None = None,
    hints: bool | None = None,
    knowledge: bool | None = None,
    tools: bool | None = None,
    dvh_samples: int | None = None,
) -> Recipe:
    """The recipe with some parts exchanged; None leaves a part as it is.

    Parameters
    ----------
    history
        So many of the last attempts; a number larger than the run is long shows all.
    priors
        False takes the hints away too, as they are the planning system's own priors.

    Raises
    ------
    ValueError
        No such action space, a history or a number of samples that cannot be, or hints asked for without priors.
    """
    if action is not None and action not in ACTIONS:
        raise ValueError(f"no action space {action!r}; there are {', '.join(sorted(ACTIONS))}.")
    if priors is False and hints:
        raise ValueError("hints are part of the priors; leave the priors in to show the hints.")
    if priors is False:
        hints = False
    kept = recipe.blocks
    blocks = replace(
        kept,
        history=kept.history if history is None else history,
        priors=_given(priors, kept.priors),
        hints=_given(hints, kept.hints),
        knowledge=_given(knowledge, kept.knowledge),
        tools=_given(tools, kept.tools),
        dvh_samples=kept.dvh_samples if dvh_samples is None else dvh_samples,
    )
    return replace(recipe, action=action or recipe.action, blocks=blocks)


def _given(value: bool | None, kept: bool) -> bool:
    return kept if value is None else value
