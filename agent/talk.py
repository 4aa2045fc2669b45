"""A conversation with a language model, as data: what is sent, what comes back, what it cost.

The one idea: an answer and the reasoning before it are two things. Only the answer may change a plan; both are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool."""

    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it; may be broken."""


@dataclass(frozen=True)
class Message:
    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of the assistant only."""
    tool_call_id: str | None = None
    """Of a tool's answer only."""


@dataclass(frozen=True)
class Tool:
    """A function that a model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments."""


@dataclass(frozen=True)
class Usage:
    """Tokens as the model's server counted them."""

    prompt_tokens: int
    answer_tokens: int
    """Reasoning included, as providers bill it."""
    reasoning_tokens: int = 0


@dataclass(frozen=True)
class Reply:
    """What came back from one request."""

    answer: str
    """Without reasoning; empty where the model only called tools."""
    reasoning: str = ""
    """From the field of its own, or from ``<think>`` blocks."""
    reasoning_closed: bool = True
    """False: a ``<think>`` block never ended, so there is no answer."""
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str = ""
    """The model's own words, where it declined in the field made for that."""
    finish: str = "stop"
    """``stop length tool_calls content_filter repetition``; ``repetition``: cut off by us."""
    output: str = "text"
    """What the server was asked to keep to: ``json_schema``, ``json_object`` or ``text``."""
    usage: Usage | None = None
    """None where the server does not count."""
    cost_usd: float | None = None
    """None where there is no price for the model, or no usage."""
    seconds: float = 0.0
    model: str = ""
    """As the server names it."""
    fingerprint: str = ""
    request_id: str = ""
