"""Planners without rules or models: their proposals always pass the checks, and the same history gives the same one."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coarse import COARSE
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from observations import LIMITS, OBJECTIVES, goal, hot_observation, objective, observation, step

from agent import protocols
from agent.actions import ACTIONS, ActionError
from agent.checks import apply, check
from agent.goals import badness, score
from agent.loop import Budget, Options, run
from agent.observation import ObjectiveState, Observation, Remark
from agent.planners.bayes import STARTUP, Bayes
from agent.planners.chance import Random
from agent.planners.static import Static
from agent.proposal import Change, CheckFailure, Fault, Proposal
from agent.records import GoalResult
from agent.trace import Trace, read
from bridge import model, testing
from bridge.backends.simulator import Simulator
from sim_tps.cases import make_case

START = observation(step(1, goal("Core", "D10%[Gy] <= 25", 30.0)))
SEARCHES: list[Callable[..., Random | Bayes]] = [Random, Bayes]


def unheard(event: object) -> None:
    """Nobody listens."""


def propose(planner: Random | Bayes | Static, asked: Observation) -> Proposal:
    return planner.propose(asked, unheard)


def gone_on(asked: Observation, proposal: Proposal, value: float) -> Observation:
    """The next observation, after an attempt that brought the core to a value."""
    objectives = apply(proposal.changes, asked.step(1).objectives)
    number = len(asked.history) + 1
    made = replace(step(number, goal("Core", "D10%[Gy] <= 25", value), objectives=objectives), start_from=1)
    return replace(asked, history=(*asked.history, made))


@st.composite
def starts(draw: st.DrawFn) -> Observation:
    """A start that keeps its own rules, with steps, bounds, scale, chains and ratios of any size."""
    integer = draw(st.booleans())
    doses = sorted((draw(st.floats(5.0, 50.0)) for _ in range(4)), reverse=True)
    rings = []
    for index, dose_gy in enumerate(doses):
        priority = draw(st.floats(1.0, 900.0))
        rings.append(draw(bounded(ring(f"zRing{index}", dose_gy, float(round(priority)) if integer else priority))))
    names = [state.name for state in rings]
    pairs = [(rings[1], rings[0]), (rings[2], rings[1]), (rings[3], rings[0])]
    limits = replace(
        LIMITS,
        priority_factor_per_step=draw(st.floats(1.2, 20.0)),
        dose_step_percent=draw(st.floats(1.0, 60.0)),
        integer_priorities=integer,
        ratios=tuple((low.name, low.priority / of.priority * draw(st.floats(1.0, 3.0)), of.name) for low, of in pairs),
        falling_doses=(tuple(names), (names[0], names[3])),
    )
    first = step(1, goal("Core", "D10%[Gy] <= 25", 30.0), objectives=tuple(rings))
    return replace(observation(first), limits=limits, labels={state.structure: state.structure for state in rings})


@st.composite
def bounded(draw: st.DrawFn, state: ObjectiveState) -> ObjectiveState:
    """The objective with bounds of its own around its values, or with fields that may not change."""
    below, above = st.floats(0.3, 1.0), st.floats(1.0, 1.5)
    return replace(
        state,
        dose_bounds_gy=(state.dose_gy * draw(below), state.dose_gy * draw(above)),
        priority_bounds=(math.floor(state.priority * draw(below)), math.ceil(state.priority * draw(above))),
        may_change=draw(st.sampled_from([("priority", "dose_gy"), ("priority",), ("dose_gy",), ()])),
    )


def ring(name: str, dose_gy: float, priority: float) -> ObjectiveState:
    like = objective("zOuter", "upper", dose_gy, priority)
    return replace(like, name=f"{name} upper", structure=name)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("action", [None, "priorities", "doses", "discrete"])
@given(start=starts(), seed=st.integers(0, 2**31), values=st.lists(st.floats(20.0, 60.0), max_size=STARTUP + 1))
@settings(max_examples=25, deadline=None)
def test_every_proposal_passes_the_checks(
    search: Callable[..., Random | Bayes], action: str | None, start: Observation, seed: int, values: list[float]
) -> None:
    """Whatever the start, the limits and the history: what is drawn keeps bounds, steps, ratios and falling doses.

    (Whole numbers are drawn around whole ones: around 1.5 there may be none that keep a ratio.)
    """
    assume(action != "priorities" or start.limits.integer_priorities)
    planner = search(ACTIONS[action] if action else None, seed)
    asked = start
    for value in values:
        proposal = propose(planner, asked)
        if proposal.stop:
            break
        assert check(proposal, asked) == ()
        assert proposal.start_from == 1
        asked = gone_on(asked, proposal, value)


@pytest.mark.parametrize("search", SEARCHES)
def test_the_hot_fraction_problem_is_searched_by_its_parameters(search: Callable[..., Random | Bayes]) -> None:
    """Where objectives are hot, weight, share and threshold of each are drawn, with and without the action space."""
    asked = hot_observation()
    for action in (None, ACTIONS["parameters"]):
        proposal = propose(search(action, 3), asked)
        assert check(proposal, asked) == ()
        drawn = {(change.objective, change.field) for change in proposal.changes}
        assert drawn <= {
            (f"{name} hot", field)
            for name in ("PTV", "Bladder", "Rectum")
            for field in ("priority", "dose_gy", "volume_percent")
        }
        assert len(drawn) >= 8


@pytest.mark.parametrize("search", SEARCHES)
def test_draws_differ_by_attempt_seed_and_remark_and_by_nothing_else(search: Callable[..., Random | Bayes]) -> None:
    """A replay draws the same again; the next attempt, another seed and a proposal turned down draw anew."""
    first = propose(search(None, 1), START)
    assert propose(search(None, 1), START) == first
    turned_down = replace(START, remarks=(Remark(2, ("Core upper",), "too hot"),))
    others = [
        propose(search(None, 2), START),
        propose(search(None, 1), gone_on(START, first, 31.0)),
        propose(search(None, 1), turned_down),
    ]
    assert len({first.changes, *(other.changes for other in others)}) == 4


def test_chance_reaches_the_whole_box() -> None:
    """Over 200 draws every value comes near both ends of its range, and priorities lie evenly in their logarithm."""
    drawn: list[float] = []
    for seed in range(200):
        proposal = propose(Random(ACTIONS["priorities"], seed), START)
        drawn += [change.value for change in proposal.changes if change.objective == "Core upper"]
    assert min(drawn) < 20 < 130 < max(drawn)
    below = sum(value < 50.0 for value in drawn) / len(drawn)
    assert 0.4 < below < 0.6


def test_bayes_learns_from_what_came_out() -> None:
    """Told that a lower core dose is better, it asks for lower core doses than chance would."""
    asked = START
    for _ in range(30):
        proposal = propose(Bayes(ACTIONS["doses"], 4), asked)
        asked = gone_on(asked, proposal, 2.0 * core_dose_gy(apply(proposal.changes, OBJECTIVES)))
    late = [core_dose_gy(made.objectives) for made in asked.history[-10:]]
    low, high = 14.4, 20.7
    assert sum(late) / len(late) < low + 0.3 * (high - low)


def core_dose_gy(objectives: tuple[ObjectiveState, ...]) -> float:
    return next(state.dose_gy for state in objectives if state.name == "Core upper")


def test_bayes_is_told_only_of_its_own_stage_and_box() -> None:
    """Attempts of another stage, and points that a person moved out of the box, say nothing about it."""
    far = tuple(replace(state, dose_gy=state.dose_gy * 0.5) for state in OBJECTIVES)
    outside = step(2, goal("Core", "D10%[Gy] <= 25", 1.0), objectives=far)
    asked = replace(START, history=(*START.history, outside))
    assert "1 attempt known" in propose(Bayes(None, 1), asked).rationale
    assert "0 attempts known" in propose(Bayes(None, 1), replace(START, stage="refinement")).rationale


def test_a_start_that_breaks_a_rule_is_mended_where_one_step_can() -> None:
    """A ring a little hotter than the one inside it is drawn cooler; one far hotter is the protocol's fault."""
    asked = with_outer_ring(START, 46.0)
    for seed in range(20):
        assert check(propose(Random(None, seed), asked), asked) == ()
    with pytest.raises(ActionError, match="zOuter upper dose_gy is at least 72"):
        propose(Random(None, 1), with_outer_ring(START, 90.0))


def with_outer_ring(start: Observation, dose_gy: float) -> Observation:
    outer = objective("zOuter", "upper", dose_gy, 40.0)
    objectives = (*OBJECTIVES[:4], outer, *OBJECTIVES[5:])
    return replace(start, history=(replace(start.last, objectives=objectives),))


@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_with_nothing_to_set_stops(search: Callable[..., Random | Bayes]) -> None:
    """Where the protocol lets nothing change, the search says so instead of asking for nothing again and again."""
    fixed = tuple(replace(state, may_change=()) for state in OBJECTIVES)
    asked = replace(START, history=(replace(START.last, objectives=fixed),))
    proposal = propose(search(None, 1), asked)
    assert (proposal.stop, "Nothing can be set" in proposal.rationale) == (True, True)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_runs_on_the_loop(search: Callable[..., Random | Bayes], tmp_path: Path) -> None:
    """On a real server every attempt is started from the first one, and nothing is refused."""
    simulator = Simulator(tmp_path / "tps")
    simulator.tps.add_patient(make_case("tg119"))
    with testing.serve(simulator) as server, server.client() as client, Trace(tmp_path / "trace.jsonl") as trace:
        case = client.patients()[0].name
        with client.session(case, model.SessionMode.READ_WRITE) as session:
            options = Options(budget=Budget(attempts=3))
            coarse = protocols.read(COARSE, "coarse.yaml")
            result = run(client, session, case, coarse, search(None, 1), trace=trace, options=options)
    proposed = [line["data"]["proposal"] for line in read(trace.path) if line["event"] == "Proposed"]
    assert [proposal["start_from"] for proposal in proposed] == [1, 1]
    assert (len(result.attempts), dict(result.format_errors)) == (3, {})
    assert result.arm["action"] == "all"


FIXED_SET = (Change("Core upper", "priority", 100.0, "fixed"), Change("PTV lower", "priority", 400.0, "fixed"))


def test_the_fixed_set_is_tried_once() -> None:
    """First the protocol's set from attempt 1, then a stop that says how many goals were met."""
    asked = replace(START, fixed_set=FIXED_SET)
    proposal = propose(Static(), asked)
    assert (proposal.changes, proposal.start_from, check(proposal, asked)) == (FIXED_SET, 1, ())
    after = propose(Static(), gone_on(asked, proposal, 24.0))
    assert (after.stop, "1 of 1 goal met" in after.rationale) == (True, True)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, "no fixed set beside its own objectives"),
        ({"fixed_set": FIXED_SET, "remarks": (Remark(2, (), "too hot"),)}, "turned down"),
        (
            {
                "fixed_set": FIXED_SET,
                "rejected": (CheckFailure(Fault.STEP, "Core upper", "priority", 900.0, "too far", "150"),),
            },
            "does not pass the checks: 'Core upper' priority 900: too far",
        ),
    ],
)
def test_without_a_set_to_try_static_stops_at_once(changed: dict[str, Any], why: str) -> None:
    """No set, a set that a person turned down, or one that the checks refuse: each is a reason to stop."""
    proposal = propose(Static(), replace(START, **changed))
    assert (proposal.stop, why in proposal.rationale) == (True, True)


@pytest.mark.parametrize(
    ("planner", "arm"),
    [
        (Random(), {"action": "all", "seed": 0}),
        (Random(ACTIONS["doses"], 7), {"action": "doses", "seed": 7}),
        (Bayes(ACTIONS["parameters"], 7), {"action": "parameters", "seed": 7, "sampler": "TPE"}),
        (Static(), {}),
    ],
)
def test_what_a_planner_may_do_is_on_record(planner: Random | Bayes | Static, arm: dict[str, Any]) -> None:
    """The arm names the action space, the seed and the method."""
    assert arm.items() <= planner.arm.items()


def test_optuna_is_loaded_only_by_a_search_that_asks_it() -> None:
    """Naming the planner costs nothing: the package is imported at the first proposal."""
    code = "import sys; from agent.planners.bayes import Bayes; Bayes(); assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


goal_lists = st.lists(
    st.builds(
        lambda value, limit, slack, rank: goal(
            "Core", f"D10%[Gy] <= {limit}", round(value, 2), rank=rank, acceptable=limit + slack if slack else None
        ),
        st.floats(0.0, 80.0),
        st.integers(1, 60),
        st.integers(0, 5),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(goals=goal_lists, gain=st.floats(0.0, 40.0))
def test_badness_and_score_agree_on_what_is_nearer(goals: list[GoalResult], gain: float) -> None:
    """A plan in which one goal is lower and the rest the same is worse by neither; all met is 0."""
    nearer = goal(
        "Core", f"D10%[Gy] <= {goals[0].limit:g}", round(max((goals[0].value or 0.0) - gain, 0.0), 2),
        rank=goals[0].rank, acceptable=goals[0].acceptable,
    )  # fmt: skip
    better = [nearer, *goals[1:]]
    assert badness(better) <= badness(goals)
    assert score(better) <= score(goals)
    assert (badness(goals) == 0.0) == all(found.status.value == "met" for found in goals)


def test_a_missed_goal_is_worse_than_an_acceptable_one_of_its_rank() -> None:
    """By however little it is missed, and by rank: a must above a should above a wish."""
    barely_missed = goal("Core", "D10%[Gy] <= 25", 30.01, acceptable=30.0)
    just_acceptable = replace(goal("Core", "D10%[Gy] <= 25", 29.99, acceptable=30.0))
    assert badness([just_acceptable]) < badness([barely_missed])
    by_rank = [badness([goal("Core", "D10%[Gy] <= 25", 30.0, rank=rank)]) for rank in (1, 2, 3)]
    assert by_rank == sorted(by_rank, reverse=True)
