"""Action spaces: what an answer means, what is wrong with one, and that a model is told no patient's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observations import HOT_OBJECTIVES, LIMITS, OBJECTIVES, goal, hot_observation, observation, step

from agent.actions import ACTIONS, ActionError, all_knobs
from agent.actions.naming import from_model, to_model, told_line, told_prose, told_rule
from agent.checks import check
from agent.observation import Observation
from agent.proposal import Change, Fault, Proposal

MISSED = goal("Core", "D10%[Gy] <= 25", 30.0)
QUADRATIC = observation(step(1, MISSED))
HOT = hot_observation()
KEYS = {"priorities": "objectives", "doses": "doses_gy", "parameters": "parameters", "discrete": "moves"}
OF_SPACE = {"priorities": QUADRATIC, "doses": QUADRATIC, "parameters": HOT, "discrete": QUADRATIC}
WITH_NUMBERS = ("priorities", "doses", "parameters")

Edit = Callable[[dict[str, Any]], object]


def as_it_is(whole: dict[str, Any]) -> None:
    """No edit."""


def answer(space: str, shown: Observation | None = None, edit: Edit = as_it_is) -> dict[str, Any]:
    """What a model would answer to the present state, then edited."""
    given = ACTIONS[space].present(shown or OF_SPACE[space])[KEYS[space]]
    if space == "discrete":
        given = list(given)[:1]
    whole = {"rationale": "The core is at 30 Gy.", "start_from": None, "stop": False, KEYS[space]: given}
    edit(whole)
    return whole


def read(space: str, edit: Edit = as_it_is, shown: Observation | None = None) -> Proposal:
    return ACTIONS[space].read(answer(space, shown, edit), shown or OF_SPACE[space])


def faults(proposal: Proposal) -> list[Fault]:
    return [failure.fault for failure in proposal.unreadable]


def setting(*path: str | int, to: object) -> Edit:
    def edit(whole: dict[str, Any]) -> None:
        place: Any = whole
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = to

    return edit


def without(*path: str | int) -> Edit:
    def edit(whole: dict[str, Any]) -> None:
        place: Any = whole
        for part in path[:-1]:
            place = place[part]
        del place[path[-1]]

    return edit


@pytest.mark.parametrize("space", WITH_NUMBERS)
@pytest.mark.parametrize("awkward", [1.0, 1 / 3, 0.98765432])
def test_the_state_as_shown_is_no_change(space: str, awkward: float) -> None:
    """An answer that repeats what was shown changes nothing, however many digits the values have behind it."""
    shown = scaled(OF_SPACE[space], awkward)
    proposal = read(space, shown=shown)
    assert (proposal.changes, proposal.unreadable) == ((), ())
    assert [failure.fault for failure in check(proposal, shown)] == [Fault.NO_CHANGE]


def scaled(shown: Observation, factor: float) -> Observation:
    """The same with every dose and priority multiplied."""
    states = tuple(
        replace(state, dose_gy=state.dose_gy * factor, priority=state.priority * factor)
        for state in shown.last.objectives
    )
    return replace(shown, history=(replace(shown.last, objectives=states),))


@pytest.mark.parametrize(
    ("space", "edit", "change"),
    [
        ("priorities", setting("objectives", 2, "priority", to=120), Change("Core upper", "priority", 120.0, "")),
        ("doses", setting("doses_gy", "Core upper", to=16), Change("Core upper", "dose_gy", 16.0, "")),
        ("parameters", setting("parameters", "Bladder", "lambda", to=0.6), Change("Bladder hot", "priority", 0.6, "")),
        ("parameters", setting("parameters", "PTV", "V", to=0.29), Change("PTV hot", "volume_percent", 29.0, "")),
        ("parameters", setting("parameters", "Rectum", "tau", to=0.3), Change("Rectum hot", "dose_gy", 23.76, "")),
        ("discrete", setting("moves", to=["Core upper: dose -8%"]), Change("Core upper", "dose_gy", 16.56, "")),
    ],
)
def test_one_changed_value_is_one_change(space: str, edit: Edit, change: Change) -> None:
    """Only what differs becomes a change, in the objective's own units; lambda, V and tau by their definitions."""
    proposal = read(space, edit)
    assert (proposal.changes, proposal.unreadable) == ((change,), ())
    assert check(proposal, OF_SPACE[space]) == ()
    assert (proposal.rationale, proposal.start_from) == ("The core is at 30 Gy.", None)


@pytest.mark.parametrize("space", WITH_NUMBERS)
def test_every_allowed_value_passes_the_checks(space: str) -> None:
    """Both ends of every range that a model is shown may be answered, where no rule between objectives stands by."""
    shown = replace(OF_SPACE[space], limits=replace(OF_SPACE[space].limits, ratios=(), falling_doses=()))
    allowed = flat(ACTIONS[space].present(shown)["allowed"])
    assert allowed
    for path, span in allowed.items():
        for value in span:
            proposal = read(space, put(space, path, value), shown)
            assert len(proposal.changes) <= 1
            assert not proposal.changes or check(proposal, shown) == ()


def flat(allowed: Mapping[str, Any]) -> dict[tuple[str, ...], list[float]]:
    rows = {}
    for name, span in allowed.items():
        rows.update(
            {(name, word): inner for word, inner in span.items()} if isinstance(span, dict) else {(name,): span}
        )
    return rows


def put(space: str, path: tuple[str, ...], value: float) -> Edit:
    if space != "priorities":
        return setting(KEYS[space], *path, to=value)
    names = [state.name for state in OBJECTIVES]
    return setting("objectives", names.index(path[0]), "priority", to=value)


FAULTS: list[tuple[str, Edit, Fault]] = [
    *(
        ("priorities", setting("objectives", 2, "priority", to=wrong), Fault.NOT_A_NUMBER)
        for wrong in ("60", True, None)
    ),
    *(("priorities", setting("objectives", 2, "priority", to=wrong), Fault.NOT_AN_INTEGER) for wrong in (60.5, 60.0)),
    ("priorities", without("objectives", 2), Fault.MISSING_ENTRY),
    ("priorities", without("objectives", 2, "priority"), Fault.SCHEMA),
    ("priorities", setting("objectives", 2, "operator", to="<="), Fault.SCHEMA),
    ("priorities", lambda whole: whole["objectives"].append("Core upper 60"), Fault.SCHEMA),
    ("priorities", setting("objectives", to={"Core upper": 60}), Fault.SCHEMA),
    ("priorities", lambda whole: whole["objectives"].append(whole["objectives"][0]), Fault.EXTRA_ENTRY),
    ("priorities", lambda whole: whole["objectives"].append({"name": "Heart upper"}), Fault.EXTRA_ENTRY),
    ("priorities", setting("objectives", 2, "dose_gy", to=17.0), Fault.FORBIDDEN_CHANGE),
    ("priorities", setting("objectives", 2, "dose_gy", to=10**400), Fault.FORBIDDEN_CHANGE),
    ("priorities", setting("objectives", 2, "structure", to="Brain"), Fault.FORBIDDEN_CHANGE),
    ("priorities", setting("objectives", 2, "volume_percent", to=None), Fault.FORBIDDEN_CHANGE),
    ("doses", without("doses_gy", "PTV lower"), Fault.MISSING_ENTRY),
    ("doses", setting("doses_gy", "Heart upper", to=20), Fault.EXTRA_ENTRY),
    *(("doses", setting("doses_gy", "PTV lower", to=wrong), Fault.NOT_A_NUMBER) for wrong in ("50", False, None, [50])),
    *(("doses", setting("doses_gy", "PTV lower", to=wrong), Fault.NOT_A_NUMBER) for wrong in (1e999, -1e999, 10**400)),
    ("doses", setting("doses_gy", to=[50.5]), Fault.SCHEMA),
    ("parameters", without("parameters", "Rectum"), Fault.MISSING_ENTRY),
    ("parameters", without("parameters", "Rectum", "V"), Fault.MISSING_ENTRY),
    ("parameters", setting("parameters", "Rectum", "weight", to=1), Fault.EXTRA_ENTRY),
    ("parameters", setting("parameters", "Rectum", to=0.6), Fault.SCHEMA),
    ("parameters", setting("parameters", "PTV", "tau", to="1.05"), Fault.NOT_A_NUMBER),
    ("parameters", setting("parameters", "PTV", "tau", to=1e308), Fault.NOT_A_NUMBER),
    ("discrete", setting("moves", to=["Core upper: dose -9%"]), Fault.EXTRA_ENTRY),
    ("discrete", setting("moves", to=["Core upper: dose -8%", "Core upper: dose +2%"]), Fault.EXTRA_ENTRY),
    ("discrete", setting("moves", to=["Core upper: dose -8%"] * 6), Fault.EXTRA_ENTRY),
    ("discrete", setting("moves", to="Core upper: dose -8%"), Fault.SCHEMA),
    ("discrete", setting("moves", to=[1]), Fault.SCHEMA),
    *(
        (space, edit, fault)
        for space in KEYS
        for edit, fault in (
            (without("rationale"), Fault.SCHEMA),
            (setting("rationale", to="  "), Fault.SCHEMA),
            (setting("rationale", to=7), Fault.SCHEMA),
            (setting("stop", to="no"), Fault.SCHEMA),
            (without("start_from"), Fault.SCHEMA),
            (setting("start_from", to="1"), Fault.SCHEMA),
            (setting("start_from", to=True), Fault.SCHEMA),
            (setting("start_from", to=4), Fault.UNKNOWN_ATTEMPT),
            (setting("start_from", to=10**400), Fault.UNKNOWN_ATTEMPT),
            (setting("comment", to="hello"), Fault.SCHEMA),
            (without(KEYS[space]), Fault.SCHEMA),
        )
    ),
]


@pytest.mark.parametrize(("space", "edit", "fault"), FAULTS)
def test_each_fault_has_its_kind(space: str, edit: Edit, fault: Fault) -> None:
    """What cannot be read is refused by one failure of its kind, which can be written down and read."""
    proposal = read(space, edit)
    assert (faults(proposal), proposal.changes) == ([fault], ())
    assert check(proposal, OF_SPACE[space]) == proposal.unreadable
    assert json.dumps([failure.value for failure in proposal.unreadable], allow_nan=False)
    assert len(str(proposal.unreadable[0])) > 20


def test_several_faults_are_all_named() -> None:
    """One answer with three things wrong comes back with three failures, so that one repair can mend them."""
    doses = {"PTV lower": "50", "Heart upper": 20, "PTV upper": 53, "Core upper": 18, "zInner upper": 45,
             "zOuter upper": 30}  # fmt: skip
    found = faults(read("doses", setting("doses_gy", to=doses)))
    assert sorted(found) == sorted([Fault.NOT_A_NUMBER, Fault.EXTRA_ENTRY, Fault.MISSING_ENTRY])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("space", KEYS)
@settings(deadline=None)
@given(head=st.dictionaries(st.sampled_from(["rationale", "start_from", "stop", "x"]), json_values), body=json_values)
def test_no_answer_makes_reading_fail(space: str, head: dict[str, Any], body: Any) -> None:
    """Whatever JSON a model answers, it is read as a proposal or refused with reasons that can be written down."""
    sound = {"rationale": "why", "start_from": None, "stop": False}
    for whole in ({**head, KEYS[space]: body}, {**sound, KEYS[space]: body}, {**answer(space), **head}):
        proposal = ACTIONS[space].read(whole, OF_SPACE[space])
        json.dumps([[failure.value, str(failure)] for failure in check(proposal, OF_SPACE[space])], allow_nan=False)


@pytest.mark.parametrize("space", KEYS)
def test_stopping_needs_no_values(space: str) -> None:
    """A stop with its reason is a stop, whether or not values stand beside it."""
    for edit in (setting("stop", to=True), lambda whole: whole.update(stop=True) or whole.pop(KEYS[space])):
        assert read(space, edit) == Proposal("The core is at 30 Gy.", stop=True)


SOFTER = tuple(replace(state, priority=state.priority / 2, dose_gy=state.dose_gy * 0.9) for state in OBJECTIVES)


@pytest.mark.parametrize("space", ["priorities", "doses"])
def test_values_are_held_against_the_attempt_they_start_from(space: str) -> None:
    """Repeating the present values from an earlier attempt changes everything there that was different."""
    shown = observation(step(1, MISSED, objectives=SOFTER), step(2, MISSED))
    proposal = read(space, setting("start_from", to=1), shown)
    assert proposal.start_from == 1
    assert [change.objective for change in proposal.changes] == [state.name for state in OBJECTIVES]


@pytest.mark.parametrize("space", ["priorities", "doses", "discrete"])
def test_in_refinement_changes_start_from_the_best(space: str) -> None:
    """Where the best attempt is shown and not the last, an answer without a start says the best."""
    better = goal("Core", "D10%[Gy] <= 25", 26.0)
    shown = replace(observation(step(1, better, objectives=SOFTER), step(2, MISSED)), baseline=1)
    whole = answer(space, shown)
    for start_from, base in ((None, 1), (1, 1), (2, 2)):
        proposal = ACTIONS[space].read({**whole, "start_from": start_from}, shown)
        assert (proposal.start_from, proposal.unreadable) == (base, ())


@pytest.mark.parametrize("space", KEYS)
def test_schemas_are_strict(space: str) -> None:
    """Every object of a schema is closed, requires all its properties, and uses only words that servers know."""
    known = {"type", "properties", "required", "additionalProperties", "items", "enum"}
    pending: list[Mapping[str, Any]] = [ACTIONS[space].schema(OF_SPACE[space])]
    assert set(pending[0]["properties"]) == {"rationale", "start_from", "stop", KEYS[space]}
    while pending:
        schema = pending.pop()
        assert set(schema) <= known
        if schema["type"] == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])
        pending += [*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])]


@pytest.mark.parametrize("shown", [QUADRATIC, HOT, replace(QUADRATIC, limits=replace(LIMITS, integer_priorities=True))])
def test_every_move_passes_by_itself(shown: Observation) -> None:
    """The schema names only moves that the checks allow, each of them one change."""
    moves = ACTIONS["discrete"].schema(shown)["properties"]["moves"]["items"]["enum"]
    assert moves == list(ACTIONS["discrete"].present(shown)["moves"])
    assert len(moves) > 10
    for move in moves:
        proposal = read("discrete", setting("moves", to=[move]), shown)
        assert len(proposal.changes) == 1
        assert check(proposal, shown) == ()


def test_moves_of_the_hot_fraction_problem_are_the_published_ones() -> None:
    """From the nominal start: lambda by 1.65 and 0.60, V by 1.25 and 0.80, a target's tau by 1.01, no further."""
    moves = ACTIONS["discrete"].present(HOT)["moves"]
    assert {name: reads for name, reads in moves.items() if name.startswith("PTV")} == {
        "PTV hot: lambda x1.65": "1 to 1.65",
        "PTV hot: lambda x0.60": "1 to 0.6",
        "PTV hot: V x1.25": "0.1 to 0.125",
        "PTV hot: V x0.80": "0.1 to 0.08",
        "PTV hot: tau x1.01": "1 to 1.01",
    }
    assert moves["Rectum hot: tau x1.25"] == "0.6 to 0.75"
    assert "Bladder hot: tau x1.25" not in moves


def test_rules_are_told_in_the_models_words() -> None:
    """Ratios stand with the priorities, falling doses with the doses, and the steps of the limits with both."""
    priorities, doses = (ACTIONS[space].instructions(QUADRATIC) for space in ("priorities", "doses"))
    assert "The priority of PTV upper is at most 0.5 times that of PTV lower." in priorities
    assert "a priority by a factor of at most 3 up or down" in priorities
    assert "The dose of zOuter upper is at most that of zInner upper." in doses
    assert "a dose by at most 20 % up or down" in doses


def test_parameters_need_the_hot_fraction_problem() -> None:
    """On quadratic objectives the parameters are refused, with a protocol that has them."""
    for use in (ACTIONS["parameters"].schema, ACTIONS["parameters"].present, ACTIONS["parameters"].instructions):
        with pytest.raises(ActionError, match="prostate-m2m-7"):
            use(QUADRATIC)


def test_what_may_not_change_is_offered_nowhere() -> None:
    """The hard constraint has no knob, no dose, no parameter and no move; in the list it stands without a range."""
    told = (
        ACTIONS["parameters"].present(HOT),
        ACTIONS["doses"].present(HOT),
        ACTIONS["discrete"].present(HOT),
        ACTIONS["priorities"].present(HOT)["allowed"],
        [knob.objective for knob in all_knobs(HOT, 1)],
    )
    assert "hold" not in json.dumps(told)
    assert ACTIONS["priorities"].present(HOT)["objectives"][0]["type"] == "hold"
    assert len(all_knobs(HOT, 1)) == 3 * (len(HOT_OBJECTIVES) - 1)


PATIENTS_NAME = 'Mr O\'Neill "front" met'


def named_by_the_patient() -> Observation:
    """The target is called by a name of the patient's own."""

    def called(name: str) -> str:
        return name.replace("PTV", PATIENTS_NAME)

    states = tuple(replace(s, name=called(s.name), structure=called(s.structure)) for s in OBJECTIVES)
    return replace(
        QUADRATIC,
        history=(replace(QUADRATIC.last, objectives=states),),
        limits=replace(LIMITS, ratios=((called("PTV upper"), 0.5, called("PTV lower")),)),
        labels={called(name): "PTV_1" if name == "PTV" else name for name in QUADRATIC.labels},
    )


@pytest.mark.parametrize("space", ["priorities", "doses", "discrete"])
def test_no_patients_name_is_told(space: str) -> None:
    """Schema, instructions and state speak of PTV_1, and an answer about it finds the patient's structure."""
    shown, actions = named_by_the_patient(), ACTIONS[space]
    told = json.dumps([actions.schema(shown), actions.instructions(shown), actions.present(shown)])
    assert "Neill" not in told
    assert "PTV_1 lower" in told
    assert from_model(shown)["PTV_1 lower"] == f"{PATIENTS_NAME} lower"
    if space == "doses":
        proposal = read(space, setting("doses_gy", "PTV_1 lower", to=51), shown)
        assert proposal.changes == (Change(f"{PATIENTS_NAME} lower", "dose_gy", 51.0, ""),)


def test_rules_can_be_told_without_the_patients_name() -> None:
    """The checks' own words name the patient's structure; told to a model they name the label."""
    shown = named_by_the_patient()
    refused = check(Proposal("", (Change(f"{PATIENTS_NAME} upper", "priority", 200.0, ""),)), shown)
    assert "Neill" in refused[0].rule
    assert told_rule(refused[0].rule, shown) == "priority above 0.5 times that of 'PTV_1 lower' (300)"


def test_names_are_replaced_only_where_they_stand() -> None:
    """A line is renamed at its start, prose at whole words; a name that a model knows already stays its own."""
    shown = named_by_the_patient()
    assert told_line(f"{PATIENTS_NAME} V1Gy[%] <= 2 of {PATIENTS_NAME}", shown).startswith("PTV_1 V1Gy[%] <= 2 of Mr")
    assert told_line(f"{PATIENTS_NAME}s V1Gy[%]", shown) == f"{PATIENTS_NAME}s V1Gy[%]"
    assert told_prose(f"Cool {PATIENTS_NAME}, not X{PATIENTS_NAME}.", shown) == f"Cool PTV_1, not X{PATIENTS_NAME}."
    swapped = replace(shown, labels={"PTV_1": "PTV_2", "PTV_2": "PTV_1"})
    assert told_prose("I raised PTV_1.", swapped) == "I raised PTV_1."
    assert told_line("PTV_1 upper: dose 1 → 2", swapped) == "PTV_2 upper: dose 1 → 2"


MANY = [f"Heart {number}" for number in range(5000)]


@pytest.mark.parametrize(
    ("space", "edit", "fault"),
    [
        ("doses", lambda whole: whole["doses_gy"].update(dict.fromkeys(MANY, 20)), Fault.EXTRA_ENTRY),
        ("parameters", lambda whole: whole["parameters"].update(dict.fromkeys(MANY, 1)), Fault.EXTRA_ENTRY),
        ("parameters", lambda whole: whole["parameters"]["PTV"].update(dict.fromkeys(MANY, 1)), Fault.EXTRA_ENTRY),
        ("priorities", lambda whole: whole["objectives"].extend({"name": name} for name in MANY), Fault.EXTRA_ENTRY),
        ("priorities", lambda whole: whole["objectives"].extend(MANY), Fault.SCHEMA),
        ("priorities", lambda whole: whole["objectives"].extend(whole["objectives"][:1] * 5000), Fault.EXTRA_ENTRY),
        ("priorities", lambda whole: whole["objectives"][0].update(dict.fromkeys(MANY, 1)), Fault.SCHEMA),
        ("discrete", lambda whole: whole["moves"].extend(MANY), Fault.EXTRA_ENTRY),
        *((space, lambda whole: whole.update(dict.fromkeys(MANY, 1)), Fault.SCHEMA) for space in KEYS),
    ],
)
def test_thousands_of_extra_entries_are_one_failure(space: str, edit: Edit, fault: Fault) -> None:
    """The refusal names the first few and counts the others, so that it stays short."""
    proposal = read(space, edit)
    assert faults(proposal) == [fault]
    told = str(proposal.unreadable[0])
    assert len(told) < 600
    if "Heart" in told:
        assert "Heart 0, Heart 1, Heart 2 and 4997 more" in told


def test_without_a_label_nothing_is_told() -> None:
    """A structure that has no neutral label is an error, and so are two objectives of one name."""
    with pytest.raises(ActionError, match="no neutral label"):
        to_model(replace(QUADRATIC, labels={}))
    with pytest.raises(ActionError, match="labels must differ"):
        to_model(replace(QUADRATIC, labels={**QUADRATIC.labels, "zInner": "Core"}))


@pytest.mark.parametrize("space", KEYS)
def test_knobs_stay_within_one_step(space: str) -> None:
    """Both ends of every knob pass the checks that look at one objective; priorities of SAGE are whole."""
    shown = replace(OF_SPACE[space], limits=replace(OF_SPACE[space].limits, ratios=(), falling_doses=()))
    knobs = ACTIONS[space].knobs(shown, 1)
    assert len(knobs) == {"priorities": 6, "doses": 6, "parameters": 9, "discrete": 12}[space]
    for knob in knobs:
        assert knob.is_integer == (space == "priorities")
        for end in (knob.low, knob.high):
            if end != knob.now:
                assert check(Proposal("", (Change(knob.objective, knob.field, end, ""),)), shown) == ()
