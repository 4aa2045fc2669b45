"""What tokens cost, from a price table of the user's own.

The one idea: prices change and differ by contract, so none come with the package; without a table, or without the
model in it, a cost is unknown (None) and never guessed. A table is YAML::

    models:
      some-model:
        usd_per_million_input_tokens: 1.25
        usd_per_million_output_tokens: 10.0
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, ValidationError

from agent.talk import Usage

FILE = "prices.yaml"


class PricesError(ValueError):
    """A price table that cannot be used; the message names file, key and fix."""


class Price(BaseModel):
    """Of one model; reasoning is billed as output."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    usd_per_million_input_tokens: NonNegativeFloat
    usd_per_million_output_tokens: NonNegativeFloat


class Prices(BaseModel):
    """Model name, as it is asked for -> its price."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Mapping[str, Price]

    def cost_usd(self, model: str, usage: Usage | None) -> float | None:
        """US dollars; None where the model has no price, or the server did not count."""
        price = self.models.get(model)
        if price is None or usage is None:
            return None
        millionths = (
            usage.prompt_tokens * price.usd_per_million_input_tokens
            + usage.answer_tokens * price.usd_per_million_output_tokens
        )
        return millionths / 1e6


def default_path() -> Path:
    """``prices.yaml`` in the user's configuration folder."""
    return platformdirs.user_config_path("beamwright", appauthor=False) / FILE


def load_prices(path: Path | None = None) -> Prices | None:
    """The table at ``path``; without a path the one at `default_path`, None where there is none.

    Raises
    ------
    FileNotFoundError
        There is no file at the given path.
    PricesError
        The file is no price table.
    """
    if path is None and not default_path().is_file():
        return None
    path = path or default_path()
    if not path.is_file():
        raise FileNotFoundError(f"no price table {str(path)!r}; write one, or leave it out (costs are then unknown).")
    try:
        return Prices.model_validate(yaml.load(path.read_text(encoding="utf-8"), _NoKeyTwice))
    except ValidationError as error:
        problems = [f"{path}: {'.'.join(map(str, item['loc'])) or 'file'}: {_told(item)}" for item in error.errors()]
        raise PricesError("\n".join(problems)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PricesError(f"{path}: not YAML: {error}") from None


class _NoKeyTwice(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _told(item: Mapping[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return "this key is not known here; check its spelling and indentation"
    if item["type"] == "missing":
        return "this key is missing"
    return f"{item['msg']} (found {item['input']!r})"
