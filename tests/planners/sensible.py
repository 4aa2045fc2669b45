"""A scripted model that plans sensibly from the prompt alone, in whichever form it is asked to answer.

Priorities as SAGE's order has them (coverage, hot spot, spill, organs; then the shell), doses coarse and then fine, and
the parameters of the hot-fraction problem from the knowledge table on. What did not help is followed by another step
from the best attempt, and by a smaller one.

The one idea: a script is a function of the request. It remembers nothing, so all that steers it stands in the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from tests.agent.model_server import Answer, Request, Say, Script
from tests.planners.seen import Goal, Key, Seen, inside, parts, read

Reasoning = Literal["none", "think", "field"]
Move = Mapping[Key, float]
"""Factors on some of the values."""

_AIMS = ("coverage", "hot spot", "spill", "organ")
_WRONG = 1.37
"""What a model that tells wrong numbers multiplies them by."""
_ENOUGH_TRIES = 8
"""So many attempts in vain end the run."""
_USUAL_DRIVE_PERCENT = 6.0
"""Where the priors are shown and no figure of the planning system is: the middle of the usual first choice."""


def sensible(reasoning: Reasoning = "none", *, tells_truth: bool = True) -> Script:
    """A script for `tests.agent.model_server.serve_model`.

    Parameters
    ----------
    reasoning
        Where the model thinks: nowhere, in a ``<think>`` block, or in a field of its own.
    tells_truth
        False: the numbers of its rationale are wrong on purpose.
    """

    def script(request: Request) -> Answer:
        seen = read(request)
        answer = _answer(seen, tells_truth)
        thoughts = f"{_situation(seen, tells_truth)} {answer['rationale']}"
        text = json.dumps(answer, ensure_ascii=False)
        if reasoning == "think":
            return Say(f"<think>{thoughts}</think>\n```json\n{text}\n```", usage=(1200, 400, 300))
        return Say(text, reasoning=thoughts if reasoning == "field" else "")

    return script


def _answer(seen: Seen, tells_truth: bool) -> dict[str, Any]:
    moved = _kept_to_the_rules(_next_values(seen), seen)
    changed = [key for key, value in moved.items() if value != seen.values[key]]
    stops = not changed or seen.tries >= _ENOUGH_TRIES
    return {
        "rationale": _rationale(seen, changed, moved, stops, tells_truth),
        "start_from": None if seen.shown == seen.best else seen.best,
        "stop": stops,
        seen.form: _as_asked(moved, seen),
    }


def _next_values(seen: Seen) -> Mapping[Key, float]:
    """Where each value should go, rules aside."""
    if seen.form == "doses_gy":
        return _doses(seen)
    if seen.form == "parameters" and seen.medians and seen.best == seen.last == 1:
        return {**seen.values, **_medians(seen)}
    steps = [*(_refining(seen) if seen.refines else _weighing(seen))]
    tried = [_moved(seen.values, step) for step in steps]
    useful = [values for values in tried if _kept_to_the_rules(values, seen) != seen.values]
    if not seen.refines:
        return [*useful, seen.values][min(seen.tries, len(useful))]
    return useful[seen.tries % len(useful)] if useful else seen.values


# Priorities, and the parameters without knowledge


def _weighing(seen: Seen) -> Iterator[Move]:
    """What to try next, first things first: the open goals in order, firmly, then gently, then by yielding."""
    goals = sorted(seen.open_goals, key=lambda goal: (_AIMS.index(goal.aim), goal.rank, -goal.beyond))
    levers = [_levers(goal, seen) for goal in goals]
    firm, gentle = (1.5, 1.2) if seen.form == "parameters" else (3.0, 1.5)
    for factor in (firm, gentle):
        for goal, keys in zip(goals, levers, strict=True):
            yield {**_strengthened(keys, factor), **_strengthened(_to_spare(goal, seen), 1.0 / factor)}
    for keys in levers:
        rivals = [key for key in _own(seen) if key not in keys and key[1] in ("priority", "lambda")]
        yield _strengthened(rivals, 0.8)


def _refining(seen: Seen) -> Iterator[Move]:
    """The shell as far as a step goes, then less of it, then the rings, with the centre allowed to be hotter."""
    shell = [key for key in _own(seen) if "Shell" in key[0]]
    rings = [key for key in _own(seen) if "Ring" in key[0]]
    hotter = _strengthened([*_hot_spot(seen), *_body(seen)], 0.3)
    yield {**_strengthened(shell, 1000.0), **hotter}
    yield {**_strengthened(shell, 1.5), **_strengthened(rings[:1], 1.2)}
    yield {**_strengthened(rings[:1], 1.5), **hotter}
    yield _strengthened(rings, 1.25)
    yield {**_strengthened(shell, 1.2), **_strengthened(_coverage(seen), 1.2)}
    yield hotter


def _strengthened(keys: Sequence[Key], factor: float) -> Move:
    """A higher weight; for a threshold of the hot-fraction problem a lower dose, by less."""
    return {key: 1.0 - (factor - 1.0) / 5.0 if key[1] == "tau" else factor for key in keys}


def _moved(values: Mapping[Key, float], move: Move) -> Mapping[Key, float]:
    """A priority of 0 begins at 1."""
    return {key: (value or 1.0) * move[key] if key in move else value for key, value in values.items()}


def _levers(goal: Goal, seen: Seen) -> list[Key]:
    """The values that act on a goal."""
    if seen.form == "parameters":
        words = ("lambda",) if goal.aim == "hot spot" else ("lambda", "tau")
        return [key for key in seen.values if key[0] == goal.structure and key[1] in words]
    own = [key for key in _own(seen) if _is_about(parts(key[0])[0], goal.structure)]
    if goal.aim == "coverage":
        return [key for key in own if parts(key[0])[1] in ("lower", "min")] or _coverage(seen)
    if goal.aim == "spill":
        return _around(goal, seen)
    upper = [key for key in own if parts(key[0])[1] not in ("lower", "min")]
    if goal.aim == "hot spot":
        return upper or _body(seen)
    return upper


def _around(goal: Goal, seen: Seen) -> list[Key]:
    """The inner ring for conformity, the outer ones for everything further out."""
    rings = [key for key in _own(seen) if "Ring" in key[0] or "Far" in key[0]]
    return rings[:1] if goal.metric.startswith("CI") else rings[1:]


def _own(seen: Seen) -> list[Key]:
    return [key for key in seen.values if key in seen.allowed]


def _coverage(seen: Seen) -> list[Key]:
    return [key for key in _own(seen) if parts(key[0])[1] in ("lower", "min")]


def _hot_spot(seen: Seen) -> list[Key]:
    """What holds the centre of the targets."""
    return [key for key in _own(seen) if parts(key[0])[1] == "upper" and _is_target(parts(key[0])[0], seen)]


def _to_spare(goal: Goal, seen: Seen) -> list[Key]:
    """What may yield for less spill further out: a hotter centre, and a looser inner ring, where there is room."""
    if goal.aim != "spill" or goal.metric.startswith("CI"):
        return []
    hot = _hot_spot(seen) if _have_room(g for g in seen.goals if g.aim == "hot spot") else []
    inner = [key for key in _own(seen) if "Ring" in key[0]][:1]
    return hot + (inner if _have_room(g for g in seen.goals if g.metric.startswith("CI")) else [])


def _body(seen: Seen) -> list[Key]:
    return [key for key in _own(seen) if parts(key[0]) in (("External", "upper"), ("BODY", "upper"))]


def _have_room(goals: Iterable[Goal]) -> bool:
    """Every one is met, and not narrowly."""
    return all(goal.beyond < -0.02 for goal in goals)


def _is_target(structure: str, seen: Seen) -> bool:
    return any(parts(name) == (structure, "lower") for name, _ in seen.values)


def _is_about(structure: str, goal_structure: str) -> bool:
    """Whether an objective's structure is the goal's, or was cut from it: ``zParotid_L`` from ``Parotid_L``."""
    own, goals = (re.sub(r"^z|-PTV$|_?PRV\d*(-PTV)?$", "", name) for name in (structure, goal_structure))
    return own.lower() in goals.lower()


# Doses


def _doses(seen: Seen) -> Mapping[Key, float]:
    """Objectives towards what the goals ask; after a vain attempt for one goal at a time, and in smaller steps."""
    goals = sorted(seen.open_goals, key=lambda goal: (goal.rank, -goal.beyond))
    if seen.tries and goals:
        goals = [goals[(seen.tries - 1) % len(goals)]]
    coarse = seen.last < seen.attempts_left
    step = (0.16 if coarse else 0.04) * 0.6**seen.tries
    values = dict(seen.values)
    if seen.last == 1 and not seen.has_priors:
        values |= _at_the_goals(seen)
        return values
    for goal in goals:
        for key in _levers(goal, seen):
            values[key] = _nearer(values[key], goal, step, seen)
    if seen.has_priors and not seen.tries:
        values |= _eased(values, seen)
    return values


def _at_the_goals(seen: Seen) -> Mapping[Key, float]:
    """Without priors nothing says that an objective should lie below the dose that is wanted."""
    return {
        key: goal.limit
        for goal in seen.goals
        if goal.aim in ("organ", "hot spot") and "[Gy]" in goal.metric
        for key in _levers(goal, seen)
    }


def _nearer(dose_gy: float, goal: Goal, step: float, seen: Seen) -> float:
    """One step of an objective's dose towards what meets the goal."""
    if goal.comparator == ">=" and goal.aim == "coverage":
        return dose_gy * (1.0 + step / 5.0)
    wanted = goal.limit * (1.0 - _drive(seen) / 100.0) if "[Gy]" in goal.metric else 0.0
    return wanted if dose_gy > wanted > dose_gy * (1.0 - step) else dose_gy * (1.0 - step)


def _drive(seen: Seen) -> float:
    if not seen.has_priors:
        return 0.0
    return _USUAL_DRIVE_PERCENT if seen.drive_percent is None else seen.drive_percent


def _eased(values: Mapping[Key, float], seen: Seen) -> Mapping[Key, float]:
    """Where a goal is met with room and its objective still costs most: a little more dose, for the others' good."""
    roomy = {
        key
        for goal in seen.goals
        if goal.beyond < -0.1 and goal.aim == "organ"
        for key in _levers(goal, seen)
        if seen.shares_percent.get(key[0], 0.0) > 5.0
    }
    open_ones = {key for goal in seen.open_goals for key in _levers(goal, seen)}
    return {key: values[key] * 1.05 for key in roomy - open_ones}


# Parameters from the knowledge table


def _medians(seen: Seen) -> Mapping[Key, float]:
    """Every parameter at its median, the weights of the organs by the ratio to the target's."""
    known = {key: value for key, value in seen.medians.items() if key in seen.values}
    target = next(name for name, word in seen.values if word == "lambda" and (name, "ratio") not in seen.medians)
    medians = {name: ratio for (name, word), ratio in seen.medians.items() if word == "ratio"}
    lightest = min(value for (_, word), value in seen.values.items() if word == "lambda")
    weight = known.get((target, "lambda"), lightest * max(medians.values(), default=1.0))
    ratios = {(name, "lambda"): weight / ratio for name, ratio in medians.items()}
    return {**known, (target, "lambda"): weight, **ratios}


# The answer


def _kept_to_the_rules(values: Mapping[Key, float], seen: Seen) -> Mapping[Key, float]:
    """Inside the ranges of the best attempt's own step, and within every relation."""
    is_whole = seen.form == "objectives"
    kept = {
        key: inside(value, seen.allowed[key], is_whole=is_whole or (seen.whole_weights and key[1] == "lambda"))
        if key in seen.allowed and value != seen.values[key]
        else seen.values[key]
        for key, value in values.items()
    }
    for relation in seen.relations:
        word = next(iter(kept))[1]
        low, of = (relation.low, word), (relation.of, word)
        if low in kept and of in kept and kept[low] > relation.times * kept[of]:
            ceiling = relation.times * kept[of]
            kept[low] = int(ceiling) if is_whole else ceiling
    return kept


def _as_asked(values: Mapping[Key, float], seen: Seen) -> Any:
    if seen.form == "objectives":
        return [{**entry, "priority": values[entry["name"], "priority"]} for entry in seen.state["objectives"]]
    if seen.form == "doses_gy":
        return {name: dose for (name, _), dose in values.items()}
    rows = seen.state["parameters"]
    return {name: {word: values[name, word] for word in row} for name, row in rows.items()}


def _rationale(seen: Seen, changed: Sequence[Key], values: Mapping[Key, float], stops: bool, tells_truth: bool) -> str:
    told = [f"{goal} is at {_told(goal.value, tells_truth)}." for goal in seen.open_goals[:3]]
    if stops:
        return " ".join([*told, f"Nothing that was tried after attempt {seen.best} made it better, so I stop."])
    steps = [f"{name} {word} from {seen.values[name, word]:g} to {values[name, word]:g}" for name, word in changed[:4]]
    more = ", and others alike" if len(changed) > 4 else ""
    return " ".join([*told, f"Starting from attempt {seen.best}, I set {', '.join(steps)}{more}."])


def _situation(seen: Seen, tells_truth: bool) -> str:
    """What a model that thinks aloud says first."""
    met = [goal for goal in seen.goals if not goal.is_open]
    kept = "; ".join(f"{goal} is at {_told(goal.value, tells_truth)}" for goal in met[:4])
    return f"{len(met)} of {len(seen.goals)} goals are met: {kept}. Those must stay."


def _told(value: float, tells_truth: bool) -> str:
    return f"{value if tells_truth else value * _WRONG:g}"
