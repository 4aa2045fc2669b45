"""The built-in cases by name, their default seeds, and the cohorts of studies."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sim_tps.cases import abdomen, brain, headneck, pelvis, phantom
from sim_tps.errors import BadInput, NotFound
from sim_tps.patient import Patient


class _Recipe(NamedTuple):
    build: Callable[[int], Patient]
    default_seed: int
    description: str


_RECIPES = {
    "brain-srs": _Recipe(
        brain.build, brain.DEFAULT_SEED, "Radiosurgery of a brain metastasis near brainstem, optic pathway or cochlea"
    ),
    "head-and-neck": _Recipe(
        headneck.build,
        headneck.DEFAULT_SEED,
        "Throat cancer with neck nodes: 70, 63 and 56 Gy in one plan, or 70 and 44 Gy",
    ),
    "prostate": _Recipe(pelvis.build, pelvis.DEFAULT_SEED, "Prostate and seminal vesicles between bladder and rectum"),
    "liver": _Recipe(
        abdomen.build, abdomen.DEFAULT_SEED, "Liver metastasis among stomach, duodenum, bowel, kidneys and heart"
    ),
    "tg119": _Recipe(phantom.build, 0, "AAPM TG-119 C-shape: a target bent round a core in a water phantom"),
}

CASES: dict[str, str] = {name: recipe.description for name, recipe in _RECIPES.items()}
"""One line on each built-in case."""

_COHORT_SEEDS = {
    "brain-srs": range(100, 137),
    "head-and-neck": range(100, 120),
    "prostate": range(100, 120),
    "liver": range(100, 105),
    "tg119": range(1),
}

LARGE_NOTE = "large: V12Gy <= 10 cc cannot be met"


def make_case(name: str, seed: int | None = None) -> Patient:
    """The built-in patient of that name.

    Parameters
    ----------
    seed : int, optional
        Which individual, 0 or more; the case's own good example where absent.

    Raises
    ------
    NotFound
        No built-in case has that name.
    BadInput
        The seed is negative.
    """
    recipe = _recipe(name)
    seed = recipe.default_seed if seed is None else seed
    if seed < 0:
        raise BadInput(f"case {name!r}: seed {seed} is negative; give 0 or more.")
    return recipe.build(seed)


def cohort(name: str) -> list[tuple[int, str]]:
    """Seeds of a study's patients, each with a note; the note is empty for an ordinary one.

    41 for radiosurgery (four of them marked `LARGE_NOTE`), 20 each for head and neck and prostate, 5 for liver; the
    phantom is always the same.
    """
    _recipe(name)
    large = [(seed, LARGE_NOTE) for seed in brain.LARGE_SEEDS[:4]] if name == "brain-srs" else []
    return [(seed, "") for seed in _COHORT_SEEDS[name]] + large


def _recipe(name: str) -> _Recipe:
    if name not in _RECIPES:
        raise NotFound(f"no built-in case {name!r}; there are {', '.join(sorted(_RECIPES))}.")
    return _RECIPES[name]
