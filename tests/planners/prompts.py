"""The prompts of the three planners as ``--show-prompt`` prints them, to be read by a person.

The one idea: they come from the command, on the cases that the planners are shown on.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.planners.running import BUILD, Wrong, say, show_prompt

PROMPTS: Mapping[str, tuple[str, ...]] = {
    "sage": ("brain-srs", "--planner", "sage"),
    "zero-shot": ("head-and-neck", "--planner", "zero-shot"),
    "zero-shot-without-priors": ("head-and-neck", "--planner", "zero-shot", "--no-priors"),
    "m2m": ("prostate", "--protocol", "prostate-m2m-7", "--planner", "m2m"),
    "m2m-without-knowledge": ("prostate", "--protocol", "prostate-m2m-7", "--planner", "m2m", "--no-knowledge"),
}


def show() -> Wrong:
    """Write ``build/prompts/*.md``; each differs from all others."""
    folder = BUILD / "prompts"
    folder.mkdir(parents=True, exist_ok=True)
    shown = {name: show_prompt(*arguments) for name, arguments in PROMPTS.items()}
    for name, text in shown.items():
        path = folder / f"{name}.md"
        path.write_text(text)
        say(f"written: {path}", done=True)
    texts = [*shown.values()]
    return [f"{name} is not the only one with this prompt" for name, text in shown.items() if texts.count(text) > 1]
