"""A language model as a planner: one conversation for each attempt, read by an action space, repaired where it must be.

The one idea: the model is asked, never trusted. What comes back is an answer to read, a tool call to answer, or a
failure to count; the loop's checks judge the rest, as they judge every planner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from agent.actions import ActionSpace
from agent.actions.answer import quoted
from agent.language_model import Chat, ModelError
from agent.language_model.answers import read_answer
from agent.observation import Observation
from agent.planners.recipes import Recipe
from agent.planners.tools import WHAT_IF, BadArguments, Toolbox, toolbox, what_if_arguments
from agent.prompts import opening, outcome, repair_message, show
from agent.prompts.fence import cut
from agent.proposal import Change, CheckFailure, Ending, Fault, Proposal
from agent.talk import Message, Reply, Role, Tool, ToolCall
from agent.trace import Tell, ToolUsed

MAX_TOOL_ROUNDS = 6
"""So often a model may call tools for one attempt, its repairs included; then it is asked without any."""
MAX_CALLS = 8
"""So many calls are answered in one round."""
LONGEST_KEPT_CHARACTERS = 8_000
"""So much of an answer, or of a call's arguments, is kept in the conversation, with a mark where it was longer."""
_NO_ANSWER = "(no answer)"
"""Stands for an empty answer in the conversation; many servers refuse an empty message."""
_REPETITION_CHARACTERS = 500
"""So much of it where it repeats itself."""
_LONGEST_NAME = 64
"""Characters of a function's name in the conversation, as the chat completions API allows."""
_ONE_TRIAL = "Not tried: one what_if at a time, and its result comes first. Ask again afterwards."
_TOO_MANY = f"Not answered, nor any call after it: at most {MAX_CALLS} at a time. Ask for fewer, or give your answer."
_NO_TOOLS_LEFT = "the function calls of this attempt are used up, or none were offered"


@dataclass(frozen=True)
class _Trial:
    """A ``what_if`` that waits for its result."""

    call: ToolCall
    attempt: int
    """The attempt it became, if nothing stopped it."""
    stage: str
    changes: tuple[Change, ...]
    """What the model asked to try."""


@dataclass
class _Talk:
    """The conversation about one attempt."""

    messages: list[Message] = field(default_factory=list)
    trial: _Trial | None = None
    rounds: int = 0
    """Of tool calls, about this attempt."""


class ModelPlanner:
    """Proposes what a language model answers.

    Parameters
    ----------
    recipe
        Which prompts and blocks.
    action
        What the model may set.
    chat
        Who answers.
    """

    def __init__(self, recipe: Recipe, action: ActionSpace, chat: Chat) -> None:
        self._recipe = recipe
        self._action = action
        self._chat = chat
        self._talk = _Talk()

    @property
    def name(self) -> str:
        return self._recipe.name

    @property
    def arm(self) -> Mapping[str, Any]:
        """Recipe, action space, blocks and model settings, as plain JSON values."""
        return {
            "recipe": self._recipe.name,
            "action": self._action.name,
            "blocks": asdict(self._recipe.blocks),
            "model": asdict(self._chat.settings),
        }

    def propose(self, observation: Observation, tell: Tell) -> Proposal:
        """What the model proposes; a stop with the reason where it cannot be asked."""
        self._go_on(observation)
        try:
            return _Turn(self._talk, self._recipe, self._action, self._chat, observation, tell).take()
        except ModelError as error:
            return Proposal(f"The model could not be asked: {error}", stop=True, ending=Ending.BROKEN_OFF)

    def _go_on(self, observation: Observation) -> None:
        """Take the conversation up where the loop left it: repair, a trial's result, or a new one."""
        talk, trial = self._talk, self._talk.trial
        if observation.rejected and talk.messages:
            talk.trial = None
            self._tell_failures(observation, trial)
        elif trial and _was_made(trial, observation):
            talk.trial, talk.rounds = None, 0
            shown = show(observation, self._action, self._recipe.blocks, asked=trial.changes)
            talk.messages.append(Message(Role.TOOL, outcome(shown), tool_call_id=trial.call.id))
        else:
            self._talk = _Talk(list(shown_prompt(self._recipe, self._action, observation, tools=self._offers_tools)))

    def _tell_failures(self, observation: Observation, trial: _Trial | None) -> None:
        """Say what was wrong; a bad tool call was told so when it was made."""
        text = repair_message(observation.rejected, observation, self._action)
        if trial:
            self._talk.messages.append(Message(Role.TOOL, text, tool_call_id=trial.call.id))
        elif self._talk.messages[-1].role is not Role.TOOL:
            self._talk.messages.append(Message(Role.USER, text))

    @property
    def _offers_tools(self) -> bool:
        return self._chat.settings.tools


@dataclass
class _Turn:
    """One asking: as many requests as tool calls need, until there is a proposal."""

    talk: _Talk
    recipe: Recipe
    action: ActionSpace
    chat: Chat
    observation: Observation
    tell: Tell
    attempt: int = field(init=False)
    """The attempt that the answer is for."""
    box: Toolbox = field(init=False)

    def __post_init__(self) -> None:
        self.attempt = self.observation.last.number + 1
        self.box = toolbox(self.observation, self.action)

    def take(self) -> Proposal:
        """Ask until the model answers, tries something, or fails."""
        while True:
            tools = self._tools() if self.talk.rounds < MAX_TOOL_ROUNDS else ()
            reply = self.chat.ask(
                self.talk.messages,
                attempt=self.attempt,
                schema=self.action.schema(self.observation),
                tools=tools,
                tell=self.tell,
            )
            self._remember(reply)
            if not reply.tool_calls:
                return self._read(reply)
            self.talk.rounds += 1
            proposal = self._answer_calls(reply.tool_calls, tools)
            if proposal is not None:
                return proposal

    def _tools(self) -> tuple[Tool, ...]:
        offered = self.recipe.blocks.tools and self.chat.settings.tools
        return self.box.tools if offered else ()

    def _remember(self, reply: Reply) -> None:
        """Keep what the model said, cut to what the next request can carry."""
        longest = _REPETITION_CHARACTERS if reply.finish == "repetition" else LONGEST_KEPT_CHARACTERS
        content = reply.answer or reply.refusal or ("" if reply.tool_calls else _NO_ANSWER)
        calls = tuple(map(_kept, reply.tool_calls[: MAX_CALLS + 1]))
        self.talk.messages.append(Message(Role.ASSISTANT, cut(content, longest), calls))

    def _read(self, reply: Reply) -> Proposal:
        found = read_answer(reply)
        if isinstance(found, CheckFailure):
            return Proposal("", unreadable=(found,))
        return self.action.read(found, self.observation)

    def _answer_calls(self, calls: tuple[ToolCall, ...], tools: tuple[Tool, ...]) -> Proposal | None:
        """Answer every call; a proposal where one was a trial or could not be answered."""
        failures: list[CheckFailure] = []
        trial: Proposal | None = None
        for call in calls[:MAX_CALLS]:
            try:
                if not tools:
                    raise BadArguments(f"{_NO_TOOLS_LEFT}; give your answer.")
                if call.name != WHAT_IF:
                    self._answered(call, self.box.answer(call.name, call.arguments), ok=True)
                elif self.talk.trial is None:
                    trial = self._tried(call)
                else:
                    self._answered(call, _ONE_TRIAL, ok=True)
            except BadArguments as error:
                self._answered(call, str(error), ok=False)
                failures.append(_bad_call(call, str(error)))
        for call in calls[MAX_CALLS : MAX_CALLS + 1]:
            self._answered(call, _TOO_MANY, ok=False)
        if failures:
            return self._refused(failures)
        return trial

    def _tried(self, call: ToolCall) -> Proposal:
        """The proposal of a ``what_if``; its answer comes with the next observation."""
        proposal = self.action.read(what_if_arguments(call.arguments), self.observation)
        if proposal.stop:
            raise BadArguments(f"{WHAT_IF} tries changes; to stop, answer with stop: true instead.")
        note = f"tried as attempt {self.attempt}; its result is this function's answer"
        self.tell(ToolUsed(self.attempt, call.name, call.arguments, note, ok=not proposal.unreadable))
        self.talk.trial = _Trial(call, self.attempt, self.observation.stage, proposal.changes)
        return replace(proposal, is_trial=True)

    def _refused(self, failures: list[CheckFailure]) -> Proposal:
        """A turn with a bad call is no answer; a trial asked for in the same breath is not made."""
        if self.talk.trial is not None:
            message = "Not tried, because another call of this turn was wrong."
            self.talk.messages.append(Message(Role.TOOL, message, tool_call_id=self.talk.trial.call.id))
            self.talk.trial = None
        return Proposal("", unreadable=tuple(failures))

    def _answered(self, call: ToolCall, text: str, *, ok: bool) -> None:
        self.tell(ToolUsed(self.attempt, call.name, call.arguments, text, ok))
        self.talk.messages.append(Message(Role.TOOL, text, tool_call_id=call.id))


def shown_prompt(
    recipe: Recipe, action: ActionSpace, observation: Observation, *, tools: bool = True
) -> tuple[Message, ...]:
    """The messages that begin a conversation, exactly as they would be sent.

    Parameters
    ----------
    tools
        The model can be offered tools; whether it is, the recipe says.
    """
    offered = offered_tools(recipe, action, observation) if tools else ()
    shown = show(observation, action, recipe.blocks, [tool.name for tool in offered])
    return opening(recipe.template(observation.stage), shown)


def offered_tools(recipe: Recipe, action: ActionSpace, observation: Observation) -> tuple[Tool, ...]:
    """The functions that a model is offered with the prompt."""
    return toolbox(observation, action).tools if recipe.blocks.tools else ()


def _was_made(trial: _Trial, observation: Observation) -> bool:
    """Whether the trial is the last attempt, and the stage still the same."""
    last = observation.last
    return last.is_trial and (last.number, observation.stage) == (trial.attempt, trial.stage)


def _kept(call: ToolCall) -> ToolCall:
    """The call as it stays in the conversation; arguments that are cut stay JSON, which servers expect there."""
    arguments = call.arguments
    if len(arguments) > LONGEST_KEPT_CHARACTERS:
        arguments = json.dumps({"cut here": arguments[:LONGEST_KEPT_CHARACTERS]}, ensure_ascii=False)
    return replace(call, name=call.name[:_LONGEST_NAME], arguments=arguments)


def _bad_call(call: ToolCall, message: str) -> CheckFailure:
    name, arguments = quoted(call.name), quoted(call.arguments) or None
    return CheckFailure(Fault.BAD_TOOL_CALL, "", name, arguments, message, "a call as described")
