"""Which language model, where, and how it is asked; part of every run's record.

The one idea: the key is never here. It is read from the environment when the first request is made, so nothing that is
written down, shown or compared can hold it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Output = Literal["auto", "json_schema", "json_object", "text"]


@dataclass(frozen=True)
class ModelSettings:
    """How a model is asked."""

    model: str = ""
    """Empty: the only one that the server lists."""
    base_url: str | None = None
    """Any OpenAI-compatible address; None: the openai package's own default."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; local servers need none."""
    temperature: float | None = 0.4
    """None: not sent (some reasoning models refuse it). 0.4 as in SAGE (arXiv 2512.20586)."""
    top_k: int | None = None
    """Sent where given; only some servers know it."""
    seed: int | None = 0
    max_answer_tokens: int | None = None
    timeout_s: float = 300.0
    """For one request, from sending to the last token."""
    retries: int = 4
    """So often a request is repeated after a time-out, a lost connection, a 429 or a server error."""
    output: Output = "auto"
    """``auto``: a JSON schema, and what the server can where it refuses that."""
    tools: bool = True
    """Offer tools; taken back where the server refuses them."""
    stream: bool = True
