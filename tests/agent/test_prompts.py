"""Prompts: what leaves the machine, what each block adds, and that a person and a program can read the rest."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.actions import ACTIONS, ActionError
from agent.actions.naming import to_model
from agent.checks import check
from agent.knowledge import load, packaged
from agent.metrics import parse_metric
from agent.observation import Observation, Place, Remark
from agent.planners.model_planner import offered_tools, shown_prompt
from agent.planners.recipes import RECIPES, Recipe, with_overrides
from agent.prompts import Blocks, repair_message
from agent.prompts.curves import NotInCurve, read_metric
from agent.prompts.fence import TEXT_CHARACTERS, TEXTS, fenced
from agent.prompts.shown import STRENGTHEN
from agent.proposal import Change, CheckFailure, Fault, Proposal
from tests.agent import prompt_observations as furnished

ALL_BLOCKS = Blocks(priors=True, hints=True, knowledge=True, dvh_samples=5)
QUADRATIC = (furnished.brain, furnished.brain_refinement, furnished.head_and_neck)


def prompt(recipe: Recipe, observation: Observation) -> str:
    """Everything that would be sent, as one text."""
    messages = shown_prompt(recipe, ACTIONS[recipe.action], observation)
    return "\n".join(message.content for message in messages)


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.+)$", text, flags=re.MULTILINE)


def removed(longer: str, shorter: str) -> str:
    """The lines that the longer text has more, which must be one piece."""
    long, short = longer.splitlines(), shorter.splitlines()
    start = next(index for index, (one, other) in enumerate(zip(long, short, strict=False)) if one != other)
    end = len(long) - (len(short) - start)
    assert long[:start] + long[end:] == short
    return "\n".join(long[start:end])


def json_blocks(text: str) -> list[Any]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", text, flags=re.DOTALL)]


@pytest.mark.parametrize("furnish", [*QUADRATIC, furnished.prostate])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("action", ACTIONS)
def test_no_canary_leaves(furnish: Any, recipe: Recipe, action: str) -> None:
    """With every block on, no patient's label, date, note or order in a label is in what is sent, tools included."""
    observation = furnish()
    everything = replace(recipe, action=action, blocks=ALL_BLOCKS)
    if action == "parameters" and not observation.task.hot_fraction:
        with pytest.raises(ActionError, match="hot-fraction"):
            prompt(everything, observation)
        return
    tools = str(offered_tools(everything, ACTIONS[action], observation))
    for canary in furnished.CANARIES:
        assert canary not in prompt(everything, observation) + tools


def test_canaries_are_in_the_observation() -> None:
    """The canary test would find something: every canary stands in what the planner is given."""
    observations = repr([furnish() for furnish in QUADRATIC])
    assert all(canary in observations for canary in furnished.CANARIES)


def test_foreign_text_stays_in_its_fence() -> None:
    """The planning system's words stand between the fence's marks only, on one line, and cannot close it."""
    text = prompt(RECIPES["zero-shot"], furnished.head_and_neck())
    before, rest = text.split("<<<DATA planning system\n")
    inside, after = rest.split("\nDATA>>>")
    assert "marmoset" in inside and "marmoset" not in before + after
    assert len(inside.splitlines()) == 2
    assert "\x07" not in text


def test_typed_facts_come_before_foreign_text() -> None:
    """The figure that the planning system gives is told in our words, ahead of the fence."""
    text = prompt(RECIPES["zero-shot"], furnished.head_and_neck())
    assert text.index("15 % below the dose that is wanted") < text.index("<<<DATA planning system")


def test_long_and_many_texts_are_cut_visibly() -> None:
    """A text without end and a hundred texts are shown in part, and say so."""
    assert fenced(("x" * 1000,)) == ("x" * TEXT_CHARACTERS + " (cut here)",)
    many = fenced(("short",) * 100)
    assert len(many) == TEXTS + 1 and many[-1] == f"({100 - TEXTS} more left out)"


def test_a_structure_without_a_name_to_tell_sends_nothing() -> None:
    """An observation without a label for a structure is an error, not a prompt with the patient's label."""
    observation = replace(furnished.brain(), labels={})
    with pytest.raises(ActionError, match="label"):
        prompt(RECIPES["sage"], observation)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_no_hints_removes_the_hints_alone(recipe: Recipe) -> None:
    """Without hints the whole prompt is the same but for that one block."""
    observation = furnished.head_and_neck() if recipe.name == "zero-shot" else furnished.brain()
    full = replace(recipe, action="doses", blocks=replace(ALL_BLOCKS, knowledge=False))
    piece = removed(prompt(full, observation), prompt(with_overrides(full, hints=False), observation))
    assert headings(piece) == ["What this planning system says of its optimiser"]


def test_no_priors_removes_priors_and_hints_alone() -> None:
    """Without priors the whole prompt is the same but for the priors and the planning system's own hints."""
    recipe, observation = RECIPES["zero-shot"], furnished.head_and_neck()
    piece = removed(prompt(recipe, observation), prompt(with_overrides(recipe, priors=False), observation))
    assert headings(piece) == [
        "How the optimiser answers to what you change",
        "What this planning system says of its optimiser",
    ]


def test_no_knowledge_removes_the_knowledge_alone() -> None:
    """Without knowledge the whole prompt is the same but for that one block."""
    recipe, observation = RECIPES["m2m"], furnished.prostate()
    piece = removed(prompt(recipe, observation), prompt(with_overrides(recipe, knowledge=False), observation))
    assert headings(piece) == ["Where good parameters have been found: Prostate, final parameters of a trained agent"]


def test_history_depth() -> None:
    """SAGE shows three attempts at most; none and all can be chosen."""
    observation, recipe = furnished.brain_refinement(), RECIPES["sage"]
    shown = [re.findall(r"\*\*Attempt (\d)\*\*", prompt(with_overrides(recipe, history=depth), observation))
             for depth in (None, 0, 99)]  # fmt: skip
    assert shown == [["2", "3", "4"], [], ["1", "2", "3", "4"]]


def test_goals_and_objectives_stand_as_json_too() -> None:
    """A program finds the goals with their values, and the objectives in the form of an answer, in every prompt."""
    for recipe, observation in (
        (RECIPES["sage"], furnished.brain()),
        (RECIPES["zero-shot"], furnished.head_and_neck()),
        (RECIPES["m2m"], furnished.prostate()),
    ):
        blocks = json_blocks(prompt(recipe, observation))
        goals = next(block for block in blocks if isinstance(block, list))
        assert [goal["value"] for goal in goals] == [g.value for g in observation.last.goals if g.value is not None]
        assert json.loads(json.dumps(ACTIONS[recipe.action].present(observation))) in blocks


def test_goals_that_cannot_be_evaluated_are_named_apart() -> None:
    """An organ that this patient lacks is no open goal."""
    text = prompt(RECIPES["sage"], furnished.brain())
    assert "need no care: OpticChiasm D0.035cc[Gy] <= 10." in text
    assert "| organ | OpticChiasm" not in text


def test_ordered_strategy_names_its_levers() -> None:
    """SAGE's order is coverage, hot spots, inner and outer ring, organs, each with its own objectives."""
    text = prompt(RECIPES["sage"], furnished.brain())
    order = [
        "Coverage of the targets (through PTV_1 lower, PTV_2 lower)",
        "(through PTV_1 upper, PTV_2 upper, External upper)",
        "close to them (through zRing_1_4 upper), then further out (through zRing_4_8 upper)",
        "Organs (through Brainstem upper)",
    ]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)


def test_refinement_names_baseline_new_goals_losses_and_relations() -> None:
    """The refinement says what nothing may be worse than, what is new or relaxed, what was lost, and what binds."""
    text = prompt(RECIPES["sage"], furnished.brain_refinement())
    assert "Baseline for your changes: attempt 3" in text
    assert "PTV_1 D0.03cc[Gy] <= 28.8; zShell_2_7 V18Gy[%] <= 1." in text
    assert "made worse: PTV_1 V18Gy[%] >= 98 went from 98.40 (met) to 96.10 (acceptable)" in text
    assert "zShell_2_7 upper: priority at most 1 times that of PTV_1 lower (now 10, at most 300)." in text


def test_a_stage_without_a_template_has_that_of_the_first() -> None:
    """A planner without words of its own for a stage still says what nothing may be worse than."""
    recipe = replace(RECIPES["zero-shot"], action="priorities")
    text = prompt(recipe, furnished.brain_refinement())
    assert "Coverage and organs may not become worse than in attempt 3, the baseline" in text


def test_deviations_losses_and_trends_are_worked_out() -> None:
    """Distances to goals and objectives, shares of the loss, and what the last attempt changed stand in the prompt."""
    text = prompt(RECIPES["zero-shot"], furnished.head_and_neck())
    assert "| 0.90 Gy outside | 76.60 |" in text
    assert "77.20 Gy, 3.70 over" in text
    assert "68.59 Gy, 2.11 short" in text
    assert "| 7.4 | 52.8 % |" in text
    assert "22.90 → 18.70 → 18.50 | -0.20 | better |" in text
    assert "3 → 4.9 → 7.4 | 2.5 | rises |" in text


def test_distance_has_its_side_for_both_comparators() -> None:
    """Below a goal that asks for at least its limit is outside, above it inside."""
    text = prompt(replace(RECIPES["zero-shot"], action="priorities"), furnished.brain())
    assert "| PTV_1 CI Paddick >= 0.8 | 0.7 | 2 | 0.74 | acceptable | 0.06 outside |" in text
    assert "| PTV_1 V18Gy[%] >= 98 | 95 | 1 | 98.40 % | met | 0.40 % inside |" in text


def test_trends_and_losses_can_be_taken_away() -> None:
    """A recipe without those blocks shows neither."""
    blocks = replace(RECIPES["zero-shot"].blocks, trends=False, losses=False, deviations=False)
    text = prompt(replace(RECIPES["zero-shot"], blocks=blocks), furnished.head_and_neck())
    assert "Trends over the attempts" not in headings(text)
    assert "outside" not in text.split("## Goals")[1].split("## ")[0] and "Share of all" not in text


def test_losses_that_the_planning_system_lacks_are_said_to_be_lacking() -> None:
    """Where losses would be shown and are not told apart, the prompt says so instead of a column of dashes."""
    recipe = replace(RECIPES["zero-shot"], action="priorities")
    text = prompt(recipe, furnished.brain())
    assert "does not tell the objectives' losses apart" in text and "Share of all" not in text


def test_steps_go_from_coarse_to_fine() -> None:
    """The step that is advised follows from the limits and from how many attempts are left."""
    early = furnished.head_and_neck()
    late = replace(early, attempts_left=1)
    assert "now: coarse" in prompt(RECIPES["zero-shot"], early)
    assert "dose by about 10 to 20 % of itself" in prompt(RECIPES["zero-shot"], early)
    assert "dose by about 2 to 5 % of itself" in prompt(RECIPES["zero-shot"], late)


def test_curves_are_sampled_evenly() -> None:
    """Targets are sampled around the prescription, the rest from low on, at as many points as asked for."""
    recipe = with_overrides(RECIPES["m2m"], dvh_samples=6)
    text = prompt(recipe, furnished.prostate())
    doses = [float(dose) for dose in re.findall(r"([\d.]+) Gy \|", re.search(r"\| Targets \|.*", text)[0])]  # type: ignore[index]
    assert len(doses) == 6 and np.allclose(np.diff(doses), 0.05 * 79.2, atol=0.01)
    assert "Dose-volume curves" not in prompt(with_overrides(recipe, dvh_samples=0), furnished.prostate())


def test_problem_explains_the_parameters() -> None:
    """M2M's prompt says what V is and is not, that only ratios of weights act, and that coverage is held."""
    text = prompt(RECIPES["m2m"], furnished.prostate())
    for part in ("Only ratios of λ act", "not a volume that is allowed to be hot", "τ = 1 is 79.2 Gy", "held exactly"):
        assert part in text


def test_changes_are_told_in_the_problems_own_symbols() -> None:
    """The history of the hot-fraction problem speaks of λ, V and τ, as the answer does."""
    first = furnished.prostate()
    changes = (
        Change("Rectum hot", "dose_gy", 47.52, ""),
        Change("Rectum hot", "priority", 0.2, ""),
        Change("PTV hot", "volume_percent", 20.0, ""),
    )
    later = replace(first, history=(first.last, replace(first.last, number=2, changes=changes)))
    assert "Rectum hot τ 1 → 0.6; Rectum hot λ 1 → 0.2; PTV hot V 0.1 → 0.2." in prompt(RECIPES["m2m"], later)


def test_knowledge_says_where_each_parameter_stands() -> None:
    """A parameter outside the middle half of the runs is marked so, a ratio of weights too."""
    text = prompt(RECIPES["m2m"], furnished.prostate())
    assert "| Rectum hot | τ | 0.6 | 0.6 | 0.36 to 0.6 | 1 | outside |" in text
    assert "| Rectum hot | λ(target) / λ | 33.3 to 56.62 | 54.94 | 7.716 to 97.25 | 1 | outside |" in text
    assert "| PTV hot | V | 0.1 | 0.1 | 0.1 to 0.1562 | 0.1 | inside |" in text
    assert "transferred" not in text


def test_knowledge_of_another_site_is_called_a_transfer() -> None:
    """An organ that the table does not know is shown the rows of any organ, and told what that is worth."""
    observation = furnished.prostate()
    liver = {name: ("Liver" if name == "Rectum" else told) for name, told in observation.labels.items()}
    text = prompt(RECIPES["m2m"], replace(observation, labels=liver))
    assert "| Rectum hot |" not in text
    assert "| Liver hot | τ | 0.6 | 0.6 | 0.216 to 1 | 1 | outside, transferred |" in text
    assert "have not been tested here" in text


def test_reviewers_reason_reaches_the_prompt() -> None:
    """What a person turned down is told with the reason, in the names that a model knows."""
    text = prompt(RECIPES["sage"], furnished.brain())
    assert "PTV_1 lower: priority 300 → 900. Reason: The priority is far too high for this site." in text


def test_repair_message_is_json_in_the_models_names() -> None:
    """Every failure comes back with kind, objective, field, value, rule and what is allowed, and no patient's label."""
    observation = furnished.brain()
    name = f"{furnished.LEFT} upper"
    rule = f"priority above 0.5 times that of {f'{furnished.LEFT} lower'!r} (300)"
    failures = (
        CheckFailure(Fault.RATIO, name, "priority", 400.0, rule, "at most 150"),
        CheckFailure(Fault.MISSING_ENTRY, f"{furnished.RIGHT} lower", "objectives", None, "this is missing", "once"),
    )
    text = repair_message(failures, observation, ACTIONS["priorities"])
    told = json_blocks(text)[0]
    assert told[0] == {
        "kind": "ratio", "objective": "PTV_1 upper", "field": "priority", "value": 400.0,
        "rule": "priority above 0.5 times that of 'PTV_1 lower' (300)", "allowed": "at most 150",
    }  # fmt: skip
    assert told[1]["objective"] == to_model(observation)[f"{furnished.RIGHT} lower"] == "PTV_2 lower"
    assert "the whole answer again" in text
    assert not any(canary in text for canary in furnished.CANARIES)


def test_new_goals_are_told_where_the_baseline_is_the_only_attempt() -> None:
    """What a stage asks for anew is told in its first prompt, whether or not an attempt was made before it."""
    later = furnished.brain_refinement()
    alone = replace(later, history=(replace(later.last, number=3, lost=(), changes=()),))
    assert "New in this stage: PTV_1 D0.03cc[Gy] <= 28.8; zShell_2_7" in prompt(RECIPES["sage"], alone)


def test_a_repair_message_shows_ten_failures_and_counts_the_rest() -> None:
    """An answer with a thousand things wrong does not fill the next prompt."""
    failure = CheckFailure(Fault.SCHEMA, "", "objectives", "x", "not an object", "the form shown")
    text = repair_message((failure,) * 1000, furnished.brain(), ACTIONS["priorities"])
    assert "1000 rules broken" in text and "\nand 990 more." in text
    assert len(json_blocks(text)[0]) == 10
    assert "more." not in repair_message((failure,) * 10, furnished.brain(), ACTIONS["priorities"])


AWKWARD = {"Gy": "PTV_3", "%": "PTV_4", "to": "PTV_5", "1": "PTV_6"}
"""What a patient's targets may be called, and what a model is told instead."""


def awkwardly_named(name: str) -> Observation:
    """The phantom of two metastases, the left one called like a unit, a word or a number."""
    first = furnished.brain_refinement()

    def called(text: str) -> str:
        return text.replace(furnished.LEFT, name)

    states = tuple(
        replace(state, name=called(state.name), structure=called(state.structure)) for state in first.last.objectives
    )
    steps = tuple(
        replace(
            step,
            objectives=states,
            goals=tuple(replace(goal, structure=called(goal.structure)) for goal in step.goals),
            changes=tuple(replace(change, objective=called(change.objective)) for change in step.changes),
            lost=(f"{name} V18Gy[%] >= 98 went from 1 to 18 Gy, 4 % more",) if step.lost else (),
        )
        for step in first.history
    )
    return replace(
        first,
        history=steps,
        labels={called(structure): AWKWARD[name] if structure == furnished.LEFT else told
                for structure, told in first.labels.items()},
        places={called(structure): place for structure, place in first.places.items()},
        targets=(name, furnished.RIGHT),
        prescriptions_gy={name: 18.0, furnished.RIGHT: 18.0},
        overlap_percent={},
        volumes_cc={},
        dvhs={},
        limits=furnished.LIMITS,
        new_goals=(f"{name} D1%[Gy] <= 1",),
        remarks=(Remark(5, (f"{name} lower: priority 1 → 18",), "From 1 to 18 Gy, or 4 %, is far too high."),),
    )  # fmt: skip


@pytest.mark.parametrize(("name", "told"), AWKWARD.items())
def test_a_structure_called_like_a_unit_leaves_units_alone(name: str, told: str) -> None:
    """Labels such as Gy, %, to and 1 are renamed where they name the structure, and nowhere else."""
    observation = awkwardly_named(name)
    text = prompt(RECIPES["sage"], observation)
    assert f"made worse: {told} V18Gy[%] >= 98 went from 1 to 18 Gy, 4 % more." in text
    assert f"New in this stage: {told} D1%[Gy] <= 1." in text
    assert f"{told} lower: priority 1 → 18. Reason: From 1 to 18 Gy, or 4 %, is far too high." in text
    failures = (
        CheckFailure(Fault.STEP, f"{name} upper", "dose_gy", 1.0, "too large a step from 1", "1 to 18"),
        CheckFailure(Fault.FALLING, f"{name} upper", "dose_gy", 18.0, f"but {f'{name} lower'!r} has 1 Gy", "at most 1"),
        CheckFailure(Fault.SCHEMA, "", "stop", "1 to 5 Gy", "neither true nor false", "true or false"),
    )
    found = json_blocks(repair_message(failures, observation, ACTIONS["doses"]))[0]
    assert [item["objective"] for item in found] == [f"{told} upper"] * 2 + [""]
    assert [item["rule"] for item in found[:2]] == ["too large a step from 1", f"but '{told} lower' has 1 Gy"]
    assert [item["allowed"] for item in found[:2]] == ["1 to 18", "at most 1"]
    assert found[2]["value"] == "1 to 5 Gy"


def test_a_person_may_name_a_structure_as_the_patient_does() -> None:
    """In the reason of a remark the patient's label is replaced wherever it stands as a word."""
    first = furnished.brain()
    remark = replace(first.remarks[0], reason=f"Is {furnished.LEFT} not at 18 Gy? Spare it.")
    assert "Reason: Is PTV_1 not at 18 Gy? Spare it." in prompt(RECIPES["sage"], replace(first, remarks=(remark,)))


def test_refusals_of_the_hot_fraction_problem_speak_its_symbols() -> None:
    """Field, value, rule and range come back in lambda, V and tau, as an answer writes them."""
    observation = furnished.prostate()
    loose = replace(observation, limits=replace(observation.limits, falling_doses=(("Rectum hot", "Bladder hot"),)))
    changes = (
        Change("PTV hot", "priority", 0.05, ""),
        Change("PTV hot", "volume_percent", 20.0, ""),
        Change("Rectum hot", "dose_gy", 0.5 * 79.2, ""),
    )
    failures = check(Proposal("", changes), loose)
    for action in ("parameters", "discrete"):
        told = json_blocks(repair_message(failures, loose, ACTIONS[action]))[0]
        assert [(item["objective"], item["field"], item["value"], item["rule"], item["allowed"]) for item in told] == [
            ("PTV hot", "lambda", 0.05, "too large a step from 1", "0.333333 to 30"),
            ("PTV hot", "V", 0.2, "too large a step from 0.1", "0.05 to 0.15"),
            ("Rectum hot", "tau", 0.5, "too large a step from 1", "0.8 to 1.2"),
            ("Bladder hot", "tau", 1.0, "values of tau fall outwards, but 'Rectum hot' has 0.5", "at most 0.5"),
        ]
    ratio = CheckFailure(
        Fault.RATIO, "PTV hot", "priority", 4.0, "priority above 2 times that of 'PTV 3' (2)", "at most 4"
    )
    told = json_blocks(repair_message((ratio,), observation, ACTIONS["parameters"]))[0]
    assert (told[0]["rule"], told[0]["allowed"]) == ("lambda above 2 times that of 'PTV 3' (2)", "at most 4")
    plain = json_blocks(repair_message(failures, loose, ACTIONS["doses"]))[0]
    assert [item["field"] for item in plain] == ["priority", "volume_percent", "dose_gy", "dose_gy"]
    assert "A refusal may say" not in prompt(RECIPES["m2m"], observation)


def test_the_zero_shot_strategy_covers_goals_without_a_number() -> None:
    """Numbers are started from, ranges begun at their edge, and where there is none a start is chosen."""
    text = prompt(RECIPES["zero-shot"], furnished.head_and_neck())
    assert "choose a start of your own" in text


def test_every_action_space_has_a_word_for_stronger() -> None:
    """No action space is without the words that say how an objective is made to pull harder."""
    assert STRENGTHEN.keys() == ACTIONS.keys()


@pytest.mark.parametrize("wrong", [{"history": -1}, {"dvh_samples": 1}, {"dvh_samples": -3}])
def test_blocks_refuse_what_cannot_be_shown(wrong: dict[str, int]) -> None:
    """A negative history and a curve of one point are errors that name the value."""
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Blocks(**wrong)  # type: ignore[arg-type]


def test_overrides_refuse_what_does_not_belong_together() -> None:
    """Hints without priors, and an unknown action space, are errors."""
    with pytest.raises(ValueError, match="leave the priors in"):
        with_overrides(RECIPES["zero-shot"], priors=False, hints=True)
    with pytest.raises(ValueError, match="there are discrete, doses, parameters, priorities"):
        with_overrides(RECIPES["sage"], action="moves")


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("D50%[Gy]", 30.0), ("D0%[Gy]", 40.0), ("D10cc[Gy]", 38.0), ("D50%[%]", 60.0), ("DC10cc[Gy]", 22.0),
        ("V30Gy[%]", 50.0), ("V30Gy[cc]", 50.0), ("V60%[%]", 50.0), ("CV30Gy[cc]", 50.0), ("V90Gy[%]", 0.0),
        ("Mean[Gy]", 30.0), ("Max[Gy]", 40.0), ("Min[Gy]", 20.0),
    ],
)  # fmt: skip
def test_metrics_are_read_from_a_curve(metric: str, value: float) -> None:
    """A straight curve from 20 to 40 Gy over 100 cc answers doses and volumes, hot and cold, in every unit."""
    curve = furnished.curve("Organ", 20.0, 40.0, volume_cc=100.0)
    assert read_metric(parse_metric(metric), curve, 50.0) == pytest.approx(value)


@pytest.mark.parametrize(("metric", "why"), [("CI Paddick", "in space"), ("D200cc[Gy]", "100.00 cc")])
def test_what_a_curve_cannot_tell_is_said_plainly(metric: str, why: str) -> None:
    """An index and a volume that the structure does not have are no numbers."""
    with pytest.raises(NotInCurve, match=why):
        read_metric(parse_metric(metric), furnished.curve("Organ", 20.0, 40.0, volume_cc=100.0), 50.0)


@pytest.mark.data
def test_knowledge_is_what_the_runs_say(shared_data: Path) -> None:
    """The packaged quartiles are those of the 33 full-score runs in the reference table, where it is at hand."""
    table = shared_data.parent / "reference" / "drl-tpp-final.csv"
    if not table.is_file():
        pytest.skip(f"no reference table at {table}")
    runs = [run for run in csv.DictReader(table.read_text().splitlines()) if float(run["final_score"]) == 9.0]
    knowledge = load("prostate-drl")
    assert knowledge.runs == len(runs) == 33
    columns = {"PTV": "PTV", "Bladder": "BLA", "Rectum": "REC"}
    for found in knowledge.ranges:
        if found.structure not in columns:
            continue
        column = columns[found.structure]
        values = [
            float(run["lambda_PTV"]) / float(run[f"lambda_{column}"])
            if found.parameter == "lambda_ratio"
            else float(run[f"{found.parameter}_{column}"])
            for run in runs
        ]
        shown = (found.minimum, found.lower_quartile, found.median, found.upper_quartile, found.maximum)
        assert shown == pytest.approx(tuple(np.quantile(values, (0.0, 0.25, 0.5, 0.75, 1.0))), rel=1e-3)


def test_knowledge_is_packaged_with_its_provenance() -> None:
    """The table says where it comes from and what it is not."""
    assert "prostate-drl" in packaged()
    provenance = load("prostate-drl").provenance
    assert all(part in provenance for part in ("bef6e5e", "5 prostate patients", "not the 20 cases"))


def test_ring_goals_count_as_spill() -> None:
    """A volume in tissue without an objective of its own, as V12Gy of the brain, belongs to the spill."""
    observation = furnished.brain()
    assert observation.places["Brain"] == Place("organ", "Brain")
    assert "| spill | Brain V12Gy[cc] <= 10 |" in prompt(RECIPES["sage"], observation)
