"""What goes wrong in Eclipse is told by its reason, with what to do about it, and leaves nothing half done.

The one idea: one emulated Eclipse full of unusual patients, whose faults are switched on for the length of a block; and
after every test its database is what it was before.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge import errors, model
from bridge.backends.emulated_eclipse import intake
from bridge.backends.emulated_eclipse.hospital import Hospital
from bridge.client import Client, Retry, Session, connect
from tests.eclipse import emulated
from tests.eclipse.conftest import find
from tests.eclipse.emulated import ALL, FULL, LYING, ODD, PHANTOM, PLAN, Eclipse, Profile
from tests.eclipse.working import LOWER, UPPER, by_label, copied, dosed, plan_named, usual, writing

STAND_ALONE = [
    pytest.param(profile, id=str(profile), marks=() if profile == FULL else pytest.mark.slow)
    for profile in ALL
    if profile.host == "stand-alone"
]
RIGHT_TO_LEFT = "\u202e"
WARM = model.StartPoint.WARM
HOSTILE = f"../Müller~1 {RIGHT_TO_LEFT}"
"""A patient whose every id is hostile, by what it was before."""
HOSTILE_COURSE = "C1/..%2f.~"
HOSTILE_PLAN = f"Ig. prev/..{RIGHT_TO_LEFT}"
HOSTILE_STRUCTURES = {
    "External": "BODY; rm -rf ~",
    "PTV": f"PTV {RIGHT_TO_LEFT}LIVE",
    "Left": "Ignore previous",
    "Anterior": "../../etc/passwd",
    "Superior": "臓器 α\x07",
    "Marker": "a.b~c/d",
    "Empty": "PTV LIVE",
}
NO_SET, BARE, TWO_SETS = "NO-SET", "BARE", "TWO-SETS"
"""Patients without a structure set, with one that has no structures, and with two."""
TAKEN = "TAKEN-IDS"
"""A patient in whose structure set the longest helper label is taken, and in whose course ours is."""
LONG_LABEL, LONG_HELPER = "thirteen-char", "zsixteen-letters"


@pytest.fixture(scope="module", params=STAND_ALONE)
def served(request: pytest.FixtureRequest, esapi: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Eclipse]:
    """An emulated Eclipse with patients as none should be."""
    profile: Profile = request.param
    with emulated.eclipse(profile, tmp_path_factory.mktemp("faults") / "site", started=False) as made:
        furnish(made.hospital, profile.version)
        made.start()
        yield made


@pytest.fixture
def client(served: Eclipse) -> Iterator[Client]:
    """A client that tries once: a fault is seen at once, and not hidden by a second try that works."""
    with connect(served.endpoint, served.token, deadline_s=60.0, retry=Retry(attempts=1)) as connected:
        yield connected


@pytest.fixture
def patient(client: Client) -> str:
    return find(client, PHANTOM)


@pytest.fixture(autouse=True)
def nothing_is_saved(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test changes what is saved of a patient, but of `HOSTILE`, where one commits."""
    if "served" not in request.fixturenames:
        yield
        return
    served: Eclipse = request.getfixturevalue("served")
    before = _database(served)
    yield
    assert _database(served) == before


# ------------------------------------------------------------------------------------------ Eclipse does not run


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("no assemblies", ("VMS.TPS.Common.Model.API.dll", "dll_folder", "[esapi]")),
        pytest.param("one assembly", ("VMS.TPS.Common.Model.API.dll", "dll_folder"), marks=pytest.mark.slow),
        pytest.param("no .NET in it", ("VMS.TPS.Common.Model", "dll_folder"), marks=pytest.mark.slow),
        ("it throws", ("could not be started", "Check that Eclipse runs", "licence")),
    ],
)
def test_a_server_without_eclipse_does_not_start(
    wrong: str, words: tuple[str, ...], esapi: None, tmp_path: Path
) -> None:
    """One sentence says what is missing and where it is named, and the process ends; nobody waits for nothing."""
    done = _run(_spoilt(tmp_path / "site", wrong), "serve", "--announce")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    told = json.loads(done.stdout)["refused"]
    assert told in done.stderr
    for word in words:
        assert word in told


@pytest.mark.slow
def test_a_check_of_an_eclipse_that_is_not_there_says_so(esapi: None, tmp_path: Path) -> None:
    """`beamwright eclipse check` gives the same sentence, and no traceback."""
    done = _run(_spoilt(tmp_path / "site", "it throws"), "check")
    assert done.returncode == 1
    assert "Check that Eclipse runs" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_calculation_service_that_is_down_fails_calls_and_not_the_server(
    served: Eclipse, client: Client, patient: str, tmp_path: Path
) -> None:
    """Eclipse answers nothing: the reason is TPS_ERROR with Eclipse's own words; when it is back all is well."""
    _open_another(client)
    served.set(physics=[str(tmp_path / "no-such-program")])
    try:
        with pytest.raises(errors.TpsRefused) as refusal:
            client.structures(patient)
        assert client.server_info().state is not model.ServerState.LOST
    finally:
        served.set()
    says(refusal, "open the patient", "The physics did not start")
    assert by_label(client, patient)


# ------------------------------------------------------------------------------------------ what there is none of


def test_what_there_is_none_of_is_not_found(client: Client, patient: str) -> None:
    """Patient, course, plan, structure, objective, snapshot: RESOURCE_NOT_FOUND, the name, and what to list."""
    plan = plan_named(client, patient).name
    elsewhere = plan.replace("/plans/C1.", "/plans/C9.")
    for name, ask in {
        "patients/nobody": client.plans,
        "patients/p00000000000000000000": client.structures,
        f"{patient}/plans/C1.nothing": client.plan,
        elsewhere: client.beams,
        f"{patient}/structures/nothing": client.mask,
    }.items():
        with pytest.raises(errors.NotFound) as refusal:
            ask(name)
        says(refusal, name, "list")
    with pytest.raises(errors.NotFound), client.session("patients/nobody", model.SessionMode.READ_WRITE):
        pass
    with writing(client, patient) as session:
        copy = copied(session, patient)
        with pytest.raises(errors.NotFound):
            session.copy_plan(elsewhere, "copy")
        with pytest.raises(errors.NotFound):
            session.delete_objective(f"{copy.name}/objectives/objective-9")
        with pytest.raises(errors.NotFound):
            session.restore_snapshot(f"{copy.name}/snapshots/snapshot-9")
        with pytest.raises(errors.NotFound):
            session.replace_objectives(copy.name, [on(f"{patient}/structures/nothing")])
        assert [each.label for each in session.plans(patient)] == [PLAN, "copy"]
        assert session.objectives(copy.name) == ()


@pytest.mark.slow
def test_a_configured_patient_that_does_not_exist_is_told_with_the_key(
    own_eclipse: Callable[..., Eclipse],
) -> None:
    """The name is listed, since opening a patient costs; the first look at it says which line to correct."""
    used = own_eclipse(FULL, patients="GHOST")
    with used.client() as client, pytest.raises(errors.NotFound) as refusal:
        client.plans(find(client, "GHOST"))
    says(refusal, "patients", "[site]")


# ------------------------------------------------------------------------------------------ the patient is elsewhere


@pytest.mark.parametrize("begins", ["throws", "cannot_modify"])
def test_a_patient_that_is_open_elsewhere_is_read_and_not_written(
    begins: str, served: Eclipse, client: Client, patient: str
) -> None:
    """Both readings of BeginModifications: TPS_UNAVAILABLE until it is closed there, and the patient is not named."""
    with changed(
        served, client, locked_by={PHANTOM: "physicist at WS-7"}, switches={"locked_begin": begins}
    ):  # fmt: skip
        with pytest.raises(errors.TpsUnavailable) as refusal, writing(client, patient):
            pass
        assert by_label(client, patient)
        assert plan_named(client, patient)
    says(refusal, "open elsewhere", "close it there")
    assert PHANTOM not in str(refusal.value)
    with writing(client, patient) as session:
        assert copied(session, patient).working_copy


# ------------------------------------------------------------------------------------------ plans that lack something


@pytest.mark.parametrize("label", ["Approved", "Treated"])
def test_a_plan_that_is_signed_is_only_copied(label: str, client: Client) -> None:
    """Every write to it is refused; its copy is unapproved, plannable, and no structure is added to its set."""
    patient = find(client, ODD)
    with writing(client, patient) as session:
        signed = plan_named(session, patient, label)
        structures = by_label(session, patient)
        for write in (
            lambda: session.set_normalization(signed.name, model.PercentNormalization(90.0)),
            lambda: session.replace_objectives(signed.name, [on(structures["PTV"].name)]),
            lambda: session.start_optimize(signed.name, model.OptimizeSpec()),
            lambda: session.start_calculate_dose(signed.name),
            lambda: session.delete_plan(signed.name),
        ):
            with pytest.raises(errors.NotWorkingCopy) as refusal:
                write()
            says(refusal, signed.name, "Copy the plan")
        with pytest.raises(errors.PlanNotEditable) as refusal:
            session.create_structure("zRing", ring(structures["PTV"].name))
        says(refusal, "structure set", "without helpers")
        copy = session.copy_plan(signed.name, "copy")
        session.replace_objectives(copy.name, [on(structures["PTV"].name)])
        session.optimize(copy.name, model.OptimizeSpec(max_iterations=5))
        session.calculate_dose(copy.name)
        done, now = session.plan(copy.name), session.plan(signed.name)
        assert set(by_label(session, patient)) == set(structures)
    assert signed.state is not model.PlanState.EDITABLE
    assert (done.state, done.vendor_state) == (model.PlanState.EDITABLE, "UnApproved")
    assert done.dose.kind is model.DoseKind.FINAL
    assert now == signed


@pytest.mark.parametrize(
    ("label", "words"),
    [("NoBeams", ("no treatment beams", "choose another")), ("SetUpOnly", ("no treatment beams", "choose another"))],
)
def test_a_plan_without_treatment_beams_is_not_copied(label: str, words: tuple[str, ...], client: Client) -> None:
    """There would be nothing to plan with; neither the copy nor a course for it is left."""
    patient = find(client, ODD)
    with writing(client, patient) as session:
        plans = session.plans(patient)
        with pytest.raises(errors.TpsRefused) as refusal:
            session.copy_plan(plan_named(session, patient, label).name, "copy")
        says(refusal, *words)
        assert session.plans(patient) == plans
        assert session.pending_changes().changes == ()


def test_a_plan_without_a_prescription_is_not_optimised(client: Client) -> None:
    """Eclipse says why in its logs only; the operation's error says it, and the plan is as it was."""
    patient = find(client, ODD)
    with writing(client, patient) as session:
        copy = session.copy_plan(plan_named(session, patient, "NoFractions").name, "copy")
        session.replace_objectives(copy.name, [on(by_label(session, patient)["PTV"].name)])
        before = session.plan(copy.name)
        with pytest.raises(errors.BridgeError) as refusal:
            session.optimize(copy.name, model.OptimizeSpec())
        says(refusal, "prescription")
        after = session.plan(copy.name)
    assert copy.prescription is None
    assert (after.etag, after.dose.kind) == (before.etag, model.DoseKind.NONE)


def test_a_plan_without_objectives_is_not_optimised(client: Client, patient: str) -> None:
    """NO_OBJECTIVES before Eclipse is asked."""
    with writing(client, patient) as session:
        copy = copied(session, patient)
        with pytest.raises(errors.NoObjectives) as refusal:
            session.optimize(copy.name, model.OptimizeSpec())
    says(refusal, copy.name, "has no objectives", "first")


def test_a_plan_without_a_fluence_has_no_dose_to_calculate(client: Client, patient: str) -> None:
    """NO_DOSE and what to do first, and not a dose of open fields."""
    with writing(client, patient) as session:
        copy = copied(session, patient)
        session.replace_objectives(copy.name, usual(by_label(session, patient)))
        with pytest.raises(errors.NoDose) as refusal:
            session.calculate_dose(copy.name)
        with pytest.raises(errors.NoDose) as warm:
            session.optimize(copy.name, model.OptimizeSpec(model.OptimizationProblem.QUADRATIC_PENALTY, start=WARM))
        assert session.plan(copy.name).dose.kind is model.DoseKind.NONE
    says(refusal, copy.name, "optimise it first")
    says(warm, "start COLD")


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (["PO_A", "PO_B"], ("'PO_A', 'PO_B'", "optimisation_model", "[site]")),
        ([], ("none", "optimisation_model", "[site]")),
    ],
)
def test_a_plan_without_a_model_takes_the_only_one(
    offered: list[str], words: tuple[str, ...], served: Eclipse, client: Client
) -> None:
    """Where Eclipse offers one it is set; where it offers several, or none, the refusal lists them and the key."""
    patient = find(client, ODD)
    spec = model.OptimizeSpec(max_iterations=5)
    with changed(served, client, models={"PhotonIMRTOptimization": offered}), writing(client, patient) as session:
        copy = session.copy_plan(plan_named(session, patient, "NoModel").name, "copy")
        session.replace_objectives(copy.name, [on(by_label(session, patient)["PTV"].name)])
        with pytest.raises(errors.TpsRefused) as refusal:
            session.optimize(copy.name, spec)
        assert session.plan(copy.name).dose.kind is model.DoseKind.NONE
    says(refusal, *words)
    with writing(client, patient) as session:
        copy = session.copy_plan(plan_named(session, patient, "NoModel").name, "copy")
        session.replace_objectives(copy.name, [on(by_label(session, patient)["PTV"].name)])
        assert session.optimize(copy.name, spec).iterations > 0


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (NO_SET, ("0 structure sets", "none", "structure_set")),
        (TWO_SETS, ("2 structure sets", "'CT' on image 'CT'", "'Second' on image 'CT'", "structure_set")),
    ],
)
def test_a_patient_without_one_structure_set_is_not_guessed_at(
    label: str, words: tuple[str, ...], client: Client
) -> None:
    """None, or several and no word which: the refusal lists them; reading and writing are refused alike."""
    patient = find(client, label)
    for ask in (client.plans, client.structures, client.image):
        with pytest.raises(errors.TpsRefused) as refusal:
            ask(patient)
        says(refusal, *words)
    with pytest.raises(errors.TpsRefused), writing(client, patient):
        pass
    assert by_label(client, find(client, PHANTOM))


def test_a_patient_without_structures_is_read_and_not_planned(client: Client) -> None:
    """A structure set with nothing in it: no plan can be made for a target, no helper within a body."""
    patient = find(client, BARE)
    assert client.structures(patient) == ()
    with writing(client, patient) as session:
        (plan,) = session.plans(patient)
        assert plan.prescription is not None
        copy = session.copy_plan(plan.name, "copy")
        with pytest.raises(errors.NotFound) as refusal:
            session.replace_objectives(copy.name, [on(f"{patient}/structures/PTV")])
        says(refusal, "structures")
        with pytest.raises(errors.NoObjectives):
            session.optimize(copy.name, model.OptimizeSpec())
        with pytest.raises(errors.NotFound):
            session.create_structure("zRing", ring(f"{patient}/structures/PTV"))


# ------------------------------------------------------------------------------------------ a structure without segment


@pytest.mark.parametrize("missing_dvh", ["null", "throws"])
def test_a_structure_without_a_segment_has_no_dose_and_takes_no_objective(
    missing_dvh: str, served: Eclipse, client: Client
) -> None:
    """Its metrics say EMPTY_STRUCTURE, mask and helper are empty, an objective on it is refused and changes nothing."""
    patient = find(client, LYING)
    with changed(served, client, switches={"missing_dvh": missing_dvh}), writing(client, patient) as session:
        structures = by_label(session, patient)
        empty, target = structures["Empty"], structures["PTV"]
        copy = copied(session, patient)
        before = session.replace_objectives(copy.name, [on(target.name), on(structures["Left"].name, UPPER)])
        for write in (
            lambda: session.create_objective(copy.name, on(empty.name, UPPER)),
            lambda: session.replace_objectives(copy.name, [on(target.name), on(empty.name, UPPER)]),
            lambda: session.update_objective(before[1].name, on(empty.name, UPPER)),
        ):
            with pytest.raises(errors.BridgeError) as refusal:
                write()
            assert refusal.value.reason in ("TPS_ERROR", "FIELD_INVALID")
            says(refusal, "contours")
            assert session.objectives(copy.name) == before
        session.optimize(copy.name, model.OptimizeSpec(max_iterations=5))
        session.calculate_dose(copy.name)
        (answer,) = session.evaluate(copy.name, [model.MetricQuery(model.MetricKind.MEAN_DOSE, empty.name)])
        assert (answer.status, answer.value) == (model.MetricStatus.EMPTY_STRUCTURE, None)
        with pytest.raises(errors.BridgeError) as refusal:
            session.dvh(copy.name, empty.name)
        says(refusal, empty.name)
        assert refusal.value.reason != "INTERNAL"
        assert not session.mask(empty.name).values.any()
        helper = session.create_structure("zNothing", ring(empty.name))
        assert (helper.empty, helper.volume_cc) == (True, 0.0)


# ------------------------------------------------------------------------------------------ ids


def test_hostile_ids_are_data_and_can_be_planned(served: Eclipse, client: Client) -> None:
    """Slashes, dots, tildes, right-to-left marks and orders to an agent: names stay names, and the plan is saved."""
    patient = find(client, HOSTILE.replace(RIGHT_TO_LEFT, ""))
    with writing(client, patient) as session:
        structures = {each.label: each for each in session.structures(patient)}
        assert len({each.name for each in session.structures(patient)}) == len(HOSTILE_STRUCTURES)
        source = plan_named(session, patient, HOSTILE_PLAN.replace(RIGHT_TO_LEFT, ""))
        copy = session.copy_plan(source.name, "../~ é")
        target, bidi = [each for each in session.structures(patient) if each.label == "PTV LIVE"]
        target = bidi if target.empty else target
        session.replace_objectives(
            copy.name,
            [on(target.name), on(structures["Ignore previous"].name, UPPER), on(structures["a.b~c/d"].name, UPPER)],
        )
        session.optimize(copy.name, model.OptimizeSpec(max_iterations=5))
        session.calculate_dose(copy.name)
        helper = session.create_structure("z/../~é", ring(structures["../../etc/passwd"].name))
        session.set_normalization(copy.name, model.CoverageNormalization(target.name, 95.0, 40.0))
        seen = session.plan(copy.name)
        names = [seen.name, helper.name, *(each.name for each in session.objectives(copy.name))]
        names += [each.name for each in session.beams(copy.name)] + [each.name for each in structures.values()]
        session.commit(session.pending_changes().digest)
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]+", name) and ".." not in name for name in names), names
    assert seen.dose.kind is model.DoseKind.FINAL
    saved = served.saved(HOSTILE)
    kept = {course["id"]: [plan["id"] for plan in course["plans"]] for course in saved["courses"]}
    assert kept == {"C1": [], HOSTILE_COURSE: [HOSTILE_PLAN], "BW_AGENT": ["../~ é"]}
    assert "z/../~é" in {each["id"] for each in saved["structure_sets"][0]["structures"]}
    assert plan_named(client, patient, "../~ é").state is model.PlanState.EDITABLE


def test_an_id_that_is_taken_gets_a_tail_that_fits(client: Client) -> None:
    """13 characters that the course has: cut for ~2, ~3 ... ~10, without regard to case; all of them are there."""
    patient = find(client, TAKEN)
    with writing(client, patient) as session:
        source = plan_named(session, patient).name
        made = [session.copy_plan(source, label) for label in [LONG_LABEL, LONG_LABEL.upper(), *[LONG_LABEL] * 8]]
        labels = [each.label for each in made]
        everything = {each.label for each in session.plans(patient)}
        assert all(session.plan(each.name).label == each.label for each in made)
    assert labels[:2] == ["thirteen-ch~2", "THIRTEEN-CH~3"]
    assert labels[-1] == "thirteen-c~11"
    assert everything == {PLAN, LONG_LABEL, *labels}
    assert max(map(len, labels)) == 13


def test_a_helper_label_that_is_taken_is_refused(client: Client) -> None:
    """16 characters that the set has, in whatever case: FIELD_INVALID, no second one, and a tail is not made up."""
    patient = find(client, TAKEN)
    with writing(client, patient) as session:
        structures = by_label(session, patient)
        for label in (LONG_HELPER, "z" + LONG_HELPER[1:].upper()):
            with pytest.raises(errors.InvalidField) as refusal:
                session.create_structure(label, ring(structures["PTV"].name))
            says(refusal, "label", "of another structure already")
        assert by_label(session, patient) == structures
        assert session.pending_changes().changes == ()


@pytest.mark.parametrize("long_id", ["throws", "truncates"])
def test_an_eclipse_that_keeps_shorter_ids_than_configured_is_noticed(
    long_id: str, served: Eclipse, client: Client, patient: str
) -> None:
    """Eclipse refuses the id, or cuts it and says nothing: both are refused, and the copy is gone again."""
    with (
        changed(served, client, max_plan_id=10, max_structure_id=10, switches={"long_id": long_id}),
        writing(client, patient) as session,
    ):
        structures = by_label(session, patient)
        with pytest.raises((errors.LimitExceeded, errors.TpsRefused)) as refusal:
            copied(session, patient, "eleven-char")
        says(refusal, "eleven-char")
        with pytest.raises((errors.LimitExceeded, errors.TpsRefused)) as helper:
            session.create_structure("zeleven-cha", ring(structures["OuterTarget"].name))
        says(helper, "zeleven-cha")
        assert [each.label for each in session.plans(patient)] == [PLAN]
        assert by_label(session, patient) == structures
        assert session.pending_changes().changes == ()


# ------------------------------------------------------------------------------------------ calculations that fail


SAID = f"Field 2: too {RIGHT_TO_LEFT}many segments\x07 for MLC120"
HEARD = "Field 2: too many segments for MLC120"


def test_a_failed_optimisation_tells_what_the_logs_tell(served: Eclipse, client: Client, patient: str) -> None:
    """Success = false and nothing else: the operation FAILED with the log's line, cleaned; the plan is as it was."""
    with failing(served, client, patient, optimise="fails", reason=SAID) as session:
        plan = ready(session, patient)
        before = session.plan(plan)
        operation = list(session.watch(session.start_optimize(plan, model.OptimizeSpec()).name))[-1]
        after, objectives = session.plan(plan), session.objectives(plan)
    assert (operation.state, operation.error_reason) == (model.OperationState.FAILED, "TPS_ERROR")
    assert operation.error_message is not None
    assert HEARD in operation.error_message
    assert "did not manage to optimise" in operation.error_message
    assert (after.etag, after.dose, len(objectives)) == (before.etag, before.dose, 3)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"optimise": "throws"}, errors.TpsRefused),
        ({"leaf_motions": "fails"}, errors.NotDeliverable),
        ({"dose": "fails"}, errors.TpsRefused),
        ({"dose": "throws"}, errors.TpsRefused),
    ],
    ids=lambda value: "-".join(f"{k}-{v}" for k, v in value.items()) if isinstance(value, dict) else value.__name__,
)
def test_a_calculation_that_fails_says_why_and_leaves_no_dose(
    fault: dict[str, str], kind: type[errors.BridgeError], served: Eclipse, client: Client, patient: str
) -> None:
    """Whether it throws or only says no: Eclipse's own words are there, and no dose that could be taken for one."""
    with failing(served, client, patient, **fault, reason=SAID) as session:
        plan = ready(session, patient)
        with pytest.raises(kind) as refusal:
            session.optimize(plan, model.OptimizeSpec(max_iterations=5))
            session.calculate_dose(plan)
        left = session.plan(plan)
        answers = session.evaluate(plan, [model.MetricQuery(model.MetricKind.PLAN_MAX_DOSE)])
    says(refusal, plan, HEARD)
    assert not left.deliverable
    assert left.dose.kind is model.DoseKind.NONE
    assert answers[0].status is model.MetricStatus.NO_DOSE


def test_a_calculation_service_that_dies_is_an_error_and_not_the_end(
    served: Eclipse, client: Client, patient: str
) -> None:
    """What was not saved is lost with it, and said so; the server lives, and the next session plans as ever."""
    with failing(served, client, patient, optimise="dies") as session:
        plan = ready(session, patient)
        with pytest.raises(errors.BridgeError) as refusal:
            session.optimize(plan, model.OptimizeSpec())
        assert refusal.value.reason in ("TPS_ERROR", "TPS_UNAVAILABLE")
        says(refusal, plan, "ended")
        assert client.server_info().state is not model.ServerState.LOST
    with writing(client, patient) as session:
        assert dosed(session, patient).dose.kind is model.DoseKind.FINAL
    assert [each.label for each in client.plans(patient)] == [PLAN]


def test_an_exception_in_the_middle_of_a_write_leaves_nothing(served: Eclipse, client: Client, patient: str) -> None:
    """CopyPlanSetup throws: TPS_ERROR with its text; neither a plan nor the course that was made for it is there."""
    with failing(served, client, patient, copy="throws", reason=SAID) as session:
        with pytest.raises(errors.TpsRefused) as refusal:
            copied(session, patient)
        says(refusal, "copy plan", "too many segments")
        assert [each.label for each in session.plans(patient)] == [PLAN]
        pending = session.pending_changes()
        assert pending.changes == ()
        session.commit(pending.digest)
    assert [course["id"] for course in served.saved(PHANTOM)["courses"]] == ["C1"]


@pytest.mark.parametrize("place", [4, 5, 6])
def test_objectives_that_cannot_all_be_replaced_are_as_they_were(
    place: int, served: Eclipse, client: Client, patient: str
) -> None:
    """Eclipse refuses the first, second or third of three new ones: the old three are back, by name and value."""
    with failing(served, client, patient, add_objective_after=place) as session:
        structures, plan = by_label(session, patient), copied(session, patient)
        before = session.replace_objectives(plan.name, usual(structures))
        new = [on(structures[label].name, UPPER, 30.0) for label in ("OuterTarget", "Core", "BODY")]
        with pytest.raises(errors.TpsRefused) as refusal:
            session.replace_objectives(plan.name, new)
        says(refusal, "objective")
        after = session.objectives(plan.name)
        assert "Nor could" not in str(refusal.value)
        assert list(after) == list(before)
        assert session.replace_objectives(plan.name, new)


def test_a_copy_whose_objectives_do_not_come_along_is_whole_or_not_there(served: Eclipse, client: Client) -> None:
    """An Eclipse that copies plans without objectives, and refuses the second when it is added: no copy is left."""
    patient = find(client, TAKEN)
    switches = {"copy_objectives": False}
    with (
        changed(served, client, switches=switches, faults={"add_objective_after": 2}),
        writing(client, patient) as session,
    ):
        plans = session.plans(patient)
        with pytest.raises(errors.TpsRefused) as refusal:
            copied(session, patient)
        says(refusal, "copy plan")
        assert session.plans(patient) == plans
        copy = copied(session, patient)
        assert len(session.objectives(copy.name)) == 2


def test_a_working_copy_that_somebody_changes_while_it_is_optimised_is_not_believed(
    esapi: None, tmp_path: Path
) -> None:
    """Objectives, prescription, beams, id, the plan itself: what was found is of another plan, and it is said."""
    made = _configured(tmp_path / "site")
    found = _probed(made, "meddling_probe")
    assert found["nothing"] == "succeeded"
    for what, named in {"an objective": "objectives", "the prescription": "prescription", "a beam": "beams"}.items():
        assert found[what].startswith("TPS_ERROR")
        assert f"changed in Eclipse while it was optimised ({named})" in found[what]
        assert "optimise it again" in found[what]
        assert found[f"{what}, left"] == [PLAN, "copy"]
    for what in ("its id", "its removal"):
        assert found[what].startswith("TPS_ERROR")
        assert "removed" in found[what]
        assert "list plans again" in found[what]
    assert found["its removal, left"] == [PLAN]


# ------------------------------------------------------------------------------------------ saving


def test_a_commit_that_fails_saves_nothing(served: Eclipse, client: Client, patient: str) -> None:
    """SaveModifications throws: TPS_ERROR with its text, the changes still wait, and the database has none of them."""
    with failing(served, client, patient, save="throws", reason="the disk is full") as session:
        plan = dosed(session, patient)
        session.create_structure("zKept", ring(by_label(session, patient)["OuterTarget"].name))
        pending = session.pending_changes()
        with pytest.raises(errors.TpsRefused) as refusal:
            session.commit(pending.digest)
        says(refusal, "save the patient", "the disk is full")
        assert session.pending_changes().digest == pending.digest
        assert session.plan(plan.name).dose.kind is model.DoseKind.FINAL
    assert [each.label for each in client.plans(patient)] == [PLAN]
    assert "zKept" not in by_label(client, patient)


@pytest.mark.slow
def test_what_was_committed_outlives_a_server_that_is_killed(own_eclipse: Callable[..., Eclipse]) -> None:
    """kill -9 while it optimises: what was committed is there, nothing else is, and the operation says so."""
    first = own_eclipse(FULL, settings={"optimise_seconds": 30})
    with first.client() as client:
        patient = find(client, PHANTOM)
        with pytest.raises(errors.BridgeError), writing(client, patient) as session:
            session.replace_objectives(copied(session, patient, "kept").name, usual(by_label(session, patient)))
            session.commit(session.pending_changes().digest)
            lost = ready(session, patient, "lost")
            session.create_structure("zLost", ring(by_label(session, patient)["OuterTarget"].name))
            operation = session.start_optimize(lost, model.OptimizeSpec())
            wait_until_running(client, operation.name)
            first.kill()
            session.plans(patient)
    again = own_eclipse(FULL, folder=first.folder)
    with again.client() as client:
        plans = {each.label: each for each in client.plans(patient)}
        assert set(plans) == {PLAN, "kept"}
        assert len(client.objectives(plans["kept"].name)) == 3
        assert "zLost" not in by_label(client, patient)
        left = client.operation(operation.name)
        assert left.state is model.OperationState.UNKNOWN_OUTCOME
        with writing(client, patient) as session:
            assert copied(session, patient).working_copy


# ------------------------------------------------------------------------------------------ threads


def test_many_clients_at_once_meet_one_thread(served: Eclipse, client: Client, patient: str) -> None:
    """The emulation refuses every member on any thread but its own; 160 calls of eight clients meet no such refusal."""
    plan = plan_named(client, patient).name

    def ask(number: int) -> int:
        with connect(served.endpoint, served.token, deadline_s=60.0) as own:
            for _ in range(5):
                assert own.plans(patient)
                assert own.structures(patient)
                assert own.beams(plan)
                assert own.objectives(plan) == ()
            return number

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(8))) == list(range(8))
    assert "was called on thread" not in served.log


@pytest.mark.parametrize(
    "wrong_thread", ["ApplicationException", pytest.param("InvalidOperationException", marks=pytest.mark.slow)]
)
def test_a_call_on_another_thread_is_impossible(wrong_thread: str, esapi: None, tmp_path: Path) -> None:
    """The adapter's door refuses first; past it ESAPI throws; and an exception on the thread does not end it."""
    made = _configured(tmp_path / "site", switches={"wrong_thread": wrong_thread})
    found = _probed(made, "thread_probe")
    assert "only the ESAPI thread may" in found["through the door"]
    assert found["past the door"].startswith(wrong_thread)
    assert "ESAPI belongs to thread" in found["past the door"]
    assert found["an object handed out"].startswith("Escaped")
    assert found["thrown by .NET"].startswith("TpsRefused: Eclipse refused to")
    assert found["thrown by Python"].startswith("ZeroDivisionError")
    assert found["afterwards"] == PHANTOM


def test_nothing_but_the_door_knows_of_net() -> None:
    """No module of the adapter but `access` imports clr, System or VMS: no way leads around its look at the thread."""
    folder = emulated.REPOSITORY / "bridge" / "backends" / "esapi"
    offenders = [
        f"{path.name}: {name}"
        for path in folder.glob("*.py")
        if path.name != "access.py"
        for name in _imported(path)
        if name.partition(".")[0] in {"clr", "System", "VMS", "pythonnet"}
    ]
    assert offenders == []


# ------------------------------------------------------------------------------------------ how they are made


def furnish(folder: Path, version: str) -> None:
    """Add unusual patients and plans to the ordinary ones."""
    usual_plan: dict[str, Any] = {"models": emulated.models(version), "dose_grid_mm": 8.0}
    beams = [intake.beam_record(1, 0.0, (0.0, 0.0, 0.0), setup=True)]
    intake.add_plan(folder, ODD, "Approved", target="PTV", approval="PlanningApproved", **usual_plan)
    intake.add_plan(folder, ODD, "SetUpOnly", target="PTV", **{**usual_plan, "beams": beams})
    for patient in (HOSTILE, NO_SET, BARE, TWO_SETS, TAKEN):
        intake.make_asymmetric_patient(folder, patient)
    two = [
        intake.objective_record("point", name, "Upper", dose_gy=20.0, volume_percent=0.0) for name in ("Left", "PTV")
    ]
    for patient in (NO_SET, BARE, TWO_SETS):
        intake.add_plan(folder, patient, PLAN, target="PTV", **usual_plan)
    intake.add_plan(folder, TAKEN, PLAN, target="PTV", **usual_plan, objectives=two)
    intake.add_plan(folder, TAKEN, LONG_LABEL, course="BW_AGENT", target="PTV", **usual_plan)
    with record_of(folder, NO_SET) as record:
        record["structure_sets"] = []
    with record_of(folder, BARE) as record:
        record["structure_sets"][0]["structures"] = []
        record["courses"][0]["plans"][0]["target"] = ""
    with record_of(folder, TWO_SETS) as record:
        record["structure_sets"].append({"id": "Second", "image": "CT", "structures": []})
    with record_of(folder, TAKEN) as record:
        structures = record["structure_sets"][0]["structures"]
        structures.append({**structures[-1], "id": LONG_HELPER, "dicom_type": "CONTROL"})
    with record_of(folder, HOSTILE) as record:
        for structure in record["structure_sets"][0]["structures"]:
            structure["id"] = HOSTILE_STRUCTURES[structure["id"]]
    target = HOSTILE_STRUCTURES["PTV"]
    intake.add_plan(folder, HOSTILE, HOSTILE_PLAN, course=HOSTILE_COURSE, target=target, **usual_plan)


@contextmanager
def record_of(folder: Path, patient: str) -> Iterator[dict[str, Any]]:
    """A patient's record, saved at the end of the block; while nobody serves the folder."""
    chart = Hospital(folder).open(patient)
    record: dict[str, Any] = json.loads(json.dumps(chart.record))
    yield record
    chart.save(record)


@contextmanager
def changed(served: Eclipse, client: Client, **settings: Any) -> Iterator[None]:
    """Other settings of the emulation for the length of the block; the patients are opened anew on both ends."""
    served.set(**settings)
    try:
        _open_another(client)
        yield
    finally:
        served.set()
        _open_another(client)


@contextmanager
def failing(served: Eclipse, client: Client, patient: str, **faults: Any) -> Iterator[Session]:
    """A writing session with a patient for whom Eclipse fails."""
    with changed(served, client, faults=faults), writing(client, patient) as session:
        yield session


def ready(session: Session, patient: str, label: str = "copy") -> str:
    """A working copy with objectives; its name."""
    plan = copied(session, patient, label).name
    session.replace_objectives(plan, usual(by_label(session, patient)))
    return plan


def on(structure: str, bound: model.Bound = LOWER, dose_gy: float = 40.0) -> model.ObjectiveSpec:
    """An objective like many."""
    return model.ObjectiveSpec(structure, model.DoseVolumePoint(bound, dose_gy, 50.0), 100.0)


def ring(source: str) -> model.Derivation:
    return model.Derivation(model.DerivationKind.RING, (source,), inner_mm=2.0, outer_mm=8.0)


def says(refusal: pytest.ExceptionInfo[errors.BridgeError], *words: str) -> None:
    """The message has these words, in whatever case, and none of a programmer's."""
    message = str(refusal.value)
    for word in words:
        assert word.casefold() in message.casefold(), f"{word!r} is not in: {message}"
    for word in ("Traceback", "System.", "   at ", RIGHT_TO_LEFT):
        assert word not in message, message


def wait_until_running(client: Client, operation: str) -> None:
    for state in client.watch(operation):
        if state.state is model.OperationState.RUNNING:
            return


def _open_another(client: Client) -> None:
    """Eclipse has one patient open at a time: looking at another one closes it."""
    client.structures(find(client, emulated.PRONE))


def _database(served: Eclipse) -> dict[str, Any]:
    return {
        label: _meant(served.saved(label))
        for label in (PHANTOM, LYING, ODD, emulated.PRONE, NO_SET, BARE, TWO_SETS, TAKEN)
    }


def _meant(content: Any) -> Any:
    """What a record means: .NET writes the last digit of numbers otherwise, and adds what is empty."""
    if isinstance(content, dict):
        return {key: _meant(value) for key, value in content.items() if value not in (None, "")}
    if isinstance(content, list):
        return [_meant(value) for value in content]
    return round(content, 6) if isinstance(content, float) else content


def _configured(folder: Path, **settings: Any) -> Eclipse:
    """An Eclipse that is not started."""
    folder.mkdir()
    made = Eclipse(FULL, folder)
    made.set(**settings)
    made.configure()
    return made


def _probed(made: Eclipse, probe: str) -> Any:
    """What a probe, in a process of its own, found."""
    done = _python(made, "-m", f"tests.eclipse.{probe}", str(made.ini_file))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _spoilt(folder: Path, wrong: str) -> Eclipse:
    """An Eclipse that is missing in some way."""
    made = _configured(folder)
    if wrong == "it throws":
        made.set(no_such_setting=True)
        return made
    nowhere = folder / "no-eclipse"
    nowhere.mkdir()
    names = ["VMS.TPS.Common.Model.Types.dll", "VMS.TPS.Common.Model.API.dll"]
    for name in {"no assemblies": [], "one assembly": names[:1], "no .NET in it": names}[wrong]:
        (nowhere / name).write_bytes(b"not an assembly")
    configured = re.sub("dll_folder = .*", f"dll_folder = {nowhere}", made.ini_file.read_text("utf-8"))
    made.ini_file.write_text(configured, "utf-8")
    return made


def _run(made: Eclipse, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`beamwright-bridge eclipse COMMAND`, to its end."""
    return _python(made, "-m", "bridge.cli", "eclipse", command, "--config", str(made.ini_file), *options)


def _python(made: Eclipse, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "BEAMWRIGHT_EMULATION": str(made.settings_file),
        "BEAMWRIGHT_DATA_DIR": str(made.folder / "data"),
        "MONO_THREADS_SUSPEND": "preemptive",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=emulated.REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
