"""Prompts: what a language model is shown of a plan, and in which words.

The one idea: an allow-list between the plan and the model. `shown` builds typed data from an observation, field by
field; the templates beside this file turn that data, and nothing else, into the messages of one planner and stage.

Read `shown.py` first, then `sage.md.j2`, `zero-shot.md.j2` and `m2m.md.j2`; the other templates are their parts.
"""

from agent.prompts.blocks import Blocks
from agent.prompts.rendering import opening, outcome, repair_message
from agent.prompts.shown import Shown, show

__all__ = ["Blocks", "Shown", "opening", "outcome", "repair_message", "show"]
