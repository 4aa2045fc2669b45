"""Which parts of a prompt are shown: one switch for each block that a published study removed or kept.

The one idea: a prompt is a sum of blocks. Taking one away removes its lines and leaves every other line as it was, so
that what a run with and a run without it have different is that block and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Blocks:
    """What of the observation a model is shown; the goals and the objectives always are."""

    history: int | None = None
    """So many of the last attempts; None: all of them."""
    losses: bool = True
    """Each objective's weighted loss."""
    deviations: bool = True
    """How far each goal, and each objective, is from what the plan has."""
    trends: bool = True
    """How goals and losses went from attempt to attempt."""
    strategy: bool = True
    """In which order, or in how large steps, to go about it."""
    priors: bool = False
    """How an optimiser answers to what is changed: general knowledge, none of this planning system."""
    hints: bool = False
    """What the planning system says of its own optimiser; goes where the priors go."""
    knowledge: bool = False
    """Where good parameters have been found to lie."""
    dvh_samples: int = 0
    """So many points of each curve; 0: none."""
    tools: bool = True
    """Functions that the model may call."""

    def __post_init__(self) -> None:
        if self.history is not None and self.history < 0:
            raise ValueError(f"history is {self.history}; give a number of attempts from 0 on, or None for all.")
        if self.dvh_samples < 0 or self.dvh_samples == 1:
            raise ValueError(f"dvh_samples is {self.dvh_samples}; give 0 for none, or at least 2 points of a curve.")
