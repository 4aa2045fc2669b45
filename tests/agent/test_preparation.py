"""Preparation on the simulated TPS, over gRPC: structures found, helpers made, plans made or copied, goals bound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from coarse import COARSE, Limited

from agent import protocols
from agent.calls import Calls
from agent.preparation import PreparationError, Prepared, match, prepare
from agent.preparation.helpers import helper_label
from agent.trace import Trace
from bridge import model, testing
from bridge.client import Client, Session
from sim_tps.cases import make_case


@contextmanager
def tps(folder: Path, case: str = "tg119", seed: int | None = None, without: tuple[str, ...] = ()) -> Iterator[Client]:
    """A client of a simulated TPS in ``folder``, with the case brought in the first time."""
    simulator = Limited(folder / "tps", without=without)
    if not simulator.tps.patient_ids():
        simulator.tps.add_patient(make_case(case, seed))
    with testing.serve(simulator) as server, server.client() as client:
        yield client


def writing(client: Client) -> AbstractContextManager[Session]:
    """A session that may write to the one patient there is."""
    return client.session(client.patients()[0].name, model.SessionMode.READ_WRITE)


def prepared(client: Client, session: Session, text: str, folder: Path) -> Prepared:
    with Trace(folder / "trace.jsonl") as trace:
        protocol = protocols.read(text, "test.yaml").protocol
        return prepare(Calls(trace), session, session.patient, protocol, client.server_info())


def committed_plan(client: Client, total_gy: float) -> None:
    """A plan with one beam, as somebody left it in the TPS."""
    case = client.patients()[0].name
    target = next(s.name for s in client.structures(case) if s.role is model.StructureRole.TARGET)
    prescription = model.Prescription(25, (model.TargetPrescription(target, total_gy),))
    beam = model.BeamSpec(gantry_deg=30.0, isocentre_structure=target)
    with writing(client) as session:
        session.create_plan(model.PlanSpec("clinic", prescription, (beam,)))
        session.commit(session.pending_changes().digest)


def test_a_plan_is_made_with_the_protocols_beams(tmp_path: Path) -> None:
    """Gantry angles and prescription are the protocol's, and the isocentre is the target's centre."""
    with tps(tmp_path) as client, writing(client) as session:
        made = prepared(client, session, COARSE, tmp_path)
        (target,) = (s for s in made.structures if s.role is model.StructureRole.TARGET)
    assert [beam.gantry_deg for beam in made.beams] == [0, 120, 240]
    assert made.beams[0].isocentre_mm == pytest.approx(target.centre_mm)
    assert made.plan.prescription is not None
    assert [t.total_gy for t in made.plan.prescription.targets] == [50.0]
    assert made.origin == "created"


def test_a_server_that_makes_no_plans_gets_one_copied(tmp_path: Path) -> None:
    """Without ``plan.create`` the plan that is there is copied, with its own beams, and a note says so."""
    with tps(tmp_path) as client:
        committed_plan(client, 50.0)
    with tps(tmp_path, without=("plan.create",)) as client, writing(client) as session:
        made = prepared(client, session, COARSE, tmp_path)
    assert [beam.gantry_deg for beam in made.beams] == [30.0]
    assert made.origin.endswith("/plans/plan-1")
    assert any("was copied" in note for note in made.notes)


def test_a_plan_with_another_prescription_is_not_copied(tmp_path: Path) -> None:
    """A 60 Gy plan is refused for a 50 Gy protocol, by name."""
    with tps(tmp_path) as client:
        committed_plan(client, 60.0)
    with (
        tps(tmp_path, without=("plan.create",)) as client,
        writing(client) as session,
        pytest.raises(PreparationError, match="'clinic' has another prescription"),
    ):
        prepared(client, session, COARSE, tmp_path)


def test_goals_on_absent_structures_stay_with_their_reason(tmp_path: Path) -> None:
    """The liver's goal is bound to nothing, so that it is shown and not evaluated."""
    with tps(tmp_path) as client, writing(client) as session:
        made = prepared(client, session, COARSE, tmp_path)
    reasons = {
        goal.metric.structure: goal.metric.absent_because
        for goal in made.stages[0].goals
        if goal.metric.resource is None
    }
    assert reasons == {"Liver": "the patient has no Liver"}


def test_preparing_twice_in_one_session_makes_new_helpers(tmp_path: Path) -> None:
    """A helper's label that is taken gets a number; nothing is overwritten."""
    with tps(tmp_path) as client, writing(client) as session:
        prepared(client, session, COARSE, tmp_path)
        (tmp_path / "trace.jsonl").unlink()
        again = prepared(client, session, COARSE, tmp_path)
    assert {"zRing", "zRing_2"} <= {structure.label for structure in again.structures}


@pytest.mark.slow
def test_each_of_several_targets_has_its_own_goals(tmp_path: Path) -> None:
    """Every metastasis has goals, objectives and ratio rules of its own, and its isodose is counted near it only."""
    with tps(tmp_path, "brain-srs", 8000) as client, writing(client) as session:
        made = prepared(client, session, protocols_text("brain-srs"), tmp_path)
    targets = [name for name in made.prescriptions_gy if name.startswith("PTV")]
    assert len(targets) >= 2
    assert len(made.normalisations) == len(targets)
    for target in targets:
        goals = [goal for goal in made.stages[0].goals if goal.metric.structure == target]
        assert {goal.text.metric.text for goal in goals} >= {"V18Gy[%]", "CI Paddick", "GI"}
        assert all(goal.metric.body is not None for goal in goals)
        assert (f"{target} upper", 0.5, f"{target} lower") in made.limits.ratios


def protocols_text(name: str) -> str:
    return (Path(protocols.__file__).parent / f"{name}.yaml").read_text(encoding="utf-8")


def structure(label: str, *, tg263: str | None = None, empty: bool = False) -> model.Structure:
    role = model.StructureRole.EXTERNAL if label == "BODY" else model.StructureRole.OAR
    return model.Structure(f"patients/p/structures/{label}", label, role, 0.0 if empty else 10.0, None, empty, tg263)


def found(*structures: model.Structure) -> dict[str, str]:
    protocol = protocols.read(COARSE, "test.yaml").protocol
    matches = match(protocol, [structure("OuterTarget"), structure("BODY"), *structures])
    return {name: hits[0].label for name, hits in matches.found.items()}


def test_structures_are_found_by_label_alias_and_tg263_name() -> None:
    """Case, spaces and underscores do not matter; a TG-263 name given by the server counts like a label."""
    assert found(structure("c o r e"))["Core"] == "c o r e"
    assert found(structure("Hepar", tg263="Liver"))["Liver"] == "Hepar"
    assert found(structure("Score")).keys() == {"OuterTarget", "BODY"}


def test_two_structures_for_one_name_are_refused() -> None:
    """What is ambiguous is not guessed."""
    with pytest.raises(PreparationError, match=r"Core fits several structures: \['Core', 'core'\]"):
        found(structure("Core"), structure("core"))


def test_a_target_of_no_volume_is_refused() -> None:
    """An empty target cannot be planned, and the error says that it is empty."""
    protocol = protocols.read(COARSE, "test.yaml").protocol
    with pytest.raises(PreparationError, match="zero volume"):
        match(protocol, [structure("OuterTarget", empty=True), structure("BODY")])


def test_helper_labels_start_with_z_and_keep_to_sixteen_characters() -> None:
    """A PRV keeps its margin readable within the length that TG-263 allows."""
    assert helper_label("zRing_1_4") == "zRing_1_4"
    assert helper_label("SpinalCord_PRV05") == "zSpinalCord_PRV5"
    assert helper_label("Liver-GTV") == "zLiver-GTV"
