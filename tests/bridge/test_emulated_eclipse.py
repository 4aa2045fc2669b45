"""The physics behind the emulated ESAPI, asked over its pipe as the emulation asks it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.backends.emulated_eclipse import hospital, intake
from bridge.backends.emulated_eclipse.frames import read_frame, write_frame
from bridge.backends.emulated_eclipse.options import Options
from bridge.backends.emulated_eclipse.orientation import orientation
from sim_tps import plan as sim
from sim_tps.cases import make_case
from sim_tps.geometry import beam_frame
from sim_tps.progress import silent
from sim_tps.store import Store
from sim_tps.structures import derive
from sim_tps.tps import Tps
from tests.phantoms import GRID, water_cylinder

MODULE = "bridge.backends.emulated_eclipse"
COARSE = Options(beamlet_mm=15.0, optimization_grid_mm=10.0)
ITERATIONS = 30
SUPINE, PRONE = "HeadFirstSupine", "HeadFirstProne"

Record = dict[str, Any]


class Child:
    """The physics in a process of its own, and one open patient of it."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.traces: list[str] = []
        self.blob = b""

    def reply(self, verb: str, **facts: Any) -> Record:
        """The header that answers, whatever it says; traces and blob are kept."""
        assert self._process.stdin is not None and self._process.stdout is not None
        write_frame(self._process.stdin, {"verb": verb, **facts})
        while (frame := read_frame(self._process.stdout)) is not None:
            header, self.blob = frame
            if "trace" not in header:
                return header
            self.traces.append(header["trace"])
        raise AssertionError(f"the process ended instead of answering {verb!r}")

    def ask(self, verb: str, **facts: Any) -> Record:
        """The answer, which must be one."""
        header = self.reply(verb, **facts)
        assert header.pop("ok"), header
        return header

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def close(self) -> int:
        self._process.communicate()
        return self._process.returncode


@dataclass
class Case:
    """One patient, as the emulation holds it."""

    child: Child
    patient: Record

    @property
    def id(self) -> str:
        return str(self.patient["id"])

    @property
    def structures(self) -> list[Record]:
        found: list[Record] = self.patient["structure_sets"][0]["structures"]
        return found

    @property
    def plan(self) -> Record:
        found: Record = self.patient["courses"][0]["plans"][0]
        return found

    def segment(self, structure: str) -> str:
        return next(s["segment"] for s in self.structures if s["id"] == structure)

    def calculate(self, verb: str, plan: Record | None = None, **facts: Any) -> Record:
        plan = self.plan if plan is None else plan
        return self.child.ask(verb, patient=self.id, plan=plan, structures=self.structures, **facts)

    def planned(self) -> Record:
        """Optimise, sequence and compute dose, each handle put into the plan; the reply to the last."""
        self.plan["fluence"] = self.calculate("optimise", warm=False, iterations=ITERATIONS)["fluence"]
        self.calculate("leaf_motions")
        final = self.calculate("dose")
        self.plan["dose"] = final["dose"]
        return final

    def dvh(self, structure: str, scale: float = 1.0, bin_gy: float = 0.5) -> Record:
        return self.child.ask(
            "dvh",
            patient=self.id,
            dose=self.plan["dose"],
            segment=self.segment(structure),
            scale=scale,
            bin_gy=bin_gy,
        )


OpenCase = Callable[..., Case]


@pytest.fixture
def open_case(tmp_path: Path) -> Iterator[OpenCase]:
    """Opens a patient of the test's own folder in a new process."""
    children: list[Child] = []

    def opened(patient_id: str, folder: Path = tmp_path) -> Case:
        children.append(Child("-m", MODULE, str(folder)))
        return Case(children[-1], children[-1].ask("open", patient=patient_id)["patient"])

    yield opened
    for child in children:
        child.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One process for tests that save nothing: the TG-119 phantom, and the asymmetric one as it lies."""
    folder = tmp_path_factory.mktemp("hospital")
    make_tg119(folder)
    for lies in (SUPINE, PRONE):
        make_asymmetric(folder, lies)
    child = Child("-m", MODULE, str(folder))
    yield child
    assert child.close() == 0


@pytest.fixture(scope="module")
def planned(shared: Child) -> Case:
    """The TG-119 phantom with a plan that was optimised and has a final dose."""
    case = Case(shared, shared.ask("open", patient="P1")["patient"])
    case.planned()
    return case


def asymmetric(shared: Child, lies: str) -> Case:
    return Case(shared, shared.ask("open", patient=lies)["patient"])


def make_tg119(folder: Path, **plan_changes: Any) -> None:
    """The phantom as patient P1 with one plan."""
    intake.write_options(folder, COARSE)
    intake.make_patient(folder, "tg119", "P1")
    settings = {"target": "OuterTarget", "dose_grid_mm": 8.0, "objectives": tg119_objectives(), **plan_changes}
    intake.add_plan(folder, "P1", "Plan1", **settings)


def tg119_objectives() -> list[Record]:
    nto = {"automatic": True, "distance_mm": 0, "start_percent": 0, "end_percent": 0, "fall_off": 0}
    return [
        intake.objective_record("point", "OuterTarget", "Lower", dose_gy=50.5, volume_percent=99.0, priority=300),
        intake.objective_record("point", "OuterTarget", dose_gy=53.0, volume_percent=0.0, priority=200),
        intake.objective_record("point", "Core", dose_gy=20.0, volume_percent=10.0, priority=50),
        intake.objective_record("mean", "Core", dose_gy=10.0, priority=5),
        intake.objective_record("eud", "BODY", dose_gy=20.0, a=8.0, priority=10),
        intake.objective_record("nto", "", priority=20, nto=nto),
    ]


def make_asymmetric(folder: Path, lies: str) -> None:
    """The asymmetric phantom, named for how it lies, with a plan of one beam from gantry 90."""
    intake.make_asymmetric_patient(folder, lies, lies)
    uniform = [intake.objective_record("point", "PTV", "Lower", dose_gy=50.0, volume_percent=100.0)]
    settings = {"gantry_deg": (90.0,), "isocentre_mm": (0.0, 0.0, 0.0), "dose_grid_mm": 8.0}
    intake.add_plan(folder, lies, "Plan1", target="PTV", objectives=uniform, **settings)


# calculations -------------------------------------------------------------------------------------------------------


def test_same_plan_gives_the_simulators_own_numbers(planned: Case, tmp_path: Path) -> None:
    """DVH, MU and doses at volumes are bit for bit those of the simulator for the same beams, grids and objectives."""
    tps = simulated(tmp_path)
    for structure in ("OuterTarget", "Core", "BODY"):
        ours, theirs = planned.dvh(structure, scale=1.25), tps.dose_volume("tg119-0", "plan", structure).scaled(1.25)
        dose_gy, volume_percent = theirs.curve(0.5)
        assert ours["dose_gy"] == dose_gy.tolist() and ours["volume_percent"] == volume_percent.tolist()
        assert (ours["mean_gy"], ours["max_gy"], ours["min_gy"]) == (theirs.mean, theirs.max, theirs.min)
        assert (ours["volume_cc"], ours["coverage"]) == (theirs.volume_cc, theirs.coverage_percent / 100.0)
    beams = planned.calculate("dose")["beams"]
    assert [beam["mu"] for beam in beams.values()] == list(tps.plan("tg119-0", "plan").beam_mu)


def simulated(folder: Path) -> Tps:
    """The simulator itself with the plan that `make_tg119` describes, calculated."""
    tps = Tps(Store(folder))
    patient = make_case("tg119")
    tps.add_patient(patient)
    centre = patient.structure("OuterTarget").centre_mm()
    kinds = sim.ObjectiveType
    settings = sim.PlanSettings(
        id="plan",
        label="",
        patient=patient.id,
        machine="generic-5mm",
        beams=tuple(sim.Beam(f"beam-{n}", centre, gantry) for n, gantry in enumerate((0.0, 120.0, 240.0), start=1)),
        prescription=sim.Prescription(25, (sim.TargetDose("OuterTarget", 50.0),)),
        dose_grid_mm=8.0,
        optimization_grid_mm=10.0,
        beamlet_mm=15.0,
        objectives=(
            sim.Objective("objective-1", kinds.LOWER, "OuterTarget", 300.0, 50.5, volume_percent=99.0),
            sim.Objective("objective-2", kinds.MAX, "OuterTarget", 200.0, 53.0),
            sim.Objective("objective-3", kinds.UPPER, "Core", 50.0, 20.0, volume_percent=10.0),
            sim.Objective("objective-4", kinds.MEAN, "Core", 5.0, 10.0),
            sim.Objective("objective-5", kinds.EUD_UPPER, "BODY", 10.0, 20.0, a=8.0),
            sim.Objective(
                "objective-6",
                kinds.FALL_OFF,
                "BODY",
                20.0,
                0.95 * 50.0,
                end_dose_gy=0.4 * 50.0,
                distance_mm=5.0,
                fall_off_per_mm=0.1,
            ),
        ),
    )
    tps.create_plan(settings)
    tps.optimise(
        patient.id,
        "plan",
        warm=False,
        max_iterations=ITERATIONS,
        max_seconds=600.0,
        seed=0,
        report=silent,
        cancelled=lambda: False,
    )
    tps.calculate_dose(patient.id, "plan", None, silent, lambda: False)
    return tps


def test_a_running_optimisation_traces_its_objective(planned: Case) -> None:
    """Every few iterations a line names the iteration and the objective, before the reply comes."""
    lines = [line for line in planned.child.traces if line.startswith("iteration ")]
    assert lines[0].startswith("iteration 1: objective ") and lines[1].startswith("iteration 5: objective ")
    assert "sequencing leaves" in planned.child.traces


def test_an_optimisation_says_what_each_structure_costs(planned: Case) -> None:
    """Values are summed per structure, the total is their sum, and every beam has a log of the category."""
    reply = planned.calculate("optimise", warm=False, iterations=5)
    assert set(reply["structures"]) == {"OuterTarget", "Core", "BODY"}
    assert sum(reply["structures"].values()) == pytest.approx(reply["total"])
    assert reply["iterations"] == 5 and not reply["converged"]
    assert {log["category"] for logs in reply["logs"].values() for log in logs} == {"Optimization"}
    assert list(reply["logs"]) == ["Field 1", "Field 2", "Field 3"]


def test_a_warm_start_goes_on_from_the_plans_fluence(planned: Case) -> None:
    """One more iteration from a found fluence is better than one from the beginning."""
    cold = planned.calculate("optimise", warm=False, iterations=1)
    warm = planned.calculate("optimise", warm=True, iterations=1)
    assert warm["total"] < 0.5 * cold["total"]


def test_a_warm_start_keeps_the_beamlets_it_has(shared: Child) -> None:
    """Another target among the objectives does not move the beamlets under a fluence; a cold start covers it."""
    case = asymmetric(shared, SUPINE)
    next(s for s in case.structures if s["id"] == "Superior")["dicom_type"] = "CTV"
    case.plan["fluence"] = case.calculate("optimise", warm=False, iterations=5)["fluence"]
    case.plan["objectives"].append(
        intake.objective_record("point", "Superior", "Lower", dose_gy=40.0, volume_percent=90.0)
    )
    warm, cold = (case.calculate("optimise", warm=warm, iterations=5) for warm in (True, False))
    assert warm["success"] and cold["success"]
    assert cold["structures"]["Superior"] < 0.5 * warm["structures"]["Superior"]


def test_an_objective_without_a_counterpart_is_left_out_aloud(planned: Case) -> None:
    """A line objective is ignored, and a trace line says so."""
    odd = intake.objective_record("line", "Core", "Upper", priority=900)
    plan = {**planned.plan, "objectives": [*tg119_objectives(), odd]}
    kept = planned.calculate("optimise", plan, warm=False, iterations=5)
    assert kept["total"] == planned.calculate("optimise", warm=False, iterations=5)["total"]
    assert "objective on Core ignored: line Upper is not emulated" in planned.child.traces


REFUSED: Mapping[str, tuple[str, Record, Record, str]] = {
    "no beams": ("optimise", {"beams": []}, {}, "no treatment beams"),
    "set-up beams only": ("optimise", {}, {"setup": True}, "no treatment beams"),
    "no objectives": ("optimise", {"objectives": []}, {}, "no optimization objectives"),
    "no prescription": ("optimise", {"fractions": None}, {}, "no prescription"),
    "no dose model": ("dose", {"models": {}}, {}, "no dose calculation model"),
    "no fluence": ("leaf_motions", {"fluence": None}, {}, "no optimal fluence"),
    "an arc": ("optimise", {}, {"technique": "ARC"}, "arcs are not emulated"),
    "other unit": ("optimise", {}, {"machine": "Halcyon"}, "not commissioned"),
    "other energy": ("optimise", {}, {"energy": "15X"}, "has energy 15X"),
    "moved beams": ("dose", {}, {"gantry_deg": 7.0}, "beams were changed"),
    "isocentre in the air": ("optimise", {}, {"isocentre": [0.0, 0.0, 999.0]}, "outside the image"),
    "bad grid": ("dose", {"options": {"AAA_18.0.1": {"CalculationGridSizeInCM": "fine"}}}, {}, "a length in cm"),
}
"""What is wrong -> what is asked, what is changed in the plan and in each of its beams, and words of the reason."""


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_calculated_does_not_succeed(planned: Case, what: str) -> None:
    """The reply has no success, no handles, and the reason, which stands in every beam's log too."""
    verb, changes, beam_changes, reason = REFUSED[what]
    plan = {**planned.plan, "beams": [{**beam, **beam_changes} for beam in planned.plan["beams"]], **changes}
    reply = planned.calculate(verb, plan, warm=False, iterations=1)
    assert not reply["success"] and reason in reply["reason"]
    assert all(logs[0]["lines"] == [reply["reason"]] for logs in reply["logs"].values())
    assert not {"fluence", "dose", "beams"} & set(reply)


def test_an_objective_on_nothing_does_not_succeed(planned: Case) -> None:
    """Neither a target nor another structure of an objective may be without a segment."""
    structures = [{**s, "segment": None} if s["id"] == "Core" else s for s in planned.structures]
    reply = planned.child.ask(
        "optimise", patient="P1", plan=planned.plan, structures=structures, warm=False, iterations=1
    )
    assert reply["reason"] == "Structure Core has an optimization objective but no contours."
    for verb in ("optimise", "leaf_motions", "dose"):
        reply = planned.child.ask(
            verb, patient="P1", plan=planned.plan, structures=planned.structures[1:], warm=False, iterations=1
        )
        assert "has no body" in reply["reason"]
    plan = {**planned.plan, "objectives": tg119_objectives()[3:], "target": ""}
    assert "no target" in planned.calculate("optimise", plan, warm=False, iterations=1)["reason"]


def test_the_dose_grid_follows_the_models_option(planned: Case) -> None:
    """The dose lies on cubes as large as the option says in cm, on the image's voxels where it says nothing."""
    assert planned.child.ask("dose_info", dose=planned.plan["dose"])["res"] == [8.0, 8.0, 8.0]
    plan = {**planned.plan, "options": {}}
    fine = planned.calculate("dose", plan)["dose"]
    assert planned.child.ask("dose_info", dose=fine)["res"] == [2.5, 2.5, 2.5]


# dose ---------------------------------------------------------------------------------------------------------------


def test_doses_and_volumes_answer_each_other(planned: Case) -> None:
    """The volume that gets D50 % is half of the structure, in both units."""
    asked = {
        "patient": "P1",
        "dose": planned.plan["dose"],
        "segment": planned.segment("OuterTarget"),
        "scale": 0.9,
    }
    half_gy = planned.child.ask("dose_at_volume", volume=50.0, cc=False, **asked)["gy"]
    volume = planned.child.ask("volume_at_dose", gy=half_gy, **asked)
    assert volume["percent"] == pytest.approx(50.0, abs=0.01)
    whole_cc = planned.dvh("OuterTarget")["volume_cc"]
    assert planned.child.ask("dose_at_volume", volume=whole_cc / 2, cc=True, **asked)["gy"] == pytest.approx(half_gy)
    assert half_gy == pytest.approx(planned.dvh("OuterTarget", scale=0.9)["median_gy"])


def test_voxels_points_and_maximum_are_one_dose(planned: Case) -> None:
    """The hottest voxel is where the facts say, and a point there gets its dose; beyond the grid nothing."""
    child, handle = planned.child, planned.plan["dose"]
    facts = child.ask("dose_info", dose=handle)
    child.ask("dose_voxels", dose=handle)
    gy = np.frombuffer(child.blob, "<f4").reshape(facts["size"][::-1])
    assert gy.max() == facts["max_gy"]
    at, beyond = child.ask("point_dose", dose=handle, points=[facts["max_position"], [0.0, 0.0, 1e4]])["gy"]
    assert at == pytest.approx(facts["max_gy"]) and beyond is None


# orientation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lies", "near_x_mm"), [(SUPINE, 40.0), (PRONE, -40.0)])
def test_a_beam_from_gantry_90_comes_from_the_side_that_faces_it(shared: Child, lies: str, near_x_mm: float) -> None:
    """At gantry 90 the beam enters a supine patient on the left (+x), a prone one on the right (-x)."""
    case = asymmetric(shared, lies)
    dose = case.planned()["dose"]
    near, far = case.child.ask("point_dose", dose=dose, points=[[near_x_mm, 0, 0], [-near_x_mm, 0, 0]])["gy"]
    assert near > 1.2 * far > 0.0


@pytest.mark.parametrize("angles", [(0.0, 0.0), (90.0, 0.0), (30.0, 45.0), (200.0, 300.0)])
def test_a_prone_patient_is_hit_as_a_supine_one_turned_over(angles: tuple[float, float]) -> None:
    """Turning the patient over about the long axis changes the sign of x and y of every beam axis, couch included."""
    gantry_deg, couch_deg = angles
    supine = beam_frame((0.0, 0.0, 0.0), gantry_deg, 25.0, couch_deg, 1000.0)
    turned_gantry_deg, turned_couch_deg = orientation(PRONE).supine_angles(gantry_deg, couch_deg)
    prone = beam_frame((0.0, 0.0, 0.0), turned_gantry_deg, 25.0, turned_couch_deg, 1000.0)
    for ours, theirs in ((prone.x_axis, supine.x_axis), (prone.y_axis, supine.y_axis), (prone.z_axis, supine.z_axis)):
        assert ours == pytest.approx(np.array(theirs) * (-1.0, -1.0, 1.0))


@pytest.mark.parametrize("lies", [SUPINE, PRONE])
def test_image_and_dose_lie_where_their_geometry_says(shared: Child, lies: str) -> None:
    """The dense marker is left, anterior and superior of the middle in DICOM coordinates, in whichever voxel order."""
    case = asymmetric(shared, lies)
    case.child.ask("image", patient=lies)
    image = case.patient["image"]
    hu = np.frombuffer(case.child.blob, "<i2").reshape(image["size"][::-1])
    centre = np.mean([position_mm(image, index) for index in np.argwhere(hu > 1000)], axis=0)
    assert centre == pytest.approx((28.0, -20.0, 29.0), abs=1.0)
    assert image["x_direction"] == ([1.0, 0.0, 0.0] if lies == SUPINE else [-1.0, 0.0, 0.0])
    case.planned()
    facts = case.child.ask("dose_info", dose=case.plan["dose"])
    case.child.ask("dose_voxels", dose=case.plan["dose"])
    gy = np.frombuffer(case.child.blob, "<f4").reshape(facts["size"][::-1])
    hottest = np.unravel_index(int(np.argmax(gy)), gy.shape)
    assert position_mm(facts, hottest) == pytest.approx(facts["max_position"])


def position_mm(geometry: Record, index: Any) -> np.ndarray[Any, Any]:
    """Where a voxel [z, y, x] lies, from what the record says of the grid."""
    steps = np.array(index[::-1]) * geometry["res"]
    axes = np.array([geometry[f"{axis}_direction"] for axis in "xyz"])
    return np.array(geometry["origin"]) + steps @ axes


# segments -----------------------------------------------------------------------------------------------------------


def combined(case: Case, op: str, a: str, **others: Any) -> Record:
    return case.child.ask("segment", patient=case.id, op=op, a=a, **others)


def test_a_ring_made_step_by_step_is_the_simulators(planned: Case) -> None:
    """Two margins, a difference and an intersection with the body make what the simulator calls a ring."""
    target = planned.segment("OuterTarget")
    outer = combined(planned, "margin", target, mm=12.0)["segment"]
    inner = combined(planned, "margin", target, mm=3.0)["segment"]
    shell = combined(planned, "sub", outer, b=inner)["segment"]
    ring = combined(planned, "and", shell, b=planned.segment("BODY"))
    patient = make_case("tg119")
    wanted = derive(
        "zRing", "ring", [patient.structure("OuterTarget")], inner_mm=3.0, outer_mm=12.0, external=patient.external
    )
    assert ring["volume_cc"] == pytest.approx(wanted.volume_cc, rel=1e-6)
    assert ring["centre"] == pytest.approx(wanted.centre_mm(), abs=1e-4)


def test_set_operations_keep_volumes(planned: Case) -> None:
    """Or and xor of two that do not touch hold both, and is empty, not and the segment fill the image."""
    target, core = planned.segment("OuterTarget"), planned.segment("Core")
    a_cc, b_cc = (next(s["volume_cc"] for s in planned.structures if s["segment"] == own) for own in (target, core))
    for op in ("or", "xor"):
        assert combined(planned, op, target, b=core)["volume_cc"] == pytest.approx(a_cc + b_cc)
    assert combined(planned, "and", target, b=core)["empty"]
    assert combined(planned, "or", target, b=core)["parts"] == 2
    image_cc = 132 * 92 * 100 * 2.5**3 / 1000.0
    assert combined(planned, "not", target)["volume_cc"] == pytest.approx(image_cc - a_cc)
    assert combined(planned, "high_resolution", core)["volume_cc"] == pytest.approx(b_cc)


def test_margins_grow_and_shrink_on_the_sides_they_name(shared: Child) -> None:
    """A margin to +x moves the centre there and back by shrinking; the same on all sides is a plain margin."""
    case = asymmetric(shared, PRONE)
    ptv = case.segment("PTV")
    centre = np.array(next(s["centre"] for s in case.structures if s["id"] == "PTV"))
    grown = combined(case, "asymmetric", ptv, margins=[0, 0, 0, 12.0, 0, 0], inner=False)
    assert grown["centre"] - centre == pytest.approx((6.0, 0.0, 0.0), abs=0.5)
    back = combined(case, "asymmetric", grown["segment"], margins=[0, 0, 0, 12.0, 0, 0], inner=True)
    assert back["centre"] == pytest.approx(centre, abs=0.5)
    even = combined(case, "asymmetric", ptv, margins=[5.0] * 6, inner=True)["volume_cc"]
    assert even == pytest.approx(combined(case, "margin", ptv, mm=-5.0)["volume_cc"])
    refused = case.child.reply("segment", patient=PRONE, op="asymmetric", a=ptv, margins=[-1.0] * 6, inner=False)
    assert refused["kind"] == "Refused" and "at least 0 mm" in refused["message"]


@pytest.mark.parametrize("lies", [SUPINE, PRONE])
def test_contours_can_be_read_and_drawn_again(shared: Child, lies: str) -> None:
    """A segment drawn from another's contours has its volume and centre; a cleared plane and a cut take some away."""
    case = asymmetric(shared, lies)
    source = case.segment("Left")
    planes = case.child.ask("contours", patient=lies, segment=source)["planes"]
    drawn: Record = {"segment": None}
    for plane, polygons in planes.items():
        for points in polygons:
            drawn = edited(case, drawn["segment"], plane, "add", points)
    original = next(s for s in case.structures if s["id"] == "Left")
    assert drawn["volume_cc"] == pytest.approx(original["volume_cc"], rel=0.01)
    assert drawn["centre"] == pytest.approx(original["centre"], abs=0.1)
    plane = next(iter(planes))
    assert edited(case, drawn["segment"], plane, "clear")["volume_cc"] < drawn["volume_cc"]
    cut = edited(case, drawn["segment"], plane, "subtract", planes[plane][0])
    assert cut["volume_cc"] == pytest.approx(edited(case, drawn["segment"], plane, "clear")["volume_cc"], rel=0.01)


def edited(case: Case, segment: str | None, plane: str, op: str, points: Any = None) -> Record:
    asked = {"segment": segment, "plane": int(plane), "op": op, "points": points}
    return case.child.ask("contour_edit", patient=case.id, **asked)


def test_points_know_whether_they_are_inside(planned: Case) -> None:
    """The middle of the core is in the core and not in the target bent round it; far away is in neither."""
    points = [[0.0, 0.0, 0.0], [0.0, -25.0, 0.0], [0.0, 0.0, 1e4]]
    for structure, expected in (("Core", [True, False, False]), ("OuterTarget", [False, True, False])):
        asked = {"patient": "P1", "segment": planned.segment(structure), "points": points}
        assert planned.child.ask("inside", **asked)["inside"] == expected


# keeping ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_saved_plan_outlives_the_process_with_its_dose(tmp_path: Path, open_case: OpenCase) -> None:
    """After save and a kill a new process gives the same record, the same DVH, and goes on from the fluence."""
    make_tg119(tmp_path)
    first = open_case("P1")
    first.planned()
    before = first.dvh("OuterTarget")
    first.child.ask("save", patient=first.patient)
    first.child.kill()
    second = open_case("P1")
    assert second.patient == first.patient
    assert second.dvh("OuterTarget") == before
    assert second.calculate("optimise", warm=True, iterations=1)["success"]


def test_what_was_not_saved_is_gone(tmp_path: Path, open_case: OpenCase) -> None:
    """A patient opened anew is as saved, and handles made since then name nothing."""
    make_tg119(tmp_path)
    case = open_case("P1")
    dose = case.planned()["dose"]
    case.dvh("Core")
    again = case.child.ask("open", patient="P1")["patient"]
    assert again["courses"][0]["plans"][0]["dose"] is None
    asked = {"patient": "P1", "dose": dose, "segment": case.segment("Core"), "scale": 1.0, "bin_gy": 1.0}
    for verb in ("dose_info", "dose_voxels", "dvh"):
        assert case.child.reply(verb, **asked)["kind"] == "NotFound"


def test_a_save_drops_arrays_that_nothing_names(tmp_path: Path, open_case: OpenCase) -> None:
    """Only what the record names stays on disk, and a record that names what is not there is refused whole."""
    make_tg119(tmp_path)
    case = open_case("P1")
    for _ in range(2):
        case.planned()
        case.child.ask("save", patient=case.patient)
    assert len(list(tmp_path.glob("*/dose-*.npz"))) == len(list(tmp_path.glob("*/fluence-*.npz"))) == 1
    case.plan["dose"] = "dose-nowhere"
    assert case.child.reply("save", patient=case.patient)["kind"] == "NotFound"
    assert case.child.ask("open", patient="P1")["patient"]["courses"][0]["plans"][0]["dose"] != "dose-nowhere"


def test_old_doses_make_room_and_are_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit unsaved doses go to disk and come back as they were; only what is named outlives a save."""
    intake.make_patient(tmp_path, water_cylinder(), "W")
    monkeypatch.setattr(hospital, "DOSE_BYTES_HELD", 3 * GRID.size * 4)
    chart = hospital.Hospital(tmp_path).open("W")
    doses = [sim.Dose(np.full(GRID.shape, gy, np.float32), GRID, "final", "") for gy in range(6)]
    handles = [chart.keep(dose) for dose in doses]
    assert len(list(tmp_path.glob("*/dose-*.npz"))) == 3
    for handle, dose in zip(handles, doses, strict=True):
        assert np.array_equal(chart.thing(handle, sim.Dose).gy, dose.gy)
    assert not hospital.Hospital(tmp_path).open("W").has(handles[0])
    chart.save({**chart.record, "courses": [{"id": "C1", "plans": [{"dose": handles[1]}]}]})
    assert [file.stem for file in tmp_path.glob("*/dose-*.npz")] == [handles[1]]
    assert hospital.Hospital(tmp_path).open("W").thing(handles[1], sim.Dose).gy.max() == 1.0


@pytest.mark.slow
def test_a_killed_save_leaves_the_old_record(tmp_path: Path, open_case: OpenCase) -> None:
    """A process that dies while the record takes its place loses the new one only; the next save works."""
    make_tg119(tmp_path)
    dies_in_save = (
        "import os, runpy, sys; from pathlib import Path; there = Path.replace; sys.argv = sys.argv[:]\n"
        "Path.replace = lambda own, to: os._exit(9) if 'record' in own.name else there(own, to)\n"
        f"runpy.run_module({MODULE!r}, run_name='__main__')"
    )
    child = Child("-c", dies_in_save, str(tmp_path))
    case = Case(child, child.ask("open", patient="P1")["patient"])
    case.planned()
    with pytest.raises(AssertionError, match="process ended"):
        child.ask("save", patient=case.patient)
    assert child.close() == 9
    after = open_case("P1")
    assert after.plan["dose"] is None
    after.planned()
    after.child.ask("save", patient=after.patient)
    assert open_case("P1").plan["dose"] == after.plan["dose"]


def test_any_patient_id_can_be_kept(tmp_path: Path, open_case: OpenCase) -> None:
    """Non-ASCII and hostile ids are listed, opened and saved, inside the folder."""
    folder, ids = tmp_path / "hospital", ["Ünï cödé", "../../etc", "a/b\\c:*?", "...", "x" * 40]
    for patient_id in ids:
        intake.make_patient(folder, water_cylinder(), patient_id)
        intake.add_plan(folder, patient_id, "Plan/ü<&>", target="PTV", approval="TreatmentApproved", beams=[])
    child = open_case(ids[0], folder).child
    assert {p["id"] for p in child.ask("summaries")["patients"]} == set(ids)
    for patient_id in ids:
        case = Case(child, child.ask("open", patient=patient_id)["patient"])
        case.plan["comment"] = "gesehen ✓"
        child.ask("save", patient=case.patient)
        assert child.ask("open", patient=patient_id)["patient"] == case.patient
    assert list(tmp_path.iterdir()) == [folder]


def test_empty_structures_have_no_segment(tmp_path: Path, open_case: OpenCase) -> None:
    """A structure without contours is kept as such, one added later too; types follow what structures are for."""
    intake.make_patient(tmp_path, water_cylinder(), "W", dicom_types={"Rectum": "AVOIDANCE"})
    intake.add_structure(tmp_path, "W", "Nothing")
    structures = {s["id"]: s for s in open_case("W").structures}
    assert structures["Empty"]["segment"] is structures["Nothing"]["segment"] is None
    types = {name: s["dicom_type"] for name, s in structures.items()}
    assert (types["External"], types["PTV"], types["Rectum"]) == ("EXTERNAL", "PTV", "AVOIDANCE")


# the pipe -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        ({"verb": "sing"}, "NotFound", "no verb 'sing'"),
        ({"verb": "open", "patient": "nobody"}, "NotFound", "no patient 'nobody'"),
        ({"verb": "contours", "patient": "P1", "segment": "segment-0"}, "NotFound", "has no 'segment-0'"),
        ({"verb": "optimise", "patient": "P1"}, "Refused", "lacks 'plan'"),
        ({"verb": "segment", "patient": "P1", "op": "melt", "a": None}, "NotFound", "has no None"),
        ({"verb": "inside", "patient": "P1", "segment": 7}, "NotFound", "has no 7"),
    ],
)
def test_a_bad_request_is_answered_and_the_next_one_too(planned: Case, asked: Record, kind: str, message: str) -> None:
    """An error is a reply with its kind and a sentence; the process goes on."""
    reply = planned.child.reply(**asked)
    assert (reply["ok"], reply["kind"]) == (False, kind) and message in reply["message"]
    assert planned.child.ask("summaries")["patients"]


def test_an_empty_structure_has_no_dvh(planned: Case) -> None:
    """Dose in nothing is refused, not zero."""
    nothing = combined(planned, "and", planned.segment("OuterTarget"), b=planned.segment("Core"))["segment"]
    asked = {"patient": "P1", "dose": planned.plan["dose"], "segment": nothing, "scale": 1.0, "bin_gy": 1.0}
    assert planned.child.reply("dvh", **asked)["kind"] == "Refused"


def test_prints_stay_off_the_pipe(tmp_path: Path) -> None:
    """What any code prints while it answers goes to stderr, and frames stay whole."""
    noisy = (
        "import runpy; from bridge.backends.emulated_eclipse.verbs import Verbs; quiet = Verbs.answer\n"
        "Verbs.answer = lambda own, header, say: (print('noise'), quiet(own, header, say))[1]\n"
        f"runpy.run_module({MODULE!r}, run_name='__main__')"
    )
    child = Child("-c", noisy, str(tmp_path))
    assert child.ask("summaries") == {"patients": []}
    assert child.close() == 0


@pytest.mark.parametrize(("content", "words"), [(None, "no folder"), ('{"beamlets": 5}', "unknown option 'beamlets'")])
def test_a_folder_that_cannot_be_served_ends_with_a_sentence(tmp_path: Path, content: str | None, words: str) -> None:
    """Without a folder, or with options it does not know, the process says why and ends with 1."""
    folder = tmp_path / "hospital"
    if content is not None:
        folder.mkdir()
        (folder / "options.json").write_text(content)
    ended = subprocess.run([sys.executable, "-m", MODULE, str(folder)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and words in ended.stderr and ended.stdout == ""


def test_a_torn_frame_ends_with_a_sentence(tmp_path: Path) -> None:
    """Bytes that are no frame end the process with 1 and a sentence, not with a traceback."""
    command = [sys.executable, "-m", MODULE, str(tmp_path)]
    ended = subprocess.run(command, input=b"\x05\0\0\0\0\0\0\0{nope", capture_output=True, timeout=60)
    assert ended.returncode == 1 and b"no JSON" in ended.stderr and b"Traceback" not in ended.stderr
