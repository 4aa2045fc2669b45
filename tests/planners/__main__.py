"""The planners at work, through the real command and without a model: tables on the screen, files under ``build/``.

Each part says of every row whether it is as it should be; where one is not, the exit status is 1.

    python -m tests.planners                 everything, in this order
    python -m tests.planners faults traces   only these parts

planners   planners.json       the three planners with a sensible scripted model, each in its arms
faults     model-faults.json   everything a model and its server can get wrong, and what the loop did
budget     equal-budget.json   planners without a model on one budget, with equal-budget.png
traces     trace-checks.json   changed traces are found, and a run is made again from its trace
prompts    prompts/*.md        what the three planners would send

Every run keeps its folder under ``build/planners/``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from rich.markup import escape

from bridge import logs
from tests.planners import budgets, model_faults, models, prompts, trace_checks
from tests.planners.running import RunFailed, Wrong, console

PARTS: Mapping[str, Callable[[], Wrong]] = {
    "planners": models.show,
    "faults": model_faults.show,
    "budget": budgets.show,
    "traces": trace_checks.show,
    "prompts": prompts.show,
}


def main(words: Sequence[str] | None = None) -> int:
    """Every part that is asked for, whatever the one before came to; then what was wrong, and the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    chosen = parser.parse_args(words).parts or [*PARTS]
    if unknown := [part for part in chosen if part not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    logs.configure("warning")
    began = monotonic()
    wrong = [f"{part}: {what}" for part in chosen for what in _shown(part)]
    console.print(f"{(monotonic() - began) / 60:.1f} minutes")
    for what in wrong:
        console.print(f"[bold red]Not as it should be:[/] {escape(what)}", soft_wrap=True)
    return 1 if wrong else 0


def _shown(part: str) -> Wrong:
    console.rule(part)
    try:
        return PARTS[part]()
    except RunFailed as failure:
        return [str(failure)]


if __name__ == "__main__":
    sys.exit(main())
