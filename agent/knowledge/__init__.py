"""Packaged knowledge: where good parameters have been found to lie, one range for each parameter, with its provenance.

The one idea: knowledge is data, not prose. A table says how it came about, and a planner that is not to use it is
simply not shown it. Ranges are per parameter and not per patient, as in M2M (arXiv 2606.00922).
"""

from __future__ import annotations

from importlib import resources
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

Parameter = Literal["lambda", "V", "tau", "lambda_ratio"]
"""``lambda_ratio``: the targets' weight divided by the organ's; only ratios act in the hot-fraction problem."""


class Part(BaseModel):
    """Base of all parts: frozen, nothing coerced, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Range(Part):
    """How the final values of one parameter were spread."""

    structure: str
    """As the protocol names it, or ``any target``, ``any organ``."""
    parameter: Parameter
    minimum: float
    lower_quartile: float
    median: float
    upper_quartile: float
    maximum: float

    @model_validator(mode="after")
    def _rising(self) -> Range:
        values = (self.minimum, self.lower_quartile, self.median, self.upper_quartile, self.maximum)
        if list(values) != sorted(values):
            raise ValueError(f"quartiles of {self.structure} {self.parameter} do not rise: {values}")
        return self


class Knowledge(Part):
    """A table of ranges."""

    id: str
    title: str
    provenance: str
    """Who found the values, how, and with which engine."""
    runs: int = Field(ge=1)
    """How many finished runs the ranges are drawn from."""
    ranges: tuple[Range, ...] = Field(min_length=1, strict=False)


def packaged() -> tuple[str, ...]:
    """Names of the tables that come with the agent."""
    folder = resources.files("agent.knowledge")
    return tuple(sorted(entry.name[: -len(".yaml")] for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load(name: str) -> Knowledge:
    """A packaged table; a `FileNotFoundError` lists those there are."""
    if name not in packaged():
        raise FileNotFoundError(f"no knowledge table {name!r}; there are {', '.join(packaged()) or 'none'}.")
    text = resources.files("agent.knowledge").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return Knowledge.model_validate(yaml.safe_load(text))
