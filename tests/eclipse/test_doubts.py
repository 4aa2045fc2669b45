"""What nobody here knows of ESAPI, in both readings: the adapter gives the same answers, or refuses with a sentence.

The one idea: one table. Each switch of the emulation has a check, which asks the adapter something that the switch
could spoil and brings back plain facts. The facts of both readings must be equal; what they must be, the check says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge import errors, model
from bridge.backends.emulated_eclipse import intake
from bridge.client import Client, Session
from sim_tps.cases import make_case
from tests.eclipse import asymmetric
from tests.eclipse.asymmetric import Beam, centre_mm
from tests.eclipse.conftest import find
from tests.eclipse.emulated import FULL, LYING, ODD, PHANTOM, PLAN, REPOSITORY, Eclipse, Profile
from tests.eclipse.otherwise import Start, otherwise
from tests.eclipse.working import LOWER, UPPER, by_label, copied, dose_at, plan_named, value, writing

Facts = dict[str, Any]
SWITCHES_SOURCE = REPOSITORY / "esapi_scripts" / "emulation" / "API" / "Emulation" / "Switches.cs"
PROBE_LIMIT_S = 90.0


@dataclass(frozen=True)
class Doubt:
    """One switch, and what it must not change.

    Parameters
    ----------
    usual, other
        Its readings; ``usual`` is what the emulation does when it is not told.
    check
        Asks a client about a patient; its facts must be the same in both readings.
    remembered
        The adapter finds the reading out once, or is told in its configuration: each reading needs a server of its own.
    settings
        In force in both readings.
    site
        Section [site] for the other reading.
    prepare
        Changes the database before it is served.
    deadline_s
        Less than a client would wait for before it tries again, where a refusal is expected.
    """

    usual: Any
    other: Any
    check: Callable[[Client, str], Facts]
    patient: str = LYING
    remembered: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    site: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Eclipse], None] | None = None
    deadline_s: float = 60.0


# checks ----------------------------------------------------------------------------------------------------------


def objectives_and_their_dose(client: Client, patient: str) -> Facts:
    """Volumes in percent are read as they were asked for, and lead to the same dose."""
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), copied(session, patient)
        specs = [
            model.ObjectiveSpec(structures["PTV"].name, model.DoseVolumePoint(LOWER, 50.0, 95.0), 300.0),
            model.ObjectiveSpec(structures["Left"].name, model.DoseVolumePoint(UPPER, 20.0, 0.5), 60.0),
            model.ObjectiveSpec(structures["Anterior"].name, model.DoseVolumePoint(UPPER, 15.0, 30.0), 60.0),
        ]
        session.replace_objectives(plan.name, specs)
        assert [each.spec for each in session.objectives(plan.name)] == specs
        return {"doses": _calculated(session, patient, plan.name)}


def normalised_doses(client: Client, patient: str) -> Facts:
    """A coverage is met, a percent scales, and none is the dose as it was."""
    with writing(client, patient) as session:
        target, plan = by_label(session, patient)["PTV"], copied(session, patient)
        asymmetric.dose(session, patient, plan.name)
        d95 = dose_at(target, 95.0)
        found = []
        for normalization in (
            None, model.PercentNormalization(80.0), model.CoverageNormalization(target.name, 95.0, 47.0), None,
        ):  # fmt: skip
            session.set_normalization(plan.name, normalization)
            found.append(value(session, plan.name, d95))
    raw, scaled, covered, again = found
    assert (scaled, covered, again) == pytest.approx((0.8 * raw, 47.0, raw), rel=2e-3)
    return {"d95": found}


def a_copy_of_a_copy(client: Client, patient: str) -> Facts:
    """It has the objectives; its dose is the source's or is not there, and once calculated it is the source's."""
    with writing(client, patient) as session:
        first = copied(session, patient, "first")
        asymmetric.dose(session, patient, first.name)
        second = session.copy_plan(first.name, "second")
        d95 = dose_at(by_label(session, patient)["PTV"], 95.0)
        wanted = value(session, first.name, d95)
        (told,) = session.evaluate(second.name, [d95])
        if second.dose.kind is model.DoseKind.NONE:
            assert (told.status, told.value) == (model.MetricStatus.NO_DOSE, None)
        else:
            assert told.value == pytest.approx(wanted)
        specs = [each.spec for each in session.objectives(second.name)]
        assert specs == [each.spec for each in session.objectives(first.name)]
        doses = _calculated(session, patient, second.name)
    assert doses[0] == pytest.approx(wanted, rel=1e-3)
    return {"objectives": len(specs), "doses": doses}


def a_dose_after_an_optimisation(client: Client, patient: str) -> Facts:
    """What Optimize leaves is never taken for a dose that could be treated; the final one is the same."""
    with writing(client, patient) as session:
        plan = copied(session, patient)
        _objectives(session, patient, plan.name)
        left = session.optimize(plan.name, model.OptimizeSpec()).dose
        assert left.kind in (model.DoseKind.NONE, model.DoseKind.INTERMEDIATE)
        assert not session.plan(plan.name).deliverable
        session.calculate_dose(plan.name)
        final = session.dose_info(plan.name)
        return {"kind": final.kind.name, "deliverable": final.deliverable, "doses": _doses(session, patient, plan.name)}


def what_has_no_dvh(client: Client, patient: str) -> Facts:
    """No dose and an empty structure are told as that, with a sentence."""
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), copied(session, patient)
        empty, target = structures["Empty"], structures["PTV"]
        facts = {"no dose": _refused(lambda: session.dvh(plan.name, target.name))}
        asymmetric.dose(session, patient, plan.name)
        facts["empty"] = _refused(lambda: session.dvh(plan.name, empty.name))
        (answer,) = session.evaluate(plan.name, [dose_at(empty, 50.0)])
    assert facts["no dose"].startswith("NoDose")
    assert "is empty" in facts["empty"]
    return {**facts, "metric": answer.status.name}


def a_patient_that_somebody_else_has(client: Client, patient: str) -> Facts:
    """It is read, and not given for writing; the sentence says who has it."""

    def begin() -> None:
        with writing(client, patient):
            raise AssertionError("a session over a locked patient was opened")

    refusal = _refused(begin)
    assert refusal.startswith("TpsUnavailable")
    return {"plans": [plan.label for plan in client.plans(patient)]}


def ids_that_are_too_long(client: Client, patient: str) -> Facts:
    """Refused, and nothing is left under a shortened id."""
    with writing(client, patient) as session:
        target = by_label(session, patient)["PTV"].name
        derivation = model.Derivation(model.DerivationKind.MARGIN, (target,), outer_mm=3.0)
        for refusal in (
            _refused(lambda: copied(session, patient, "twelve chars")),
            _refused(lambda: session.create_structure("zElevenChar", derivation)),
        ):
            assert refusal.startswith(("TpsRefused", "LimitExceeded"))
        return {"plans": [p.label for p in session.plans(patient)], "structures": sorted(by_label(session, patient))}


def a_wide_margin(client: Client, patient: str) -> Facts:
    """60 mm, which is more than one call may be allowed, is 60 mm."""
    with writing(client, patient) as session:
        core = by_label(session, patient)["Core"]
        derivation = model.Derivation(model.DerivationKind.MARGIN, (core.name,), outer_mm=60.0)
        wide = session.create_structure("zWide", derivation)
        mask = session.mask(wide.name)
    where = np.argwhere(mask.values.max(axis=(0, 1)) > 0.5)
    reach_mm = (where.max() - where.min()) * mask.grid.spacing_mm[0]
    (phantom,) = (each for each in make_case("tg119").structures.values() if each.name == "Core")
    inside = np.argwhere(phantom.on_image().max(axis=(0, 1)) > 0.5)
    drawn_mm = (inside.max() - inside.min()) * mask.grid.spacing_mm[0]
    assert reach_mm == pytest.approx(drawn_mm + 120.0, abs=6.0)
    return {"volume": wide.volume_cc}


def helpers_of_both_resolutions(client: Client, patient: str) -> Facts:
    """A high-resolution organ and an ordinary one are joined; neither is changed, and no temporary is left."""
    with writing(client, patient) as session:
        before = by_label(session, patient)
        sources = (before["Left"].name, before["PTV"].name)
        union = session.create_structure("zBoth", model.Derivation(model.DerivationKind.UNION, sources))
        ring = session.create_structure(
            "zRing", model.Derivation(model.DerivationKind.RING, sources[:1], inner_mm=2.0, outer_mm=6.0)
        )
        after = by_label(session, patient)
    assert union.volume_cc == pytest.approx(before["Left"].volume_cc + before["PTV"].volume_cc, rel=0.02)
    assert set(after) == {*before, "zBoth", "zRing"}
    assert {label: after[label].volume_cc for label in before} == {s.label: s.volume_cc for s in before.values()}
    return {"union": union.volume_cc, "ring": ring.volume_cc}


def arrays_and_their_places(client: Client, patient: str) -> Facts:
    """Image, mask and dose: grid and values."""
    image = client.image(patient)
    assert np.array_equal(image.values, intake.asymmetric_phantom().hu.astype(np.float32))
    assert image.grid.origin_mm == pytest.approx(intake.ASYMMETRIC.origin_mm)
    with writing(client, patient) as session:
        plan = copied(session, patient)
        asymmetric.dose(session, patient, plan.name)
        dose, info = session.dose(plan.name), session.dose_info(plan.name)
        mask = session.mask(by_label(session, patient)["Left"].name)
    assert info.grid == dose.grid
    assert dose.values.min() >= 0.0
    return {
        "mask": [*mask.grid.origin_mm, *centre_mm(mask, mask.values)],
        "dose": [*dose.grid.origin_mm, *dose.values.ravel()[::13].tolist()],
        "highest": info.max_gy,
    }


def progress_of_a_calculation(client: Client, patient: str) -> Facts:
    """With nothing to hear it still says which stage it is at, and comes to the same end."""
    heard: list[str] = []
    with writing(client, patient) as session:
        plan = copied(session, patient)
        _objectives(session, patient, plan.name)
        session.optimize(plan.name, model.OptimizeSpec(), lambda progress: heard.append(progress.stage))
        session.calculate_dose(plan.name, on_progress=lambda progress: heard.append(progress.stage))
        doses = _doses(session, patient, plan.name)
    assert all(heard)
    stages = {stage.partition(":")[0] for stage in heard}
    assert {"optimisation", "dose"} <= stages <= {"optimisation", "leaf motions", "dose"}  # the second is soon over
    return {"doses": doses}


def beams_as_iec_61217(client: Client, patient: str) -> Facts:
    """Where the site says which scale Eclipse speaks."""
    with writing(client, patient) as session:
        angles = _angles(session, plan_named(session, patient).name)
        assert angles == [(0.0, 0.0, 0.0), (120.0, 0.0, 0.0), (240.0, 0.0, 0.0)]
        if "plan.create" not in session.server_info().capabilities:
            return {"read": angles}
        made = session.create_plan(asymmetric.plan_of(session, patient, [Beam(200.0, 30.0, 45.0)]))
        assert _angles(session, made.name) == [(200.0, 45.0, 30.0)]
    return {"read": angles}


def helpers_beside_a_signed_plan(client: Client, patient: str) -> Facts:
    """No structure is added to the set of an approved plan, whether or not Eclipse would let it."""
    with writing(client, patient) as session:
        before = by_label(session, patient)
        derivation = model.Derivation(model.DerivationKind.MARGIN, (before["PTV"].name,), outer_mm=3.0)
        refusal = _refused(lambda: session.create_structure("zMore", derivation))
        assert refusal.startswith("PlanNotEditable")
        assert set(by_label(session, patient)) == set(before)
    return {"refusal": refusal}


def a_second_session(client: Client, patient: str) -> Facts:
    """What the first left behind is not seen in the second: neither its plan nor its helper nor an old structure."""
    with writing(client, patient) as session:
        structures, plan = by_label(session, patient), copied(session, patient)
        derivation = model.Derivation(model.DerivationKind.MARGIN, (structures["PTV"].name,), outer_mm=3.0)
        session.create_structure("zGone", derivation)
    with pytest.raises(errors.NotFound):
        client.plan(plan.name)
    with writing(client, patient) as session:
        again = copied(session, patient)
        return {
            "label": again.label,
            "plans": sorted(each.label for each in session.plans(patient)),
            "structures": sorted(by_label(session, patient)) == sorted(structures),
        }


def a_session_after_its_commit(client: Client, patient: str) -> Facts:
    """What is saved can be read on, and a second plan be made and saved beside it."""
    with writing(client, patient) as session:
        kept = copied(session, patient, "kept")
        _objectives(session, patient, kept.name)
        session.commit(session.pending_changes().digest)
        structures = sorted(by_label(session, patient))
        read = [each.spec.priority for each in session.objectives(kept.name)]
        copied(session, patient, "more")
        session.commit(session.pending_changes().digest)
    return {"structures": structures, "read": read, "plans": sorted(plan.label for plan in client.plans(patient))}


def a_dose_that_was_overtaken(client: Client, patient: str) -> Facts:
    """After another optimisation the old dose is not taken for the plan's, whether or not Eclipse still shows it."""
    with writing(client, patient) as session:
        plan = copied(session, patient)
        asymmetric.dose(session, patient, plan.name)
        assert session.plan(plan.name).deliverable
        _objectives(session, patient, plan.name)
        session.optimize(plan.name, model.OptimizeSpec())
        overtaken = session.plan(plan.name)
        assert not overtaken.deliverable
        assert overtaken.dose.kind is not model.DoseKind.FINAL or overtaken.dose.stale
        session.calculate_dose(plan.name)
        assert session.plan(plan.name).deliverable
        return {"doses": _doses(session, patient, plan.name)}


def a_dose_that_is_only_read(client: Client, patient: str) -> Facts:
    """A committed dose is read in Gy where nothing may be written."""
    with writing(client, patient) as session:
        plan = copied(session, patient)
        asymmetric.dose(session, patient, plan.name)
        session.commit(session.pending_changes().digest)
    label = plan.label
    name = plan_named(client, patient, label).name
    info, dose = client.dose_info(name), client.dose(name)
    assert info.max_gy == pytest.approx(float(dose.values.max()), rel=5e-3)
    return {"highest": info.max_gy, "dose": dose.values.ravel()[::13].tolist()}


def iterations_in_chunks(client: Client, patient: str) -> Facts:
    """As many as were asked for, and no more."""
    with writing(client, patient) as session:
        plan = copied(session, patient)
        _objectives(session, patient, plan.name)
        result = session.optimize(plan.name, model.OptimizeSpec(max_iterations=30))
    assert result.iterations <= 30
    return {"iterations": result.iterations, "end": result.stop_reason.name}


# the table -------------------------------------------------------------------------------------------------------


def _with_a_fine_organ(eclipse: Eclipse) -> None:
    for path in eclipse.hospital.glob("*/record.json"):
        record = json.loads(path.read_text("utf-8"))
        if record["id"] == LYING:
            (left,) = (each for each in record["structure_sets"][0]["structures"] if each["id"] == "Left")
            left["high_resolution"] = True
            path.write_text(json.dumps(record), "utf-8")


def _as_furnished(eclipse: Eclipse) -> None:
    """Nothing more; but an Eclipse of the test's own, which may be saved in."""


def _in_chunks(eclipse: Eclipse) -> None:
    eclipse.configure(chunk_iterations="10")


EXCEPTIONS = ("ApplicationException", "InvalidOperationException")
DOUBTS: Mapping[str, Doubt] = {
    "point_volume": Doubt("percent", "ratio", objectives_and_their_dose, remembered=True),
    "normalization": Doubt("isodose", "factor", normalised_doses, remembered=True),
    "copy_objectives": Doubt(True, False, a_copy_of_a_copy),
    "copy_dose": Doubt(True, False, a_copy_of_a_copy),
    "optimise_leaves": Doubt("nothing", "intermediate", a_dose_after_an_optimisation),
    "missing_dvh": Doubt("null", "throws", what_has_no_dvh),
    "locked_begin": Doubt(
        "throws",
        "cannot_modify",
        a_patient_that_somebody_else_has,
        settings={"locked_by": {LYING: "physicist"}},
        deadline_s=4.5,
    ),
    "long_id": Doubt("throws", "truncates", ids_that_are_too_long, settings={"max_plan_id": 10, "max_structure_id": 9}),
    "margin_limit": Doubt(50, 0, a_wide_margin, PHANTOM),
    "mixed_resolution": Doubt("throws", "converts", helpers_of_both_resolutions, prepare=_with_a_fine_organ),
    "dose_origin": Doubt("centre", "corner", arrays_and_their_places),
    "voxel_offset": Doubt(0, -1500, arrays_and_their_places),
    "buffer": Doubt("throws", "ignores", arrays_and_their_places),
    "trace": Doubt(True, False, progress_of_a_calculation),
    "angles": Doubt(
        "IEC61217", "VarianStandard", beams_as_iec_61217, remembered=True, site={"angles": "VarianStandard"}
    ),
    "after_close": Doubt("throws", "stale", a_second_session),
    "approved_set": Doubt("locked", "open", helpers_beside_a_signed_plan, ODD),
    "after_save": Doubt("live", "dead", a_session_after_its_commit, prepare=_as_furnished),
    "invalid_dose": Doubt("null", "kept", a_dose_that_was_overtaken),
    "presentation": Doubt("view", "modification", a_dose_that_is_only_read, prepare=_as_furnished),
    "iterations": Doubt("per_call", "cumulative", iterations_in_chunks, prepare=_in_chunks),
    "dose_object": Doubt("live", "as_fetched", arrays_and_their_places),
    "no_fluence": Doubt("null", "throws", a_dose_after_an_optimisation),
}
"""By switch; those of `BROKEN` are met only where a rule is broken, which takes a process of its own."""
BROKEN: Mapping[str, tuple[str, str]] = {
    "no_modifications": EXCEPTIONS,
    "wrong_thread": EXCEPTIONS,
    "after_close": ("throws", "stale"),
}


def test_no_switch_is_forgotten() -> None:
    """Whoever adds a doubt to the emulation has to say here what it must not change."""
    known = set(re.findall(r'case "(\w+)":', SWITCHES_SOURCE.read_text("utf-8")))
    assert len(known) > 15
    assert known == {*DOUBTS, *BROKEN}


def _needs_its_own(switch: str) -> bool:
    """Whether a reading cannot be tried on the Eclipse that all share."""
    return DOUBTS[switch].remembered or DOUBTS[switch].prepare is not None


@pytest.mark.parametrize(
    "switch", [pytest.param(each, marks=pytest.mark.slow if _needs_its_own(each) else ()) for each in DOUBTS]
)
def test_both_readings_lead_to_the_same_answers(switch: str, eclipse: Eclipse, own_eclipse: Start) -> None:
    doubt = DOUBTS[switch]
    facts = []
    for reading in (doubt.usual, doubt.other):
        with _read_as(doubt, switch, reading, eclipse, own_eclipse) as client:
            facts.append(doubt.check(client, find(client, doubt.patient)))
    first, second = facts
    assert first
    assert set(first) == set(second)
    for what, answer in first.items():
        assert second[what] == _the_same(answer), what


@contextmanager
def _read_as(doubt: Doubt, switch: str, reading: Any, eclipse: Eclipse, own_eclipse: Start) -> Iterator[Client]:
    """A client of an Eclipse with one reading: the shared one where it can be switched."""
    settings = {**doubt.settings, "switches": {switch: reading}}
    if doubt.remembered and reading == doubt.other:
        used = own_eclipse(eclipse.profile, patient=doubt.patient, settings=settings, **doubt.site)
        with used.client() as client:
            yield client
    elif doubt.prepare is not None:
        used = own_eclipse(eclipse.profile, started=False, patient=doubt.patient, settings=settings)
        doubt.prepare(used)
        used.start()
        with used.client() as client:
            yield client
    else:
        with otherwise(eclipse, own_eclipse, doubt.patient, deadline_s=doubt.deadline_s, **settings) as client:
            yield client


def _the_same(answer: Any) -> Any:
    is_numbers = isinstance(answer, float) or (isinstance(answer, list) and isinstance(answer[0], float))
    return pytest.approx(answer, rel=1e-3, abs=2e-3) if is_numbers else answer


# where a rule is broken ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(esapi: None, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, str]]]:
    """By reading: what the adapter met when its rooms were called against Eclipse's rules."""
    folder = tmp_path_factory.mktemp("doubts")
    return [_probed(folder / str(reading), {name: BROKEN[name][reading] for name in BROKEN}) for reading in (0, 1)]


def test_a_write_that_was_not_begun_is_refused(broken: list[dict[str, dict[str, str]]]) -> None:
    for told in broken:
        met = told["no_modifications"]["a copy without BeginModifications"]
        assert met.startswith("TpsRefused: Eclipse refused to ")
        assert "BeginModifications" in met


def test_a_call_on_another_thread_is_refused(broken: list[dict[str, dict[str, str]]]) -> None:
    for told in broken:
        met = told["wrong_thread"]["a call on another thread"]
        assert met.startswith("TpsRefused: Eclipse refused to ")
        assert "ESAPI belongs to thread" in met


def test_what_was_closed_is_not_written_to_and_never_asked_by_the_adapter(
    broken: list[dict[str, dict[str, str]]],
) -> None:
    for told in broken:
        assert told["after_close"]["a write to what was closed"].startswith("TpsUnavailable")
        assert told["after_close"]["a read through the adapter"] == f"answered {PLAN}"
    throws, stale = (told["after_close"]["a read of what was closed"] for told in broken)
    assert throws.startswith("TpsUnavailable")
    assert stale == f"answered {PLAN}"


@pytest.mark.slow
@pytest.mark.parametrize("reading", BROKEN["after_close"])
def test_a_patient_that_a_person_closed_is_not_written_to(reading: str, own_eclipse: Start) -> None:
    """In Eclipse the bridge has nothing but the closed patient's objects: whatever they answer, a write is refused."""
    used = own_eclipse(Profile("in-eclipse", FULL.version, FULL.unit), settings={"switches": {"after_close": reading}})
    with used.client() as client:
        patient = find(client, PHANTOM)
        with client.session(patient, model.SessionMode.READ_WRITE) as session:
            plan = copied(session, patient)
            used.user("close-patient")
            assert _refused(lambda: _objectives(session, patient, plan.name)).startswith("TpsUnavailable")
            assert _refused(lambda: copied(session, patient, "more")).startswith("TpsUnavailable")


def _probed(folder: Path, switches: Mapping[str, str]) -> dict[str, dict[str, str]]:
    folder.mkdir()
    site = Eclipse(FULL, folder)
    site.set(switches=switches)
    site.configure()
    child = subprocess.run(
        [sys.executable, "-m", "tests.eclipse.doubts_probe", str(site.ini_file)],
        cwd=REPOSITORY,
        env={
            **os.environ, "BEAMWRIGHT_EMULATION": str(site.settings_file), "MONO_THREADS_SUSPEND": "preemptive",
            "BEAMWRIGHT_DATA_DIR": str(folder / "data"),
        },
        capture_output=True,
        text=True,
        timeout=PROBE_LIMIT_S,
        check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-3000:]
    told: dict[str, dict[str, str]] = json.loads(child.stdout.splitlines()[-1])
    return told


# helpers ---------------------------------------------------------------------------------------------------------


def _objectives(session: Session, patient: str, plan: str) -> None:
    target = next(s for s in session.structures(patient) if s.role is model.StructureRole.TARGET)
    spec = model.ObjectiveSpec(target.name, model.DoseVolumePoint(LOWER, 50.0, 95.0), 300.0)
    session.replace_objectives(plan, [spec])


def _calculated(session: Session, patient: str, plan: str) -> list[float]:
    session.optimize(plan, model.OptimizeSpec())
    session.calculate_dose(plan)
    return _doses(session, patient, plan)


def _doses(session: Session, patient: str, plan: str) -> list[float]:
    structures = by_label(session, patient)
    return [value(session, plan, dose_at(structures[label], 95.0)) for label in ("PTV", "Left", "Anterior")]


def _angles(session: Session, plan: str) -> list[tuple[float, ...]]:
    beams = session.beams(plan)
    return [tuple(round(a, 6) for a in (b.gantry_deg, b.collimator_deg, b.couch_deg)) for b in beams]


def _refused(attempt: Callable[[], object]) -> str:
    """Class and sentence of a refusal."""
    with pytest.raises(errors.BridgeError) as refusal:
        attempt()
    sentence = refusal.value.message
    assert len(sentence.split()) > 4, sentence
    return f"{type(refusal.value).__name__}: {sentence}"
